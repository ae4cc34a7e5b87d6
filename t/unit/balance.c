/* SPDX-License-Identifier: BSD-2-Clause */
#include "proxy/balance.h"

#include <math.h>
#include <stdlib.h>

#include "base/hash.h"
#include "fakeconf.h"
#include "fakeloop.h"
#include "proxy/budget.h"
#include "proxy/core.h"
#include "proxy/session.h"
#include "tap.h"

#define KEYS 4000

enum {
	ROUND_ROBIN,
	LEAST_CONN,
	RANDOM,
	HASH,
	SOURCE,
	PEAK_EWMA
};

static const struct wr_module *const none[] = { NULL };
static struct fake_conf f;
static struct wr_proxy px;
static struct wr_session session;
static struct wr_server_run runs[FAKE_SERVERS * 2];
static const struct wr_server_conf *sv;

static void
start(uint32_t n_servers, uint32_t balance)
{
	memset(&px, 0, sizeof(px));
	memset(runs, 0, sizeof(runs));
	memset(&session, 0, sizeof(session));
	fake_conf_init(&f, n_servers);
	f.upstream.balance = balance;
	px.loop = fake_new();
	px.stats = fake_shared();
	for (uint32_t i = 0; i < FAKE_SERVERS; i++) {
		memset(&px.stats->states[i], 0, sizeof(px.stats->states[i]));
		px.stats->servers[i].active = 0;
	}
	*px.stats->slots_high = 1;
	px.servers = runs;
	px.modules = none;
	wr_random_seed(&px.random, 42);
	session.px = &px;
}

/* The server of client number `i`, or -1. */
static int
pick(uint32_t i)
{
	struct sockaddr_in in = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(0x0a000000u + i) };

	session.client_ip = wr_ip_of((void *)&in, sizeof(in));
	return wr_upstream_pick(&px, &session, &f.upstream, 0, &sv) == WR_PICKED
		   ? (int)sv->cell
		   : -1;
}

static uint64_t *
active(uint32_t i)
{
	return &px.stats->servers[i].active;
}

static void
names_and_balancers_go_together(void)
{
	static const char *const names[] = { "round_robin", "least_conn",
		"random", "hash", "source", "peak_ewma" };

	/* The order of wr_balances, which is in the configuration. */
	for (size_t i = 0; i < WR_COUNT(names); i++)
		is_str(wr_balancers[i]->name, names[i]);
	ok(wr_balancers[WR_COUNT(names)] == NULL);
}

static void
least_conn_fills_up_by_weight(void)
{
	start(4, LEAST_CONN);
	f.servers[0].weight = 5;
	for (int i = 0; i < 80; i++) {
		int got = pick(0);
		ok(got >= 0);
		++*active((uint32_t)got);
	}
	is_int(*active(0), 50);
	for (uint32_t i = 1; i < 4; i++)
		is_int(*active(i), 10);
	/* Those that lost some get the next. */
	*active(2) = 3;
	for (int i = 0; i < 7; i++) {
		is_int(pick(0), 2);
		++*active(2);
	}
	fake_free(&px.loop);
}

static void
least_conn_takes_turns_among_equals(void)
{
	int seen[3] = { 0 };

	start(3, LEAST_CONN);
	for (int i = 0; i < 30; i++)
		seen[pick(0)]++;
	for (int i = 0; i < 3; i++)
		is_int(seen[i], 10);
	fake_free(&px.loop);
}

static void
random_is_nearly_even(void)
{
	start(4, RANDOM);
	for (int i = 0; i < 4000; i++)
		++*active((uint32_t)pick(0));
	for (uint32_t i = 0; i < 4; i++)
		ok(*active(i) > 990 && *active(i) < 1010);
	fake_free(&px.loop);
	/* By weight, too. */
	start(2, RANDOM);
	f.servers[0].weight = 3;
	for (int i = 0; i < 4000; i++)
		++*active((uint32_t)pick(0));
	ok(*active(0) > 2950 && *active(0) < 3050);
	fake_free(&px.loop);
}

static void
a_key_stays_with_its_server(uint32_t balance)
{
	static int was[KEYS];
	int n[4] = { 0 }, moved = 0, strayed = 0;

	start(4, balance);
	for (uint32_t i = 0; i < KEYS; i++)
		n[was[i] = pick(i)]++;
	for (int i = 0; i < 4; i++)
		ok(n[i] > KEYS / 4 * 9 / 10 && n[i] < KEYS / 4 * 11 / 10);
	for (uint32_t i = 0; i < KEYS; i++)
		moved += pick(i) != was[i];
	is_int(moved, 0);

	/* One goes: only its own move, and to all that are left. */
	px.stats->states[1].health = WR_HEALTH_DOWN;
	memset(n, 0, sizeof(n));
	for (uint32_t i = 0; i < KEYS; i++) {
		int now = pick(i);
		strayed += was[i] != 1 && now != was[i];
		n[now] += was[i] == 1;
	}
	is_int(strayed, 0);
	is_int(n[1], 0);
	for (int i = 0; i < 4; i++)
		ok(i == 1 || n[i] > KEYS / 12 * 8 / 10);
	/* And back. */
	px.stats->states[1].health = WR_HEALTH_UP;
	for (uint32_t i = 0; i < KEYS; i++)
		if (pick(i) != was[i])
			is_int(++moved, 0);
	fake_free(&px.loop);
}

static void
hashing_obeys_weight(void)
{
	int n[2] = { 0 };

	start(2, HASH);
	f.servers[0].weight = 3;
	for (uint32_t i = 0; i < KEYS; i++)
		n[pick(i)]++;
	ok(n[0] > KEYS * 72 / 100 && n[0] < KEYS * 78 / 100);
	fake_free(&px.loop);
}

static void
the_load_of_a_hashed_server_is_bounded(void)
{
	uint64_t most = 0;

	/* All have the same key. */
	start(4, HASH);
	int home = pick(7);
	for (int i = 0; i < 64; i++) {
		is_int(pick(7), home);
		++*active((uint32_t)home);
	}
	for (int i = 0; i < 2000; i++)
		++*active((uint32_t)pick(7));
	for (uint32_t i = 0; i < 4; i++)
		most = *active(i) > most ? *active(i) : most;
	ok(most <= 2064 * 125 / 400 + 2);
	fake_free(&px.loop);
}

static void
the_fast_server_is_preferred_until_it_is_slow(void)
{
	int n[2] = { 0 };

	start(2, PEAK_EWMA);
	wr_upstream_took(&px, 0, 1000);
	wr_upstream_took(&px, 1, 50000);
	for (int i = 0; i < 50; i++)
		n[pick(0)]++;
	is_int(n[0], 50);
	/* It becomes slow once: at once the other one is asked. */
	wr_upstream_took(&px, 0, 900000);
	is_int(pick(0), 1);
	/* With many sessions the fast one costs more than the slow one. */
	wr_upstream_took(&px, 1, 1);
	*active(1) = 1000;
	is_int(px.servers[1].ewma_us < 50001, 1);
	fake_pass(px.loop, 2 * WR_EWMA_MS);
	/* All is forgotten: who has fewer sessions. */
	is_int(pick(0), 0);
	fake_free(&px.loop);
}

static void
a_cold_server_gets_a_small_share(void)
{
	int n[2] = { 0 };

	start(2, ROUND_ROBIN);
	f.upstream.slow_start_ms = 10000;
	fake_pass(px.loop, 100000);
	px.stats->states[1].changed_ms = wr_loop_now(px.loop);
	for (int i = 0; i < 110; i++)
		n[pick(0)]++;
	is_int(n[1], 10);
	fake_pass(px.loop, 5000); /* 55 % of its share */
	memset(n, 0, sizeof(n));
	for (int i = 0; i < 155; i++)
		n[pick(0)]++;
	ok(n[1] >= 54 && n[1] <= 56);
	fake_pass(px.loop, 5000);
	memset(n, 0, sizeof(n));
	for (int i = 0; i < 100; i++)
		n[pick(0)]++;
	ok(n[1] >= 49 && n[1] <= 51);
	/* And fewer at a time, but one at least. */
	px.stats->states[1].changed_ms = wr_loop_now(px.loop);
	f.servers[0].want = WR_WANT_DRAIN;
	f.servers[1].max_conns = 50;
	*active(1) = 4;
	is_int(pick(0), 1);
	*active(1) = 5;
	is_int(pick(0), -1);
	f.servers[1].max_conns = 3;
	*active(1) = 0;
	is_int(pick(0), 1);
	fake_free(&px.loop);
}

static void
a_budget_bounds_retries(void)
{
	struct wr_budget b = { 0 };
	struct wr_retry_conf c = { .budget_percent = 20, .budget_min = 3 };
	uint64_t now_ms = 1234567;
	int taken = 0;

	for (int i = 0; i < 100; i++)
		taken += wr_budget_take(&b, &c, now_ms);
	is_int(taken, 3 * WR_BUDGET_S);
	for (int i = 0; i < 100; i++)
		wr_budget_first(&b, now_ms + 1000);
	taken = 0;
	for (int i = 0; i < 100; i++)
		taken += wr_budget_take(&b, &c, now_ms + 2000);
	is_int(taken, 20);
	/* The window slides. */
	now_ms += 3000 + 1000 * WR_BUDGET_S;
	taken = 0;
	for (int i = 0; i < 100; i++)
		taken += wr_budget_take(&b, &c, now_ms);
	is_int(taken, 3 * WR_BUDGET_S);
}

int
main(void)
{
	names_and_balancers_go_together();
	least_conn_fills_up_by_weight();
	least_conn_takes_turns_among_equals();
	random_is_nearly_even();
	a_key_stays_with_its_server(HASH);
	a_key_stays_with_its_server(SOURCE);
	hashing_obeys_weight();
	the_load_of_a_hashed_server_is_bounded();
	the_fast_server_is_preferred_until_it_is_slow();
	a_cold_server_gets_a_small_share();
	a_budget_bounds_retries();
	return tap_done();
}
