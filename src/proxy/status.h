/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * status - what is going on, piece by piece, from shared memory.
 *
 * Ten thousand servers are some megabytes of text, and whoever writes them
 * has other things to do.  So a text comes in pieces, from a place that is
 * kept between them; all counters are live, so a piece is as it is when it is
 * written.
 */
#ifndef WR_STATUS_TEXT_H
#define WR_STATUS_TEXT_H

#include <sys/types.h>

#include "base/text.h"
#include "proxy/fields.h"
#include "proxy/joined.h"

/* What is looked at; all of it lent, and the same for all pieces, but for
 * servers that join and leave meanwhile. */
struct wr_status {
	const struct wr_stats *stats;
	const struct wr_conf *conf; /* NULL: none is in use yet */
	const struct wr_joined *joined;
	uint64_t generation;
	pid_t master;
};

/* A place in all servers of all groups; all zero is the first. */
struct wr_status_walk {
	uint32_t group;  /* index of the upstream */
	uint32_t server; /* of those in its file, the next */
	uint32_t cell;   /* of those that joined, the last */
	const struct wr_server_conf *last;
	uint64_t build; /* of the lists of those that joined */
};

/* A place in a text; all zero is its beginning. */
struct wr_status_at {
	uint32_t part, table, field, row;
	struct wr_status_walk walk;
	uint32_t counted; /* buckets of a table of clients */
	uint64_t clients; /* in them */
};

/* Monotonic and wall clock. */
uint64_t wr_status_now_ms(void);
uint64_t wr_status_wall_ms(void);

/* The next server of the group at `w`; NULL: it was the last, and `w` is
 * before the first one of the next group. */
const struct wr_server_conf *
wr_status_server(const struct wr_status *s, struct wr_status_walk *w);
/* The next slot from `*slot` on that a process has; NULL at the end. */
const struct wr_slot *wr_status_slot(const struct wr_stats *st, uint32_t *slot);

/* How many clients `u` remembers, counted bit by bit: false as long as `*n` is
 * not known yet. */
bool wr_status_sticky(const struct wr_status *s, struct wr_status_at *at,
    const struct wr_upstream_conf *u, uint64_t *n);

/* Write one more piece: a few hundred bytes, seldom more, or none if there
 * is much to be counted first.  False: it was the last one. */
typedef bool wr_status_fn(
    const struct wr_status *s, struct wr_status_at *at, struct wr_text *out);
/* One JSON object and a line's end; what `weir -s status` prints. */
wr_status_fn wr_status_json;

#endif
