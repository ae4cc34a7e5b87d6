/* SPDX-License-Identifier: BSD-2-Clause */
/* fakeloop - see fakeloop.h. */
#include "fakeloop.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "io/sock.h"

#define CANCELLED 1u
#define RESET     2u
#define SHORT     4u

struct wr_block {
	uint32_t refs;
	uint8_t mem[];
};

#define PIPE_BYTES 262144u

struct wr_pipe {
	uint32_t held;
	uint8_t mem[PIPE_BYTES];
};

struct tx {
	struct wr_slice v[WR_IOV];
	int n;
	uint32_t total;
};

struct wr_loop {
	uint64_t now_ms;
	struct wr_list timers, hooks;
	struct wr_sock *closing;
	struct wr_sock *socks[4096]; /* all that are open */
	uint32_t n_socks, blocks, pipes;
	bool no_pipes;
	unsigned shutdowns;
	int fail_shutdown;
	bool was_reset;
	struct wr_loop_stats stats;
	void (*pressure)(struct wr_loop *l, void *arg);
	void *pressure_arg;
};

static int next_fd = 1000, socket_err, init_err;
static unsigned watch_fails;
static struct wr_addr connected;
static struct fake_heartbeat heartbeat;
static int stuck_fd = -1, gone_fd = -1;
static unsigned asked;

struct wr_loop *
fake_new(void)
{
	struct wr_loop *l = calloc(1, sizeof(*l));

	assert(l != NULL);
	l->now_ms = 1000000;
	wr_list_init(&l->timers);
	wr_list_init(&l->hooks);
	return l;
}

unsigned
fake_left(const struct wr_loop *l)
{
	unsigned n = l->n_socks + l->blocks + l->pipes;

	wr_list_each (t, &((struct wr_loop *)(uintptr_t)l)->timers)
		n++;
	return n;
}

void
fake_free(struct wr_loop **l)
{
	free(*l);
	*l = NULL;
}

/* -- Slices -------------------------------------------------------------- */

static struct wr_slice
new_slice(struct wr_loop *l, const void *p, uint32_t len)
{
	/* Exactly so large: a sanitizer sees whoever reads beyond. */
	struct wr_block *b = malloc(sizeof(*b) + len);

	assert(b != NULL);
	b->refs = 1;
	if (p != NULL)
		memcpy(b->mem, p, len);
	l->blocks++;
	return (struct wr_slice){ b->mem, len, b };
}

void
wr_slice_put(struct wr_loop *l, struct wr_slice *s)
{
	struct wr_block *b = s->block;

	*s = (struct wr_slice){ 0 };
	if (b == NULL || --b->refs > 0)
		return;
	l->blocks--;
	free(b);
}

struct wr_slice
wr_slice_ref(const struct wr_slice *s)
{
	if (s->block != NULL)
		s->block->refs++;
	return *s;
}

int
wr_slice_get(struct wr_loop *l, struct wr_slice *s)
{
	*s = new_slice(l, NULL, 65536);
	return 0;
}

struct wr_slice
wr_slice_const(const void *p, uint32_t len)
{
	union {
		const void *in;
		uint8_t *out;
	} cast = { p };

	return (struct wr_slice){ cast.out, len, NULL };
}

/* -- Operations ---------------------------------------------------------- */

static int
start(struct wr_sock *k, struct wr_op *op, enum wr_op_kind kind, wr_done_fn *fn)
{
	assert(k->fd >= 0 && !k->closing);
	assert(op->kind == WR_OP_NONE);
	op->kind = (uint8_t)kind;
	op->fn = fn;
	op->flags = 0;
	return 0;
}

int
wr_sock_init(struct wr_loop *l, struct wr_sock *k, int fd)
{
	int err = init_err;

	init_err = 0;
	if (err < 0)
		return err;
	assert(l->n_socks < WR_COUNT(l->socks));
	memset(k, 0, sizeof(*k));
	k->fd = fd;
	k->slot = l->n_socks;
	l->socks[l->n_socks++] = k;
	return 0;
}

int
wr_accept(struct wr_loop *l, struct wr_sock *k, unsigned flags, wr_done_fn *fn)
{
	(void)l;
	(void)flags;
	return start(k, &k->in, WR_OP_ACCEPT, fn);
}

int
wr_connect(struct wr_loop *l, struct wr_sock *k, const struct sockaddr *sa,
    socklen_t len, wr_done_fn *fn)
{
	(void)l;
	memcpy(&connected.sa, sa, len);
	connected.len = len;
	return start(k, &k->out, WR_OP_CONNECT, fn);
}

int
wr_recv(struct wr_loop *l, struct wr_sock *k, uint32_t max, unsigned flags,
    wr_done_fn *fn)
{
	(void)l;
	(void)flags;
	k->in.want = max;
	return start(k, &k->in, WR_OP_RECV, fn);
}

int
wr_send(struct wr_loop *l, struct wr_sock *k, const struct wr_slice *v, int n,
    unsigned flags, wr_done_fn *fn)
{
	struct tx *tx = calloc(1, sizeof(*tx));

	(void)l;
	(void)flags;
	assert(tx != NULL && n <= WR_IOV);
	for (int i = 0; i < n; i++) {
		tx->v[i] = v[i];
		tx->total += v[i].len;
	}
	tx->n = n;
	k->out.data = tx;
	k->sent = 0;
	return start(k, &k->out, WR_OP_SEND, fn);
}

int
wr_watch(
    struct wr_loop *l, struct wr_sock *k, enum wr_op_kind kind, wr_done_fn *fn)
{
	(void)l;
	if (watch_fails > 0) {
		watch_fails--;
		return -ENOMEM;
	}
	return start(k, kind == WR_OP_WRITABLE ? &k->out : &k->in, kind, fn);
}

void
wr_cancel(struct wr_loop *l, struct wr_op *op)
{
	(void)l;
	if (op->kind != WR_OP_NONE)
		op->flags |= CANCELLED;
}

int
wr_shutdown(struct wr_loop *l, struct wr_sock *k)
{
	assert(k->out.kind == WR_OP_NONE);
	if (l->fail_shutdown != 0)
		return l->fail_shutdown;
	l->shutdowns++;
	return 0;
}

static void
close_start(struct wr_loop *l, struct wr_sock *k, wr_close_fn *fn, bool reset)
{
	assert(k->fd >= 0 && !k->closing);
	k->closing = 1;
	k->on_close = fn;
	if (reset)
		k->flags |= RESET;
	k->next = l->closing;
	l->closing = k;
}

void
wr_close(struct wr_loop *l, struct wr_sock *k, wr_close_fn *fn)
{
	close_start(l, k, fn, false);
}

void
wr_abort(struct wr_loop *l, struct wr_sock *k, wr_close_fn *fn)
{
	close_start(l, k, fn, true);
}

static void
drop_tx(struct wr_loop *l, struct wr_op *op)
{
	struct tx *tx = op->data;

	for (int i = 0; i < tx->n; i++)
		wr_slice_put(l, &tx->v[i]);
	free(tx);
	op->data = NULL;
}

/* -- Pipes --------------------------------------------------------------- */

struct wr_pipe *
wr_pipe_get(struct wr_loop *l)
{
	struct wr_pipe *p;

	if (l->no_pipes || (p = calloc(1, sizeof(*p))) == NULL)
		return NULL;
	l->pipes++;
	return p;
}

void
wr_pipe_put(struct wr_loop *l, struct wr_pipe **p)
{
	if (*p == NULL)
		return;
	l->pipes--;
	free(*p);
	*p = NULL;
}

int
wr_fill(struct wr_loop *l, struct wr_sock *k, struct wr_pipe *p, wr_done_fn *fn)
{
	(void)l;
	assert(p->held == 0);
	k->in.want = PIPE_BYTES;
	k->in.data = p;
	return start(k, &k->in, WR_OP_FILL, fn);
}

int
wr_drain(
    struct wr_loop *l, struct wr_sock *k, struct wr_pipe *p, wr_done_fn *fn)
{
	(void)l;
	assert(p->held > 0);
	k->sent = 0;
	k->out.data = p;
	return start(k, &k->out, WR_OP_DRAIN, fn);
}

void
fake_no_pipes(struct wr_loop *l)
{
	l->no_pipes = true;
}

unsigned
fake_pipes(const struct wr_loop *l)
{
	return l->pipes;
}

/* -- What the test says -------------------------------------------------- */

static void
deliver(struct wr_loop *l, struct wr_op *op, struct wr_done *d)
{
	assert(op->kind != WR_OP_NONE);
	if (!(d->flags & WR_MORE)) {
		if (op->kind == WR_OP_SEND) {
			if (op->flags & SHORT)
				d->flags |= WR_SHORT;
			drop_tx(l, op);
		}
		if (op->kind == WR_OP_DRAIN && d->res > 0)
			((struct wr_pipe *)op->data)->held = 0;
		op->kind = WR_OP_NONE;
	}
	op->fn(l, op, d);
}

void
fake_finish(struct wr_loop *l, struct wr_op *op, int res)
{
	struct wr_done d = { .res = res };

	if (op->kind == WR_OP_SEND && res > 0)
		wr_sock_of_out(op)->sent = (uint32_t)res;
	deliver(l, op, &d);
}

uint32_t
fake_bytes(struct wr_loop *l, struct wr_op *op, const void *p, uint32_t len,
    unsigned flags)
{
	struct wr_done d = { .flags = flags };

	assert(len > 0);
	if (op->want != 0 && len > op->want)
		len = op->want;
	if (op->kind == WR_OP_FILL) {
		struct wr_pipe *pipe = op->data;

		memcpy(pipe->mem, p, len);
		pipe->held = len;
	} else {
		assert(op->kind == WR_OP_RECV);
		d.in = new_slice(l, p, len);
	}
	d.res = (int)len;
	deliver(l, op, &d);
	return len;
}

void
fake_client(struct wr_loop *l, struct wr_op *op)
{
	struct wr_done d = { .res = next_fd++, .flags = WR_MORE };

	assert(op->kind == WR_OP_ACCEPT);
	deliver(l, op, &d);
}

uint32_t
fake_left_bytes(const struct wr_op *op)
{
	const struct tx *tx = op->data;
	const struct wr_pipe *pipe = op->data;
	uint32_t total;

	assert(op->kind == WR_OP_SEND || op->kind == WR_OP_DRAIN);
	total = op->kind == WR_OP_SEND ? tx->total : pipe->held;
	return total - wr_container_of(op, const struct wr_sock, out)->sent;
}

uint8_t
fake_byte(const struct wr_op *op, uint32_t i)
{
	const struct tx *tx = op->data;

	i += wr_container_of(op, const struct wr_sock, out)->sent;
	if (op->kind == WR_OP_DRAIN)
		return ((const struct wr_pipe *)op->data)->mem[i];
	for (int j = 0; j < tx->n; j++) {
		if (i < tx->v[j].len)
			return tx->v[j].mem[i];
		i -= tx->v[j].len;
	}
	abort();
}

void
fake_take(struct wr_loop *l, struct wr_op *op, uint32_t n)
{
	struct wr_sock *k = wr_sock_of_out(op);
	uint32_t left = fake_left_bytes(op);

	assert(n > 0 && n <= left);
	k->sent += n;
	if (n == left)
		fake_finish(l, op, (int)k->sent);
	else
		op->flags |= SHORT;
}

static void
run_cancelled(struct wr_loop *l)
{
	for (uint32_t i = 0; i < l->n_socks; i++) {
		struct wr_sock *k = l->socks[i];

		if (k->closing)
			continue;
		if (k->in.kind != WR_OP_NONE && k->in.flags & CANCELLED)
			fake_finish(l, &k->in, -ECANCELED);
		if (!k->closing && k->out.kind != WR_OP_NONE &&
		    k->out.flags & CANCELLED)
			fake_finish(l, &k->out, -ECANCELED);
	}
}

static void
run_closing(struct wr_loop *l)
{
	struct wr_sock *k;

	while ((k = l->closing) != NULL) {
		l->closing = k->next;
		if (k->out.kind == WR_OP_SEND)
			drop_tx(l, &k->out);
		k->in.kind = k->out.kind = WR_OP_NONE;
		l->socks[k->slot] = l->socks[--l->n_socks];
		l->socks[k->slot]->slot = k->slot;
		l->was_reset = k->flags & RESET;
		k->fd = -1;
		if (k->on_close != NULL)
			k->on_close(l, k);
	}
}

void
fake_turn(struct wr_loop *l)
{
	wr_list_each_safe (n, &l->hooks) {
		struct wr_hook *h = wr_container_of(n, struct wr_hook, link);

		h->fn(l, h);
	}
	run_cancelled(l);
	run_closing(l);
}

static struct wr_timer *
first_timer(struct wr_loop *l)
{
	struct wr_timer *first = NULL;

	wr_list_each (n, &l->timers) {
		struct wr_timer *t = wr_container_of(n, struct wr_timer, link);

		if (first == NULL || t->due_ms < first->due_ms)
			first = t;
	}
	return first;
}

void
fake_pass(struct wr_loop *l, uint64_t ms)
{
	uint64_t end_ms = l->now_ms + ms;
	struct wr_timer *t;

	while ((t = first_timer(l)) != NULL && t->due_ms <= end_ms) {
		l->now_ms = t->due_ms;
		wr_timer_stop(l, t);
		t->fn(l, t);
		fake_turn(l);
	}
	l->now_ms = end_ms;
	fake_turn(l);
}

bool
fake_was_reset(const struct wr_loop *l)
{
	return l->was_reset;
}

void
fake_fail_shutdown(struct wr_loop *l, int err)
{
	l->fail_shutdown = err;
}

unsigned
fake_shutdowns(const struct wr_loop *l)
{
	return l->shutdowns;
}

struct wr_loop_stats *
fake_stats(struct wr_loop *l)
{
	return &l->stats;
}

/* -- The rest of loop.h -------------------------------------------------- */

uint64_t
wr_loop_now(const struct wr_loop *l)
{
	return l->now_ms;
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

bool
wr_send_pins(const struct wr_sock *k)
{
	return k->out.kind == WR_OP_SEND;
}

void
wr_loop_on_pressure(
    struct wr_loop *l, void (*fn)(struct wr_loop *l, void *arg), void *arg)
{
	l->pressure = fn;
	l->pressure_arg = arg;
}

void
fake_press(struct wr_loop *l)
{
	l->pressure(l, l->pressure_arg);
}

void
wr_timer_set(
    struct wr_loop *l, struct wr_timer *t, uint64_t after_ms, wr_timer_fn *fn)
{
	wr_timer_stop(l, t);
	t->fn = fn;
	t->due_ms = l->now_ms + after_ms;
	wr_list_push(&l->timers, &t->link);
}

void
wr_timer_stop(struct wr_loop *l, struct wr_timer *t)
{
	(void)l;
	if (!wr_timer_is_set(t))
		return;
	wr_list_remove(&t->link);
	t->link.next = NULL;
}

/* -- io/sock.h ----------------------------------------------------------- */

void
fake_fail_socket(int err)
{
	socket_err = err;
}

void
fake_fail_init(int err)
{
	init_err = err;
}

void
fake_fail_watch(unsigned n)
{
	watch_fails = n;
}

const struct wr_addr *
fake_connected(void)
{
	return &connected;
}

int
wr_sock_stream(int family)
{
	int err = socket_err;

	(void)family;
	socket_err = 0;
	return err < 0 ? err : next_fd++;
}

int
wr_sock_name(int fd, struct wr_addr *a)
{
	(void)fd;
	return wr_addr_parse(a, WR_STR("127.0.0.1:8080"), -1);
}

int
wr_sock_peer(int fd, struct wr_addr *a)
{
	(void)fd;
	return wr_addr_parse(a, WR_STR("10.1.2.3:4567"), -1);
}

/* Addresses of ours end with their number; those below 8 may be missing. */
static uint8_t source;
static unsigned missing_sources;

uint8_t
fake_source(void)
{
	return source;
}

void
fake_miss_sources(unsigned numbers)
{
	missing_sources = numbers;
}

int
wr_sock_source(int fd, const struct wr_addr *a)
{
	(void)fd;
	source = (uint8_t)ntohl(a->in.sin_addr.s_addr);
	return source < 8 && (missing_sources >> source & 1) != 0
		   ? -EADDRNOTAVAIL
		   : 0;
}

int
wr_sock_heartbeat(int fd, unsigned idle_s, unsigned misses, unsigned early_s,
    unsigned user_timeout_ms)
{
	if (early_s > idle_s / 2)
		abort();
	heartbeat =
	    (struct fake_heartbeat){ fd, idle_s, misses, user_timeout_ms };
	return 0;
}

int
wr_sock_queued(int fd)
{
	(void)fd;
	return 0;
}

int
wr_sock_user_timeout(int fd, unsigned ms)
{
	heartbeat.fd = fd;
	heartbeat.user_timeout_ms = ms;
	return 0;
}

bool
wr_sock_gone(int fd)
{
	return fd == gone_fd;
}

void
fake_gone(int fd)
{
	gone_fd = fd;
}

enum wr_taken
wr_sock_taken(int fd)
{
	asked++;
	return fd == stuck_fd ? WR_TAKEN_NONE : WR_TAKEN_ALL;
}

const struct fake_heartbeat *
fake_heartbeat(void)
{
	return &heartbeat;
}

void
fake_stuck(int fd)
{
	stuck_fd = fd;
}

unsigned
fake_asked(void)
{
	return asked;
}

void
wr_sock_unsent(int fd, uint32_t bytes)
{
	(void)fd;
	(void)bytes;
}
