/* SPDX-License-Identifier: BSD-2-Clause */
/* time - timers, hooks, stopping, and being idle. */
#include "t/unit/conform.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/resource.h>

/* -- Ten thousand -------------------------------------------------------- */

#define MANY 10000

static struct {
	struct wr_timer t;
	uint64_t due;
	bool stopped, fired;
} many[MANY];
static uint64_t last_due, late_max;
static int fired, wrong;

static void
on_many(struct wr_loop *l, struct wr_timer *t)
{
	size_t i = (size_t)((char *)t - (char *)many) / sizeof(many[0]);
	uint64_t now = now_ms();

	wrong += many[i].stopped || many[i].fired;
	wrong += many[i].due < last_due;
	wrong += now < many[i].due || wr_loop_now(l) < many[i].due;
	last_due = many[i].due;
	if (now - many[i].due > late_max)
		late_max = now - many[i].due;
	many[i].fired = true;
	fired++;
}

static void
ten_thousand_timers(void)
{
	struct wr_loop *l = loop_begin(NULL);
	int stopped = 0;

	memset(many, 0, sizeof(many));
	fired = wrong = 0;
	last_due = late_max = 0;
	wr_loop_turn(l, 0);
	for (unsigned i = 0; i < MANY; i++) {
		wr_timer_set(l, &many[i].t, i * 7919u % 400, on_many);
		many[i].due = wr_loop_now(l) + i * 7919u % 400;
	}
	check_int(wr_loop_stats(l)->timers, MANY);
	for (unsigned i = 0; i < MANY; i += 3) {
		wr_timer_stop(l, &many[i].t);
		wr_timer_stop(l, &many[i].t);
		many[i].stopped = true;
		stopped++;
	}
	check_int(wr_loop_stats(l)->timers, MANY - stopped);
	until(l, fired == MANY - stopped);
	check_int(fired, MANY - stopped);
	check_int(wrong, 0);
	check(late_max < 3000); /* of a busy machine, too */
	say("the latest of %d was %d ms late", fired, (int)late_max);
	loop_end(l);
}

/* -- Order --------------------------------------------------------------- */

static struct wr_timer other;
static int step, recv_step, timer_step;

static void
on_timer(struct wr_loop *l, struct wr_timer *t)
{
	(void)l;
	(void)t;
	timer_step = ++step;
}

static void
on_in_stop(struct wr_loop *l, struct wr_op *op, const struct wr_done *d)
{
	on_in(l, op, d);
	recv_step = ++step;
	wr_timer_stop(l, &other);
}

static void
completion_before_timer(void)
{
	struct wr_loop *l = loop_begin(NULL);
	struct wr_timer t = { 0 };
	struct end a;
	int fds[2];

	/* Not if completions come late on purpose. */
	if (is_chaos()) {
		loop_end(l);
		return;
	}
	memset(&other, 0, sizeof(other));
	step = recv_step = timer_step = 0;
	tcp_pair(fds);
	end_init(l, &a, fds[0]);
	check_int(wr_recv(l, &a.k, 0, 0, on_in_stop), 0);
	turns(l, 2);
	wr_timer_set(l, &t, 5, on_timer);
	wr_timer_set(l, &other, 5, on_timer);
	raw_write(fds[1], "x", 1);
	busy_ms(10);
	until(l, step >= 2);
	turns(l, 2);
	check_int(recv_step, 1);
	check_int(timer_step, 2); /* and not the one that was stopped */
	check_int(step, 2);
	end_close(l, &a);
	(void)close(fds[1]);
	loop_end(l);
}

/* -- Turns --------------------------------------------------------------- */

static struct wr_timer again;
static int rang;

static void
on_again(struct wr_loop *l, struct wr_timer *t)
{
	if (++rang == 5)
		wr_loop_stop(l);
	wr_timer_set(l, t, 0, on_again);
}

static void
run_until_stopped(void)
{
	struct wr_loop *l = loop_begin(NULL);

	memset(&again, 0, sizeof(again));
	rang = 0;
	wr_timer_set(l, &again, 1, on_again);
	wr_loop_run(l);
	check_int(rang, 5); /* one a turn */
	check(wr_timer_is_set(&again));
	wr_timer_stop(l, &again);
	check(wr_loop_stats(l)->turns >= 5);
	loop_end(l);
}

static struct end *hooked;
static int hook_calls;

static void
on_hook(struct wr_loop *l, struct wr_hook *h)
{
	if (hook_calls++ == 0)
		end_text(l, hooked, "from the hook");
	else
		wr_loop_hook_stop(h);
}

static void
what_a_hook_sends_goes_out_in_its_turn(void)
{
	struct wr_loop *l = loop_begin(NULL);
	struct wr_hook h = { .fn = on_hook };
	struct end a;
	char text[32];
	int fds[2], n;

	unix_pair(fds);
	end_init(l, &a, fds[0]);
	hooked = &a;
	hook_calls = 0;
	wr_loop_at_end(l, &h);
	until(l, a.outs > 0);
	check_int(a.out_res, 13);
	until(l, hook_calls == 2);
	n = hook_calls;
	turns(l, 3);
	check_int(hook_calls, n);
	check_int(recv(fds[1], text, sizeof(text), 0), 13);
	end_close(l, &a);
	(void)close(fds[1]);
	loop_end(l);
}

static uint64_t
cpu_us(void)
{
	struct rusage r;

	(void)getrusage(RUSAGE_SELF, &r);
	return (uint64_t)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) * 1000000 +
	       (uint64_t)(r.ru_utime.tv_usec + r.ru_stime.tv_usec);
}

#define IDLE 200

/* Parked receives, an armed listener, a blocked send, peers that half-closed
 * and a far timer: none of them keeps the loop busy. */
static void
idle_is_idle(void)
{
	static struct end e[IDLE];
	struct wr_loop *l = loop_begin(NULL);
	int fds[2], peers[IDLE], size = 4096;
	struct wr_timer t = { 0 };
	struct wr_addr a;
	struct end listener;
	uint64_t before, cpu, end;

	for (int i = 0; i < IDLE; i++) {
		unix_pair(fds);
		peers[i] = fds[1];
		(void)setsockopt(
		    fds[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
		end_init(l, &e[i], fds[0]);
		if (i % 2 == 0)
			end_recv(l, &e[i], 0);
		if (i % 5 == 0)
			end_send(l, &e[i], 0, 60000);
		if (i % 3 == 0)
			(void)shutdown(peers[i], SHUT_WR);
	}
	end_init(l, &listener, tcp_listener(&a, 8));
	check_int(wr_accept(l, &listener.k, 0, on_in), 0);
	wr_timer_set(l, &t, 1000000, on_timer);
	turns(l, 5);
	before = wr_loop_stats(l)->turns;
	cpu = cpu_us();
	for (end = now_ms() + 200; now_ms() < end;)
		wr_loop_turn(l, 50);
	check(wr_loop_stats(l)->turns - before < 10);
	check(cpu_us() - cpu < 20000);
	check(wr_loop_stats(l)->buffers_used <= IDLE / 5 + 1);
	wr_timer_stop(l, &t);
	for (int i = 0; i < IDLE; i++) {
		end_close(l, &e[i]);
		(void)close(peers[i]);
	}
	end_close(l, &listener);
	loop_end(l);
}

/* A message costs a send and a receive, and each a wait; nothing is tried in
 * vain. */
static void
few_system_calls(void)
{
	struct wr_loop *l = loop_begin(NULL);
	const struct wr_loop_stats *s = wr_loop_stats(l);
	struct end a, b;
	uint64_t calls;
	int fds[2];

	tcp_pair(fds);
	end_init(l, &a, fds[0]);
	end_init(l, &b, fds[1]);
	a.again = b.again = true;
	end_recv(l, &a, 0);
	end_recv(l, &b, 0);
	turns(l, 3);
	calls = s->syscalls;
	for (int i = 0; i < 500; i++) {
		end_text(l, &a, "ping");
		until(l, b.got == 4 * (unsigned)(i + 1) && a.outs == i + 1);
		end_text(l, &b, "pong");
		until(l, a.got == 4 * (unsigned)(i + 1) && b.outs == i + 1);
	}
	calls = s->syscalls - calls;
	say("%d calls for 1000 messages", (int)calls);
	check(is_chaos() || calls <= 4050);
	end_close(l, &a);
	end_close(l, &b);
	loop_end(l);
}

const struct test tests_time[] = {
	{ "ten thousand timers", ten_thousand_timers },
	{ "completion before timer", completion_before_timer },
	{ "run and stop", run_until_stopped },
	{ "hook", what_a_hook_sends_goes_out_in_its_turn },
	{ "idle", idle_is_idle },
	{ "few system calls", few_system_calls },
	{ NULL, NULL },
};
