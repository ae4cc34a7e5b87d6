/* SPDX-License-Identifier: BSD-2-Clause */
/* life - cancel, close, release, fork: what was started ends, once. */
#include "t/unit/conform.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/wait.h>

static void
cancel_ends_a_receive(void)
{
	struct wr_loop *l = loop_begin(NULL);
	struct end a;
	int fds[2];

	tcp_pair(fds);
	end_init(l, &a, fds[0]);
	wr_cancel(l, &a.k.in); /* not in flight: no effect */
	for (int i = 1; i <= 3; i++) {
		end_recv(l, &a, 0);
		if (i > 1)
			turns(l, i);
		wr_cancel(l, &a.k.in);
		wr_cancel(l, &a.k.in);
		check_int(a.ins, i - 1);
		check_int(wr_recv(l, &a.k, 0, 0, on_in), -EBUSY);
		until(l, a.ins == i);
		check_int(a.in_res, -ECANCELED);
	}
	turns(l, 3);
	check_int(a.ins, 3);
	end_recv(l, &a, 0); /* as good as new */
	raw_write(fds[1], "x", 1);
	until(l, a.ins == 4);
	check_int(a.in_res, 1);
	end_close(l, &a);
	(void)close(fds[1]);
	loop_end(l);
}

/* Whoever wins, no byte is lost and there is one completion each. */
static void
cancel_against_data(void)
{
	struct wr_loop *l = loop_begin(NULL);
	struct end a;
	int fds[2], cancelled = 0;
	uint8_t byte;

	tcp_pair(fds);
	end_init(l, &a, fds[0]);
	for (int i = 0; i < 300; i++) {
		int ins = a.ins;

		end_recv(l, &a, 0);
		if (i % 2 == 0)
			wr_loop_turn(l, 0);
		byte = pattern((uint64_t)i);
		raw_write(fds[1], &byte, 1);
		if (i % 3 == 0)
			wr_loop_turn(l, 0);
		wr_cancel(l, &a.k.in);
		until(l, a.k.in.kind == WR_OP_NONE);
		check_int(a.ins, ins + 1);
		check(a.in_res > 0 || a.in_res == -ECANCELED);
		cancelled += a.in_res < 0;
	}
	say("%d of 300 were cancelled", cancelled);
	(void)close(fds[1]);
	a.again = true;
	end_recv(l, &a, 0);
	until(l, a.in_res == 0);
	check_int(a.got, 300);
	check(a.sum == pattern_sum(300));
	end_close(l, &a);
	loop_end(l);
}

static struct end *victim;

static void
on_in_cancel(struct wr_loop *l, struct wr_op *op, const struct wr_done *d)
{
	on_in(l, op, d);
	wr_cancel(l, &victim->k.in);
}

static void
cancel_after_the_result(void)
{
	for (int i = 0; i < 2; i++) {
		struct wr_loop *l = loop_begin(NULL);
		struct end e[2], *first;
		int a[2], b[2];

		tcp_pair(a);
		tcp_pair(b);
		end_init(l, &e[0], a[0]);
		end_init(l, &e[1], b[0]);
		first = &e[i];
		victim = &e[1 - i];
		check_int(wr_recv(l, &first->k, 0, 0, on_in_cancel), 0);
		end_recv(l, victim, 0);
		turns(l, 1);
		raw_write(a[1], "one", 3);
		raw_write(b[1], "two", 3);
		until(l, first->ins > 0 && victim->ins > 0);
		check_int(victim->ins, 1);
		check(victim->in_res > 0 || victim->in_res == -ECANCELED);
		end_take(l, victim, 3);
		check_int(victim->got, 3);
		end_close(l, &e[0]);
		end_close(l, &e[1]);
		(void)close(a[1]);
		(void)close(b[1]);
		loop_end(l);
	}
}

static void
cancel_of_a_send_tells_how_much_went(void)
{
	struct wr_loop *l = loop_begin(NULL);
	static uint8_t mem[70000];
	struct end a;
	int fds[2], size = 4096;
	size_t got = 0;

	unix_pair(fds);
	(void)setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	end_init(l, &a, fds[0]);
	end_send(l, &a, 0, 60000);
	turns(l, 5);
	check_int(a.outs, 0);
	wr_cancel(l, &a.k.out);
	until(l, a.outs > 0);
	check_int(a.out_res, -ECANCELED);
	check(a.k.sent > 0 && a.k.sent < 60000);
	end_text(l, &a, "x"); /* not issued yet */
	wr_cancel(l, &a.k.out);
	until(l, a.outs > 1);
	check(a.out_res == -ECANCELED || a.out_res == 1);
	until(l, (got += raw_read(fds[1], mem + got, 100)) >= a.k.sent);
	end_close(l, &a);
	got += raw_read(fds[1], mem + got, sizeof(mem) - got);
	check(got < 60000);
	(void)close(fds[1]);
	loop_end(l);
}

static void
nothing_but_on_close_after_close(void)
{
	static uint8_t mem[60000];

	for (int waited = 0; waited < 2; waited++) {
		struct wr_loop *l = loop_begin(NULL);
		struct end a, b;
		int fds[2], size = 4096;
		char c;

		unix_pair(fds);
		(void)setsockopt(
		    fds[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
		end_init(l, &a, fds[0]);
		end_recv(l, &a, 0);
		end_send(l, &a, 0, 60000);
		if (waited)
			turns(l, 3);
		wr_close(l, &a.k, on_close);
		check_int(a.closes, 0);
		check_int(wr_recv(l, &a.k, 0, 0, on_in), -EBADF);
		until(l, a.closes > 0);
		turns(l, 3);
		check_int(a.closes, 1);
		check_int(a.ins + a.outs, 0);
		check_int(a.k.fd, -1);
		(void)raw_read(fds[1], mem, sizeof(mem));
		check_int(recv(fds[1], &c, 1, 0), 0); /* the end arrives */
		(void)close(fds[1]);
		/* One with nothing in flight, and nobody to tell. */
		tcp_pair(fds);
		end_init(l, &b, fds[0]);
		wr_close(l, &b.k, NULL);
		until(l, b.k.fd < 0);
		check(recv(fds[1], &c, 1, 0) == 0);
		(void)close(fds[1]);
		loop_end(l);
	}
}

static struct end pack[8];

static void
on_in_close(struct wr_loop *l, struct wr_op *op, const struct wr_done *d)
{
	on_in(l, op, d);
	for (int i = 0; i < 8; i++)
		if (!pack[i].k.closing)
			wr_close(l, &pack[i].k, on_close);
}

static void
close_inside_callbacks(void)
{
	struct wr_loop *l = loop_begin(NULL);
	int fds[2], peers[8], ins = 0;

	for (int i = 0; i < 8; i++) {
		tcp_pair(fds);
		peers[i] = fds[1];
		end_init(l, &pack[i], fds[0]);
		check_int(wr_recv(l, &pack[i].k, 0, 0, on_in_close), 0);
	}
	turns(l, 1);
	for (int i = 0; i < 8; i++)
		raw_write(peers[i], "x", 1);
	for (int i = 0; i < 8; i++)
		until(l, pack[i].closes > 0);
	for (int i = 0; i < 8; i++) {
		check_int(pack[i].closes, 1);
		ins += pack[i].ins;
		(void)close(peers[i]);
	}
	/* The first one closed them all; what had come is given back. */
	check_int(ins, 1);
	loop_end(l);
}

static void
abort_resets(void)
{
	struct wr_loop *l = loop_begin(NULL);
	struct end a;
	int fds[2];
	char c;

	tcp_pair(fds);
	end_init(l, &a, fds[0]);
	end_recv(l, &a, 0);
	turns(l, 2);
	wr_abort(l, &a.k, on_close);
	until(l, a.closes > 0);
	check(recv(fds[1], &c, 1, 0) < 0 && errno == ECONNRESET);
	(void)close(fds[1]);
	loop_end(l);
}

static void
a_reset_is_told(void)
{
	struct wr_loop *l = loop_begin(NULL);
	struct end a;
	int fds[2];

	tcp_pair(fds);
	end_init(l, &a, fds[0]);
	end_recv(l, &a, 0);
	turns(l, 2);
	wr_sock_reset_on_close(fds[1]);
	(void)close(fds[1]);
	until(l, a.ins > 0);
	check_int(a.in_res, -ECONNRESET);
	end_text(l, &a, "too late");
	until(l, a.outs > 0);
	check(a.out_res == -EPIPE || a.out_res == -ECONNRESET);
	end_close(l, &a);
	loop_end(l);
}

static void
release_leaves_it_open(void)
{
	struct wr_loop *l = loop_begin(NULL);
	struct end a, b;
	int fds[2];
	char text[8];

	unix_pair(fds);
	end_init(l, &a, fds[0]);
	end_recv(l, &a, 0);
	turns(l, 2);
	wr_release(l, &a.k, on_close);
	until(l, a.closes > 0);
	check_int(a.ins, 0);
	check_int(a.k.fd, fds[0]);
	raw_write(a.k.fd, "mine", 4);
	check_int(recv(fds[1], text, sizeof(text), 0), 4);
	/* And it may come back. */
	end_init(l, &b, fds[0]);
	end_recv(l, &b, 0);
	raw_write(fds[1], "again", 5);
	end_take(l, &b, 5);
	check(strcmp(b.text, "again") == 0);
	check_int(a.ins, 0);
	end_close(l, &b);
	(void)close(fds[1]);
	loop_end(l);
}

#define STORM 3000

static void
check_watch(struct wr_loop *l, struct end *e)
{
	if (wr_watch(l, &e->k, WR_OP_READABLE, on_in) != 0)
		check(false);
}

/* What happened to a descriptor never reaches the next socket of that number,
 * even if another process still has the old one open. */
static void
descriptors_are_used_again_and_again(void)
{
	struct wr_loop *l = loop_begin(NULL);
	struct end e[2];
	int fds[2], copies[8], peers[8], wrong = 0, same = 0, last = -1;

	for (int i = 0; i < STORM; i++) {
		struct end *a = &e[i % 2];

		unix_pair(fds);
		same += fds[0] == last;
		last = fds[0];
		end_init(l, a, fds[0]);
		if (i % 7 == 3)
			check_watch(l, a);
		else
			end_recv(l, a, 0);
		if (i < 8) { /* what a forked child would have */
			wr_loop_turn(l, 0);
			copies[i] = dup(fds[0]);
			peers[i] = fds[1];
		}
		for (int j = 0; j < 8 && j <= i; j++)
			if (i % 5 == 0)
				(void)!send(peers[j], "?", 1, MSG_DONTWAIT);
		if (i % 3 == 0)
			wr_loop_turn(l, 0);
		wrong += i >= 8 && a->ins != 0;
		if (i % 2 == 0 && i >= 8)
			raw_write(fds[1], "!", 1);
		if (i % 4 == 0)
			wr_loop_turn(l, 0);
		wr_close(l, &a->k, on_close);
		until(l, a->closes > 0);
		wrong += a->closes != 1;
		if (i >= 8)
			(void)close(fds[1]);
	}
	check_int(wrong, 0);
	check(same > STORM / 2);
	for (int i = 0; i < 8; i++) {
		(void)close(copies[i]);
		(void)close(peers[i]);
	}
	loop_end(l);
}

/* The child lets go of the parent's loop and makes its own. */
static int
child(struct wr_loop *inherited, int fd)
{
	struct wr_loop *l;
	struct end a;

	wr_loop_abandon(&inherited);
	if (inherited != NULL)
		return 2;
	l = loop_begin(NULL);
	end_init(l, &a, fd);
	end_recv(l, &a, 0);
	end_take(l, &a, 12);
	if (strcmp(a.text, "to the child") != 0)
		return 3;
	end_text(l, &a, "from the child");
	until(l, a.outs > 0);
	if (a.out_res != 14)
		return 4;
	end_close(l, &a);
	wr_loop_free(&l);
	return 0;
}

static void
fork_then_use(void)
{
	struct wr_loop *l = loop_begin(NULL);
	int mine[2], both[2], status = -1;
	struct wr_timer t = { 0 };
	struct end a, b;
	pid_t pid;

	unix_pair(mine);
	unix_pair(both);
	end_init(l, &a, mine[0]);
	end_recv(l, &a, 0);
	wr_timer_set(l, &t, 60000, NULL);
	turns(l, 2);
	pid = fork();
	if (pid == 0)
		_exit(child(l, both[1]));
	(void)close(both[1]);
	end_init(l, &b, both[0]);
	end_text(l, &b, "to the child");
	end_recv(l, &b, 0);
	end_take(l, &b, 14);
	check(strcmp(b.text, "from the child") == 0);
	check(waitpid(pid, &status, 0) == pid && status == 0);
	check_int(a.ins, 0); /* nothing was touched */
	raw_write(mine[1], "still here", 10);
	end_take(l, &a, 10);
	check(strcmp(a.text, "still here") == 0);
	wr_timer_stop(l, &t);
	end_close(l, &a);
	end_close(l, &b);
	(void)close(mine[1]);
	loop_end(l);
}

/* -- A chatty peer, for whom a kernel may receive ahead ------------------- */

static void
chat(struct wr_loop *l, struct end *e, int peer)
{
	uint8_t byte;

	for (int i = 0; i < 40; i++) {
		byte = pattern(e->got);
		raw_write(peer, &byte, 1);
		end_take(l, e, e->got + 1);
	}
	/* The next is asked for, so that what waits for it is armed. */
	if (e->k.in.kind == WR_OP_NONE)
		end_recv(l, e, 0);
	turns(l, 2);
	byte = pattern(e->got);
	raw_write(peer, &byte, 1);
	end_take(l, e, e->got + 1);
	check_int(e->got, 41);
}

static void
begin_chat(struct wr_loop *l, struct end *e, int fds[2])
{
	tcp_pair(fds);
	end_init(l, e, fds[0]);
	chat(l, e, fds[1]);
}

static void
write_on(int peer, uint64_t at, size_t n)
{
	static uint8_t mem[32768];

	for (size_t i = 0; i < n; i++)
		mem[i] = pattern(at + i);
	raw_write(peer, mem, n);
}

static void
nothing_is_lost_ahead(void)
{
	struct wr_loop *l = loop_begin(NULL);
	const struct wr_loop_stats *s = wr_loop_stats(l);
	struct end a;
	int fds[2];

	begin_chat(l, &a, fds);
	/* Nobody asks: nothing of the pool is held. */
	for (uint64_t at = 41; at < 30041; at += 1000) {
		write_on(fds[1], at, 1000);
		turns(l, 1);
	}
	check_int(s->buffers_used, 0);
	check_int(a.got, 41);
	a.max = 700;
	end_take(l, &a, 30041);
	/* A cancel takes nothing away. */
	end_recv(l, &a, 0);
	turns(l, 2);
	write_on(fds[1], a.got, 5);
	wr_cancel(l, &a.k.in);
	until(l, a.k.in.kind == WR_OP_NONE);
	turns(l, 2);
	write_on(fds[1], 30046, 5);
	turns(l, 2);
	(void)close(fds[1]);
	turns(l, 2);
	end_take(l, &a, 30052); /* one more than there are */
	check_int(a.in_res, 0);
	check_int(a.got, 30051);
	check(a.sum == pattern_sum(30051));
	end_close(l, &a);
	loop_end(l);
}

static void
a_reset_comes_after_what_was_ahead(void)
{
	struct wr_loop *l = loop_begin(NULL);
	struct end a;
	int fds[2];

	begin_chat(l, &a, fds);
	write_on(fds[1], 41, 3);
	turns(l, 2);
	wr_sock_reset_on_close(fds[1]);
	(void)close(fds[1]);
	turns(l, 2);
	end_take(l, &a, 45);
	check_int(a.got, 44);
	check_int(a.in_res, -ECONNRESET);
	end_close(l, &a);
	loop_end(l);
}

static void
the_end_is_told_to_who_waits(void)
{
	struct wr_loop *l = loop_begin(NULL);
	struct end a;
	int fds[2];

	begin_chat(l, &a, fds);
	end_recv(l, &a, 0);
	turns(l, 2);
	(void)close(fds[1]);
	until(l, a.in_res == 0);
	check_int(a.in_res, 0);
	check_int(a.got, 41);
	end_close(l, &a);
	loop_end(l);
}

static void
close_while_it_is_ahead(void)
{
	for (int bytes = 0; bytes < 2; bytes++) {
		struct wr_loop *l = loop_begin(NULL);
		struct end a, b;
		int fds[2];
		char c;

		begin_chat(l, &a, fds);
		if (bytes)
			write_on(fds[1], 41, 3000);
		turns(l, 2);
		end_close(l, &a);
		check_int(a.closes, 1);
		/* It is closed in truth. */
		check(recv(fds[1], &c, 1, 0) <= 0);
		(void)close(fds[1]);
		/* A new one is not taken for it. */
		tcp_pair(fds);
		end_init(l, &b, fds[0]);
		end_recv(l, &b, 0);
		turns(l, 2);
		check_int(b.ins, 0);
		end_close(l, &b);
		(void)close(fds[1]);
		loop_end(l);
	}
}

static void
watch_when_nothing_is_ahead(void)
{
	struct wr_loop *l = loop_begin(NULL);
	struct end a;
	int fds[2], err = 0, ins;
	char text[8];

	begin_chat(l, &a, fds);
	write_on(fds[1], 41, 3);
	turns(l, 3);
	err = wr_watch(l, &a.k, WR_OP_READABLE, on_in);
	check(err == 0 || err == -EBUSY);
	if (err == -EBUSY) { /* who asks too early receives on */
		end_take(l, &a, 44);
		until(l,
		    (err = wr_watch(l, &a.k, WR_OP_READABLE, on_in)) != -EBUSY);
		check_int(err, 0);
		write_on(fds[1], 44, 3);
	}
	ins = a.ins;
	until(l, a.ins > ins);
	check_int(recv(fds[0], text, sizeof(text), MSG_DONTWAIT), 3);
	end_close(l, &a);
	(void)close(fds[1]);
	loop_end(l);
}

static int filled;

static void
on_fill(struct wr_loop *l, struct wr_op *op, const struct wr_done *d)
{
	(void)l;
	(void)op;
	filled = d->res;
}

static void
a_pipe_gets_what_was_ahead(void)
{
	struct wr_loop *l = loop_begin(NULL);
	struct wr_pipe *p = wr_pipe_get(l);
	struct end a, b;
	int fds[2], out[2], all = 41;
	char text[16];

	tcp_pair(fds);
	tcp_pair(out);
	/* As those are that the loop accepts; splice(2) has no flag for it. */
	check_int(wr_sock_nonblock(fds[0], true), 0);
	check_int(wr_sock_nonblock(out[0], true), 0);
	end_init(l, &a, fds[0]);
	end_init(l, &b, out[0]);
	if (p == NULL)
		say("no pipes here");
	else
		chat(l, &a, fds[1]);
	/* Before it is asked for, and after. */
	for (int late = 0; p != NULL && late < 2; late++) {
		if (late == 0)
			write_on(fds[1], 41, 6);
		turns(l, 2);
		filled = -1;
		check_int(wr_fill(l, &a.k, p, on_fill), 0);
		turns(l, 2);
		if (late == 1)
			write_on(fds[1], 47, 6);
		while (all < 47 + 6 * late) {
			until(l, filled >= 0);
			all += filled;
			b.outs = 0;
			check_int(wr_drain(l, &b.k, p, on_out), 0);
			until(l, b.outs > 0);
			check_int(b.out_res, filled);
			if (filled <= 0 || all == 47 + 6 * late)
				break;
			filled = -1;
			check_int(wr_fill(l, &a.k, p, on_fill), 0);
		}
	}
	if (p != NULL) {
		check_int(all, 53);
		check_int(recv(out[1], text, sizeof(text), 0), 12);
		for (int i = 0; i < 12; i++)
			check((uint8_t)text[i] == pattern((uint64_t)(41 + i)));
		wr_pipe_put(l, &p);
	}
	end_close(l, &a);
	end_close(l, &b);
	(void)close(fds[1]);
	(void)close(out[1]);
	loop_end(l);
}

const struct test tests_life[] = {
	{ "cancel", cancel_ends_a_receive },
	{ "cancel against data", cancel_against_data },
	{ "late cancel", cancel_after_the_result },
	{ "cancel a send", cancel_of_a_send_tells_how_much_went },
	{ "close", nothing_but_on_close_after_close },
	{ "close in callbacks", close_inside_callbacks },
	{ "abort", abort_resets },
	{ "reset", a_reset_is_told },
	{ "release", release_leaves_it_open },
	{ "reuse", descriptors_are_used_again_and_again },
	{ "fork", fork_then_use },
	{ "ahead", nothing_is_lost_ahead },
	{ "reset ahead", a_reset_comes_after_what_was_ahead },
	{ "end ahead", the_end_is_told_to_who_waits },
	{ "pipe ahead", a_pipe_gets_what_was_ahead },
	{ "close ahead", close_while_it_is_ahead },
	{ "watch ahead", watch_when_nothing_is_ahead },
	{ NULL, NULL },
};
