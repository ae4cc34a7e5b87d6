/* SPDX-License-Identifier: BSD-2-Clause */
#include "proxy/roster.h"

#include <stdlib.h>
#include <unistd.h>

#include "fakeloop.h"
#include "proc/shm.h"
#include "proxy/control.h"
#include "proxy/module.h"
#include "tap.h"

const struct wr_module *const wr_modules[] = { NULL };

static struct wr_shm *m;
static struct wr_control ct;
static struct wr_joined worker;
static uint32_t slot;

static struct wr_upstream_conf app = {
	.name = "app", .cell = 3, .servers_max = 2
};
static struct wr_upstream_conf *const apps[] = { &app };
static const struct wr_upstream_conf *by_cell[] = { &app };
static const struct wr_conf conf = {
	.upstreams = apps, .n_upstreams = 1, .upstreams_by_cell = by_cell
};
static const struct wr_conf empty = { 0 };

static uint32_t
take_slot(unsigned role)
{
	int i = wr_slot_take(m, role, 0);

	wr_slot_born(m, (uint32_t)i, getpid());
	return (uint32_t)i;
}

static void
start(void)
{
	if (m == NULL)
		m = wr_shm_new();
	*m->stats->roll = (struct wr_roll){ 0 };
	memset(m->stats->joins, 0, 4 * sizeof(struct wr_join));
	ct = (struct wr_control){ .loop = fake_new(),
		.stats = m->stats,
		.slot = take_slot(WR_ROLE_CONTROL),
		.conf = &conf };
	slot = take_slot(WR_ROLE_WORKER);
	is_int(wr_roster_start(&ct), 0);
	is_int(wr_joined_init(&worker, m->stats), 0);
	wr_joined_use(&worker, &conf);
}

static void
stop(void)
{
	wr_joined_fini(&worker);
	wr_roster_stop(&ct);
	is_int(fake_left(ct.loop), 0);
	fake_free(&ct.loop);
	for (uint32_t i = 0; i < *m->stats->slots_high; i++)
		if (m->stats->slots[i].pid != 0)
			wr_slot_drop(m, i);
}

static void
look(void)
{
	wr_joined_look(&worker);
	wr_store(&m->stats->slots[slot].joins_seen, worker.seen);
}

static const struct wr_server_conf *
join(const char *name)
{
	struct wr_newcomer n = { .name = name,
		.ip = { .ip = { 10, 0, 0, 1 }, .port = 80, .family = AF_INET },
		.weight = 5,
		.max_conns = WR_OFF };

	return wr_roster_join(&ct, &app, &n);
}

static void
who_joins_is_a_server_of_its_group(void)
{
	const struct wr_server_conf *sv;
	char text[WR_ADDR_TEXT];

	start();
	ok(wr_servers_first(&worker, &app) == NULL);
	ok(!wr_joined_stale(&worker));
	ok(join("a") != NULL && wr_joined_stale(&worker));
	look();
	sv = wr_servers_first(&worker, &app);
	ok(sv != NULL && wr_servers_next(&worker, &app, sv) == NULL);
	is_str(sv->name, "a");
	is_str(wr_addr_text(&sv->addr, text, sizeof(text)), "10.0.0.1:80");
	ok(sv->weight == 5 && sv->upstream == &app);
	ok(sv->cell >= WR_FILE_CELLS);
	stop();
}

static void
no_more_than_servers_max_join(void)
{
	start();
	ok(join("a") != NULL && join("b") != NULL);
	ok(join("c") == NULL);
	stop();
}

static void
a_cell_waits_until_nobody_uses_it(void)
{
	const struct wr_server_conf *a, *b;
	struct wr_server_count *n;

	start();
	a = join("a");
	look();
	n = wr_stats_server(m->stats, slot, a->cell);
	n->active = 1;
	wr_roster_leave(&ct, a);
	/* The worker has not looked. */
	fake_pass(ct.loop, 1000);
	b = join("b");
	ok(b->cell != a->cell);
	wr_roster_leave(&ct, b);
	look();
	ok(wr_servers_first(&worker, &app) == NULL);
	/* It has, but a session is still there. */
	fake_pass(ct.loop, 1000);
	b = join("b");
	ok(b->cell != a->cell);
	n->active = 0;
	look();
	fake_pass(ct.loop, 1000);
	n->picks = 7;
	is_int(join("c")->cell, a->cell);
	/* And it begins with nothing. */
	is_int(n->picks, 0);
	stop();
}

static void
one_control_at_a_time_decides(void)
{
	static struct wr_control heir;
	const struct wr_server_conf *sv;

	start();
	ok(join("a") != NULL);
	heir = (struct wr_control){ .loop = ct.loop,
		.stats = m->stats,
		.slot = take_slot(WR_ROLE_CONTROL),
		.conf = &conf };
	is_int(wr_roster_start(&heir), 0);
	ok(!heir.roster.owns);
	ok(wr_servers_first(&heir.roster.joined, &app) != NULL);
	/* Killed while it made one join. */
	m->stats->joins[1].used = 1;
	*m->stats->roll = (struct wr_roll){ .version = m->stats->roll->version,
		.owner = m->stats->roll->owner,
		.high = 2 };
	wr_timer_stop(ct.loop, &ct.roster.timer);
	wr_slot_drop(m, ct.slot);
	fake_pass(ct.loop, 100);
	ok(heir.roster.owns);
	look();
	sv = wr_servers_first(&worker, &app);
	ok(sv != NULL && wr_servers_next(&worker, &app, sv) == NULL);
	fake_pass(ct.loop, 1000);
	ok(!m->stats->joins[1].used);
	/* Its group is gone. */
	heir.conf = &empty;
	wr_roster_use(&heir);
	look();
	wr_joined_use(&worker, &empty);
	wr_store(&m->stats->slots[slot].joins_seen, worker.seen);
	fake_pass(ct.loop, 1000);
	ok(!m->stats->joins[0].used);
	wr_roster_stop(&heir);
	stop();
}

int
main(void)
{
	who_joins_is_a_server_of_its_group();
	no_more_than_servers_max_join();
	a_cell_waits_until_nobody_uses_it();
	one_control_at_a_time_decides();
	return tap_done();
}
