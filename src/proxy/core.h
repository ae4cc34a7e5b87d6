/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * core - struct wr_proxy as the files of proxy/ see it.
 */
#ifndef WR_CORE_H
#define WR_CORE_H

#include "base/hash.h"
#include "base/pool.h"
#include "proxy/hooks.h"
#include "proxy/joined.h"
#include "proxy/policy.h"
#include "proxy/proxy.h"
#include "proxy/session.h"
#include "proxy/upstream.h"

typedef void wr_idle_fn(void *arg);

struct wr_proxy {
	struct wr_loop *loop;
	const struct wr_stats *stats;
	struct wr_slot *slot; /* of this process */
	uint32_t slot_index;
	struct wr_gen *gen; /* the current one */
	struct wr_list in[WR_STATES];
	struct wr_pool sessions;
	uint32_t sessions_max;
	uint32_t waiting;              /* of the sessions: in WR_ACCEPT */
	struct wr_server_run *servers; /* by cell */
	uint32_t uses;                 /* counts generations */
	/* By cell: the last one in which `servers` of the group were looked
	 * at, see upstream.c. */
	uint32_t groups_seen[WR_UPSTREAM_CELLS];
	struct wr_joined joined; /* servers */
	uint64_t choices; /* made by balancers that prefer the least recent */
	struct wr_random random;

	struct wr_list doors;
	unsigned hold;     /* WR_HOLD_... */
	uint64_t backlogs; /* of all doors */
	bool few;          /* doors accept with WR_FEW, as room is short */
	struct wr_timer hold_timer;
	/* Until then it is not said again that clients are turned away, or
	 * that all sessions are in use. */
	uint64_t quiet_until_ms, full_until_ms;

	const struct wr_module *const *modules;
	uint8_t hooks[WR_HOOK_KINDS][WR_MODULES_MAX + 1]; /* ends with
							      WR_NO_HOOK */
	int access_fd;
	uint32_t access_version; /* changes when that is another file */
	struct wr_hook turn_end;
	uint32_t queued;     /* sessions that wait, for whatever upstream */
	bool admit;          /* at the end of the turn: places may be free */
	bool yielded;        /* others wait longer, in other processes: */
	uint32_t ahead_slot; /* in this one, */
	uint64_t ahead_ms;   /* since then */
	bool patient;        /* the timer runs for it */
	bool impatient;      /* and it did nothing about it */
	struct wr_timer patience;
	struct wr_doom *dooms; /* by cell of the server */
	uint32_t first_doom;   /* cell + 1 */
	bool doomed;           /* one more since the sessions were looked at */
	struct wr_timer doom_timer;

	struct wr_timer drain_timer;
	enum wr_drain {
		WR_DRAIN_NOT,
		WR_DRAIN_WAIT, /* sessions end by themselves */
		WR_DRAIN_CUT,  /* the rest is ended, spread over some time */
	} drain;
	uint64_t cut_by_ms; /* all are gone by then */
	wr_idle_fn *idle;   /* told when nothing is left */
	void *idle_arg;
};

/* Take over which servers have joined or left, if any have. */
void wr_proxy_joins(struct wr_proxy *px);
/* A session, or a door, is gone. */
void wr_proxy_freed(struct wr_proxy *px);

static inline uint32_t
wr_proxy_now(const struct wr_proxy *px)
{
	return (uint32_t)wr_loop_now(px->loop);
}

static inline struct wr_listener_count *
wr_count_listener(const struct wr_proxy *px, uint32_t cell)
{
	return wr_stats_listener(px->stats, px->slot_index, cell);
}

static inline struct wr_upstream_count *
wr_count_upstream(const struct wr_proxy *px, uint32_t cell)
{
	return wr_stats_upstream(px->stats, px->slot_index, cell);
}

static inline struct wr_server_count *
wr_count_server(const struct wr_proxy *px, uint32_t cell)
{
	return wr_stats_server(px->stats, px->slot_index, cell);
}

#endif
