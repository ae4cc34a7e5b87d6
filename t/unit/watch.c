/* SPDX-License-Identifier: BSD-2-Clause */
#include "proc/watch.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "base/log.h"
#include "conf/key.h"
#include "proxy/stats.h"

#include "tap.h"

static struct wr_loop *loop;
static struct wr_shm *shm;
static int halted, went_on, hung, gone;

static void
on_watch(void *arg, enum wr_event_kind kind, int slot)
{
	(void)arg;
	(void)slot;
	halted += kind == WR_EV_HALTED;
	went_on += kind == WR_EV_WENT_ON;
	hung += kind == WR_EV_HUNG;
	gone += kind == WR_EV_GONE;
}

/* A process that does nothing, in a slot. */
static pid_t
idler(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		(void)signal(WR_STACK_SIGNAL, SIG_IGN);
		for (;;)
			(void)pause();
	}
	return pid;
}

static void
end(pid_t pid)
{
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, NULL, 0);
}

static void
a_state_is_what_the_kernel_says(void)
{
	pid_t pid = idler();
	struct wr_text t = { 0 };
	int status;

	while (wr_watch_state(pid) != 'S')
		(void)poll(NULL, 0, 1);
	(void)kill(pid, SIGSTOP);
	ok(waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status));
	is_int(wr_watch_state(pid), 'T');
	wr_watch_describe(pid, &t);
	ok(strncmp(t.p, "state T (stopped)", 17) == 0);
	diag("%s", t.p);
	end(pid);
	is_int(wr_watch_state(pid), 0);
	wr_text_fini(&t);
}

static void
turn_until(const int *count)
{
	for (int i = 0; i < 500 && *count == 0; i++)
		wr_loop_turn(loop, 10);
	ok(*count > 0);
}

static void
beats_are_watched(void)
{
	struct wr_watch *w = wr_watch_new(loop, shm, on_watch, NULL);
	int slot = wr_slot_take(shm, WR_ROLE_WORKER, 0), status;
	struct wr_slot *s = &shm->stats->slots[slot];
	pid_t pid = idler();

	wr_watch_conf(w, 50, 400);
	wr_watch_add(w, slot, pid, "worker 0");
	/* Who beats is left alone. */
	for (int i = 0; i < 30; i++) {
		wr_store(&s->beat_ms, wr_loop_now(loop));
		wr_loop_turn(loop, 10);
	}
	ok(halted + went_on + hung == 0);
	(void)kill(pid, SIGSTOP);
	ok(waitpid(pid, &status, WUNTRACED) == pid);
	turn_until(&halted);
	ok(hung == 0);
	turn_until(&hung);
	is_int(halted, 1);
	(void)kill(pid, SIGCONT);
	wr_store(&s->beat_ms, wr_loop_now(loop) + 1000);
	turn_until(&went_on);
	/* Nobody there: nothing is said. */
	wr_watch_remove(w, slot);
	halted = went_on = hung = 0;
	wr_store(&s->beat_ms, 1);
	for (int i = 0; i < 20; i++)
		wr_loop_turn(loop, 10);
	ok(halted + went_on + hung == 0);
	end(pid);
	wr_watch_free(&w);
	wr_slot_drop(shm, (uint32_t)slot);
}

static void
a_dead_one_is_told_of(void)
{
	struct wr_watch *w = wr_watch_new(loop, shm, on_watch, NULL);
	int slot = wr_slot_take(shm, WR_ROLE_WORKER, 0);
	pid_t pid = idler();

	wr_watch_conf(w, 50, WR_OFF);
	wr_watch_add(w, slot, pid, "worker 0");
	(void)kill(pid, SIGKILL);
	turn_until(&gone);
	is_int(waitpid(pid, NULL, WNOHANG), pid);
	wr_watch_free(&w);
	wr_slot_drop(shm, (uint32_t)slot);
}

int
main(void)
{
	struct wr_loop_conf c = { .backend = "poll" };

	wr_log_fd(open("/dev/null", O_WRONLY));
	loop = wr_loop_new(&c);
	shm = wr_shm_new();
	if (loop == NULL || shm == NULL)
		return 1;
	a_state_is_what_the_kernel_says();
	beats_are_watched();
	a_dead_one_is_told_of();
	wr_loop_free(&loop);
	return tap_done();
}
