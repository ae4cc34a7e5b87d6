/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "tap.h"

static int pipe_fd[2];
static char out[65536];

static void
start(enum wr_level level, enum wr_log_format format)
{
	struct wr_log_conf c = { .level = level, .format = format };

	if (pipe_fd[0] > 0) {
		(void)close(pipe_fd[0]);
		(void)close(pipe_fd[1]);
	}
	ok(pipe2(pipe_fd, O_NONBLOCK) == 0);
	c.fd = pipe_fd[1];
	wr_log_init(&c);
}

/* All that was written since the last call. */
static char *
said(void)
{
	size_t n = 0;
	ssize_t got;

	while ((got = read(pipe_fd[0], out + n, sizeof(out) - 1 - n)) > 0)
		n += (size_t)got;
	out[n] = '\0';
	return out;
}

/* The same without time and number of process: the texts only. */
static const char *
texts(void)
{
	static char text[4096];
	char *line = said(), *end;
	size_t n = 0;

	for (; (end = strchr(line, '\n')) != NULL; line = end + 1) {
		char *at;

		*end = '\0';
		at = strstr(line, "]: ");
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s|",
		    at != NULL ? at + 3 : "no mark");
	}
	text[n] = '\0';
	return text;
}

static void
a_line_has_time_level_name_and_number(void)
{
	char want[64];
	char *line;

	start(WR_INFO, WR_LOG_TEXT);
	wr_log_name("worker 0");
	wr_info("hello %d", 1);
	line = said();
	ok(strlen(line) > 25 && line[4] == '-' && line[10] == 'T' &&
	    line[19] == '.' && line[23] == 'Z' && line[24] == ' ');
	(void)snprintf(
	    want, sizeof(want), "info worker 0[%d]: hello 1\n", (int)getpid());
	is_str(line + 25, want);
	wr_log_name("a name that is much too long for any process");
	wr_info("x");
	ok(strstr(said(), " a name that is much too long fo[") != NULL);
	wr_log_name("weir");
}

static void
levels_below_the_limit_are_silent(void)
{
	start(WR_NOTICE, WR_LOG_TEXT);
	ok(!wr_log_on(WR_INFO) && wr_log_on(WR_NOTICE));
	wr_debug("1");
	wr_info("2");
	wr_log(WR_INFO, "3");
	is_str(said(), "");
	wr_notice("4");
	wr_warnx("5");
	wr_errorx("6");
	is_str(texts(), "4|5|6|");
	wr_log_level(WR_DEBUG);
	wr_debug("7");
	ok(strstr(said(), " debug ") != NULL);
}

static void
errno_is_told_and_kept(void)
{
	start(WR_INFO, WR_LOG_TEXT);
	errno = ENOENT;
	wr_warn("open %s", "x");
	is_int(errno, ENOENT);
	wr_error("read");
	wr_errorx("no more");
	is_int(errno, ENOENT);
	is_str(texts(), "open x: No such file or directory|"
			"read: No such file or directory|no more|");
}

static void
repeats_are_counted(void)
{
	start(WR_INFO, WR_LOG_TEXT);
	for (int i = 0; i < 5; i++)
		wr_info("again");
	is_str(texts(), "again|");
	wr_info("other");
	is_str(texts(), "last line repeated 4 times|other|");
	wr_info("other");
	wr_log_flush();
	is_str(texts(), "last line repeated 1 times|");
	/* After a flush it is news. */
	wr_log_flush();
	wr_info("other");
	is_str(texts(), "other|");
	/* Another level is another line; nothing is no repeat. */
	wr_warnx("other");
	is_str(texts(), "other|");
	wr_info("%s", "");
	wr_info("%s", "");
	is_str(texts(), "||");
}

static void
a_child_does_not_go_on_with_its_parents_line(void)
{
	pid_t pid;
	int status;

	start(WR_INFO, WR_LOG_TEXT);
	wr_info("line");
	wr_info("line");
	pid = fork();
	if (pid == 0) {
		wr_info("line");
		wr_log_flush();
		_exit(0);
	}
	ok(pid > 0 && waitpid(pid, &status, 0) == pid);
	is_str(texts(), "line|line|");
	wr_log_flush();
	is_str(texts(), "last line repeated 1 times|");
}

static void
a_line_is_one_line(void)
{
	start(WR_INFO, WR_LOG_TEXT);
	wr_info("key \"a\\b\"\nfake\r\x1b[1m \xc3\xa4 \xff");
	is_str(texts(), "key \"a\\b\"\\nfake\\r\\x1b[1m \xc3\xa4 \\xff|");
}

static void
json_lines_are_objects(void)
{
	char want[64];
	char *line;

	start(WR_INFO, WR_LOG_JSON);
	wr_log_name("worker \"1\"");
	wr_warnx("a \"b\"\n\xff");
	line = said();
	ok(strncmp(line, "{\"time\":\"", 9) == 0);
	line = strstr(line, "Z\",");
	(void)snprintf(want, sizeof(want), "\"pid\":%d,", (int)getpid());
	ok(line != NULL && strstr(line, want) != NULL);
	ok(line != NULL &&
	    strncmp(line,
		"Z\",\"level\":\"warn\",\"process\":\"worker \\\"1\\\"\",",
		43) == 0);
	ok(line != NULL &&
	    strstr(line, ",\"text\":\"a \\\"b\\\"\\n\xef\xbf\xbd\"}\n") !=
		NULL);
	wr_log_name("weir");
}

static void
long_lines_are_cut_but_whole(void)
{
	char text[3000];
	size_t n;
	char *line;

	memset(text, 'x', sizeof(text));
	start(WR_INFO, WR_LOG_TEXT);
	wr_info("%.*s", (int)sizeof(text), text);
	line = said();
	n = strlen(line);
	ok(n > 2000 && n < 2200 && line[n - 1] == '\n');

	/* Each byte becomes six. */
	memset(text, 1, sizeof(text));
	start(WR_INFO, WR_LOG_JSON);
	wr_info("%.*s", (int)sizeof(text), text);
	line = said();
	n = strlen(line);
	ok(n > 1000 && n < PIPE_BUF);
	is_str(line + n - 9, "\\u0001\"}\n");
	start(WR_INFO, WR_LOG_TEXT);
	wr_info("%.*s", (int)sizeof(text), text);
	line = said();
	n = strlen(line);
	is_str(line + n - 5, "\\x01\n");
}

static void
a_reader_that_stalls_holds_nobody(void)
{
	uint64_t lost = wr_log_lost();
	static char fill[PIPE_BUF];
	int blocking;

	start(WR_INFO, WR_LOG_TEXT);
	while (write(pipe_fd[1], fill, sizeof(fill)) > 0)
		;
	/* Even a descriptor that would block does not. */
	blocking = fcntl(pipe_fd[1], F_GETFL) & ~O_NONBLOCK;
	ok(fcntl(pipe_fd[1], F_SETFL, blocking) == 0);
	wr_info("lost 1");
	wr_info("lost 2");
	is_int(wr_log_lost() - lost, 2);
	while (read(pipe_fd[0], out, sizeof(out)) > 0)
		;
	wr_info("heard");
	is_str(texts(), "heard|");
	is_int(wr_log_lost() - lost, 2);
}

static void
a_torn_line_is_ended_before_the_next(void)
{
	uint64_t lost = wr_log_lost();
	char path[] = "/tmp/weir-log-XXXXXX";
	struct wr_log_conf c = { .level = WR_INFO, .fd = mkstemp(path) };
	char text[256] = "";
	pid_t pid;
	int status = 0;

	ok(c.fd >= 0 && unlink(path) == 0);
	pid = fork();
	if (pid == 0) {
		/* A file that may not grow beyond 20 bytes, then may. */
		struct rlimit small = { 20, RLIM_INFINITY };
		struct rlimit large = { RLIM_INFINITY, RLIM_INFINITY };

		(void)signal(SIGXFSZ, SIG_IGN);
		wr_log_init(&c);
		(void)setrlimit(RLIMIT_FSIZE, &small);
		wr_info("torn");
		wr_info("lost");
		(void)setrlimit(RLIMIT_FSIZE, &large);
		wr_info("whole");
		exit(wr_log_lost() - lost == 2 ? 0 : 1);
	}
	ok(pid > 0 && waitpid(pid, &status, 0) == pid);
	is_int(status, 0);
	ok(pread(c.fd, text, sizeof(text) - 1, 0) > 40);
	is_int(strcspn(text, "\n"), 20);
	ok(strstr(text, ": whole\n") != NULL && strstr(text, "lost") == NULL);
	(void)close(c.fd);
}

static void
the_descriptor_can_change(void)
{
	int fds[2], was;
	char text[256] = "";

	start(WR_INFO, WR_LOG_TEXT);
	wr_info("same");
	wr_info("same");
	was = pipe_fd[1];
	ok(pipe(fds) == 0);
	wr_log_fd(fds[1]);
	/* What was held back goes where its line went. */
	is_str(texts(), "same|last line repeated 1 times|");
	wr_info("new");
	ok(read(fds[0], text, sizeof(text) - 1) > 0);
	ok(strstr(text, ": new\n") != NULL);
	is_str(said(), "");
	wr_log_fd(was);
	(void)close(fds[0]);
	(void)close(fds[1]);
}

static void
nobody_at_the_other_end_is_a_loss(void)
{
	uint64_t lost = wr_log_lost();

	(void)signal(SIGPIPE, SIG_IGN);
	start(WR_INFO, WR_LOG_TEXT);
	(void)close(pipe_fd[0]);
	wr_info("x");
	is_int(wr_log_lost() - lost, 1);
	pipe_fd[0] = 0;
	(void)close(pipe_fd[1]);
}

/* Whether anybody listens is not ours to know; nothing must break. */
static void
syslog_is_another_place(void)
{
	struct wr_log_conf c = { .fd = -1, .level = WR_INFO };

	wr_log_init(&c);
	errno = EPERM;
	wr_warn("to syslog");
	wr_warn("to syslog");
	wr_log_flush();
	is_int(errno, EPERM);
}

int
main(void)
{
	a_line_has_time_level_name_and_number();
	levels_below_the_limit_are_silent();
	errno_is_told_and_kept();
	repeats_are_counted();
	a_child_does_not_go_on_with_its_parents_line();
	a_line_is_one_line();
	json_lines_are_objects();
	long_lines_are_cut_but_whole();
	a_reader_that_stalls_holds_nobody();
	a_torn_line_is_ended_before_the_next();
	the_descriptor_can_change();
	nobody_at_the_other_end_is_a_loss();
	syslog_is_another_place();
	return tap_done();
}
