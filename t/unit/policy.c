/* SPDX-License-Identifier: BSD-2-Clause */
#include "proxy/policy.h"

#include <stdlib.h>

#include "fakeconf.h"
#include "fakeloop.h"
#include "proxy/core.h"
#include "tap.h"

static const struct wr_module *const modules[] = { NULL };
/* The generation before, and the one after it. */
static struct fake_conf old, new;
static const struct wr_upstream_conf *const old_strict[] = { &old.upstream };
static const struct wr_upstream_conf *const new_strict[] = { &new.upstream };
static struct wr_doom dooms[FAKE_SERVERS];
static struct wr_proxy px;

static void
start(void)
{
	memset(&px, 0, sizeof(px));
	memset(dooms, 0, sizeof(dooms));
	fake_conf_init(&old, 3);
	fake_conf_init(&new, 3);
	px.loop = fake_new();
	px.stats = fake_shared();
	px.modules = modules;
	px.dooms = dooms;
	for (int i = 0; i < WR_STATES; i++)
		wr_list_init(&px.in[i]);
}

static void
finish(void)
{
	wr_policy_stop(&px);
	is_int(fake_left(px.loop), 0);
	fake_free(&px.loop);
}

/* What `on_...` says decides whether the group is strict. */
static void
use(void)
{
	old.conf.strict = old_strict;
	old.conf.n_strict = old.upstream.on_down || old.upstream.on_remove;
	new.conf.strict = new_strict;
	new.conf.n_strict = new.upstream.on_down || new.upstream.on_remove;
	px.gen = &new.gen;
	wr_policy_use(&px, &old.conf);
}

static void
sessions_of_a_removed_server_are_doomed(void)
{
	start();
	old.upstream.on_remove = new.upstream.on_remove = WR_FATE_CLOSE;
	new.upstream.n_servers = 2;
	use();
	is_int(dooms[0].why, WR_END_NONE);
	is_int(dooms[1].why, WR_END_NONE);
	is_int(dooms[2].why, WR_END_WEIR_RELAY_REMOVED);
	finish();
}

/* It is the new file that counts, strict or not before. */
static void
the_fate_is_that_of_the_new_configuration(void)
{
	start();
	new.upstream.on_remove = WR_FATE_CLOSE;
	new.upstream.n_servers = 2;
	use();
	is_int(dooms[2].why, WR_END_WEIR_RELAY_REMOVED);
	finish();

	start();
	old.upstream.on_remove = WR_FATE_CLOSE;
	new.upstream.n_servers = 2;
	use();
	is_int(dooms[2].why, WR_END_NONE);
	finish();
}

static void
a_server_that_is_back_is_spared_even_if_nobody_is_strict(void)
{
	start();
	old.upstream.on_remove = new.upstream.on_remove = WR_FATE_CLOSE;
	new.upstream.n_servers = 2;
	use();
	old.upstream.on_remove = new.upstream.on_remove = WR_FATE_KEEP;
	use();
	is_int(dooms[2].why, WR_END_WEIR_RELAY_REMOVED);
	new.upstream.n_servers = 3;
	use();
	is_int(dooms[2].why, WR_END_NONE);
	is_int(px.first_doom, 0);
	finish();
}

static void
who_is_down_is_spared_when_the_group_is_no_longer_strict(void)
{
	start();
	new.upstream.on_down = WR_FATE_CLOSE;
	px.stats->states[1].health = WR_HEALTH_DOWN;
	use();
	is_int(dooms[1].why, WR_END_WEIR_RELAY_DOWN);
	/* Told again, it is not doomed again: its time goes on. */
	fake_pass(px.loop, 100);
	wr_policy_look(&px);
	is_int(dooms[1].from_ms, wr_loop_now(px.loop) - 100);
	old.upstream.on_down = WR_FATE_CLOSE;
	new.upstream.on_down = WR_FATE_KEEP;
	use();
	is_int(dooms[1].why, WR_END_NONE);
	finish();
}

/* Who has the cell of a server that went has nothing to do with it. */
static void
a_cell_that_is_used_again_is_not_doomed(void)
{
	start();
	old.upstream.on_remove = new.upstream.on_remove = WR_FATE_CLOSE;
	new.upstream.n_servers = 2;
	use();
	is_int(dooms[2].why, WR_END_WEIR_RELAY_REMOVED);
	old.upstream.on_remove = new.upstream.on_remove = WR_FATE_KEEP;
	old.upstream.n_servers = 2;
	new.upstream.cell = 5;
	new.upstream.n_servers = 3;
	px.stats->server_cells[2].parent = 5;
	use();
	is_int(dooms[2].why, WR_END_NONE);
	finish();
}

int
main(void)
{
	sessions_of_a_removed_server_are_doomed();
	the_fate_is_that_of_the_new_configuration();
	a_server_that_is_back_is_spared_even_if_nobody_is_strict();
	who_is_down_is_spared_when_the_group_is_no_longer_strict();
	a_cell_that_is_used_again_is_not_doomed();
	return tap_done();
}
