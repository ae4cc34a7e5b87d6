/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * limit - how many sessions, and how often, over all workers.
 *
 * The tables are in shared memory (proxy/stats.h).  Nothing is locked: a slot
 * counts its own sessions, and a look adds up over the slots; a rate is one
 * word that is exchanged.  What finds no place in a full table is let in.
 */
#ifndef WR_LIMIT_H
#define WR_LIMIT_H

#include "conf/key.h"
#include "proxy/stats.h"

/* Count one more of `key` in `slot`: what wr_limit_drop() takes; 0: full. */
uint16_t wr_limit_add(const struct wr_stats *st, uint32_t slot, uint64_t key);
void wr_limit_drop(const struct wr_stats *st, uint32_t slot, uint16_t at);
/* All that count, over all slots.  Of several who each add first and then
 * look, the last one sees all. */
uint64_t wr_limit_sum(const struct wr_stats *st, uint64_t key);

enum wr_rated {
	WR_RATE_PASS,
	WR_RATE_OVER, /* too early; it is not counted */
	WR_RATE_FULL
};

/* Does one more of `key` come in time?  `burst` may come early. */
enum wr_rated wr_limit_rate(struct wr_limit_rates *t, uint64_t key,
    const struct wr_rate *rate, uint32_t burst, uint64_t now_ns);

#endif
