/* SPDX-License-Identifier: BSD-2-Clause */
#include "proxy/sticky.h"

#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "base/hash.h"
#include "fakeconf.h"
#include "fakeloop.h"
#include "proxy/balance.h"
#include "proxy/core.h"
#include "proxy/server.h"
#include "tap.h"

#define NOBODY WR_STICKY_NOBODY
#define KEY    UINT64_C(0x0123456789abcdef)

static struct wr_sticky_table t;
static bool evicted;

static void
table(uint32_t buckets)
{
	t = (struct wr_sticky_table){
		.n = buckets, .now_s = 1000, .expire_s = 60
	};
	t.v = mmap(NULL, (buckets + 16) * sizeof(*t.v), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (t.v == MAP_FAILED)
		abort();
}

static uint64_t
key_of(uint32_t i)
{
	return wr_hash_u64(i + 1);
}

/* -- One process --------------------------------------------------------- */

static void
it_is_remembered_until_it_was_not_used_for_so_long(void)
{
	table(4);
	is_int(wr_sticky_get(&t, KEY), NOBODY);
	is_int(wr_sticky_put(&t, KEY, NOBODY, 7, &evicted), 7);
	ok(!evicted);
	t.now_s += 59;
	is_int(wr_sticky_get(&t, KEY), 7);
	t.now_s += 59;
	is_int(wr_sticky_get(&t, KEY), 7);
	is_int(wr_sticky_used(&t), 1);
	t.now_s += 60;
	is_int(wr_sticky_get(&t, KEY), NOBODY);
	is_int(wr_sticky_used(&t), 0);
	/* It comes again, to the place that it had. */
	is_int(wr_sticky_put(&t, KEY, NOBODY, 8, &evicted), 8);
	is_int(wr_sticky_get(&t, KEY), 8);
	is_int(wr_sticky_used(&t), 1);
	/* A clock that was read late is no reason to forget. */
	t.now_s -= 3;
	is_int(wr_sticky_get(&t, KEY), 8);
}

static void
years_pass(void)
{
	table(1);
	t.now_s = UINT32_MAX - 5;
	is_int(wr_sticky_put(&t, KEY, NOBODY, 7, &evicted), 7);
	t.now_s += 10;
	is_int(wr_sticky_get(&t, KEY), 7);
	t.now_s += 61;
	is_int(wr_sticky_get(&t, KEY), NOBODY);
}

static void
many_keys_are_told_apart(void)
{
	unsigned bad = 0;

	table(wr_sticky_buckets(2000));
	for (uint32_t i = 0; i < 2000; i++) {
		(void)wr_sticky_put(&t, key_of(i), NOBODY, i, &evicted);
		bad += evicted;
	}
	/* Hashes are not even: a few meet in full buckets. */
	ok(bad < 60);
	for (uint32_t i = 0; i < 2000; i++) {
		uint32_t id = wr_sticky_get(&t, key_of(i));

		ok(id == i || id == NOBODY);
	}
	is_int(wr_sticky_used(&t), 2000 - bad);
}

static void
the_oldest_of_a_full_bucket_goes(void)
{
	table(1);
	for (uint32_t i = 0; i < WR_STICKY_WAYS; i++) {
		t.now_s++;
		(void)wr_sticky_put(&t, key_of(i), NOBODY, i, &evicted);
		ok(!evicted);
	}
	t.now_s++;
	is_int(wr_sticky_get(&t, key_of(0)), 0); /* is used, so 1 is oldest */
	is_int(wr_sticky_put(&t, key_of(99), NOBODY, 99, &evicted), 99);
	ok(evicted);
	is_int(wr_sticky_get(&t, key_of(1)), NOBODY);
	is_int(wr_sticky_get(&t, key_of(0)), 0);
	is_int(wr_sticky_get(&t, key_of(99)), 99);
	/* Those that have expired are missed by nobody. */
	t.now_s += 100;
	(void)wr_sticky_put(&t, key_of(100), NOBODY, 100, &evicted);
	ok(!evicted);
}

/* -- Others -------------------------------------------------------------- */

static void
who_was_faster_is_heard(void)
{
	table(1);
	(void)wr_sticky_put(&t, KEY, NOBODY, 7, &evicted);
	is_int(wr_sticky_put(&t, KEY, NOBODY, 8, &evicted), 7);
	is_int(wr_sticky_get(&t, KEY), 7);
	is_int(wr_sticky_put(&t, KEY, 7, 8, &evicted), 8);
	is_int(wr_sticky_put(&t, KEY, 7, 9, &evicted), 8);
	is_int(wr_sticky_get(&t, KEY), 8);
}

/* What a process leaves that is killed while it gives place 0 to KEY. */
static void
a_dead_writer_leaves_nothing_wrong(void)
{
	struct wr_sticky_place *p;
	uint64_t done, other = key_of(3), old;

	table(1);
	p = &t.v[0].v[0];
	(void)wr_sticky_put(&t, KEY, NOBODY, 7, &evicted);
	done = p->word;
	is_int(p->key, KEY);
	/* It has claimed the place; the key is the old one's still. */
	*p = (struct wr_sticky_place){ other, done | UINT64_C(1) << 51 };
	is_int(wr_sticky_get(&t, other), NOBODY);
	is_int(wr_sticky_get(&t, KEY), NOBODY);
	/* Or KEY already.  Whoever comes meanwhile may hear what it was to
	 * be; soon the place is free. */
	p->key = KEY;
	is_int(wr_sticky_get(&t, KEY), NOBODY);
	is_int(wr_sticky_put(&t, KEY, NOBODY, 8, &evicted), 7);
	t.now_s += 2;
	is_int(wr_sticky_put(&t, KEY, NOBODY, 8, &evicted), 8);
	ok(!evicted && p->key == KEY && t.v[0].v[1].word == 0);
	is_int(wr_sticky_get(&t, KEY), 8);
	/* A process that was stopped goes on, and writes its key over it. */
	old = p->word;
	p->key = other;
	is_int(wr_sticky_get(&t, other), NOBODY);
	is_int(wr_sticky_get(&t, KEY), NOBODY);
	ok(p->word == old);
}

static void
a_claim_is_not_taken_over_at_once(void)
{
	table(1);
	for (uint32_t i = 0; i < WR_STICKY_WAYS; i++)
		(void)wr_sticky_put(&t, key_of(i), NOBODY, i, &evicted);
	for (uint32_t i = 0; i < WR_STICKY_WAYS; i++)
		t.v[0].v[i].word |= UINT64_C(1) << 51;
	is_int(wr_sticky_put(&t, KEY, NOBODY, 9, &evicted), 9);
	is_int(wr_sticky_get(&t, KEY), NOBODY);
	is_int(wr_sticky_used(&t), 0);
	t.now_s += 2;
	is_int(wr_sticky_put(&t, KEY, NOBODY, 9, &evicted), 9);
	is_int(wr_sticky_get(&t, KEY), 9);
}

#define CHILDREN 4
#define KEYS     200

/* A key only ever has this id, so that a place that is mixed up shows. */
static uint32_t
right_id(uint32_t i)
{
	return (i * 7919 + 13) & 0xffff;
}

static void
hammer(unsigned seed, unsigned *bad, unsigned rounds)
{
	struct wr_random r;

	wr_random_seed(&r, seed);
	for (unsigned n = 0; n < rounds; n++) {
		uint32_t i = wr_random_below(&r, KEYS), id;

		id = wr_sticky_get(&t, key_of(i));
		if (id == NOBODY)
			id = wr_sticky_put(
			    &t, key_of(i), NOBODY, right_id(i), &evicted);
		/* Of a claim 12 bits of the key are compared, no more. */
		if (id != right_id(i))
			__atomic_fetch_add(bad, 1, __ATOMIC_RELAXED);
	}
}

static pid_t
start(unsigned seed, unsigned *bad, unsigned rounds)
{
	pid_t pid = fork();

	if (pid < 0)
		abort();
	if (pid == 0) {
		hammer(seed, bad, rounds);
		_exit(0);
	}
	return pid;
}

static void
processes_hammer_and_are_killed(void)
{
	unsigned *bad, wrong = 0;
	pid_t pids[CHILDREN];

	/* Fewer places than keys: each is given away all the time. */
	table(8);
	bad = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (bad == MAP_FAILED)
		abort();
	for (unsigned round = 0; round < 30; round++) {
		for (unsigned i = 0; i < CHILDREN; i++)
			pids[i] = start(round * 10 + i, bad,
			    i % 2 == 0 ? 20000 : UINT32_MAX);
		for (unsigned i = 0; i < CHILDREN; i += 2)
			(void)waitpid(pids[i], NULL, 0);
		for (unsigned i = 1; i < CHILDREN; i += 2) {
			(void)kill(pids[i], SIGKILL);
			(void)waitpid(pids[i], NULL, 0);
		}
		t.now_s++;
	}
	diag("%u of 1200000 heard of another key", *bad);
	ok(*bad < 100);
	for (uint32_t i = 0; i < KEYS; i++) {
		uint32_t id = wr_sticky_get(&t, key_of(i));

		wrong += id != NOBODY && id != right_id(i);
	}
	is_int(wrong, 0);
	/* Nothing is lost for good. */
	t.now_s += 2;
	for (uint32_t i = 0; i < KEYS; i++)
		(void)wr_sticky_put(
		    &t, key_of(i), NOBODY, right_id(i), &evicted);
	is_int(wr_sticky_used(&t), 8 * WR_STICKY_WAYS);
}

struct race {
	unsigned here, go, said[CHILDREN];
};

static void
race(struct race *r, unsigned rounds, unsigned me)
{
	for (unsigned n = 0; n < rounds; n++) {
		__atomic_fetch_add(&r[n].here, 1, __ATOMIC_SEQ_CST);
		while (__atomic_load_n(&r[n].here, __ATOMIC_SEQ_CST) < CHILDREN)
			(void)sched_yield();
		r[n].said[me] =
		    wr_sticky_put(&t, key_of(n), NOBODY, 100 + me, &evicted);
	}
	_exit(0);
}

static void
new_clients_that_come_everywhere_at_once_go_to_one_server(void)
{
	enum {
		ROUNDS = 2000
	};
	struct race *r = mmap(NULL, ROUNDS * sizeof(*r), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	unsigned torn = 0, lost = 0;
	pid_t pids[CHILDREN];

	if (r == MAP_FAILED)
		abort();
	table(wr_sticky_buckets(4 * ROUNDS));
	for (unsigned i = 0; i < CHILDREN; i++) {
		pids[i] = fork();
		if (pids[i] == 0)
			race(r, ROUNDS, i);
	}
	for (unsigned i = 0; i < CHILDREN; i++)
		(void)waitpid(pids[i], NULL, 0);
	for (unsigned n = 0; n < ROUNDS; n++) {
		uint32_t id = wr_sticky_get(&t, key_of(n));

		lost += id == NOBODY;
		for (unsigned i = 0; i < CHILDREN; i++)
			torn += r[n].said[i] != id;
	}
	is_int(lost, 0);
	is_int(torn, 0);
	is_int(wr_sticky_used(&t), ROUNDS);
}

static void
another_size_begins_with_what_was_known(void)
{
	struct wr_sticky_table small;
	unsigned n = 0, old = 0;

	table(wr_sticky_buckets(1000));
	small = t;
	for (uint32_t i = 0; i < 1000; i++) {
		small.now_s = 1000 + i / 20;
		(void)wr_sticky_put(&small, key_of(i), NOBODY, i, &evicted);
	}
	table(wr_sticky_buckets(4000));
	t.now_s = small.now_s;
	wr_sticky_copy(&t, &small);
	is_int(wr_sticky_used(&t), wr_sticky_used(&small));
	for (uint32_t i = 0; i < 1000; i++)
		n += wr_sticky_get(&t, key_of(i)) ==
		     wr_sticky_get(&small, key_of(i));
	is_int(n, 1000);
	/* The youngest, if there is not room for all. */
	table(2);
	t.now_s = ++small.now_s;
	while (wr_sticky_get(&small, key_of(old)) == NOBODY)
		old++;
	wr_sticky_copy(&t, &small);
	is_int(wr_sticky_used(&t), 2 * WR_STICKY_WAYS);
	is_int(wr_sticky_get(&t, key_of(old)), old);
}

/* -- Picks --------------------------------------------------------------- */

static const struct wr_module *const modules[] = { NULL };
static struct fake_conf f;
static struct wr_proxy px;
static struct wr_server_run runs[WR_SERVER_CELLS];
static struct wr_session s;
static const struct wr_server_conf *sv;

static void
begin(uint32_t n_servers)
{
	memset(&px, 0, sizeof(px));
	memset(runs, 0, sizeof(runs));
	fake_conf_init(&f, n_servers);
	px.loop = fake_new();
	px.stats = fake_shared();
	px.servers = runs;
	px.uses = 1;
	px.modules = modules;
	f.upstream.sticky = (struct wr_sticky_conf){
		.on = WR_STICKY_CLIENT, .expire_ms = 3600000, .buckets = 64
	};
}

static void
finish(void)
{
	fake_free(&px.loop);
}

static struct wr_server_state *
state(uint32_t i)
{
	return &px.stats->states[i];
}

/* The server that a client gets, or -1. */
static int
go(const char *ip)
{
	struct wr_addr a;

	memset(&s, 0, sizeof(s));
	s.px = &px;
	if (wr_addr_parse(&a, wr_str_of(ip), 80) < 0)
		abort();
	s.client_ip = wr_ip_of(&a.sa, a.len);
	if (wr_upstream_pick(&px, &s, &f.upstream, 0, &sv) != WR_PICKED)
		return -1;
	return (int)sv->cell;
}

static void
a_client_comes_back_to_its_server(void)
{
	const struct wr_upstream_count *n;
	int a, b;

	begin(3);
	a = go("10.0.0.1");
	b = go("10.0.0.2");
	ok(a != b);
	for (int i = 0; i < 5; i++) {
		is_int(go("10.0.0.1"), a);
		is_int(go("10.0.0.2"), b);
	}
	/* IPv6 by its whole address. */
	a = go("[2001:db8::1]");
	ok(go("[2001:db8::2]") != a);
	is_int(go("[2001:db8::1]"), a);
	n = wr_stats_upstream(px.stats, 0, 0);
	is_int(n->sticky_misses, 4);
	is_int(n->sticky_hits, 11);
	is_int(n->sticky_evicted, 0);
	/* Without it, round robin. */
	f.upstream.sticky.on = WR_STICKY_OFF;
	a = go("10.0.0.1");
	ok(go("10.0.0.1") != a);
	finish();
}

static void
a_server_that_is_not_usable_loses_its_clients(void)
{
	int a, b;

	begin(2);
	a = go("10.0.0.1");
	state((uint32_t)a)->health = WR_HEALTH_DOWN;
	b = go("10.0.0.1");
	ok(b == 1 - a);
	/* It has moved: it stays when the first one is back. */
	state((uint32_t)a)->health = WR_HEALTH_UP;
	for (int i = 0; i < 4; i++)
		is_int(go("10.0.0.1"), b);
	state((uint32_t)b)->eject_until_ms = UINT64_MAX;
	is_int(go("10.0.0.1"), a);
	state((uint32_t)b)->eject_until_ms = 0;
	is_int(go("10.0.0.1"), a);
	f.servers[a].max_conns = 1;
	wr_stats_server(px.stats, 0, (uint32_t)a)->active = 1;
	is_int(go("10.0.0.1"), b);
	finish();
}

static void
a_draining_server_keeps_its_clients(void)
{
	int a;

	begin(2);
	a = go("10.0.0.1");
	f.servers[a].want = WR_WANT_DRAIN;
	is_int(go("10.0.0.1"), a);
	/* Others do not come to it. */
	is_int(go("10.0.0.2"), 1 - a);
	is_int(go("10.0.0.3"), 1 - a);
	f.servers[a].want = WR_WANT_UP;
	f.servers[a].weight = 0;
	is_int(go("10.0.0.1"), a);
	state((uint32_t)a)->want = WR_WANT_DOWN;
	is_int(go("10.0.0.1"), 1 - a);
	finish();
}

static void
a_cell_that_another_server_has_is_not_remembered(void)
{
	int a;

	begin(2);
	a = go("10.0.0.1");
	is_int(go("10.0.0.1"), a);
	wr_stats_wipe_server(px.stats, (uint32_t)a);
	(void)go("10.0.0.2");
	is_int(wr_stats_upstream(px.stats, 0, 0)->sticky_hits, 1);
	(void)go("10.0.0.1");
	is_int(wr_stats_upstream(px.stats, 0, 0)->sticky_hits, 1);
	finish();
}

static void
to_find_a_server_is_not_to_look_at_all_of_them(void)
{
	const uint32_t n = 1000;
	size_t bytes = n * sizeof(struct wr_server_conf);
	struct wr_server_conf *all;

	begin(1);
	all = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (all == MAP_FAILED)
		abort();
	for (uint32_t i = 0; i < n; i++) {
		all[i] = f.servers[0];
		all[i].cell = 2 * i + 1;
		all[i].want = i == n - 1 ? WR_WANT_UP : WR_WANT_DOWN;
	}
	f.upstream.servers = all;
	f.upstream.n_servers = n;
	is_int(go("10.0.0.1"), 2 * n - 1);
	/* From here on, whoever looks at another one dies. */
	if (mprotect(all, bytes / 2, PROT_NONE) != 0)
		abort();
	is_int(go("10.0.0.1"), 2 * n - 1);
	is_int(wr_stats_upstream(px.stats, 0, 0)->sticky_hits, 1);
	(void)munmap(all, bytes);
	finish();
}

static void
a_server_that_has_joined_is_found_as_long_as_it_is_there(void)
{
	struct wr_join *x;
	int cell;

	begin(1);
	f.servers[0].want = WR_WANT_DOWN;
	if (wr_joined_init(&px.joined, px.stats) < 0)
		abort();
	x = &px.stats->joins[3];
	x->member = 1;
	x->max_conns = WR_OFF;
	x->ip = wr_ip_of(&f.servers[0].addr.sa, f.servers[0].addr.len);
	px.stats->roll->high = 4;
	state(WR_FILE_CELLS + 3)->weight = 1;
	wr_joined_use(&px.joined, &f.conf);
	cell = go("10.0.0.1");
	is_int(cell, WR_FILE_CELLS + 3);
	is_int(go("10.0.0.1"), cell);
	is_int(wr_stats_upstream(px.stats, 0, 0)->sticky_hits, 1);
	x->member = 0;
	wr_joined_look(&px.joined);
	is_int(go("10.0.0.1"), -1);
	wr_joined_fini(&px.joined);
	finish();
}

static void
a_backup_is_left_only_if_it_is_to_be(void)
{
	begin(2);
	f.servers[1].backup = true;
	state(0)->health = WR_HEALTH_DOWN;
	is_int(go("10.0.0.1"), 1);
	state(0)->health = WR_HEALTH_UP;
	is_int(go("10.0.0.1"), 1);
	is_int(go("10.0.0.2"), 0);
	f.upstream.on_up = WR_FATE_CLOSE;
	state(0)->health = WR_HEALTH_DOWN;
	is_int(go("10.0.0.1"), 1);
	state(0)->health = WR_HEALTH_UP;
	is_int(go("10.0.0.1"), 0);
	finish();
}

static void
who_has_no_address_is_not_remembered(void)
{
	begin(2);
	memset(&s, 0, sizeof(s));
	s.px = &px;
	s.client_ip.family = AF_UNIX;
	for (int i = 0; i < 4; i++)
		is_int(
		    wr_upstream_pick(&px, &s, &f.upstream, 0, &sv), WR_PICKED);
	is_int(wr_stats_upstream(px.stats, 0, 0)->sticky_misses, 0);
	is_int(wr_stats_upstream(px.stats, 0, 0)->sticky_hits, 0);
	finish();
}

int
main(void)
{
	it_is_remembered_until_it_was_not_used_for_so_long();
	years_pass();
	many_keys_are_told_apart();
	the_oldest_of_a_full_bucket_goes();
	who_was_faster_is_heard();
	a_dead_writer_leaves_nothing_wrong();
	a_claim_is_not_taken_over_at_once();
	processes_hammer_and_are_killed();
	new_clients_that_come_everywhere_at_once_go_to_one_server();
	another_size_begins_with_what_was_known();
	a_client_comes_back_to_its_server();
	a_server_that_is_not_usable_loses_its_clients();
	a_draining_server_keeps_its_clients();
	a_cell_that_another_server_has_is_not_remembered();
	to_find_a_server_is_not_to_look_at_all_of_them();
	a_server_that_has_joined_is_found_as_long_as_it_is_there();
	a_backup_is_left_only_if_it_is_to_be();
	who_has_no_address_is_not_remembered();
	return tap_done();
}
