/* SPDX-License-Identifier: BSD-2-Clause */
/* loop - the turn, its queues, and closing; see loop.h. */
#include "io/loop.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "io/private.h"
#include "io/sock.h"
#include "io/splice.h"

/* Callbacks start operations that can be finished at once; so many rounds
 * before the kernel is asked for news of everybody else. */
#define ROUNDS 4

/* A wait of poll(2) for so many takes a third of a millisecond. */
#define MANY_SOCKS 512

/* Without a block for so long, somebody must go. */
#define PRESSED_US 10000
#define PRESS_MOST 16

static const struct wr_backend *const backends[] = {
#ifdef WR_HAVE_IO_URING
	&wr_backend_uring,
#endif
#ifdef WR_HAVE_EPOLL
	&wr_backend_epoll,
#endif
#ifdef WR_HAVE_KQUEUE
	&wr_backend_kqueue,
#endif
	&wr_backend_poll,
	&wr_backend_select,
};

const char *const *
wr_loop_backends(void)
{
	static const char *names[WR_COUNT(backends) + 1];

	for (size_t i = 0; i < WR_COUNT(backends); i++)
		names[i] = backends[i]->name;
	return names;
}

static uint64_t
clock_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static void
read_clock(struct wr_loop *l)
{
	l->now_us = clock_us();
	l->now_ms = l->now_us / 1000;
}

/* -- The three queues ---------------------------------------------------- */

void
wr_loop_ready(struct wr_loop *l, struct wr_op *op)
{
	assert(op->kind != WR_OP_NONE && op->state == WR_ST_WAIT);
	op->state = WR_ST_READY;
	wr_queue_push(&l->ready, op);
}

void
wr_loop_ready_later(struct wr_loop *l, struct wr_op *op)
{
	assert(op->kind != WR_OP_NONE && op->state == WR_ST_WAIT);
	op->state = WR_ST_READY;
	wr_queue_push(&l->later, op);
}

void
wr_loop_store(struct wr_loop *l, struct wr_op *op, int res)
{
	assert(op->kind != WR_OP_NONE && op->state == WR_ST_WAIT);
	if (op->kind == WR_OP_CONNECT && op->data != NULL)
		wr_pool_put(&l->addrs, op->data);
	if (op->kind == WR_OP_RECV || op->kind == WR_OP_CONNECT)
		op->data = NULL;
	op->want = (uint32_t)res;
	op->state = WR_ST_DONE;
}

void
wr_loop_post(struct wr_loop *l, struct wr_op *op, int res)
{
	wr_loop_store(l, op, res);
	wr_queue_push(&l->ready, op);
}

void
wr_loop_store_recv(struct wr_op *op, const struct wr_slice *s, bool hint)
{
	assert(op->kind == WR_OP_RECV && op->state == WR_ST_WAIT);
	assert(s->len > 0 && !s->block->heap);
	op->data = s->mem;
	op->want = s->len;
	if (hint)
		op->flags |= WR_OPF_HINT;
	op->state = WR_ST_DONE;
}

void
wr_loop_post_recv(
    struct wr_loop *l, struct wr_op *op, const struct wr_slice *s, bool hint)
{
	wr_loop_store_recv(op, s, hint);
	wr_queue_push(&l->ready, op);
}

void
wr_loop_stall(struct wr_loop *l, struct wr_op *op)
{
	assert(op->kind == WR_OP_RECV && op->state == WR_ST_WAIT);
	l->stats->no_buffers++;
	op->state = WR_ST_STALLED;
	wr_queue_push(&l->stalled, op);
}

/* -- Closing ------------------------------------------------------------- */

/* Nothing is in flight any more: it can be closed at the end of the turn. */
static void
close_if_idle(struct wr_loop *l, struct wr_sock *k)
{
	if (k->in.kind != WR_OP_NONE || k->out.kind != WR_OP_NONE)
		return;
	if (l->be->settle != NULL && !l->be->settle(l, k))
		return;
	k->next = NULL;
	*l->closing_tail = k;
	l->closing_tail = &k->next;
}

void
wr_loop_settled(struct wr_loop *l, struct wr_sock *k)
{
	close_if_idle(l, k);
}

static void
close_start(struct wr_loop *l, struct wr_sock *k, wr_close_fn *fn, unsigned how)
{
	assert(k->fd >= 0 && !k->closing);
	k->closing = 1;
	k->flags |= (uint8_t)how;
	k->on_close = fn;
	wr_cancel(l, &k->in);
	wr_cancel(l, &k->out);
	close_if_idle(l, k);
}

void
wr_close(struct wr_loop *l, struct wr_sock *k, wr_close_fn *fn)
{
	close_start(l, k, fn, 0);
}

void
wr_abort(struct wr_loop *l, struct wr_sock *k, wr_close_fn *fn)
{
	close_start(l, k, fn, WR_KF_ABORT);
}

void
wr_release(struct wr_loop *l, struct wr_sock *k, wr_close_fn *fn)
{
	close_start(l, k, fn, WR_KF_RELEASE);
}

/* The only place where a descriptor is closed. */
static void
close_all(struct wr_loop *l)
{
	struct wr_sock *k;

	while ((k = l->closing) != NULL) {
		if ((l->closing = k->next) == NULL)
			l->closing_tail = &l->closing;
		l->be->detach(l, k);
		l->stats->socks--;
		l->stats->closes++;
		if (!(k->flags & WR_KF_RELEASE)) {
			if (k->flags & WR_KF_ABORT)
				wr_sock_reset_on_close(k->fd);
			(void)close(k->fd);
			l->stats->syscalls++;
			k->fd = -1;
		}
		if (k->on_close != NULL)
			k->on_close(l, k);
	}
}

/* -- Completions --------------------------------------------------------- */

static void
drop(struct wr_loop *l, struct wr_done *d, enum wr_op_kind kind)
{
	if (kind == WR_OP_RECV && d->res > 0)
		wr_slice_put(l, &d->in);
	if (kind == WR_OP_ACCEPT && d->res >= 0)
		(void)close(d->res);
}

static void
count(struct wr_loop *l, const struct wr_op *op, const struct wr_done *d)
{
	l->stats->completions++;
	if (d->res < 0)
		return;
	switch (op->kind) {
	case WR_OP_ACCEPT:
		l->stats->accepts++;
		break;
	case WR_OP_CONNECT:
		l->stats->connects++;
		break;
	case WR_OP_RECV:
	case WR_OP_FILL:
		l->stats->recvs++;
		l->stats->recv_bytes += (uint64_t)d->res;
		break;
	case WR_OP_SEND:
	case WR_OP_DRAIN:
		l->stats->sends++;
		break;
	default:
		break;
	}
}

/* The only place from which a completion callback is called. */
static void
deliver(
    struct wr_loop *l, struct wr_sock *k, struct wr_op *op, struct wr_done *d)
{
	enum wr_op_kind kind = op->kind;

	count(l, op, d);
	if (!(d->flags & WR_MORE)) {
		if (kind == WR_OP_SEND) {
			if (op->flags & WR_OPF_SHORT)
				d->flags |= WR_SHORT;
			wr_tx_put(l, op->data);
		}
		op->data = NULL;
		op->kind = WR_OP_NONE;
		op->state = WR_ST_IDLE;
		op->flags = 0;
	}
	if (!k->closing) {
		op->fn(l, op, d);
		return;
	}
	drop(l, d, kind);
	if (!(d->flags & WR_MORE))
		close_if_idle(l, k);
}

/* The result that was stored in `op`. */
static void
done_of(struct wr_loop *l, struct wr_op *op, struct wr_done *d)
{
	d->res = (int)op->want;
	if (op->kind == WR_OP_SEND && d->res == 0)
		d->res = (int)((struct wr_tx *)op->data)->total;
	if (op->kind == WR_OP_RECV && d->res > 0) {
		d->in.mem = op->data;
		d->in.len = op->want;
		d->in.block = wr_block_of(l, op->data);
		d->flags = op->flags & WR_OPF_HINT ? WR_HINT : 0;
	}
}

static void
run_one(struct wr_loop *l, struct wr_op *op)
{
	struct wr_sock *k = wr_op_sock(op);
	struct wr_done d = { 0 };
	bool again;

	if (op->state == WR_ST_DONE) {
		done_of(l, op, &d);
		deliver(l, k, op, &d);
		return;
	}
	do {
		assert(op->state == WR_ST_READY);
		op->state = WR_ST_WAIT;
		if (op->kind == WR_OP_ACCEPT && op->flags & WR_OPF_CANCEL) {
			l->be->cancel(l, k, op);
			return;
		}
		d = (struct wr_done){ 0 };
		if (!l->be->run(l, k, op, &d))
			return;
		again = (d.flags & WR_AGAIN) != 0;
		if (again)
			op->state = WR_ST_READY;
		d.flags &= ~WR_AGAIN;
		deliver(l, k, op, &d);
	} while (again);
}

static void
run_accepted(struct wr_loop *l)
{
	struct wr_accepted *a;
	struct wr_done d;

	while (l->accepted_head != l->accepted_tail) {
		a = &l->accepted[l->accepted_head++ & (l->accepted_size - 1)];
		d = (struct wr_done){ .res = a->fd, .flags = WR_MORE };
		deliver(l, wr_sock_of_in(a->op), a->op, &d);
	}
}

/* What is ready now; what becomes ready meanwhile is for the next round. */
static void
run_ready(struct wr_loop *l)
{
	struct wr_queue q;
	struct wr_op *op;
	unsigned seen = 0;

	/* First, so that a listener's last word comes last. */
	run_accepted(l);
	q = wr_queue_take(&l->ready);
	while (q.head != NULL) {
		if (seen == 0 && l->be->recv_many != NULL)
			seen = l->be->recv_many(l, q.head);
		seen--;
		op = wr_queue_pop(&q);
		run_one(l, op);
		if (l->be->send_early != 0 &&
		    l->sends_bytes >= l->be->send_early)
			wr_sends_issue(l);
	}
}

static void
run_hooks(struct wr_loop *l)
{
	wr_list_each_safe (n, &l->hooks) {
		struct wr_hook *h = wr_container_of(n, struct wr_hook, link);

		h->fn(l, h);
	}
}

/* Take the cancelled ones out, all in one pass. */
static void
sweep_stalled(struct wr_loop *l)
{
	struct wr_queue q = wr_queue_take(&l->stalled);
	struct wr_op *op;

	l->sweep = false;
	while ((op = wr_queue_pop(&q)) != NULL) {
		if (!(op->flags & WR_OPF_CANCEL)) {
			wr_queue_push(&l->stalled, op);
			continue;
		}
		op->state = WR_ST_WAIT;
		wr_loop_post(l, op, -ECANCELED);
	}
}

static void
wake_stalled(struct wr_loop *l)
{
	struct wr_op *op;
	uint32_t n;

	if (l->sweep)
		sweep_stalled(l);
	if (!l->blocks.came_home)
		return;
	l->blocks.came_home = false;
	if (l->be->refill != NULL)
		l->be->refill(l);
	if (l->stalled.head == NULL)
		return;
	for (n = l->blocks.n_free + 1; n > 0; n--) {
		if ((op = wr_queue_pop(&l->stalled)) == NULL)
			break;
		op->state = WR_ST_WAIT;
		wr_loop_ready(l, op);
	}
}

static bool
has_work(const struct wr_loop *l)
{
	return l->ready.head != NULL || l->sends.head != NULL ||
	       l->closing != NULL || l->accepted_head != l->accepted_tail ||
	       l->sweep || (l->blocks.came_home && l->stalled.head != NULL);
}

/* How long the kernel may let us wait, in microseconds. */
static int64_t
wait_time(struct wr_loop *l, int wait_ms)
{
	int64_t wait_us = (int64_t)wait_ms * 1000, due_us;

	if (has_work(l))
		return 0;
	if (l->pressed_us != 0 && (wait_ms < 0 || wait_us > PRESSED_US)) {
		wait_us = PRESSED_US;
		wait_ms = PRESSED_US / 1000;
	}
	due_us = wr_wheel_wait(l);
	if (due_us >= 0 && (wait_ms < 0 || due_us < wait_us))
		return due_us;
	return wait_ms < 0 ? -1 : wait_us;
}

/*
 * Blocks that are only under way come back by themselves: give them time.  As
 * long as it is not enough, twice as many must go each time: those who wait
 * are served in turn, so one block in ten milliseconds is too few for many.
 */
static void
press(struct wr_loop *l)
{
	if (l->stalled.head == NULL)
		l->press_n = 1;
	if (!wr_blocks_pressed(l)) {
		l->pressed_us = 0;
	} else if (l->pressed_us == 0) {
		l->pressed_us = l->now_us;
	} else if (l->now_us - l->pressed_us >= PRESSED_US) {
		l->pressed_us = l->now_us;
		for (unsigned i = 0; l->pressure != NULL && i < l->press_n; i++)
			l->pressure(l, l->pressure_arg);
		if (l->press_n < PRESS_MOST)
			l->press_n *= 2;
	}
}

static void
measure(struct wr_loop *l)
{
	uint64_t spent_us = clock_us() - l->now_us;

	l->spent_us = spent_us;
	if (spent_us > l->stats->turn_max_us)
		l->stats->turn_max_us = spent_us;
	if (l->warn_ms != 0 && spent_us > (uint64_t)l->warn_ms * 1000)
		l->stats->late_turns++;
}

void
wr_loop_turn(struct wr_loop *l, int wait_ms)
{
	l->stats->turns++;
	l->looks++;
	l->burst_left = WR_BURST_MAX;
	wr_queue_append(&l->ready, &l->later);
	l->be->turn(l, wait_time(l, wait_ms));
	read_clock(l);
	wr_blocks_trim(l);
	for (int round = 0; round < ROUNDS; round++) {
		run_ready(l);
		if (round == 0)
			wr_wheel_run(l);
		run_hooks(l);
		wr_sends_issue(l);
		wake_stalled(l);
		if (l->ready.head == NULL)
			break;
	}
	close_all(l);
	press(l);
	measure(l);
}

void
wr_loop_run(struct wr_loop *l)
{
	l->stop = false;
	while (!l->stop)
		wr_loop_turn(l, -1);
}

void
wr_loop_stop(struct wr_loop *l)
{
	l->stop = true;
}

uint64_t
wr_loop_now(const struct wr_loop *l)
{
	return l->now_ms;
}

void
wr_loop_warn(struct wr_loop *l, uint32_t ms)
{
	l->warn_ms = ms;
}

bool
wr_loop_scans(const struct wr_loop *l)
{
	return l->be->scans && l->stats->socks >= MANY_SOCKS;
}

void
wr_loop_at_end(struct wr_loop *l, struct wr_hook *h)
{
	wr_list_push(&l->hooks, &h->link);
}

void
wr_loop_hook_stop(struct wr_hook *h)
{
	wr_list_remove(&h->link);
}

/* -- Beginning and end --------------------------------------------------- */

static int
loop_init(struct wr_loop *l, const struct wr_backend *be,
    const struct wr_loop_conf *c)
{
	int err;

	l->be = be;
	l->stats = c->stats != NULL ? c->stats : &l->own_stats;
	l->chop = c->chop;
	l->warn_ms = c->warn_ms;
	l->socks_max = c->socks_max == 0 ? 65536 : c->socks_max;
	l->closing_tail = &l->closing;
	wr_queue_init(&l->ready);
	wr_queue_init(&l->stalled);
	wr_queue_init(&l->sends);
	wr_queue_init(&l->later);
	wr_list_init(&l->hooks);
	read_clock(l);
	wr_wheel_init(l);
	err = wr_blocks_init(l, c->buffers_bytes, c->spill_bytes);
	if (err == 0)
		err = wr_pool_init(
		    &l->txs, sizeof(struct wr_tx), 16, l->socks_max);
	if (err == 0)
		err = wr_pool_init(
		    &l->gathers, sizeof(struct wr_gather), 16, l->socks_max);
	if (err == 0)
		err = wr_pool_init(&l->addrs, sizeof(struct sockaddr_storage),
		    16, l->socks_max);
	if (err < 0 || (err = be->init(l, c)) < 0 || c->chaos == 0)
		return err;
	err = wr_chaos_start(l, c->chaos);
	if (err < 0)
		be->fini(l);
	return err;
}

static void
loop_free(struct wr_loop *l)
{
	wr_pipes_fini(l);
	wr_blocks_fini(l);
	wr_pool_fini(&l->txs);
	wr_pool_fini(&l->gathers);
	wr_pool_fini(&l->addrs);
	free(l->accepted);
	free(l);
}

static int
open_one(struct wr_loop **l, const struct wr_backend *be,
    const struct wr_loop_conf *c, const char **why)
{
	int err;

	*why = "it cannot be set up";
	err = be->probe(why);
	if (err < 0)
		return err;
	*l = calloc(1, sizeof(**l));
	if (*l == NULL)
		return -ENOMEM;
	err = loop_init(*l, be, c);
	if (err == 0)
		return 0;
	loop_free(*l);
	*l = NULL;
	return err;
}

static struct wr_loop *
open_auto(const struct wr_loop_conf *c)
{
	const char *missed = NULL, *why = NULL, *because = NULL;
	struct wr_loop *l;
	int err = 0, first_err = 0;

	for (size_t i = 0; i < WR_COUNT(backends); i++) {
		err = open_one(&l, backends[i], c, &why);
		if (err == 0) {
			if (missed != NULL)
				wr_notice("events: %s instead of %s: %s: %s",
				    backends[i]->name, missed, because,
				    strerror(-first_err));
			return l;
		}
		if (missed == NULL) {
			missed = backends[i]->name;
			because = why;
			first_err = err;
		}
	}
	errno = -err;
	return NULL;
}

struct wr_loop *
wr_loop_new(const struct wr_loop_conf *c)
{
	const char *name = c->backend == NULL ? "auto" : c->backend;
	const char *why = "it is not compiled in";
	struct wr_loop *l;
	int err = -ENOTSUP;

	if (strcmp(name, "auto") == 0)
		return open_auto(c);
	for (size_t i = 0; i < WR_COUNT(backends); i++) {
		if (strcmp(name, backends[i]->name) != 0)
			continue;
		err = open_one(&l, backends[i], c, &why);
		if (err == 0)
			return l;
	}
	errno = -err;
	wr_error("events: %s: %s", name, why);
	errno = -err;
	return NULL;
}

void
wr_loop_free(struct wr_loop **l)
{
	if (*l == NULL)
		return;
	assert((*l)->stats->socks == 0);
	(*l)->be->fini(*l);
	loop_free(*l);
	*l = NULL;
}

void
wr_loop_abandon(struct wr_loop **l)
{
	if (*l == NULL)
		return;
	(*l)->be->abandon(*l);
	/* Memory is ours alone, and what lies in it is the parent's affair. */
	(*l)->txs.used = (*l)->gathers.used = (*l)->addrs.used = 0;
	loop_free(*l);
	*l = NULL;
}

const char *
wr_loop_backend(const struct wr_loop *l)
{
	return l->be->name;
}

uint32_t
wr_loop_limit(const struct wr_loop *l)
{
	return l->be->fd_limit != 0 ? l->be->fd_limit : INT32_MAX;
}

const struct wr_loop_stats *
wr_loop_stats(const struct wr_loop *l)
{
	return l->stats;
}
