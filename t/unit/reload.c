/* SPDX-License-Identifier: BSD-2-Clause */
#include "proc/reload.h"

#include <signal.h>

#include "base/text.h"
#include "conf/key.h"
#include "proxy/stats.h"

#include "tap.h"

static struct wr_reload r;
static struct wr_plan plan;
static struct wr_text spoken;
static uint64_t now;
static bool build_fails, bind_fails, fork_fails;

static void
feed(const struct wr_event *e)
{
	wr_reload_feed(&r, now, e);
}

static void
fork_one(const struct wr_act *a)
{
	struct wr_event e = { .kind = WR_EV_FORKED,
		.slot = -1,
		.role = a->role,
		.index = a->index,
		.generation = a->generation };

	for (int i = 0; i < WR_FLEET_SLOTS && !fork_fails && e.slot < 0; i++)
		if (r.crew[i].state == WR_CREW_FREE)
			e.slot = i;
	feed(&e);
}

/* Carry out what is said; what is left to see is in `spoken`: "open 1/0 " is
 * slot 1, shard 0. */
static void
act(void)
{
	struct wr_act a;
	struct wr_event e = { .slot = -1, .plan = &plan };

	while (wr_reload_next(&r, &a)) {
		const char *name = wr_act_name(a.kind);

		e.generation = a.generation;
		if (a.kind == WR_ACT_BUILD) {
			e.kind = build_fails ? WR_EV_FAILED : WR_EV_BUILT;
			feed(&e);
		} else if (a.kind == WR_ACT_BIND) {
			e.kind = bind_fails ? WR_EV_FAILED : WR_EV_BOUND;
			feed(&e);
		}
		if (strncmp(name, "tell ", 5) == 0)
			name += 5;
		wr_text_puts(&spoken, name);
		if (a.kind == WR_ACT_TELL_OPEN || a.kind == WR_ACT_TELL_SHUT)
			wr_text_printf(&spoken, " %d/%u%s", a.slot, a.shard,
			    a.added ? "+" : "");
		else if (a.kind == WR_ACT_KILL)
			wr_text_printf(&spoken, " %d-%d", a.slot, a.signo);
		else if (a.kind == WR_ACT_ANSWER)
			wr_text_printf(&spoken, " %ju:%d", (uintmax_t)a.ticket,
			    (int)a.why);
		else if (a.kind == WR_ACT_LISTEN)
			wr_text_printf(&spoken, " %u", a.shard);
		else if (a.kind == WR_ACT_EXIT)
			wr_text_printf(&spoken, " %d", a.status);
		else if (a.slot >= 0)
			wr_text_printf(&spoken, " %d", a.slot);
		wr_text_puts(&spoken, "; ");
		if (a.kind == WR_ACT_FORK)
			fork_one(&a);
	}
}

/* What was said since the last time. */
static const char *
said(void)
{
	static char text[8192];

	(void)snprintf(
	    text, sizeof(text), "%s", spoken.len > 0 ? spoken.p : "");
	wr_text_reset(&spoken);
	return text;
}

static void
event(enum wr_event_kind kind, int slot)
{
	feed(&(struct wr_event){ .kind = kind, .slot = slot });
	act();
}

static void
ready(int slot, uint64_t generation)
{
	feed(&(struct wr_event){
	    .kind = WR_EV_READY, .slot = slot, .generation = generation });
	act();
}

static void
refused(int slot, uint64_t generation)
{
	feed(&(struct wr_event){
	    .kind = WR_EV_REFUSED, .slot = slot, .generation = generation });
	act();
}

/* Let time pass, with a tick whenever one is due. */
static void
wait_ms(uint64_t ms)
{
	uint64_t end = now + ms;

	while (wr_reload_due(&r) <= end) {
		now = wr_reload_due(&r);
		event(WR_EV_TICK, -1);
	}
	now = end;
}

static uint64_t
ask(void)
{
	uint64_t t = wr_reload_ask(&r, now);

	act();
	return t;
}

/* A weir with so many workers, in slots 0.. ; control is in the next. */
static void
start(uint32_t workers)
{
	now = 1000;
	build_fails = bind_fails = fork_fails = false;
	plan = (struct wr_plan){ .workers = workers,
		.timeout_ms = 15000,
		.limit_ms = 5000,
		.drain_ms = 600000 };
	wr_reload_init(&r, 0, 0, false);
	event(WR_EV_START, -1);
	for (uint32_t i = 0; i <= workers; i++)
		ready((int)i, 1);
	now += 10000;
	(void)said();
}

static void
a_start_serves_only_when_all_are_ready(void)
{
	wr_reload_init(&r, 0, 0, false);
	now = 1000;
	plan = (struct wr_plan){ .workers = 2, .timeout_ms = 15000 };
	event(WR_EV_START, -1);
	is_str(said(), "build; bind; fork; fork; fork; ");
	ready(0, 1);
	ready(2, 1);
	is_str(said(), "");
	ready(1, 1);
	is_str(said(),
	    "commit; open 0/60; open 1/60; open 2/61; listen 0; open 0/0; "
	    "listen 1; open 1/1; answer 1:0; up; ");
}

static void
a_start_that_fails_exits(void)
{
	wr_reload_init(&r, 0, 0, false);
	now = 1000;
	build_fails = true;
	event(WR_EV_START, -1);
	is_str(said(), "build; abort; answer 1:1; exit 1; ");

	start(1);
	wr_reload_init(&r, 0, 0, false);
	event(WR_EV_START, -1);
	(void)said();
	refused(0, 1);
	is_str(said(), "abort; answer 1:3; stop 0; stop 1; ");
	event(WR_EV_GONE, 0);
	event(WR_EV_GONE, 1);
	is_str(said(), "exit 1; ");

	fork_fails = true;
	wr_reload_init(&r, 0, 0, false);
	event(WR_EV_START, -1);
	ok(strstr(said(), "exit 1; ") != NULL);
}

static void
a_reload_asks_all_and_then_tells_all(void)
{
	start(2);
	is_int(ask(), 2);
	is_str(said(), "build; bind; prepare 0; prepare 1; prepare 2; ");
	ready(0, 2);
	ready(1, 2);
	is_str(said(), "");
	ready(2, 2);
	is_str(said(),
	    "commit; commit 0; commit 1; commit 2; open 0/60+; open 1/60+; "
	    "open 2/61+; open 0/0+; open 1/1+; answer 2:0; ");
}

static void
one_no_is_no_for_all(void)
{
	start(2);
	(void)ask();
	(void)said();
	ready(0, 2);
	refused(2, 2);
	is_str(said(), "abort 0; abort 1; abort; answer 2:3; ");
	/* What comes late is not taken for an answer. */
	ready(1, 2);
	is_str(said(), "");
	is_int(r.generation, 1);
}

static void
nothing_is_asked_for_what_cannot_be_bound(void)
{
	start(2);
	bind_fails = true;
	(void)ask();
	is_str(said(), "build; bind; abort; answer 2:2; ");
}

static void
silence_is_no(void)
{
	start(1);
	(void)ask();
	ready(0, 2);
	(void)said();
	wait_ms(14999);
	is_str(said(), "");
	wait_ms(1);
	is_str(said(), "abort 0; abort 1; abort; answer 2:5; ");
}

static void
who_waits_for_the_next_reload_waits_together(void)
{
	start(1);
	is_int(ask(), 2);
	is_int(ask(), 3);
	is_int(ask(), 3);
	ready(0, 2);
	(void)said();
	ready(1, 2);
	ok(strstr(said(), "answer 2:0; build; bind; prepare 0; prepare 1; ") !=
	    NULL);
	ready(0, 3);
	ready(1, 3);
	ok(strstr(said(), "answer 3:0; ") != NULL);
	is_int(r.generation, 3);
}

static void
who_dies_while_asked_is_asked_once_more(void)
{
	start(2);
	(void)ask();
	ready(0, 2);
	ready(2, 2);
	(void)said();
	event(WR_EV_GONE, 1);
	is_str(said(), "fork; "); /* on the value that runs */
	is_int(r.crew[1].generation, 1);
	ready(1, 1);
	ok(strstr(said(), "prepare 1; ") != NULL);
	ready(1, 2);
	ok(strstr(said(), "answer 2:0; ") != NULL);
}

static void
the_second_death_is_a_no(void)
{
	start(2);
	(void)ask();
	ready(0, 2);
	ready(2, 2);
	event(WR_EV_GONE, 1);
	ready(1, 1);
	(void)said();
	event(WR_EV_GONE, 1);
	ok(strstr(said(), "abort 0; abort 2; abort; answer 2:4; ") != NULL);
	/* It is missed all the same. */
	ok(r.seat[1].slot >= 0);
}

static void
a_stopped_process_is_replaced_and_asked(void)
{
	start(2);
	event(WR_EV_HALTED, 1);
	(void)ask();
	ready(0, 2);
	ready(2, 2);
	(void)said();
	wait_ms(7499);
	is_str(said(), "");
	wait_ms(1);
	is_str(said(), "kill 1-9; ");
	event(WR_EV_GONE, 1);
	ready(1, 1);
	ready(1, 2);
	ok(strstr(said(), "answer 2:0; ") != NULL);
}

static void
all_stopped_processes_are_replaced(void)
{
	start(3);
	for (int i = 0; i < 3; i++)
		event(WR_EV_HALTED, i);
	(void)said();
	for (int i = 0; i < 3; i++)
		event(WR_EV_HUNG, i);
	is_str(said(), "kill 0-9; kill 1-9; kill 2-9; ");
}

static void
of_hung_ones_one_is_killed_per_limit(void)
{
	start(3);
	event(WR_EV_HUNG, 0);
	event(WR_EV_HUNG, 1);
	is_str(said(), "kill 0-6; ");
	wait_ms(500);
	ok(strstr(said(), "kill 0-9; ") != NULL);
	event(WR_EV_GONE, 0);
	ready(0, 1);
	wait_ms(4499);
	(void)said();
	event(WR_EV_HUNG, 1);
	is_str(said(), "");
	wait_ms(1);
	event(WR_EV_HUNG, 1);
	is_str(said(), "kill 1-6; ");
}

static void
fewer_workers_leave_no_shard_alone(void)
{
	start(4);
	plan.workers = 1;
	(void)ask();
	(void)said();
	for (int i = 0; i < 5; i++)
		ready(i, 2);
	ok(strstr(said(),
	       "open 0/0+; open 0/1; shut 1/1; open 0/2; shut 2/2; "
	       "open 0/3; shut 3/3; drain 3; drain 2; drain 1; ") != NULL);

	/* Three of them are had back; nobody is forked. */
	plan.workers = 4;
	(void)ask();
	(void)said();
	for (int i = 0; i < 5; i++)
		ready(i, 3);
	ok(strstr(said(),
	       "undrain 1; undrain 2; undrain 3; open 0/60+; open 1/60; "
	       "open 2/60; open 3/60; open 4/61+; open 0/0+; open 1/1; "
	       "shut 0/1; open 2/2; shut 0/2; open 3/3; shut 0/3; ") != NULL);
	is_int(wr_reload_due(&r), UINT64_MAX);
}

static void
more_workers_listen_when_they_are_ready(void)
{
	const char *s;

	start(1);
	plan.workers = 2;
	(void)ask();
	ready(0, 2);
	(void)said();
	ready(1, 2);
	s = said();
	ok(strstr(s, "fork; ") != NULL && strstr(s, "listen") == NULL);
	ready(2, 2);
	is_str(said(), "open 2/60; listen 1; open 2/1; ");
}

static void
a_dead_worker_is_replaced_and_its_shard_lent(void)
{
	start(2);
	event(WR_EV_GONE, 1);
	is_str(said(), "fork; ");
	wait_ms(99);
	is_str(said(), "");
	wait_ms(1);
	is_str(said(), "open 0/1; ");
	ready(1, 1);
	is_str(said(), "open 1/60; open 1/1; shut 0/1; ");
}

static void
deaths_in_a_row_are_slower_and_slower(void)
{
	static const uint32_t waits[] = { 0, 500, 1000, 2000, 4000, 8000, 16000,
		30000, 30000 };

	start(2);
	for (unsigned i = 0; i < WR_COUNT(waits); i++) {
		uint64_t then;

		event(WR_EV_GONE, 1);
		then = now;
		while (r.crew[1].state == WR_CREW_FREE)
			wait_ms(1);
		/* The first death is that of a worker that had lived. */
		is_int(now - then, i == 0 ? 0 : waits[i - 1]);
		ready(1, 1);
	}
	wait_ms(1000);
	(void)said();
	event(WR_EV_GONE, 1);
	is_str(said(), "fork; ");
}

static void
a_full_worker_lends_its_shard(void)
{
	start(2);
	event(WR_EV_FULL, 0);
	wait_ms(100);
	is_str(said(), "open 1/0; shut 0/0; ");
	event(WR_EV_ROOM, 0);
	is_str(said(), "open 0/0; shut 1/0; ");
	event(WR_EV_FULL, 0);
	event(WR_EV_FULL, 1);
	wait_ms(1000);
	is_str(said(), "");
}

static void
workers_are_replaced_one_at_a_time(void)
{
	start(2);
	plan.replace = true;
	(void)ask();
	for (int i = 0; i < 3; i++)
		ready(i, 2);
	plan.replace = false;
	ok(strstr(said(), "answer 2:0; fork; ") != NULL);
	ready(3, 2);
	is_str(said(), "open 3/60; open 3/0; shut 0/0; drain 0; fork; ");
	ready(4, 2);
	is_str(said(), "open 4/60; open 4/1; shut 1/1; drain 1; fork; ");
	ready(5, 2);
	is_str(said(), "open 5/61; drain 2; ");
	is_int(r.seat[0].slot, 3);
}

static void
quit_waits_for_sessions_and_stop_does_not(void)
{
	start(2);
	event(WR_EV_QUIT, -1);
	is_str(said(), "retire; ");
	event(WR_EV_CLOSED, -1);
	is_str(said(), "drain 0; drain 1; ");
	event(WR_EV_GONE, 0);
	is_str(said(), "");
	event(WR_EV_GONE, 1);
	is_str(said(), "stop 2; ");
	event(WR_EV_GONE, 2);
	is_str(said(), "exit 0; ");

	start(1);
	event(WR_EV_STOP, -1);
	is_str(said(), "stop 0; stop 1; ");
	wait_ms(2000);
	is_str(said(), "kill 0-9; kill 1-9; ");
}

static void
who_waits_at_the_end_is_waited_for(void)
{
	start(1);
	event(WR_EV_QUIT, -1);
	/* The only worker dies: another one accepts who is left. */
	event(WR_EV_GONE, 0);
	ready(0, 1);
	is_str(said(), "retire; fork; open 0/60; open 0/0; ");
	wait_ms(60000);
	is_str(said(), "drain 0; ");

	/* Asked twice, it is in a hurry. */
	start(1);
	event(WR_EV_QUIT, -1);
	event(WR_EV_QUIT, -1);
	is_str(said(), "retire; drain 0; ");
}

static void
a_quit_in_a_reload_answers_all_who_wait(void)
{
	start(1);
	(void)ask();
	(void)ask();
	(void)said();
	event(WR_EV_QUIT, -1);
	is_str(said(),
	    "abort 0; abort 1; abort; answer 2:8; answer 3:8; retire; ");
	is_int(ask(), 4);
	is_str(said(), "answer 4:8; ");
}

static void
a_reload_ends_winch(void)
{
	start(2);
	event(WR_EV_WINCH, -1);
	is_str(said(), "drain 0; drain 1; ");
	wait_ms(1000);
	(void)ask();
	for (int i = 0; i < 3; i++)
		ready(i, 2);
	ok(strstr(said(), "undrain 0; undrain 1; ") != NULL);
	is_int(r.holder[0], 0);
}

static void
an_upgrade_pauses_then_gives_all(void)
{
	uint64_t t;

	start(1);
	t = wr_reload_ask_upgrade(&r, now);
	act();
	is_int(t, 2);
	is_str(said(), "exec; ");
	(void)ask();
	is_str(said(), "answer 3:7; ");
	event(WR_EV_HEIR_READY, -1);
	is_str(said(), "pause 0; pause 1; ");
	event(WR_EV_HEIR_CONFIRM, -1);
	/* Where the new one does not listen, the old one's are needed. */
	is_str(said(), "heir go; answer 2:0; retire; ");
	event(WR_EV_CLOSED, -1);
	is_str(said(), "drain 0; stop 1; ");
	event(WR_EV_GONE, 0);
	event(WR_EV_GONE, 1);
	is_str(said(), "exit 0; ");
}

static void
one_that_dies_after_an_upgrade_is_missed_until_all_are_served(void)
{
	start(1);
	(void)wr_reload_ask_upgrade(&r, now);
	act();
	event(WR_EV_HEIR_READY, -1);
	event(WR_EV_HEIR_CONFIRM, -1);
	(void)said();
	wait_ms(2000);
	event(WR_EV_GONE, 0);
	is_str(said(), "fork; ");
	/* It is dealt nothing: that is the new one's. */
	ready(0, 1);
	is_str(said(), "");
	event(WR_EV_CLOSED, -1);
	is_str(said(), "drain 0; stop 1; ");
	event(WR_EV_GONE, 0);
	is_str(said(), "");
	event(WR_EV_GONE, 1);
	is_str(said(), "exit 0; ");
}

static void
a_failed_upgrade_gives_all_back(void)
{
	start(1);
	(void)wr_reload_ask_upgrade(&r, now);
	act();
	(void)said();
	event(WR_EV_HEIR_READY, -1);
	(void)said();
	event(WR_EV_HEIR_FAILED, -1);
	is_str(said(), "answer 2:9; resume 0; resume 1; ");

	(void)wr_reload_ask_upgrade(&r, now);
	act();
	(void)said();
	wait_ms(20000);
	is_str(said(), "heir kill; answer 3:10; ");
}

static void
an_heir_confirms_after_five_seconds(void)
{
	now = 1000;
	plan = (struct wr_plan){ .workers = 1, .timeout_ms = 15000 };
	wr_reload_init(&r, 7, 2, true);
	event(WR_EV_START, -1);
	ready(0, 8);
	(void)said();
	ready(1, 8);
	is_str(said(),
	    "commit; open 0/60; open 1/61; open 0/0; open 0/1; answer 1:0; "
	    "up; elder ready; ");
	wait_ms(5000);
	is_str(said(), "elder confirm; ");
	event(WR_EV_ELDER_GO, -1);
	is_str(said(), "inherit; confirmed 0; confirmed 1; ");
}

static void
an_heir_that_quits_leaves_the_sockets_alone(void)
{
	now = 1000;
	plan = (struct wr_plan){ .workers = 1, .timeout_ms = 15000 };
	wr_reload_init(&r, 7, 2, true);
	event(WR_EV_START, -1);
	ready(0, 8);
	ready(1, 8);
	(void)said();
	event(WR_EV_QUIT, -1);
	is_str(said(), "elder failed; drain 0; ");
}

static void
an_heir_whose_workers_crash_gives_up(void)
{
	now = 1000;
	wr_reload_init(&r, 7, 1, true);
	event(WR_EV_START, -1);
	ready(0, 8);
	ready(1, 8);
	event(WR_EV_GONE, 0);
	ready(0, 8);
	(void)said();
	event(WR_EV_GONE, 0);
	ok(strstr(said(), "elder failed; ") != NULL);
	event(WR_EV_GONE, 1);
	is_str(said(), "exit 1; ");
}

int
main(void)
{
	a_start_serves_only_when_all_are_ready();
	a_start_that_fails_exits();
	a_reload_asks_all_and_then_tells_all();
	one_no_is_no_for_all();
	nothing_is_asked_for_what_cannot_be_bound();
	silence_is_no();
	who_waits_for_the_next_reload_waits_together();
	who_dies_while_asked_is_asked_once_more();
	the_second_death_is_a_no();
	a_stopped_process_is_replaced_and_asked();
	all_stopped_processes_are_replaced();
	of_hung_ones_one_is_killed_per_limit();
	fewer_workers_leave_no_shard_alone();
	more_workers_listen_when_they_are_ready();
	a_dead_worker_is_replaced_and_its_shard_lent();
	deaths_in_a_row_are_slower_and_slower();
	a_full_worker_lends_its_shard();
	workers_are_replaced_one_at_a_time();
	quit_waits_for_sessions_and_stop_does_not();
	who_waits_at_the_end_is_waited_for();
	a_quit_in_a_reload_answers_all_who_wait();
	a_reload_ends_winch();
	an_upgrade_pauses_then_gives_all();
	one_that_dies_after_an_upgrade_is_missed_until_all_are_served();
	a_failed_upgrade_gives_all_back();
	an_heir_confirms_after_five_seconds();
	an_heir_that_quits_leaves_the_sockets_alone();
	an_heir_whose_workers_crash_gives_up();
	wr_text_fini(&spoken);
	return tap_done();
}
