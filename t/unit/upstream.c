/* SPDX-License-Identifier: BSD-2-Clause */
#include "proxy/upstream.h"

#include <errno.h>
#include <stdlib.h>

#include "base/hash.h"
#include "fakeconf.h"
#include "fakeloop.h"
#include "proxy/core.h"
#include "proxy/server.h"
#include "tap.h"

static bool panics;

static bool
on_none(struct wr_proxy *px, const struct wr_upstream_conf *u, const void *conf)
{
	return px != NULL && u != NULL && conf == NULL && panics;
}

static const struct wr_module panic = { .name = "panic", .on_none = on_none };
static const struct wr_module *const modules[] = { &panic, NULL };

static struct fake_conf f;
static struct wr_proxy px;
static struct wr_server_run runs[FAKE_SERVERS * 2];
static const struct wr_server_conf *sv;

static void
start(uint32_t n_servers)
{
	memset(&px, 0, sizeof(px));
	memset(runs, 0, sizeof(runs));
	fake_conf_init(&f, n_servers);
	px.loop = fake_new();
	px.stats = fake_shared();
	px.servers = runs;
	px.modules = modules;
	panics = false;
}

static void
finish(void)
{
	fake_free(&px.loop);
}

static enum wr_picked
pick(uint64_t tried)
{
	return wr_upstream_pick(&px, NULL, &f.upstream, tried, &sv);
}

static struct wr_server_state *
state(uint32_t i)
{
	return &px.stats->states[i];
}

static void
the_turn_is_smooth_and_weighted(void)
{
	static const char want[] = "aabacaa";
	char got[8] = "";

	start(3);
	f.servers[0].weight = 5;
	for (int i = 0; i < 7; i++) {
		is_int(pick(0), WR_PICKED);
		got[i] = (char)('a' + sv->cell);
	}
	is_str(got, want);
	finish();
}

static void
in_a_full_turn_each_gets_its_weight(void)
{
	struct wr_random r;
	unsigned bad = 0;

	wr_random_seed(&r, 7);
	for (int round = 0; round < 200; round++) {
		uint32_t n = 1 + wr_random_below(&r, FAKE_SERVERS), total = 0;
		uint32_t picks[FAKE_SERVERS] = { 0 };

		start(n);
		for (uint32_t i = 0; i < n; i++) {
			f.servers[i].weight = 1 + wr_random_below(&r, 20);
			total += f.servers[i].weight;
		}
		for (uint32_t i = 0; i < 2 * total; i++)
			if (pick(0) == WR_PICKED)
				picks[sv->cell]++;
		for (uint32_t i = 0; i < n; i++)
			bad += picks[i] != 2 * f.servers[i].weight;
		finish();
	}
	is_int(bad, 0);
}

static void
backups_are_for_when_no_primary_is_usable(void)
{
	start(3);
	f.servers[0].backup = true;
	for (int i = 0; i < 10; i++)
		ok(pick(0) == WR_PICKED && sv->cell != 0);
	f.servers[1].want = WR_WANT_DRAIN;
	state(2)->health = WR_HEALTH_DOWN;
	ok(pick(0) == WR_PICKED && sv->cell == 0);
	/* Or were tried in vain. */
	f.servers[1].want = WR_WANT_UP;
	ok(pick(wr_server_bit(&f.servers[1])) == WR_PICKED && sv->cell == 0);
	is_int(
	    pick(wr_server_bit(&f.servers[0]) | wr_server_bit(&f.servers[1])),
	    WR_PICK_TRIED);
	finish();
}

static void
what_is_not_usable_is_not_picked(void)
{
	start(1);
	f.servers[0].want = WR_WANT_DRAIN;
	is_int(pick(0), WR_PICK_NONE);
	f.servers[0].want = WR_WANT_DOWN;
	is_int(pick(0), WR_PICK_NONE);
	f.servers[0].want = WR_WANT_UP;
	f.servers[0].weight = 0;
	is_int(pick(0), WR_PICK_NONE);
	f.servers[0].weight = 1;
	f.servers[0].addr.len = 0; /* a name that nobody has resolved yet */
	is_int(pick(0), WR_PICK_FULL);
	state(0)->health = WR_HEALTH_UP; /* its addresses are servers */
	is_int(pick(0), WR_PICK_NONE);
	f.servers[0].addr.len = sizeof(struct sockaddr_in);
	state(0)->health = WR_HEALTH_DOWN;
	is_int(pick(0), WR_PICK_NONE);
	state(0)->health = WR_HEALTH_CHECKING;
	is_int(pick(0), WR_PICK_FULL);
	state(0)->health = WR_HEALTH_UP;
	is_int(pick(0), WR_PICKED);
	finish();
}

static void
the_limit_counts_sessions_of_all_processes(void)
{
	start(2);
	f.servers[0].max_conns = 3;
	f.servers[1].backup = true;
	*px.stats->slots_high = 2;
	wr_stats_server(px.stats, 0, 0)->active = 1;
	wr_stats_server(px.stats, 1, 0)->active = 1;
	ok(pick(0) == WR_PICKED && sv->cell == 0);
	wr_stats_server(px.stats, 1, 0)->active = 2;
	/* A full primary is waited for: a backup is for its absence. */
	is_int(pick(0), WR_PICK_FULL);
	*px.stats->slots_high = 1;
	finish();
}

static void
ejected_servers_are_left_alone_and_tried_by_one(void)
{
	uint64_t now_ms;

	start(2);
	now_ms = wr_loop_now(px.loop);
	state(0)->eject_until_ms = now_ms + 100;
	for (int i = 0; i < 5; i++)
		ok(pick(0) == WR_PICKED && sv->cell == 1);
	state(1)->eject_until_ms = now_ms + 100;
	is_int(pick(0), WR_PICK_NONE);
	panics = true;
	is_int(pick(0), WR_PICKED);
	/* Nobody panics about one that failed its check. */
	state(0)->health = state(1)->health = WR_HEALTH_DOWN;
	is_int(pick(0), WR_PICK_NONE);

	panics = false;
	state(0)->health = WR_HEALTH_UP;
	fake_pass(px.loop, 101);
	ok(pick(0) == WR_PICKED && sv->cell == 0);
	now_ms = wr_loop_now(px.loop);
	ok(wr_server_try(state(0), now_ms, now_ms + 1000));
	is_int(pick(0), WR_PICK_NONE);
	state(0)->eject_trial_ms = 1; /* it went well */
	is_int(pick(0), WR_PICKED);
	finish();
}

static void
a_fallback_stands_in(void)
{
	static struct wr_server_conf other_server;
	static struct wr_upstream_conf other;

	start(1);
	other_server = f.servers[0];
	other_server.cell = 5;
	other = f.upstream;
	other.servers = &other_server;
	f.upstream.fallback = &other;
	ok(pick(0) == WR_PICKED && sv->cell == 0);
	f.servers[0].want = WR_WANT_DOWN;
	ok(pick(0) == WR_PICKED && sv->cell == 5);
	/* Rather the other group than a server that is ejected. */
	panics = true;
	f.servers[0].want = WR_WANT_UP;
	state(0)->eject_until_ms = wr_loop_now(px.loop) + 100;
	ok(pick(0) == WR_PICKED && sv->cell == 5);
	other_server.want = WR_WANT_DOWN;
	ok(pick(0) == WR_PICKED && sv->cell == 0);
	f.servers[0].want = WR_WANT_DOWN;
	/* A ring does not turn for ever. */
	other.fallback = &f.upstream;
	other_server.want = WR_WANT_DOWN;
	is_int(pick(0), WR_PICK_NONE);
	finish();
}

static void
who_takes_over_a_cell_begins_anew(void)
{
	start(2);
	px.uses = 1;
	is_int(pick(0), WR_PICKED);
	wr_upstream_took(&px, 0, 5000);
	wr_upstream_took(&px, 1, 7000);
	runs[0].said_ms = runs[1].said_ms = 9;
	runs[0].turn = -5000;
	/* A reload in which both stay, and one in which s0 has gone. */
	px.uses++;
	is_int(pick(0), WR_PICKED);
	is_int(runs[0].ewma_us, 5000);
	is_int(runs[0].said_ms, 9);
	wr_stats_wipe_server(px.stats, 0);
	px.uses++;
	is_int(pick(0), WR_PICKED);
	is_int(runs[0].ewma_us, 0);
	is_int(runs[0].said_ms, 0);
	ok(runs[0].turn > -1000);
	is_int(runs[1].ewma_us, 7000);
	is_int(runs[1].said_ms, 9);
	finish();
}

static void
errors_are_the_servers_the_worlds_or_ours(void)
{
	is_int(wr_trouble_of(-ECONNREFUSED), WR_TEMPORARY);
	is_int(wr_trouble_of(-ETIMEDOUT), WR_TEMPORARY);
	is_int(wr_trouble_of(-EHOSTUNREACH), WR_TEMPORARY);
	is_int(wr_trouble_of(-EADDRNOTAVAIL), WR_OURS);
	is_int(wr_trouble_of(-EMFILE), WR_OURS);
	is_int(wr_trouble_of(-EACCES), WR_PERMANENT);
	is_int(wr_trouble_end(-ENOENT), WR_END_SERVER_CONNECT_REFUSED);
	is_int(wr_trouble_end(-ENETUNREACH), WR_END_SERVER_CONNECT_UNREACHABLE);
	is_int(wr_trouble_end(-EMFILE), WR_END_WEIR_CONNECT_FAILED);
}

int
main(void)
{
	the_turn_is_smooth_and_weighted();
	in_a_full_turn_each_gets_its_weight();
	backups_are_for_when_no_primary_is_usable();
	what_is_not_usable_is_not_picked();
	the_limit_counts_sessions_of_all_processes();
	ejected_servers_are_left_alone_and_tried_by_one();
	a_fallback_stands_in();
	who_takes_over_a_cell_begins_anew();
	errors_are_the_servers_the_worlds_or_ours();
	return tap_done();
}
