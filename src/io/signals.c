/* SPDX-License-Identifier: BSD-2-Clause */
/* signals - a pipe between the handler and the loop; see signals.h. */
#include "io/signals.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "io/keep.h"

static struct {
	struct wr_keep in; /* the end that is read */
	int write_fd;
	wr_signal_fn *fn;
	void *arg;
	sigset_t set;
	bool on;
} all = { .write_fd = -1 };

/* One for each signal that came and was not told yet. */
static atomic_bool pending[NSIG];

static wr_keep_fn on_readable;

static void
handler(int signo)
{
	int err = errno;

	atomic_store(&pending[signo], true);
	/* Full is as good as written. */
	if (write(all.write_fd, "", 1) < 0)
		errno = err;
	errno = err;
}

static int catch (int signo, void (*fn)(int))
{
	struct sigaction sa;

	memset(&sa, 0, sizeof(sa));
	sa.sa_handler = fn;
	sa.sa_flags = SA_RESTART;
	sigfillset(&sa.sa_mask);
	return sigaction(signo, &sa, NULL) == 0 ? 0 : -errno;
}

static void
on_readable(struct wr_loop *l, struct wr_keep *k)
{
	char junk[64];

	/* Empty it first: what comes later is told in another turn. */
	while (read(k->sock.fd, junk, sizeof(junk)) > 0)
		continue;
	for (int signo = 1; signo < NSIG; signo++)
		if (atomic_exchange(&pending[signo], false) && all.on)
			all.fn(l, signo, all.arg);
}

static void
set_all(void (*to)(int))
{
	for (int signo = 1; signo < NSIG; signo++) {
		if (sigismember(&all.set, signo) == 1)
			(void)catch (signo, to);
		atomic_store(&pending[signo], false);
	}
	(void)catch (SIGPIPE, to);
	sigemptyset(&all.set);
	all.on = false;
}

int
wr_signals_start(
    struct wr_loop *l, const int *signos, wr_signal_fn *fn, void *arg)
{
	int fds[2], err;

	assert(!all.on);
	if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) != 0)
		return -errno;
	err = wr_keep_start(l, &all.in, fds[0], "signals", on_readable);
	if (err < 0) {
		(void)close(fds[0]);
		(void)close(fds[1]);
		return err;
	}
	all.write_fd = fds[1];
	all.fn = fn;
	all.arg = arg;
	all.on = true;
	sigemptyset(&all.set);
	for (; err == 0 && *signos != 0; signos++) {
		sigaddset(&all.set, *signos);
		err = catch (*signos, handler);
	}
	if (err == 0)
		err = catch (SIGPIPE, SIG_IGN);
	if (err < 0)
		wr_signals_stop(l);
	return err;
}

void
wr_signals_stop(struct wr_loop *l)
{
	if (!all.on)
		return;
	set_all(SIG_IGN);
	wr_keep_stop(l, &all.in);
	wr_close(l, &all.in.sock, NULL);
	(void)close(all.write_fd);
	all.write_fd = -1;
}

void
wr_signals_abandon(void)
{
	if (!all.on)
		return;
	set_all(SIG_DFL);
	(void)close(all.in.sock.fd);
	(void)close(all.write_fd);
	all.in.sock.fd = all.write_fd = -1;
}
