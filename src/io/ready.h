/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ready - operations out of readiness: try, wait, try again (private to io/).
 *
 * For kernels that only tell that something could be done.  What they told is
 * kept in k->ready, so that a busy socket is not asked about: a bit is
 * cleared only by EAGAIN or by a transfer shorter than asked for.  A wrong
 * bit costs one system call and does no harm.
 *
 * A backend puts these functions into its table and has want() and unwant().
 */
#ifndef WR_READY_H
#define WR_READY_H

#include "io/private.h"

/* k->ready */
#define WR_RD  1u
#define WR_WR  2u
#define WR_HUP 4u /* the end, an error or urgent data: read until EAGAIN */
/* Of an event only: the kernel cannot tell success from failure. */
#define WR_DOUBT 8u

/* A receive of fewer bytes than these is small; see WR_KF_MUCH. */
#define WR_RECV_FEW 4352u

/* k->flags: the kernel tells only changes of this one, so a bit of k->ready
 * that is known must not be forgotten. */
#define WR_KF_EDGE 0x10u

/* A new socket: its state is not known, so both directions are tried. */
void wr_ready_init(struct wr_sock *k);
/* The kernel says `bits` of `k`. */
void wr_ready_event(struct wr_loop *l, struct wr_sock *k, unsigned bits);

/* A receive with room for `asked` bytes got `n`, or -errno: are there more? */
bool wr_ready_took(struct wr_sock *k, uint32_t asked, int n);
/* All that `op` has left was to be sent, and the kernel took `n` bytes of it,
 * or says -errno: as if arm() had done so. */
int
wr_ready_sent(struct wr_loop *l, struct wr_sock *k, struct wr_op *op, int n);

int wr_ready_arm(struct wr_loop *l, struct wr_sock *k, struct wr_op *op);
void wr_ready_cancel(struct wr_loop *l, struct wr_sock *k, struct wr_op *op);
bool wr_ready_run(
    struct wr_loop *l, struct wr_sock *k, struct wr_op *op, struct wr_done *d);

/* Milliseconds for poll() and its like, rounded up; -1: for ever. */
int wr_ready_ms(int64_t wait_us);

#endif
