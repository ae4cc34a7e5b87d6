/* SPDX-License-Identifier: BSD-2-Clause */
/* crash - only what a signal handler may do: write(2) and a warm backtrace. */
#include "proc/crash.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>
#ifdef __GLIBC__
#include <execinfo.h>
#endif

#define FRAMES 64

static const char *name = "weir";
static volatile sig_atomic_t out = STDERR_FILENO;
static uint8_t stack[65536] __attribute__((aligned(16)));

static const struct {
	int signo;
	const char *text;
} faults[] = {
	{ SIGSEGV, "SIGSEGV" },
	{ SIGBUS, "SIGBUS" },
	{ SIGFPE, "SIGFPE" },
	{ SIGILL, "SIGILL" },
	{ SIGABRT, "SIGABRT" },
};

static size_t
add(char *line, size_t at, const char *text)
{
	while (*text != '\0')
		line[at++] = *text++;
	return at;
}

static size_t
add_number(char *line, size_t at, uintptr_t n, unsigned base)
{
	char digits[24];
	size_t i = sizeof(digits);

	do
		digits[--i] = "0123456789abcdef"[n % base];
	while ((n /= base) > 0);
	while (i < sizeof(digits))
		line[at++] = digits[i++];
	return at;
}

/* `where`: of a fault, its address; of a signal that was sent, the sender. */
static void
say(const char *what, const siginfo_t *where)
{
	char line[256];
	size_t at = add(line, 0, "weir: ");

	at = add(line, at, name);
	at = add(line, at, "[");
	at = add_number(line, at, (uintptr_t)getpid(), 10);
	at = add(line, at, "]: ");
	at = add(line, at, what);
	if (where != NULL && where->si_code > 0) {
		at = add(line, at, " at 0x");
		at = add_number(line, at, (uintptr_t)where->si_addr, 16);
	} else if (where != NULL && where->si_pid != getpid()) {
		at = add(line, at, " from process ");
		at = add_number(line, at, (uintptr_t)where->si_pid, 10);
	}
	at = add(line, at, ", stack:\n");
	if (write(out, line, at) < 0)
		return; /* nobody to tell */
#ifdef __GLIBC__
	void *frames[FRAMES];
	int n = backtrace(frames, FRAMES);

	/* Without this function, its caller and the kernel's frame. */
	if (n > 3)
		backtrace_symbols_fd(frames + 3, n - 3, out);
#endif
}

static void
on_fault(int signo, siginfo_t *info, void *context)
{
	(void)context;
	for (size_t i = 0; i < WR_COUNT(faults); i++) {
		if (faults[i].signo == signo)
			say(faults[i].text, info);
	}
	/* SA_RESETHAND has restored what the signal does by itself; it is
	 * blocked until this returns. */
	(void)raise(signo);
}

static void
on_demand(int signo, siginfo_t *info, void *context)
{
	int err = errno;

	(void)signo;
	(void)info;
	(void)context;
	say("asked for its stack", NULL);
	errno = err;
}

static int
handle(int signo, void (*fn)(int, siginfo_t *, void *), int flags)
{
	struct sigaction sa;

	(void)memset(&sa, 0, sizeof(sa));
	sa.sa_sigaction = fn;
	sa.sa_flags = SA_SIGINFO | SA_ONSTACK | flags;
	(void)sigemptyset(&sa.sa_mask);
	return sigaction(signo, &sa, NULL) < 0 ? -errno : 0;
}

int
wr_crash_init(const char *who, int fd)
{
	stack_t alt = { .ss_sp = stack, .ss_size = sizeof(stack) };
	int err;

	name = who;
	out = fd;
#ifdef __GLIBC__
	/* The first call loads a library and allocates; not in a handler. */
	void *frame;

	(void)backtrace(&frame, 1);
#endif
	if (sigaltstack(&alt, NULL) < 0)
		return -errno;
	for (size_t i = 0; i < WR_COUNT(faults); i++) {
		err = handle(faults[i].signo, on_fault, (int)SA_RESETHAND);
		if (err < 0)
			return err;
	}
	return 0;
}

int
wr_crash_on_demand(void)
{
	return handle(SIGUSR2, on_demand, SA_RESTART);
}

void
wr_crash_fd(int fd)
{
	out = fd;
}
