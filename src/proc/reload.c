/* SPDX-License-Identifier: BSD-2-Clause */
/* reload - events in, actions out, and the transaction; see reload.h. */
#include "proc/reload.h"

#include <assert.h>
#include <string.h>

#include "proc/fleet.h"

/* How long a commit that needs more workers waits for draining ones, which
 * can be had back, to be on the new value. */
#define DRAINING_WAIT_MS 1000

/* -- Actions ------------------------------------------------------------ */

struct wr_act *
wr_reload_act(struct wr_reload *r, enum wr_act_kind kind)
{
	struct wr_act *a = &r->acts[r->tail % WR_ACTS_MAX];

	assert(r->tail - r->head < WR_ACTS_MAX);
	r->tail++;
	*a = (struct wr_act){ .kind = kind, .slot = -1, .seat = -1 };
	return a;
}

void
wr_reload_tell(struct wr_reload *r, enum wr_act_kind kind, int slot)
{
	struct wr_act *a = wr_reload_act(r, kind);

	a->slot = slot;
	a->generation = r->generation;
	a->role = r->crew[slot].role;
	a->index = r->crew[slot].index;
}

struct wr_act *
wr_reload_answer(struct wr_reload *r, uint64_t ticket, enum wr_no why, int seat)
{
	struct wr_act *a = wr_reload_act(r, WR_ACT_ANSWER);

	a->ticket = ticket;
	a->why = why;
	a->seat = seat;
	return a;
}

bool
wr_reload_next(struct wr_reload *r, struct wr_act *a)
{
	if (r->head == r->tail)
		return false;
	*a = r->acts[r->head++ % WR_ACTS_MAX];
	return true;
}

/* -- The transaction ---------------------------------------------------- */

static void
begin(struct wr_reload *r, uint64_t ticket)
{
	assert(r->state == WR_RELOAD_IDLE);
	r->ticket = ticket;
	r->state = WR_RELOAD_BUILD;
	r->candidate = ++r->last;
	wr_reload_act(r, WR_ACT_BUILD)->generation = r->candidate;
}

void
wr_reload_idle(struct wr_reload *r)
{
	uint64_t ticket = r->queued;

	if (r->state != WR_RELOAD_IDLE || r->end != WR_END_NO)
		return;
	if (ticket != 0) {
		r->queued = 0;
		begin(r, ticket);
	} else if (r->heir_ticket != 0 && r->heir == WR_HEIR_NONE) {
		wr_heir_exec(r);
	}
}

/* The end of a transaction, either way. */
static void
finish(struct wr_reload *r, enum wr_no why, int seat)
{
	for (int k = 0; k < WR_SEATS; k++) {
		r->seat[k].must = false;
		r->seat[k].deaths = 0;
	}
	(void)wr_reload_answer(r, r->ticket, why, seat);
	r->ticket = 0;
	r->candidate = 0;
	r->state = WR_RELOAD_IDLE;
}

void
wr_reload_abort(struct wr_reload *r, enum wr_no why, int seat)
{
	uint64_t generation = r->candidate;

	if (r->state == WR_RELOAD_IDLE)
		return;
	for (int i = 0; i < WR_FLEET_SLOTS; i++) {
		struct wr_crew *c = &r->crew[i];

		if (c->state == WR_CREW_FREE)
			continue;
		if (c->asked == generation || c->prepared == generation) {
			wr_reload_tell(r, WR_ACT_TELL_ABORT, i);
			r->acts[(r->tail - 1) % WR_ACTS_MAX].generation =
			    generation;
			c->asked = c->prepared = 0;
		}
	}
	wr_reload_act(r, WR_ACT_ABORT)->generation = generation;
	finish(r, why, seat);
	if (r->generation == 0)
		wr_end_stop(r, 1);
	else
		wr_reload_idle(r);
}

void
wr_reload_prepare(struct wr_reload *r, int slot, uint64_t generation)
{
	struct wr_crew *c = &r->crew[slot];

	/* One that has not yet answered for an older value must not take that
	 * answer for this one's. */
	if (c->asked != 0) {
		wr_reload_tell(r, WR_ACT_TELL_ABORT, slot);
		r->acts[(r->tail - 1) % WR_ACTS_MAX].generation = c->asked;
	}
	c->asked = generation;
	c->asked_ms = r->now;
	c->prepared = 0;
	wr_reload_tell(r, WR_ACT_TELL_PREPARE, slot);
	r->acts[(r->tail - 1) % WR_ACTS_MAX].generation = generation;
}

static void
on_built(struct wr_reload *r, const struct wr_event *e)
{
	struct wr_act *a;

	if (r->state != WR_RELOAD_BUILD || e->generation != r->candidate)
		return;
	assert(e->plan->workers > 0 && e->plan->workers <= WR_WORKERS_MAX);
	r->next = *e->plan;
	r->state = WR_RELOAD_BIND;
	a = wr_reload_act(r, WR_ACT_BIND);
	a->generation = r->candidate;
	a->shards = r->next.workers > r->shards ? r->next.workers : r->shards;
}

static void
on_bound(struct wr_reload *r, const struct wr_event *e)
{
	if (r->state != WR_RELOAD_BIND || e->generation != r->candidate)
		return;
	r->state = WR_RELOAD_PREPARE;
	r->prepare_ms = r->now;
	/* At start there is nobody to ask: seats are filled by the fleet. */
	for (int i = 0; i < WR_FLEET_SLOTS; i++) {
		enum wr_crew_state st = r->crew[i].state;

		if (st == WR_CREW_READY || st == WR_CREW_DRAIN)
			wr_reload_prepare(r, i, r->candidate);
	}
}

static void
on_failed(struct wr_reload *r, const struct wr_event *e)
{
	if (e->generation != r->candidate)
		return;
	if (r->state == WR_RELOAD_BUILD)
		wr_reload_abort(r, WR_NO_BUILD, -1);
	else if (r->state == WR_RELOAD_BIND)
		wr_reload_abort(r, WR_NO_BIND, -1);
}

static void
commit(struct wr_reload *r)
{
	uint64_t generation = r->candidate;
	bool first = r->generation == 0;

	wr_reload_act(r, WR_ACT_COMMIT)->generation = generation;
	r->generation = generation;
	r->plan = r->next;
	if (r->plan.workers > r->shards)
		r->shards = r->plan.workers;
	if (r->plan.replace && !first)
		r->epoch++;
	r->winched = false;
	for (int i = 0; i < WR_FLEET_SLOTS; i++) {
		struct wr_crew *c = &r->crew[i];

		if (c->state == WR_CREW_FREE || c->prepared != generation)
			continue;
		c->prepared = 0;
		c->generation = generation;
		wr_reload_tell(r, WR_ACT_TELL_COMMIT, i);
	}
	wr_fleet_resize(r);
	finish(r, WR_NO_NONE, -1);
	if (first)
		wr_heir_started(r);
	wr_reload_idle(r);
}

/* Does the commit have to wait for whoever sits here? */
static bool
seat_waits(const struct wr_reload *r, int k)
{
	const struct wr_seat *seat = &r->seat[k];
	const struct wr_crew *c;

	if (seat->slot < 0)
		return seat->must || r->generation == 0;
	c = &r->crew[seat->slot];
	if (c->state == WR_CREW_STOP)
		return true;
	return c->state != WR_CREW_READY ||
	       (c->prepared != r->candidate && c->generation != r->candidate);
}

/* Draining workers that could be had back and have not answered yet. */
static bool
draining_wait(const struct wr_reload *r)
{
	if (r->next.workers <= r->plan.workers && !r->winched)
		return false;
	if (r->next.replace || r->now >= r->prepare_ms + DRAINING_WAIT_MS)
		return false;
	for (int i = 0; i < WR_FLEET_SLOTS; i++)
		if (r->crew[i].asked == r->candidate &&
		    wr_fleet_can_return(r, i))
			return true;
	return false;
}

/* Somebody who sits does not answer. */
static bool
is_silent(const struct wr_reload *r, int k)
{
	int slot = r->seat[k].slot;

	return slot >= 0 && r->crew[slot].asked == r->candidate &&
	       r->now >= r->crew[slot].asked_ms + r->next.timeout_ms;
}

static void
look(struct wr_reload *r)
{
	bool wait = false;

	if (r->state != WR_RELOAD_PREPARE)
		return;
	for (int k = 0; k < WR_SEATS; k++) {
		if (!wr_fleet_has_seat(r, k))
			continue;
		if (r->seat[k].deaths >= 2) {
			wr_reload_abort(r, WR_NO_DIED, k);
			return;
		}
		if (is_silent(r, k)) {
			wr_reload_abort(r, WR_NO_SILENT, k);
			return;
		}
		wait |= seat_waits(r, k);
	}
	if (!wait && !draining_wait(r))
		commit(r);
}

static uint64_t
due(const struct wr_reload *r)
{
	uint64_t t = UINT64_MAX;

	if (r->state != WR_RELOAD_PREPARE)
		return t;
	if (draining_wait(r))
		t = r->prepare_ms + DRAINING_WAIT_MS;
	for (int k = 0; k < WR_SEATS; k++) {
		int slot = r->seat[k].slot;
		uint64_t at;

		if (slot < 0 || r->crew[slot].asked != r->candidate)
			continue;
		at = r->crew[slot].asked_ms + r->next.timeout_ms;
		if (at < t)
			t = at;
	}
	return t;
}

/* -- What processes answer ---------------------------------------------- */

static void
on_ready(struct wr_reload *r, const struct wr_event *e)
{
	struct wr_crew *c = &r->crew[e->slot];
	uint64_t newest = r->generation != 0 ? r->generation : r->candidate;

	if (c->state == WR_CREW_FREE || c->state == WR_CREW_STOP)
		return;
	if (c->asked != 0 && c->asked != e->generation)
		return; /* an answer to what was since taken back */
	if (c->asked == 0 && c->state != WR_CREW_START)
		return;
	if (c->asked != 0 && e->generation == r->candidate) {
		c->asked = 0;
		c->prepared = e->generation;
		return;
	}
	if (e->generation == newest) {
		if (c->asked != 0) {
			c->asked = 0;
			c->generation = e->generation;
			wr_reload_tell(r, WR_ACT_TELL_COMMIT, e->slot);
		}
		if (c->state == WR_CREW_START)
			wr_fleet_ready(r, e->slot);
		return;
	}
	/* Forked before the last commit: bring it up to date first. */
	if (c->state == WR_CREW_START)
		wr_reload_prepare(r, e->slot, newest);
	else
		c->asked = 0;
}

static void
on_refused(struct wr_reload *r, const struct wr_event *e)
{
	struct wr_crew *c = &r->crew[e->slot];
	int seat = wr_fleet_seat_of(r, e->slot);

	if (c->state == WR_CREW_FREE || c->state == WR_CREW_STOP)
		return;
	if (c->asked != e->generation && c->state != WR_CREW_START)
		return;
	c->asked = 0;
	if (r->state == WR_RELOAD_PREPARE && e->generation == r->candidate) {
		if (seat >= 0 && r->seat[seat].slot == e->slot)
			wr_reload_abort(r, WR_NO_PROCESS, seat);
		return;
	}
	/* It cannot do what the others do already; start afresh. */
	if (c->state == WR_CREW_START)
		wr_fleet_kill(r, e->slot, 9);
}

/* -- Use ---------------------------------------------------------------- */

void
wr_reload_init(
    struct wr_reload *r, uint64_t generation, uint32_t shards, bool elder)
{
	assert(shards <= WR_WORKERS_MAX);
	memset(r, 0, sizeof(*r));
	r->last = generation;
	r->shards = shards;
	for (uint32_t i = 0; i < shards; i++)
		r->live[i] = true;
	if (elder)
		r->heir = WR_ELDER_START;
	wr_fleet_init(r);
}

static void
crew_event(struct wr_reload *r, const struct wr_event *e)
{
	struct wr_crew *c;

	assert(e->slot >= 0 && e->slot < WR_FLEET_SLOTS);
	c = &r->crew[e->slot];
	if (c->state == WR_CREW_FREE)
		return;
	switch (e->kind) {
	case WR_EV_READY:
		on_ready(r, e);
		break;
	case WR_EV_REFUSED:
		on_refused(r, e);
		break;
	case WR_EV_GONE:
		wr_fleet_gone(r, e->slot);
		break;
	case WR_EV_HALTED:
		if (c->halted_ms == 0)
			c->halted_ms = r->now;
		break;
	case WR_EV_WENT_ON:
		c->halted_ms = 0;
		break;
	case WR_EV_FULL:
		if (c->full_ms == 0)
			c->full_ms = r->now;
		break;
	case WR_EV_ROOM:
		c->full_ms = 0;
		break;
	default:
		assert(e->kind == WR_EV_HUNG);
		wr_fleet_hung(r, e->slot);
	}
}

static void
dispatch(struct wr_reload *r, const struct wr_event *e)
{
	switch (e->kind) {
	case WR_EV_START:
		begin(r, ++r->tickets);
		break;
	case WR_EV_QUIT:
		wr_end_quit(r);
		break;
	case WR_EV_STOP:
		wr_end_stop(r, 0);
		break;
	case WR_EV_WINCH:
		wr_end_winch(r);
		break;
	case WR_EV_CLOSED:
		wr_end_closed(r);
		break;
	case WR_EV_BUILT:
		on_built(r, e);
		break;
	case WR_EV_BOUND:
		on_bound(r, e);
		break;
	case WR_EV_FAILED:
		on_failed(r, e);
		break;
	case WR_EV_FORKED:
		wr_fleet_forked(r, e);
		break;
	case WR_EV_HEIR_READY:
	case WR_EV_HEIR_CONFIRM:
	case WR_EV_HEIR_FAILED:
	case WR_EV_ELDER_GO:
	case WR_EV_ELDER_GONE:
		wr_heir_event(r, e->kind);
		break;
	case WR_EV_TICK:
		break;
	default:
		crew_event(r, e);
	}
}

/* What becomes possible by one step is done in the next. */
static void
settle(struct wr_reload *r)
{
	uint32_t before;

	do {
		before = r->tail;
		wr_fleet_run(r);
		look(r);
		wr_heir_run(r);
		wr_fleet_deal(r, false);
	} while (r->tail != before);
}

void
wr_reload_feed(struct wr_reload *r, uint64_t now, const struct wr_event *e)
{
	assert(now >= r->now && now > 0);
	r->now = now;
	dispatch(r, e);
	settle(r);
}

uint64_t
wr_reload_ask(struct wr_reload *r, uint64_t now)
{
	enum wr_no why = WR_NO_NONE;
	uint64_t ticket;

	r->now = now;
	if (r->end != WR_END_NO)
		why = WR_NO_STOPPING;
	else if (r->heir != WR_HEIR_NONE)
		why = WR_NO_UPGRADE;
	if (why != WR_NO_NONE) {
		(void)wr_reload_answer(r, ++r->tickets, why, -1);
		return r->tickets;
	}
	if (r->queued != 0)
		return r->queued;
	ticket = r->queued = ++r->tickets;
	wr_reload_idle(r);
	settle(r);
	return ticket;
}

uint64_t
wr_reload_ask_upgrade(struct wr_reload *r, uint64_t now)
{
	enum wr_no why = WR_NO_NONE;
	uint64_t ticket;

	r->now = now;
	if (r->end != WR_END_NO)
		why = WR_NO_STOPPING;
	else if (r->heir != WR_HEIR_NONE || r->heir_ticket != 0)
		why = WR_NO_UPGRADE;
	if (why != WR_NO_NONE) {
		wr_reload_answer(r, ++r->tickets, why, -1)->upgrade = true;
		return r->tickets;
	}
	ticket = r->heir_ticket = ++r->tickets;
	wr_reload_idle(r);
	settle(r);
	return ticket;
}

uint64_t
wr_reload_due(const struct wr_reload *r)
{
	uint64_t t = due(r), fleet = wr_fleet_due(r), heir = wr_heir_due(r);

	if (fleet < t)
		t = fleet;
	return heir < t ? heir : t;
}

/* -- Names -------------------------------------------------------------- */

static const char *const EVENTS[WR_EVENTS] = {
	[WR_EV_START] = "start",
	[WR_EV_QUIT] = "quit",
	[WR_EV_STOP] = "stop",
	[WR_EV_WINCH] = "winch",
	[WR_EV_BUILT] = "built",
	[WR_EV_BOUND] = "bound",
	[WR_EV_FAILED] = "failed",
	[WR_EV_FORKED] = "forked",
	[WR_EV_READY] = "ready",
	[WR_EV_REFUSED] = "refused",
	[WR_EV_GONE] = "gone",
	[WR_EV_CLOSED] = "closed",
	[WR_EV_HALTED] = "halted",
	[WR_EV_WENT_ON] = "went on",
	[WR_EV_FULL] = "full",
	[WR_EV_ROOM] = "room",
	[WR_EV_HUNG] = "hung",
	[WR_EV_HEIR_READY] = "heir ready",
	[WR_EV_HEIR_CONFIRM] = "heir confirm",
	[WR_EV_HEIR_FAILED] = "heir failed",
	[WR_EV_ELDER_GO] = "elder go",
	[WR_EV_ELDER_GONE] = "elder gone",
	[WR_EV_TICK] = "tick",
};

static const char *const ACTS[WR_ACTS] = {
	[WR_ACT_BUILD] = "build",
	[WR_ACT_BIND] = "bind",
	[WR_ACT_COMMIT] = "commit",
	[WR_ACT_ABORT] = "abort",
	[WR_ACT_LISTEN] = "listen",
	[WR_ACT_RETIRE] = "retire",
	[WR_ACT_FORK] = "fork",
	[WR_ACT_TELL_PREPARE] = "tell prepare",
	[WR_ACT_TELL_COMMIT] = "tell commit",
	[WR_ACT_TELL_ABORT] = "tell abort",
	[WR_ACT_TELL_OPEN] = "tell open",
	[WR_ACT_TELL_SHUT] = "tell shut",
	[WR_ACT_TELL_PAUSE] = "tell pause",
	[WR_ACT_TELL_RESUME] = "tell resume",
	[WR_ACT_TELL_CONFIRMED] = "tell confirmed",
	[WR_ACT_TELL_DRAIN] = "tell drain",
	[WR_ACT_TELL_UNDRAIN] = "tell undrain",
	[WR_ACT_TELL_STOP] = "tell stop",
	[WR_ACT_KILL] = "kill",
	[WR_ACT_ANSWER] = "answer",
	[WR_ACT_UP] = "up",
	[WR_ACT_EXEC] = "exec",
	[WR_ACT_HEIR_GO] = "heir go",
	[WR_ACT_HEIR_KILL] = "heir kill",
	[WR_ACT_ELDER_READY] = "elder ready",
	[WR_ACT_ELDER_CONFIRM] = "elder confirm",
	[WR_ACT_ELDER_FAILED] = "elder failed",
	[WR_ACT_INHERIT] = "inherit",
	[WR_ACT_EXIT] = "exit",
};

static const char *const NOS[] = {
	[WR_NO_NONE] = "done",
	[WR_NO_BUILD] = "the configuration was refused",
	[WR_NO_BIND] = "an address cannot be had",
	[WR_NO_PROCESS] = "refused it",
	[WR_NO_DIED] = "died twice while it got ready",
	[WR_NO_SILENT] = "did not answer within reload_timeout",
	[WR_NO_FORK] = "a process could not be forked",
	[WR_NO_UPGRADE] = "an upgrade runs",
	[WR_NO_STOPPING] = "weir is stopping",
	[WR_NO_HEIR] = ("the new binary failed (the error log says why); "
			"the old one serves on"),
	[WR_NO_HEIR_SILENT] =
	    "the new binary was silent; the old one serves on",
};

const char *
wr_no_text(enum wr_no why)
{
	assert(why < WR_COUNT(NOS));
	return NOS[why];
}

const char *
wr_act_name(enum wr_act_kind kind)
{
	assert(kind < WR_ACTS);
	return ACTS[kind];
}

const char *
wr_event_name(enum wr_event_kind kind)
{
	assert(kind < WR_EVENTS);
	return EVENTS[kind];
}
