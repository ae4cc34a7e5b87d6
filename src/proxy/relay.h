/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * relay - pass bytes both ways between two ends until both are done.
 *
 * A relay is two pumps.  A pump either receives or sends, never both, so a
 * slow reader holds back a fast writer with no code to say so.  What one end
 * has ended is ended towards the other as soon as all was delivered.
 *
 * A direction in which much flows goes through a pipe of the kernel instead of
 * our memory, as long as that pays.
 *
 * Time costs nothing per message: an end notes when it last moved, and one
 * timer looks at the notes when the first of the time-outs could be over.
 */
#ifndef WR_RELAY_H
#define WR_RELAY_H

#include "proxy/conn.h"
#include "proxy/end.h"

struct wr_relay;

enum wr_relay_news {
	WR_RELAY_HEARD, /* the server's first byte has come */
	WR_RELAY_TICK,  /* tick_ms are over; r->tick_at is the last time */
	WR_RELAY_BULK, /* an end with `bulk` is sent much, for the first time */
	WR_RELAY_OVER,
};

typedef void
wr_relay_fn(struct wr_loop *l, struct wr_relay *r, enum wr_relay_news news);

/* Milliseconds, or WR_OFF. */
struct wr_limits {
	uint32_t idle;         /* no byte either way */
	uint32_t side_idle[2]; /* no byte from this side */
	uint32_t send;         /* a side takes no byte that we have for it */
	uint32_t half_close;   /* one side has ended, the other is idle */
	uint32_t first_byte;   /* the server says nothing to what it got */
	uint32_t lifetime;     /* since start_ms */
};

struct wr_relay {
	struct wr_conn end[2]; /* by enum wr_side; initialised by the caller */
	struct wr_pipe *pipe[2]; /* of what comes from that side, or NULL */
	struct wr_timer timer;   /* the caller's while the relay does not run */
	wr_relay_fn *tell;       /* NULL: it does not run */
	struct wr_limits limits; /* set by the caller */
	uint32_t start_ms;       /* set by the caller: when lifetime began */
	uint16_t start_laps;     /* the caller's: of the clock of start_ms */
	uint16_t tick_ms;        /* set by the caller, also when told: time
				    between ticks, 0: none.  While nothing
				    moves and `restless` is off there are
				    none, but for the first one. */
	uint32_t tick_at;
	uint32_t half_ms; /* when the first side ended */
	uint32_t nap_ms;  /* silence after which the timer sleeps */
	/* The result. */
	int err;      /* the error behind `why`, or 0 */
	uint8_t why;  /* enum wr_end */
	uint8_t torn; /* bit of each side of which bytes may be lost */
	uint8_t deaf; /* bit of each side that may talk on to nobody */
	bool restless;
};

/*
 * Start passing bytes between two connected ends with nothing in flight.
 * WR_RELAY_OVER is told once, perhaps before this returns.  Operations may
 * then still be in flight, so that an end can only be closed, but for one
 * that is in `deaf`: nothing goes out to it.
 */
void wr_relay_start(struct wr_loop *l, struct wr_relay *r, wr_relay_fn *tell);

/* Both ends are closed: give back what is left. */
void wr_relay_fini(struct wr_loop *l, struct wr_relay *r);

/* Limits were changed, or a side was given other limits: look at the clock. */
void wr_relay_look(struct wr_loop *l, struct wr_relay *r);

/* For how long an end has not taken bytes that are there for it; 0: none are,
 * or it has just taken some. */
uint32_t wr_relay_stalled_ms(const struct wr_loop *l, const struct wr_conn *c);

#endif
