/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kqueue - the BSDs; edge-triggered, told about a socket once, when it first
 * has to wait.
 *
 * What is to be told rides along with the next wait.  The kernel forgets a
 * descriptor when this process closes it, so no event finds a socket that is
 * gone; only a change that was not told yet could.
 */
#ifdef WR_HAVE_KQUEUE
#include <sys/types.h>

#include <sys/event.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "io/ready.h"

/* Bounds a turn; more are told in the next. */
#define EVENTS  256
#define CHANGES 256

/* k->flags */
#define KF_ADDED   0x20u /* the kernel knows it */
#define KF_PENDING 0x40u /* it is in `changes` */

struct kq {
	int fd;
	int n_changes;
	struct kevent changes[CHANGES];
	struct kevent events[EVENTS];
};

static int
kqueue_probe(const char **why)
{
	int fd = kqueue();

	*why = "kqueue() fails";
	if (fd < 0)
		return -errno;
	(void)close(fd);
	return 0;
}

static int
kqueue_init(struct wr_loop *l, wr_unused const struct wr_loop_conf *c)
{
	struct kq *q = calloc(1, sizeof(*q));

	if (q == NULL)
		return -ENOMEM;
	if ((q->fd = kqueue()) < 0) {
		int err = -errno;
		free(q);
		return err;
	}
	l->priv = q;
	return 0;
}

/* A forked child has none: the number may be another descriptor there. */
static void
kqueue_abandon(struct wr_loop *l)
{
	free(l->priv);
}

static void
kqueue_fini(struct wr_loop *l)
{
	struct kq *q = l->priv;

	(void)close(q->fd);
	free(q);
}

static int
kqueue_attach(wr_unused struct wr_loop *l, struct wr_sock *k)
{
	wr_ready_init(k);
	return 0;
}

/* A change that the kernel refused. */
static void
refused(struct wr_loop *l, const struct kevent *e)
{
	struct wr_sock *k = e->udata;
	struct wr_op *op = e->filter == EVFILT_READ ? &k->in : &k->out;

	if (op->state == WR_ST_WAIT)
		wr_loop_post(l, op, -(int)e->data);
}

/* Tell what is to be told, and hear the news. */
static void
talk(struct wr_loop *l, const struct timespec *wait)
{
	struct kq *q = l->priv;
	struct wr_sock *k;
	unsigned bits;
	int n;

	for (int i = 0; i < q->n_changes; i++)
		((struct wr_sock *)q->changes[i].udata)->flags &=
		    (uint8_t)~KF_PENDING;
	l->stats->syscalls++;
	n = kevent(q->fd, q->changes, q->n_changes, q->events, EVENTS, wait);
	if (n == EVENTS)
		l->looks--; /* there may be more */
	q->n_changes = 0;
	for (int i = 0; i < n; i++) {
		const struct kevent *e = &q->events[i];

		k = e->udata;
		if (e->flags & EV_ERROR) {
			if (e->data != 0)
				refused(l, e);
			continue;
		}
		bits = WR_WR;
		if (e->filter == EVFILT_READ) {
			bits = WR_RD;
			k->slot = (uint32_t)e->data;
		}
		if (e->flags & EV_EOF)
			bits |= WR_HUP;
		wr_ready_event(l, k, bits);
	}
}

static void
change(struct wr_loop *l, struct wr_sock *k, int filter, unsigned flags)
{
	static const struct timespec at_once;
	struct kq *q = l->priv;

	if (q->n_changes == CHANGES)
		talk(l, &at_once);
	EV_SET(&q->changes[q->n_changes++], (uintptr_t)k->fd, filter, flags, 0,
	    0, k);
	k->flags |= KF_PENDING;
}

/* What was not told yet is of no interest any more. */
static void
unchange(struct kq *q, struct wr_sock *k)
{
	int n = 0;

	for (int i = 0; i < q->n_changes; i++)
		if (q->changes[i].udata != k)
			q->changes[n++] = q->changes[i];
	q->n_changes = n;
	k->flags &= (uint8_t)~KF_PENDING;
}

/* As close() does. */
static void
forget(struct wr_loop *l, struct wr_sock *k)
{
	static const short filters[] = { EVFILT_READ, EVFILT_WRITE };
	struct kq *q = l->priv;
	struct kevent e;

	if (k->flags & KF_PENDING)
		unchange(q, k);
	for (size_t i = 0; i < WR_COUNT(filters); i++) {
		EV_SET(&e, (uintptr_t)k->fd, filters[i], EV_DELETE, 0, 0, NULL);
		l->stats->syscalls++;
		(void)kevent(q->fd, &e, 1, NULL, 0, NULL);
	}
	k->flags &= (uint8_t) ~(KF_ADDED | WR_KF_EDGE);
}

static void
kqueue_detach(struct wr_loop *l, struct wr_sock *k)
{
	if (k->flags & WR_KF_RELEASE)
		forget(l, k);
	else if (k->flags & KF_PENDING)
		unchange(l->priv, k);
}

static int
kqueue_want(struct wr_loop *l, struct wr_sock *k, struct wr_op *op)
{
	switch (op->kind) {
	case WR_OP_READABLE:
		change(l, k, EVFILT_READ, EV_ADD | EV_ONESHOT);
		return 0;
	case WR_OP_WRITABLE:
		change(l, k, EVFILT_WRITE, EV_ADD | EV_ONESHOT);
		return 0;
	default:
		break;
	}
	if (k->flags & KF_ADDED)
		return 0;
	k->flags |= KF_ADDED;
	/* What one turn leaves in the queue is told in the next. */
	if (op->kind == WR_OP_ACCEPT) {
		change(l, k, EVFILT_READ, EV_ADD);
		return 0;
	}
	k->flags |= WR_KF_EDGE;
	change(l, k, EVFILT_READ, EV_ADD | EV_CLEAR);
	change(l, k, EVFILT_WRITE, EV_ADD | EV_CLEAR);
	return 0;
}

static void
kqueue_unwant(struct wr_loop *l, struct wr_sock *k, struct wr_op *op)
{
	/* It would be told for ever. */
	if (op->kind == WR_OP_ACCEPT && k->flags & KF_ADDED)
		forget(l, k);
}

/* A read stops at an urgent byte; so one that was short has not emptied the
 * socket if the kernel had told of more.  k->slot counts that down. */
static bool
kqueue_run(
    struct wr_loop *l, struct wr_sock *k, struct wr_op *op, struct wr_done *d)
{
	bool is_recv = op->kind == WR_OP_RECV;
	bool done = wr_ready_run(l, k, op, d);

	if (!is_recv || !done || d->res <= 0)
		return done;
	if (k->slot > (uint32_t)d->res) {
		k->slot -= (uint32_t)d->res;
		k->ready |= WR_RD;
		d->flags |= WR_HINT;
	} else {
		k->slot = 0;
	}
	return true;
}

static void
kqueue_turn(struct wr_loop *l, int64_t wait_us)
{
	const struct timespec wait = {
		.tv_sec = (time_t)(wait_us / 1000000),
		.tv_nsec = (long)(wait_us % 1000000 * 1000),
	};

	talk(l, wait_us < 0 ? NULL : &wait);
}

const struct wr_backend wr_backend_kqueue = {
	.name = "kqueue",
	.probe = kqueue_probe,
	.init = kqueue_init,
	.fini = kqueue_fini,
	.abandon = kqueue_abandon,
	.attach = kqueue_attach,
	.detach = kqueue_detach,
	.arm = wr_ready_arm,
	.cancel = wr_ready_cancel,
	.run = kqueue_run,
	.turn = kqueue_turn,
	.want = kqueue_want,
	.unwant = kqueue_unwant,
	.nonblock = true,
};

#endif
