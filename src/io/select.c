/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * select - three sets of bits; for descriptors below FD_SETSIZE only.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <sys/time.h>

#include "io/ready.h"

struct selector {
	fd_set rd, wr; /* what is waited for */
	int end;       /* all descriptors in them are below */
	struct wr_sock *socks[FD_SETSIZE];
};

static int
select_probe(const char **why)
{
	(void)why;
	return 0;
}

static int
select_init(struct wr_loop *l, const struct wr_loop_conf *c)
{
	struct selector *p = calloc(1, sizeof(*p));

	(void)c;
	if (p == NULL)
		return -ENOMEM;
	FD_ZERO(&p->rd);
	FD_ZERO(&p->wr);
	l->priv = p;
	return 0;
}

static void
select_fini(struct wr_loop *l)
{
	free(l->priv);
}

static int
select_attach(struct wr_loop *l, struct wr_sock *k)
{
	struct selector *p = l->priv;

	p->socks[k->fd] = k;
	wr_ready_init(k);
	return 0;
}

static void
select_detach(struct wr_loop *l, struct wr_sock *k)
{
	struct selector *p = l->priv;

	p->socks[k->fd] = NULL;
}

static int
select_want(struct wr_loop *l, struct wr_sock *k, struct wr_op *op)
{
	struct selector *p = l->priv;

	FD_SET(k->fd, wr_op_is_in(op) ? &p->rd : &p->wr);
	if (k->fd >= p->end)
		p->end = k->fd + 1;
	return 0;
}

static void
select_unwant(struct wr_loop *l, struct wr_sock *k, struct wr_op *op)
{
	struct selector *p = l->priv;

	FD_CLR(k->fd, wr_op_is_in(op) ? &p->rd : &p->wr);
}

static void
lower_end(struct selector *p)
{
	while (p->end > 0 && !FD_ISSET(p->end - 1, &p->rd) &&
	       !FD_ISSET(p->end - 1, &p->wr))
		p->end--;
}

static void
select_turn(struct wr_loop *l, int64_t wait_us)
{
	struct selector *p = l->priv;
	fd_set rd, wr;
	struct timeval tv = { .tv_sec = wait_us / 1000000,
		.tv_usec = wait_us % 1000000 };
	unsigned bits;
	int n;

	lower_end(p);
	rd = p->rd;
	wr = p->wr;
	l->stats->syscalls++;
	n = select(p->end, &rd, &wr, NULL, wait_us < 0 ? NULL : &tv);
	for (int fd = 0, end = p->end; n > 0 && fd < end; fd++) {
		bits = (FD_ISSET(fd, &rd) ? WR_RD : 0) |
		       (FD_ISSET(fd, &wr) ? WR_WR | WR_DOUBT : 0);
		if (bits == 0)
			continue;
		n -= (bits & WR_RD ? 1 : 0) + (bits & WR_WR ? 1 : 0);
		wr_ready_event(l, p->socks[fd], bits);
	}
}

const struct wr_backend wr_backend_select = {
	.name = "select",
	.probe = select_probe,
	.init = select_init,
	.fini = select_fini,
	.abandon = select_fini,
	.attach = select_attach,
	.detach = select_detach,
	.arm = wr_ready_arm,
	.cancel = wr_ready_cancel,
	.run = wr_ready_run,
	.turn = select_turn,
	.want = select_want,
	.unwant = select_unwant,
	.fd_limit = FD_SETSIZE,
	.send_early = 32u << 10,
	.nonblock = true,
	.level = true,
	.scans = true,
};
