/* SPDX-License-Identifier: BSD-2-Clause */
/* flow - bytes arrive, all of them, in order, whatever the pace. */
#include "t/unit/conform.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>

static const struct wr_loop_conf tiny = { .buffers_bytes = 4 * 65536 };

static void
set_int(int fd, int name, int value)
{
	(void)setsockopt(fd, SOL_SOCKET, name, &value, sizeof(value));
}

/* Both ends ours, over TCP. */
static void
ends(struct wr_loop *l, struct end *a, struct end *b)
{
	int fds[2];

	tcp_pair(fds);
	end_init(l, a, fds[0]);
	end_init(l, b, fds[1]);
}

static void
a_word_and_an_answer(void)
{
	struct wr_loop *l = loop_begin(NULL);
	struct end a, b;

	ends(l, &a, &b);
	end_recv(l, &a, 0);
	end_recv(l, &b, 0);
	end_text(l, &a, "hello");
	check(a.outs == 0); /* never from inside */
	end_take(l, &b, 5);
	until(l, a.outs > 0);
	check_int(a.out_res, 5);
	check(strcmp(b.text, "hello") == 0);
	end_text(l, &b, "and you");
	end_take(l, &a, 7);
	until(l, b.outs > 0);
	check(strcmp(a.text, "and you") == 0);
	check_int(b.outs, 1);
	end_close(l, &a);
	end_close(l, &b);
	loop_end(l);
}

static void
the_end_comes_after_the_bytes(void)
{
	struct wr_loop *l = loop_begin(NULL);
	struct end a;
	int fds[2];

	for (int i = 0; i < 2; i++) {
		(i == 0 ? tcp_pair : unix_pair)(fds);
		raw_write(fds[1], "last words", 10);
		(void)close(fds[1]);
		end_init(l, &a, fds[0]);
		a.again = true;
		end_recv(l, &a, 0);
		until(l, a.ins > 0 && a.in_res <= 0);
		check_int(a.in_res, 0);
		check_int(a.got, 10);
		end_recv(l, &a, 0); /* and again */
		until(l, a.ins > 2);
		check_int(a.in_res, 0);
		end_close(l, &a);
	}
	loop_end(l);
}

static void
max_is_kept(void)
{
	struct wr_loop *l = loop_begin(NULL);
	struct end a;
	int fds[2];

	unix_pair(fds);
	raw_write(fds[1], "abcdefghij", 10);
	end_init(l, &a, fds[0]);
	for (int i = 1; i <= 4 || (is_chaos() && a.got < 10); i++) {
		end_recv(l, &a, 3);
		until(l, a.ins == i);
		if (is_chaos())
			check(a.in_res > 0 && a.in_res <= 3);
		else
			check_int(a.in_res, i < 4 ? 3 : 1);
	}
	check(strcmp(a.text, "abcdefghij") == 0);
	end_close(l, &a);
	(void)close(fds[1]);
	loop_end(l);
}

static void
either_side_may_end_first(void)
{
	for (int first = 0; first < 2; first++) {
		struct wr_loop *l = loop_begin(NULL);
		struct end e[2], *a = &e[first], *b = &e[1 - first];

		ends(l, &e[0], &e[1]);
		e[0].again = e[1].again = true;
		end_recv(l, a, 0);
		end_recv(l, b, 0);
		end_text(l, a, "the end");
		until(l, a->outs > 0);
		check_int(wr_shutdown(l, &a->k), 0);
		until(l, b->ins > 1 && b->in_res == 0);
		check_int(b->in_res, 0);
		check_int(b->got, 7);
		check_int(a->ins, 0); /* still open the other way */
		end_text(l, b, "not yet");
		until(l, b->outs > 0 && a->got == 7);
		check_int(wr_shutdown(l, &b->k), 0);
		until(l, a->ins > 1 && a->in_res == 0);
		check_int(a->in_res, 0);
		end_close(l, a);
		end_close(l, b);
		loop_end(l);
	}
}

static void
a_peer_that_writes_one_byte_at_a_time(void)
{
	struct wr_loop *l = loop_begin(NULL);
	struct end a, b;
	uint64_t sum = 0;
	uint8_t byte, back[600];
	int in[2], out[2];
	size_t got = 0;

	tcp_pair(in);
	tcp_pair(out);
	end_init(l, &a, in[0]);
	end_init(l, &b, out[0]);
	relay(l, &a, &b);
	for (uint64_t i = 0; i < 600; i++) {
		byte = pattern(i);
		raw_write(in[1], &byte, 1);
		if (i % 3 == 0)
			wr_loop_turn(l, 0);
	}
	until(l, (got += raw_read(out[1], back + got, 600 - got)) == 600);
	sum_add(&sum, 0, back, got);
	check(sum == pattern_sum(600));
	end_close(l, &a);
	end_close(l, &b);
	(void)close(in[1]);
	(void)close(out[1]);
	loop_end(l);
}

static void
sixteen_slices_in_one_send(void)
{
	for (uint32_t chop = 0; chop < 3; chop++) {
		const struct wr_loop_conf c = { .chop = chop * 7 };
		struct wr_loop *l = loop_begin(&c);
		struct wr_slice v[WR_IOV];
		uint64_t at = 0;
		struct end a, b;

		ends(l, &a, &b);
		b.again = true;
		end_recv(l, &b, 0);
		for (int i = 0; i < WR_IOV; i++) {
			check_int(wr_slice_get(l, &v[i]), 0);
			v[i].len = (uint32_t)(i * 300);
			for (uint32_t j = 0; j < v[i].len; j++)
				v[i].mem[j] = pattern(at++);
		}
		check_int(wr_send(l, &a.k, v, WR_IOV, 0, on_out), 0);
		until(l, a.outs > 0 && b.got >= at);
		check_int(a.out_res, at);
		check_int(b.got, at);
		check(b.sum == pattern_sum(at));
		check_int(wr_send(l, &a.k, v, 0, 0, on_out), 0);
		until(l, a.outs > 1); /* nothing is sent at once */
		check_int(a.out_res, 0);
		end_close(l, &a);
		end_close(l, &b);
		loop_end(l);
	}
}

static void
one_reference_each(void)
{
	struct wr_loop *l = loop_begin(&tiny);
	struct wr_slice s, two;
	struct end a, b;

	ends(l, &a, &b);
	check_int(wr_slice_get(l, &s), 0);
	memcpy(s.mem, "twice", 5);
	s.len = 5;
	two = wr_slice_ref(&s);
	check_int(wr_send(l, &a.k, &s, 1, 0, on_out), 0);
	check_int(wr_send(l, &b.k, &two, 1, 0, on_out), 0);
	end_recv(l, &a, 0);
	end_recv(l, &b, 0);
	end_take(l, &a, 5);
	end_take(l, &b, 5);
	until(l, a.outs > 0 && b.outs > 0);
	check(strcmp(a.text, "twice") == 0 && strcmp(b.text, "twice") == 0);
	/* One that cannot be started takes its references all the same. */
	check_int(wr_slice_get(l, &s), 0);
	s.len = 1;
	wr_close(l, &a.k, on_close);
	check(wr_send(l, &a.k, &s, 1, 0, on_out) < 0);
	end_close(l, &a);
	end_close(l, &b);
	loop_end(l);
}

static void
a_gibibyte_in_small(void)
{
	const uint64_t all = 64u << 20;
	struct wr_loop *l = loop_begin(NULL);
	struct end from, a, b, to;
	uint64_t at = 0;

	ends(l, &from, &a);
	ends(l, &b, &to);
	relay(l, &a, &b);
	to.again = true;
	end_recv(l, &to, 0);
	while (at < all) {
		end_send(l, &from, at, 65536);
		at += 65536;
		until(l, from.k.out.kind == WR_OP_NONE);
	}
	check_int(wr_shutdown(l, &from.k), 0);
	until(l, to.in_res == 0 && to.ins > 0);
	check_int(to.got, all);
	check(to.sum == pattern_sum(all));
	end_close(l, &from);
	end_close(l, &a);
	end_close(l, &b);
	end_close(l, &to);
	loop_end(l);
}

/* -- Slow readers -------------------------------------------------------- */

#define SLOW 12

/* Each of `n` ends sends 64 KiB to a peer that does not read yet. */
static void
fill(struct wr_loop *l, struct end *e, int *peers, int n)
{
	int fds[2];

	for (int i = 0; i < n; i++) {
		unix_pair(fds);
		set_int(fds[0], SO_SNDBUF, 4096);
		end_init(l, &e[i], fds[0]);
		peers[i] = fds[1];
		end_send(l, &e[i], 0, 60000);
		turns(l, 2);
	}
}

static void
drain(struct wr_loop *l, struct end *e, int *peers, int n)
{
	static uint8_t mem[60000];
	uint64_t sum, good = pattern_sum(60000);
	size_t got;

	for (int i = 0; i < n; i++) {
		got = 0;
		sum = 0;
		until(l, (got += raw_read(peers[i], mem + got, 60000 - got)) ==
			     60000);
		sum_add(&sum, 0, mem, got);
		until(l, e[i].outs > 0);
		check(sum == good && e[i].out_res == 60000);
		end_close(l, &e[i]);
		(void)close(peers[i]);
	}
}

static void
slow_readers_do_not_keep_the_pool(void)
{
	struct wr_loop *l = loop_begin(&tiny);
	struct wr_slice s;
	struct end e[SLOW];
	int peers[SLOW];

	/* Three times what the pool holds. */
	fill(l, e, peers, SLOW);
	until(l, wr_slice_get(l, &s) == 0);
	check(s.block != NULL);
	wr_slice_put(l, &s);
	check(wr_loop_stats(l)->spill_bytes > 0);
	drain(l, e, peers, SLOW);
	loop_end(l);
}

#ifdef __linux__

/* A kernel that cannot do what is asked without blocking does it in a thread
 * of ours. */
static int
threads(void)
{
	DIR *d = opendir("/proc/self/task");
	int n = 0;

	while (d != NULL && readdir(d) != NULL)
		n++;
	if (d != NULL)
		(void)closedir(d);
	return n - 2;
}

#endif

/* To wait for room is not to be told of the end again and again. */
static void
a_slow_reader_that_has_ended(void)
{
	struct wr_loop *l = loop_begin(NULL);
	const struct wr_loop_stats *s = wr_loop_stats(l);
	struct end e[2], w;
	int peers[2], fds[2];
	uint64_t before, end;

	if (is_chaos()) { /* nobody knows when it is full */
		loop_end(l);
		return;
	}
	fill(l, e, peers, 2);
	end_init(l, &w, dup(e[1].k.fd)); /* full, and only watched */
	check_int(wr_watch(l, &w.k, WR_OP_WRITABLE, on_out), 0);
	turns(l, 3);
	for (int i = 0; i < 2; i++) {
		(void)shutdown(peers[i], SHUT_WR);
		turns(l, 3);
	}
	unix_pair(fds); /* one that was half-closed before */
	set_int(fds[0], SO_SNDBUF, 4096);
	(void)shutdown(fds[1], SHUT_WR);
	end_close(l, &e[0]);
	(void)close(peers[0]);
	end_init(l, &e[0], fds[0]);
	peers[0] = fds[1];
	end_send(l, &e[0], 0, 60000);
	turns(l, 3);
	before = s->turns;
	for (end = now_ms() + 50; now_ms() < end;)
		wr_loop_turn(l, 20);
	check(s->turns - before < 10);
	check_int(e[0].outs + e[1].outs + w.outs, 0);
#ifdef __linux__
	check_int(threads(), 1);
#endif
	wr_cancel(l, &w.k.out);
	until(l, w.outs > 0);
	check_int(w.out_res, -ECANCELED);
	check_int(wr_watch(l, &w.k, WR_OP_WRITABLE, on_out), 0);
	turns(l, 3);
	check_int(w.outs, 1);
	drain(l, e, peers, 2);
	until(l, w.outs > 1);
	check_int(w.out_res, 0);
	end_close(l, &w);
	loop_end(l);
}

static struct end *victims;
static int victims_n, pressed;

/* Close the next of those who keep the buffers. */
static void
on_pressure(struct wr_loop *l, void *arg)
{
	(void)arg;
	if (pressed < victims_n)
		wr_close(l, &victims[pressed].k, on_close);
	pressed++;
}

#define WAITING 64

/* Receivers that keep what they get, until it does not go on without help;
 * how many. */
static int
exhaust(struct wr_loop *l, struct end *e, int *peers)
{
	int fds[2], n = 0;

	while (n < WAITING && pressed == 0) {
		unix_pair(fds);
		peers[n] = fds[1];
		raw_write(fds[1], "let me in", 9);
		end_init(l, &e[n], fds[0]);
		e[n].hold = true;
		end_recv(l, &e[n++], 0);
		turns(l, 2);
	}
	return n;
}

static void
when_all_is_full_somebody_is_told(void)
{
	const struct wr_loop_conf c = { .buffers_bytes = 4 * 65536,
		.spill_bytes = 1 };
	struct wr_loop *l = loop_begin(&c);
	static struct end e[SLOW], a[WAITING];
	int peers[SLOW], a_peers[WAITING], n, a_n;
	struct wr_slice s;

	victims = e;
	pressed = 0;
	wr_loop_on_pressure(l, on_pressure, NULL);
	for (n = 0; n < SLOW; n++) {
		if (wr_slice_get(l, &s) < 0)
			break;
		wr_slice_put(l, &s);
		fill(l, e + n, peers + n, 1);
	}
	check(n >= 1 && n <= 4);
	check_int(pressed, 0); /* nobody waits */
	victims_n = n;
	a_n = exhaust(l, a, a_peers);
	until(l, pressed > 0);
	check(wr_loop_stats(l)->no_buffers > 0);
	for (int i = 0; i < a_n; i++) {
		until(l, a[i].ins > 0);
		check(strncmp(a[i].text, "let me in", a[i].got) == 0);
		wr_slice_put(l, &a[i].held);
		end_close(l, &a[i]);
		(void)close(a_peers[i]);
	}
	check(e[0].k.closing);
	for (int i = 0; i < n; i++) {
		if (!e[i].k.closing) {
			drain(l, e + i, peers + i, 1);
			continue;
		}
		end_close(l, &e[i]);
		(void)close(peers[i]);
	}
	loop_end(l);
}

#define STALLED 8

static int
count_ins(const struct end *e, int n)
{
	int ins = 0;

	for (int i = 0; i < n; i++)
		ins += e[i].ins;
	return ins;
}

static void
stall(struct wr_loop *l, struct end *e, int *peers)
{
	int fds[2];

	for (int i = 0; i < STALLED; i++) {
		unix_pair(fds);
		peers[i] = fds[1];
		raw_write(fds[1], "x", 1);
		end_init(l, &e[i], fds[0]);
		e[i].hold = true;
		end_recv(l, &e[i], 0);
	}
	turns(l, 5);
}

static void
a_stalled_receive_goes_on(void)
{
	struct wr_loop *l = loop_begin(&tiny);
	struct wr_slice held[8];
	struct end e[STALLED], *last = NULL;
	int peers[STALLED], n = 0, ins;

	while (n < 8 && wr_slice_get(l, &held[n]) == 0)
		n++;
	check(n > 0 && n < 8);
	stall(l, e, peers);
	ins = count_ins(e, STALLED);
	check(ins < STALLED);
	check(wr_loop_stats(l)->no_buffers > 0);
	for (int i = 0; i < STALLED; i++)
		if (e[i].ins == 0)
			last = &e[i];
	wr_cancel(l, &last->k.in);
	until(l, last->ins > 0);
	check_int(last->in_res, -ECANCELED);
	wr_slice_put(l, &held[0]);
	until(l, count_ins(e, STALLED) > ins + 1);
	check(count_ins(e, STALLED) > ins + 1);
	for (int i = 1; i < n; i++)
		wr_slice_put(l, &held[i]);
	for (int i = 0; i < STALLED; i++) {
		if (&e[i] == last)
			end_recv(l, last, 0); /* nothing was lost */
		until(l, e[i].in_res == 1);
		check_int(e[i].in_res, 1);
		wr_slice_put(l, &e[i].held);
		end_close(l, &e[i]);
		(void)close(peers[i]);
	}
	loop_end(l);
}

#define PAIRS 6

/*
 * Full duplex through a relay whose pool is far smaller than what is under
 * way: each peer writes all it has before it looks for an answer, so if a
 * direction could take the last buffer for good, nobody would get on.
 */
static void
two_directions_do_not_block_each_other(void)
{
	const uint32_t all = 512u << 10;
	struct wr_loop *l = loop_begin(&tiny);
	struct end out[2][PAIRS], in[2][PAIRS];
	uint64_t good = pattern_sum(all), at[2][PAIRS] = { 0 };
	int done = 0;

	for (int i = 0; i < PAIRS; i++) {
		ends(l, &out[0][i], &in[0][i]);
		ends(l, &out[1][i], &in[1][i]);
		relay(l, &in[0][i], &in[1][i]);
		for (int side = 0; side < 2; side++) {
			out[side][i].again = true;
			end_recv(l, &out[side][i], 0);
		}
	}
	for (uint64_t end = now_ms() + 20000; done < 2 * PAIRS;) {
		done = 0;
		for (int i = 0; i < 2 * PAIRS; i++) {
			struct end *e = &out[i % 2][i / 2];
			struct wr_slice s;

			done += e->got == all && e->outs * 32768 >= (int)all;
			if (e->k.out.kind != WR_OP_NONE ||
			    at[i % 2][i / 2] == all || wr_slice_get(l, &s) < 0)
				continue;
			wr_slice_put(l, &s);
			end_send(l, e, at[i % 2][i / 2], 32768);
			at[i % 2][i / 2] += 32768;
		}
		if (now_ms() > end)
			break;
		wr_loop_turn(l, 1);
	}
	check_int(done, 2 * PAIRS);
	for (int i = 0; i < 2 * PAIRS; i++) {
		check(out[i % 2][i / 2].sum == good);
		end_close(l, &out[i % 2][i / 2]);
		end_close(l, &in[i % 2][i / 2]);
	}
	loop_end(l);
}

static void
one_byte_at_a_time_is_enough(void)
{
	const struct wr_loop_conf c = { .chop = 1, .buffers_bytes = 1 };
	struct wr_loop *l = loop_begin(&c);
	struct end from, a, b, to;

	ends(l, &from, &a);
	ends(l, &b, &to);
	relay(l, &a, &b);
	to.again = from.again = true;
	end_recv(l, &to, 0);
	end_recv(l, &from, 0);
	end_send(l, &from, 0, 3000);
	end_send(l, &to, 0, 2000);
	until(l, to.got == 3000 && from.got == 2000);
	check(to.sum == pattern_sum(3000) && from.sum == pattern_sum(2000));
	until(l, from.outs > 0);
	check_int(wr_shutdown(l, &from.k), 0);
	until(l, to.in_res == 0);
	check_int(to.in_res, 0);
	end_close(l, &from);
	end_close(l, &a);
	end_close(l, &b);
	end_close(l, &to);
	loop_end(l);
}

/* A read stops before an urgent byte, although more has come. */
static void
urgent_data_does_not_hide_the_rest(void)
{
	struct wr_loop *l = loop_begin(NULL);
	struct end a;
	int fds[2];

	tcp_pair(fds);
	end_init(l, &a, fds[0]);
	a.again = true;
	end_recv(l, &a, 0);
	turns(l, 1);
	raw_write(fds[1], "abc", 3);
	check_int(send(fds[1], "!", 1, MSG_OOB), 1);
	raw_write(fds[1], "def", 3);
	until(l, a.got >= 6);
	check(strcmp(a.text, "abcdef") == 0);
	end_close(l, &a);
	(void)close(fds[1]);
	loop_end(l);
}

const struct test tests_flow[] = {
	{ "a word and an answer", a_word_and_an_answer },
	{ "the end comes after the bytes", the_end_comes_after_the_bytes },
	{ "max is kept", max_is_kept },
	{ "half-close", either_side_may_end_first },
	{ "one byte at a time", a_peer_that_writes_one_byte_at_a_time },
	{ "gather", sixteen_slices_in_one_send },
	{ "references", one_reference_each },
	{ "bulk", a_gibibyte_in_small },
	{ "slow readers", slow_readers_do_not_keep_the_pool },
	{ "slow and ended", a_slow_reader_that_has_ended },
	{ "pressure", when_all_is_full_somebody_is_told },
	{ "stall", a_stalled_receive_goes_on },
	{ "full duplex", two_directions_do_not_block_each_other },
	{ "chop", one_byte_at_a_time_is_enough },
	{ "urgent", urgent_data_does_not_hide_the_rest },
	{ NULL, NULL },
};
