/* SPDX-License-Identifier: BSD-2-Clause */
/* loop - the choice of the backend. */
#include "io/loop.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#include "base/log.h"
#include "t/unit/tap.h"

static int log_fds[2];

/* What was logged since the last time. */
static const char *
logged(void)
{
	static char text[1024];
	ssize_t n;

	wr_log_flush();
	if (write(log_fds[1], "\n", 1) != 1)
		abort();
	n = read(log_fds[0], text, sizeof(text) - 1);
	text[n > 1 ? n - 1 : 0] = '\0';
	return text;
}

static struct wr_loop *
loop(const char *backend)
{
	const struct wr_loop_conf c = { .backend = backend };

	return wr_loop_new(&c);
}

static void
names(void)
{
	const char *const *names = wr_loop_backends();
	int n = 0, poll = 0, select = 0;

	for (; names[n] != NULL; n++) {
		poll += strcmp(names[n], "poll") == 0;
		select += strcmp(names[n], "select") == 0;
	}
	is_int(poll, 1);
	is_int(select, 1);
	ok(n >= 2);
	is_str(names[n - 1], "select"); /* the last resort */
}

static void
one_that_is_not_there(void)
{
	ok(loop("devpoll") == NULL);
	is_int(errno, ENOTSUP);
	ok(strstr(logged(), "devpoll: it is not compiled in") != NULL);
}

static void
the_best_one(void)
{
	struct wr_loop *l = loop("auto"), *unset = loop(NULL);
	struct wr_timer t = { 0 };

	ok(l != NULL && unset != NULL);
	is_str(wr_loop_backend(l), wr_loop_backend(unset));
	diag("the best here is %s: %s", wr_loop_backend(l), logged());
	wr_timer_set(l, &t, 1, NULL);
	wr_timer_stop(l, &t);
	wr_loop_turn(l, 0);
	wr_loop_free(&l);
	wr_loop_free(&unset);
	wr_loop_free(&unset); /* no harm */
	wr_loop_abandon(&unset);
}

/* Without a descriptor left only poll and select can be had. */
static void
fall_back_and_say_why(void)
{
	const char *first = wr_loop_backends()[0], *text;
	struct rlimit was, none;
	struct wr_loop *l;

	(void)logged();
	(void)getrlimit(RLIMIT_NOFILE, &was);
	none = was;
	none.rlim_cur = 5;
	while (dup(0) >= 0 && (rlim_t)dup(0) < none.rlim_cur)
		continue;
	(void)setrlimit(RLIMIT_NOFILE, &none);
	l = loop("auto");
	ok(l != NULL);
	is_str(wr_loop_backend(l), "poll");
	text = logged();
	ok(strcmp(first, "poll") == 0 || strstr(text, first) != NULL);
	wr_loop_free(&l);
	if (strcmp(first, "poll") != 0) {
		ok(loop(first) == NULL); /* named: no other will do */
		ok(errno != 0);
		ok(strstr(logged(), first) != NULL);
	}
	(void)setrlimit(RLIMIT_NOFILE, &was);
}

static void
lazy(struct wr_loop *l, struct wr_hook *h)
{
	struct timespec from, now;

	(void)l;
	(void)h;
	(void)clock_gettime(CLOCK_MONOTONIC, &from);
	do
		(void)clock_gettime(CLOCK_MONOTONIC, &now);
	while ((now.tv_sec - from.tv_sec) * 1000 +
		   (now.tv_nsec - from.tv_nsec) / 1000000 <
	       5);
}

static void
what_a_long_turn_is_may_change(void)
{
	struct wr_loop *l = loop("poll");
	struct wr_hook h = { .fn = lazy };
	const struct wr_loop_stats *st = wr_loop_stats(l);

	wr_list_init(&h.link);
	wr_loop_at_end(l, &h);
	wr_loop_turn(l, 0);
	is_int(st->late_turns, 0);
	wr_loop_warn(l, 2);
	wr_loop_turn(l, 0);
	is_int(st->late_turns, 1);
	wr_loop_warn(l, 0);
	wr_loop_turn(l, 0);
	is_int(st->late_turns, 1);
	wr_loop_hook_stop(&h);
	wr_loop_free(&l);
}

int
main(void)
{
	struct wr_log_conf c = { .level = WR_DEBUG };

	if (pipe(log_fds) != 0)
		abort();
	c.fd = log_fds[1];
	wr_log_init(&c);
	names();
	one_that_is_not_there();
	the_best_one();
	fall_back_and_say_why();
	what_a_long_turn_is_may_change();
	return tap_done();
}
