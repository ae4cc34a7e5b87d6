/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * chaos - a backend around a backend that makes everything happen that may
 * happen, more often than a kernel does; for tests.
 *
 * Bytes come and go one at a time, completions come late and in another
 * order, a cancel loses its race, there is no buffer, a turn has nothing to
 * tell.  Nothing that loop.h promises is broken.  One seed gives one schedule
 * of dice; what they meet depends on the kernel.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "io/private.h"

#define LATE_MAX  64u
#define TURNS_MAX 4u
#define WAIT_US   500 /* while something is held back */

struct late {
	struct wr_op *op;
	unsigned turns;
};

struct chaos {
	struct wr_backend be; /* what the loop sees */
	const struct wr_backend *inner;
	uint64_t dice;
	uint32_t chop; /* that of the configuration */
	/* Completions and cancels that are held back. */
	struct late held[LATE_MAX], cancels[LATE_MAX];
	unsigned n_held, n_cancels;
};

static struct chaos *
chaos_of(const struct wr_loop *l)
{
	union {
		const struct wr_backend *in;
		char *out;
	} cast = { l->be }; /* we made it */

	return wr_container_of(cast.out, struct chaos, be);
}

/* 0 to n - 1. */
static unsigned
dice(struct chaos *c, unsigned n)
{
	c->dice ^= c->dice << 13;
	c->dice ^= c->dice >> 7;
	c->dice ^= c->dice << 17;
	return (unsigned)(c->dice >> 33) % n;
}

static bool
one_of(struct chaos *c, unsigned n)
{
	return dice(c, n) == 0;
}

/* -- Completions --------------------------------------------------------- */

/* Take the queue apart: some for later, the others in any order, those that
 * are due among them. */
static void
shuffle(struct wr_loop *l, struct chaos *c)
{
	struct wr_queue q = l->ready;
	struct wr_op *op, *v[2 * LATE_MAX];
	unsigned n = 0, kept = 0, i;

	for (i = 0; i < c->n_held; i++)
		if (c->held[i].turns-- == 0)
			v[n++] = c->held[i].op;
		else
			c->held[kept++] = c->held[i];
	c->n_held = kept;
	wr_queue_init(&l->ready);
	while (q.head != NULL && n < WR_COUNT(v)) {
		op = wr_queue_pop(&q);
		if (c->n_held < LATE_MAX && one_of(c, 6))
			c->held[c->n_held++] =
			    (struct late){ op, dice(c, TURNS_MAX) };
		else
			v[n++] = op;
	}
	while (n > 0) {
		i = dice(c, n);
		wr_queue_push(&l->ready, v[i]);
		v[i] = v[--n];
	}
	while ((op = wr_queue_pop(&q)) != NULL)
		wr_queue_push(&l->ready, op);
}

static bool
cancel_now(struct wr_loop *l, struct chaos *c, struct wr_op *op)
{
	if (op->kind == WR_OP_NONE || !(op->flags & WR_OPF_CANCEL))
		return true; /* it came too late */
	switch (op->state) {
	case WR_ST_WAIT:
		c->inner->cancel(l, wr_op_sock(op), op);
		return true;
	case WR_ST_STALLED:
		l->sweep = true;
		return true;
	case WR_ST_READY: /* it may find nothing, and wait again */
		return false;
	default:
		return true;
	}
}

static void
cancel_due(struct wr_loop *l, struct chaos *c)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < c->n_cancels; i++)
		if (c->cancels[i].turns > 0) {
			c->cancels[kept] = c->cancels[i];
			c->cancels[kept++].turns--;
		} else if (!cancel_now(l, c, c->cancels[i].op)) {
			c->cancels[kept++] = c->cancels[i];
		}
	c->n_cancels = kept;
}

static void
chaos_turn(struct wr_loop *l, int64_t wait_us)
{
	struct chaos *c = chaos_of(l);
	bool late = c->n_held + c->n_cancels > 0 || l->stalled.head != NULL;

	l->chop = c->chop;
	if (one_of(c, 2))
		l->chop = 1 + dice(c, one_of(c, 2) ? 3 : 3000);
	cancel_due(l, c);
	if (one_of(c, 8))
		wait_us = 0;
	if (late && (wait_us < 0 || wait_us > WAIT_US))
		wait_us = WAIT_US;
	c->inner->turn(l, wait_us);
	shuffle(l, c);
	if (l->stalled.head != NULL && one_of(c, 2))
		l->blocks.came_home = true;
}

/* -- Operations ---------------------------------------------------------- */

static int
chaos_arm(struct wr_loop *l, struct wr_sock *k, struct wr_op *op)
{
	struct chaos *c = chaos_of(l);

	if (op->kind == WR_OP_RECV && one_of(c, 16)) {
		wr_loop_stall(l, op);
		return 0;
	}
	if (op->kind == WR_OP_RECV && one_of(c, 6))
		op->want = 1;
	/* A wrong hint: to no backend is it more than that. */
	if ((op->kind == WR_OP_RECV || op->kind == WR_OP_SEND) && one_of(c, 4))
		k->ready |= (uint8_t)(1 + dice(c, 3));
	return c->inner->arm(l, k, op);
}

static void
chaos_cancel(struct wr_loop *l, struct wr_sock *k, struct wr_op *op)
{
	struct chaos *c = chaos_of(l);

	if (c->n_cancels == LATE_MAX || one_of(c, 2))
		c->inner->cancel(l, k, op);
	else
		c->cancels[c->n_cancels++] =
		    (struct late){ op, dice(c, TURNS_MAX) };
}

static void
chaos_detach(struct wr_loop *l, struct wr_sock *k)
{
	struct chaos *c = chaos_of(l);
	unsigned kept = 0;

	for (unsigned i = 0; i < c->n_cancels; i++)
		if (c->cancels[i].op != &k->in && c->cancels[i].op != &k->out)
			c->cancels[kept++] = c->cancels[i];
	c->n_cancels = kept;
	c->inner->detach(l, k);
}

/* -- Beginning and end --------------------------------------------------- */

static void
chaos_fini(struct wr_loop *l)
{
	struct chaos *c = chaos_of(l);

	assert(c->n_held == 0 && c->n_cancels == 0);
	l->be = c->inner;
	l->be->fini(l);
	free(c);
}

static void
chaos_abandon(struct wr_loop *l)
{
	struct chaos *c = chaos_of(l);

	l->be = c->inner;
	l->be->abandon(l);
	free(c);
}

int
wr_chaos_start(struct wr_loop *l, uint64_t seed)
{
	struct chaos *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return -ENOMEM;
	c->inner = l->be;
	c->be = *l->be;
	c->be.fini = chaos_fini;
	c->be.abandon = chaos_abandon;
	c->be.detach = chaos_detach;
	c->be.arm = chaos_arm;
	c->be.cancel = chaos_cancel;
	c->be.turn = chaos_turn;
	c->chop = l->chop;
	/* Neighbouring seeds give strange sequences. */
	c->dice = (seed + 1) * 0x9e3779b97f4a7c15u;
	if (c->dice == 0)
		c->dice = 1;
	l->be = &c->be;
	return 0;
}
