/* SPDX-License-Identifier: BSD-2-Clause */
/* op - start operations and cancel them; see loop.h. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "io/private.h"
#include "io/sock.h"

int
wr_sock_init(struct wr_loop *l, struct wr_sock *k, int fd)
{
	uint32_t limit = wr_loop_limit(l);
	int err;

	assert(fd >= 0);
	if ((uint32_t)fd >= limit || l->stats->socks >= l->socks_max)
		return -EMFILE;
	memset(k, 0, sizeof(*k));
	k->fd = fd;
	err = l->be->attach(l, k);
	if (err < 0) {
		k->fd = -1;
		return err;
	}
	l->stats->socks++;
	return 0;
}

/* Hand `op` to the backend; on failure it never was. */
static int
start(struct wr_loop *l, struct wr_sock *k, struct wr_op *op,
    enum wr_op_kind kind, unsigned flags)
{
	int err;

	op->kind = (uint8_t)kind;
	op->flags = (uint8_t)flags;
	op->state = WR_ST_WAIT;
	err = l->be->arm(l, k, op);
	if (err < 0) {
		op->kind = WR_OP_NONE;
		op->state = WR_ST_IDLE;
		op->flags = 0;
	}
	return err;
}

/* May an operation be started here? */
static int
check(const struct wr_sock *k, const struct wr_op *op)
{
	if (k->fd < 0 || k->closing)
		return -EBADF;
	return op->kind == WR_OP_NONE ? 0 : -EBUSY;
}

int
wr_accept(struct wr_loop *l, struct wr_sock *k, unsigned flags, wr_done_fn *fn)
{
	int err = check(k, &k->in);

	if (err < 0)
		return err;
	k->in.fn = fn;
	return start(l, k, &k->in, WR_OP_ACCEPT,
	    (flags & WR_SHARED ? WR_OPF_SHARED : 0) |
		(flags & WR_FEW ? WR_OPF_FEW : 0));
}

bool
wr_accept_passes(int err)
{
	switch (-err) {
	case EAGAIN:
	case EINTR:
	case ECONNABORTED:
	case EPROTO:
	case EPERM:
	case ENETDOWN:
	case ENETUNREACH:
	case EHOSTDOWN:
	case EHOSTUNREACH:
	case ENOPROTOOPT:
#ifdef ENONET
	case ENONET:
#endif
		return true;
	default:
		return false;
	}
}

static void
accepted_grow(struct wr_loop *l)
{
	uint32_t size = l->accepted_size == 0 ? 64 : l->accepted_size * 2;
	struct wr_accepted *v = calloc(size, sizeof(*v));

	if (v == NULL)
		abort();
	for (uint32_t i = l->accepted_head; i != l->accepted_tail; i++)
		v[i & (size - 1)] = l->accepted[i & (l->accepted_size - 1)];
	free(l->accepted);
	l->accepted = v;
	l->accepted_size = size;
}

void
wr_loop_post_fd(struct wr_loop *l, struct wr_op *op, int fd)
{
	assert(op->kind == WR_OP_ACCEPT && fd >= 0);
	if (l->accepted_tail - l->accepted_head == l->accepted_size)
		accepted_grow(l);
	l->accepted[l->accepted_tail++ & (l->accepted_size - 1)] =
	    (struct wr_accepted){ op, fd };
}

/* A readiness kernel reads the address at once, others when they like. */
static int
keep_addr(
    struct wr_loop *l, const struct sockaddr *sa, socklen_t len, void **kept)
{
	union {
		const struct sockaddr *in;
		void *out;
	} cast = { sa };

	*kept = cast.out;
	if (l->be->nonblock)
		return 0;
	if (len > sizeof(struct sockaddr_storage))
		return -EINVAL;
	*kept = wr_pool_get(&l->addrs);
	if (*kept == NULL)
		return -ENOMEM;
	memcpy(*kept, sa, len);
	return 0;
}

int
wr_connect(struct wr_loop *l, struct wr_sock *k, const struct sockaddr *sa,
    socklen_t len, wr_done_fn *fn)
{
	int err = check(k, &k->out);
	void *kept = NULL;

	if (err == 0)
		err = keep_addr(l, sa, len, &kept);
	if (err < 0)
		return err;
	k->out.fn = fn;
	k->out.data = kept;
	k->out.want = len;
	err = start(l, k, &k->out, WR_OP_CONNECT, 0);
	if (err < 0 && !l->be->nonblock)
		wr_pool_put(&l->addrs, kept);
	return err;
}

int
wr_recv(struct wr_loop *l, struct wr_sock *k, uint32_t max, unsigned flags,
    wr_done_fn *fn)
{
	int err = check(k, &k->in);

	if (err < 0)
		return err;
	if (l->chop != 0 && (max == 0 || max > l->chop))
		max = l->chop;
	k->in.fn = fn;
	k->in.want = max;
	return start(
	    l, k, &k->in, WR_OP_RECV, flags & WR_COLD ? WR_OPF_COLD : 0);
}

int
wr_watch(
    struct wr_loop *l, struct wr_sock *k, enum wr_op_kind kind, wr_done_fn *fn)
{
	struct wr_op *op = kind == WR_OP_READABLE ? &k->in : &k->out;
	int err = check(k, op);

	assert(kind == WR_OP_READABLE || kind == WR_OP_WRITABLE);
	if (err < 0)
		return err;
	op->fn = fn;
	return start(l, k, op, kind, 0);
}

static void
put_all(struct wr_loop *l, const struct wr_slice *v, int n)
{
	struct wr_slice s;

	for (int i = 0; i < n; i++) {
		s = v[i];
		wr_slice_put(l, &s);
	}
}

int
wr_send(struct wr_loop *l, struct wr_sock *k, const struct wr_slice *v, int n,
    unsigned flags, wr_done_fn *fn)
{
	struct wr_op *op = &k->out;
	struct wr_tx *tx = NULL;
	int err = check(k, op);

	if (err == 0 && (tx = wr_tx_get(l, v, n)) == NULL)
		err = -ENOMEM;
	if (err < 0) {
		put_all(l, v, n);
		return err;
	}
	op->fn = fn;
	op->data = tx;
	op->kind = WR_OP_SEND;
	op->flags = flags & WR_SEND_MORE ? WR_OPF_MORE : 0;
	op->state = WR_ST_QUEUED;
	k->sent = 0;
	l->sends_bytes += tx->left;
	wr_queue_push(&l->sends, op);
	return 0;
}

void
wr_sends_issue(struct wr_loop *l)
{
	struct wr_op *op;
	int err;

	l->sends_bytes = 0;
	if (l->be->send_many != NULL)
		l->be->send_many(l);
	while ((op = wr_queue_pop(&l->sends)) != NULL) {
		op->state = WR_ST_WAIT;
		if (op->flags & WR_OPF_CANCEL)
			err = -ECANCELED;
		else if (((struct wr_tx *)op->data)->left == 0)
			err = 0;
		else if ((err = l->be->arm(l, wr_sock_of_out(op), op)) == 0)
			continue;
		wr_loop_post(l, op, err);
	}
}

void
wr_cancel(struct wr_loop *l, struct wr_op *op)
{
	if (op->kind == WR_OP_NONE || op->flags & WR_OPF_CANCEL)
		return;
	op->flags |= WR_OPF_CANCEL;
	l->stats->cancels++;
	switch (op->state) {
	case WR_ST_WAIT:
		l->be->cancel(l, wr_op_sock(op), op);
		break;
	case WR_ST_READY:
		/* Nothing was taken yet, and it is in the queue already; the
		 * backend takes leave of those who wait at a listener. */
		if (op->kind == WR_OP_ACCEPT)
			break;
		op->state = WR_ST_DONE;
		op->want = (uint32_t)-ECANCELED;
		break;
	case WR_ST_STALLED:
		l->sweep = true;
		break;
	default:
		/* Finished, or it will be seen when sends are issued. */
		break;
	}
}

int
wr_fill(struct wr_loop *l, struct wr_sock *k, struct wr_pipe *p, wr_done_fn *fn)
{
	int err = check(k, &k->in);

	if (err < 0)
		return err;
	k->in.fn = fn;
	k->in.data = p;
	return start(l, k, &k->in, WR_OP_FILL, 0);
}

int
wr_drain(
    struct wr_loop *l, struct wr_sock *k, struct wr_pipe *p, wr_done_fn *fn)
{
	int err = check(k, &k->out);

	if (err < 0)
		return err;
	k->out.fn = fn;
	k->out.data = p;
	k->sent = 0;
	return start(l, k, &k->out, WR_OP_DRAIN, 0);
}

int
wr_shutdown(struct wr_loop *l, struct wr_sock *k)
{
	int err = check(k, &k->out);

	if (err < 0)
		return err;
	l->stats->syscalls++;
	return shutdown(k->fd, SHUT_WR) == 0 ? 0 : -errno;
}
