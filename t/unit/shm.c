/* SPDX-License-Identifier: BSD-2-Clause */
#include "proc/shm.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "conf/conf.h"
#include "proc/cells.h"
#include "proc/layout.h"
#include "proxy/sticky.h"
#include "t/unit/tap.h"

static struct wr_shm *m;

/* A configuration with one upstream and these servers, and a listener. */
static struct wr_server_conf servers[4];
static struct wr_upstream_conf app;
static struct wr_listener_conf edge;
static struct wr_upstream_conf *const apps[] = { &app };
static struct wr_listener_conf *const edges[] = { &edge };

static struct wr_conf
conf(uint64_t generation, const char *const *names)
{
	struct wr_conf c = { .generation = generation,
		.upstreams = apps,
		.n_upstreams = 1,
		.listeners = edges,
		.n_listeners = 1 };

	app.name = "app";
	app.where = edge.where = "weir.conf:1";
	edge.name = "edge";
	app.servers = servers;
	app.n_servers = 0;
	for (int i = 0; names[i] != NULL; i++) {
		servers[i] =
		    (struct wr_server_conf){ .name = names[i], .weight = 1 };
		app.n_servers++;
	}
	return c;
}

static void
settle(struct wr_cells *t, struct wr_conf *c)
{
	struct wr_text errors = { 0 };

	is_int(wr_cells_settle(t, c, &errors), 0);
	is_int(errors.len, 0);
	wr_text_fini(&errors);
}

static int64_t
server(struct wr_cells *t, const char *name)
{
	return wr_cells_find(t, WR_CELL_SERVER, app.cell, name);
}

static void
a_slot_is_its_owners_and_what_it_counted_stays(void)
{
	struct wr_stats *st = m->stats;
	int a = wr_slot_take(m, WR_ROLE_WORKER, 0);
	int b = wr_slot_take(m, WR_ROLE_WORKER, 1);

	ok(a >= 0 && b >= 0 && a != b);
	*st->servers_high = 8;
	*st->listeners_high = 8;
	wr_stats_server(st, (uint32_t)a, 7)->bytes_in = 100;
	wr_stats_server(st, (uint32_t)b, 7)->bytes_in = 11;
	wr_stats_server(st, (uint32_t)a, 7)->active = 5;
	wr_stats_server(st, (uint32_t)b, 7)->active = 1;
	wr_stats_listener(st, (uint32_t)a, 3)->accepted = 9;
	st->slots[a].ends[WR_END_CLIENT_RELAY_EOF] = 4;
	st->slots[a].loop.turns = 6;
	st->slots[a].loop.turn_max_us = 70;
	st->slots[a].loop.socks = 2;
	st->slots[a].sessions = 3;
	is_int(wr_stats_server_sum(st, 7).bytes_in, 111);
	is_int(wr_stats_server_active(st, 7), 6);

	wr_slot_drop(m, (uint32_t)a);
	is_int(wr_stats_server_sum(st, 7).bytes_in, 111);
	is_int(wr_stats_server_active(st, 7), 1);
	is_int(wr_stats_server_sum(st, 7).active, 1);
	is_int(wr_stats_listener_sum(st, 3).accepted, 9);
	is_int(st->slots[WR_SLOTS].ends[WR_END_CLIENT_RELAY_EOF], 4);
	is_int(st->slots[WR_SLOTS].loop.turns, 6);
	is_int(st->slots[WR_SLOTS].loop.turn_max_us, 70);
	is_int(st->slots[WR_SLOTS].loop.socks, 0);
	is_int(wr_slot_sessions(m, (uint32_t)a), 0);

	/* The next owner starts from nothing, and adds to the same base. */
	is_int(wr_slot_take(m, WR_ROLE_WORKER, 2), a);
	is_int(st->slots[a].ends[WR_END_CLIENT_RELAY_EOF], 0);
	wr_stats_server(st, (uint32_t)a, 7)->bytes_in = 1;
	st->slots[a].loop.turn_max_us = 60;
	wr_slot_drop(m, (uint32_t)a);
	wr_slot_drop(m, (uint32_t)b);
	is_int(wr_stats_server_sum(st, 7).bytes_in, 112);
	is_int(st->slots[WR_SLOTS].loop.turn_max_us, 70);
}

static void
slots_run_out(void)
{
	int n = 0;

	while (wr_slot_take(m, WR_ROLE_WORKER, 0) >= 0)
		n++;
	is_int(n, WR_SLOTS);
	is_int(wr_slot_take(m, WR_ROLE_WORKER, 0), -ENOSPC);
	while (n-- > 0)
		wr_slot_drop(m, (uint32_t)n);
}

static void
a_child_sees_what_the_master_writes(void)
{
	int slot = wr_slot_take(m, WR_ROLE_WORKER, 0), status = -1;
	uint64_t news = 0;
	pid_t pid = fork();

	if (pid == 0) {
		wr_store(&m->stats->slots[slot].accepted, 42);
		wr_slot_wake(m, (uint32_t)slot);
		wr_slot_wake(m, (uint32_t)slot);
		(void)kill(getpid(), SIGKILL);
	}
	wr_slot_born(m, (uint32_t)slot, pid);
	(void)waitpid(pid, &status, 0);
	ok(WIFSIGNALED(status));
	is_int(m->stats->slots[slot].pid, pid);
	is_int(m->stats->slots[slot].accepted, 42);
	is_int(read(m->wake[slot], &news, sizeof(news)), sizeof(news));
	is_int(read(m->wake[slot], &news, sizeof(news)), -1);
	wr_slot_drop(m, (uint32_t)slot);
}

/* A master of another binary that is killed, and its child. */
static void
slots_that_nobody_can_reap_are_freed(void)
{
	int own = wr_slot_take(m, WR_ROLE_WORKER, 0), its = own + 1;
	pid_t master = fork(), child;
	siginfo_t info;
	int p[2];

	if (master == 0) {
		its = wr_slot_take(m, WR_ROLE_WORKER, 1);
		wr_stats_server(m->stats, (uint32_t)its, 0)->active = 3;
		(void)kill(getpid(), SIGKILL);
	}
	/* A zombie is as good as gone. */
	is_int(waitid(P_PID, (id_t)master, &info, WEXITED | WNOWAIT), 0);
	is_int(m->stats->slots[its].owner, master);
	is_int(pipe(p), 0);
	child = fork();
	if (child == 0) {
		char c;

		(void)close(p[1]);
		(void)!read(p[0], &c, 1);
		_exit(0);
	}
	wr_slot_born(m, (uint32_t)its, child);
	is_int(wr_slot_strays(m), 1);
	is_int(wr_stats_server_active(m->stats, 0), 3);
	(void)close(p[1]);
	(void)waitpid(child, NULL, 0);
	is_int(wr_slot_strays(m), 0);
	is_int(m->stats->slots[its].pid, 0);
	is_int(wr_stats_server_active(m->stats, 0), 0);
	ok(m->stats->slots[own].pid != 0);
	(void)waitpid(master, NULL, 0);
	(void)close(p[0]);
	wr_slot_drop(m, (uint32_t)own);
}

static void
names_keep_their_cells(struct wr_cells *t)
{
	struct wr_conf one = conf(1, (const char *[]){ "a", "b", NULL });
	struct wr_conf two;
	int64_t a, b;

	settle(t, &one);
	wr_cells_commit(t, &one);
	a = server(t, "a");
	b = server(t, "b");
	ok(a >= 0 && b >= 0 && a != b);
	is_int(m->stats->states[a].weight, 1);

	two = conf(2, (const char *[]){ "c", "b", NULL });
	settle(t, &two);
	is_int(server(t, "b"), b);
	is_int(server(t, "a"), a); /* still named by the running one */
	ok(server(t, "c") >= 0 && server(t, "c") != a);
	wr_cells_abort(t, 2);
	is_int(server(t, "c"), -1);
	is_int(server(t, "a"), a);
	is_int(server(t, "b"), b);
}

static void
a_cell_is_reused_when_the_last_session_is_over(struct wr_cells *t)
{
	struct wr_conf c = conf(3, (const char *[]){ "b", NULL });
	int64_t a = server(t, "a");
	int slot = wr_slot_take(m, WR_ROLE_WORKER, 0);
	struct wr_server_count *row =
	    wr_stats_server(m->stats, (uint32_t)slot, (uint32_t)a);

	row->active = 1;
	row->picks = 5;
	settle(t, &c);
	wr_cells_commit(t, &c);
	wr_cells_sweep(t, 1);
	is_int(server(t, "a"), a); /* somebody may still have generation 1 */
	wr_cells_sweep(t, 3);
	is_int(server(t, "a"), a); /* a session is there */
	row->active = 0;
	wr_cells_sweep(t, 3);
	is_int(server(t, "a"), -1);

	c = conf(4, (const char *[]){ "b", "d", NULL });
	settle(t, &c);
	is_int(server(t, "d"), a);
	is_int(wr_stats_server_sum(m->stats, (uint32_t)a).picks, 0);
	wr_cells_commit(t, &c);
	wr_slot_drop(m, (uint32_t)slot);
}

static void
the_file_rules_when_it_changed(struct wr_cells *t)
{
	struct wr_conf c = conf(5, (const char *[]){ "b", NULL });
	int64_t b = server(t, "b");
	struct wr_server_state *st = &m->stats->states[b];
	uint32_t version = st->version;

	st->want = WR_WANT_DRAIN; /* by hand, at run time */
	settle(t, &c);
	wr_cells_commit(t, &c);
	is_int(st->want, WR_WANT_DRAIN);
	is_int(st->version, version);
	c = conf(6, (const char *[]){ "b", NULL });
	servers[0].want = WR_WANT_DOWN;
	settle(t, &c);
	wr_cells_commit(t, &c);
	is_int(st->want, WR_WANT_DOWN);
	ok(st->version != version);
}

/* Generation `g`, with a table for so many clients, or without. */
static struct wr_conf
sticky(struct wr_cells *t, uint64_t g, uint32_t size)
{
	struct wr_conf c = conf(g, (const char *[]){ "b", NULL });

	app.sticky = (struct wr_sticky_conf){ .on = size > 0 ? WR_STICKY_CLIENT
							     : WR_STICKY_OFF,
		.expire_ms = 3600000,
		.size = size };
	settle(t, &c);
	return c;
}

static struct wr_sticky_table
table(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return wr_sticky_table_of(
	    m->stats, &app.sticky, (uint64_t)ts.tv_sec * 1000);
}

static uint32_t
put(uint64_t key, uint32_t id)
{
	struct wr_sticky_table x = table();
	bool evicted;

	return wr_sticky_put(&x, key, WR_STICKY_NOBODY, id, &evicted);
}

static uint32_t
got(uint64_t key)
{
	struct wr_sticky_table x = table();

	return wr_sticky_get(&x, key);
}

static void
what_is_remembered_is_kept_over_reloads(struct wr_cells *t)
{
	const uint64_t key = UINT64_C(0x1234567800000001);
	struct wr_conf c = sticky(t, 10, 1000);
	uint32_t first = app.sticky.first;

	ok(m->stats->sticky->seed[0] != 0 || m->stats->sticky->seed[1] != 0);
	wr_cells_commit(t, &c);
	is_int(app.sticky.buckets, wr_sticky_buckets(1000));
	is_int(put(key, 5), 5);
	c = sticky(t, 11, 1000);
	wr_cells_commit(t, &c);
	wr_cells_sweep(t, 11);
	is_int(app.sticky.first, first);
	is_int(got(key), 5);
	/* Of another size, it is another table that knows the same. */
	c = sticky(t, 12, 5000);
	ok(app.sticky.first != first);
	is_int(got(key), 5);
	is_int(put(key + 1, 6), 6);
	wr_cells_abort(t, 12);
	is_int(wr_sticky_used(&(struct wr_sticky_table){ .v = table().v,
		   .n = table().n,
		   .now_s = table().now_s,
		   .expire_s = 3600 }),
	    0);
	c = sticky(t, 13, 5000);
	wr_cells_commit(t, &c);
	is_int(got(key), 5);
	is_int(got(key + 1), WR_STICKY_NOBODY);
	is_int(put(key + 2, 7), 7);
	/* Back, while a process may still look at the first one. */
	wr_cells_sweep(t, 11);
	c = sticky(t, 14, 1000);
	wr_cells_commit(t, &c);
	is_int(app.sticky.first, first);
	is_int(got(key + 2), 7);
	/* Not wanted any more: gone when nobody looks at it. */
	c = sticky(t, 15, 0);
	wr_cells_commit(t, &c);
	wr_cells_sweep(t, 15);
	c = sticky(t, 16, 1000);
	wr_cells_commit(t, &c);
	is_int(got(key), WR_STICKY_NOBODY);
	wr_cells_sweep(t, 16);
	is_int(put(key, 5), 5);
}

static void
a_full_table_of_tables_refuses(struct wr_cells *t)
{
	struct wr_conf c = conf(20, (const char *[]){ "b", NULL });
	struct wr_sticky_extent *v = m->stats->sticky->v;
	struct wr_text errors = { 0 };

	v[9] = (struct wr_sticky_extent){ 1, 77, 400000, 400000 };
	wr_cells_reload(t);
	app.sticky.size = 5000000;
	is_int(wr_cells_settle(t, &c, &errors), -ENOSPC);
	is_str(errors.p,
	    "weir.conf:1: sticky.size = 5000000 finds no place in shared "
	    "memory, which has room for 11184800 clients in 1024 upstreams\n");
	wr_text_fini(&errors);
	v[9].used = 0;
	app.sticky.size = 1000;
}

static void
a_full_region_refuses_and_names_it(struct wr_cells *t)
{
	struct wr_conf c = conf(7, (const char *[]){ "b", "e", NULL });
	uint32_t high = *m->stats->servers_high;
	struct wr_text errors = { 0 };

	for (uint32_t i = 0; i < WR_SERVER_CELLS; i++)
		m->cells[WR_CELL_SERVER][i].used = 1;
	*m->stats->servers_high = WR_FILE_CELLS;
	wr_cells_reload(t);
	is_int(wr_cells_settle(t, &c, &errors), -ENOSPC);
	is_str(errors.p,
	    "weir.conf:1: \"e\" finds no place in shared memory, which is "
	    "full with 65536 servers\n");
	wr_text_fini(&errors);
	for (uint32_t i = high; i < WR_SERVER_CELLS; i++)
		m->cells[WR_CELL_SERVER][i].used = 0;
	*m->stats->servers_high = high;
	wr_cells_reload(t);
}

/* What is refused is closed: it came with an upgrade, and nobody else of this
 * process has it. */
static void
is_refused(int fd)
{
	int wake[WR_SLOTS], left = 0;

	for (int i = 0; i < WR_SLOTS; i++)
		wake[i] = i % 2 == 0 ? dup(m->wake[i]) : -1;
	ok(wr_shm_attach(fd, wake) == NULL && errno == EPROTO);
	for (int i = 0; i < WR_SLOTS; i++)
		left += wake[i] >= 0 && fcntl(wake[i], F_GETFD) >= 0;
	is_int(left, 0);
	ok(fcntl(fd, F_GETFD) < 0 && errno == EBADF);
}

static void
a_new_binary_finds_the_names(struct wr_cells *t)
{
	/* Kept until exit, as a process does; nothing frees them. */
	static struct wr_shm *other;
	static struct wr_cells *names;
	int slot;

	other = wr_shm_attach(m->fd, m->wake);
	ok(other != NULL);
	ok(other->head != m->head);
	is_int(wr_shm_binary(other), 2);
	slot = wr_slot_take(m, WR_ROLE_WORKER, 0);
	m->stats->slots[slot].binary = 1;
	ok(!wr_slot_superseded(m, (uint32_t)slot));
	wr_shm_lead(other);
	ok(wr_slot_superseded(m, (uint32_t)slot));
	m->stats->slots[slot].binary = 2;
	ok(!wr_slot_superseded(m, (uint32_t)slot));
	wr_slot_drop(m, (uint32_t)slot);
	is_int(wr_shm_start_ms(other), wr_shm_start_ms(m));
	names = wr_cells_new(other);
	ok(names != NULL);
	{
		struct wr_conf c = conf(21, (const char *[]){ "b", NULL });

		settle(names, &c);
		is_int(got(UINT64_C(0x1234567800000001)), 5);
	}
	is_int(wr_cells_find(names, WR_CELL_SERVER, app.cell, "b"),
	    server(t, "b"));
	is_int(wr_cells_find(names, WR_CELL_LISTENER, 0, "edge"), edge.cell);

	m->head->parts[1][0] += 8;
	is_refused(dup(m->fd));
	m->head->parts[1][0] -= 8;
	is_refused(open("/dev/null", O_RDWR)); /* of another size */
}

int
main(void)
{
	static struct wr_cells *t;

	m = wr_shm_new();
	if (m == NULL)
		return 1;
	a_slot_is_its_owners_and_what_it_counted_stays();
	slots_run_out();
	a_child_sees_what_the_master_writes();
	*m->stats->servers_high = 1;
	slots_that_nobody_can_reap_are_freed();
	/* Cells that only counters have touched so far. */
	*m->stats->servers_high = *m->stats->listeners_high = 0;
	t = wr_cells_new(m);
	if (t == NULL)
		return 1;
	names_keep_their_cells(t);
	a_cell_is_reused_when_the_last_session_is_over(t);
	the_file_rules_when_it_changed(t);
	what_is_remembered_is_kept_over_reloads(t);
	a_full_table_of_tables_refuses(t);
	a_full_region_refuses_and_names_it(t);
	a_new_binary_finds_the_names(t);
	return tap_done();
}
