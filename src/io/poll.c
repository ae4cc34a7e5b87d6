/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * poll - a dense array of what is waited for; everywhere, O(n) a turn.
 */
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>

#include "io/ready.h"

/* k->slot of a socket that waits for nothing: it is not in the array, for
 * poll() tells of errors even if not asked. */
#define NOWHERE UINT32_MAX

struct poller {
	struct pollfd *fds;
	struct wr_sock **socks; /* beside fds */
	uint32_t n, size;
};

static int
poll_probe(const char **why)
{
	(void)why;
	return 0;
}

static int
poll_init(struct wr_loop *l, const struct wr_loop_conf *c)
{
	(void)c;
	l->priv = calloc(1, sizeof(struct poller));
	return l->priv != NULL ? 0 : -ENOMEM;
}

static void
poll_fini(struct wr_loop *l)
{
	struct poller *p = l->priv;

	free(p->fds);
	free(p->socks);
	free(p);
}

/* Room for all sockets there can be, so that waiting never fails. */
static int
poll_attach(struct wr_loop *l, struct wr_sock *k)
{
	struct poller *p = l->priv;
	uint32_t size = p->size == 0 ? 64 : p->size * 2;
	struct wr_sock **socks;
	struct pollfd *fds;

	k->slot = NOWHERE;
	wr_ready_init(k);
	if (l->stats->socks < p->size)
		return 0;
	fds = realloc(p->fds, size * sizeof(*fds));
	if (fds == NULL)
		return -ENOMEM;
	p->fds = fds;
	socks = realloc(p->socks, size * sizeof(struct wr_sock *));
	if (socks == NULL)
		return -ENOMEM;
	p->socks = socks;
	p->size = size;
	return 0;
}

static void
poll_detach(struct wr_loop *l, struct wr_sock *k)
{
	(void)l;
	assert(k->slot == NOWHERE);
}

static short
event_of(const struct wr_op *op)
{
	return wr_op_is_in(op) ? POLLIN : POLLOUT;
}

static int
poll_want(struct wr_loop *l, struct wr_sock *k, struct wr_op *op)
{
	struct poller *p = l->priv;

	if (k->slot == NOWHERE) {
		assert(p->n < p->size);
		k->slot = p->n++;
		p->fds[k->slot] = (struct pollfd){ .fd = k->fd };
		p->socks[k->slot] = k;
	}
	p->fds[k->slot].events |= event_of(op);
	return 0;
}

static void
poll_unwant(struct wr_loop *l, struct wr_sock *k, struct wr_op *op)
{
	struct poller *p = l->priv;
	uint32_t last;

	if (k->slot == NOWHERE)
		return;
	assert(k->slot < p->n);
	p->fds[k->slot].events &= (short)~event_of(op);
	if (p->fds[k->slot].events != 0)
		return;
	last = --p->n;
	p->fds[k->slot] = p->fds[last];
	p->socks[k->slot] = p->socks[last];
	p->socks[k->slot]->slot = k->slot;
	k->slot = NOWHERE;
}

static void
poll_turn(struct wr_loop *l, int64_t wait_us)
{
	struct poller *p = l->priv;
	unsigned bits;
	short got;
	int n;

	l->stats->syscalls++;
	n = poll(p->fds, p->n, wr_ready_ms(wait_us));
	/* From the end: what is taken out is replaced by one seen already. */
	for (uint32_t i = p->n; n > 0 && i-- > 0;) {
		got = p->fds[i].revents;
		if (got == 0)
			continue;
		n--;
		bits = (got & POLLIN ? WR_RD : 0) | (got & POLLOUT ? WR_WR : 0);
		if (got & (POLLERR | POLLHUP | POLLNVAL))
			bits |= WR_RD | WR_WR | WR_HUP;
		wr_ready_event(l, p->socks[i], bits);
	}
}

const struct wr_backend wr_backend_poll = {
	.name = "poll",
	.probe = poll_probe,
	.init = poll_init,
	.fini = poll_fini,
	.abandon = poll_fini,
	.attach = poll_attach,
	.detach = poll_detach,
	.arm = wr_ready_arm,
	.cancel = wr_ready_cancel,
	.run = wr_ready_run,
	.turn = poll_turn,
	.want = poll_want,
	.unwant = poll_unwant,
	.send_early = 32u << 10,
	.nonblock = true,
	.level = true,
	.scans = true,
};
