/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * uring - what the three files of the io_uring backend share (private to io/).
 */
#ifndef WR_URING_H
#define WR_URING_H

#include "io/ring.h"

/* Kinds of buffers; see uring.c. */
enum {
	WR_BUFS_SMALL,
	WR_BUFS_LARGE,
	WR_BUFS_KINDS
};

struct wr_uring {
	struct wr_ring ring;
	struct wr_bufs bufs[WR_BUFS_KINDS];
	uint32_t in_flight;
	uint64_t counted_ms;   /* threads were counted then */
	uint64_t crowded_turn; /* the last with many sends */
	/* See ahead.c. */
	struct wr_pool aheads;
	uint32_t standing;
	bool no_ahead; /* this kernel cannot */
};

/* The low bits of user data: who answers. */
#define WR_TAG_OP     0u /* the operation at this address */
#define WR_TAG_CANCEL 1u
#define WR_TAG_AHEAD  2u /* the standing receive of this `in` */
#define WR_TAG_MASK   7u

/* k->ready: bits for the next receive, and a count. */
#define WR_NEXT_TRY   1u    /* bytes are likely to be there */
#define WR_NEXT_LARGE 2u    /* the last one filled a small buffer */
#define WR_NEXT_CHAT  0xfcu /* so many small ones in a row */

/* Room for a request; there always is. */
struct io_uring_sqe *wr_uring_sqe(struct wr_loop *l);
/* `op` is the one who will be answered. */
void
wr_uring_start(struct wr_uring *u, struct io_uring_sqe *sqe, struct wr_op *op);
void wr_uring_poll(
    struct wr_loop *l, struct wr_sock *k, struct wr_op *op, unsigned mask);
/* Cancel what has this user data. */
void wr_uring_cancel(struct wr_loop *l, uint64_t user_data);
/* Begin a receive, in whatever way is best; `polled`: there is nothing yet. */
void wr_uring_recv(
    struct wr_loop *l, struct wr_sock *k, struct wr_op *op, bool polled);
/* Try to move bytes by a pipe, and wait if there are none. */
void wr_uring_move(struct wr_loop *l, struct wr_sock *k, struct wr_op *op);
/* Bytes came, all of them if not `more`: remember what that says. */
void wr_uring_note(struct wr_sock *k, uint32_t len, bool more, bool large);

/* -- out.c -- */

/* Send, drain, or wait until it is writable. */
void wr_out_arm(struct wr_loop *l, struct wr_sock *k, struct wr_op *op);
/* A request for one of them was answered; `more` answers follow. */
void wr_out_done(
    struct wr_loop *l, struct wr_sock *k, struct wr_op *op, int res, bool more);

/* -- ahead.c -- */

wr_must_check int wr_ahead_init(struct wr_loop *l);
void wr_ahead_fini(struct wr_loop *l);
/* Take care of the receive `op`, which begins; false: it is for others. */
wr_must_check bool
wr_ahead_recv(struct wr_loop *l, struct wr_sock *k, struct wr_op *op);
/* Begin to fill a pipe, although there is a standing receive or its bytes. */
void wr_ahead_fill(struct wr_loop *l, struct wr_sock *k, struct wr_op *op);
/* The standing receive of `k` completed. */
void wr_ahead_done(
    struct wr_loop *l, struct wr_sock *k, const struct io_uring_cqe *cqe);
/* A standing receive is armed, and nothing else does what `in` waits for. */
bool wr_ahead_is_armed(const struct wr_sock *k);
/* End it.  True: nothing is armed, and nothing was taken ahead; else that
 * will be so later, without a word. */
bool wr_ahead_stop(struct wr_loop *l, struct wr_sock *k);
/* Forget what was taken; nothing is armed. */
void wr_ahead_drop(struct wr_loop *l, struct wr_sock *k);

#endif
