/* SPDX-License-Identifier: BSD-2-Clause */
#include "modules/eject.h"

#include <stdlib.h>

#include "t/unit/tap.h"

#define SERVERS 8

static struct wr_server_state states[SERVERS];
static uint64_t now; /* the clock */

static struct wr_eject_group *
group(uint32_t n)
{
	struct wr_eject_group *g = calloc(1, sizeof(*g) + n * sizeof(uint32_t));

	if (g == NULL)
		abort();
	g->conf = (struct wr_eject_conf){ .on = true,
		.failures = 5,
		.window_ms = 10000,
		.for_ms = 10000,
		.max_for_ms = 60000,
		.max_percent = 50,
		.panic = true };
	g->n = n;
	for (uint32_t i = 0; i < n; i++)
		g->cells[i] = i;
	memset(states, 0, sizeof(states));
	now = 1000000;
	return g;
}

static bool
fail(const struct wr_eject_group *g, uint32_t cell)
{
	return wr_eject_failed(
	    states, g, cell, false, WR_NEWS_REFUSED, now, now);
}

static enum wr_ejected
is(uint32_t cell)
{
	return wr_server_ejected(&states[cell], now);
}

/* So many failures at once; did the last one eject it? */
static bool
fails(const struct wr_eject_group *g, uint32_t cell, unsigned n)
{
	bool ejected = false;

	while (n-- > 0)
		ejected = fail(g, cell);
	return ejected;
}

static void
only_failures_of_one_window_count(void)
{
	struct wr_eject_group *g = group(2);

	/* Four in each ten seconds, for ever. */
	for (int i = 0; i < 1000; i++, now += 2500)
		if (fail(g, 0))
			break;
	is_int(is(0), WR_EJECT_NOT);
	/* Five within ten seconds, wherever they begin. */
	now += 20000;
	for (int i = 0; i < 4; i++, now += 2499)
		ok(!fail(g, 0));
	ok(fail(g, 0));
	is_int(is(0), WR_EJECT_OUT);
	is_int(states[0].eject_until_ms, now + 10000);
	/* What others still have there says nothing new. */
	ok(!fail(g, 0));
	is_int(states[0].ejections, 1);
	free(g);
}

static void
failures_of_long_ago_do_not_come_back(void)
{
	struct wr_eject_group *g = group(2);

	/* 32 bits of milliseconds go round after 49.7 days. */
	ok(!fails(g, 0, 4));
	now += 1ull << 32;
	ok(!fail(g, 0));
	ok(!fails(g, 0, 3));
	ok(fail(g, 0));
	free(g);
}

static void
who_was_there_before_it_was_back_says_nothing(void)
{
	struct wr_eject_group *g = group(2);
	uint64_t before = now;

	ok(fails(g, 0, 5));
	now = states[0].eject_until_ms + 100;
	ok(wr_server_try(&states[0], now, now + 5000));
	ok(wr_eject_passed(&states[0], now));
	now += 100;
	for (int i = 0; i < 20; i++)
		ok(!wr_eject_failed(
		    states, g, 0, false, WR_NEWS_MUTE, before, now));
	ok(fails(g, 0, 5));
	free(g);
}

static void
the_first_failures_of_all_are_not_enough(void)
{
	struct wr_eject_group *g = group(2);

	/* The ring is empty: its zeroes are no failures, even at the time 0. */
	now = 3;
	ok(!fails(g, 0, 4));
	ok(fail(g, 0));
	free(g);
}

static void
as_many_as_are_remembered(void)
{
	struct wr_eject_group *g = group(2);

	g->conf.failures = WR_FAILURES;
	for (int i = 0; i < 5; i++) {
		ok(!fails(g, 0, WR_FAILURES - 1));
		now += 10000;
	}
	ok(!fails(g, 0, WR_FAILURES - 1));
	ok(fail(g, 0));
	free(g);
}

static void
one_session_tries_before_all_return(void)
{
	struct wr_eject_group *g = group(2);

	ok(fails(g, 0, 5));
	ok(!wr_server_try(&states[0], now, now + 5000));
	now += 10000;
	is_int(is(0), WR_EJECT_OPEN);
	ok(wr_server_try(&states[0], now, now + 5000));
	is_int(is(0), WR_EJECT_TRIED);
	ok(!wr_server_try(&states[0], now, now + 5000));
	now += 100;
	ok(!wr_eject_failed(states, g, 0, false, WR_NEWS_MUTE, now, now));
	ok(wr_eject_passed(&states[0], now));
	ok(!wr_eject_passed(&states[0], now));
	is_int(is(0), WR_EJECT_NOT);
	/* Failures from before the ejection are forgotten. */
	g->conf.window_ms = 3600000;
	now++;
	ok(!fails(g, 0, 4));
	ok(fail(g, 0));
	free(g);
}

static void
a_trial_may_fail_or_tell_nothing(void)
{
	struct wr_eject_group *g = group(2);

	ok(fails(g, 0, 5));
	now += 10000;
	ok(wr_server_try(&states[0], now, now + 5000));
	wr_eject_undecided(&states[0], now);
	is_int(is(0), WR_EJECT_OPEN);
	ok(wr_server_try(&states[0], now, now + 5000));
	ok(wr_eject_failed(states, g, 0, true, WR_NEWS_MUTE, now, now));
	is_int(is(0), WR_EJECT_OUT);
	is_int(states[0].eject_until_ms, now + 20000);
	/* Time until the trial, and in it, is not time back. */
	now += 20000 + 3600000;
	ok(wr_server_try(&states[0], now, now + 5000));
	now += 4000;
	ok(wr_eject_failed(states, g, 0, true, WR_NEWS_MUTE, now, now));
	is_int(states[0].eject_until_ms, now + 40000);
	is_int(states[0].eject_times, 3);
	now += 20000;
	/* The process that tries may be killed, or its session be quiet. */
	now += 20000;
	ok(wr_server_try(&states[0], now, now + 5000));
	now += 5001;
	is_int(is(0), WR_EJECT_NOT);
	free(g);
}

static void
each_time_is_longer_up_to_a_cap_and_forgiven(void)
{
	static const uint32_t want[] = { 10000, 20000, 40000, 60000, 60000 };
	struct wr_eject_group *g = group(2);

	ok(fails(g, 0, 5));
	for (unsigned i = 0; i < WR_COUNT(want); i++) {
		is_int(states[0].eject_ms, want[i]);
		now = states[0].eject_until_ms;
		if (i + 1 == WR_COUNT(want))
			break;
		ok(wr_server_try(&states[0], now, now + 5000));
		ok(wr_eject_failed(
		    states, g, 0, true, WR_NEWS_REFUSED, now, now));
	}
	ok(wr_server_try(&states[0], now, now + 5000));
	ok(wr_eject_passed(&states[0], now));
	/* Three good minutes forgive three of five. */
	now += 3 * 60000 + 1;
	ok(fails(g, 0, 5));
	is_int(states[0].eject_ms, 40000);
	now = states[0].eject_until_ms;
	ok(wr_server_try(&states[0], now, now + 5000));
	ok(wr_eject_passed(&states[0], now));
	now += 3600000;
	ok(fails(g, 0, 5));
	is_int(states[0].eject_ms, 10000);
	free(g);
}

static void
never_more_than_a_share(void)
{
	struct wr_eject_group *g = group(1);

	ok(!fails(g, 0, 100));
	is_int(is(0), WR_EJECT_NOT);
	free(g);
	g = group(5);
	for (uint32_t i = 0; i < 5; i++)
		(void)fails(g, i, 100);
	is_int(is(0), WR_EJECT_OUT);
	is_int(is(1), WR_EJECT_OUT);
	is_int(is(2), WR_EJECT_NOT);
	/* One that waits for its trial is not back yet. */
	now += 10000;
	is_int(is(0), WR_EJECT_OPEN);
	ok(!fails(g, 2, 100));
	ok(wr_server_try(&states[0], now, now + 5000));
	ok(!fails(g, 2, 100));
	ok(wr_eject_passed(&states[0], now));
	ok(fail(g, 2));
	/* A failed trial takes no other's place. */
	ok(wr_server_try(&states[1], now, now + 5000));
	ok(wr_eject_failed(states, g, 1, true, WR_NEWS_RESET, now, now));
	free(g);
	g = group(3);
	g->conf.max_percent = 100;
	for (uint32_t i = 0; i < 3; i++)
		ok(fails(g, i, 5));
	free(g);
}

static void
a_check_that_passes_again_opens_it(void)
{
	struct wr_eject_group *g = group(2);

	wr_eject_cut_short(&states[0], now);
	is_int(is(0), WR_EJECT_NOT);
	ok(fails(g, 0, 5));
	now += 1000;
	wr_eject_cut_short(&states[0], now);
	is_int(is(0), WR_EJECT_OPEN);
	/* Sessions that it had before say nothing new. */
	ok(!fails(g, 0, 5));
	ok(wr_server_try(&states[0], now, now + 5000));
	wr_eject_cut_short(&states[0], now);
	is_int(is(0), WR_EJECT_TRIED);
	/* It was too early: the next time is longer all the same. */
	ok(wr_eject_failed(states, g, 0, true, WR_NEWS_REFUSED, now, now));
	is_int(states[0].eject_until_ms, now + 20000);
	free(g);
}

int
main(void)
{
	only_failures_of_one_window_count();
	failures_of_long_ago_do_not_come_back();
	who_was_there_before_it_was_back_says_nothing();
	the_first_failures_of_all_are_not_enough();
	as_many_as_are_remembered();
	one_session_tries_before_all_return();
	a_trial_may_fail_or_tell_nothing();
	each_time_is_longer_up_to_a_cap_and_forgiven();
	never_more_than_a_share();
	a_check_that_passes_again_opens_it();
	return tap_done();
}
