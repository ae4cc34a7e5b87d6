/* SPDX-License-Identifier: BSD-2-Clause */
/* beat - see beat.h. */
#include "proxy/beat.h"

#include <errno.h>

#include "base/log.h"
#include "conf/key.h"
#include "io/sock.h"
#include "proxy/core.h"

/* A session that is younger is not worth five system calls. */
#define SETTLED_MS 1000
/* Those that settle within so much do so in one turn. */
#define TOGETHER_MS 64u
/* Shorter intervals are not spread: they would not come out even. */
#define SPREAD_S 10u
/* How often a session is looked at while bytes move. */
#define TICK_S 10u
_Static_assert(TICK_S * 1000 <= UINT16_MAX, "tick_ms");

enum state {
	NOT_SET, /* the socket has its own idea yet */
	CALM,    /* the kernel watches */
	UNSURE,  /* bytes were on their way at the last look */
	PAUSED,  /* its window was closed at the last look */
};

void
wr_beat_start(struct wr_session *s)
{
	uint32_t over = wr_proxy_now(s->px) % TOGETHER_MS;

	s->relay.tick_ms = (uint16_t)(SETTLED_MS + TOGETHER_MS - over);
	/* Accepted sockets have theirs from the listener, for the time being.
	 */
	s->beat[WR_CLIENT].state = NOT_SET;
	s->beat[WR_SERVER].state = NOT_SET;
}

/*
 * Thousands that came together would be probed together, and the kernel drops
 * what does not fit its queue, of the same ones each time.
 */
static uint32_t
early_s(struct wr_session *s, uint32_t interval_s)
{
	return interval_s < SPREAD_S
		   ? 0
		   : wr_random_below(&s->px->random, interval_s / 2 + 1);
}

static void
set(struct wr_session *s, enum wr_side side)
{
	struct wr_beat *b = &s->beat[side];
	int err = wr_sock_heartbeat(wr_session_conn(s, side)->sock.fd,
	    b->interval_s, b->misses, early_s(s, b->interval_s),
	    wr_beat_limit_ms(b->interval_s, b->misses));

	b->state = CALM;
	if (err == 0)
		return;
	/* A peer that has just left says so itself. */
	if (err != -EINVAL) {
		errno = -err;
		wr_warn("heartbeat");
	}
	b->interval_s = 0;
}

/* Bytes went out to it since the last look, or had not arrived then. */
static bool
is_worth_a_look(const struct wr_session *s, enum wr_side side)
{
	const struct wr_conn *c = &s->relay.end[side];
	uint32_t now = wr_proxy_now(s->px);

	return c->sock.out.kind != WR_OP_NONE || s->beat[side].state != CALM ||
	       now - c->out_ms <= now - s->relay.tick_at;
}

static void
look(struct wr_session *s, enum wr_side side)
{
	struct wr_beat *b = &s->beat[side];
	int fd = wr_session_conn(s, side)->sock.fd;
	enum wr_taken taken = wr_sock_taken(fd);
	uint32_t send_ms = s->relay.limits.send;
	unsigned ms = wr_beat_limit_ms(b->interval_s, b->misses);

	if ((taken == WR_TAKEN_NONE) != (b->state == PAUSED)) {
		if (taken == WR_TAKEN_NONE && send_ms > ms)
			ms = send_ms == WR_OFF ? 0 : send_ms;
		/* If it cannot be set it is as it was, which is safe. */
		(void)!wr_sock_user_timeout(fd, ms);
	}
	if (taken == WR_TAKEN_NONE)
		b->state = PAUSED;
	else
		b->state = taken == WR_TAKEN_ALL ? CALM : UNSURE;
}

void
wr_beat_tick(struct wr_session *s)
{
	uint32_t next_s = TICK_S;

	s->relay.restless = false;
	for (unsigned side = 0; side < 2; side++) {
		struct wr_beat *b = &s->beat[side];

		if (b->interval_s == 0)
			continue;
		if (b->state == NOT_SET)
			set(s, side);
		else if (is_worth_a_look(s, side))
			look(s, side);
		s->relay.restless |= b->state != CALM;
		if (b->interval_s < next_s)
			next_s = b->interval_s;
	}
	s->relay.tick_ms = (uint16_t)(next_s * 1000);
}
