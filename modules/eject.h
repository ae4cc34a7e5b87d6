/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * eject - when failures of sessions take a server out for a while, and how it
 * comes back.
 *
 * The state is shared by all workers and has no lock: failures are a ring of
 * times, and of several workers that would eject one wins.  A worker that dies
 * in between costs one failure that is not counted.
 */
#ifndef WR_EJECT_H
#define WR_EJECT_H

#include "proxy/module.h"
#include "proxy/server.h"

struct wr_eject_conf {
	bool on;
	uint32_t failures; /* within window_ms; at most WR_FAILURES */
	uint32_t window_ms;
	uint32_t for_ms, max_for_ms;
	uint32_t max_percent;
	bool panic;
};

/* The servers of an upstream. */
struct wr_eject_group {
	struct wr_eject_conf conf;
	uint32_t n;
	uint32_t cells[];
};

/*
 * A session that was sent to the server in `cell` at `sent_ms` has failed on
 * it; `trial` if it was the one that tried it after an ejection.  True if that
 * has ejected it: once, in one process.
 */
bool wr_eject_failed(struct wr_server_state *states,
    const struct wr_eject_group *g, uint32_t cell, bool trial, enum wr_news why,
    uint64_t sent_ms, uint64_t now_ms);
/* The trial has gone well.  True if that has brought it back. */
bool wr_eject_passed(struct wr_server_state *x, uint64_t now_ms);
/* The trial has ended without telling anything: another one may follow. */
void wr_eject_undecided(struct wr_server_state *x, uint64_t now_ms);
/*
 * An active check that had failed passes again, so whatever was the matter is
 * over: a session may try the server now.
 */
void wr_eject_cut_short(struct wr_server_state *x, uint64_t now_ms);

#endif
