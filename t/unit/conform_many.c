/* SPDX-License-Identifier: BSD-2-Clause */
/* many - what is done for many sockets at once is done for each of them. */
#include "t/unit/conform.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/syscall.h>

#define MANY 80

static struct end ends[MANY];
static int peers[MANY];

/* Every other descriptor blocks: who tries it without need waits for ever. */
static void
begin(struct wr_loop *l)
{
	int fds[2];

	for (int i = 0; i < MANY; i++) {
		tcp_pair(fds);
		if (i % 2 == 0)
			check(wr_sock_nonblock(fds[0], true) == 0);
		end_init(l, &ends[i], fds[0]);
		peers[i] = fds[1];
	}
}

static void
finish(struct wr_loop *l)
{
	for (int i = 0; i < MANY; i++) {
		wr_close(l, &ends[i].k, on_close);
		if (peers[i] >= 0)
			(void)close(peers[i]);
	}
	for (int i = 0; i < MANY; i++)
		until(l, ends[i].closes > 0);
	loop_end(l);
}

/* The kernel may deliver it later. */
static void
reset(int i)
{
	struct pollfd p = { .fd = ends[i].k.fd };

	wr_sock_reset_on_close(peers[i]);
	(void)close(peers[i]);
	peers[i] = -1;
	check(poll(&p, 1, 10000) == 1);
}

static size_t
read_all(struct wr_loop *l, int fd, char *to, size_t size)
{
	size_t n = 0;

	until(l, (n += raw_read(fd, to + n, size - n)) == size);
	return n;
}

static bool
all_in(int n)
{
	for (int i = 0; i < MANY; i++)
		if (ends[i].ins < n)
			return false;
	return true;
}

/* By number: nothing at first, an end, a reset, or bytes. */
static void
each_receives_its_own(void)
{
	struct wr_loop *l = loop_begin(NULL);
	char text[16];
	int wrong = 0;

	begin(l);
	for (int i = 0; i < MANY; i++)
		if (i % 5 == 1)
			(void)shutdown(peers[i], SHUT_WR);
		else if (i % 5 == 2)
			reset(i);
		else if (i % 5 > 2)
			raw_write(peers[i], text,
			    (size_t)snprintf(text, sizeof(text), "%d", i));
	for (int i = 0; i < MANY; i++)
		end_recv(l, &ends[i], 0);
	turns(l, 3);
	for (int i = 0; i < MANY; i += 5)
		raw_write(peers[i], text,
		    (size_t)snprintf(text, sizeof(text), "%d", i));
	until(l, all_in(1));
	for (int i = 0; i < MANY; i++) {
		(void)snprintf(text, sizeof(text), "%d", i);
		if (i % 5 == 1)
			wrong += ends[i].in_res != 0;
		else if (i % 5 == 2)
			wrong += ends[i].in_res != -ECONNRESET;
		else if (is_chaos()) /* one byte, perhaps */
			wrong += ends[i].in_res <= 0;
		else
			wrong += strcmp(ends[i].text, text) != 0;
	}
	check_int(wrong, 0);
	finish(l);
}

/* More than is lent at once, from each, with as few buffers as there may be. */
static void
each_receives_all(void)
{
	static char bytes[40000];
	const struct wr_loop_conf confs[] = { { .buffers_bytes = 4 * 65536 },
		{ .buffers_bytes = 64 * 65536 } };
	uint64_t sum = pattern_sum(sizeof(bytes));
	int wrong = 0;

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (char)pattern(i);
	for (int c = 0; c < 2; c++) {
		struct wr_loop *l = loop_begin(&confs[c]);

		begin(l);
		for (int i = 0; i < MANY; i++) {
			raw_write(peers[i], bytes, sizeof(bytes));
			(void)shutdown(peers[i], SHUT_WR);
			ends[i].again = true;
			end_recv(l, &ends[i], 0);
		}
		for (int i = 0; i < MANY; i++) {
			until(l, ends[i].ins > 0 && ends[i].in_res <= 0);
			wrong += ends[i].in_res != 0 || ends[i].sum != sum;
		}
		check_int(wrong, 0);
		finish(l);
	}
}

/* A block that comes home is for one of those who wait, and the others have
 * not to wait until it comes again. */
static void
all_who_wait_for_buffers_get_one(void)
{
	const struct wr_loop_conf few = { .buffers_bytes = 32 * 65536 };
	struct wr_loop *l = loop_begin(&few);
	struct wr_slice all[32];
	int n = 0;

	begin(l);
	while (n < 32 && wr_slice_get(l, &all[n]) == 0)
		n++;
	for (int i = 0; i < MANY; i++) {
		raw_write(peers[i], "word", 4);
		ends[i].hold = true;
		end_recv(l, &ends[i], 0);
	}
	turns(l, 3);
	for (int i = 0; i < n - 1; i++)
		wr_slice_put(l, &all[i]);
	until(l, all_in(1));
	check(all_in(1));
	for (int i = 0; i < MANY; i++)
		wr_slice_put(l, &ends[i].held);
	if (n > 0)
		wr_slice_put(l, &all[n - 1]);
	finish(l);
}

/* The first to be told cancels all others.  What they had taken they are told
 * all the same; what they had not is there for the next. */
static void
on_first(struct wr_loop *l, struct wr_op *op, const struct wr_done *d)
{
	on_in(l, op, d);
	for (int i = 0; i < MANY; i++)
		wr_cancel(l, &ends[i].k.in);
}

static void
a_cancel_among_them_drops_nothing(void)
{
	struct wr_loop *l = loop_begin(NULL);
	int wrong = 0;

	begin(l);
	for (int i = 0; i < MANY; i++)
		raw_write(peers[i], "word", 4);
	for (int i = 0; i < MANY; i++)
		check(wr_recv(l, &ends[i].k, 0, 0, on_first) == 0);
	until(l, all_in(1));
	for (int i = 0; i < MANY; i++) {
		wrong += ends[i].in_res <= 0 && ends[i].in_res != -ECANCELED;
		end_take(l, &ends[i], 4);
		wrong += strcmp(ends[i].text, "word") != 0;
	}
	check_int(wrong, 0);
	finish(l);
}

/* Closing is the same, but for the word. */
static void
on_last(struct wr_loop *l, struct wr_op *op, const struct wr_done *d)
{
	on_in(l, op, d);
	for (int i = 0; i < MANY; i++)
		if (!ends[i].k.closing)
			wr_close(l, &ends[i].k, on_close);
}

static void
a_close_among_them_leaks_nothing(void)
{
	struct wr_loop *l = loop_begin(NULL);
	int closes = 0, told = 0;

	begin(l);
	for (int i = 0; i < MANY; i++) {
		raw_write(peers[i], "word", 4);
		check(wr_recv(l, &ends[i].k, 0, 0, on_last) == 0);
	}
	for (int i = 0; i < MANY; i++) {
		until(l, ends[i].closes > 0);
		closes += ends[i].closes;
		told += ends[i].ins;
		(void)close(peers[i]);
	}
	check_int(closes, MANY);
	check_int(told, 1);
	loop_end(l);
}

/* One slice, three slices, a peer that has reset, and more than a peer that
 * does not read has room for. */
static const char big[1 << 20];

static void
send_one(struct wr_loop *l, int i)
{
	struct wr_slice v[3] = { wr_slice_const("ab", 2),
		wr_slice_const("cd", 2), wr_slice_const("ef", 2) };
	int small = 65536;

	if (i % 4 == 2)
		reset(i);
	if (i % 4 == 3) {
		(void)setsockopt(
		    peers[i], SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
		(void)setsockopt(
		    ends[i].k.fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
		v[0] = wr_slice_const(big, sizeof(big));
	} else if (i % 4 != 1) {
		v[0] = wr_slice_const("abcdef", 6);
	}
	check(wr_send(l, &ends[i].k, v, i % 4 == 1 ? 3 : 1, 0, on_out) == 0);
}

static void
each_sends_its_own(void)
{
	static char got[65536];
	struct wr_loop *l = loop_begin(NULL);
	int wrong = 0;
	size_t n;

	begin(l);
	for (int i = 0; i < MANY; i++)
		send_one(l, i);
	for (int i = 0; i < MANY; i++) {
		if (i % 4 == 3)
			continue;
		until(l, ends[i].outs > 0);
		if (i % 4 == 2)
			wrong += ends[i].out_res != -ECONNRESET;
		else
			wrong += ends[i].out_res != 6 ||
				 read_all(l, peers[i], got, 6) != 6 ||
				 memcmp(got, "abcdef", 6) != 0;
	}
	check_int(wrong, 0);
	for (int i = 3; i < MANY; i += 4) {
		wrong += ends[i].outs;
		n = 0;
		until(l,
		    (n += raw_read(peers[i], got, sizeof(got))) == sizeof(big));
		until(l, ends[i].outs > 0);
		wrong += ends[i].out_res != sizeof(big);
	}
	check_int(wrong, 0);
	finish(l);
}

/* Where the kernel can do many for one call, it is asked to. */
static void
many_are_few_calls(void)
{
	bool can = strcmp(backend, "io_uring") == 0;
	struct wr_loop *l = loop_begin(NULL);
	const struct wr_loop_stats *s = wr_loop_stats(l);
	uint64_t before;
#ifdef SYS_io_setup
	unsigned long context = 0;

	if (strcmp(backend, "epoll") == 0 &&
	    syscall(SYS_io_setup, 1, &context) == 0) {
		can = true;
		(void)syscall(SYS_io_destroy, context);
	}
#endif
	begin(l);
	/* Before Linux 6.5 that can wait for ever where descriptors block. */
	for (int i = 1; i < MANY && strcmp(backend, "io_uring") != 0; i += 2)
		check(wr_sock_nonblock(ends[i].k.fd, true) == 0);
	for (int i = 0; i < MANY; i++)
		end_recv(l, &ends[i], 0);
	turns(l, 3);
	for (int i = 0; i < MANY; i++)
		raw_write(peers[i], "word", 4);
	before = s->syscalls;
	for (int i = 0; i < MANY; i++)
		end_text(l, &ends[i], "word");
	until(l, all_in(1));
	for (int i = 0; i < MANY; i++)
		until(l, ends[i].outs > 0);
	say("%d receives and sends are %d calls", 2 * MANY,
	    (int)(s->syscalls - before));
	if (can && !is_chaos())
		check(s->syscalls - before < MANY / 2);
	finish(l);
}

/* -- A crowd at the door of a full house --------------------------------- */

#define GUESTS 64

static uint64_t said;
static int came_in[GUESTS], n_in;

/* What one end hears it says back, and the other again, for ever. */
static void
on_heard(struct wr_loop *l, struct wr_op *op, const struct wr_done *d)
{
	struct wr_sock *k = wr_sock_of_in(op);

	if (d->res <= 0)
		return;
	said++;
	if (wr_send(l, k, &d->in, 1, 0, on_out) < 0 ||
	    wr_recv(l, k, 1, 0, on_heard) < 0)
		abort();
}

static void
on_guest(wr_unused struct wr_loop *l, wr_unused struct wr_op *op,
    const struct wr_done *d)
{
	if (d->res >= 0)
		came_in[n_in++] = d->res;
}

static bool
chat(struct wr_loop *l, struct end e[2])
{
	bool fine = true;
	int fds[2];

	tcp_pair(fds);
	for (int i = 0; i < 2; i++)
		fine = fine && wr_sock_nonblock(fds[i], true) == 0 &&
		       wr_sock_init(l, &e[i].k, fds[i]) == 0 &&
		       wr_recv(l, &e[i].k, 1, 0, on_heard) == 0;
	raw_write(fds[0], "x", 1);
	return fine;
}

/* How much is said by each pair until all are in. */
static uint64_t
said_meanwhile(unsigned flags)
{
	struct wr_loop *l = loop_begin(NULL);
	uint32_t n = wr_loop_limit(l) < 2048 ? 300 : 1000;
	struct end *all = calloc(2 * n, sizeof(*all)), door;
	uint64_t before, after;
	int guests[GUESTS];
	struct wr_addr a;
	bool fine = true;

	n_in = 0;
	said = 0;
	for (uint32_t i = 0; i < n; i++)
		fine = fine && chat(l, all + 2 * i);
	check(fine);
	end_init(l, &door, tcp_listener(&a, GUESTS));
	check_int(wr_accept(l, &door.k, flags, on_guest), 0);
	until(l, said >= 4 * n);
	before = said;
	for (int i = 0; i < GUESTS; i++) {
		guests[i] = socket(AF_INET, SOCK_STREAM, 0);
		fine = fine && connect(guests[i], &a.sa, a.len) == 0;
	}
	check(fine);
	until(l, n_in == GUESTS);
	after = said;
	check_int(n_in, GUESTS);
	for (int i = 0; i < n_in; i++) {
		(void)close(guests[i]);
		(void)close(came_in[i]);
	}
	end_close(l, &door);
	for (uint32_t i = 0; i < 2 * n; i++)
		wr_close(l, &all[i].k, on_close);
	for (uint32_t i = 0; i < 2 * n; i++)
		until(l, all[i].closes > 0);
	loop_end(l);
	free(all);
	return (after - before) / n;
}

static void
who_is_new_does_not_wait_for_long(void)
{
	uint64_t n;

	for (unsigned flags = 0; flags <= WR_SHARED; flags += WR_SHARED) {
		n = said_meanwhile(flags);
		say("%u came while each pair said %u bytes", GUESTS,
		    (unsigned)n);
		check(is_chaos() || n <= 30);
	}
}

const struct test tests_many[] = {
	{ "many receive", each_receives_its_own },
	{ "many receive all", each_receives_all },
	{ "many stalled", all_who_wait_for_buffers_get_one },
	{ "many cancelled", a_cancel_among_them_drops_nothing },
	{ "many closed", a_close_among_them_leaks_nothing },
	{ "many send", each_sends_its_own },
	{ "many at once", many_are_few_calls },
	{ "many are busy", who_is_new_does_not_wait_for_long },
	{ NULL, NULL },
};
