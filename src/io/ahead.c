/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ahead - a receive that stays armed while a socket is chatty.
 *
 * To arm a receive again for each small message costs the kernel about as
 * much as the message.  A socket that got some small ones in a row gets a
 * multishot receive with a credit of some bytes.  What comes while nobody has
 * asked is copied out of the buffer and is the next to be received; a few KiB
 * of it end the matter.  A peer that sends much uses up the credit.
 */
#ifdef WR_HAVE_IO_URING
#include <assert.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "io/splice.h"
#include "io/uring.h"

#define CHATTY   8u     /* so many small messages begin it */
#define CREDIT   32768u /* bytes; checked by the kernel after each buffer */
#define KEPT_MAX 4096u  /* so many bytes that nobody asked for end it */
#define SOCKS    8192u  /* at most so many at once */

/* k->flags */
#define KF_ARMED 0x20u
#define KF_STOP  0x40u /* its cancel was sent */

/* Bytes that were taken before they were asked for; k->slot - 1 is its place
 * in the pool. */
struct ahead {
	uint32_t at, len;
	bool ended;
	int end; /* then: 0 or a negative errno */
	uint8_t bytes[];
};

int
wr_ahead_init(struct wr_loop *l)
{
	struct wr_uring *u = l->priv;

	return wr_pool_init(&u->aheads,
	    sizeof(struct ahead) + CREDIT + u->bufs[WR_BUFS_SMALL].size, 64,
	    SOCKS);
}

void
wr_ahead_fini(struct wr_loop *l)
{
	struct wr_uring *u = l->priv;

	wr_pool_fini(&u->aheads);
}

static struct ahead *
ahead_of(const struct wr_uring *u, const struct wr_sock *k)
{
	assert(k->slot > 0);
	return (struct ahead *)(void *)(u->aheads.mem +
					(size_t)(k->slot - 1) * u->aheads.size);
}

static struct ahead *
ahead_get(struct wr_uring *u, struct wr_sock *k)
{
	struct ahead *a;

	if (k->slot > 0)
		return ahead_of(u, k);
	a = wr_pool_get(&u->aheads);
	assert(a != NULL); /* u->standing counts those that may need one */
	memset(a, 0, sizeof(*a));
	k->slot = wr_pool_index(&u->aheads, a) + 1;
	return a;
}

/* It may need no place any more. */
static void
leave(struct wr_uring *u, const struct wr_sock *k)
{
	if (k->slot == 0 && !(k->flags & KF_ARMED))
		u->standing--;
}

static void
ahead_put(struct wr_uring *u, struct wr_sock *k)
{
	wr_pool_put(&u->aheads, ahead_of(u, k));
	k->slot = 0;
	leave(u, k);
}

void
wr_ahead_drop(struct wr_loop *l, struct wr_sock *k)
{
	assert(!(k->flags & KF_ARMED));
	if (k->slot > 0)
		ahead_put(l->priv, k);
}

static void
keep(struct wr_loop *l, struct wr_sock *k, const struct wr_slice *s)
{
	struct wr_uring *u = l->priv;
	struct ahead *a = ahead_get(u, k);

	assert(sizeof(*a) + a->len + s->len <= u->aheads.size);
	memcpy(a->bytes + a->len, s->mem, s->len);
	a->len += s->len;
	if (a->len - a->at > KEPT_MAX) {
		k->ready &= (uint8_t)~WR_NEXT_CHAT;
		(void)wr_ahead_stop(l, k);
	}
}

/* Give `op` what it wants of `s`, and keep the rest. */
static void
give(struct wr_loop *l, struct wr_sock *k, struct wr_op *op, struct wr_slice *s,
    bool more)
{
	struct wr_slice rest = *s;

	if (op->want != 0 && op->want < s->len) {
		rest.mem += op->want;
		rest.len -= op->want;
		keep(l, k, &rest);
		s->len = op->want;
		more = true;
	}
	wr_loop_post_recv(l, op, s, more);
}

/* Give `op` what was kept. */
static void
give_kept(struct wr_loop *l, struct wr_sock *k, struct wr_op *op)
{
	struct wr_uring *u = l->priv;
	struct ahead *a = ahead_of(u, k);
	uint32_t n = a->len - a->at;
	struct wr_slice s;
	int end = a->end;
	bool more;

	if (n == 0) {
		assert(a->ended);
		ahead_put(u, k);
		wr_loop_post(l, op, end);
		return;
	}
	if (!wr_room_get(l, op->want, &s)) {
		wr_loop_stall(l, op);
		return;
	}
	if (n > s.len)
		n = s.len;
	memcpy(s.mem, a->bytes + a->at, n);
	wr_room_take(l, &s, n);
	a->at += n;
	more = a->at < a->len || a->ended;
	if (!more) {
		ahead_put(u, k);
	}
	wr_loop_post_recv(l, op, &s, more || k->ready & WR_NEXT_TRY);
}

/* What was kept goes into the pipe first, by copy; or, if nothing was, the
 * standing receive is on its way out, and wr_ahead_done() begins. */
void
wr_ahead_fill(struct wr_loop *l, struct wr_sock *k, struct wr_op *op)
{
	struct wr_uring *u = l->priv;
	struct wr_pipe *p = op->data;
	struct ahead *a;
	ssize_t n;

	if (k->slot == 0)
		return;
	a = ahead_of(u, k);
	n = (ssize_t)(a->len - a->at);
	if (n == 0) {
		n = a->end;
	} else {
		if (l->chop != 0 && n > (ssize_t)l->chop)
			n = (ssize_t)l->chop;
		if (n > (ssize_t)p->size)
			n = (ssize_t)p->size;
		l->stats->syscalls++;
		n = write(p->w, a->bytes + a->at, (size_t)n);
		if (n < 0)
			n = -errno;
	}
	if (n > 0) {
		p->held = (uint32_t)n;
		a->at += (uint32_t)n;
	}
	if (a->at == a->len && (n <= 0 || !a->ended))
		ahead_put(u, k);
	wr_loop_post(l, op, (int)n);
}

static void
arm(struct wr_loop *l, struct wr_sock *k)
{
	struct wr_uring *u = l->priv;
	struct io_uring_sqe *sqe = wr_uring_sqe(l);

	io_uring_prep_recv_multishot(sqe, k->fd, NULL, 0, 0);
	sqe->flags |= IOSQE_BUFFER_SELECT;
	sqe->buf_group = WR_BUFS_SMALL;
	sqe->ioprio |= IORING_RECVSEND_POLL_FIRST;
	sqe->file_index = CREDIT; /* Linux 6.17: the same word as optlen */
	sqe->user_data = (uintptr_t)&k->in | WR_TAG_AHEAD;
	k->flags |= KF_ARMED;
	u->in_flight++;
	u->standing++;
}

bool
wr_ahead_recv(struct wr_loop *l, struct wr_sock *k, struct wr_op *op)
{
	const struct wr_uring *u = l->priv;

	if (k->slot > 0) {
		give_kept(l, k, op);
		return true;
	}
	if (k->flags & KF_ARMED)
		return true;
	if (u->no_ahead || u->standing == SOCKS || op->want != 0 ||
	    (k->ready & WR_NEXT_CHAT) < CHATTY << 2)
		return false;
	arm(l, k);
	return true;
}

/* Only this receive says so, not the socket. */
static bool
goes_on(struct wr_uring *u, struct wr_sock *k, int res)
{
	switch (res) {
	case -EINVAL:
		u->no_ahead = true;
		return true;
	case -ENOBUFS:
		k->ready &= (uint8_t)~WR_NEXT_CHAT;
		return true;
	case -ECANCELED:
	case -EAGAIN:
	case -EINTR:
		return true;
	default:
		return false;
	}
}

static void
ended(struct wr_loop *l, struct wr_sock *k, struct wr_op *op, int res)
{
	struct ahead *a;

	if (op != NULL) {
		wr_loop_post(l, op, res);
		return;
	}
	a = ahead_get(l->priv, k);
	a->ended = true;
	a->end = res;
}

static void
take(struct wr_loop *l, struct wr_sock *k, struct wr_op *op,
    const struct io_uring_cqe *cqe)
{
	struct wr_uring *u = l->priv;
	bool more = (cqe->flags & IORING_CQE_F_SOCK_NONEMPTY) != 0;
	struct wr_slice s = { 0 };

	if (cqe->flags & IORING_CQE_F_BUFFER)
		s = wr_bufs_take(l, &u->bufs[WR_BUFS_SMALL],
		    cqe->flags >> IORING_CQE_BUFFER_SHIFT,
		    cqe->res > 0 ? (uint32_t)cqe->res : 0);
	if (cqe->res > 0) {
		wr_uring_note(k, s.len, more, false);
		if (op != NULL) {
			give(l, k, op, &s, more);
			return;
		}
		keep(l, k, &s);
	} else if (!goes_on(u, k, cqe->res)) {
		ended(l, k, op, cqe->res);
	}
	wr_slice_put(l, &s);
}

void
wr_ahead_done(
    struct wr_loop *l, struct wr_sock *k, const struct io_uring_cqe *cqe)
{
	struct wr_uring *u = l->priv;
	struct wr_op *op = NULL; /* who waits for it */

	if (k->in.kind == WR_OP_RECV && k->in.state == WR_ST_WAIT)
		op = &k->in;
	assert(op == NULL || k->slot == 0);
	take(l, k, op, cqe);
	if (cqe->flags & IORING_CQE_F_MORE)
		return;
	k->flags &= (uint8_t) ~(KF_ARMED | KF_STOP);
	u->in_flight--;
	leave(u, k);
	if (op != NULL && op->state == WR_ST_WAIT)
		wr_uring_recv(l, k, op, true);
	if (k->in.kind == WR_OP_FILL && k->in.state == WR_ST_WAIT) {
		if (k->slot > 0)
			wr_ahead_fill(l, k, &k->in);
		else
			wr_uring_move(l, k, &k->in);
	}
	if (k->closing)
		wr_loop_settled(l, k);
}

bool
wr_ahead_is_armed(const struct wr_sock *k)
{
	return (k->flags & KF_ARMED) != 0;
}

bool
wr_ahead_stop(struct wr_loop *l, struct wr_sock *k)
{
	if ((k->flags & (KF_ARMED | KF_STOP)) == KF_ARMED) {
		wr_uring_cancel(l, (uintptr_t)&k->in | WR_TAG_AHEAD);
		k->flags |= KF_STOP;
	}
	return !(k->flags & KF_ARMED) && k->slot == 0;
}

#endif
