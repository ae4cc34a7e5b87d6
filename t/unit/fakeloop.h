/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fakeloop - the functions of io/loop.h, without a kernel: the test says what
 * happens.
 *
 * Operations stay in flight until the test finishes them.  Timers fire when
 * the test lets time pass.  Closes and cancelled operations are seen at the
 * end of a turn.  Descriptors are numbers that stand for nothing.
 */
#ifndef WR_FAKELOOP_H
#define WR_FAKELOOP_H

#include "io/loop.h"

struct wr_loop *fake_new(void);
/* Blocks, sockets and timers that were left behind. */
unsigned fake_left(const struct wr_loop *l);
void fake_free(struct wr_loop **l);

/* What it waits for. */
static inline enum wr_op_kind
fake_waits(const struct wr_op *op)
{
	return op->kind;
}

/* A result: 0, an error, or for a send all bytes. */
void fake_finish(struct wr_loop *l, struct wr_op *op, int res);
/* A receive gets these bytes; at most op->want of them, the count is
 * returned. */
uint32_t fake_bytes(struct wr_loop *l, struct wr_op *op, const void *p,
    uint32_t len, unsigned flags);
/* One accepted client; more may follow. */
void fake_client(struct wr_loop *l, struct wr_op *op);
/* The kernel takes `n` more bytes of a send; it completes with the last one. */
void fake_take(struct wr_loop *l, struct wr_op *op, uint32_t n);
/* What a send still has to deliver. */
uint32_t fake_left_bytes(const struct wr_op *op);
uint8_t fake_byte(const struct wr_op *op, uint32_t i);

/* Hooks, cancelled operations, closes. */
void fake_turn(struct wr_loop *l);
/* Time passes; timers fire, each with a turn of its own. */
void fake_pass(struct wr_loop *l, uint64_t ms);
/* How the last socket was closed: reset, not ended. */
bool fake_was_reset(const struct wr_loop *l);
/* What shutdowns give from now on. */
void fake_fail_shutdown(struct wr_loop *l, int err);
unsigned fake_shutdowns(const struct wr_loop *l);
/* Buffers are short. */
void fake_press(struct wr_loop *l);
/* Pipes are not to be had; how many are out. */
void fake_no_pipes(struct wr_loop *l);
unsigned fake_pipes(const struct wr_loop *l);
/* The next socket cannot be had. */
void fake_fail_socket(int err);
/* The next socket cannot be taken into the loop. */
void fake_fail_init(int err);
/* So many watches fail from now on. */
void fake_fail_watch(unsigned n);
/* The last byte of the own address that was last asked for; those with these
 * numbers (bits) are not ours. */
uint8_t fake_source(void);
void fake_miss_sources(unsigned numbers);
/* The address that was last connected to. */
const struct wr_addr *fake_connected(void);
/* What was last asked for of a socket's heartbeat. */
struct fake_heartbeat {
	int fd;
	unsigned idle_s, misses, user_timeout_ms;
};
const struct fake_heartbeat *fake_heartbeat(void);
/* This socket's peer has closed its window; all others take everything. */
void fake_stuck(int fd);
/* This socket's peer has left. */
void fake_gone(int fd);
/* How often anybody asked what a peer has taken. */
unsigned fake_asked(void);
struct wr_loop_stats *fake_stats(struct wr_loop *l);

#endif
