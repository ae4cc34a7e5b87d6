/* SPDX-License-Identifier: BSD-2-Clause */
/* heir - upgrade, seen from both sides, and the end; see fleet.h. */
#include <assert.h>
#include <signal.h>

#include "conf/key.h"
#include "proc/fleet.h"
#include "proxy/stats.h"

#define PROBATION_MS 5000
/* A new binary whose workers are not all there gets so much more. */
#define RESPITE_MS 5000
/* Who is waiting to be accepted at the end is waited for no longer. */
#define CLOSE_MS 60000
/* What the old one adds, so that the new one's word comes first. */
#define PATIENCE_MS 2000

bool
wr_heir_accepts(const struct wr_reload *r)
{
	return r->end <= WR_END_CLOSE && r->heir != WR_HEIR_PROBATION &&
	       r->heir != WR_HEIR_DONE;
}

static void
everybody(struct wr_reload *r, void (*fn)(struct wr_reload *r, int slot))
{
	for (int i = 0; i < WR_FLEET_SLOTS; i++)
		if (r->crew[i].state != WR_CREW_FREE)
			fn(r, i);
}

/* -- The old master ----------------------------------------------------- */

void
wr_heir_exec(struct wr_reload *r)
{
	r->heir = WR_HEIR_EXEC;
	r->heir_ms = r->now + r->plan.timeout_ms + RESPITE_MS;
	wr_reload_act(r, WR_ACT_EXEC);
}

static void
halt(struct wr_reload *r, int slot)
{
	if (r->crew[slot].state != WR_CREW_READY || r->crew[slot].paused)
		return;
	r->crew[slot].paused = true;
	wr_reload_tell(r, WR_ACT_TELL_PAUSE, slot);
}

static void
go_on(struct wr_reload *r, int slot)
{
	if (!r->crew[slot].paused)
		return;
	r->crew[slot].paused = false;
	if (r->crew[slot].state == WR_CREW_READY)
		wr_reload_tell(r, WR_ACT_TELL_RESUME, slot);
}

static void
heir_answer(struct wr_reload *r, enum wr_no why)
{
	if (r->heir_ticket == 0)
		return;
	wr_reload_answer(r, r->heir_ticket, why, -1)->upgrade = true;
	r->heir_ticket = 0;
}

/* The new binary is no more: everything as before. */
static void
heir_failed(struct wr_reload *r, enum wr_no why)
{
	heir_answer(r, why);
	r->heir = WR_HEIR_NONE;
	everybody(r, go_on);
	wr_reload_idle(r);
}

/* Control goes last, when no worker needs its news any more; after an upgrade
 * at once, since the new one's is at work. */
static void
drain_workers(struct wr_reload *r, int slot)
{
	if (r->crew[slot].role == WR_ROLE_WORKER)
		wr_fleet_drain(r, slot);
	else if (r->heir == WR_HEIR_DONE)
		wr_fleet_stop(r, slot);
}

static void
end_drain(struct wr_reload *r)
{
	r->end = WR_END_DRAIN;
	everybody(r, drain_workers);
}

static void
end_close(struct wr_reload *r)
{
	r->end = WR_END_CLOSE;
	r->end_ms = r->now + CLOSE_MS;
	if (r->plan.drain_ms != WR_OFF && r->plan.drain_ms < CLOSE_MS)
		r->end_ms = r->now + r->plan.drain_ms;
	wr_reload_act(r, WR_ACT_RETIRE);
}

void
wr_end_closed(struct wr_reload *r)
{
	if (r->end == WR_END_CLOSE)
		end_drain(r);
}

static void
heir_done(struct wr_reload *r)
{
	r->heir = WR_HEIR_DONE;
	wr_reload_act(r, WR_ACT_HEIR_GO);
	heir_answer(r, WR_NO_NONE);
	/* Who is waiting where the new one does not listen is served first. */
	end_close(r);
}

/* -- The new master ----------------------------------------------------- */

static void
confirm(struct wr_reload *r, int slot)
{
	if (r->crew[slot].state != WR_CREW_STOP)
		wr_reload_tell(r, WR_ACT_TELL_CONFIRMED, slot);
}

static void
inherit(struct wr_reload *r)
{
	r->heir = WR_HEIR_NONE;
	wr_reload_act(r, WR_ACT_INHERIT);
	everybody(r, confirm);
	wr_reload_idle(r);
}

void
wr_heir_started(struct wr_reload *r)
{
	wr_reload_act(r, WR_ACT_UP);
	if (r->heir != WR_ELDER_START)
		return;
	r->heir = WR_ELDER_TRIAL;
	r->heir_ms = r->now + PROBATION_MS;
	wr_reload_act(r, WR_ACT_ELDER_READY);
}

/* Workers that crash again and again: the old ones must not wait longer. */
static bool
is_lost(const struct wr_reload *r)
{
	for (int k = 0; k < WR_SEATS; k++)
		if (r->seat[k].fails >= 2)
			return true;
	return r->now >= r->heir_ms + RESPITE_MS;
}

static void
trial(struct wr_reload *r)
{
	if (wr_fleet_is_whole(r) && r->now >= r->heir_ms) {
		r->heir = WR_ELDER_ASKED;
		wr_reload_act(r, WR_ACT_ELDER_CONFIRM);
	} else if (is_lost(r)) {
		r->heir = WR_HEIR_NONE;
		r->status = 1;
		wr_reload_act(r, WR_ACT_ELDER_FAILED);
		end_drain(r);
	}
}

void
wr_heir_event(struct wr_reload *r, enum wr_event_kind kind)
{
	switch (kind) {
	case WR_EV_HEIR_READY:
		if (r->heir != WR_HEIR_EXEC)
			return;
		r->heir = WR_HEIR_PROBATION;
		r->heir_ms = r->now + PROBATION_MS + RESPITE_MS + PATIENCE_MS;
		everybody(r, halt);
		return;
	case WR_EV_HEIR_CONFIRM:
		if (r->heir == WR_HEIR_PROBATION)
			heir_done(r);
		return;
	case WR_EV_HEIR_FAILED:
		if (r->heir == WR_HEIR_EXEC || r->heir == WR_HEIR_PROBATION)
			heir_failed(r, WR_NO_HEIR);
		return;
	default:
		assert(kind == WR_EV_ELDER_GO || kind == WR_EV_ELDER_GONE);
		if (r->heir >= WR_ELDER_START)
			inherit(r);
	}
}

/* -- The end ------------------------------------------------------------ */

/* No transaction, no upgrade, and nobody waits any more. */
static void
end_begin(struct wr_reload *r)
{
	wr_reload_abort(r, WR_NO_STOPPING, -1);
	if (r->queued != 0)
		(void)wr_reload_answer(r, r->queued, WR_NO_STOPPING, -1);
	r->queued = 0;
	if (r->heir == WR_HEIR_EXEC || r->heir == WR_HEIR_PROBATION)
		wr_reload_act(r, WR_ACT_HEIR_KILL);
	if (r->heir >= WR_ELDER_START)
		wr_reload_act(r, WR_ACT_ELDER_FAILED);
	if (r->heir != WR_HEIR_DONE)
		r->heir = WR_HEIR_NONE;
	heir_answer(r, WR_NO_STOPPING);
}

void
wr_end_quit(struct wr_reload *r)
{
	/* The new binary serves already: this is how nginx's users end an
	 * upgrade. */
	if (r->heir == WR_HEIR_PROBATION) {
		heir_done(r);
		return;
	}
	if (r->generation == 0) {
		wr_end_stop(r, 0);
		return;
	}
	if (r->end == WR_END_NO && r->heir >= WR_ELDER_START) {
		/* The old one goes on with the same sockets: nobody must be
		 * turned away. */
		r->end = WR_END_DRAIN;
		end_begin(r);
		end_drain(r);
	} else if (r->end == WR_END_NO) {
		r->end = WR_END_GRACE;
		r->end_ms = r->now + r->plan.grace_ms;
		end_begin(r);
	} else if (r->end == WR_END_GRACE || r->end == WR_END_CLOSE) {
		r->end_ms = r->now;
	}
}

void
wr_end_stop(struct wr_reload *r, int status)
{
	if (r->end == WR_END_STOP)
		return;
	r->end = WR_END_STOP;
	r->status = status;
	end_begin(r);
	everybody(r, wr_fleet_stop);
}

static void
winch(struct wr_reload *r, int slot)
{
	int k = wr_fleet_seat_of(r, slot);

	if (r->crew[slot].role != WR_ROLE_WORKER)
		return;
	if (k >= 0) {
		r->seat[k].slot = -1;
		r->seat[k].next = -1;
	}
	wr_fleet_drain(r, slot);
}

void
wr_end_winch(struct wr_reload *r)
{
	if (r->end != WR_END_NO || r->generation == 0 || r->winched ||
	    r->heir == WR_HEIR_PROBATION)
		return;
	r->winched = true;
	everybody(r, winch);
}

/* -- Time --------------------------------------------------------------- */

static void
exit_if_alone(struct wr_reload *r)
{
	unsigned workers = wr_fleet_count(r, WR_ROLE_WORKER);
	unsigned controls = wr_fleet_count(r, WR_ROLE_CONTROL);

	if (workers == 0 && controls > 0)
		everybody(r, wr_fleet_stop);
	if (workers + controls > 0 || r->gone)
		return;
	r->gone = true;
	wr_reload_act(r, WR_ACT_EXIT)->status = r->status;
}

void
wr_heir_run(struct wr_reload *r)
{
	if (r->end == WR_END_GRACE && r->now >= r->end_ms)
		end_close(r);
	else if (r->end == WR_END_CLOSE && r->now >= r->end_ms)
		end_drain(r);
	if (r->end >= WR_END_DRAIN)
		exit_if_alone(r);
	if ((r->heir == WR_HEIR_EXEC || r->heir == WR_HEIR_PROBATION) &&
	    r->now >= r->heir_ms) {
		wr_reload_act(r, WR_ACT_HEIR_KILL);
		heir_failed(r, WR_NO_HEIR_SILENT);
	}
	if (r->heir == WR_ELDER_TRIAL)
		trial(r);
}

uint64_t
wr_heir_due(const struct wr_reload *r)
{
	if (r->end == WR_END_GRACE || r->end == WR_END_CLOSE)
		return r->end_ms;
	if (r->heir == WR_HEIR_EXEC || r->heir == WR_HEIR_PROBATION)
		return r->heir_ms;
	if (r->heir == WR_ELDER_TRIAL)
		return r->now < r->heir_ms ? r->heir_ms
					   : r->heir_ms + RESPITE_MS;
	return UINT64_MAX;
}
