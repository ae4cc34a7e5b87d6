/* SPDX-License-Identifier: BSD-2-Clause */
/* fleet - processes, their seats and their shards; see fleet.h. */
#include "proc/fleet.h"

#include <assert.h>
#include <signal.h>

#include "conf/key.h"
#include "proxy/stats.h"

#define LEND_MS   100  /* without its worker, a shard is lent to another */
#define STEADY_MS 1000 /* a death after so long a life is no crash loop */
#define ABORT_MS  500  /* from SIGABRT to SIGKILL */
#define STOP_MS   2000 /* from TELL_STOP to SIGKILL */
#define CUT_MS    5000 /* what a process may add to its own drain time */

/* After so many deaths in a row (the last repeats). */
static const uint32_t BACKOFF_MS[] = { 0, 500, 1000, 2000, 4000, 8000, 16000,
	30000 };

static uint32_t
backoff_ms(uint32_t fails)
{
	if (fails == 0)
		return 0;
	fails--;
	return BACKOFF_MS[fails < WR_COUNT(BACKOFF_MS)
			      ? fails
			      : WR_COUNT(BACKOFF_MS) - 1];
}

static void
earlier(uint64_t *t, uint64_t at)
{
	if (at != 0 && at < *t)
		*t = at;
}

static uint32_t
timeout_ms(const struct wr_reload *r)
{
	return r->generation != 0 ? r->plan.timeout_ms : r->next.timeout_ms;
}

/* -- Seats -------------------------------------------------------------- */

static void
seat_clear(struct wr_seat *seat)
{
	*seat = (struct wr_seat){ .slot = -1, .next = -1 };
}

void
wr_fleet_init(struct wr_reload *r)
{
	for (int k = 0; k < WR_SEATS; k++)
		seat_clear(&r->seat[k]);
	for (int i = 0; i < WR_WORKERS_MAX; i++)
		r->holder[i] = -1;
}

int
wr_fleet_seat_of(const struct wr_reload *r, int slot)
{
	const struct wr_crew *c = &r->crew[slot];
	int k = c->role == WR_ROLE_CONTROL ? WR_SEAT_CONTROL : (int)c->index;

	if (c->state == WR_CREW_FREE)
		return -1;
	if (r->seat[k].slot != slot && r->seat[k].next != slot)
		return -1;
	return k;
}

bool
wr_fleet_has_seat(const struct wr_reload *r, int k)
{
	uint32_t n = r->generation != 0 ? r->plan.workers : r->next.workers;

	if (k == WR_SEAT_CONTROL)
		return true;
	return (uint32_t)k < n && !r->winched;
}

bool
wr_fleet_is_whole(const struct wr_reload *r)
{
	for (int k = 0; k < WR_SEATS; k++)
		if (wr_fleet_has_seat(r, k) &&
		    (r->seat[k].slot < 0 ||
			r->crew[r->seat[k].slot].state != WR_CREW_READY))
			return false;
	return true;
}

unsigned
wr_fleet_count(const struct wr_reload *r, uint32_t role)
{
	unsigned n = 0;

	for (int i = 0; i < WR_FLEET_SLOTS; i++)
		n +=
		    r->crew[i].state != WR_CREW_FREE && r->crew[i].role == role;
	for (int k = 0; k < WR_SEATS; k++)
		n += r->seat[k].forking &&
		     (k == WR_SEAT_CONTROL) == (role == WR_ROLE_CONTROL);
	return n;
}

static void
ask_for(struct wr_reload *r, int k)
{
	struct wr_act *a = wr_reload_act(r, WR_ACT_FORK);

	r->seat[k].forking = true;
	a->role = k == WR_SEAT_CONTROL ? WR_ROLE_CONTROL : WR_ROLE_WORKER;
	a->index = k == WR_SEAT_CONTROL ? 0 : (uint32_t)k;
	a->generation = r->generation != 0 ? r->generation : r->candidate;
}

void
wr_fleet_forked(struct wr_reload *r, const struct wr_event *e)
{
	int k = e->role == WR_ROLE_CONTROL ? WR_SEAT_CONTROL : (int)e->index;
	struct wr_seat *seat = &r->seat[k];

	seat->forking = false;
	if (e->slot < 0) {
		seat->fails++;
		/* Not at once: what was short will still be short. */
		seat->fork_ms = r->now + backoff_ms(seat->fails + 1);
		if (r->generation == 0)
			wr_reload_abort(r, WR_NO_FORK, -1);
		return;
	}
	assert(r->crew[e->slot].state == WR_CREW_FREE);
	r->crew[e->slot] = (struct wr_crew){ .state = WR_CREW_START,
		.role = e->role,
		.index = e->index,
		.generation = e->generation,
		.since_ms = r->now,
		.epoch = r->epoch };
	seat->fork_ms = 0;
	/* Much may have changed since FORK was said. */
	if (!wr_fleet_has_seat(r, k) || seat->next >= 0 ||
	    r->end > WR_END_CLOSE) {
		wr_fleet_stop(r, e->slot);
		return;
	}
	if (seat->slot >= 0) {
		seat->next = e->slot;
		return;
	}
	seat->slot = e->slot;
}

void
wr_fleet_ready(struct wr_reload *r, int slot)
{
	struct wr_crew *c = &r->crew[slot];
	int k = wr_fleet_seat_of(r, slot);
	struct wr_seat *seat;

	c->state = WR_CREW_READY;
	c->since_ms = r->now;
	if (k < 0) {
		wr_fleet_drain(r, slot);
		return;
	}
	seat = &r->seat[k];
	if (seat->next == slot) {
		int old = seat->slot;

		seat->slot = slot;
		seat->next = -1;
		wr_fleet_deal(r, false);
		wr_fleet_drain(r, old);
	}
	if (r->state == WR_RELOAD_PREPARE && c->generation != r->candidate)
		wr_reload_prepare(r, slot, r->candidate);
}

/* The process in `slot` does not accept any more. */
static void
let_go(struct wr_reload *r, int slot)
{
	for (int i = 0; i < WR_WORKERS_MAX; i++)
		if (r->holder[i] == slot) {
			r->holder[i] = -1;
			r->bare_ms[i] = r->now;
		}
	r->crew[slot].open = false;
}

void
wr_fleet_gone(struct wr_reload *r, int slot)
{
	struct wr_crew *c = &r->crew[slot];
	int k = wr_fleet_seat_of(r, slot);
	bool asked = r->candidate != 0 &&
		     (c->asked == r->candidate || c->prepared == r->candidate);
	bool crashed =
	    c->state == WR_CREW_START || r->now < c->since_ms + STEADY_MS;
	struct wr_seat *seat;

	let_go(r, slot);
	c->state = WR_CREW_FREE;
	if (k < 0)
		return;
	seat = &r->seat[k];
	seat->fails = crashed ? seat->fails + 1 : 0;
	if (seat->next == slot) {
		seat->next = -1;
	} else {
		seat->slot = seat->next;
		seat->next = -1;
		if (seat->must || asked || r->generation == 0)
			seat->deaths++;
		seat->must |= asked;
	}
	seat->fork_ms = r->now;
	/* Whoever dies of a new value is replaced at once, to be asked again;
	 * the second death ends the try. */
	if (!seat->must && r->generation != 0)
		seat->fork_ms += backoff_ms(seat->fails);
}

/* -- Ends of processes -------------------------------------------------- */

void
wr_fleet_kill(struct wr_reload *r, int slot, int signo)
{
	struct wr_crew *c = &r->crew[slot];

	wr_reload_tell(r, WR_ACT_KILL, slot);
	r->acts[(r->tail - 1) % WR_ACTS_MAX].signo = signo;
	let_go(r, slot);
	/* since_ms stays: how long it was READY decides about the back-off. */
	if (c->state == WR_CREW_START)
		c->since_ms = r->now;
	c->state = WR_CREW_STOP;
	c->kill_ms = signo == SIGKILL ? 0 : r->now + ABORT_MS;
}

void
wr_fleet_drain(struct wr_reload *r, int slot)
{
	struct wr_crew *c = &r->crew[slot];

	if (c->state == WR_CREW_START) {
		wr_fleet_stop(r, slot);
		return;
	}
	if (c->state != WR_CREW_READY)
		return;
	let_go(r, slot);
	c->state = WR_CREW_DRAIN;
	c->full_ms = 0;
	c->paused = false;
	c->stop_ms =
	    r->plan.drain_ms == WR_OFF ? 0 : r->now + r->plan.drain_ms + CUT_MS;
	wr_reload_tell(r, WR_ACT_TELL_DRAIN, slot);
}

void
wr_fleet_stop(struct wr_reload *r, int slot)
{
	struct wr_crew *c = &r->crew[slot];

	if (c->state == WR_CREW_FREE || c->state == WR_CREW_STOP)
		return;
	let_go(r, slot);
	c->state = WR_CREW_STOP;
	c->kill_ms = r->now + STOP_MS;
	wr_reload_tell(r, WR_ACT_TELL_STOP, slot);
}

/*
 * A stopped process (T) is hung beyond doubt.  Any other may only look so
 * because the whole machine stood still, so one is killed per limit.
 */
void
wr_fleet_hung(struct wr_reload *r, int slot)
{
	struct wr_crew *c = &r->crew[slot];

	if (c->state == WR_CREW_STOP)
		return;
	if (c->halted_ms != 0) {
		wr_fleet_kill(r, slot, SIGKILL);
		return;
	}
	if (r->killed_ms != 0 && r->now < r->killed_ms + r->plan.limit_ms)
		return;
	r->killed_ms = r->now;
	wr_fleet_kill(r, slot, SIGABRT);
}

/* -- Shards ------------------------------------------------------------- */

static bool
is_seated(const struct wr_reload *r, int slot)
{
	int k;

	if (slot < 0 || r->crew[slot].state != WR_CREW_READY)
		return false;
	k = wr_fleet_seat_of(r, slot);
	return k >= 0 && k < WR_SEAT_CONTROL && r->seat[k].slot == slot &&
	       wr_fleet_has_seat(r, k);
}

/* Has been full for long enough that others should help. */
static bool
is_full(const struct wr_reload *r, int slot)
{
	uint64_t full_ms = r->crew[slot].full_ms;

	return full_ms != 0 && r->now >= full_ms + LEND_MS;
}

/* Somebody with room, the same for the same shard, or -1. */
static int
lender(const struct wr_reload *r, uint32_t shard)
{
	int found[WR_WORKERS_MAX];
	uint32_t n = 0;

	for (uint32_t k = 0; k < r->plan.workers; k++) {
		int slot = r->seat[k].slot;

		if (is_seated(r, slot) && r->crew[slot].full_ms == 0)
			found[n++] = slot;
	}
	return n != 0 ? found[shard % n] : -1;
}

/* Who should accept on a shard: the worker it is dealt to; if that is away or
 * full, who has it now; else another. */
static int
taker(const struct wr_reload *r, uint32_t shard)
{
	const struct wr_seat *home = &r->seat[shard % r->plan.workers];
	int now = r->holder[shard], other;
	bool here = is_seated(r, home->slot);

	if (here && (!r->live[shard] || !is_full(r, home->slot)))
		return home->slot;
	if (!r->live[shard])
		return -1;
	if (now >= 0 && now != home->slot && is_seated(r, now) &&
	    r->crew[now].full_ms == 0)
		return now;
	if (!here && now < 0 && r->now < r->bare_ms[shard] + LEND_MS)
		return -1;
	other = lender(r, shard);
	if (other >= 0)
		return other;
	/* All who are here are full: whoever has it keeps it. */
	if (here)
		return home->slot;
	if (is_seated(r, now))
		return now;
	for (uint32_t k = 0; k < r->plan.workers; k++)
		if (is_seated(r, r->seat[k].slot))
			return r->seat[k].slot;
	return -1;
}

static void
tell_shard(struct wr_reload *r, enum wr_act_kind kind, int slot, uint32_t shard)
{
	wr_reload_tell(r, kind, slot);
	r->acts[(r->tail - 1) % WR_ACTS_MAX].shard = shard;
}

static void
tell_added(struct wr_reload *r, int slot, uint32_t shard)
{
	tell_shard(r, WR_ACT_TELL_OPEN, slot, shard);
	r->acts[(r->tail - 1) % WR_ACTS_MAX].added = true;
}

static void
deal_shard(struct wr_reload *r, uint32_t i, bool added)
{
	int was = r->holder[i], to = taker(r, i);

	if (to == was) {
		if (to >= 0 && added)
			tell_added(r, to, i);
		return;
	}
	if (to >= 0) {
		if (!r->live[i]) {
			r->live[i] = true;
			wr_reload_act(r, WR_ACT_LISTEN)->shard = i;
		}
		tell_shard(r, WR_ACT_TELL_OPEN, to, i);
	}
	/* Both accept for a moment, so that nobody waits. */
	if (was >= 0 && r->crew[was].state == WR_CREW_READY)
		tell_shard(r, WR_ACT_TELL_SHUT, was, i);
	r->holder[i] = to;
}

void
wr_fleet_deal(struct wr_reload *r, bool added)
{
	if (r->generation == 0 || !wr_heir_accepts(r))
		return;
	for (int k = 0; k < WR_SEATS; k++) {
		int slot = r->seat[k].slot;
		bool control = k == WR_SEAT_CONTROL;

		if (slot < 0 || r->crew[slot].state != WR_CREW_READY)
			continue;
		if (!r->crew[slot].open)
			tell_shard(r, WR_ACT_TELL_OPEN, slot,
			    control ? WR_SHARD_CONTROL : WR_SHARD_SHARED);
		else if (added)
			tell_added(r, slot,
			    control ? WR_SHARD_CONTROL : WR_SHARD_SHARED);
		r->crew[slot].open = true;
	}
	for (uint32_t i = 0; i < r->shards && !r->winched; i++)
		deal_shard(r, i, added);
}

/* -- After a commit ----------------------------------------------------- */

bool
wr_fleet_can_return(const struct wr_reload *r, int slot)
{
	const struct wr_crew *c = &r->crew[slot];

	return c->state == WR_CREW_DRAIN && c->role == WR_ROLE_WORKER &&
	       c->epoch == r->epoch && c->halted_ms == 0;
}

/* One that is on the running value, or -1. */
static int
find_draining(const struct wr_reload *r)
{
	for (int i = 0; i < WR_FLEET_SLOTS; i++)
		if (wr_fleet_can_return(r, i) &&
		    r->crew[i].generation == r->generation)
			return i;
	return -1;
}

static void
fill(struct wr_reload *r, uint32_t k)
{
	struct wr_seat *seat = &r->seat[k];
	int slot;

	seat->fails = 0;
	seat->fork_ms = 0;
	if (seat->slot >= 0 || seat->forking)
		return;
	slot = find_draining(r);
	if (slot < 0)
		return;
	r->crew[slot].state = WR_CREW_READY;
	r->crew[slot].index = k;
	r->crew[slot].stop_ms = 0;
	r->crew[slot].since_ms = r->now;
	seat->slot = slot;
	wr_reload_tell(r, WR_ACT_TELL_UNDRAIN, slot);
}

void
wr_fleet_resize(struct wr_reload *r)
{
	int leave[2 * WR_WORKERS_MAX];
	unsigned n = 0;
	bool forking;

	for (uint32_t k = 0; k < WR_WORKERS_MAX; k++) {
		struct wr_seat *seat = &r->seat[k];

		if (k < r->plan.workers) {
			fill(r, k);
			continue;
		}
		if (seat->slot >= 0)
			leave[n++] = seat->slot;
		if (seat->next >= 0)
			leave[n++] = seat->next;
		forking = seat->forking;
		seat_clear(seat);
		seat->forking = forking;
	}
	wr_fleet_deal(r, true);
	while (n > 0)
		wr_fleet_drain(r, leave[--n]);
}

/* -- Time --------------------------------------------------------------- */

/* Workers that lack the newest of the keys that only new ones take are
 * replaced one at a time. */
static void
replace_one(struct wr_reload *r)
{
	if (r->state != WR_RELOAD_IDLE || r->heir != WR_HEIR_NONE ||
	    r->end != WR_END_NO)
		return;
	for (int k = 0; k < WR_SEATS; k++)
		if (r->seat[k].next >= 0 ||
		    (r->seat[k].forking && r->seat[k].slot >= 0))
			return;
	for (int k = 0; k < WR_SEATS; k++) {
		struct wr_seat *seat = &r->seat[k];

		if (seat->slot < 0 || seat->forking ||
		    r->crew[seat->slot].state != WR_CREW_READY ||
		    r->crew[seat->slot].epoch == r->epoch)
			continue;
		if (seat->fork_ms <= r->now)
			ask_for(r, k);
		return;
	}
}

static void
fork_due(struct wr_reload *r)
{
	bool may = r->generation != 0 || r->state == WR_RELOAD_PREPARE;

	if (!may || r->end > WR_END_CLOSE)
		return;
	for (int k = 0; k < WR_SEATS; k++) {
		struct wr_seat *seat = &r->seat[k];

		if (wr_fleet_has_seat(r, k) && seat->slot < 0 &&
		    !seat->forking && seat->fork_ms <= r->now)
			ask_for(r, k);
	}
	replace_one(r);
}

/* A stopped process is not waited for until the reload is refused: it is
 * replaced half way. */
static uint64_t
halted_until(const struct wr_reload *r, const struct wr_crew *c)
{
	if (r->state != WR_RELOAD_PREPARE || c->halted_ms == 0 ||
	    c->state != WR_CREW_READY || c->asked != r->candidate)
		return 0;
	return c->asked_ms + r->next.timeout_ms / 2;
}

/* When a process that was to be ready by now is given up. */
static uint64_t
start_until(const struct wr_reload *r, const struct wr_crew *c)
{
	if (c->state != WR_CREW_START)
		return 0;
	return (c->asked != 0 ? c->asked_ms : c->since_ms) + timeout_ms(r);
}

void
wr_fleet_run(struct wr_reload *r)
{
	for (int i = 0; i < WR_FLEET_SLOTS; i++) {
		struct wr_crew *c = &r->crew[i];
		uint64_t start = start_until(r, c), halt = halted_until(r, c);

		if (c->state == WR_CREW_FREE)
			continue;
		if (c->kill_ms != 0 && c->kill_ms <= r->now)
			wr_fleet_kill(r, i, SIGKILL);
		else if ((start != 0 && start <= r->now) ||
			 (halt != 0 && halt <= r->now))
			wr_fleet_kill(r, i, SIGKILL);
		else if (c->state == WR_CREW_DRAIN && c->stop_ms != 0 &&
			 c->stop_ms <= r->now)
			wr_fleet_stop(r, i);
	}
	fork_due(r);
}

static uint64_t
seat_due(const struct wr_reload *r, int k)
{
	const struct wr_seat *seat = &r->seat[k];
	uint64_t t = UINT64_MAX;
	bool forks = r->end <= WR_END_CLOSE &&
		     (r->generation != 0 || r->state == WR_RELOAD_PREPARE);

	if (!wr_fleet_has_seat(r, k))
		return t;
	if (forks && !seat->forking && seat->fork_ms > r->now)
		t = seat->fork_ms;
	return t;
}

uint64_t
wr_fleet_due(const struct wr_reload *r)
{
	uint64_t t = UINT64_MAX;

	for (int i = 0; i < WR_FLEET_SLOTS; i++) {
		const struct wr_crew *c = &r->crew[i];

		if (c->state == WR_CREW_FREE)
			continue;
		earlier(&t, c->kill_ms);
		earlier(&t, start_until(r, c));
		earlier(&t, halted_until(r, c));
		if (c->state == WR_CREW_DRAIN)
			earlier(&t, c->stop_ms);
		if (c->full_ms != 0 && c->full_ms + LEND_MS > r->now)
			earlier(&t, c->full_ms + LEND_MS);
	}
	for (int k = 0; k < WR_SEATS; k++)
		earlier(&t, seat_due(r, k));
	for (uint32_t i = 0; i < r->shards; i++)
		if (r->holder[i] < 0 && r->bare_ms[i] + LEND_MS > r->now)
			earlier(&t, r->bare_ms[i] + LEND_MS);
	return t;
}
