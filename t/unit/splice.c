/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * splice - bytes that go through pipes and bytes that are copied may alternate
 * in one direction, on every backend, and none is lost or overtaken.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>

#include "base/hash.h"
#include "io/loop.h"
#include "io/sock.h"
#include "tap.h"

#define TOTAL (3u << 20)

static struct wr_loop *l;
static struct wr_random rnd;
static struct wr_sock from, to;
static struct wr_pipe *pipe_;
static uint64_t piped, copied;
static bool ended;
static int failed;

static wr_done_fn on_bytes, on_sent, on_filled, on_drained;

static void
pair(int fds[2])
{
	struct sockaddr_in a = { .sin_family = AF_INET };
	socklen_t len = sizeof(a);
	int s = socket(AF_INET, SOCK_STREAM, 0);

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	fds[0] = socket(AF_INET, SOCK_STREAM, 0);
	if (bind(s, (struct sockaddr *)&a, len) < 0 || listen(s, 1) < 0 ||
	    getsockname(s, (struct sockaddr *)&a, &len) < 0 ||
	    connect(fds[0], (struct sockaddr *)&a, len) < 0 ||
	    (fds[1] = accept(s, NULL, NULL)) < 0)
		abort();
	close(s);
}

/* One way or the other. */
static void
step(void)
{
	int err;

	if (wr_random_below(&rnd, 2) == 0 && (pipe_ = wr_pipe_get(l)) != NULL)
		err = wr_fill(l, &from, pipe_, on_filled);
	else
		err = wr_recv(
		    l, &from, wr_random_below(&rnd, 30000), 0, on_bytes);
	if (err < 0)
		failed = err;
}

static void
end(int res)
{
	ended = res == 0;
	failed = res;
	if (wr_shutdown(l, &to) < 0)
		failed = -1;
}

static void
on_bytes(struct wr_loop *l_, struct wr_op *op, const struct wr_done *d)
{
	(void)l_;
	(void)op;
	if (d->res <= 0)
		end(d->res);
	else if ((failed = wr_send(l, &to, &d->in, 1, 0, on_sent)) == 0)
		copied += (uint64_t)d->res;
}

static void
on_sent(struct wr_loop *l_, struct wr_op *op, const struct wr_done *d)
{
	(void)l_;
	(void)op;
	if (d->res < 0)
		failed = d->res;
	else
		step();
}

static void
on_filled(struct wr_loop *l_, struct wr_op *op, const struct wr_done *d)
{
	(void)l_;
	(void)op;
	if (d->res <= 0) {
		wr_pipe_put(l, &pipe_);
		end(d->res);
	} else if ((failed = wr_drain(l, &to, pipe_, on_drained)) == 0) {
		piped += (uint64_t)d->res;
	}
}

static void
on_drained(struct wr_loop *l_, struct wr_op *op, const struct wr_done *d)
{
	(void)l_;
	(void)op;
	if (d->res < 0 || d->res != (int)to.sent) {
		failed = d->res < 0 ? d->res : -1;
		return;
	}
	wr_pipe_put(l, &pipe_);
	step();
}

static uint8_t
byte_at(uint64_t i)
{
	return (uint8_t)(i ^ i >> 8 ^ i >> 16);
}

/* As much as it takes now of what follows *said; then the end. */
static void
talk(int fd, uint64_t *said)
{
	static uint8_t mem[50000];
	uint64_t n = 1 + wr_random_below(&rnd, sizeof(mem));
	ssize_t sent;

	if (*said == TOTAL)
		return;
	if (n > TOTAL - *said)
		n = TOTAL - *said;
	for (uint64_t i = 0; i < n; i++)
		mem[i] = byte_at(*said + i);
	sent = send(fd, mem, n, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (sent > 0)
		*said += (uint64_t)sent;
	if (*said == TOTAL && shutdown(fd, SHUT_WR) < 0)
		failed = -errno;
}

/* False: the end. */
static bool
hear(int fd, uint64_t *heard, unsigned *bad)
{
	static uint8_t mem[70000];
	ssize_t n =
	    recv(fd, mem, 1 + wr_random_below(&rnd, sizeof(mem)), MSG_DONTWAIT);

	for (ssize_t i = 0; i < n; i++)
		*bad += mem[i] != byte_at((*heard)++);
	return n != 0;
}

static void
ways_may_alternate(const char *backend, uint64_t chaos)
{
	struct wr_loop_conf c = { .backend = backend, .chaos = chaos };
	int in[2], out[2];
	uint64_t said = 0, heard = 0;
	unsigned bad = 0;

	l = wr_loop_new(&c);
	if (l == NULL) {
		diag("no %s here", backend);
		return;
	}
	diag("%s, chaos %u", backend, (unsigned)chaos);
	wr_random_seed(&rnd, chaos + 1);
	piped = copied = 0;
	failed = 0;
	ended = false;
	pair(in);
	pair(out);
	/* A small window, so that much is short. */
	if (setsockopt(out[0], SOL_SOCKET, SO_RCVBUF, &(int){ 20000 },
		sizeof(int)) < 0)
		abort();
	if (wr_sock_init(l, &from, in[1]) < 0 ||
	    wr_sock_init(l, &to, out[1]) < 0 ||
	    wr_sock_nonblock(in[1], strcmp(backend, "io_uring") != 0) < 0 ||
	    wr_sock_nonblock(out[1], strcmp(backend, "io_uring") != 0) < 0)
		abort();
	step();
	while (failed == 0) {
		talk(in[0], &said);
		wr_loop_turn(l, 1);
		if (wr_random_below(&rnd, 3) > 0 && !hear(out[0], &heard, &bad))
			break;
	}
	ok(ended && failed == 0);
	is_int(heard, TOTAL);
	is_int(bad, 0);
	diag("%u piped, %u copied", (unsigned)piped, (unsigned)copied);
	if (pipe_ != NULL || strcmp(backend, "kqueue") != 0)
		ok(piped > TOTAL / 100 && copied > TOTAL / 100);
	wr_close(l, &from, NULL);
	wr_close(l, &to, NULL);
	wr_loop_turn(l, 0);
	wr_loop_turn(l, 0);
	wr_pipe_put(l, &pipe_);
	is_int(wr_loop_stats(l)->splice_bytes, piped);
	wr_loop_free(&l);
	close(in[0]);
	close(out[0]);
}

/* Closed with bytes in the pipe and nobody to take them. */
static void
a_pipe_that_is_not_empty_is_thrown_away(const char *backend)
{
	struct wr_loop_conf c = { .backend = backend };
	struct wr_pipe *p, *q;
	int in[2];

	l = wr_loop_new(&c);
	if (l == NULL || (p = wr_pipe_get(l)) == NULL) {
		wr_loop_free(&l);
		return;
	}
	pair(in);
	if (wr_sock_init(l, &from, in[1]) < 0 ||
	    send(in[0], "abc", 3, 0) != 3 || wr_fill(l, &from, p, on_drained))
		abort();
	failed = 0;
	/* on_drained() sees 3 bytes that were not sent. */
	while (failed == 0)
		wr_loop_turn(l, 10);
	wr_close(l, &from, NULL);
	wr_loop_turn(l, 0);
	wr_pipe_put(l, &p);
	q = wr_pipe_get(l);
	ok(q != NULL);
	wr_pipe_put(l, &q);
	ok(q == NULL);
	wr_loop_free(&l);
	close(in[0]);
}

int
main(void)
{
	for (const char *const *b = wr_loop_backends(); *b != NULL; b++) {
		ways_may_alternate(*b, 0);
		for (uint64_t seed = 1; seed <= 2; seed++)
			ways_may_alternate(*b, seed);
		a_pipe_that_is_not_empty_is_thrown_away(*b);
	}
	return tap_done();
}
