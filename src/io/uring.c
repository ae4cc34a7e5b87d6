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
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "io/ring.h"
#include "io/sock.h"
#include "io/splice.h"

#define REQUESTS    256  /* submitted at once */
#define COMPLETIONS 8192 /* of one turn of many sockets */

/*
 * Receives take buffers of two sizes: most messages are small, and a piece of
 * a block each keeps the memory small that a turn touches; a socket that has
 * more gets whole blocks.  A piece is a little more than a page, so that the
 * beginnings of all do not meet in a few sets of the cache.
 */
enum {
	SMALL,
	LARGE,
	GROUPS
};

static const struct {
	uint32_t per_block, min, max;
} buffers[GROUPS] = { { 15, 32, 1024 }, { 1, 2, 128 } };

#define LINE 64u

/* The low bits of user data: it is not an operation that answers. */
#define TAG_CANCEL 1u
#define TAG_MASK   7u

/* op->flags of a receive: it waits for bytes before the first try; it takes
 * a large buffer. */
#define POLLED 0x20u
#define BULK   0x40u

/* op->flags of what goes out: it waits for room, for one poll or for many;
 * both: that ends. */
#define ROOM_ONCE 0x20u
#define ROOM_MANY 0x40u
#define ROOM_END  (ROOM_ONCE | ROOM_MANY)

/* k->ready: what the next receive should do. */
#define TRY       1u /* bytes are likely to be there */
#define TAKE_MUCH 2u /* the last one filled a small buffer */

/* k->flags: the socket does not block. */
#define KF_NONBLOCK 0x10u

struct uring {
	struct wr_ring ring;
	struct wr_bufs bufs[GROUPS];
	uint32_t in_flight;
	uint64_t counted_ms;   /* threads were counted then */
	uint64_t crowded_turn; /* the last with many sends */
};

/* -- Requests ------------------------------------------------------------ */

static void reap(struct wr_loop *l, struct uring *u);
static void
send_done(struct wr_loop *l, struct wr_sock *k, struct wr_op *op, int res);

static struct io_uring_sqe *
get_sqe(struct wr_loop *l, struct uring *u)
{
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

static void
start(struct uring *u, struct io_uring_sqe *sqe, struct wr_op *op)
{
	assert(((uintptr_t)op & TAG_MASK) == 0 && op->owed == 0);
	sqe->user_data = (uintptr_t)op;
	op->owed = 1;
	u->in_flight++;
}

static bool
takes_large(const struct uring *u, const struct wr_sock *k)
{
	const struct wr_bufs *small = &u->bufs[SMALL], *large = &u->bufs[LARGE];

	if (small->n == 0 || large->n == 0) /* what is left */
		return small->n < large->n;
	return (k->ready & TAKE_MUCH) != 0 &&
	       (k->in.want == 0 || k->in.want > small->size);
}

/* `polled`: wait until there is something before the first try. */
static void
arm_recv(struct wr_loop *l, struct wr_sock *k, struct wr_op *op, bool polled)
{
	struct uring *u = l->priv;
	struct io_uring_sqe *sqe = get_sqe(l, u);

	op->flags &= (uint8_t) ~(POLLED | BULK);
	if (takes_large(u, k))
		op->flags |= BULK;
	io_uring_prep_recv(sqe, k->fd, NULL, op->want, 0);
	sqe->flags |= IOSQE_BUFFER_SELECT;
	sqe->buf_group = op->flags & BULK ? LARGE : SMALL;
	if (polled) {
		sqe->ioprio |= IORING_RECVSEND_POLL_FIRST;
		op->flags |= POLLED;
	}
	start(u, sqe, op);
}

/* A short send, or none, is how we learn of a slow reader: so it does not
 * wait, and does not go on by itself (MSG_WAITALL). */
static void
arm_send(struct wr_loop *l, struct wr_sock *k, struct wr_op *op)
{
	struct uring *u = l->priv;
	struct io_uring_sqe *sqe = get_sqe(l, u);
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
	start(u, sqe, op);
}

/*
 * One or two sends are cheaper as calls: done at once, they need no other
 * turn, and the receive that follows rides along with this one.
 */
static bool
few_sends(struct wr_loop *l, struct uring *u)
{
	if (l->sends.head != NULL && l->sends.head->next != NULL)
		u->crowded_turn = l->stats->turns;
	return u->crowded_turn != l->stats->turns;
}

static void
send_now(struct wr_loop *l, struct wr_sock *k, struct wr_op *op)
{
	uint32_t asked;

	send_done(l, k, op, wr_tx_send(l, k, &asked));
}

static void
arm_poll(struct wr_loop *l, struct wr_sock *k, struct wr_op *op, unsigned mask)
{
	struct uring *u = l->priv;
	struct io_uring_sqe *sqe = get_sqe(l, u);

	io_uring_prep_poll_add(sqe, k->fd, mask);
	start(u, sqe, op);
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
	struct uring *u = l->priv;
	struct io_uring_sqe *sqe = get_sqe(l, u);

	op->flags |= (uint8_t)how;
	if (how == ROOM_ONCE)
		io_uring_prep_poll_add(sqe, k->fd, POLLOUT);
	else
		io_uring_prep_poll_multishot(sqe, k->fd, POLLOUT);
	start(u, sqe, op);
}

static void
arm_accept(struct wr_loop *l, struct wr_sock *k, struct wr_op *op)
{
	struct uring *u = l->priv;

	if (op->flags & WR_OPF_SHARED) {
		arm_poll(l, k, op, POLLIN);
		return;
	}
	struct io_uring_sqe *sqe = get_sqe(l, u);
	io_uring_prep_multishot_accept(sqe, k->fd, NULL, NULL, SOCK_CLOEXEC);
	start(u, sqe, op);
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
	struct uring *u = l->priv;
	const struct sockaddr *sa = op->data;
	struct io_uring_sqe *sqe;

	if (sa->sa_family == AF_UNIX) {
		connect_unix(l, k, op);
		return;
	}
	sqe = get_sqe(l, u);
	io_uring_prep_connect(sqe, k->fd, sa, op->want);
	start(u, sqe, op);
}

/* By hand, as the kernel would use a thread for it. */
static int
move(struct wr_loop *l, struct wr_sock *k, struct wr_op *op)
{
	int err;

	if (!(k->flags & KF_NONBLOCK)) {
		l->stats->syscalls += 2;
		err = wr_sock_nonblock(k->fd, true);
		if (err < 0)
			return err;
		k->flags |= KF_NONBLOCK;
	}
	if (op->kind == WR_OP_FILL)
		return wr_pipe_fill(l, op->data, k->fd, l->chop);
	return wr_pipe_drain(l, op->data, k, l->chop);
}

static void
arm_move(struct wr_loop *l, struct wr_sock *k, struct wr_op *op)
{
	int res = move(l, k, op);

	if (res != -EAGAIN)
		wr_loop_post(l, op, res);
	else if (op->kind == WR_OP_FILL)
		arm_poll(l, k, op, POLLIN | POLLRDHUP);
	else
		wait_for_room(l, k, op, ROOM_ONCE);
}

static int
uring_arm(struct wr_loop *l, struct wr_sock *k, struct wr_op *op)
{
	switch (op->kind) {
	case WR_OP_ACCEPT:
		/* Several processes wait for one connection: all but one find
		 * nothing.  Never undone, as they share the flag too. */
		if (op->flags & WR_OPF_SHARED) {
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
		arm_recv(l, k, op,
		    !(k->ready & TRY) || (op->flags & WR_OPF_COLD) != 0);
		return 0;
	case WR_OP_SEND:
		if (few_sends(l, l->priv))
			send_now(l, k, op);
		else
			arm_send(l, k, op);
		return 0;
	case WR_OP_READABLE:
		arm_poll(l, k, op, POLLIN | POLLRDHUP);
		return 0;
	case WR_OP_WRITABLE:
		wait_for_room(l, k, op, ROOM_ONCE);
		return 0;
	case WR_OP_FILL:
	case WR_OP_DRAIN:
		arm_move(l, k, op);
		return 0;
	default:
		return -EINVAL;
	}
}

/* The operation answers for itself; what the cancel answers says nothing. */
static void
uring_cancel(struct wr_loop *l, wr_unused struct wr_sock *k, struct wr_op *op)
{
	struct io_uring_sqe *sqe = get_sqe(l, l->priv);

	io_uring_prep_cancel64(sqe, (uintptr_t)op, 0);
	sqe->user_data = TAG_CANCEL;
}

/* -- Completions --------------------------------------------------------- */

/* Two kinds of buffer, so that all are out only when both are. */
static void
no_buffer(struct wr_loop *l, struct wr_sock *k, struct wr_op *op)
{
	const struct uring *u = l->priv;

	/* The kernel says so too when there are no bytes, if it was to try. */
	if (!(op->flags & POLLED) || l->blocks.n_free > 0 ||
	    u->bufs[SMALL].n + u->bufs[LARGE].n > 0)
		arm_recv(l, k, op, true);
	else
		wr_loop_stall(l, op);
}

static void
recv_done(struct wr_loop *l, struct wr_sock *k, struct wr_op *op,
    const struct io_uring_cqe *cqe)
{
	struct uring *u = l->priv;
	bool more = (cqe->flags & IORING_CQE_F_SOCK_NONEMPTY) != 0;
	bool bulk = (op->flags & BULK) != 0, much;
	struct wr_slice s = { 0 };
	uint32_t small = u->bufs[SMALL].size;

	if (cqe->flags & IORING_CQE_F_BUFFER)
		s = wr_bufs_take(l, &u->bufs[bulk ? LARGE : SMALL],
		    cqe->flags >> IORING_CQE_BUFFER_SHIFT,
		    cqe->res > 0 ? (uint32_t)cqe->res : 0);
	if (cqe->res > 0) {
		much = bulk ? s.len > small : s.len == small && more;
		k->ready = (more ? TRY : 0) | (much ? TAKE_MUCH : 0);
		wr_loop_post_recv(l, op, &s, more);
		return;
	}
	wr_slice_put(l, &s);
	if (op->flags & WR_OPF_CANCEL)
		wr_loop_post(l, op, cqe->res == 0 ? 0 : -ECANCELED);
	else if (cqe->res == -ENOBUFS)
		no_buffer(l, k, op);
	else if (cqe->res == -EAGAIN || cqe->res == -EINTR)
		arm_recv(l, k, op, true);
	else
		wr_loop_post(l, op, cqe->res);
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

static void
room_done(
    struct wr_loop *l, struct wr_sock *k, struct wr_op *op, int res, bool more)
{
	unsigned how = op->flags & ROOM_END;
	bool room = res > 0 && (res & (POLLOUT | POLLERR | POLLHUP)) != 0;

	if (more) {
		if (room && how == ROOM_MANY) {
			op->flags |= ROOM_END;
			uring_cancel(l, k, op);
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
		arm_move(l, k, op);
	else
		wr_loop_post(l, op, 0);
}

/* Errors of one connection, which say nothing of the next. */
static bool
accept_goes_on(int err)
{
	return err != -EMFILE && err != -ENFILE && err != -ENOBUFS &&
	       err != -ENOMEM && err != -EINVAL && err != -EBADF &&
	       err != -ECANCELED && err != -ENOTSOCK && err != -EOPNOTSUPP;
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

	if ((op->flags & WR_OPF_SHARED) && res >= 0)
		res = cancelled ? -ECANCELED : accept_one(l, k);
	if (res >= 0)
		wr_loop_post_fd(l, op, res);
	if (more)
		return;
	if (cancelled)
		wr_loop_post(l, op, -ECANCELED);
	else if (res >= 0 || accept_goes_on(res))
		arm_accept(l, k, op);
	else
		wr_loop_post(l, op, res);
}

static void
finish(struct wr_loop *l, struct uring *u, const struct io_uring_cqe *cqe)
{
	struct wr_op *op = (struct wr_op *)(uintptr_t)cqe->user_data;
	bool more = (cqe->flags & IORING_CQE_F_MORE) != 0;
	struct wr_sock *k;

	if (cqe->user_data & TAG_MASK)
		return;
	assert(op->owed == 1 && op->state == WR_ST_WAIT);
	k = wr_op_sock(op);
	if (!more) {
		op->owed = 0;
		u->in_flight--;
	}
	if (!wr_op_is_in(op) && op->flags & ROOM_END) {
		room_done(l, k, op, cqe->res, more);
		return;
	}
	switch (op->kind) {
	case WR_OP_RECV:
		recv_done(l, k, op, cqe);
		break;
	case WR_OP_SEND:
		send_done(l, k, op, cqe->res);
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
			arm_move(l, k, op);
		break;
	default:
		wr_loop_post(l, op, cqe->res < 0 ? cqe->res : 0);
		break;
	}
}

/* May run inside itself, when a request finds no room. */
static void
reap(struct wr_loop *l, struct uring *u)
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
count_threads(struct wr_loop *l, struct uring *u)
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
	struct uring *u = l->priv;

	for (int i = 0; i < GROUPS; i++)
		wr_bufs_fill(l, &u->bufs[i]);
}

static void
uring_turn(struct wr_loop *l, int64_t wait_us)
{
	struct uring *u = l->priv;
	int rc;

	uring_refill(l);
	l->stats->syscalls++;
	rc = wr_ring_enter(
	    &u->ring, wait_us != 0, wait_us, IORING_ENTER_GETEVENTS);
	/* Woken, or short of memory: it is tried again. */
	assert(rc >= 0 || rc == -ETIME || rc == -EINTR || rc == -EAGAIN ||
	       rc == -EBUSY || rc == -ENOMEM);
	reap(l, u);
	for (int i = 0; i < GROUPS; i++)
		wr_bufs_adapt(&u->bufs[i]);
	/* A buffer may be there although none came home: who was to take it
	 * found the end of the stream. */
	if (l->stalled.head != NULL && u->bufs[SMALL].n + u->bufs[LARGE].n > 0)
		l->blocks.came_home = true;
	count_threads(l, u);
}

/* A receive that was stalled. */
static bool
uring_run(struct wr_loop *l, struct wr_sock *k, struct wr_op *op,
    wr_unused struct wr_done *d)
{
	arm_recv(l, k, op, true);
	return false;
}

static int
uring_attach(wr_unused struct wr_loop *l, struct wr_sock *k)
{
	k->ready = TRY;
	return 0;
}

static void
uring_detach(wr_unused struct wr_loop *l, struct wr_sock *k)
{
	assert(k->in.owed == 0 && k->out.owed == 0);
}

/* -- Beginning and end --------------------------------------------------- */

static void
release(struct uring *u)
{
	wr_ring_fini(&u->ring);
	for (int i = 0; i < GROUPS; i++)
		wr_bufs_fini(&u->bufs[i]);
	free(u);
}

static int
uring_init(struct wr_loop *l, wr_unused const struct wr_loop_conf *c)
{
	unsigned threads[2] = { 1, 1 };
	/* Most of the pool is for bytes that are there. */
	uint32_t share = l->blocks.n / 8 > 0 ? l->blocks.n / 8 : 1;
	struct uring *u = calloc(1, sizeof(*u));
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
	for (int i = 0; i < GROUPS && err == 0; i++) {
		uint32_t per = buffers[i].per_block, max = share * per;
		uint32_t size = l->blocks.block_size / per & ~(LINE - 1);

		if (max > buffers[i].max)
			max = buffers[i].max;
		err = wr_bufs_init(
		    &u->bufs[i], &u->ring, i, size, buffers[i].min, max);
	}
	if (err < 0) {
		release(u);
		return err;
	}
	l->priv = u;
	return 0;
}

static void
uring_fini(struct wr_loop *l)
{
	struct uring *u = l->priv;

	assert(u->in_flight == 0);
	for (int i = 0; i < GROUPS; i++)
		wr_bufs_drain(l, &u->bufs[i]);
	release(u);
}

static void
uring_abandon(struct wr_loop *l)
{
	release(l->priv);
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
	.turn = uring_turn,
	.refill = uring_refill,
};

#endif
