/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * conform - the promises of loop.h, kept by every backend.
 *
 *	conform [BACKEND [TEST]]
 *
 * Without arguments WEIR_EVENTS names the backend; without it, all that are
 * compiled in and work here are tested.  WEIR_CHAOS is a seed for the
 * wrapper that makes everything happen late and in another order.
 */
#include "t/unit/conform.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "t/unit/tap.h"

const char *backend;
static const char *test_name;

static const char *
name_of(const char *what)
{
	static char text[256];

	(void)snprintf(
	    text, sizeof(text), "%s: %s: %s", backend, test_name, what);
	return text;
}

void
check_that(bool pass, const char *what, const char *file, int line)
{
	(void)tap_ok(pass, name_of(what), file, line);
}

void
check_equal(
    intmax_t got, intmax_t want, const char *what, const char *file, int line)
{
	(void)tap_is_int(got, want, name_of(what), file, line);
}

void
say(const char *fmt, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	diag("%s", text);
}

bool
is_chaos(void)
{
	return getenv("WEIR_CHAOS") != NULL;
}

uint64_t
now_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

void
busy_ms(unsigned ms)
{
	(void)poll(NULL, 0, (int)ms);
}

/* -- Loops --------------------------------------------------------------- */

struct wr_loop *
loop_begin(const struct wr_loop_conf *given)
{
	struct wr_loop_conf c = { 0 };
	const char *seed = getenv("WEIR_CHAOS");
	struct wr_loop *l;

	if (given != NULL)
		c = *given;
	c.backend = backend;
	if (seed != NULL)
		c.chaos = strtoull(seed, NULL, 10);
	l = wr_loop_new(&c);
	if (l == NULL) {
		diag("%s: %s", backend, strerror(errno));
		exit(1);
	}
	return l;
}

void
loop_end(struct wr_loop *l)
{
	const struct wr_loop_stats *s = wr_loop_stats(l);

	until(l, s->socks == 0 && s->buffers_used == 0 && s->spill_bytes == 0);
	check_int(s->socks, 0);
	check_int(s->timers, 0);
	check_int(s->buffers_used, 0);
	check_int(s->spill_bytes, 0);
	check_int(s->iowq_threads, 0);
	wr_loop_free(&l);
	check(l == NULL);
}

void
turns(struct wr_loop *l, int n)
{
	while (n-- > 0)
		wr_loop_turn(l, 2);
}

/* -- Sockets ------------------------------------------------------------- */

static void
must(bool fine, const char *what)
{
	if (fine)
		return;
	diag("%s: %s", what, strerror(errno));
	exit(1);
}

int
tcp_listener(struct wr_addr *a, int backlog)
{
	int fd;

	must(wr_addr_parse(a, WR_STR("127.0.0.1:1"), -1) == 0, "parse");
	wr_addr_set_port(a, 0);
	fd = wr_sock_bind(a, 0, 0);
	must(fd >= 0, "bind");
	must(wr_sock_listen(fd, backlog) == 0, "listen");
	must(wr_sock_name(fd, a) == 0, "name");
	return fd;
}

void
tcp_pair(int fds[2])
{
	struct wr_addr a;
	int listener = tcp_listener(&a, 1);

	must(wr_sock_nonblock(listener, false) == 0, "nonblock");
	fds[0] = socket(AF_INET, SOCK_STREAM, 0);
	must(connect(fds[0], &a.sa, a.len) == 0, "connect");
	fds[1] = accept(listener, NULL, NULL);
	must(fds[1] >= 0, "accept");
	(void)close(listener);
}

void
unix_pair(int fds[2])
{
	must(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0, "socketpair");
}

void
raw_write(int fd, const void *p, size_t n)
{
	const char *from = p;
	ssize_t did;

	for (; n > 0; from += did, n -= (size_t)did) {
		did = send(fd, from, n, MSG_NOSIGNAL);
		must(did > 0, "write");
	}
}

size_t
raw_read(int fd, void *p, size_t size)
{
	size_t got = 0;
	ssize_t n;

	while (got < size) {
		n = recv(fd, (char *)p + got, size - got, MSG_DONTWAIT);
		if (n <= 0)
			break;
		got += (size_t)n;
	}
	return got;
}

/* -- Patterns ------------------------------------------------------------ */

uint8_t
pattern(uint64_t at)
{
	return (uint8_t)(at * 131 + (at >> 8) * 7 + 13);
}

void
sum_add(uint64_t *sum, uint64_t at, const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		*sum = *sum * 31 + p[i] + (at + i);
}

uint64_t
pattern_sum(uint64_t n)
{
	uint64_t sum = 0;
	uint8_t b;

	for (uint64_t at = 0; at < n; at++) {
		b = pattern(at);
		sum_add(&sum, at, &b, 1);
	}
	return sum;
}

/* -- Ends ---------------------------------------------------------------- */

void
on_close(struct wr_loop *l, struct wr_sock *k)
{
	struct end *e = wr_container_of(k, struct end, k);

	(void)l;
	e->closes++;
}

static void
take(struct wr_loop *l, struct end *e, const struct wr_done *d)
{
	struct wr_slice s = d->in;
	size_t n = d->res > 0 ? (size_t)d->res : 0, room;

	e->ins++;
	e->in_res = d->res;
	if (n == 0)
		return;
	sum_add(&e->sum, e->got, s.mem, n);
	if (e->got < sizeof(e->text) - 1) {
		room = sizeof(e->text) - 1 - (size_t)e->got;
		memcpy(e->text + e->got, s.mem, n < room ? n : room);
	}
	e->got += n;
	if (e->hold)
		e->held = s;
	else
		wr_slice_put(l, &s);
}

void
on_in(struct wr_loop *l, struct wr_op *op, const struct wr_done *d)
{
	struct end *e = wr_container_of(wr_sock_of_in(op), struct end, k);

	take(l, e, d);
	if (e->again && d->res > 0)
		end_recv(l, e, e->max);
}

void
on_out(struct wr_loop *l, struct wr_op *op, const struct wr_done *d)
{
	struct end *e = wr_container_of(wr_sock_of_out(op), struct end, k);

	(void)l;
	e->outs++;
	e->out_res = d->res;
}

void
end_init(struct wr_loop *l, struct end *e, int fd)
{
	memset(e, 0, sizeof(*e));
	must(wr_sock_init(l, &e->k, fd) == 0, "wr_sock_init");
}

void
end_recv(struct wr_loop *l, struct end *e, uint32_t max)
{
	must(wr_recv(l, &e->k, max, 0, on_in) == 0, "wr_recv");
}

void
end_take(struct wr_loop *l, struct end *e, uint64_t n)
{
	int ins;

	while (e->got < n) {
		ins = e->ins;
		if (e->k.in.kind == WR_OP_NONE)
			end_recv(l, e, e->max);
		until(l, e->ins > ins);
		if (e->ins == ins || e->in_res <= 0)
			break;
	}
}

void
end_send(struct wr_loop *l, struct end *e, uint64_t at, uint32_t n)
{
	struct wr_slice s;

	until(l, wr_slice_get(l, &s) == 0);
	must(n <= s.len, "slice");
	for (uint32_t i = 0; i < n; i++)
		s.mem[i] = pattern(at + i);
	s.len = n;
	must(wr_send(l, &e->k, &s, 1, 0, on_out) == 0, "wr_send");
}

void
end_text(struct wr_loop *l, struct end *e, const char *text)
{
	struct wr_slice s = wr_slice_const(text, (uint32_t)strlen(text));

	must(wr_send(l, &e->k, &s, 1, 0, on_out) == 0, "wr_send");
}

void
end_close(struct wr_loop *l, struct end *e)
{
	if (!e->k.closing)
		wr_close(l, &e->k, on_close);
	until(l, e->closes > 0);
}

/* -- A relay ------------------------------------------------------------- */

void
on_relay_in(struct wr_loop *l, struct wr_op *op, const struct wr_done *d)
{
	struct end *e = wr_container_of(wr_sock_of_in(op), struct end, k);

	e->ins++;
	e->in_res = d->res;
	if (d->res > 0) {
		e->got += (uint64_t)d->res;
		must(wr_send(l, &e->other->k, &d->in, 1, 0, on_relay_out) == 0,
		    "wr_send");
	} else if (d->res == 0) {
		(void)!wr_shutdown(l, &e->other->k);
	}
}

void
on_relay_out(struct wr_loop *l, struct wr_op *op, const struct wr_done *d)
{
	struct end *e = wr_container_of(wr_sock_of_out(op), struct end, k);

	e->outs++;
	e->out_res = d->res;
	if (d->res > 0 && !e->other->k.closing)
		must(wr_recv(l, &e->other->k, e->other->max, 0, on_relay_in) ==
			 0,
		    "wr_recv");
}

void
relay(struct wr_loop *l, struct end *a, struct end *b)
{
	a->other = b;
	b->other = a;
	must(wr_recv(l, &a->k, a->max, 0, on_relay_in) == 0, "wr_recv");
	must(wr_recv(l, &b->k, b->max, 0, on_relay_in) == 0, "wr_recv");
}

/* -- All of them --------------------------------------------------------- */

static void
run(const struct test *t, const char *only)
{
	uint64_t begun;

	for (; t->name != NULL; t++) {
		if (only != NULL && strcmp(only, t->name) != 0)
			continue;
		test_name = t->name;
		tap_alarm();
		begun = now_ms();
		t->run();
		if (now_ms() - begun > 2000)
			diag("%s took %d ms", t->name, (int)(now_ms() - begun));
	}
}

static void
run_backend(const char *name, const char *only)
{
	backend = name;
	run(tests_flow, only);
	run(tests_life, only);
	run(tests_begin, only);
	run(tests_time, only);
	run(tests_many, only);
}

/* Is it of any use here? */
static bool
works(const char *name)
{
	struct wr_loop_conf c = { .backend = name };
	struct wr_loop *l = wr_loop_new(&c);

	if (l == NULL) {
		diag("%s is not tested: %s", name, strerror(errno));
		return false;
	}
	wr_loop_free(&l);
	return true;
}

int
main(int argc, char **argv)
{
#ifdef CONFORM_ONLY
	const char *name = CONFORM_ONLY;
#else
	const char *name = argc > 1 ? argv[1] : getenv("WEIR_EVENTS");
#endif

	(void)signal(SIGPIPE, SIG_IGN);
	if (name != NULL) {
		if (works(name))
			run_backend(name, argc > 2 ? argv[2] : NULL);
		return tap_done();
	}
	for (const char *const *p = wr_loop_backends(); *p != NULL; p++)
		if (works(*p))
			run_backend(*p, NULL);
	return tap_done();
}
