/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * out - what io_uring sends, and how it waits for room (see uring.h).
 */
#ifdef WR_HAVE_IO_URING
#include <errno.h>
#include <poll.h>
#include <string.h>

#include "io/sock.h"
#include "io/splice.h"
#include "io/uring.h"

/* op->flags of what goes out: it waits for room, for one poll or for many;
 * both: that ends. */
#define ROOM_ONCE 0x20u
#define ROOM_MANY 0x40u
#define ROOM_END  (ROOM_ONCE | ROOM_MANY)

/* A short send, or none, is how we learn of a slow reader: so it does not
 * wait, and does not go on by itself (MSG_WAITALL). */
static void
arm_send(struct wr_loop *l, struct wr_sock *k, struct wr_op *op)
{
	struct wr_uring *u = l->priv;
	struct io_uring_sqe *sqe = wr_uring_sqe(l);
	struct wr_tx *tx = op->data;
	int flags = MSG_NOSIGNAL | MSG_DONTWAIT |
		    (op->flags & WR_OPF_MORE ? MSG_MORE : 0);
	struct iovec one;

	if (tx->n - tx->at == 1) {
		(void)wr_tx_iov(tx, &one, l->chop);
		io_uring_prep_send(
		    sqe, k->fd, one.iov_base, one.iov_len, flags);
	} else {
		struct wr_gather *g = tx->gather;

		memset(&g->msg, 0, sizeof(g->msg));
		g->msg.msg_iov = g->iov;
		g->msg.msg_iovlen = (size_t)wr_tx_iov(tx, g->iov, l->chop);
		io_uring_prep_sendmsg(sqe, k->fd, &g->msg, (unsigned)flags);
	}
	wr_uring_start(u, sqe, op);
}

/*
 * Wait until there is room to send.  Not by a send that polls first: every
 * poll of the kernel ends when the peer has half-closed, room or no room; the
 * send would then be tried in vain some times, and given to a thread.  So the
 * first poll may say nothing, and then one is told of changes only.
 */
static void
wait_for_room(
    struct wr_loop *l, struct wr_sock *k, struct wr_op *op, unsigned how)
{
	struct wr_uring *u = l->priv;
	struct io_uring_sqe *sqe = wr_uring_sqe(l);

	op->flags |= (uint8_t)how;
	if (how == ROOM_ONCE)
		io_uring_prep_poll_add(sqe, k->fd, POLLOUT);
	else
		io_uring_prep_poll_multishot(sqe, k->fd, POLLOUT);
	wr_uring_start(u, sqe, op);
}

/* By hand, as the kernel would use a thread for it. */
static int
move(struct wr_loop *l, struct wr_sock *k, struct wr_op *op)
{
	int err;

	if (!(k->flags & WR_KF_NONBLOCK)) {
		l->stats->syscalls += 2;
		err = wr_sock_nonblock(k->fd, true);
		if (err < 0)
			return err;
		k->flags |= WR_KF_NONBLOCK;
	}
	if (op->kind == WR_OP_FILL)
		return wr_pipe_fill(l, op->data, k->fd, l->chop);
	return wr_pipe_drain(l, op->data, k, l->chop);
}

void
wr_uring_move(struct wr_loop *l, struct wr_sock *k, struct wr_op *op)
{
	int res = move(l, k, op);

	if (res != -EAGAIN)
		wr_loop_post(l, op, res);
	else if (op->kind == WR_OP_FILL)
		wr_uring_poll(l, k, op, POLLIN | POLLRDHUP);
	else
		wait_for_room(l, k, op, ROOM_ONCE);
}

static void
send_done(struct wr_loop *l, struct wr_sock *k, struct wr_op *op, int res)
{
	struct wr_tx *tx = op->data;
	bool slow = l->chop == 0 || res <= 0;

	if (res > 0)
		wr_tx_advance(l, k, (uint32_t)res);
	else if (res != 0 && res != -EAGAIN && res != -EINTR) {
		wr_loop_post(l, op, res);
		return;
	}
	if (tx->left == 0) {
		wr_loop_post(l, op, 0);
	} else if (op->flags & WR_OPF_CANCEL) {
		wr_loop_post(l, op, -ECANCELED);
	} else {
		if (!slow) {
			arm_send(l, k, op);
			return;
		}
		op->flags |= WR_OPF_SHORT;
		l->stats->short_sends++;
		wr_tx_spill(l, tx);
		wait_for_room(l, k, op, ROOM_ONCE);
	}
}

/*
 * One or two sends are cheaper as calls: done at once, they need no other
 * turn, and the receive that follows rides along with this one.
 */
static bool
few_sends(struct wr_loop *l, struct wr_uring *u)
{
	if (l->sends.head != NULL && l->sends.head->next != NULL)
		u->crowded_turn = l->stats->turns;
	return u->crowded_turn != l->stats->turns;
}

void
wr_out_arm(struct wr_loop *l, struct wr_sock *k, struct wr_op *op)
{
	uint32_t asked;

	if (op->kind == WR_OP_DRAIN)
		wr_uring_move(l, k, op);
	else if (op->kind == WR_OP_WRITABLE)
		wait_for_room(l, k, op, ROOM_ONCE);
	else if (few_sends(l, l->priv))
		send_done(l, k, op, wr_tx_send(l, k, &asked));
	else
		arm_send(l, k, op);
}

static void
room_done(
    struct wr_loop *l, struct wr_sock *k, struct wr_op *op, int res, bool more)
{
	unsigned how = op->flags & ROOM_END;
	bool room = res > 0 && (res & (POLLOUT | POLLERR | POLLHUP)) != 0;

	if (more) {
		if (room && how == ROOM_MANY) {
			op->flags |= ROOM_END;
			wr_uring_cancel(l, (uintptr_t)op);
		}
		return;
	}
	op->flags &= (uint8_t)~ROOM_END;
	if (op->flags & WR_OPF_CANCEL)
		wr_loop_post(l, op, -ECANCELED);
	else if (res < 0 && how != ROOM_END)
		wr_loop_post(l, op, res);
	else if (!room && how != ROOM_END)
		wait_for_room(l, k, op, ROOM_MANY);
	else if (op->kind == WR_OP_SEND)
		arm_send(l, k, op);
	else if (op->kind == WR_OP_DRAIN)
		wr_uring_move(l, k, op);
	else
		wr_loop_post(l, op, 0);
}

void
wr_out_done(
    struct wr_loop *l, struct wr_sock *k, struct wr_op *op, int res, bool more)
{
	if (op->flags & ROOM_END)
		room_done(l, k, op, res, more);
	else
		send_done(l, k, op, res);
}

#endif
