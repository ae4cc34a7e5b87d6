/* SPDX-License-Identifier: BSD-2-Clause */
/* batch - io_submit(2) for sockets; see batch.h. */
#ifdef WR_HAVE_EPOLL

#include "io/batch.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "io/ready.h"

/* So many at once; with fewer than FEW the two calls of a batch do not pay. */
#define BATCH 64u
#define FEW   4u

/* Room for one receive.  A socket that fills it has more, and is asked again
 * with more room. */
#define ROOM 16384u

struct wr_batch {
	aio_context_t context;
	bool off;    /* is not to be had */
	bool nowait; /* the kernel can be told not to wait (Linux 6.5) */
	unsigned n;
	struct iocb *list[BATCH];
	struct iocb job[BATCH];
	struct io_event done[BATCH];
	/* Of the job of the same number. */
	struct wr_op *op[BATCH];
	struct wr_slice room[BATCH];
	int res[BATCH];
};

/* -- The kernel ---------------------------------------------------------- */

/* A write to a peer that is gone must not kill us: no flag says so here. */
static bool
pipes_may_break(void)
{
	struct sigaction sa;

	return sigaction(SIGPIPE, NULL, &sa) == 0 && sa.sa_handler == SIG_IGN;
}

static void
job_set(struct wr_batch *b, unsigned i, unsigned how, int fd, const void *mem,
    size_t len)
{
	struct iocb *job = &b->job[i];

	memset(job, 0, sizeof(*job));
	job->aio_data = i;
	job->aio_lio_opcode = (uint16_t)how;
	job->aio_fildes = (uint32_t)fd;
	job->aio_buf = (uintptr_t)mem;
	job->aio_nbytes = len;
	if (b->nowait)
		job->aio_rw_flags = RWF_NOWAIT;
	b->list[i] = job;
}

/*
 * Do all jobs; -ECANCELED is the result of those that the kernel did not
 * take.  It has done what it took when it returns, and says so in this order.
 */
static void
submit(struct wr_batch *b)
{
	long took = syscall(SYS_io_submit, b->context, (long)b->n, b->list);
	long told = 0;

	for (unsigned i = 0; i < b->n; i++)
		b->res[i] = -ECANCELED;
	while (told < took) {
		long n = syscall(SYS_io_getevents, b->context, took - told,
		    took - told, b->done, NULL);

		if (n < 0 && errno == EINTR)
			continue;
		assert(n > 0 && n <= took - told);
		for (long i = 0; i < n; i++)
			b->res[b->done[i].data] = (int)b->done[i].res;
		told += n;
	}
}

/* Can the kernel be told to do nothing that waits?  A receive of a pair that
 * would wait says so. */
static void
ask_nowait(struct wr_batch *b)
{
	int pair[2];
	char c;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0,
		pair) != 0)
		return;
	b->nowait = true;
	b->n = 1;
	job_set(b, 0, IOCB_CMD_PREAD, pair[0], &c, 1);
	submit(b);
	b->n = 0;
	b->nowait = b->res[0] == -EAGAIN;
	(void)close(pair[0]);
	(void)close(pair[1]);
}

/* The batch, made at its first use; NULL: there is none. */
static struct wr_batch *
batch_get(struct wr_batch **at)
{
	struct wr_batch *b = *at;

	if (b == NULL) {
		b = *at = calloc(1, sizeof(*b));
		if (b == NULL)
			return NULL;
		b->off = !pipes_may_break() ||
			 syscall(SYS_io_setup, BATCH, &b->context) != 0;
		if (!b->off)
			ask_nowait(b);
	}
	return b->off ? NULL : b;
}

void
wr_batch_free(struct wr_batch **at)
{
	if (*at != NULL && !(*at)->off)
		(void)syscall(SYS_io_destroy, (*at)->context);
	wr_batch_abandon(at);
}

void
wr_batch_abandon(struct wr_batch **at)
{
	free(*at);
	*at = NULL;
}

/* An older kernel waits for a descriptor that may block: ask once. */
static bool
may_go(struct wr_loop *l, const struct wr_batch *b, struct wr_sock *k)
{
	if (b->nowait || k->flags & WR_KF_NONBLOCK)
		return true;
	l->stats->syscalls++;
	if (!(fcntl(k->fd, F_GETFL) & O_NONBLOCK))
		return false;
	k->flags |= WR_KF_NONBLOCK;
	return true;
}

/* -- Receive ------------------------------------------------------------- */

static bool
to_receive(const struct wr_op *op)
{
	return op->state == WR_ST_READY && op->kind == WR_OP_RECV;
}

static void
add_recv(struct wr_loop *l, struct wr_batch *b, struct wr_op *op)
{
	uint32_t room = op->want != 0 && op->want < ROOM ? op->want : ROOM;
	struct wr_sock *k = wr_sock_of_in(op);
	struct wr_slice *s = &b->room[b->n];

	if (!(k->ready & WR_RD) || !may_go(l, b, k) ||
	    !wr_room_reserve(l, room, s))
		return;
	job_set(b, b->n, IOCB_CMD_PREAD, k->fd, s->mem, s->len);
	b->op[b->n++] = op;
}

/* What op->state READY becomes: done, or READY still if there was nothing or
 * the kernel did not want to. */
static void
received(struct wr_loop *l, struct wr_op *op, struct wr_slice *s, int n)
{
	struct wr_sock *k = wr_sock_of_in(op);
	bool more = wr_ready_took(k, s->len, n);

	if (n <= 0)
		wr_slice_put(l, s);
	if (n == -EAGAIN || n == -EINTR || n == -ECANCELED)
		return;
	op->state = WR_ST_WAIT;
	if (n > 0) {
		s->len = (uint32_t)n;
		wr_loop_store_recv(op, s, more);
	} else {
		wr_loop_store(l, op, n);
	}
}

unsigned
wr_batch_recv(struct wr_loop *l, struct wr_batch **at, struct wr_op *head)
{
	struct wr_batch *b;
	struct wr_op *op;
	unsigned seen = 0, n = 0;

	for (op = head; op != NULL && seen < BATCH; op = op->next, seen++)
		n += to_receive(op);
	if (n < FEW || (b = batch_get(at)) == NULL)
		return seen;
	op = head;
	for (n = 0; n < seen; n++, op = op->next)
		if (to_receive(op))
			add_recv(l, b, op);
	if (b->n >= FEW) {
		l->stats->syscalls += 2;
		submit(b);
	}
	for (n = 0; n < b->n; n++)
		received(l, b->op[n], &b->room[n],
		    b->n >= FEW ? b->res[n] : -ECANCELED);
	b->n = 0;
	return seen;
}

/* -- Send ---------------------------------------------------------------- */

static bool
to_send(const struct wr_loop *l, struct wr_op *op)
{
	const struct wr_tx *tx = op->data;

	return !(op->flags & (WR_OPF_CANCEL | WR_OPF_MORE)) && tx->left > 0 &&
	       l->chop == 0 && wr_sock_of_out(op)->ready & WR_WR;
}

static void
add_send(struct wr_batch *b, struct wr_op *op)
{
	struct wr_tx *tx = op->data;
	int fd = wr_sock_of_out(op)->fd;

	if (tx->gather == NULL)
		job_set(b, b->n, IOCB_CMD_PWRITE, fd, tx->one.mem, tx->left);
	else
		job_set(b, b->n, IOCB_CMD_PWRITEV, fd, tx->gather->iov,
		    (size_t)wr_tx_iov(tx, tx->gather->iov, 0));
	b->op[b->n++] = op;
}

static void
sent(struct wr_loop *l, struct wr_op *op, int n)
{
	struct wr_sock *k = wr_sock_of_out(op);
	int err;

	op->state = WR_ST_WAIT;
	if (n == -EINTR || n == -ECANCELED)
		err = l->be->arm(l, k, op);
	else
		err = wr_ready_sent(l, k, op, n);
	if (err < 0)
		wr_loop_post(l, op, err);
}

static void
send_all(struct wr_loop *l, struct wr_batch *b)
{
	l->stats->syscalls += 2;
	submit(b);
	for (unsigned i = 0; i < b->n; i++)
		sent(l, b->op[i], b->res[i]);
	b->n = 0;
}

void
wr_batch_send(struct wr_loop *l, struct wr_batch **at)
{
	struct wr_batch *b;
	struct wr_queue q;
	struct wr_op *op;
	unsigned n = 0;

	for (op = l->sends.head; op != NULL && n < FEW; op = op->next)
		n += to_send(l, op);
	if (n < FEW || (b = batch_get(at)) == NULL)
		return;
	q = wr_queue_take(&l->sends);
	while ((op = wr_queue_pop(&q)) != NULL) {
		if (to_send(l, op) && may_go(l, b, wr_sock_of_out(op)))
			add_send(b, op);
		else
			wr_queue_push(&l->sends, op);
		if (b->n == BATCH)
			send_all(l, b);
	}
	if (b->n >= FEW)
		send_all(l, b);
	for (n = 0; n < b->n; n++)
		wr_queue_push(&l->sends, b->op[n]);
	b->n = 0;
}

#endif
