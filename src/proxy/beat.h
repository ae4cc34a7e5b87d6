/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * beat - find out that a peer is gone, and leave one in peace that only
 * pauses.
 *
 * The kernel probes silent peers (keep-alive) and gives up one that does not
 * acknowledge (TCP_USER_TIMEOUT).  But it also counts the time during which a
 * living peer keeps its window closed, so while that is so the latter is the
 * `send` time-out instead.  Both are found out in ticks of the relay, and cost
 * short sessions nothing.
 */
#ifndef WR_BEAT_H
#define WR_BEAT_H

#include <stdint.h>

struct wr_session;

/* Of one end; interval_s 0: none. */
struct wr_beat {
	uint16_t interval_s;
	uint8_t misses;
	uint8_t state; /* enum in beat.c */
};

/* Milliseconds without a sign of life after which a peer is gone. */
static inline uint32_t
wr_beat_limit_ms(uint32_t interval_s, uint32_t misses)
{
	return interval_s * (misses + 1) * 1000;
}

/* The relay is about to start. */
void wr_beat_start(struct wr_session *s);
/* At WR_RELAY_TICK. */
void wr_beat_tick(struct wr_session *s);

#endif
