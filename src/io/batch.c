/* SPDX-License-Identifier: BSD-2-Clause */
/* batch - io_submit(2) for sockets; see batch.h. */
#include "io/batch.h"
#ifdef WR_HAVE_BATCH

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"
#include "io/ready.h"

/* Newer than some headers. */
#ifndef RWF_NOWAIT
#define RWF_NOWAIT 8
#endif

/* So many at once; with fewer than FEW the two calls of a batch do not pay. */
#define BATCH 64u
#define FEW   4u

/*
 * Room for one receive: what most messages are, and a little more than a page,
 * so that the beginnings of all do not meet in a few sets of the cache.  A
 * socket that fills it has more, and is asked alone until it has less.
 */
#define ROOM WR_RECV_FEW

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
 * take.  It has done what it took when it returns.  False: it does not say
 * what came of it.
 */
static bool
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
		if (n <= 0)
			return false;
		for (long i = 0; i < n; i++)
			b->res[b->done[i].data] = (int)b->done[i].res;
		told += n;
	}
	return true;
}

/* A receive of a pair that does not block must say that there is nothing: who
 * only looks like this kernel may say anything. */
static bool
try_pair(struct wr_batch *b, int fd, bool nowait)
{
	char c = 0;

	b->nowait = nowait;
	b->n = 1;
	job_set(b, 0, IOCB_CMD_PREAD, fd, &c, 1);
	bool told = submit(b);
	b->n = 0;
	return told && b->res[0] == -EAGAIN;
}

static bool
works(struct wr_batch *b)
{
	int pair[2];
	bool fine;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0,
		pair) != 0)
		return false;
	fine = try_pair(b, pair[0], true) || try_pair(b, pair[0], false);
	(void)close(pair[0]);
	(void)close(pair[1]);
	return fine;
}

static const char *
why_not(struct wr_batch *b)
{
	if (!pipes_may_break())
		return "SIGPIPE is not ignored";
	if (syscall(SYS_io_setup, BATCH, &b->context) != 0)
		return strerror(errno);
	if (works(b))
		return NULL;
	(void)syscall(SYS_io_destroy, b->context);
	return "it does not work on sockets";
}

/* The batch, made at its first use; NULL: there is none. */
static struct wr_batch *
batch_get(struct wr_batch **at)
{
	struct wr_batch *b = *at;
	const char *why;

	if (b == NULL) {
		b = *at = calloc(1, sizeof(*b));
		if (b == NULL)
			return NULL;
		why = why_not(b);
		b->off = why != NULL;
		if (b->off)
			wr_info("events: epoll receives and sends one by one, "
				"without io_submit(2): %s",
			    why);
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

/* An older kernel waits for a descriptor that may block: is it one?  Ours are
 * not. */
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

static void
run(struct wr_loop *l, struct wr_batch *b)
{
	bool told = submit(b);

	/* Bytes would be lost. */
	assert(told);
	l->stats->syscalls += 2;
}

/* -- Receive ------------------------------------------------------------- */

static bool
to_receive(struct wr_op *op)
{
	return op->state == WR_ST_READY && op->kind == WR_OP_RECV &&
	       !(wr_sock_of_in(op)->flags & WR_KF_MUCH);
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

	if (n == (int)ROOM)
		k->flags |= WR_KF_MUCH;
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
	if (b->n >= FEW)
		run(l, b);
	for (n = 0; n < b->n; n++)
		received(l, b->op[n], &b->room[n],
		    b->n >= FEW ? b->res[n] : -ECANCELED);
	if (b->n > 0)
		wr_blocks_offer(l);
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
	run(l, b);
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
