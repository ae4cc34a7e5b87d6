/* SPDX-License-Identifier: BSD-2-Clause */
#include "proc/chan.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "io/sock.h"
#include "t/unit/tap.h"

static struct wr_loop *l;
static struct wr_chan a, b; /* two ends in one process */

static struct {
	unsigned n; /* messages */
	uint64_t last;
	char text[WR_MSG_TEXT];
	int fds[WR_MSG_FDS];
	unsigned ended;
	int err;
	bool close_in_msg;
} seen;

static void
on_msg(struct wr_chan *ch, const struct wr_msg *m, int fds[WR_MSG_FDS])
{
	seen.n++;
	seen.last = m->generation;
	(void)snprintf(seen.text, sizeof(seen.text), "%s", m->text);
	for (int i = 0; i < WR_MSG_FDS; i++) {
		if (seen.fds[i] >= 0)
			(void)close(seen.fds[i]);
		seen.fds[i] = fds[i];
	}
	if (seen.close_in_msg)
		wr_chan_close(ch, NULL);
}

static void
on_end(struct wr_chan *ch, int err)
{
	/* Closing one end is the end of the other. */
	if (seen.ended++ == 0)
		seen.err = err;
	wr_chan_close(ch, NULL);
}

static void
turns(void)
{
	for (int i = 0; i < 20; i++)
		wr_loop_turn(l, 0);
}

static void
open_both(int pair[2])
{
	memset(&seen, 0, sizeof(seen));
	seen.fds[0] = seen.fds[1] = -1;
	is_int(wr_sock_pair(pair), 0);
	is_int(wr_chan_start(&a, l, pair[0], on_msg, on_end), 0);
	is_int(wr_chan_start(&b, l, pair[1], on_msg, on_end), 0);
}

static void
close_both(void)
{
	for (int i = 0; i < WR_MSG_FDS; i++) {
		if (seen.fds[i] >= 0)
			(void)close(seen.fds[i]);
	}
	if (!a.closed)
		wr_chan_close(&a, NULL);
	if (!b.closed)
		wr_chan_close(&b, NULL);
	turns();
	is_int(wr_loop_stats(l)->socks, 0);
}

static void
a_message_arrives_with_its_descriptors(void)
{
	struct wr_msg m = { .kind = WR_MSG_LISTEN, .generation = 7 };
	int pair[2], p[2];

	open_both(pair);
	is_int(pipe(p), 0);
	(void)snprintf(m.text, sizeof(m.text), "127.0.0.1:80");
	is_int(wr_chan_send(&a, &m, &p[1], 1), 0);
	turns();
	is_int(seen.n, 1);
	is_int(seen.last, 7);
	is_str(seen.text, "127.0.0.1:80");
	ok(seen.fds[0] >= 0 && seen.fds[1] == -1);
	ok((fcntl(seen.fds[0], F_GETFD) & FD_CLOEXEC) != 0);
	/* It is the pipe: the caller's own copy is still the caller's. */
	is_int(write(seen.fds[0], "x", 1), 1);
	is_int(write(p[1], "x", 1), 1);
	(void)close(p[0]);
	(void)close(p[1]);
	close_both();
}

static void
what_the_kernel_does_not_take_waits_in_order(void)
{
	struct wr_msg m = { .kind = WR_MSG_COMMIT };
	int pair[2], p[2];
	const unsigned n = 5000;

	open_both(pair);
	is_int(pipe(p), 0);
	for (unsigned i = 1; i <= n; i++) {
		m.generation = i;
		if (wr_chan_send(&a, &m, p, i == n) < 0)
			tap_ok(false, "send", __FILE__, __LINE__);
	}
	/* The caller may close it: the message has a copy. */
	(void)close(p[0]);
	ok(!wr_list_empty(&a.queue));
	for (int i = 0; i < 10000 && seen.n < n; i++)
		wr_loop_turn(l, 0);
	is_int(seen.n, n);
	is_int(seen.last, n);
	ok(seen.fds[0] >= 0);
	ok(wr_list_empty(&a.queue));
	(void)close(p[1]);
	close_both();
}

static void
the_end_is_told(void)
{
	int pair[2];

	open_both(pair);
	wr_chan_close(&a, NULL);
	turns();
	is_int(seen.ended, 1);
	is_int(seen.err, -EPIPE);
	ok(b.closed);
	close_both();
}

static void
another_language_is_refused(void)
{
	struct wr_msg m = { .version = WR_MSG_VERSION + 1 };
	int pair[2];

	open_both(pair);
	is_int(send(pair[0], &m, sizeof(m), 0), sizeof(m));
	turns();
	is_int(seen.n, 0);
	is_int(seen.err, -EPROTO);
	close_both();

	open_both(pair);
	is_int(send(pair[0], "short", 5, 0), 5);
	turns();
	is_int(seen.n, 0);
	is_int(seen.err, -EPROTO);
	close_both();
}

static void
a_channel_may_be_closed_by_a_message(void)
{
	struct wr_msg m = { .kind = WR_MSG_STOP };
	int pair[2];

	open_both(pair);
	seen.close_in_msg = true;
	is_int(wr_chan_send(&a, &m, NULL, 0), 0);
	is_int(wr_chan_send(&a, &m, NULL, 0), 0);
	turns();
	is_int(seen.n, 1);
	ok(wr_chan_send(&b, &m, NULL, 0) < 0);
	close_both();
}

static const struct wr_loop_conf conf = { .backend = "poll", .socks_max = 64 };

#define FEW 60

/* In a process of its own, which has no rights and few descriptors: so many
 * are under way to somebody else that none can be sent here. */
static int
send_while_others_wait(void)
{
	const struct rlimit few = { FEW, FEW };
	struct wr_msg m = { .kind = WR_MSG_LISTEN };
	int pair[2], others[2], p[2], fds[FEW + 1];

	if (geteuid() == 0 && (setgid(65531) < 0 || setuid(65531) < 0))
		return 2;
	l = wr_loop_new(&conf);
	if (l == NULL || pipe(p) < 0 || wr_sock_pair(others) < 0 ||
	    setrlimit(RLIMIT_NOFILE, &few) < 0)
		return 3;
	memset(&seen, 0, sizeof(seen));
	seen.fds[0] = seen.fds[1] = -1;
	if (wr_sock_pair(pair) < 0 ||
	    wr_chan_start(&a, l, pair[0], on_msg, on_end) < 0 ||
	    wr_chan_start(&b, l, pair[1], on_msg, on_end) < 0)
		return 3;
	for (int i = 0; i <= FEW; i++)
		fds[i] = p[0];
	if (wr_sock_send_fds(others[0], "x", 1, fds, FEW + 1) < 0)
		return 4;
	if (wr_chan_send(&a, &m, p, 1) < 0)
		return 5;
	turns();
	if (seen.ended > 0)
		return 6;
	(void)close(others[0]);
	(void)close(others[1]);
	for (int i = 0; i < 500 && seen.n == 0; i++)
		wr_loop_turn(l, 10);
	return seen.n == 1 && seen.fds[0] >= 0 && seen.ended == 0 ? 0 : 7;
}

static void
too_many_descriptors_under_way_have_to_wait(void)
{
	int status = -1;
	pid_t pid = fork();

	if (pid == 0)
		_exit(send_while_others_wait());
	is_int(waitpid(pid, &status, 0), pid);
	is_int(status, 0);
}

static void
what_has_come_is_heard_at_once(void)
{
	struct wr_msg m = { .kind = WR_MSG_FAILED };
	int pair[2];

	open_both(pair);
	is_int(wr_chan_send(&a, &m, NULL, 0), 0);
	is_int(wr_chan_send(&a, &m, NULL, 0), 0);
	wr_chan_hear(&b);
	is_int(seen.n, 2);
	wr_chan_close(&b, NULL);
	wr_chan_hear(&b);
	is_int(seen.n, 2);
	close_both();
}

int
main(void)
{

	l = wr_loop_new(&conf);
	if (l == NULL)
		return 1;
	a_message_arrives_with_its_descriptors();
	what_the_kernel_does_not_take_waits_in_order();
	the_end_is_told();
	another_language_is_refused();
	a_channel_may_be_closed_by_a_message();
	too_many_descriptors_under_way_have_to_wait();
	what_has_come_is_heard_at_once();
	is_str(wr_msg_name(WR_MSG_GONE), "gone");
	wr_loop_free(&l);
	return tap_done();
}
