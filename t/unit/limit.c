/* SPDX-License-Identifier: BSD-2-Clause */
#include "modules/limit.h"

#include <pthread.h>
#include <sched.h>
#include <time.h>

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

static uint16_t
count(const struct wr_stats *shared, uint32_t slot, uint64_t key)
{
	uint16_t at;

	(void)wr_limit_claim(shared, slot, key, UINT32_MAX, false, &at);
	return at;
}

static void
slots_are_added_up(void)
{
	uint16_t a, b, c;

	st = fake_shared();
	*st->slots_high = 3;
	a = count(st, 0, KEY);
	b = count(st, 0, KEY);
	c = count(st, 2, KEY);
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
	a = count(st, 0, KEY);
	b = count(st, 0, neighbour(KEY, 1));
	ok(a != b);
	wr_limit_drop(st, 0, a);
	c = count(st, 0, neighbour(KEY, 1));
	is_int(c, b);
	is_int(wr_limit_sum(st, neighbour(KEY, 1)), 2);
	is_int(count(st, 0, neighbour(KEY, 2)), a);
}

static void
a_full_set_takes_no_more(void)
{
	st = fake_shared();
	for (unsigned i = 0; i < WR_LIMIT_WAYS; i++)
		ok(count(st, 0, neighbour(KEY, i)) != 0);
	is_int(count(st, 0, neighbour(KEY, WR_LIMIT_WAYS)), 0);
	ok(count(st, 0, neighbour(KEY, 3)) != 0);
	ok(count(st, 1, neighbour(KEY, WR_LIMIT_WAYS)) != 0);
}

static void
what_a_dead_slot_counted_is_gone(void)
{
	st = fake_shared();
	*st->slots_high = 2;
	for (int i = 0; i < 5; i++)
		(void)count(st, 1, KEY);
	(void)count(st, 0, KEY);
	is_int(wr_limit_sum(st, KEY), 6);
	wr_stats_fold(st, 1);
	is_int(wr_limit_sum(st, KEY), 1);
	is_int(st->limit_conns[1].used, 0);
}

static void
over_is_over(void)
{
	uint16_t a, b, c;

	st = fake_shared();
	*st->slots_high = 2;
	is_int(wr_limit_claim(st, 0, KEY, 2, false, &a), WR_CLAIM_IN);
	is_int(wr_limit_claim(st, 1, KEY, 2, false, &b), WR_CLAIM_IN);
	is_int(wr_limit_claim(st, 0, KEY, 2, false, &c), WR_CLAIM_OVER);
	is_int(c, 0);
	is_int(wr_limit_sum(st, KEY), 2);
	is_int(wr_limit_claim(st, 0, KEY, 2, true, &c), WR_CLAIM_OVER);
	is_int(c, a);
	is_int(wr_limit_sum(st, KEY), 3);
	wr_limit_drop(st, 0, c);
	wr_limit_drop(st, 1, b);
	is_int(wr_limit_claim(st, 1, KEY, 2, false, &b), WR_CLAIM_IN);
}

#define RACES 20000
static uint32_t ready, lost[RACES];

/* Until n were: hot, so that both go on in the same instant. */
static void
meet(uint32_t n)
{
	(void)__atomic_add_fetch(&ready, 1, __ATOMIC_SEQ_CST);
	for (uint32_t i = 1; wr_load(&ready) < n; i++)
		if (i % 10000 == 0)
			(void)sched_yield();
}

/* Both ask for the only place in the same instant; who has it gives it back
 * when both have been answered. */
static void *
race(void *slot)
{
	uint32_t me = *(const uint32_t *)slot;
	uint16_t at;

	for (uint32_t i = 0; i < RACES; i++) {
		meet(4 * i + 2);
		if (wr_limit_claim(st, me, KEY, 1, false, &at) == WR_CLAIM_OVER)
			(void)__atomic_add_fetch(&lost[i], 1, __ATOMIC_SEQ_CST);
		meet(4 * i + 4);
		if (at != 0)
			wr_limit_drop(st, me, at);
	}
	return NULL;
}

static void
of_two_at_once_one_is_in(void)
{
	uint32_t slots[] = { 0, 1 }, one = 0;
	pthread_t t;

	st = fake_shared();
	*st->slots_high = 2;
	if (pthread_create(&t, NULL, race, &slots[1]) != 0)
		abort();
	(void)race(&slots[0]);
	pthread_join(t, NULL);
	for (uint32_t i = 0; i < RACES; i++)
		one += lost[i] == 1;
	/* The system may hold one up for longer than a turn. */
	ok(one >= RACES - RACES / 1000);
	is_int(wr_limit_sum(st, KEY), 0);
}

/* One that is stopped, or was killed, while it counted. */
static void
nobody_is_waited_for_long(void)
{
	struct timespec a, b;
	uint32_t *turn;
	uint16_t at;

	st = fake_shared();
	*st->slots_high = 3;
	turn = &st->limit_rates->turns[KEY % WR_LIMIT_TURNS];
	*turn = 2 + 1;
	(void)clock_gettime(CLOCK_MONOTONIC, &a);
	is_int(wr_limit_claim(st, 0, KEY, 1, false, &at), WR_CLAIM_IN);
	(void)clock_gettime(CLOCK_MONOTONIC, &b);
	ok((b.tv_sec - a.tv_sec) * 1000 + (b.tv_nsec - a.tv_nsec) / 1000000 >=
	    9);
	is_int(*turn, 0);
	/* Its successor does not wait for it at all. */
	*turn = 2 + 1;
	is_int(wr_limit_claim(st, 2, KEY, 1, false, &at), WR_CLAIM_OVER);
	is_int(*turn, 0);
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
	over_is_over();
	of_two_at_once_one_is_in();
	nobody_is_waited_for_long();
	arrivals_are_spaced();
	a_burst_may_come_early();
	a_full_set_of_rates();
	return tap_done();
}
