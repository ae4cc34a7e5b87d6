/* SPDX-License-Identifier: BSD-2-Clause */
#include "modules/limit.h"

#include "fakeconf.h"
#include "t/unit/tap.h"

#define SECOND UINT64_C(1000000000)
#define KEY    UINT64_C(0x123456789abcdef0)

static const struct wr_stats *st;

/* Another key that stands in the same places. */
static uint64_t
neighbour(uint64_t key, unsigned i)
{
	return key + ((uint64_t)i << 32);
}

static void
slots_are_added_up(void)
{
	uint16_t a, b, c;

	st = fake_shared();
	*st->slots_high = 3;
	a = wr_limit_add(st, 0, KEY);
	b = wr_limit_add(st, 0, KEY);
	c = wr_limit_add(st, 2, KEY);
	ok(a != 0 && a == b && c == a);
	is_int(wr_limit_sum(st, KEY), 3);
	is_int(wr_limit_sum(st, neighbour(KEY, 1)), 0);
	wr_limit_drop(st, 0, a);
	is_int(wr_limit_sum(st, KEY), 2);
	wr_limit_drop(st, 0, b);
	wr_limit_drop(st, 2, c);
	is_int(wr_limit_sum(st, KEY), 0);
}

static void
a_key_is_found_behind_a_place_that_became_free(void)
{
	uint16_t a, b, c;

	st = fake_shared();
	a = wr_limit_add(st, 0, KEY);
	b = wr_limit_add(st, 0, neighbour(KEY, 1));
	ok(a != b);
	wr_limit_drop(st, 0, a);
	c = wr_limit_add(st, 0, neighbour(KEY, 1));
	is_int(c, b);
	is_int(wr_limit_sum(st, neighbour(KEY, 1)), 2);
	is_int(wr_limit_add(st, 0, neighbour(KEY, 2)), a);
}

static void
a_full_set_takes_no_more(void)
{
	st = fake_shared();
	for (unsigned i = 0; i < WR_LIMIT_WAYS; i++)
		ok(wr_limit_add(st, 0, neighbour(KEY, i)) != 0);
	is_int(wr_limit_add(st, 0, neighbour(KEY, WR_LIMIT_WAYS)), 0);
	ok(wr_limit_add(st, 0, neighbour(KEY, 3)) != 0);
	ok(wr_limit_add(st, 1, neighbour(KEY, WR_LIMIT_WAYS)) != 0);
}

static void
what_a_dead_slot_counted_is_gone(void)
{
	st = fake_shared();
	*st->slots_high = 2;
	for (int i = 0; i < 5; i++)
		(void)wr_limit_add(st, 1, KEY);
	(void)wr_limit_add(st, 0, KEY);
	is_int(wr_limit_sum(st, KEY), 6);
	wr_stats_fold(st, 1);
	is_int(wr_limit_sum(st, KEY), 1);
	is_int(st->limit_conns[1].used, 0);
}

static unsigned
passes(const struct wr_rate *r, uint32_t burst, uint64_t now_ns, unsigned n)
{
	unsigned passed = 0;

	while (n-- > 0)
		passed += wr_limit_rate(st->limit_rates, KEY, r, burst,
			      now_ns) == WR_RATE_PASS;
	return passed;
}

static void
arrivals_are_spaced(void)
{
	struct wr_rate r = { 10, 1000 };

	st = fake_shared();
	is_int(passes(&r, 0, 100 * SECOND, 5), 1);
	is_int(passes(&r, 0, 100 * SECOND + SECOND / 10 - 1, 5), 0);
	is_int(passes(&r, 0, 100 * SECOND + SECOND / 10, 5), 1);
	is_int(passes(&r, 0, 1000 * SECOND, 5), 1);
}

static void
a_burst_may_come_early(void)
{
	struct wr_rate r = { 10, 1000 };
	unsigned n = 0;

	st = fake_shared();
	is_int(passes(&r, 20, 100 * SECOND, 100), 21);
	/* What was refused has not been counted. */
	is_int(passes(&r, 20, 101 * SECOND, 100), 10);
	for (uint64_t ms = 0; ms < 10000; ms++)
		n += passes(&r, 20, 200 * SECOND + ms * SECOND / 1000, 1);
	is_int(n, 20 + 100);
}

static void
a_full_set_of_rates(void)
{
	struct wr_rate r = { 1, 60000 };
	struct wr_limit_rates *t;

	st = fake_shared();
	t = st->limit_rates;
	for (unsigned i = 0; i < WR_LIMIT_WAYS; i++)
		is_int(wr_limit_rate(t, neighbour(KEY, i), &r, 0, SECOND),
		    WR_RATE_PASS);
	is_int(
	    wr_limit_rate(t, neighbour(KEY, 99), &r, 0, SECOND), WR_RATE_FULL);
	is_int(
	    wr_limit_rate(t, neighbour(KEY, 3), &r, 0, SECOND), WR_RATE_OVER);
	/* Who owes nothing any more makes room. */
	is_int(wr_limit_rate(t, neighbour(KEY, 99), &r, 0, 62 * SECOND),
	    WR_RATE_PASS);
	is_int(wr_limit_rate(t, neighbour(KEY, 99), &r, 0, 62 * SECOND),
	    WR_RATE_OVER);
}

int
main(void)
{
	slots_are_added_up();
	a_key_is_found_behind_a_place_that_became_free();
	a_full_set_takes_no_more();
	what_a_dead_slot_counted_is_gone();
	arrivals_are_spaced();
	a_burst_may_come_early();
	a_full_set_of_rates();
	return tap_done();
}
