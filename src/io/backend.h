/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * backend - what a kernel interface must offer to the loop (private to io/).
 *
 * A backend takes operations and, later, hands each to wr_loop_post() with
 * its result.  It never calls back by itself.
 */
#ifndef WR_BACKEND_H
#define WR_BACKEND_H

#include "io/loop.h"

struct wr_backend {
	const char *name;
	/* May this process use it now?  0, or -errno and *why. */
	int (*probe)(const char **why);
	int (*init)(struct wr_loop *l, const struct wr_loop_conf *c);
	void (*fini)(struct wr_loop *l);
	/* Forked child: unmap and close, touch nothing shared. */
	void (*abandon)(struct wr_loop *l);
	int (*attach)(struct wr_loop *l, struct wr_sock *k);
	/* Before close(fd); nothing is owed. */
	void (*detach)(struct wr_loop *l, struct wr_sock *k);
	int (*arm)(struct wr_loop *l, struct wr_sock *k, struct wr_op *op);
	/* Exactly one terminal completion follows. */
	void (*cancel)(struct wr_loop *l, struct wr_sock *k, struct wr_op *op);
	/* Submit, wait at most so long (-1: for ever), post what finished. */
	void (*turn)(struct wr_loop *l, int64_t wait_us);
	/* A block came home; io_uring: into the ring. */
	void (*refill)(struct wr_loop *l, struct wr_block *b);
	uint32_t fd_limit; /* descriptors must be below; 0: no limit */
	bool nonblock;     /* wants O_NONBLOCK sockets */
};

extern const struct wr_backend wr_backend_uring, wr_backend_epoll,
    wr_backend_kqueue, wr_backend_poll, wr_backend_select;

#endif
