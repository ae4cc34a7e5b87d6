/* SPDX-License-Identifier: BSD-2-Clause */
/* reply - see reply.h. */
#include "proxy/reply.h"

#include "proxy/core.h"

/* So much is heard before we answer in any case. */
#define PREREAD_MAX 8192u

static wr_done_fn on_heard, on_told;

/* One receive serves preread and linger, so that nothing needs to be taken
 * back when the time for listening is over. */
static void
hear(struct wr_session *s)
{
	struct wr_conn *c = wr_session_conn(s, WR_CLIENT);
	int err;

	if (c->sock.in.kind != WR_OP_NONE)
		return;
	err = wr_conn_recv(s->px->loop, c, PREREAD_MAX, 0, on_heard);
	if (err < 0)
		wr_session_end(s, WR_END_WEIR_ANY_ERROR);
}

static void
judge(struct wr_session *s, const struct wr_slice *in)
{
	int enough = s->judge(s, in->mem, in->len);

	s->eaten += in->len;
	if (enough > 0 || s->eaten >= PREREAD_MAX)
		wr_session_go(s, WR_ANSWER);
	else
		hear(s);
}

static void
on_heard(struct wr_loop *l, struct wr_op *op, const struct wr_done *d)
{
	struct wr_conn *c = wr_conn_of_in(op);
	struct wr_session *s = wr_session_of(c);
	struct wr_slice in = d->in;

	if (d->res <= 0) {
		c->over = true;
		if (d->res < 0 || s->state == WR_LINGER)
			wr_session_end(s, WR_END_CLIENT_ANSWER_RESET);
		else if (s->state == WR_PREREAD)
			wr_session_go(s, WR_ANSWER);
		return;
	}
	c->bytes += (uint64_t)d->res;
	if (s->state == WR_PREREAD)
		judge(s, &in);
	else if (s->state == WR_LINGER)
		hear(s);
	wr_slice_put(l, &in);
}

void
wr_reply_read(struct wr_session *s)
{
	wr_session_limit(s, s->rules->timeouts.ms[WR_T_PREREAD]);
	hear(s);
}

/* Whoever says little gets its answer too. */
void
wr_reply_read_late(struct wr_session *s)
{
	wr_session_go(s, WR_ANSWER);
}

void
wr_reply_answer(struct wr_session *s)
{
	struct wr_conn *c = wr_session_conn(s, WR_CLIENT);
	struct wr_slice v = wr_slice_const(s->answer->bytes, s->answer->len);
	int err;

	c->seen = 0;
	wr_session_limit(s, s->rules->timeouts.ms[WR_T_SEND]);
	err = wr_conn_send(s->px->loop, c, &v, 1, 0, on_told);
	if (err < 0)
		wr_session_end(s, WR_END_WEIR_ANY_ERROR);
}

/* A slow reader is not a silent one. */
void
wr_reply_answer_late(struct wr_session *s)
{
	struct wr_conn *c = wr_session_conn(s, WR_CLIENT);

	if (c->sock.sent == c->seen) {
		wr_session_end(s, WR_END_CLIENT_ANSWER_TIMEOUT);
		return;
	}
	c->seen = c->sock.sent;
	wr_session_limit(s, s->rules->timeouts.ms[WR_T_SEND]);
}

static void
on_told(struct wr_loop *l, struct wr_op *op, const struct wr_done *d)
{
	struct wr_conn *c = wr_conn_of_out(op);
	struct wr_session *s = wr_session_of(c);

	(void)l;
	if (d->res < 0) {
		wr_session_conn(s, WR_SERVER)->bytes = c->sock.sent;
		wr_session_end(s, WR_END_CLIENT_ANSWER_RESET);
		return;
	}
	wr_session_conn(s, WR_SERVER)->bytes = (uint64_t)d->res;
	/* It may have been turned away. */
	if (s->end == WR_END_NONE)
		s->end = WR_END_WEIR_ROUTE_ANSWER;
	wr_session_go(s, WR_LINGER);
}

/*
 * Bytes that nobody read make a close a reset, and a reset can overtake the
 * answer: so read on until the client is content.
 */
void
wr_reply_linger(struct wr_session *s)
{
	struct wr_conn *c = wr_session_conn(s, WR_CLIENT);

	if (s->open & 1u << WR_SERVER)
		wr_session_hang_up(s, WR_SERVER);
	if ((c->over && s->relay.deaf == 0) || s->linger_ms == WR_OFF ||
	    wr_conn_shutdown(s->px->loop, c) < 0) {
		wr_session_end(s, s->end);
		return;
	}
	wr_session_limit(s, s->linger_ms);
	hear(s);
}

void
wr_reply_linger_late(struct wr_session *s)
{
	wr_session_end(s, s->end);
}
