/* SPDX-License-Identifier: BSD-2-Clause */
/* say - `weir -s WORD`: the other end of proc/ask. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/addr.h"
#include "io/sock.h"
#include "proc/ask.h"
#include "proc/pidfile.h"

struct hunt {
	int signo;
	unsigned found;
};

static void
on_orphan(void *arg, pid_t pid, const char *role)
{
	struct hunt *h = arg;

	if (h->signo == 0) {
		(void)fprintf(
		    stderr, "weir: %s[%ld] still serves\n", role, (long)pid);
	} else if (kill(pid, h->signo) < 0) {
		(void)fprintf(stderr, "weir: cannot signal %s[%ld]: %s\n", role,
		    (long)pid, strerror(errno));
		return;
	}
	h->found++;
}

/* Nobody answers.  Children of a master that was killed can still be told to
 * end. */
static int
without_master(const char *pid_path, const char *word)
{
	struct hunt h = { 0 };

	if (strcmp(word, "quit") == 0)
		h.signo = SIGQUIT;
	else if (strcmp(word, "stop") == 0)
		h.signo = SIGTERM;
	(void)wr_pidfile_each(pid_path, on_orphan, &h);
	if (h.signo != 0 && h.found > 0) {
		(void)fprintf(stderr,
		    "weir: the master is gone; %u of its processes were told "
		    "to %s\n",
		    h.found, word);
		return 0;
	}
	(void)fprintf(stderr, "weir: %s: nobody answers at %s.sock\n",
	    h.found > 0 ? "the master is gone" : "not running", pid_path);
	return 1;
}

static int
reach(const char *pid_path)
{
	char text[WR_ADDR_TEXT];
	struct wr_addr a;
	int fd, err;

	if ((size_t)snprintf(text, sizeof(text), "unix:%s.sock", pid_path) >=
	    sizeof(text))
		return -ENAMETOOLONG;
	err = wr_addr_parse(&a, wr_str_of(text), 0);
	if (err < 0)
		return err;
	fd = wr_sock_stream(AF_UNIX);
	if (fd < 0)
		return fd;
	if (wr_sock_nonblock(fd, false) < 0 || connect(fd, &a.sa, a.len) < 0) {
		err = -errno;
		(void)close(fd);
		return err;
	}
	return fd;
}

/* The first line says how to exit and where to print; -1 until it is whole. */
static int
head(struct wr_text *got, int *stream, const char **text)
{
	const char *end = got->len > 0 ? memchr(got->p, '\n', got->len) : NULL;
	int status;

	if (end == NULL || sscanf(got->p, "%d %d", &status, stream) != 2)
		return -1;
	*text = end + 1;
	return status;
}

static int
print(struct wr_text *got)
{
	const char *text = NULL;
	int stream = STDERR_FILENO, status = head(got, &stream, &text);
	FILE *out = stream == STDOUT_FILENO ? stdout : stderr;

	if (status < 0) {
		(void)fputs("weir: the master went away\n", stderr);
		return 1;
	}
	(void)fwrite(text, 1, (size_t)(got->p + got->len - text), out);
	return fflush(out) == 0 ? status : 1;
}

int
wr_ask_say(const char *pid_path, const char *word)
{
	struct wr_text got = { 0 };
	char buf[16384];
	ssize_t n;
	int fd = reach(pid_path), status;

	if (fd == -ENOENT || fd == -ECONNREFUSED)
		return without_master(pid_path, word);
	if (fd < 0) {
		(void)fprintf(
		    stderr, "weir: %s.sock: %s\n", pid_path, strerror(-fd));
		return 1;
	}
	(void)signal(SIGPIPE, SIG_IGN);
	if (dprintf(fd, "%s\n", word) < 0)
		(void)fprintf(stderr, "weir: %s\n", strerror(errno));
	while ((n = read(fd, buf, sizeof(buf))) != 0) {
		if (n > 0)
			wr_text_add(&got, buf, (size_t)n);
		else if (errno != EINTR)
			break;
	}
	(void)close(fd);
	status = print(&got);
	wr_text_fini(&got);
	return status;
}
