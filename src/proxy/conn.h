/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * conn - one end of a session: a socket, plain or behind a transport.
 *
 * A transport (TLS) stands between the socket and whoever uses the end.  It
 * has the same four functions with the same contracts, works with lent slices
 * of clear text, and completes with the socket's own operations, so that a
 * relay never knows which it has.
 */
#ifndef WR_CONN_H
#define WR_CONN_H

#include "io/loop.h"

enum wr_side {
	WR_CLIENT,
	WR_SERVER
};

struct wr_conn;

struct wr_transport_ops {
	int (*recv)(struct wr_loop *l, struct wr_conn *c, uint32_t max,
	    unsigned flags, wr_done_fn *fn);
	int (*send)(struct wr_loop *l, struct wr_conn *c,
	    const struct wr_slice *v, int n, unsigned flags, wr_done_fn *fn);
	int (*shutdown)(struct wr_loop *l, struct wr_conn *c);
	/* `reset`: the peer must not take this for an end. */
	void (*close)(
	    struct wr_loop *l, struct wr_conn *c, bool reset, wr_close_fn *fn);
};

/* The first member of whatever a transport keeps per end. */
struct wr_transport {
	const struct wr_transport_ops *ops;
};

/* Two cache lines; a relay's hot path touches nothing else of a session. */
struct wr_conn {
	struct wr_sock sock;      /* first: operations lead back to the end */
	struct wr_transport *via; /* NULL: plain */
	uint64_t bytes;           /* that came from here and were delivered */
	uint32_t in_ms;           /* the last byte came */
	uint32_t out_ms;          /* it last took a byte */
	uint32_t seen;            /* of a send, at the last look */
	uint8_t side;             /* enum wr_side */
	bool over;                /* nothing more comes from here */
	bool slow;                /* took the last bytes only piece by piece */
	bool hint : 1;            /* seemed to have more to say */
	bool bulk : 1;            /* a lot was sent to it once */
	uint8_t full : 5;         /* how often in a row it had much to say */
};

_Static_assert(sizeof(struct wr_conn) == 128, "an end is two cache lines");

static inline struct wr_conn *
wr_conn_of_in(struct wr_op *op)
{
	return wr_container_of(op, struct wr_conn, sock.in);
}

static inline struct wr_conn *
wr_conn_of_out(struct wr_op *op)
{
	return wr_container_of(op, struct wr_conn, sock.out);
}

static inline struct wr_conn *
wr_conn_of_sock(struct wr_sock *k)
{
	return wr_container_of(k, struct wr_conn, sock);
}

/* Bytes are on their way to it that it has not taken. */
static inline bool
wr_conn_owed(const struct wr_conn *c)
{
	return c->sock.out.kind == WR_OP_SEND ||
	       c->sock.out.kind == WR_OP_DRAIN;
}

/* As wr_recv(). */
wr_must_check static inline int
wr_conn_recv(struct wr_loop *l, struct wr_conn *c, uint32_t max, unsigned flags,
    wr_done_fn *fn)
{
	return c->via == NULL ? wr_recv(l, &c->sock, max, flags, fn)
			      : c->via->ops->recv(l, c, max, flags, fn);
}

/* As wr_send(). */
wr_must_check static inline int
wr_conn_send(struct wr_loop *l, struct wr_conn *c, const struct wr_slice *v,
    int n, unsigned flags, wr_done_fn *fn)
{
	return c->via == NULL ? wr_send(l, &c->sock, v, n, flags, fn)
			      : c->via->ops->send(l, c, v, n, flags, fn);
}

/* As wr_shutdown(). */
wr_must_check static inline int
wr_conn_shutdown(struct wr_loop *l, struct wr_conn *c)
{
	return c->via == NULL ? wr_shutdown(l, &c->sock)
			      : c->via->ops->shutdown(l, c);
}

/* Take over `fd` as this end.  -errno as wr_sock_init(). */
wr_must_check int
wr_conn_init(struct wr_loop *l, struct wr_conn *c, enum wr_side side, int fd);

/* As wr_close(), or wr_abort() if the peer must not take this for an end. */
void wr_conn_close(
    struct wr_loop *l, struct wr_conn *c, bool reset, wr_close_fn *fn);

#endif
