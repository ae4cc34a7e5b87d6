/* SPDX-License-Identifier: BSD-2-Clause */
/* ready - try, wait, try again; see ready.h. */
#include "io/ready.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/socket.h>

#include "io/splice.h"

/*
 * A burst of accepts begins at one and doubles as long as there are more, so
 * that a rare client costs no useless call.  Once it has doubled the kernel is
 * not asked any more whether somebody waits: among thousands of busy sockets it
 * would be long before it tells of this one again.  Where others accept too,
 * who may be idle, it stays short.
 */
#define BURST_SHARED 4u

/* With a small `chop` a send goes out in many pieces; so many at once. */
#define PIECES 64

/* connect: ask for its error. */
#define OPF_DOUBT 0x20u

void
wr_ready_init(struct wr_sock *k)
{
	k->ready = WR_RD | WR_WR;
}

int
wr_ready_ms(int64_t wait_us)
{
	int64_t ms;

	if (wait_us < 0)
		return -1;
	ms = (wait_us + 999) / 1000;
	return ms > INT_MAX ? INT_MAX : (int)ms;
}

static void
wake(struct wr_loop *l, struct wr_sock *k, struct wr_op *op)
{
	if (l->be->level)
		l->be->unwant(l, k, op);
	wr_loop_ready(l, op);
}

/* op->want of an accept: length of the burst, what is left of it in this turn,
 * and the look (the low 16 bits) at which it was known that somebody waits. */
static void
begin_burst(const struct wr_loop *l, struct wr_op *op, uint32_t burst)
{
	uint32_t max = op->flags & WR_OPF_SHARED ? BURST_SHARED : WR_BURST_MAX;

	if (burst > max)
		burst = max;
	op->want = burst | burst << 8 | l->looks << 16;
}

static void
somebody_waits(const struct wr_loop *l, struct wr_op *op)
{
	uint32_t burst = op->want & 0xff, before = op->want >> 16;

	/* Not the next look, so it was found empty meanwhile. */
	if (((l->looks - before) & 0xffff) > 1)
		burst = 0;
	begin_burst(l, op, burst == 0 ? 1 : burst * 2);
}

void
wr_ready_event(struct wr_loop *l, struct wr_sock *k, unsigned bits)
{
	k->ready |= (uint8_t)(bits & (WR_RD | WR_WR | WR_HUP));
	if (bits & WR_RD && k->in.state == WR_ST_WAIT) {
		if (k->in.kind == WR_OP_ACCEPT)
			somebody_waits(l, &k->in);
		wake(l, k, &k->in);
	}
	if (bits & WR_WR && k->out.state == WR_ST_WAIT) {
		if (bits & (WR_HUP | WR_DOUBT))
			k->out.flags |= OPF_DOUBT;
		wake(l, k, &k->out);
	}
}

/* Wait for readiness; an error becomes the result. */
static bool
park(struct wr_loop *l, struct wr_sock *k, struct wr_op *op, struct wr_done *d)
{
	int err = l->be->want(l, k, op);

	if (err == 0)
		return false;
	d->res = err;
	return true;
}

/* -- Receive ------------------------------------------------------------- */

bool
wr_ready_took(struct wr_sock *k, uint32_t asked, int n)
{
	/* Less than there was room for: it is empty, no need to be told so. */
	if (n == -EAGAIN ||
	    (n > 0 && (uint32_t)n < asked && !(k->ready & WR_HUP)))
		k->ready &= (uint8_t)~WR_RD;
	return k->ready & WR_RD;
}

static bool
recv_into(struct wr_loop *l, struct wr_sock *k, struct wr_op *op,
    struct wr_slice s, struct wr_done *d)
{
	bool more;
	int n;

	do {
		l->stats->syscalls++;
		n = (int)recv(k->fd, s.mem, s.len, MSG_DONTWAIT);
		if (n < 0)
			n = -errno;
	} while (n == -EINTR);
	more = wr_ready_took(k, s.len, n);
	if (n == -EAGAIN)
		return park(l, k, op, d);
	if (n < (int)WR_RECV_FEW)
		k->flags &= (uint8_t)~WR_KF_MUCH;
	d->res = n;
	if (n <= 0)
		return true;
	wr_room_take(l, &s, (uint32_t)n);
	d->in = s;
	d->flags = more ? WR_HINT : 0;
	return true;
}

static bool
try_recv(
    struct wr_loop *l, struct wr_sock *k, struct wr_op *op, struct wr_done *d)
{
	struct wr_slice s;
	bool done;

	if (!(k->ready & WR_RD)) {
		done = park(l, k, op, d);
	} else if (wr_room_get(l, op->want, &s)) {
		done = recv_into(l, k, op, s, d);
	} else {
		wr_loop_stall(l, op);
		return false;
	}
	wr_blocks_offer(l);
	return done;
}

static int
arm_recv(struct wr_loop *l, struct wr_sock *k, struct wr_op *op)
{
	if (op->flags & WR_OPF_COLD && !(k->flags & WR_KF_EDGE))
		k->ready &= (uint8_t)~WR_RD;
	if (!(k->ready & WR_RD))
		return l->be->want(l, k, op);
	wr_loop_ready(l, op);
	return 0;
}

/* -- Send ---------------------------------------------------------------- */

/* The kernel took `n` of `asked` bytes or says why not.  0: all is out;
 * -EAGAIN: the reader is slow; 1: more at once. */
static int
took(struct wr_loop *l, struct wr_sock *k, struct wr_op *op, uint32_t asked,
    int n)
{
	struct wr_tx *tx = op->data;

	if (n < 0 && n != -EAGAIN)
		return n;
	if (n > 0)
		wr_tx_advance(l, k, (uint32_t)n);
	if (tx->left == 0)
		return 0;
	if (n >= (int)asked)
		return 1;
	op->flags |= WR_OPF_SHORT;
	k->ready &= (uint8_t)~WR_WR;
	l->stats->short_sends++;
	wr_tx_spill(l, tx);
	return -EAGAIN;
}

static int
try_send(struct wr_loop *l, struct wr_sock *k, struct wr_op *op)
{
	uint32_t asked;
	int n, err = 1;

	for (int i = 0; i < PIECES && err > 0; i++) {
		n = wr_tx_send(l, k, &asked);
		if (n != -EINTR)
			err = took(l, k, op, asked, n);
	}
	return err;
}

/* After a try: wait, try again, or done. */
static int
send_on(struct wr_loop *l, struct wr_sock *k, struct wr_op *op, int err)
{
	if (err == -EAGAIN) {
		op->flags |= WR_OPF_SHORT;
		return l->be->want(l, k, op);
	}
	if (err > 0)
		wr_loop_ready(l, op);
	else
		wr_loop_post(l, op, err);
	return 0;
}

static int
arm_send(struct wr_loop *l, struct wr_sock *k, struct wr_op *op)
{
	int err = -EAGAIN;

	if (k->ready & WR_WR)
		err = try_send(l, k, op);
	return send_on(l, k, op, err);
}

int
wr_ready_sent(struct wr_loop *l, struct wr_sock *k, struct wr_op *op, int n)
{
	uint32_t asked = ((struct wr_tx *)op->data)->left;

	return send_on(l, k, op, took(l, k, op, asked, n));
}

static bool
run_send(
    struct wr_loop *l, struct wr_sock *k, struct wr_op *op, struct wr_done *d)
{
	int err = try_send(l, k, op);

	if (err == -EAGAIN)
		return park(l, k, op, d);
	if (err > 0) {
		wr_loop_ready(l, op);
		return false;
	}
	d->res = err < 0 ? err : (int)((struct wr_tx *)op->data)->total;
	return true;
}

/* -- Pipes --------------------------------------------------------------- */

static int
arm_pipe(struct wr_loop *l, struct wr_sock *k, struct wr_op *op)
{
	if (!(k->ready & (op->kind == WR_OP_FILL ? WR_RD : WR_WR)))
		return l->be->want(l, k, op);
	wr_loop_ready(l, op);
	return 0;
}

/* A short transfer says nothing: it may be the pipe that has no more room. */
static bool
try_fill(
    struct wr_loop *l, struct wr_sock *k, struct wr_op *op, struct wr_done *d)
{
	d->res = wr_pipe_fill(l, op->data, k->fd, l->chop);
	if (d->res != -EAGAIN)
		return true;
	k->ready &= (uint8_t)~WR_RD;
	return park(l, k, op, d);
}

static bool
try_drain(
    struct wr_loop *l, struct wr_sock *k, struct wr_op *op, struct wr_done *d)
{
	d->res = wr_pipe_drain(l, op->data, k, l->chop);
	if (d->res != -EAGAIN)
		return true;
	k->ready &= (uint8_t)~WR_WR;
	return park(l, k, op, d);
}

/* -- Connect ------------------------------------------------------------- */

static int
arm_connect(struct wr_loop *l, struct wr_sock *k, struct wr_op *op)
{
	int err = 0;

	l->stats->syscalls++;
	if (connect(k->fd, op->data, op->want) != 0)
		err = errno;
	op->data = NULL;
	if (err == EINPROGRESS || err == EINTR) {
		k->ready = 0;
		return l->be->want(l, k, op);
	}
	wr_loop_post(l, op, -err);
	return 0;
}

static bool
run_connect(struct wr_loop *l, struct wr_sock *k, const struct wr_op *op,
    struct wr_done *d)
{
	socklen_t len = sizeof(d->res);

	d->res = 0;
	if (!(op->flags & OPF_DOUBT))
		return true;
	l->stats->syscalls++;
	if (getsockopt(k->fd, SOL_SOCKET, SO_ERROR, &d->res, &len) != 0)
		d->res = errno;
	d->res = -d->res;
	return true;
}

/* -- Accept -------------------------------------------------------------- */

static void
next_of_burst(
    struct wr_loop *l, struct wr_sock *k, struct wr_op *op, struct wr_done *d)
{
	uint32_t burst = op->want & 0xff;

	op->want -= 1u << 8;
	if ((op->want >> 8 & 0xff) > 0 && l->burst_left > 0) {
		l->burst_left--;
		d->flags |= WR_AGAIN;
	} else if (burst > 1) {
		begin_burst(l, op, burst * 2);
		wr_loop_ready_later(l, op);
	} else if (l->be->want(l, k, op) != 0) {
		/* It cannot wait: the next try will fail and say why. */
		begin_burst(l, op, 1);
		wr_loop_ready(l, op);
	}
}

static bool
run_accept(
    struct wr_loop *l, struct wr_sock *k, struct wr_op *op, struct wr_done *d)
{
	socklen_t len = sizeof(l->peer);
	int fd;

	l->stats->syscalls++;
	fd = accept4(k->fd, (struct sockaddr *)&l->peer, &len,
	    SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0 && wr_accept_passes(-errno)) {
		op->want = 0;
		return park(l, k, op, d);
	}
	if (fd < 0) {
		d->res = -errno;
		if (!l->be->level && l->be->unwant != NULL)
			l->be->unwant(l, k, op);
		return true;
	}
	d->res = fd;
	d->flags = WR_MORE;
	d->peer = (const struct sockaddr *)&l->peer;
	d->peer_len = len;
	next_of_burst(l, k, op, d);
	return true;
}

static int
arm_accept(struct wr_loop *l, struct wr_sock *k, struct wr_op *op)
{
	int flags = fcntl(k->fd, F_GETFL);

	/* Not without need: other processes share the flags. */
	if (flags >= 0 && !(flags & O_NONBLOCK) &&
	    fcntl(k->fd, F_SETFL, flags | O_NONBLOCK) != 0)
		return -errno;
	op->want = 0;
	return l->be->want(l, k, op);
}

/* -- All of them --------------------------------------------------------- */

int
wr_ready_arm(struct wr_loop *l, struct wr_sock *k, struct wr_op *op)
{
	int err;

	switch (op->kind) {
	case WR_OP_RECV:
		return arm_recv(l, k, op);
	case WR_OP_SEND:
		return arm_send(l, k, op);
	case WR_OP_CONNECT:
		return arm_connect(l, k, op);
	case WR_OP_ACCEPT:
		return arm_accept(l, k, op);
	case WR_OP_FILL:
	case WR_OP_DRAIN:
		return arm_pipe(l, k, op);
	default:
		err = l->be->want(l, k, op);
		/* A file is always ready, so epoll refuses it. */
		if (err == -EPERM) {
			wr_loop_ready(l, op);
			err = 0;
		}
		return err;
	}
}

/*
 * Several processes accept here and the kernel may have woken us alone, just
 * before we go: so whoever it was for is taken along.
 */
static void
accept_last(struct wr_loop *l, struct wr_sock *k, struct wr_op *op)
{
	int fd = accept4(k->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	l->stats->syscalls++;
	if (fd >= 0)
		wr_loop_post_fd(l, op, fd);
}

void
wr_ready_cancel(struct wr_loop *l, struct wr_sock *k, struct wr_op *op)
{
	if (l->be->unwant != NULL)
		l->be->unwant(l, k, op);
	if (op->kind == WR_OP_ACCEPT && op->flags & WR_OPF_SHARED &&
	    !k->closing)
		accept_last(l, k, op);
	wr_loop_post(l, op, -ECANCELED);
}

bool
wr_ready_run(
    struct wr_loop *l, struct wr_sock *k, struct wr_op *op, struct wr_done *d)
{
	switch (op->kind) {
	case WR_OP_RECV:
		return try_recv(l, k, op, d);
	case WR_OP_SEND:
		return run_send(l, k, op, d);
	case WR_OP_CONNECT:
		return run_connect(l, k, op, d);
	case WR_OP_ACCEPT:
		return run_accept(l, k, op, d);
	case WR_OP_FILL:
		return try_fill(l, k, op, d);
	case WR_OP_DRAIN:
		return try_drain(l, k, op, d);
	default:
		d->res = 0;
		return true;
	}
}
