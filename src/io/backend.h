/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * backend - what a kernel interface must offer to the loop (private to io/).
 *
 * A backend takes operations and, later, hands each to wr_loop_post() with
 * its result, or to wr_loop_ready() to be asked for it.  It never calls back
 * by itself.
 */
#ifndef WR_BACKEND_H
#define WR_BACKEND_H

#include "io/loop.h"

struct wr_backend {
	const char *name;
	/* May this process use it now?  0, or -errno and *why. */
	int (*probe)(const char **why);
	/* l->priv is the backend's own. */
	int (*init)(struct wr_loop *l, const struct wr_loop_conf *c);
	void (*fini)(struct wr_loop *l);
	/* Forked child: unmap and close, touch nothing shared. */
	void (*abandon)(struct wr_loop *l);
	/* `k` is new, and nothing is in flight; 0 or -errno. */
	int (*attach)(struct wr_loop *l, struct wr_sock *k);
	/* Before close(fd); nothing is owed. */
	void (*detach)(struct wr_loop *l, struct wr_sock *k);
	/*
	 * Start `op`: kind, want, data and flags are set, state is WR_ST_WAIT.
	 * A send arrives here at the end of the turn, again after a partial
	 * one only if the backend asks for it.  -errno: nothing was started.
	 */
	int (*arm)(struct wr_loop *l, struct wr_sock *k, struct wr_op *op);
	/* `op` is in WR_ST_WAIT.  Exactly one terminal completion follows. */
	void (*cancel)(struct wr_loop *l, struct wr_sock *k, struct wr_op *op);
	/*
	 * `op` was handed to wr_loop_ready() and its turn has come; its state
	 * is WR_ST_WAIT again.  True: *d (zeroed before) is its completion.
	 * False: it waits, was stalled, or was made ready anew.
	 */
	bool (*run)(struct wr_loop *l, struct wr_sock *k, struct wr_op *op,
	    struct wr_done *d);
	/*
	 * Run at once those of the next operations from `head` on, all in
	 * l->ready, that it is better to run together, and wr_loop_store()
	 * their results; how many were looked at, at least 1.  May be NULL.
	 */
	unsigned (*recv_many)(struct wr_loop *l, struct wr_op *head);
	/* The same for arm() of those in l->sends, which it takes out.  May
	 * be NULL. */
	void (*send_many)(struct wr_loop *l);
	/* `k` is to be closed, and no operation is in flight: let go of what
	 * the backend does of its own accord.  True: that is done; else
	 * wr_loop_settled() follows.  May be NULL. */
	bool (*settle)(struct wr_loop *l, struct wr_sock *k);
	/* Submit, wait at most so long (-1: for ever), post what finished. */
	void (*turn)(struct wr_loop *l, int64_t wait_us);
	/* Blocks came home since the last call; before stalled operations are
	 * made ready.  May be NULL. */
	void (*refill)(struct wr_loop *l);
	/* Readiness kernels (see ready.h): `op` begins to wait until it can be
	 * tried; 0, or -errno and it does not. */
	int (*want)(struct wr_loop *l, struct wr_sock *k, struct wr_op *op);
	/* It gave up waiting; if `level`, also: what it waited for came. */
	void (*unwant)(struct wr_loop *l, struct wr_sock *k, struct wr_op *op);
	uint32_t fd_limit;   /* descriptors must be below; 0: no limit */
	uint32_t send_early; /* bytes of queued sends that are issued before
				the end of the turn; 0: never */
	bool nonblock;       /* wants O_NONBLOCK sockets */
	bool level;          /* tells again and again what is ready */
	bool scans;          /* every wait looks at every socket */
};

extern const struct wr_backend wr_backend_uring, wr_backend_epoll,
    wr_backend_kqueue, wr_backend_poll, wr_backend_select;

#endif
