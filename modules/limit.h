/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * limit - how many sessions, and how often, over all workers.
 *
 * The tables are in shared memory (proxy/stats.h).  A slot counts its own
 * sessions, so that those of a dead process are known, and a look adds up over
 * the slots; a rate is one word that is exchanged.  What finds no place in a
 * full table is let in.
 */
#ifndef WR_LIMIT_H
#define WR_LIMIT_H

#include "conf/key.h"
#include "proxy/stats.h"

enum wr_claimed {
	WR_CLAIM_IN,
	WR_CLAIM_OVER, /* there are `max` already */
	WR_CLAIM_FULL  /* no room to count it */
};

/*
 * Count one more of `key` in `slot`, of at most `max` over all slots.  If it is
 * counted, `*at` is what wr_limit_drop() takes, else 0; those over are counted
 * only if told to `keep` them.
 *
 * Exactly `max` are in, however many ask at once.  Only if one process is held
 * up for 10 ms in the middle of this, one too many may be told WR_CLAIM_OVER.
 */
enum wr_claimed wr_limit_claim(const struct wr_stats *st, uint32_t slot,
    uint64_t key, uint32_t max, bool keep, uint16_t *at);
void wr_limit_drop(const struct wr_stats *st, uint32_t slot, uint16_t at);
/* All that count, over all slots. */
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
