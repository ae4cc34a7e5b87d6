/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * epoll - edge-triggered, told about a socket once, when it first has to wait.
 *
 * Listeners are level-triggered, so that what one turn leaves in the queue is
 * told in the next.  A descriptor that others read and write (wr_watch) is
 * asked about anew each time, because nobody tells us when it was drained.
 */
#ifdef WR_HAVE_EPOLL

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "io/batch.h"
#include "io/ready.h"

/* Bounds a turn; more are told in the next. */
#define EVENTS 256

/* k->flags */
#define KF_ADDED   0x20u /* the kernel knows it */
#define KF_FOREIGN 0x40u /* others may have it: close() will not forget it */

struct epoll {
	int fd;
	struct wr_batch *batch;
	/* By descriptor.  An event carries the descriptor and k->slot, which
	 * is another for each socket: one of a descriptor that was closed here
	 * but is still open in another process finds nobody. */
	struct wr_sock **map;
	uint32_t map_size, last;
	struct epoll_event events[EVENTS];
};

static int
epoll_probe(const char **why)
{
	int fd = epoll_create1(EPOLL_CLOEXEC);

	*why = "epoll_create1 fails";
	if (fd < 0)
		return -errno;
	(void)close(fd);
	return 0;
}

static int
epoll_init(struct wr_loop *l, const struct wr_loop_conf *c)
{
	struct epoll *e = calloc(1, sizeof(*e));
	int err;

	(void)c;
	if (e == NULL)
		return -ENOMEM;
	e->fd = epoll_create1(EPOLL_CLOEXEC);
	if (e->fd < 0) {
		err = -errno;
		free(e);
		return err;
	}
	l->priv = e;
	return 0;
}

static void
epoll_abandon(struct wr_loop *l)
{
	struct epoll *e = l->priv;

#ifdef WR_HAVE_BATCH
	wr_batch_abandon(&e->batch);
#endif
	(void)close(e->fd); /* only our copy */
	free(e->map);
	free(e);
}

static void
epoll_fini(struct wr_loop *l)
{
	struct epoll *e = l->priv;

#ifdef WR_HAVE_BATCH
	wr_batch_free(&e->batch);
#endif
	epoll_abandon(l);
}

static int
epoll_attach(struct wr_loop *l, struct wr_sock *k)
{
	struct epoll *e = l->priv;
	uint32_t fd = (uint32_t)k->fd, size = e->map_size;
	struct wr_sock **map;

	if (fd >= size) {
		size = size == 0 ? 64 : size;
		while (size <= fd)
			size *= 2;
		map = realloc(e->map, size * sizeof(struct wr_sock *));
		if (map == NULL)
			return -ENOMEM;
		memset(map + e->map_size, 0,
		    (size - e->map_size) * sizeof(struct wr_sock *));
		e->map = map;
		e->map_size = size;
	}
	assert(e->map[fd] == NULL);
	e->map[fd] = k;
	k->slot = ++e->last;
	wr_ready_init(k);
	return 0;
}

static int
control(struct wr_loop *l, struct wr_sock *k, int how, uint32_t events)
{
	struct epoll *e = l->priv;
	struct epoll_event ev;

	ev.events = events;
	ev.data.u64 = (uint64_t)k->slot << 32 | (uint32_t)k->fd;
	l->stats->syscalls++;
	return epoll_ctl(e->fd, how, k->fd, &ev) == 0 ? 0 : -errno;
}

static void
forget(struct wr_loop *l, struct wr_sock *k)
{
	(void)control(l, k, EPOLL_CTL_DEL, 0);
	k->flags &= (uint8_t) ~(KF_ADDED | KF_FOREIGN | WR_KF_EDGE);
}

static void
epoll_detach(struct wr_loop *l, struct wr_sock *k)
{
	struct epoll *e = l->priv;

	if (k->flags & KF_ADDED &&
	    (k->flags & KF_FOREIGN || k->flags & WR_KF_RELEASE))
		forget(l, k);
	e->map[k->fd] = NULL;
}

static int
epoll_want(struct wr_loop *l, struct wr_sock *k, struct wr_op *op)
{
	uint32_t events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI | EPOLLET;
	uint8_t flags = KF_ADDED | WR_KF_EDGE;
	int how = EPOLL_CTL_ADD, err;

	if (op->kind == WR_OP_READABLE || op->kind == WR_OP_WRITABLE) {
		/* Asking anew tells what is ready, edge or not. */
		flags |= KF_FOREIGN;
		if (k->flags & KF_ADDED)
			how = EPOLL_CTL_MOD;
	} else if (k->flags & KF_ADDED) {
		return 0;
	} else if (op->kind == WR_OP_ACCEPT) {
		flags = KF_ADDED | KF_FOREIGN;
		events = EPOLLIN;
		if (op->flags & WR_OPF_SHARED)
			events |= EPOLLEXCLUSIVE;
	}
	err = control(l, k, how, events);
	if (err == 0)
		k->flags |= flags;
	return err;
}

static void
epoll_unwant(struct wr_loop *l, struct wr_sock *k, struct wr_op *op)
{
	/* It would be told for ever. */
	if (op->kind == WR_OP_ACCEPT && k->flags & KF_ADDED)
		forget(l, k);
}

static unsigned
bits_of(uint32_t events)
{
	unsigned bits = 0;

	if (events & EPOLLIN)
		bits |= WR_RD;
	if (events & EPOLLOUT)
		bits |= WR_WR;
	if (events & (EPOLLRDHUP | EPOLLPRI))
		bits |= WR_RD | WR_HUP;
	if (events & (EPOLLERR | EPOLLHUP))
		bits |= WR_RD | WR_WR | WR_HUP;
	return bits;
}

static void
epoll_turn(struct wr_loop *l, int64_t wait_us)
{
	struct epoll *e = l->priv;
	struct wr_sock *k;
	uint32_t fd;
	int n;

	l->stats->syscalls++;
	n = epoll_wait(e->fd, e->events, EVENTS, wr_ready_ms(wait_us));
	if (n == EVENTS)
		l->looks--; /* there may be more */
	for (int i = 0; i < n; i++) {
		fd = (uint32_t)e->events[i].data.u64;
		k = fd < e->map_size ? e->map[fd] : NULL;
		if (k != NULL && k->slot == e->events[i].data.u64 >> 32)
			wr_ready_event(l, k, bits_of(e->events[i].events));
	}
}

#ifdef WR_HAVE_BATCH
static unsigned
epoll_recv_many(struct wr_loop *l, struct wr_op *head)
{
	struct epoll *e = l->priv;

	return wr_batch_recv(l, &e->batch, head);
}

static void
epoll_send_many(struct wr_loop *l)
{
	struct epoll *e = l->priv;

	wr_batch_send(l, &e->batch);
}
#endif

const struct wr_backend wr_backend_epoll = {
	.name = "epoll",
	.probe = epoll_probe,
	.init = epoll_init,
	.fini = epoll_fini,
	.abandon = epoll_abandon,
	.attach = epoll_attach,
	.detach = epoll_detach,
	.arm = wr_ready_arm,
	.cancel = wr_ready_cancel,
	.run = wr_ready_run,
#ifdef WR_HAVE_BATCH
	.recv_many = epoll_recv_many,
	.send_many = epoll_send_many,
#endif
	.turn = epoll_turn,
	.want = epoll_want,
	.unwant = epoll_unwant,
	.send_early = 32u << 10,
	.nonblock = true,
};

#endif
