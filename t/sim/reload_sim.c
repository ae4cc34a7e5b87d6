/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * reload_sim - play random schedules against the machine in proc/reload.
 *
 *	reload_sim [-n COUNT]	so many seeds, from 1 on (TAP)
 *	reload_sim SEED		one of them, with every event and action
 *
 * The world is fake: masters (one, two during an upgrade), processes with
 * inboxes that answer, answer late, refuse, hang, are stopped or die, and an
 * operator with a heavy hand.  After every event the promises are checked;
 * at the end the faults cease and everything must come to rest.
 */
#include "t/sim/world.h"

#include <stdlib.h>

#include "t/unit/tap.h"

#define FAULTS_MS 60000  /* faults and requests until then */
#define REST_MS   180000 /* everything must be at rest by then */

/* -- The operator ------------------------------------------------------- */

static void
ask(struct world *w, struct master *m, bool upgrade)
{
	uint64_t t = upgrade ? wr_reload_ask_upgrade(&m->r, w->now)
			     : wr_reload_ask(&m->r, w->now);

	world_check(w, t > 0 && t < TICKETS, "a ticket within bounds");
	m->asked[t] = true;
	world_act(w, m);
}

/* One random deed of the operator, or of fate. */
static void
deed(struct world *w)
{
	struct master *m = world_boss(w);
	uint32_t dice = world_dice(w, 100);

	if (m == NULL)
		return;
	if (dice < 45) {
		ask(w, m, false);
		if (world_dice(w, 4) == 0)
			ask(w, m, false);
	} else if (dice < 75) {
		world_hurt(w, m);
	} else if (dice < 82) {
		ask(w, m, true);
	} else if (dice < 85) {
		world_feed(w, m, WR_EV_WINCH, -1);
	} else if (dice < 86 && w->deadly) {
		world_feed(w, m, WR_EV_QUIT, -1);
	} else if (dice < 87 && w->deadly) {
		world_feed(w, m, WR_EV_STOP, -1);
	} else if (dice < 89) {
		world_kill_heir(w);
	} else if (dice < 90) {
		world_quit_heir(w);
	} else {
		world_fill(w, m);
	}
}

static void
schedule(struct world *w)
{
	uint64_t next = w->now + 1;

	while (w->now < FAULTS_MS) {
		world_until(w, next);
		deed(w);
		next = w->now + 1 +
		       world_dice(w, world_dice(w, 3) == 0 ? 10 : 3000);
	}
}

/* -- Rest --------------------------------------------------------------- */

static void
check_rest(struct world *w, struct master *m)
{
	struct wr_reload *r = &m->r;

	if (r->end != WR_END_NO || m->exited) {
		world_check(w, m->exited, "who was told to end has ended");
		for (int i = 0; i < WR_FLEET_SLOTS; i++)
			world_check(w, !m->proc[i].alive, "nobody is left");
		return;
	}
	world_check(w, r->state == WR_RELOAD_IDLE, "no transaction runs");
	world_check(w, r->generation != 0, "it has started");
	if (r->generation == 0)
		return;
	world_check(w, r->heir == WR_HEIR_NONE, "no upgrade runs");
	for (uint32_t k = 0; k < r->plan.workers && !r->winched; k++) {
		const struct wr_seat *seat = &r->seat[k];

		world_check(w,
		    seat->slot >= 0 &&
			r->crew[seat->slot].state == WR_CREW_READY &&
			r->crew[seat->slot].epoch == r->epoch &&
			m->proc[seat->slot].generation == r->generation,
		    "every seat has a worker on the newest value");
	}
	for (uint32_t i = 0; i < r->shards && !r->winched; i++)
		world_check(w,
		    !r->live[i] ||
			r->holder[i] == r->seat[i % r->plan.workers].slot,
		    "every shard is with its own worker");
}

static void
check_answers(struct world *w, struct master *m)
{
	for (int t = 0; t < TICKETS; t++)
		world_check(w, m->asked[t] == (m->answers[t] == 1),
		    "every ticket is answered once");
}

/* One schedule; true if every promise was kept. */
static bool
play(struct world *w, uint64_t seed, bool loud)
{
	world_open(w, seed, loud);
	schedule(w);
	w->calm = true;
	world_heal(w);
	world_until(w, REST_MS);
	for (int i = 0; i < MASTERS; i++) {
		struct master *m = &w->master[i];

		if (m->born && !m->killed && !m->silent) {
			check_rest(w, m);
			check_answers(w, m);
		}
	}
	return !w->failed;
}

int
main(int argc, char **argv)
{
	struct world *w = calloc(1, sizeof(*w));
	const char *slow = getenv("WEIR_SLOW");
	uint64_t n = slow != NULL ? 50000 : 4000, bad = 0;

	if (w == NULL)
		return 1;
	if (argc == 2) {
		ok(play(w, strtoull(argv[1], NULL, 0), true));
		free(w);
		return tap_done();
	}
	if (argc == 3)
		n = strtoull(argv[2], NULL, 0);
	(void)alarm(600);
	for (uint64_t seed = 1; seed <= n && bad < 5; seed++) {
		if (play(w, seed, false))
			continue;
		bad++;
		diag("seed %ju at %ju ms: not true that %s", (uintmax_t)seed,
		    (uintmax_t)w->failed_ms, w->failed);
	}
	diag("%ju schedules, %ju commits, %ju aborts, %ju forks, %ju heirs, "
	     "%ju upgrades",
	    (uintmax_t)n, (uintmax_t)w->commits, (uintmax_t)w->aborts,
	    (uintmax_t)w->forks, (uintmax_t)w->heirs, (uintmax_t)w->upgrades);
	ok(bad == 0);
	/* A simulation that never commits proves nothing. */
	ok(w->commits > n && w->aborts > n / 10 && w->upgrades > n / 10);
	free(w);
	return tap_done();
}
