/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * policy - what happens to sessions that run when their server fails, is
 * removed, or is no longer needed: on_down, on_remove, on_up.
 *
 * A server whose sessions are to end is doomed: from one moment to another
 * they are closed, spread evenly by chance (timeouts.spread), and later ones
 * at once.
 */
#ifndef WR_POLICY_H
#define WR_POLICY_H

#include <stdbool.h>
#include <stdint.h>

struct wr_conf;
struct wr_proxy;
struct wr_session;

/* By cell of the server. */
struct wr_doom {
	uint64_t from_ms, by_ms;
	uint32_t why;  /* enum wr_end, or WR_END_NONE: not doomed */
	uint32_t next; /* of those that were: cell + 1 */
	bool listed;
};

/* State of servers has changed. */
void wr_policy_look(struct wr_proxy *px);
/* Another configuration is in force. */
void wr_policy_use(struct wr_proxy *px, const struct wr_conf *old);
/* Servers have joined or left. */
void wr_policy_joins(struct wr_proxy *px);
/* A session is now with a server; it may be doomed since it was picked. */
void wr_policy_begin(struct wr_session *s);
void wr_policy_stop(struct wr_proxy *px);

#endif
