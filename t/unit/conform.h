/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * conform - what the conformance suite of the loop shares: one program, the
 * same tests for every backend.
 */
#ifndef WR_CONFORM_H
#define WR_CONFORM_H

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "io/loop.h"
#include "io/sock.h"

/* As ok() and is_int() of tap.h, whose counters live in one file; the name of
 * a check says which backend and which test. */
#define check(cond) check_that((cond), #cond, __FILE__, __LINE__)
#define check_int(got, want)                                                   \
	check_equal((intmax_t)(got), (intmax_t)(want), #got " is " #want,      \
	    __FILE__, __LINE__)
void check_that(bool pass, const char *what, const char *file, int line);
void check_equal(
    intmax_t got, intmax_t want, const char *what, const char *file, int line);
/* Is the wrapper around that makes everything late and small? */
bool is_chaos(void);
void say(const char *fmt, ...) wr_printf(1, 2);

/* Turn until it is so; gives up after ten seconds. */
#define until(l, cond)                                                         \
	for (uint64_t until_ = now_ms() + 10000;                               \
	     !(cond) && now_ms() < until_;)                                    \
	wr_loop_turn(l, 20)

/* One end of a connection, with all that ever happened to it. */
struct end {
	struct wr_sock k;
	int ins, in_res; /* completions, and the last result */
	int outs, out_res;
	int closes;
	uint64_t got, sum; /* bytes received, and their sum with position */
	char text[64];     /* the first of them */
	bool again;        /* receive on until the end */
	bool hold;         /* keep what was lent last */
	struct wr_slice held;
	struct end *other; /* echo, relay: where to send it to */
	uint32_t max;
};

uint64_t now_ms(void);
void busy_ms(unsigned ms);

/* A loop of the backend under test; NULL conf: defaults. */
struct wr_loop *loop_begin(const struct wr_loop_conf *c);
/* Every gauge is back to zero.  Frees it. */
void loop_end(struct wr_loop *l);
void turns(struct wr_loop *l, int n);

/* Two connected sockets, blocking. */
void tcp_pair(int fds[2]);
void unix_pair(int fds[2]);
/* A listener on a free port of 127.0.0.1, and its address. */
int tcp_listener(struct wr_addr *a, int backlog);

wr_done_fn on_in, on_out, on_relay_in, on_relay_out;
wr_close_fn on_close;

void end_init(struct wr_loop *l, struct end *e, int fd);
void end_recv(struct wr_loop *l, struct end *e, uint32_t max);
/* Receive until there were `n` bytes in all, in as many pieces as it takes;
 * a receive may be in flight already, and none is afterwards. */
void end_take(struct wr_loop *l, struct end *e, uint64_t n);
/* `n` bytes of a pattern that begins at position `at`, in one slice. */
void end_send(struct wr_loop *l, struct end *e, uint64_t at, uint32_t n);
void end_text(struct wr_loop *l, struct end *e, const char *text);
/* Close and wait for it. */
void end_close(struct wr_loop *l, struct end *e);
/* Copy between two ends, both ways, passing ends on. */
void relay(struct wr_loop *l, struct end *a, struct end *b);

/* Byte `at` of the pattern, and the sum of the first `n`. */
uint8_t pattern(uint64_t at);
uint64_t pattern_sum(uint64_t n);
void sum_add(uint64_t *sum, uint64_t at, const uint8_t *p, size_t n);

/* Peers that are not ours: write all, read all there is now. */
void raw_write(int fd, const void *p, size_t n);
size_t raw_read(int fd, void *p, size_t size);

struct test {
	const char *name;
	void (*run)(void);
};
extern const struct test tests_flow[], tests_life[], tests_begin[],
    tests_time[], tests_many[];
extern const char *backend;

#endif
