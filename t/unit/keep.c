/* SPDX-License-Identifier: BSD-2-Clause */
/* keep - who watches is not deaf for ever. */
#include "io/keep.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "fakeloop.h"
#include "tap.h"

static int told;
static bool stops;
static int log_fds[2];

static void
on_news(struct wr_loop *l, struct wr_keep *k)
{
	told++;
	if (stops)
		wr_keep_stop(l, k);
}

/* Lines since the last time. */
static int
lines(void)
{
	char text[2000];
	ssize_t n = read(log_fds[0], text, sizeof(text));
	int count = 0;

	for (ssize_t i = 0; i < n; i++)
		count += text[i] == '\n';
	return count;
}

static void
start(struct wr_loop **l, struct wr_keep *k)
{
	*l = fake_new();
	told = 0;
	stops = false;
	is_int(wr_keep_start(*l, k, 5, "news", on_news), 0);
}

static void
finish(struct wr_loop **l, struct wr_keep *k)
{
	wr_keep_stop(*l, k);
	wr_close(*l, &k->sock, NULL);
	fake_turn(*l);
	is_int(fake_left(*l), 0);
	fake_free(l);
}

static void
it_is_told_again_and_again(void)
{
	struct wr_loop *l;
	struct wr_keep k;

	start(&l, &k);
	for (int i = 0; i < 3; i++)
		fake_finish(l, &k.sock.in, 0);
	is_int(told, 3);
	ok(fake_waits(&k.sock.in) == WR_OP_READABLE);
	is_int(lines(), 0);
	finish(&l, &k);
}

static void
what_fails_is_tried_again_and_said_once(void)
{
	struct wr_loop *l;
	struct wr_keep k;

	start(&l, &k);
	fake_fail_watch(3);
	fake_finish(l, &k.sock.in, 0);
	is_int(told, 1);
	ok(fake_waits(&k.sock.in) == WR_OP_NONE);
	fake_pass(l, 1000);
	ok(fake_waits(&k.sock.in) == WR_OP_READABLE);
	is_int(lines(), 1);
	/* The kernel itself may give up. */
	fake_finish(l, &k.sock.in, -ENOMEM);
	is_int(told, 1);
	fake_pass(l, 1000);
	fake_finish(l, &k.sock.in, 0);
	is_int(told, 2);
	finish(&l, &k);
}

static void
a_beginning_may_fail_too(void)
{
	struct wr_loop *l;
	struct wr_keep k;

	fake_fail_watch(1);
	start(&l, &k);
	fake_pass(l, 1000);
	fake_finish(l, &k.sock.in, 0);
	is_int(told, 1);
	(void)lines();
	finish(&l, &k);

	l = fake_new();
	fake_fail_init(-EMFILE);
	is_int(wr_keep_start(l, &k, 5, "news", on_news), -EMFILE);
	fake_free(&l);
}

static void
who_stops_hears_no_more(void)
{
	struct wr_loop *l;
	struct wr_keep k;

	start(&l, &k);
	stops = true;
	fake_finish(l, &k.sock.in, 0);
	ok(fake_waits(&k.sock.in) == WR_OP_NONE);
	finish(&l, &k);

	start(&l, &k);
	fake_fail_watch(1);
	fake_finish(l, &k.sock.in, 0);
	wr_keep_stop(l, &k);
	fake_pass(l, 1000);
	ok(fake_waits(&k.sock.in) == WR_OP_NONE);
	finish(&l, &k);
}

int
main(void)
{
	if (pipe2(log_fds, O_NONBLOCK) != 0)
		abort();
	wr_log_fd(log_fds[1]);
	it_is_told_again_and_again();
	what_fails_is_tried_again_and_said_once();
	a_beginning_may_fail_too();
	who_stops_hears_no_more();
	return tap_done();
}
