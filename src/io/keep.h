/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * keep - watch a descriptor for as long as it is there.
 *
 * wr_watch() tells once and can fail when it is asked anew, for want of memory
 * or the like.  Who would be deaf then for the rest of its life is here asked
 * again until it hears.
 */
#ifndef WR_KEEP_H
#define WR_KEEP_H

#include "io/loop.h"

struct wr_keep;

/* It is readable.  wr_keep_stop() may be called from here. */
typedef void wr_keep_fn(struct wr_loop *l, struct wr_keep *k);

struct wr_keep {
	struct wr_sock sock;
	/* Private. */
	struct wr_timer again;
	wr_keep_fn *fn;
	const char *what;
	bool on, deaf;
};

/* As wr_sock_init(), and watch it.  `what` is for the log, and kept. */
wr_must_check int wr_keep_start(struct wr_loop *l, struct wr_keep *k, int fd,
    const char *what, wr_keep_fn *fn);
/* No more calls; then close or release k->sock. */
void wr_keep_stop(struct wr_loop *l, struct wr_keep *k);

#endif
