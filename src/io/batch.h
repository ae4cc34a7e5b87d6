/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * batch - many receives or sends for one system call (private to io/).
 *
 * Linux's io_submit(2) takes reads and writes of many descriptors at once.  On
 * a socket that must not wait they are done before it returns, so that it only
 * saves the way into the kernel and back: worth it where io_uring is not to be
 * had and a system call is dear.  What cannot be done here is left to be done
 * alone; nothing depends on a batch.  Whether the kernel can is tried first.
 */
#ifndef WR_BATCH_H
#define WR_BATCH_H

#include "io/private.h"

#if defined(__linux__) && __has_include(<linux/aio_abi.h>)
#define WR_HAVE_BATCH 1
#endif

struct wr_batch;

/*
 * Receive for those of the next operations from `head` on, all in l->ready,
 * that are to be tried; their results are stored as if posted.  Returns how
 * many operations were looked at.  *b is made when it is first needed.
 */
unsigned
wr_batch_recv(struct wr_loop *l, struct wr_batch **b, struct wr_op *head);
/* Send what waits in l->sends; what is left there is for others. */
void wr_batch_send(struct wr_loop *l, struct wr_batch **b);
/* Leaves NULL. */
void wr_batch_free(struct wr_batch **b);
/* In a forked child: it is the parent's, and its two pages stay until exec().
 * Leaves NULL. */
void wr_batch_abandon(struct wr_batch **b);

#endif
