/* SPDX-License-Identifier: BSD-2-Clause */
/* signals - told once, from the turn. */
#include "io/signals.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "t/unit/tap.h"

static int told[65], all_told;
static bool restart;

static void
on_signal(struct wr_loop *l, int signo, void *arg)
{
	(void)l;
	told[signo]++;
	all_told++;
	if (restart)
		(void)raise(signo);
	restart = false;
	if (arg != &told)
		abort();
}

static struct wr_loop *
loop(void)
{
	const struct wr_loop_conf c = { .backend = getenv("WEIR_EVENTS") };
	struct wr_loop *l = wr_loop_new(&c);

	if (l == NULL)
		abort();
	return l;
}

static void
turns(struct wr_loop *l, int until)
{
	for (int i = 0; i < 200 && all_told < until; i++)
		wr_loop_turn(l, 10);
	wr_loop_turn(l, 2);
}

static bool
is_default(int signo)
{
	struct sigaction sa;

	return sigaction(signo, NULL, &sa) == 0 && sa.sa_handler == SIG_DFL;
}

static int
child(struct wr_loop *inherited)
{
	const int signos[] = { SIGUSR2, 0 };
	struct wr_loop *l;

	wr_signals_abandon();
	wr_loop_abandon(&inherited);
	if (!is_default(SIGUSR1) || !is_default(SIGHUP) || !is_default(SIGPIPE))
		return 1;
	/* It may have its own. */
	l = loop();
	if (wr_signals_start(l, signos, on_signal, &told) != 0)
		return 2;
	all_told = 0;
	(void)raise(SIGUSR2);
	turns(l, 1);
	return told[SIGUSR2] == 1 ? 0 : 3;
}

int
main(void)
{
	const int signos[] = { SIGHUP, SIGUSR1, 0 };
	struct wr_loop *l = loop();
	int fds[2], status = -1;
	pid_t pid;

	is_int(wr_signals_start(l, signos, on_signal, &told), 0);
	turns(l, 0);
	is_int(all_told, 0);
	(void)raise(SIGHUP);
	is_int(all_told, 0); /* not from the handler */
	(void)raise(SIGHUP);
	(void)raise(SIGUSR1);
	turns(l, 2);
	is_int(told[SIGHUP], 1);
	is_int(told[SIGUSR1], 1);
	/* One that comes while it is told is told again. */
	restart = true;
	(void)raise(SIGHUP);
	turns(l, 4);
	is_int(told[SIGHUP], 3);
	/* A flood neither blocks nor is lost. */
	for (int i = 0; i < 100000; i++)
		(void)raise(SIGUSR1);
	turns(l, 5);
	is_int(told[SIGUSR1], 2);
	/* Writing to nobody is an error, not a death. */
	if (pipe(fds) != 0)
		abort();
	(void)close(fds[0]);
	ok(write(fds[1], "x", 1) < 0 && errno == EPIPE);
	(void)close(fds[1]);
	pid = fork();
	if (pid == 0)
		_exit(child(l));
	ok(waitpid(pid, &status, 0) == pid);
	is_int(status, 0);
	(void)raise(SIGHUP); /* the parent's are as before */
	turns(l, 6);
	is_int(told[SIGHUP], 4);
	is_int(told[SIGUSR2], 0);
	wr_signals_stop(l);
	/* It does not matter any more, and kills nobody. */
	(void)raise(SIGHUP);
	(void)raise(SIGUSR1);
	is_int(told[SIGHUP], 4);
	for (int i = 0; i < 10; i++)
		wr_loop_turn(l, 0);
	is_int(wr_loop_stats(l)->socks, 0);
	wr_loop_free(&l);
	return tap_done();
}
