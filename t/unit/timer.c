/* SPDX-License-Identifier: BSD-2-Clause */
/* timer - the wheel fires everything once, in order, never early. */
#include <stdlib.h>

#include "base/hash.h"
#include "io/private.h"
#include "t/unit/tap.h"

#define DAY_MS UINT64_C(86400000)

static struct wr_loop *
wheel(uint64_t now_ms)
{
	struct wr_loop *l = calloc(1, sizeof(*l));

	if (l == NULL)
		abort();
	l->stats = &l->own_stats;
	l->now_ms = now_ms;
	l->now_us = now_ms * 1000;
	wr_wheel_init(l);
	return l;
}

static void
at(struct wr_loop *l, uint64_t now_ms)
{
	l->now_ms = now_ms;
	l->now_us = now_ms * 1000;
	wr_wheel_run(l);
}

static int rang;
static struct wr_timer *last;

static void
on_ring(struct wr_loop *l, struct wr_timer *t)
{
	(void)l;
	rang++;
	last = t;
}

static void
one_timer_at_any_distance(void)
{
	const uint64_t after[] = { 0, 1, 2, 63, 64, 65, 4095, 4096, 4097,
		100000, 262143, 262144, 3600000, DAY_MS, 30 * DAY_MS,
		400 * DAY_MS };
	const uint64_t starts[] = { 0, 1, 63, 4095, 1000000,
		UINT64_C(0xffffffff), UINT64_C(1) << 41 };
	int early = 0, missing = 0, waits = 0;

	for (size_t i = 0; i < WR_COUNT(starts); i++)
		for (size_t j = 0; j < WR_COUNT(after); j++) {
			struct wr_loop *l = wheel(starts[i]);
			uint64_t due = starts[i] + after[j];
			struct wr_timer t = { 0 };
			int64_t wait_us;

			rang = 0;
			wr_timer_set(l, &t, after[j], on_ring);
			/* As the loop does: sleep as long as it says. */
			while (rang == 0 && waits < 10000) {
				wait_us = wr_wheel_wait(l);
				waits++;
				missing += wait_us < 0;
				at(l, l->now_ms + (uint64_t)wait_us / 1000);
				early += rang != 0 && l->now_ms < due;
			}
			missing += rang != 1 || l->now_ms != due;
			missing += wr_wheel_wait(l) != -1;
			free(l);
		}
	is_int(early, 0);
	is_int(missing, 0);
	/* No useless wake-ups. */
	is_int(waits, WR_COUNT(starts) * WR_COUNT(after));
}

static void
late_turns_miss_nothing(void)
{
	struct wr_loop *l = wheel(12345);
	struct wr_timer t[100] = { 0 };

	rang = 0;
	for (unsigned i = 0; i < 100; i++)
		wr_timer_set(l, &t[i], i * i * i, on_ring);
	at(l, 12345 + 100 * 100 * 100);
	is_int(rang, 100);
	ok(last == &t[99]);
	is_int(l->stats->timers, 0);
	is_int(l->stats->timers_fired, 100);
	free(l);
}

static void
what_a_turn_has_taken_is_not_waited_for(void)
{
	struct wr_loop *l = wheel(1000);
	struct wr_timer t = { 0 };

	wr_timer_set(l, &t, 50, on_ring);
	is_int(wr_wheel_wait(l), 50000);
	l->spent_us = 40000;
	is_int(wr_wheel_wait(l), 10000);
	l->spent_us = 60000;
	is_int(wr_wheel_wait(l), 0);
	wr_timer_stop(l, &t);
	free(l);
}

static unsigned order[64], n_order;
static struct wr_timer same[64];

static void
on_same(struct wr_loop *l, struct wr_timer *t)
{
	(void)l;
	order[n_order++] = (unsigned)(t - same);
}

/* Also of those that were set from far and those from near. */
static void
first_set_is_first_told(void)
{
	struct wr_loop *l = wheel(1000);
	bool good = true;

	memset(same, 0, sizeof(same));
	n_order = 0;
	for (unsigned i = 0; i < 64; i++) {
		at(l, 1000 + i * 150);
		wr_timer_set(l, &same[i], 20000 - l->now_ms, on_same);
	}
	at(l, 19999);
	is_int(n_order, 0);
	at(l, 20000);
	is_int(n_order, 64);
	for (unsigned i = 0; i < 64; i++)
		good &= order[i] == i;
	ok(good);
	free(l);
}

static void
set_again_moves(void)
{
	struct wr_loop *l = wheel(500);
	struct wr_timer t = { 0 };

	rang = 0;
	wr_timer_set(l, &t, 10, on_ring);
	wr_timer_set(l, &t, 1000, on_ring);
	is_int(l->stats->timers, 1);
	at(l, 1499);
	is_int(rang, 0);
	wr_timer_set(l, &t, 5, on_ring);
	at(l, 1503);
	is_int(rang, 0);
	at(l, 1504);
	is_int(rang, 1);
	ok(!wr_timer_is_set(&t));
	wr_timer_stop(l, &t); /* no harm */
	wr_timer_set(l, &t, 5, on_ring);
	wr_timer_stop(l, &t);
	ok(!wr_timer_is_set(&t));
	at(l, 9999);
	is_int(rang, 1);
	is_int(wr_wheel_wait(l), -1);
	free(l);
}

static struct wr_timer *enemy, *ally;

static void
on_stop(struct wr_loop *l, struct wr_timer *t)
{
	on_ring(l, t);
	wr_timer_stop(l, enemy);
	wr_timer_set(l, ally, 0, on_ring);
	wr_timer_set(l, t, 0, on_ring);
}

static void
callbacks_may_stop_and_set(void)
{
	struct wr_loop *l = wheel(0);
	struct wr_timer t = { 0 }, a = { 0 }, b = { 0 };

	enemy = &a;
	ally = &b;
	rang = 0;
	wr_timer_set(l, &t, 7, on_stop);
	wr_timer_set(l, &a, 7, on_ring);
	wr_timer_set(l, &b, 7, on_ring);
	at(l, 7);
	is_int(rang, 1); /* the others were stopped or put off */
	ok(!wr_timer_is_set(&a) && wr_timer_is_set(&b) && wr_timer_is_set(&t));
	at(l, 8);
	is_int(rang, 3);
	ok(last == &t);
	is_int(l->stats->timers, 0);
	free(l);
}

#define CROWD 20000

/* Against the simplest model there is: an array of times. */
static void
a_random_crowd(void)
{
	static struct wr_timer t[CROWD];
	static uint64_t due[CROWD];
	struct wr_loop *l = wheel(77777777);
	struct wr_random r;
	uint64_t after, step;
	int wrong = 0, expect;
	unsigned i;

	wr_random_seed(&r, 4711);
	memset(t, 0, sizeof(t));
	for (int round = 0; round < 300; round++) {
		for (int j = 0; j < 300; j++) {
			i = wr_random_below(&r, CROWD);
			if (wr_random_below(&r, 4) == 0) {
				wr_timer_stop(l, &t[i]);
				due[i] = 0;
				continue;
			}
			after = wr_random_u64(&r) >>
				(64 - wr_random_below(&r, 22) - 1);
			wr_timer_set(l, &t[i], after, on_ring);
			due[i] = l->now_ms + after;
		}
		step = wr_random_u64(&r) >> (64 - wr_random_below(&r, 14) - 1);
		rang = expect = 0;
		at(l, l->now_ms + step);
		for (i = 0; i < CROWD; i++) {
			if (due[i] != 0 && due[i] <= l->now_ms) {
				expect++;
				due[i] = 0;
			}
			wrong += wr_timer_is_set(&t[i]) != (due[i] != 0);
		}
		wrong += rang != expect;
	}
	is_int(wrong, 0);
	for (i = 0; i < CROWD; i++)
		wr_timer_stop(l, &t[i]);
	is_int(l->stats->timers, 0);
	is_int(wr_wheel_wait(l), -1);
	free(l);
}

int
main(void)
{
	one_timer_at_any_distance();
	late_turns_miss_nothing();
	what_a_turn_has_taken_is_not_waited_for();
	first_set_is_first_told();
	set_again_moves();
	callbacks_may_stop_and_set();
	a_random_crowd();
	return tap_done();
}
