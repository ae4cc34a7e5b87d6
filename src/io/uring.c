/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * uring - the io_uring backend.
 *
 * One system call a turn: it submits what the turn has started, waits, and
 * runs the completions (DEFER_TASKRUN).  An operation is one request in the
 * kernel, named by its address; the kernel answers each exactly once, so the
 * address is free again when the answer was seen.
 *
 * Never used, because the kernel hands them to threads of its own:
 * IORING_OP_SHUTDOWN and IORING_OP_SPLICE.
 */
#ifdef WR_HAVE_IO_URING
#include "io/uring.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "io/sock.h"

#define REQUESTS    256      /* submitted at once */
#define COMPLETIONS WR_CROWD /* of one turn of many sockets */

/*
 * Receives take buffers of two sizes: most messages are small, and a piece of
 * a block each keeps the memory small that a turn touches; a socket that has
 * more gets whole blocks.  A piece is a little more than a page, so that the
 * beginnings of all do not meet in a few sets of the cache.
 */
static const struct {
	uint32_t per_block, min, max;
} buffers[WR_BUFS_KINDS] = { { 15, 32, 1024 }, { 1, 2, 128 } };

#define LINE 64u

/* Longer is not a small message. */
#define MESSAGE 4200u

/* op->flags of a receive: it waits for bytes before the first try; it takes
 * a large buffer. */
#define POLLED 0x20u
#define BULK   0x40u

/* op->flags of an accept: not by the kernel, but when we are told that there
 * is somebody. */
#define BY_HAND (WR_OPF_SHARED | WR_OPF_FEW)

/* -- Requests ------------------------------------------------------------ */

static void reap(struct wr_loop *l, struct wr_uring *u);

struct io_uring_sqe *
wr_uring_sqe(struct wr_loop *l)
{
	struct wr_uring *u = l->priv;
	struct io_uring_sqe *sqe;

	while ((sqe = io_uring_get_sqe(&u->ring.ring)) == NULL) {
		l->stats->syscalls++;
		if (wr_ring_enter(&u->ring, 0, 0, 0) > 0)
			continue;
		/* It wants its completions read first. */
		l->stats->syscalls++;
		(void)wr_ring_enter(&u->ring, 0, 0, IORING_ENTER_GETEVENTS);
		reap(l, u);
	}
	return sqe;
}

void
wr_uring_start(struct wr_uring *u, struct io_uring_sqe *sqe, struct wr_op *op)
{
	assert(((uintptr_t)op & WR_TAG_MASK) == 0 && op->owed == 0);
	sqe->user_data = (uintptr_t)op;
	op->owed = 1;
	u->in_flight++;
}

static bool
takes_large(const struct wr_uring *u, const struct wr_sock *k)
{
	const struct wr_bufs *small = &u->bufs[WR_BUFS_SMALL],
			     *large = &u->bufs[WR_BUFS_LARGE];

	if (small->n == 0 || large->n == 0) /* what is left */
		return small->n < large->n;
	return (k->ready & WR_NEXT_LARGE) != 0 &&
	       (k->in.want == 0 || k->in.want > small->size);
}

void
wr_uring_recv(
    struct wr_loop *l, struct wr_sock *k, struct wr_op *op, bool polled)
{
	struct wr_uring *u = l->priv;
	struct io_uring_sqe *sqe;

	if (wr_ahead_recv(l, k, op))
		return;
	sqe = wr_uring_sqe(l);
	op->flags &= (uint8_t) ~(POLLED | BULK);
	if (takes_large(u, k))
		op->flags |= BULK;
	io_uring_prep_recv(sqe, k->fd, NULL, op->want, 0);
	sqe->flags |= IOSQE_BUFFER_SELECT;
	sqe->buf_group = op->flags & BULK ? WR_BUFS_LARGE : WR_BUFS_SMALL;
	if (polled) {
		sqe->ioprio |= IORING_RECVSEND_POLL_FIRST;
		op->flags |= POLLED;
	}
	wr_uring_start(u, sqe, op);
}

void
wr_uring_poll(
    struct wr_loop *l, struct wr_sock *k, struct wr_op *op, unsigned mask)
{
	struct wr_uring *u = l->priv;
	struct io_uring_sqe *sqe = wr_uring_sqe(l);

	io_uring_prep_poll_add(sqe, k->fd, mask);
	wr_uring_start(u, sqe, op);
}

static void
arm_accept(struct wr_loop *l, struct wr_sock *k, struct wr_op *op)
{
	struct wr_uring *u = l->priv;

	if (op->flags & BY_HAND) {
		wr_uring_poll(l, k, op, POLLIN);
		return;
	}
	struct io_uring_sqe *sqe = wr_uring_sqe(l);
	io_uring_prep_accept(sqe, k->fd, NULL, NULL, SOCK_CLOEXEC);
	sqe->ioprio |= IORING_ACCEPT_MULTISHOT;
	wr_uring_start(u, sqe, op);
}

/*
 * The kernel hands a unix connect that finds the queue full to a thread; and
 * a connect that does not wait has its answer at once.
 */
static void
connect_unix(struct wr_loop *l, struct wr_sock *k, struct wr_op *op)
{
	int rc = wr_sock_nonblock(k->fd, true);

	if (rc == 0 && connect(k->fd, op->data, op->want) < 0)
		rc = -errno;
	l->stats->syscalls += 3;
	wr_loop_post(l, op, rc);
}

static void
arm_connect(struct wr_loop *l, struct wr_sock *k, struct wr_op *op)
{
	struct wr_uring *u = l->priv;
	const struct sockaddr *sa = op->data;
	struct io_uring_sqe *sqe;

	if (sa->sa_family == AF_UNIX) {
		connect_unix(l, k, op);
		return;
	}
	sqe = wr_uring_sqe(l);
	io_uring_prep_connect(sqe, k->fd, sa, op->want);
	wr_uring_start(u, sqe, op);
}

static int
uring_arm(struct wr_loop *l, struct wr_sock *k, struct wr_op *op)
{
	switch (op->kind) {
	case WR_OP_ACCEPT:
		/* Several processes may wait for one connection: all but one
		 * find nothing.  Never undone, as they share the flag too. */
		if (op->flags & BY_HAND) {
			int err = wr_sock_nonblock(k->fd, true);
			if (err < 0)
				return err;
		}
		arm_accept(l, k, op);
		return 0;
	case WR_OP_CONNECT:
		arm_connect(l, k, op);
		return 0;
	case WR_OP_RECV:
		wr_uring_recv(l, k, op,
		    !(k->ready & WR_NEXT_TRY) ||
			(op->flags & WR_OPF_COLD) != 0);
		return 0;
	case WR_OP_READABLE:
		/* The bytes would be behind those that we hold. */
		if (!wr_ahead_stop(l, k))
			return -EBUSY;
		wr_uring_poll(l, k, op, POLLIN | POLLRDHUP);
		return 0;
	case WR_OP_FILL:
		if (wr_ahead_stop(l, k))
			wr_uring_move(l, k, op);
		else
			wr_ahead_fill(l, k, op);
		return 0;
	case WR_OP_SEND:
	case WR_OP_DRAIN:
	case WR_OP_WRITABLE:
		wr_out_arm(l, k, op);
		return 0;
	default:
		return -EINVAL;
	}
}

void
wr_uring_cancel(struct wr_loop *l, uint64_t user_data)
{
	struct io_uring_sqe *sqe = wr_uring_sqe(l);

	io_uring_prep_cancel64(sqe, user_data, 0);
	sqe->user_data = WR_TAG_CANCEL;
}

/* The operation answers for itself; what the cancel answers says nothing. */
static void
uring_cancel(struct wr_loop *l, struct wr_sock *k, struct wr_op *op)
{
	if (op->owed == 0 || (wr_op_is_in(op) && wr_ahead_is_armed(k)))
		wr_loop_post(l, op, -ECANCELED);
	else
		wr_uring_cancel(l, (uintptr_t)op);
}

/* -- Completions --------------------------------------------------------- */

/* Two kinds of buffer, so that all are out only when both are. */
static void
no_buffer(struct wr_loop *l, struct wr_sock *k, struct wr_op *op)
{
	const struct wr_uring *u = l->priv;

	/* The kernel says so too when there are no bytes, if it was to try. */
	if (!(op->flags & POLLED) || l->blocks.n_free > 0 ||
	    u->bufs[WR_BUFS_SMALL].n + u->bufs[WR_BUFS_LARGE].n > 0)
		wr_uring_recv(l, k, op, true);
	else
		wr_loop_stall(l, op);
}

void
wr_uring_note(struct wr_sock *k, uint32_t len, bool more, bool large)
{
	unsigned chat = k->ready & WR_NEXT_CHAT;

	if (more || len > MESSAGE)
		chat = 0;
	else if (chat != WR_NEXT_CHAT)
		chat += WR_NEXT_CHAT & -WR_NEXT_CHAT;
	k->ready = (uint8_t)(chat | (more ? WR_NEXT_TRY : 0) |
			     (large ? WR_NEXT_LARGE : 0));
}

static void
recv_done(struct wr_loop *l, struct wr_sock *k, struct wr_op *op,
    const struct io_uring_cqe *cqe)
{
	struct wr_uring *u = l->priv;
	bool more = (cqe->flags & IORING_CQE_F_SOCK_NONEMPTY) != 0;
	bool bulk = (op->flags & BULK) != 0, much;
	struct wr_slice s = { 0 };
	uint32_t small = u->bufs[WR_BUFS_SMALL].size;

	if (cqe->flags & IORING_CQE_F_BUFFER)
		s = wr_bufs_take(l,
		    &u->bufs[bulk ? WR_BUFS_LARGE : WR_BUFS_SMALL],
		    cqe->flags >> IORING_CQE_BUFFER_SHIFT,
		    cqe->res > 0 ? (uint32_t)cqe->res : 0);
	if (cqe->res > 0) {
		much = bulk ? s.len > small : s.len == small && more;
		wr_uring_note(k, s.len, more, much);
		wr_loop_post_recv(l, op, &s, more);
		return;
	}
	wr_slice_put(l, &s);
	if (op->flags & WR_OPF_CANCEL)
		wr_loop_post(l, op, cqe->res == 0 ? 0 : -ECANCELED);
	else if (cqe->res == -ENOBUFS)
		no_buffer(l, k, op);
	else if (cqe->res == -EAGAIN || cqe->res == -EINTR)
		wr_uring_recv(l, k, op, true);
	else
		wr_loop_post(l, op, cqe->res);
}

/* It is readable, so there was somebody: one, or the next who accepts here
 * was quicker. */
static int
accept_one(struct wr_loop *l, struct wr_sock *k)
{
	int fd = accept4(k->fd, NULL, NULL, SOCK_CLOEXEC);

	l->stats->syscalls++;
	return fd >= 0 ? fd : -errno;
}

static void
accept_done(
    struct wr_loop *l, struct wr_sock *k, struct wr_op *op, int res, bool more)
{
	bool cancelled = (op->flags & WR_OPF_CANCEL) != 0;

	if (res >= 0 && !(op->flags & BY_HAND))
		wr_loop_post_fd(l, op, res);
	if (more)
		return;
	if (cancelled)
		wr_loop_post(l, op, -ECANCELED);
	else if (res >= 0 && op->flags & BY_HAND)
		wr_loop_ready(l, op);
	else if (res >= 0 || wr_accept_passes(res))
		arm_accept(l, k, op);
	else
		wr_loop_post(l, op, res);
}

static void
finish(struct wr_loop *l, struct wr_uring *u, const struct io_uring_cqe *cqe)
{
	uint64_t tag = cqe->user_data & WR_TAG_MASK;
	struct wr_op *op = (struct wr_op *)(uintptr_t)(cqe->user_data - tag);
	bool more = (cqe->flags & IORING_CQE_F_MORE) != 0;
	struct wr_sock *k;

	if (tag == WR_TAG_AHEAD)
		wr_ahead_done(l, wr_sock_of_in(op), cqe);
	if (tag != WR_TAG_OP)
		return;
	assert(op->owed == 1 && op->state == WR_ST_WAIT);
	k = wr_op_sock(op);
	if (!more) {
		op->owed = 0;
		u->in_flight--;
	}
	switch (op->kind) {
	case WR_OP_RECV:
		recv_done(l, k, op, cqe);
		break;
	case WR_OP_SEND:
	case WR_OP_DRAIN:
	case WR_OP_WRITABLE:
		wr_out_done(l, k, op, cqe->res, more);
		break;
	case WR_OP_ACCEPT:
		accept_done(l, k, op, cqe->res, more);
		break;
	case WR_OP_CONNECT:
		k->ready = 0; /* few servers speak at once */
		wr_loop_post(l, op, cqe->res);
		break;
	case WR_OP_FILL:
		if (op->flags & WR_OPF_CANCEL)
			wr_loop_post(l, op, -ECANCELED);
		else
			wr_uring_move(l, k, op);
		break;
	default:
		wr_loop_post(l, op, cqe->res < 0 ? cqe->res : 0);
		break;
	}
}

/* May run inside itself, when a request finds no room. */
static void
reap(struct wr_loop *l, struct wr_uring *u)
{
	struct io_uring_cq *cq = &u->ring.ring.cq;
	unsigned head = *cq->khead;

	while (head != io_uring_smp_load_acquire(cq->ktail)) {
		struct io_uring_cqe cqe = cq->cqes[head & *cq->kring_mask];

		io_uring_smp_store_release(cq->khead, head + 1);
		finish(l, u, &cqe);
		head = *cq->khead;
	}
}

/* Threads that the kernel made for us are named as ours in /proc; the number
 * of links of the folder is theirs and ours plus two. */
static void
count_threads(struct wr_loop *l, struct wr_uring *u)
{
	struct stat st;

	if (l->now_ms - u->counted_ms < 1000)
		return;
	u->counted_ms = l->now_ms;
	l->stats->syscalls++;
	if (stat("/proc/self/task", &st) == 0 && st.st_nlink >= 3)
		l->stats->iowq_threads = st.st_nlink - 3;
}

static void
uring_refill(struct wr_loop *l)
{
	struct wr_uring *u = l->priv;

	for (int i = 0; i < WR_BUFS_KINDS; i++)
		wr_bufs_fill(l, &u->bufs[i]);
}

static void
uring_turn(struct wr_loop *l, int64_t wait_us)
{
	struct wr_uring *u = l->priv;
	int rc;

	uring_refill(l);
	l->stats->syscalls++;
	rc = wr_ring_enter(
	    &u->ring, wait_us != 0, wait_us, IORING_ENTER_GETEVENTS);
	/* Woken, or short of memory: it is tried again. */
	assert(rc >= 0 || rc == -ETIME || rc == -EINTR || rc == -EAGAIN ||
	       rc == -EBUSY || rc == -ENOMEM);
	reap(l, u);
	l->blocks.unread =
	    (*u->ring.ring.sq.kflags & IORING_SQ_CQ_OVERFLOW) != 0;
	for (int i = 0; i < WR_BUFS_KINDS; i++)
		wr_bufs_adapt(&u->bufs[i]);
	/* A buffer may be there although none came home: who was to take it
	 * found the end of the stream. */
	if (l->stalled.head != NULL &&
	    u->bufs[WR_BUFS_SMALL].n + u->bufs[WR_BUFS_LARGE].n > 0)
		l->blocks.came_home = true;
	count_threads(l, u);
}

/* One listener after the other, so that a callback that says it was the last
 * one is heard before the next client is let in.  If more are waiting the
 * kernel says so as soon as it is asked. */
static bool
run_accept(
    struct wr_loop *l, struct wr_sock *k, struct wr_op *op, struct wr_done *d)
{
	d->res = accept_one(l, k);
	if (d->res < 0 && !wr_accept_passes(d->res))
		return true;
	arm_accept(l, k, op);
	d->flags = WR_MORE;
	return d->res >= 0;
}

/* A receive that was stalled, or somebody to accept. */
static bool
uring_run(
    struct wr_loop *l, struct wr_sock *k, struct wr_op *op, struct wr_done *d)
{
	if (op->kind == WR_OP_ACCEPT)
		return run_accept(l, k, op, d);
	wr_uring_recv(l, k, op, true);
	return false;
}

static int
uring_attach(wr_unused struct wr_loop *l, struct wr_sock *k)
{
	k->ready = WR_NEXT_TRY;
	return 0;
}

/* A standing receive ends before its socket is closed. */
static bool
uring_settle(struct wr_loop *l, struct wr_sock *k)
{
	(void)wr_ahead_stop(l, k);
	return !wr_ahead_is_armed(k);
}

static void
uring_detach(struct wr_loop *l, struct wr_sock *k)
{
	assert(k->in.owed == 0 && k->out.owed == 0);
	wr_ahead_drop(l, k);
}

/* -- Beginning and end --------------------------------------------------- */

static void
release(struct wr_loop *l)
{
	struct wr_uring *u = l->priv;

	wr_ring_fini(&u->ring);
	wr_ahead_fini(l);
	for (int i = 0; i < WR_BUFS_KINDS; i++)
		wr_bufs_fini(&u->bufs[i]);
	free(u);
}

static int
bufs_init(struct wr_loop *l, struct wr_uring *u)
{
	/* Most of the pool is for bytes that are there. */
	uint32_t share = l->blocks.n / 8 > 0 ? l->blocks.n / 8 : 1;
	int err = 0;

	for (int i = 0; i < WR_BUFS_KINDS && err == 0; i++) {
		uint32_t per = buffers[i].per_block, max = share * per;
		uint32_t size = l->blocks.block_size / per & ~(LINE - 1);

		if (max > buffers[i].max)
			max = buffers[i].max;
		err = wr_bufs_init(
		    &u->bufs[i], &u->ring, i, size, buffers[i].min, max);
	}
	return err;
}

static int
uring_init(struct wr_loop *l, wr_unused const struct wr_loop_conf *c)
{
	unsigned threads[2] = { 1, 1 };
	struct wr_uring *u = calloc(1, sizeof(*u));
	int err;

	if (u == NULL)
		return -ENOMEM;
	if ((err = wr_ring_init(&u->ring, REQUESTS, COMPLETIONS)) < 0) {
		free(u);
		return err;
	}
	/* Nothing we ask for needs a thread; a kernel that thinks otherwise
	 * must not make thousands. */
	(void)io_uring_register_iowq_max_workers(&u->ring.ring, threads);
	l->priv = u;
	err = bufs_init(l, u);
	if (err == 0)
		err = wr_ahead_init(l);
	if (err < 0)
		release(l);
	return err;
}

static void
uring_fini(struct wr_loop *l)
{
	struct wr_uring *u = l->priv;

	assert(u->in_flight == 0);
	for (int i = 0; i < WR_BUFS_KINDS; i++)
		wr_bufs_drain(l, &u->bufs[i]);
	release(l);
}

static void
uring_abandon(struct wr_loop *l)
{
	struct wr_uring *u = l->priv;

	u->aheads.used = 0; /* the parent's affair */
	release(l);
}

const struct wr_backend wr_backend_uring = {
	.name = "io_uring",
	.probe = wr_ring_probe,
	.init = uring_init,
	.fini = uring_fini,
	.abandon = uring_abandon,
	.attach = uring_attach,
	.detach = uring_detach,
	.arm = uring_arm,
	.cancel = uring_cancel,
	.run = uring_run,
	.settle = uring_settle,
	.turn = uring_turn,
	.refill = uring_refill,
};

#endif
