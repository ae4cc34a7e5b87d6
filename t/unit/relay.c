/* SPDX-License-Identifier: BSD-2-Clause */
#include "proxy/relay.h"

#include <errno.h>
#include <stdlib.h>

#include "base/hash.h"
#include "conf/key.h"
#include "fakeloop.h"
#include "tap.h"

static struct wr_loop *l;
static struct wr_relay r;
static int ended, heard, bulk;
static uint8_t zeros[65536];

#define CLIENT (&r.end[WR_CLIENT].sock)
#define SERVER (&r.end[WR_SERVER].sock)

static void
on_news(struct wr_loop *l_, struct wr_relay *r_, enum wr_relay_news news)
{
	if (news == WR_RELAY_OVER)
		ended += l_ == l && r_ == &r;
	else if (news == WR_RELAY_HEARD)
		heard++;
	else if (news == WR_RELAY_BULK)
		bulk++;
}

static void
begin(void)
{
	l = fake_new();
	ended = heard = bulk = 0;
	memset(&r, 0, sizeof(r));
	is_int(wr_conn_init(l, &r.end[WR_CLIENT], WR_CLIENT, 10), 0);
	is_int(wr_conn_init(l, &r.end[WR_SERVER], WR_SERVER, 11), 0);
	r.limits = (struct wr_limits){ WR_OFF, { WR_OFF, WR_OFF }, WR_OFF,
		WR_OFF, WR_OFF, WR_OFF };
	r.start_ms = (uint32_t)wr_loop_now(l);
}

static void
start(void)
{
	begin();
	wr_relay_start(l, &r, on_news);
}

/* Close what is left; nothing may be lost. */
static void
finish(void)
{
	wr_timer_stop(l, &r.timer);
	wr_conn_close(l, &r.end[WR_CLIENT], false, NULL);
	wr_conn_close(l, &r.end[WR_SERVER], false, NULL);
	fake_turn(l);
	wr_relay_fini(l, &r);
	is_int(fake_left(l), 0);
	fake_free(&l);
}

static void
bytes_pass_both_ways(void)
{
	start();
	ok(fake_waits(&CLIENT->in) == WR_OP_RECV);
	ok(fake_waits(&SERVER->in) == WR_OP_RECV);
	fake_bytes(l, &CLIENT->in, "ping", 4, 0);
	ok(fake_waits(&SERVER->out) == WR_OP_SEND);
	is_int(fake_byte(&SERVER->out, 1), 'i');
	fake_take(l, &SERVER->out, 4);
	is_int(heard, 0);
	fake_bytes(l, &SERVER->in, "pong!", 5, 0);
	is_int(heard, 1);
	is_int(fake_byte(&CLIENT->out, 4), '!');
	fake_take(l, &CLIENT->out, 5);
	is_int(r.end[WR_CLIENT].bytes, 4);
	is_int(r.end[WR_SERVER].bytes, 5);
	fake_bytes(l, &SERVER->in, "more", 4, 0);
	is_int(heard, 1);
	finish();
}

static void
a_slow_reader_stops_the_writer(void)
{
	start();
	fake_bytes(l, &CLIENT->in, zeros, 60000, 0);
	fake_take(l, &SERVER->out, 40000);
	ok(fake_waits(&CLIENT->in) == WR_OP_NONE);
	is_int(fake_left_bytes(&SERVER->out), 20000);
	fake_take(l, &SERVER->out, 20000);
	ok(fake_waits(&CLIENT->in) == WR_OP_RECV);

	/* It was slow: less is taken for it, until it is fast again. */
	is_int(CLIENT->in.want, 4096);
	fake_bytes(l, &CLIENT->in, zeros, 4096, 0);
	fake_take(l, &SERVER->out, 4096);
	is_int(CLIENT->in.want, 0);
	finish();
}

static void
one_end_may_close_before_the_other(void)
{
	start();
	fake_finish(l, &CLIENT->in, 0);
	is_int(ended, 0);
	is_int(fake_shutdowns(l), 1);
	ok(fake_waits(&SERVER->in) == WR_OP_RECV);
	fake_bytes(l, &SERVER->in, "late", 4, 0);
	fake_take(l, &CLIENT->out, 4);
	fake_finish(l, &SERVER->in, 0);
	is_int(ended, 1);
	is_int(r.why, WR_END_CLIENT_RELAY_EOF);
	is_int(r.torn, 0);
	is_int(fake_shutdowns(l), 1);
	finish();
}

/* The server has reset the connection, and its answer is still to be read. */
static void
an_end_that_cannot_be_passed_on_is_not_waited_for(void)
{
	start();
	fake_fail_shutdown(l, -ENOTCONN);
	fake_finish(l, &CLIENT->in, 0);
	is_int(ended, 0);
	fake_bytes(l, &SERVER->in, "answer", 6, 0);
	fake_take(l, &CLIENT->out, 6);
	fake_finish(l, &SERVER->in, -ECONNRESET);
	is_int(ended, 1);
	is_int(r.why, WR_END_SERVER_RELAY_RESET);
	is_int(r.torn, 1 << WR_SERVER);
	finish();

	/* One that says nothing of it has a second. */
	start();
	r.limits.half_close = 60000;
	fake_fail_shutdown(l, -ENOTCONN);
	fake_finish(l, &CLIENT->in, 0);
	fake_pass(l, 900);
	is_int(ended, 0);
	fake_pass(l, 101);
	is_int(ended, 1);
	is_int(r.why, WR_END_SERVER_RELAY_RESET);
	is_int(r.err, -ENOTCONN);
	finish();
}

static void
an_end_waits_for_the_bytes_before_it(void)
{
	start();
	fake_bytes(l, &SERVER->in, "bye", 3, 0);
	ok(fake_waits(&SERVER->in) == WR_OP_NONE);
	fake_take(l, &CLIENT->out, 3);
	fake_finish(l, &SERVER->in, 0);
	is_int(fake_shutdowns(l), 1);
	fake_finish(l, &CLIENT->in, 0);
	is_int(r.why, WR_END_SERVER_RELAY_EOF);
	is_int(ended, 1);
	finish();
}

static void
a_reset_ends_both_and_is_passed_on(void)
{
	start();
	fake_bytes(l, &CLIENT->in, "x", 1, 0);
	fake_finish(l, &SERVER->in, -ECONNRESET);
	is_int(ended, 1);
	is_int(r.why, WR_END_SERVER_RELAY_RESET);
	is_int(r.torn, 1 << WR_SERVER);
	finish();

	start();
	fake_finish(l, &CLIENT->in, -ETIMEDOUT);
	is_int(r.why, WR_END_CLIENT_RELAY_LOST);
	finish();
}

/* "413 Too Large", then close, with half of the upload unread. */
static void
an_answer_arrives_though_the_question_was_refused(void)
{
	start();
	fake_bytes(l, &CLIENT->in, zeros, 1000, 0);
	fake_take(l, &SERVER->out, 300);
	fake_finish(l, &SERVER->out, -EPIPE);
	is_int(ended, 0);
	is_int(r.end[WR_CLIENT].bytes, 300);
	ok(fake_waits(&CLIENT->in) == WR_OP_NONE);
	fake_bytes(l, &SERVER->in, "413", 3, 0);
	fake_take(l, &CLIENT->out, 3);
	fake_finish(l, &SERVER->in, 0);
	is_int(ended, 1);
	is_int(r.why, WR_END_SERVER_RELAY_RESET);
	is_int(r.torn, 1 << WR_CLIENT);
	is_int(r.deaf, 1 << WR_CLIENT);
	finish();
}

static void
a_send_that_fails_after_the_answer_ended(void)
{
	start();
	fake_finish(l, &SERVER->in, 0);
	fake_bytes(l, &CLIENT->in, "more", 4, 0);
	fake_finish(l, &SERVER->out, -ECONNRESET);
	is_int(ended, 1);
	is_int(r.deaf, 1 << WR_CLIENT);
	finish();
}

/* -- Time ---------------------------------------------------------------- */

/* Let `ms` pass without an end, then one more with this one. */
#define ends_after(ms, reason)                                                 \
	do {                                                                   \
		fake_pass(l, (ms)-1);                                          \
		is_int(ended, 0);                                              \
		fake_pass(l, 1);                                               \
		is_int(ended, 1);                                              \
		is_str(wr_end_text(r.why), wr_end_text(reason));               \
		finish();                                                      \
	} while (0)

static void
idle_is_no_byte_either_way(void)
{
	begin();
	r.limits.idle = 1000;
	wr_relay_start(l, &r, on_news);
	fake_pass(l, 900);
	fake_bytes(l, &CLIENT->in, "a", 1, 0);
	fake_pass(l, 900);
	fake_take(l, &SERVER->out, 1);
	fake_pass(l, 900);
	fake_bytes(l, &SERVER->in, "b", 1, 0);
	fake_take(l, &CLIENT->out, 1);
	ends_after(1000, WR_END_WEIR_RELAY_IDLE);
}

static void
each_side_may_have_its_own_patience(void)
{
	for (int side = 0; side < 2; side++) {
		begin();
		r.limits.side_idle[side] = 500;
		wr_relay_start(l, &r, on_news);
		fake_pass(l, 400);
		fake_bytes(l, &r.end[!side].sock.in, "a", 1, 0);
		fake_take(l, &r.end[side].sock.out, 1);
		ends_after(100, side == WR_CLIENT ? WR_END_CLIENT_RELAY_IDLE
						  : WR_END_SERVER_RELAY_IDLE);
	}
}

/* Whom nobody reads, because the other one is slow, is not silent. */
static void
who_is_not_read_is_not_idle(void)
{
	for (int side = 0; side < 2; side++) {
		struct wr_sock *c = &r.end[side].sock, *to = &r.end[!side].sock;

		begin();
		r.limits.side_idle[side] = 500;
		wr_relay_start(l, &r, on_news);
		fake_pass(l, 400);
		fake_bytes(l, &c->in, zeros, 1000, 0);
		fake_pass(l, 3000);
		is_int(ended, 0);
		fake_take(l, &to->out, 999);
		fake_pass(l, 3100);
		is_int(ended, 0);
		/* It is read again from now on. */
		fake_take(l, &to->out, 1);
		ends_after(500, side == WR_CLIENT ? WR_END_CLIENT_RELAY_IDLE
						  : WR_END_SERVER_RELAY_IDLE);

		/* The slow one is to blame, if it is too slow. */
		begin();
		r.limits.side_idle[side] = 500;
		r.limits.send = 800;
		wr_relay_start(l, &r, on_news);
		fake_bytes(l, &c->in, zeros, 1000, 0);
		ends_after(800, side == WR_CLIENT ? WR_END_SERVER_RELAY_SEND
						  : WR_END_CLIENT_RELAY_SEND);
	}
}

static void
a_reader_that_takes_nothing_is_given_up(void)
{
	begin();
	r.limits.send = 800;
	r.limits.idle = 800;
	wr_relay_start(l, &r, on_news);
	/* The timer sleeps: nothing to send for long. */
	r.limits.idle = WR_OFF;
	fake_pass(l, 100000);
	is_int(ended, 0);
	fake_bytes(l, &SERVER->in, zeros, 1000, 0);
	ends_after(800, WR_END_CLIENT_RELAY_SEND);
}

static void
a_reader_that_takes_a_little_is_not(void)
{
	begin();
	r.limits.send = 800;
	wr_relay_start(l, &r, on_news);
	fake_bytes(l, &SERVER->in, zeros, 1000, 0);
	for (int i = 0; i < 10; i++) {
		fake_pass(l, 700);
		fake_take(l, &CLIENT->out, 10);
	}
	is_int(ended, 0);
	/* Seen at the next look, an eighth of the time-out later at most. */
	fake_pass(l, 799);
	is_int(ended, 0);
	fake_pass(l, 101);
	is_int(ended, 1);
	is_int(r.why, WR_END_CLIENT_RELAY_SEND);
	finish();
}

static void
half_closed_sessions_have_a_time_of_their_own(void)
{
	begin();
	r.limits.idle = 10000;
	r.limits.half_close = 300;
	wr_relay_start(l, &r, on_news);
	fake_finish(l, &CLIENT->in, 0);
	fake_pass(l, 250);
	/* A download goes on as long as it moves. */
	fake_bytes(l, &SERVER->in, "x", 1, 0);
	fake_take(l, &CLIENT->out, 1);
	ends_after(300, WR_END_SERVER_RELAY_HALF);

	begin();
	r.limits.half_close = 300;
	wr_relay_start(l, &r, on_news);
	fake_pass(l, 5000);
	fake_finish(l, &SERVER->in, 0);
	ends_after(300, WR_END_CLIENT_RELAY_HALF);
}

static void
the_first_byte_is_waited_for_once_something_was_asked(void)
{
	begin();
	r.limits.first_byte = 200;
	wr_relay_start(l, &r, on_news);
	fake_pass(l, 10000);
	is_int(ended, 0);
	fake_bytes(l, &CLIENT->in, "?", 1, 0);
	fake_take(l, &SERVER->out, 1);
	ends_after(200, WR_END_SERVER_RELAY_FIRST);

	begin();
	r.limits.first_byte = 200;
	wr_relay_start(l, &r, on_news);
	fake_bytes(l, &CLIENT->in, "?", 1, 0);
	fake_take(l, &SERVER->out, 1);
	fake_bytes(l, &SERVER->in, "!", 1, 0);
	fake_pass(l, 10000);
	is_int(ended, 0);
	fake_take(l, &CLIENT->out, 1);
	fake_pass(l, 10000);
	is_int(ended, 0);
	finish();
}

static void
a_life_ends_whatever_happens(void)
{
	begin();
	r.limits.lifetime = 1000;
	r.limits.idle = 500;
	wr_relay_start(l, &r, on_news);
	for (int i = 0; i < 9; i++) {
		fake_pass(l, 100);
		fake_bytes(l, &CLIENT->in, "a", 1, 0);
		fake_take(l, &SERVER->out, 1);
	}
	ends_after(100, WR_END_WEIR_RELAY_LIFETIME);
}

static void
traffic_sets_no_timers(void)
{
	struct wr_list *before;

	begin();
	r.limits.idle = r.limits.send = 600000;
	wr_relay_start(l, &r, on_news);
	before = r.timer.link.prev;
	for (int i = 0; i < 100; i++) {
		fake_bytes(l, &CLIENT->in, "a", 1, 0);
		fake_take(l, &SERVER->out, 1);
		fake_pass(l, 20);
	}
	/* Where it was: setting it again would fire it later. */
	ok(before == r.timer.link.prev);
	ok(r.timer.due_ms <= 1000000 + 75000 + 64);
	finish();
}

/* -- Pipes --------------------------------------------------------------- */

static void
pass(struct wr_op *in, struct wr_op *out, uint32_t n)
{
	fake_bytes(l, in, zeros, n, 0);
	fake_take(l, out, fake_left_bytes(out));
}

static void
much_goes_through_a_pipe_while_it_pays(void)
{
	start();
	for (int i = 0; i < 4; i++) {
		ok(fake_waits(&SERVER->in) == WR_OP_RECV);
		pass(&SERVER->in, &CLIENT->out, 40000);
	}
	is_int(bulk, 1);
	ok(fake_waits(&SERVER->in) == WR_OP_FILL);
	is_int(fake_pipes(l), 1);
	/* The other direction has nothing to do with it. */
	pass(&CLIENT->in, &SERVER->out, 100);
	ok(fake_waits(&CLIENT->in) == WR_OP_RECV);

	fake_bytes(l, &SERVER->in, zeros, 60000, 0);
	ok(fake_waits(&CLIENT->out) == WR_OP_DRAIN);
	fake_take(l, &CLIENT->out, 10000);
	ok(fake_waits(&SERVER->in) == WR_OP_NONE);
	fake_take(l, &CLIENT->out, 50000);
	is_int(r.end[WR_SERVER].bytes, 220000);

	for (int i = 0; i < 4; i++) {
		ok(fake_waits(&SERVER->in) == WR_OP_FILL);
		pass(&SERVER->in, &CLIENT->out, 100);
	}
	ok(fake_waits(&SERVER->in) == WR_OP_RECV);
	is_int(fake_pipes(l), 0);
	finish();
}

static void
without_a_pipe_it_is_copied(void)
{
	start();
	fake_no_pipes(l);
	for (int i = 0; i < 9; i++)
		pass(&SERVER->in, &CLIENT->out, 40000);
	ok(fake_waits(&SERVER->in) == WR_OP_RECV);
	finish();

	/* Sockets of a kind that cannot. */
	start();
	for (int i = 0; i < 4; i++)
		pass(&SERVER->in, &CLIENT->out, 40000);
	fake_finish(l, &SERVER->in, -EINVAL);
	ok(fake_waits(&SERVER->in) == WR_OP_RECV);
	is_int(ended, 0);
	finish();
}

static void
a_pipe_is_given_back_however_it_ends(void)
{
	for (int how = 0; how < 3; how++) {
		start();
		for (int i = 0; i < 4; i++)
			pass(&SERVER->in, &CLIENT->out, 40000);
		if (how == 0) {
			fake_finish(l, &SERVER->in, 0);
			fake_finish(l, &CLIENT->in, 0);
			is_int(r.why, WR_END_SERVER_RELAY_EOF);
		} else if (how == 1) {
			fake_finish(l, &SERVER->in, -ECONNRESET);
			is_int(r.why, WR_END_SERVER_RELAY_RESET);
		} else {
			fake_bytes(l, &SERVER->in, zeros, 60000, 0);
			fake_take(l, &CLIENT->out, 1000);
			fake_finish(l, &CLIENT->out, -EPIPE);
			fake_finish(l, &CLIENT->in, -ECONNRESET);
			is_int(r.why, WR_END_CLIENT_RELAY_RESET);
			is_int(r.end[WR_SERVER].bytes, 161000);
		}
		is_int(ended, 1);
		finish();
	}
}

/* -- Any order of events ------------------------------------------------- */

struct stream {
	uint64_t said, heard; /* bytes */
	uint32_t said_sum, heard_sum;
	unsigned mood;
	bool closed;
};

static unsigned piped;

static uint32_t
mix(uint32_t sum, uint8_t byte)
{
	return (sum ^ byte) * 16777619u;
}

static void
say(struct wr_random *rnd, struct stream *st, struct wr_op *op)
{
	static const uint32_t sizes[] = { 10, 3000, 40000, 65536, 200000 };
	static uint8_t mem[200000];
	uint32_t n = sizes[st->mood], took;

	/* Much or little, for a while. */
	if (wr_random_below(rnd, 8) == 0)
		st->mood = wr_random_below(rnd, 5);
	n = n - wr_random_below(rnd, n / 4);
	piped += op->kind == WR_OP_FILL;

	for (uint32_t i = 0; i < n; i++)
		mem[i] = (uint8_t)(st->said + i) ^ (uint8_t)(st->said >> 8);
	took = op->want != 0 && n > op->want ? op->want : n;
	for (uint32_t i = 0; i < took; i++)
		st->said_sum = mix(st->said_sum, mem[i]);
	st->said += took;
	fake_bytes(l, op, mem, n, 0);
}

static void
hear(struct wr_random *rnd, struct stream *st, struct wr_op *op)
{
	uint32_t left = fake_left_bytes(op);
	uint32_t n = 1 + wr_random_below(rnd, left);

	if (wr_random_below(rnd, 3) == 0)
		n = left;
	for (uint32_t i = 0; i < n; i++)
		st->heard_sum = mix(st->heard_sum, fake_byte(op, i));
	st->heard += n;
	fake_take(l, op, n);
}

static bool
listens(const struct wr_sock *k)
{
	return k->in.kind == WR_OP_RECV || k->in.kind == WR_OP_FILL;
}

/* One random event at one of the two ends; streams are by who speaks. */
static void
step(struct wr_random *rnd, struct stream st[2], unsigned left)
{
	unsigned side = wr_random_below(rnd, 2);
	struct wr_sock *k = &r.end[side].sock;

	if (wr_random_below(rnd, 4) == 0)
		fake_pass(l, wr_random_below(rnd, 50));
	if (ended > 0)
		return;
	if (wr_conn_owed(&r.end[side]) && wr_random_below(rnd, 2) == 0)
		hear(rnd, &st[!side], &k->out);
	else if (listens(k) && left > 0)
		say(rnd, &st[side], &k->in);
	else if (listens(k)) {
		st[side].closed = true;
		fake_finish(l, &k->in, 0);
	}
}

/* Taken from this side, of a send that is not complete. */
static uint32_t
on_its_way(int side)
{
	const struct wr_sock *to = &r.end[!side].sock;

	return wr_conn_owed(&r.end[!side]) ? to->sent : 0;
}

static bool
every_byte_arrives(uint64_t seed, bool breaks)
{
	struct stream st[2] = { 0 };
	struct wr_random rnd;
	unsigned n;
	bool good;

	wr_random_seed(&rnd, seed);
	n = 20 + wr_random_below(&rnd, 200);
	l = fake_new();
	ended = 0;
	memset(&r, 0, sizeof(r));
	good = wr_conn_init(l, &r.end[0], WR_CLIENT, 10) == 0 &&
	       wr_conn_init(l, &r.end[1], WR_SERVER, 11) == 0;
	r.limits = (struct wr_limits){ 60000, { WR_OFF, 50000 }, 30000, 20000,
		20000, WR_OFF };
	r.start_ms = (uint32_t)wr_loop_now(l);
	wr_relay_start(l, &r, on_news);
	while (ended == 0) {
		unsigned side = wr_random_below(&rnd, 2);
		struct wr_sock *k = &r.end[side].sock;

		if (breaks && n == 5 && listens(k))
			fake_finish(l, &k->in, -ECONNRESET);
		else if (breaks && n == 6 && wr_conn_owed(&r.end[side]))
			fake_finish(l, &k->out, -EPIPE);
		else
			step(&rnd, st, n);
		n -= n > 0;
	}
	for (int i = 0; i < 2; i++)
		good = good && st[i].heard == r.end[i].bytes + on_its_way(i) &&
		       (breaks || (st[i].said == st[i].heard && st[i].closed &&
				      st[i].said_sum == st[i].heard_sum));
	wr_timer_stop(l, &r.timer);
	wr_conn_close(l, &r.end[0], false, NULL);
	wr_conn_close(l, &r.end[1], true, NULL);
	fake_turn(l);
	wr_relay_fini(l, &r);
	good = good && ended == 1 && fake_left(l) == 0;
	fake_free(&l);
	return good;
}

static void
no_schedule_loses_or_mixes_bytes(void)
{
	unsigned bad = 0;

	for (uint64_t seed = 1; seed <= 1000; seed++)
		bad += !every_byte_arrives(seed, seed % 3 == 0);
	is_int(bad, 0);
	diag("%u transfers went through pipes", piped);
	ok(piped > 1000);
}

/* Clocks of 32 bits: half of their range is 25 days. */
static void
a_side_may_be_silent_for_a_month(void)
{
	begin();
	r.limits.idle = r.limits.send = 600000;
	wr_relay_start(l, &r, on_news);
	for (int i = 0; i < 30 * 24 * 12; i++) {
		fake_pass(l, 300000);
		if (ended > 0)
			break;
		fake_bytes(l, &CLIENT->in, "log", 3, 0);
		fake_take(l, &SERVER->out, 3);
	}
	is_int(ended, 0);
	is_int(r.end[WR_CLIENT].bytes, 3 * 30 * 24 * 12);

	/* At last it says something to a client that takes nothing. */
	if (ended == 0) {
		fake_bytes(l, &SERVER->in, "ok", 2, 0);
		wr_relay_look(l, &r);
		is_int(ended, 0);
		fake_pass(l, 600000);
		is_int(ended, 1);
		is_int(r.why, WR_END_CLIENT_RELAY_SEND);
	}
	finish();
}

#define DAY_MS (24u * 3600 * 1000)
#define LAP_MS (UINT64_C(1) << 32)

/* It may be some milliseconds more, as of all that last for long. */
static void
ends_about(uint64_t ms, enum wr_end reason)
{
	fake_pass(l, ms - 1);
	is_int(ended, 0);
	fake_pass(l, 1 + 64);
	is_int(ended, 1);
	is_str(wr_end_text(r.why), wr_end_text(reason));
	finish();
}

/* A silence as long as a lap of the clock, 49 days, is not none. */
static void
the_clock_may_go_round(void)
{
	const uint32_t minutes = 5 * 60 * 1000, idle = 2 * minutes;

	/* What moved last counts, not what moved a lap ago. */
	begin();
	r.limits.idle = idle;
	wr_relay_start(l, &r, on_news);
	for (uint64_t ms = 0; ms < LAP_MS - minutes; ms += minutes) {
		fake_pass(l, minutes);
		fake_bytes(l, &SERVER->in, "x", 1, 0);
		fake_take(l, &CLIENT->out, 1);
	}
	is_int(ended, 0);
	ends_about(idle, WR_END_WEIR_RELAY_IDLE);

	/* The timer wakes for a send after such a silence. */
	for (int i = 0; i < 3; i++) {
		begin();
		r.limits.send = idle;
		wr_relay_start(l, &r, on_news);
		fake_pass(l, LAP_MS / 2 * (uint64_t)(i + 1) + 10);
		is_int(ended, 0);
		fake_bytes(l, &SERVER->in, zeros, 1000, 0);
		ends_about(idle, WR_END_CLIENT_RELAY_SEND);
	}
}

/* The longest times that can be written. */
static void
forty_days_are_forty_days(void)
{
	begin();
	r.limits.lifetime = WR_TIME_MAX;
	r.limits.side_idle[WR_CLIENT] = WR_TIME_MAX;
	wr_relay_start(l, &r, on_news);
	fake_pass(l, 20 * DAY_MS);
	fake_bytes(l, &CLIENT->in, "x", 1, 0);
	fake_take(l, &SERVER->out, 1);
	ends_about(20 * DAY_MS, WR_END_WEIR_RELAY_LIFETIME);

	begin();
	r.limits.idle = r.limits.half_close = WR_TIME_MAX;
	r.limits.side_idle[WR_SERVER] = WR_TIME_MAX;
	wr_relay_start(l, &r, on_news);
	for (int i = 0; i < 60; i++) {
		fake_pass(l, DAY_MS);
		fake_bytes(l, &SERVER->in, "x", 1, 0);
		fake_take(l, &CLIENT->out, 1);
	}
	fake_finish(l, &CLIENT->in, 0);
	ends_about(WR_TIME_MAX, WR_END_SERVER_RELAY_IDLE);
}

int
main(void)
{
	bytes_pass_both_ways();
	a_slow_reader_stops_the_writer();
	one_end_may_close_before_the_other();
	an_end_that_cannot_be_passed_on_is_not_waited_for();
	an_end_waits_for_the_bytes_before_it();
	a_reset_ends_both_and_is_passed_on();
	an_answer_arrives_though_the_question_was_refused();
	a_send_that_fails_after_the_answer_ended();
	idle_is_no_byte_either_way();
	each_side_may_have_its_own_patience();
	who_is_not_read_is_not_idle();
	a_reader_that_takes_nothing_is_given_up();
	a_reader_that_takes_a_little_is_not();
	half_closed_sessions_have_a_time_of_their_own();
	the_first_byte_is_waited_for_once_something_was_asked();
	a_life_ends_whatever_happens();
	traffic_sets_no_timers();
	much_goes_through_a_pipe_while_it_pays();
	without_a_pipe_it_is_copied();
	a_pipe_is_given_back_however_it_ends();
	no_schedule_loses_or_mixes_bytes();
	a_side_may_be_silent_for_a_month();
	the_clock_may_go_round();
	forty_days_are_forty_days();
	return tap_done();
}
