/* SPDX-License-Identifier: BSD-2-Clause */
/* fate - what befalls processes, and what was promised all the same. */
#include "t/sim/world.h"

#include <string.h>

#include "proc/fleet.h"
#include "proxy/stats.h"

/* A shard may be without anybody for so long: 100 ms until it is lent, and
 * what messages take. */
#define UNSERVED_MS 150

/* -- Fate --------------------------------------------------------------- */

static int
somebody(struct world *w, struct master *m)
{
	int found[WR_FLEET_SLOTS];
	uint32_t n = 0;

	for (int i = 0; i < WR_FLEET_SLOTS; i++)
		if (m->proc[i].alive)
			found[n++] = i;
	return n != 0 ? found[world_dice(w, n)] : -1;
}

void
world_hurt(struct world *w, struct master *m)
{
	uint32_t n = world_dice(w, 5) == 0 ? 4 : 1;

	if (w->clean)
		return;
	while (n-- > 0) {
		int slot = somebody(w, m);
		struct proc *p;
		uint32_t dice = world_dice(w, 10);

		if (slot < 0)
			return;
		p = &m->proc[slot];
		if (dice < 5) {
			world_die(w, m, slot);
			continue;
		}
		if (p->halted || p->mute)
			continue;
		p->quiet_ms = w->now;
		if (dice < 9) {
			p->halted = true;
			if (dice < 8)
				world_go_on(w, m, slot, world_dice(w, 9000));
		} else {
			p->mute = true;
		}
	}
}

void
world_fill(struct world *w, struct master *m)
{
	int slot = somebody(w, m);

	if (slot < 0 || m->proc[slot].role != WR_ROLE_WORKER)
		return;
	m->proc[slot].full = !m->proc[slot].full;
	world_feed(w, m, m->proc[slot].full ? WR_EV_FULL : WR_EV_ROOM, slot);
}

void
world_forsake(struct master *m)
{
	m->killed = true;
	for (int i = 0; i < WR_FLEET_SLOTS; i++)
		if (!m->proc[i].confirmed)
			memset(m->proc[i].open, 0, sizeof(m->proc[i].open));
}

/* One of the two masters of an upgrade is killed. */
void
world_kill_heir(struct world *w)
{
	for (int i = 0; i < w->masters; i++) {
		struct master *m = &w->master[i], *h;

		if (m->killed || m->exited || m->heir < 0 || w->clean ||
		    m->r.heir == WR_HEIR_DONE || m->r.heir == WR_HEIR_NONE)
			continue;
		h = &w->master[m->heir];
		if (h->killed || h->exited)
			continue;
		if (world_dice(w, 3) != 0) {
			m->heir = -1;
			world_forsake(h);
			world_talk(w, m, WR_EV_HEIR_FAILED);
		} else if (!h->silent) {
			m->killed = true;
			world_talk(w, h, WR_EV_ELDER_GONE);
		}
		return;
	}
}

void
world_quit_heir(struct world *w)
{
	struct master *m = &w->master[w->masters - 1];

	if (!m->killed && !m->exited && !m->silent && !w->clean &&
	    m->r.heir >= WR_ELDER_START)
		world_feed(
		    w, m, world_dice(w, 2) == 0 ? WR_EV_QUIT : WR_EV_STOP, -1);
}

void
world_heal(struct world *w)
{
	for (int i = 0; i < w->masters; i++)
		for (int s = 0; s < WR_FLEET_SLOTS; s++) {
			struct proc *p = &w->master[i].proc[s];

			if (!p->alive || w->master[i].killed)
				continue;
			if (p->halted)
				world_go_on(w, &w->master[i], s, 1);
			if (p->full) {
				p->full = false;
				world_feed(w, &w->master[i], WR_EV_ROOM, s);
			}
		}
}

/* -- Promises ----------------------------------------------------------- */

/* What the machine believes and what processes have been told is one. */
static void
one_acceptor(struct world *w, struct master *m)
{
	for (uint32_t i = 0; i < m->r.shards; i++) {
		int n = 0, who = -1;

		for (int s = 0; s < WR_FLEET_SLOTS; s++)
			if (m->proc[s].alive && m->proc[s].open[i]) {
				n++;
				who = s;
			}
		if (n == 0)
			continue;
		world_check(w, n == 1 && m->r.holder[i] == who,
		    "one process accepts on a shard, the one we believe");
	}
}

static bool
expects_to_serve(const struct master *m, uint32_t shard)
{
	return !m->killed && !m->exited && m->r.end <= WR_END_CLOSE &&
	       m->r.heir != WR_HEIR_DONE && !m->r.winched &&
	       m->r.generation != 0 && m->r.live[shard];
}

static bool
is_served(const struct world *w, uint32_t shard)
{
	for (int i = 0; i < w->masters; i++)
		for (int s = 0; s < WR_FLEET_SLOTS; s++) {
			const struct proc *p = &w->master[i].proc[s];

			if (p->alive && p->open[shard] && !p->paused)
				return true;
		}
	return false;
}

/* Nobody accepts: then nobody could, and somebody is on the way. */
static bool
is_excused(const struct world *w, const struct master *m)
{
	bool coming = false;

	if (m->r.heir == WR_HEIR_PROBATION)
		return false;
	for (uint32_t k = 0; k < m->r.plan.workers; k++) {
		const struct wr_seat *seat = &m->r.seat[k];

		if (seat->slot >= 0 &&
		    m->r.crew[seat->slot].state == WR_CREW_READY)
			return false;
		coming |= seat->slot >= 0 || seat->forking ||
			  seat->fork_ms <= w->now + 30000;
	}
	return coming;
}

static void
served(struct world *w, struct master *m)
{
	for (uint32_t i = 0; i < m->r.shards; i++) {
		uint64_t *since = &m->unserved_ms[i];

		if (!expects_to_serve(m, i) || is_served(w, i) ||
		    is_excused(w, m)) {
			*since = 0;
			continue;
		}
		if (*since == 0)
			*since = w->now;
		world_check(w, w->now <= *since + UNSERVED_MS,
		    "every shard is served, or lent within 100 ms");
	}
}

static void
bounded(struct world *w, struct master *m)
{
	uint32_t young = 0, all = 0;

	for (int s = 0; s < WR_FLEET_SLOTS; s++) {
		const struct wr_crew *c = &m->r.crew[s];

		if (c->role != WR_ROLE_WORKER || c->state == WR_CREW_FREE)
			continue;
		all += c->state != WR_CREW_STOP;
		young += c->state == WR_CREW_START || c->state == WR_CREW_READY;
	}
	if (m->plan.workers > m->most)
		m->most = m->plan.workers;
	if (m->r.generation != 0)
		world_check(w, young <= m->r.plan.workers + 1,
		    "no more workers than wanted, and one");
	if (w->clean)
		world_check(w, all <= m->most,
		    "draining workers are had back before new ones are made");
}

void
world_promises(struct world *w)
{
	for (int i = 0; i < w->masters && w->failed == NULL; i++) {
		struct master *m = &w->master[i];

		if (m->killed || m->exited || m->silent)
			continue;
		one_acceptor(w, m);
		served(w, m);
		bounded(w, m);
		world_check(
		    w, m->r.generation == m->generation, "one committed value");
	}
}
