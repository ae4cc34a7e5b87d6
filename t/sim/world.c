/* SPDX-License-Identifier: BSD-2-Clause */
/* world - see world.h. */
#include "t/sim/world.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "proxy/stats.h"

static void new_master(struct world *w, int parent);

uint32_t
world_dice(struct world *w, uint32_t n)
{
	return wr_random_below(&w->random, n);
}

void
world_check(struct world *w, bool kept, const char *promise)
{
	if (kept || w->failed != NULL)
		return;
	w->failed = promise;
	w->failed_ms = w->now;
	if (w->loud)
		printf("# %8ju BROKEN: %s\n", (uintmax_t)w->now, promise);
}

static int
number(const struct world *w, const struct master *m)
{
	return (int)(m - w->master);
}

/* -- Time --------------------------------------------------------------- */

static bool
before(const struct wev *a, const struct wev *b)
{
	return a->at != b->at ? a->at < b->at : a->seq < b->seq;
}

static struct wev *
later(struct world *w, struct master *m, uint64_t ms, enum wev_kind kind)
{
	struct wev *e = &w->heap[w->n];

	if (w->n == EVENTS) {
		world_check(w, false, "events are bounded");
		e = &w->heap[--w->n];
	}
	/* Not a heap: a list of a few dozen, searched. */
	*e = (struct wev){ .at = w->now + ms,
		.seq = w->seq++,
		.kind = kind,
		.master = number(w, m),
		.slot = -1 };
	w->n++;
	return e;
}

static struct wev *
later_proc(struct world *w, struct master *m, int slot, uint64_t ms,
    enum wev_kind kind)
{
	struct wev *e = later(w, m, ms, kind);

	e->slot = slot;
	e->life = m->proc[slot].life;
	return e;
}

static void
later_say(struct world *w, struct master *m, int slot, uint64_t ms,
    enum wr_event_kind what, uint64_t generation)
{
	struct wev *e = later_proc(w, m, slot, ms, W_SAY);

	e->what = what;
	e->generation = generation;
}

static bool
pop(struct world *w, uint64_t until, struct wev *e)
{
	unsigned best = 0;

	if (w->n == 0)
		return false;
	for (unsigned i = 1; i < w->n; i++)
		if (before(&w->heap[i], &w->heap[best]))
			best = i;
	if (w->heap[best].at > until)
		return false;
	*e = w->heap[best];
	w->heap[best] = w->heap[--w->n];
	return true;
}

/* -- Processes ---------------------------------------------------------- */

static void
pump(struct world *w, struct master *m, int slot)
{
	struct proc *p = &m->proc[slot];

	if (!p->alive || p->halted || p->mute || p->pumping ||
	    p->head == p->tail)
		return;
	p->pumping = true;
	later_proc(w, m, slot, world_dice(w, 3), W_PUMP);
}

static void
born(struct world *w, struct master *m, const struct wr_act *a, int slot)
{
	struct proc *p = &m->proc[slot];
	uint32_t life = p->life + 1, dice = world_dice(w, 100);

	memset(p, 0, sizeof(*p));
	p->alive = true;
	p->life = life;
	p->role = a->role;
	p->index = a->index;
	p->generation = a->generation;
	if (w->calm || dice < 80) {
		later_say(w, m, slot, 1 + world_dice(w, 60), WR_EV_READY,
		    a->generation);
	} else if (dice < 92) {
		later_proc(w, m, slot, world_dice(w, 40), W_DIE);
	} else if (dice < 95) {
		later_say(w, m, slot, world_dice(w, 40), WR_EV_REFUSED,
		    a->generation);
	} else if (dice < 98) {
		later_say(w, m, slot, world_dice(w, 20000), WR_EV_READY,
		    a->generation);
	} else {
		p->mute = true;
		p->quiet_ms = w->now;
	}
}

static void
prepare(struct world *w, struct master *m, int slot, uint64_t generation)
{
	struct proc *p = &m->proc[slot];
	uint32_t dice = world_dice(w, 1000);

	world_check(w, p->prepared == 0, "one prepared value per process");
	p->prepared = generation;
	if (!w->calm && m->bad && dice < 500) {
		p->prepared = 0;
		later_say(
		    w, m, slot, world_dice(w, 9), WR_EV_REFUSED, generation);
	} else if (w->calm || dice < 960) {
		later_say(
		    w, m, slot, world_dice(w, 9), WR_EV_READY, generation);
	} else if (dice < 975) {
		later_proc(w, m, slot, world_dice(w, 9), W_DIE);
	} else if (dice < 990) {
		later_say(
		    w, m, slot, world_dice(w, 20000), WR_EV_READY, generation);
	} else {
		p->mute = true;
		p->quiet_ms = w->now;
	}
}

static void
end_soon(struct world *w, struct master *m, int slot, uint32_t ms)
{
	later_proc(w, m, slot, 1 + world_dice(w, ms), W_DIE)->what = WR_EV_QUIT;
}

static void
take(struct world *w, struct master *m, int slot, const struct wr_act *a)
{
	struct proc *p = &m->proc[slot];

	switch (a->kind) {
	case WR_ACT_TELL_PREPARE:
		prepare(w, m, slot, a->generation);
		break;
	case WR_ACT_TELL_COMMIT:
		world_check(w, p->prepared == a->generation,
		    "only what was prepared is committed");
		p->generation = a->generation;
		p->prepared = 0;
		break;
	case WR_ACT_TELL_ABORT:
		if (p->prepared == a->generation)
			p->prepared = 0;
		break;
	case WR_ACT_TELL_OPEN:
		world_check(w, p->generation == a->generation,
		    "who is dealt sockets is on the value that has them");
		break;
	case WR_ACT_TELL_DRAIN:
		p->draining = true;
		if (!w->clean)
			end_soon(w, m, slot, 30000);
		break;
	case WR_ACT_TELL_UNDRAIN:
		world_check(w, p->draining, "only who drains is had back");
		p->draining = false;
		p->index = a->index;
		break;
	case WR_ACT_TELL_STOP:
		end_soon(w, m, slot, 100);
		p->draining = true;
		break;
	default:
		break;
	}
}

void
world_die(struct world *w, struct master *m, int slot)
{
	struct proc *p = &m->proc[slot];

	if (!p->alive)
		return;
	p->alive = false;
	memset(p->open, 0, sizeof(p->open));
	if (!m->killed)
		world_feed(w, m, WR_EV_GONE, slot);
}

/* -- What the machine says ---------------------------------------------- */

static void
note(struct world *w, struct master *m, const struct wr_act *a)
{
	if (w->loud)
		printf("# %8ju   [%d] %s slot %d role %u index %u shard %u "
		       "generation %ju%s why %s\n",
		    (uintmax_t)w->now, number(w, m), wr_act_name(a->kind),
		    a->slot, a->role, a->index, a->shard,
		    (uintmax_t)a->generation, a->added ? " added" : "",
		    wr_no_text(a->why));
}

static void
act_build(struct world *w, struct master *m, const struct wr_act *a)
{
	uint32_t dice = world_dice(w, 100);
	struct wev *e;

	world_check(w, a->generation > m->generation, "generations grow");
	world_check(w, m->candidate == 0, "one candidate at a time");
	m->candidate = a->generation;
	m->bad = dice < 15;
	if (world_dice(w, 2) == 0)
		m->plan.workers = 1 + world_dice(w, 6);
	m->plan.replace =
	    m->generation != 0 && !w->clean && world_dice(w, 8) == 0;
	e = later(w, m, world_dice(w, 3) * world_dice(w, 50), W_ANSWER);
	e->what = dice > 92 && !w->calm ? WR_EV_FAILED : WR_EV_BUILT;
	e->generation = a->generation;
}

static void
act_bind(struct world *w, struct master *m, const struct wr_act *a)
{
	struct wev *e = later(w, m, 0, W_ANSWER);
	bool bad = world_dice(w, 100) < 5 && !w->calm;

	world_check(w, a->generation == m->candidate, "binds the candidate");
	world_check(w, a->shards >= m->plan.workers, "a shard for everybody");
	for (uint32_t i = 0; i < a->shards && !bad; i++)
		m->bound[i] = true;
	e->what = bad ? WR_EV_FAILED : WR_EV_BOUND;
	e->generation = a->generation;
}

static void
act_fork(struct world *w, struct master *m, const struct wr_act *a)
{
	struct wr_event e = { .kind = WR_EV_FORKED,
		.slot = -1,
		.role = a->role,
		.index = a->index,
		.generation =
		    m->generation != 0 ? m->generation : m->candidate };
	struct wr_act at = *a;

	w->forks++;
	at.generation = e.generation;
	for (int i = 0; i < WR_FLEET_SLOTS && e.slot < 0; i++)
		if (!m->proc[i].alive && m->r.crew[i].state == WR_CREW_FREE)
			e.slot = i;
	world_check(w, e.slot >= 0, "processes are bounded");
	if (!w->calm && world_dice(w, 50) == 0)
		e.slot = -1;
	if (e.slot >= 0)
		born(w, m, &at, e.slot);
	wr_reload_feed(&m->r, w->now, &e);
}

static void
act_tell(struct world *w, struct master *m, const struct wr_act *a)
{
	struct proc *p = &m->proc[a->slot];

	if (!p->alive)
		return;
	switch (a->kind) {
	case WR_ACT_TELL_OPEN:
		world_check(w,
		    a->shard >= WR_WORKERS_MAX || m->r.live[a->shard],
		    "only who listens is accepted from");
		world_check(w, p->open[a->shard] == a->added,
		    "nobody is dealt what it has");
		p->open[a->shard] = true;
		break;
	case WR_ACT_TELL_SHUT:
		world_check(w, p->open[a->shard], "nobody shuts what is not");
		p->open[a->shard] = false;
		break;
	case WR_ACT_TELL_DRAIN:
	case WR_ACT_TELL_STOP:
		memset(p->open, 0, sizeof(p->open));
		break;
	case WR_ACT_TELL_PAUSE:
		p->paused = true;
		break;
	case WR_ACT_TELL_RESUME:
		p->paused = false;
		break;
	case WR_ACT_TELL_CONFIRMED:
		p->confirmed = true;
		break;
	default:
		break;
	}
	world_check(w, p->tail - p->head < INBOX, "inboxes are bounded");
	p->inbox[p->tail++ % INBOX] = *a;
	pump(w, m, a->slot);
}

static void
act_kill(struct world *w, struct master *m, const struct wr_act *a)
{
	struct proc *p = &m->proc[a->slot];

	if (!p->alive)
		return;
	memset(p->open, 0, sizeof(p->open));
	/* SIGABRT does not end who is stopped. */
	if (a->signo == SIGKILL || (!p->halted && world_dice(w, 2) == 0))
		later_proc(w, m, a->slot, world_dice(w, 5), W_DIE);
}

void
world_go_on(struct world *w, struct master *m, int slot, uint64_t ms)
{
	later_proc(w, m, slot, ms, W_GO_ON);
}

void
world_talk(struct world *w, struct master *to, enum wr_event_kind what)
{
	later(w, to, 1 + world_dice(w, 5), W_TALK)->what = what;
}

static void
act_heir(struct world *w, struct master *m, enum wr_act_kind kind)
{
	struct master *h = m->heir >= 0 ? &w->master[m->heir] : NULL;

	if (kind == WR_ACT_EXEC) {
		if (w->masters == MASTERS ||
		    (!w->calm && world_dice(w, 6) == 0)) {
			world_talk(w, m, WR_EV_HEIR_FAILED);
			return;
		}
		new_master(w, number(w, m));
	} else if (h != NULL && kind == WR_ACT_HEIR_GO) {
		w->upgrades++;
		world_talk(w, h, WR_EV_ELDER_GO);
	} else if (h != NULL) {
		world_forsake(h);
		m->heir = -1;
	}
}

static void
act_elder(struct world *w, struct master *m, enum wr_act_kind kind)
{
	struct master *e = m->parent >= 0 ? &w->master[m->parent] : NULL;

	world_check(w, e != NULL, "who talks to an elder has one");
	if (e == NULL || e->exited || e->killed || e->heir != number(w, m))
		return;
	world_talk(w, e,
	    kind == WR_ACT_ELDER_READY    ? WR_EV_HEIR_READY
	    : kind == WR_ACT_ELDER_FAILED ? WR_EV_HEIR_FAILED
					  : WR_EV_HEIR_CONFIRM);
	if (kind == WR_ACT_ELDER_FAILED)
		e->heir = -1;
}

/* Nobody is turned away while another master serves the same sockets. */
static void
together(struct world *w, struct master *m)
{
	struct master *e = m->parent >= 0 ? &w->master[m->parent] : NULL;

	world_check(w, e == NULL || e->killed || e->exited || m->inherited,
	    "nobody is turned away whom another master would serve");
}

static void
act_other(struct world *w, struct master *m, const struct wr_act *a)
{
	switch (a->kind) {
	case WR_ACT_COMMIT:
		world_check(w, a->generation == m->candidate,
		    "what is committed is the candidate");
		m->generation = a->generation;
		m->candidate = 0;
		w->commits++;
		break;
	case WR_ACT_ABORT:
		world_check(w, a->generation == m->candidate,
		    "what is aborted is the candidate");
		m->candidate = 0;
		w->aborts++;
		break;
	case WR_ACT_LISTEN:
		world_check(w, m->bound[a->shard], "bound before it listens");
		break;
	case WR_ACT_RETIRE:
		together(w, m);
		if (w->calm || world_dice(w, 4) != 0)
			later(w, m, 200 + world_dice(w, 2000), W_TALK)->what =
			    WR_EV_CLOSED;
		break;
	case WR_ACT_ANSWER:
		world_check(w, a->ticket < TICKETS, "tickets within bounds");
		m->answers[a->ticket]++;
		world_check(w, m->answers[a->ticket] == 1,
		    "no ticket is answered twice");
		break;
	case WR_ACT_INHERIT:
		m->inherited = true;
		break;
	case WR_ACT_EXIT:
		m->exited = true;
		for (int i = 0; i < WR_FLEET_SLOTS; i++)
			world_check(w, !m->proc[i].alive,
			    "the master is the last to go");
		if (m->heir >= 0)
			world_talk(w, &w->master[m->heir], WR_EV_ELDER_GONE);
		break;
	default:
		break;
	}
}

static void
carry_out(struct world *w, struct master *m, const struct wr_act *a)
{
	note(w, m, a);
	switch (a->kind) {
	case WR_ACT_BUILD:
		act_build(w, m, a);
		break;
	case WR_ACT_BIND:
		act_bind(w, m, a);
		break;
	case WR_ACT_FORK:
		act_fork(w, m, a);
		break;
	case WR_ACT_KILL:
		act_kill(w, m, a);
		break;
	case WR_ACT_EXEC:
	case WR_ACT_HEIR_GO:
	case WR_ACT_HEIR_KILL:
		act_heir(w, m, a->kind);
		break;
	case WR_ACT_ELDER_READY:
	case WR_ACT_ELDER_CONFIRM:
	case WR_ACT_ELDER_FAILED:
		act_elder(w, m, a->kind);
		break;
	case WR_ACT_COMMIT:
	case WR_ACT_ABORT:
	case WR_ACT_LISTEN:
	case WR_ACT_RETIRE:
	case WR_ACT_ANSWER:
	case WR_ACT_EXIT:
	case WR_ACT_UP:
	case WR_ACT_INHERIT:
		act_other(w, m, a);
		break;
	default:
		act_tell(w, m, a);
	}
}

void
world_act(struct world *w, struct master *m)
{
	struct wr_act a;

	while (wr_reload_next(&m->r, &a))
		carry_out(w, m, &a);
	world_check(w, m->exited || wr_reload_due(&m->r) > w->now,
	    "what is due has been done");
	world_promises(w);
}

void
world_feed(struct world *w, struct master *m, enum wr_event_kind kind, int slot)
{
	struct wr_event e = { .kind = kind, .slot = slot };

	world_tell(w, m, &e);
}

void
world_tell(struct world *w, struct master *m, const struct wr_event *e)
{
	if (m->killed || m->exited)
		return;
	if (w->loud)
		printf("# %8ju [%d] %s slot %d generation %ju\n",
		    (uintmax_t)w->now, number(w, m), wr_event_name(e->kind),
		    e->slot, (uintmax_t)e->generation);
	wr_reload_feed(&m->r, w->now, e);
	world_act(w, m);
}

/* -- Time passes -------------------------------------------------------- */

static void
on_say(struct world *w, struct master *m, const struct wev *e)
{
	struct proc *p = &m->proc[e->slot];
	struct wr_event say = {
		.kind = e->what, .slot = e->slot, .generation = e->generation
	};

	if (p->halted || p->mute)
		return;
	p->started = true;
	world_tell(w, m, &say);
	pump(w, m, e->slot);
}

static void
on_answer(struct world *w, struct master *m, const struct wev *e)
{
	struct wr_event ev = { .kind = e->what,
		.slot = -1,
		.generation = e->generation,
		.plan = &m->plan };

	world_tell(w, m, &ev);
}

/* The watchdog: late beats. */
static void
on_look(struct world *w, struct master *m)
{
	for (int i = 0; i < WR_FLEET_SLOTS; i++) {
		struct proc *p = &m->proc[i];

		if (!p->alive || !(p->halted || p->mute))
			continue;
		if (p->halted && w->now > p->quiet_ms + 1000)
			world_feed(w, m, WR_EV_HALTED, i);
		if (w->now > p->quiet_ms + m->r.plan.limit_ms)
			world_feed(w, m, WR_EV_HUNG, i);
	}
	later(w, m, 500, W_LOOK);
}

static void
on_proc(struct world *w, struct master *m, const struct wev *e)
{
	struct proc *p = &m->proc[e->slot];
	struct wr_act a;

	if (p->life != e->life || !p->alive)
		return;
	switch (e->kind) {
	case W_PUMP:
		p->pumping = false;
		if (p->halted || p->mute || p->head == p->tail)
			return;
		a = p->inbox[p->head++ % INBOX];
		take(w, m, e->slot, &a);
		pump(w, m, e->slot);
		return;
	case W_SAY:
		on_say(w, m, e);
		return;
	case W_GO_ON:
		if (!p->halted)
			return;
		p->halted = false;
		if (!p->started)
			later_say(w, m, e->slot, 5, WR_EV_READY, p->generation);
		world_feed(w, m, WR_EV_WENT_ON, e->slot);
		pump(w, m, e->slot);
		return;
	default:
		/* One that ends because its drain is over may have been had
		 * back meanwhile. */
		if (e->what != WR_EV_QUIT || (p->draining && !p->halted))
			world_die(w, m, e->slot);
	}
}

static void
on_wev(struct world *w, const struct wev *e)
{
	struct master *m = &w->master[e->master];

	if (e->slot >= 0) {
		on_proc(w, m, e);
		return;
	}
	if (m->killed || m->exited)
		return;
	if (e->kind == W_ANSWER)
		on_answer(w, m, e);
	else if (e->kind == W_LOOK)
		on_look(w, m);
	else {
		/* A start is the first transaction. */
		if (e->what == WR_EV_START)
			m->asked[1] = true;
		world_feed(w, m, e->what, -1);
	}
}

/* The first master whose time has come, or NULL. */
static struct master *
next_due(struct world *w, uint64_t *at)
{
	struct master *first = NULL;

	*at = UINT64_MAX;
	for (int i = 0; i < w->masters; i++) {
		struct master *m = &w->master[i];
		uint64_t t;

		if (m->killed || m->exited || m->silent)
			continue;
		t = wr_reload_due(&m->r);
		if (t < *at) {
			*at = t;
			first = m;
		}
	}
	return first;
}

void
world_until(struct world *w, uint64_t ms)
{
	struct wev e;
	struct master *m;
	uint64_t at;

	while (w->failed == NULL) {
		m = next_due(w, &at);
		if (pop(w, at < ms ? at : ms, &e)) {
			w->now = e.at;
			on_wev(w, &e);
		} else if (at <= ms) {
			w->now = at;
			world_feed(w, m, WR_EV_TICK, -1);
		} else {
			break;
		}
	}
	w->now = ms;
}

/* -- Beginnings --------------------------------------------------------- */

static void
new_master(struct world *w, int parent)
{
	struct master *m = &w->master[w->masters++];
	struct master *elder = parent >= 0 ? &w->master[parent] : NULL;

	memset(m, 0, sizeof(*m));
	m->born = true;
	m->parent = parent;
	m->heir = -1;
	m->plan = (struct wr_plan){ .workers = 1 + world_dice(w, 6),
		.timeout_ms = 15000,
		.limit_ms = 5000,
		.grace_ms = world_dice(w, 2) * 500,
		.drain_ms = 60000 };
	if (elder != NULL) {
		w->heirs++;
		elder->heir = number(w, m);
		for (uint32_t i = 0; i < elder->r.shards; i++)
			m->bound[i] = true;
		m->silent = !w->calm && world_dice(w, 12) == 0;
	}
	wr_reload_init(&m->r, elder != NULL ? elder->r.last : 0,
	    elder != NULL ? elder->r.shards : 0, elder != NULL);
	later(w, m, 500, W_LOOK);
	if (!m->silent)
		later(w, m, 5, W_TALK)->what = WR_EV_START;
}

void
world_open(struct world *w, uint64_t seed, bool loud)
{
	wr_random_seed(&w->random, seed);
	w->seed = seed;
	w->now = 1;
	w->seq = 0;
	w->n = 0;
	w->masters = 0;
	w->loud = loud;
	w->calm = false;
	w->clean = seed % 4 == 0;
	w->deadly = seed % 3 == 0;
	w->failed = NULL;
	/* The first start is to succeed: later ones are what is played. */
	w->calm = true;
	new_master(w, -1);
	world_until(w, 1000);
	w->calm = w->clean;
}

struct master *
world_boss(struct world *w)
{
	for (int i = w->masters - 1; i >= 0; i--) {
		struct master *m = &w->master[i];

		if (!m->killed && !m->exited && !m->silent &&
		    m->r.heir < WR_ELDER_START)
			return m->r.end == WR_END_NO ? m : NULL;
	}
	return NULL;
}
