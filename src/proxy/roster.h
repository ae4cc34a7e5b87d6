/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * roster - control decides which servers join a group while weir runs, and
 * which leave it.
 *
 * One control does so at a time, also while two binaries run: the one that
 * owns the roll.  What it has published outlives it; its successor finds it
 * and goes on.  A cell is used again only when no session is on it and every
 * process has seen that its server has left.
 */
#ifndef WR_ROSTER_H
#define WR_ROSTER_H

#include "proxy/joined.h"

struct wr_control;

struct wr_roster {
	struct wr_joined joined; /* as this process sees it */
	struct wr_timer timer;
	uint64_t said_ms; /* that there is no room */
	bool owns;
};

struct wr_newcomer {
	const char *name;
	struct wr_ip ip;
	uint64_t origin; /* see struct wr_join */
	enum wr_server_want want;
	uint32_t weight, max_conns;
	bool backup, client_port;
};

/* Begin, as far as another control has not; its modules are told by
 * control_use() when this one owns the roll. */
wr_must_check int wr_roster_start(struct wr_control *ct);
/* ct->conf is another one. */
void wr_roster_use(struct wr_control *ct);
void wr_roster_stop(struct wr_control *ct);

/* The server that joins, or NULL: the group has as many as `servers_max`, or
 * shared memory is full, which is logged; or this control owns nothing. */
const struct wr_server_conf *wr_roster_join(struct wr_control *ct,
    const struct wr_upstream_conf *u, const struct wr_newcomer *n);
void wr_roster_leave(struct wr_control *ct, const struct wr_server_conf *sv);
/* It stays, but all of this may be new: workers are told if it is. */
void wr_roster_change(struct wr_control *ct, const struct wr_server_conf *sv,
    uint32_t weight, uint32_t max_conns, bool backup, enum wr_server_want want);
/* What else is known of it. */
struct wr_join *
wr_roster_entry(const struct wr_control *ct, const struct wr_server_conf *sv);

#endif
