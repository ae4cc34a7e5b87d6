/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sticky - which server a client went to last, remembered by all processes.
 *
 * A table is a run of buckets in shared memory, found by the hash of the
 * client's address.  A place is two words: the hash, and a word that says all
 * else, where the client went to and when, with some bits of the hash.  The
 * word is only ever exchanged as a whole, and a place whose words do not belong
 * together is nobody's; so there is no lock, and a process that is killed in
 * between leaves at most a place that is forgotten.
 */
#ifndef WR_STICKY_H
#define WR_STICKY_H

#include "conf/conf.h"
#include "proxy/stats.h"

struct wr_pick;

#define WR_STICKY_WAYS    16
#define WR_STICKY_TABLES  1024
#define WR_STICKY_BUCKETS (1u << 20) /* of all tables together */

struct wr_sticky_bucket {
	struct wr_sticky_place {
		uint64_t key, word;
	} v[WR_STICKY_WAYS];
};

/* Which buckets are whose; written by the master. */
struct wr_sticky_head {
	uint64_t seed[2]; /* of the hash */
	struct wr_sticky_extent {
		uint32_t used;  /* last when it begins, first when it ends */
		uint32_t owner; /* cell of the upstream */
		uint32_t first, n;
	} v[WR_STICKY_TABLES];
};

/* Buckets for so many clients: half as many places more, so that few of them
 * meet in one that is full. */
static inline uint32_t
wr_sticky_buckets(uint32_t size)
{
	return (uint32_t)(((uint64_t)size * 3 / 2 + WR_STICKY_WAYS - 1) /
			  WR_STICKY_WAYS);
}

/* -- A table ------------------------------------------------------------- */

/* A server's cell, and some bits of its `life`: who takes over a cell is not
 * who was there before. */
#define WR_STICKY_NOBODY UINT32_MAX
uint32_t wr_sticky_id(const struct wr_stats *st, uint32_t server_cell);

struct wr_sticky_table {
	struct wr_sticky_bucket *v;
	uint32_t n;
	uint32_t now_s, expire_s;
};

/* The id that was put for the key, or WR_STICKY_NOBODY; it is used now. */
uint32_t wr_sticky_get(const struct wr_sticky_table *t, uint64_t key);
/*
 * Put another id in the place of `was`, which is what was got.  If it is `was`
 * no more, that is returned, and nothing changed: another process was faster.
 * Else `id`.  *evicted is set if another client is forgotten for it.
 */
uint32_t wr_sticky_put(const struct wr_sticky_table *t, uint64_t key,
    uint32_t was, uint32_t id, bool *evicted);
/* Clients that are remembered. */
uint32_t wr_sticky_used(const struct wr_sticky_table *t);
/* Put what `from` remembers into an empty table of another size. */
void wr_sticky_copy(
    const struct wr_sticky_table *to, const struct wr_sticky_table *from);

/* -- A pick -------------------------------------------------------------- */

/* What is remembered of the client for whom `k` picks. */
struct wr_sticky {
	struct wr_sticky_table table; /* n is 0: of no client */
	uint64_t key;
	uint32_t was;
	const struct wr_server_conf *server; /* in the group; or NULL */
};

void wr_sticky_look(struct wr_sticky *y, const struct wr_pick *k);
/* May the session go to that server again?  `k` is not changed. */
bool wr_sticky_fits(const struct wr_sticky *y, const struct wr_pick *k);
/* It does. */
void wr_sticky_hit(const struct wr_pick *k);
/* The balancer has chosen `sv`: the server that it is to be, which is another
 * one if the client has just come by another process too. */
const struct wr_server_conf *wr_sticky_choose(struct wr_sticky *y,
    const struct wr_pick *k, const struct wr_server_conf *sv);

/* The table of an upstream as status shows it. */
struct wr_sticky_table wr_sticky_table_of(
    const struct wr_stats *st, const struct wr_sticky_conf *c, uint64_t now_ms);

#endif
