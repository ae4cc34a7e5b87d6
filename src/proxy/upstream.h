/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * upstream - which server of a group is next, and what an error of the
 * network means.
 *
 * What has to be remembered from one pick to the next is kept by the server's
 * cell, so that a reload does not disturb the turn.
 */
#ifndef WR_UPSTREAM_H
#define WR_UPSTREAM_H

#include "conf/conf.h"
#include "proxy/end.h"

struct wr_proxy;
struct wr_session;

enum wr_picked {
	WR_PICKED,       /* here it is */
	WR_PICK_TRIED,   /* only such as were tried before */
	WR_PICK_FULL,    /* none has a place now */
	WR_PICK_EJECTED, /* none, but some are only ejected; never returned */
	WR_PICK_NONE,    /* none is usable */
};

/* What this process remembers of a server. */
struct wr_server_run {
	int64_t turn;     /* smooth weighted round robin */
	uint64_t chosen;  /* at the so manieth choice, see core.h */
	uint64_t ewma_ms; /* when ewma_us was true */
	uint32_t ewma_us; /* what it took lately, see wr_upstream_took() */
	uint32_t source;  /* turn of our own addresses */
	uint32_t life;    /* of the server that this is about, see stats.h */
	uint32_t at;      /* in its group; of those that the file names */
	uint64_t said_ms; /* when a failure was logged last */
};

/*
 * The next server of `u` that is not in `tried`: primaries first, and backup
 * servers only if no primary is usable or all were tried.  If none of `u` is
 * usable, its fallback is asked.  `s` is for whom, or NULL.
 */
enum wr_picked wr_upstream_pick(struct wr_proxy *px, struct wr_session *s,
    const struct wr_upstream_conf *u, uint64_t tried,
    const struct wr_server_conf **sv);

/*
 * A server took so long to connect, or to answer.  The mean that is kept
 * jumps up to a peak at once and forgets it in WR_EWMA_MS, so that a server
 * that has become slow is avoided before many have waited for it.
 */
#define WR_EWMA_MS 10000
void wr_upstream_took(struct wr_proxy *px, uint32_t server_cell, uint32_t us);

/* Errors of connecting. */
enum wr_trouble {
	WR_TEMPORARY, /* another try may help */
	WR_PERMANENT, /* it will not */
	WR_OURS,      /* the fault of this machine, not of the server */
};

enum wr_trouble wr_trouble_of(int err);
enum wr_end wr_trouble_end(int err);

#endif
