/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fleet - what the parts of the machine in proc/reload say to each other.
 *
 * reload.c has the transaction, fleet.c the processes and their shards,
 * heir.c upgrade and end.
 */
#ifndef WR_FLEET_H
#define WR_FLEET_H

#include "proc/reload.h"

/* -- reload.c ---------------------------------------------------------- */

/* Append an action of this kind; the caller fills in the rest. */
struct wr_act *wr_reload_act(struct wr_reload *r, enum wr_act_kind kind);
void wr_reload_tell(struct wr_reload *r, enum wr_act_kind kind, int slot);
struct wr_act *wr_reload_answer(
    struct wr_reload *r, uint64_t ticket, enum wr_no why, int seat);
/* End the transaction that runs, if any, without effect; `seat` is whose fault
 * it was, or -1. */
void wr_reload_abort(struct wr_reload *r, enum wr_no why, int seat);
/* Nothing runs: begin what waits. */
void wr_reload_idle(struct wr_reload *r);
/* Ask a process to prepare `generation`. */
void wr_reload_prepare(struct wr_reload *r, int slot, uint64_t generation);

/* -- fleet.c ----------------------------------------------------------- */

void wr_fleet_init(struct wr_reload *r);
/* The seat in which the slot sits, or -1. */
int wr_fleet_seat_of(const struct wr_reload *r, int slot);
/* Seats that the running value has (the candidate, at start). */
bool wr_fleet_has_seat(const struct wr_reload *r, int seat);
void wr_fleet_forked(struct wr_reload *r, const struct wr_event *e);
/* A process that was starting is ready, on the newest generation. */
void wr_fleet_ready(struct wr_reload *r, int slot);
void wr_fleet_gone(struct wr_reload *r, int slot);
void wr_fleet_hung(struct wr_reload *r, int slot);
/* A value was committed: fill and clear seats, deal, drain who leaves. */
void wr_fleet_resize(struct wr_reload *r);
/* Drains, and could be a worker again. */
bool wr_fleet_can_return(const struct wr_reload *r, int slot);
/* Who accepts where; `added`: those who keep a shard hear of new addresses. */
void wr_fleet_deal(struct wr_reload *r, bool added);
void wr_fleet_drain(struct wr_reload *r, int slot);
void wr_fleet_stop(struct wr_reload *r, int slot);
void wr_fleet_kill(struct wr_reload *r, int slot, int signo);
/* Everybody who should sit is ready. */
bool wr_fleet_is_whole(const struct wr_reload *r);
/* How many processes of a role there are. */
unsigned wr_fleet_count(const struct wr_reload *r, uint32_t role);
/* What has become due. */
void wr_fleet_run(struct wr_reload *r);
uint64_t wr_fleet_due(const struct wr_reload *r);

/* -- heir.c ------------------------------------------------------------ */

/* May workers accept and be forked? */
bool wr_heir_accepts(const struct wr_reload *r);
void wr_heir_exec(struct wr_reload *r);
void wr_heir_event(struct wr_reload *r, enum wr_event_kind kind);
/* The first value of a new binary was committed. */
void wr_heir_started(struct wr_reload *r);
void wr_end_quit(struct wr_reload *r);
void wr_end_closed(struct wr_reload *r);
void wr_end_stop(struct wr_reload *r, int status);
void wr_end_winch(struct wr_reload *r);
void wr_heir_run(struct wr_reload *r);
uint64_t wr_heir_due(const struct wr_reload *r);

#endif
