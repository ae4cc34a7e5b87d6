/* SPDX-License-Identifier: BSD-2-Clause */
/* log - see log.h. */
#include "base/log.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "base/text.h"

/* A pipe takes a line of this size as a whole, or says that it cannot. */
#define LINE_MAX_BYTES PIPE_BUF
#define TEXT_MAX_BYTES 2048
#define WAIT_MS        10

static const struct {
	const char *name;
	int priority; /* of syslog(3) */
} levels[] = {
	[WR_DEBUG] = { "debug", LOG_DEBUG },
	[WR_INFO] = { "info", LOG_INFO },
	[WR_NOTICE] = { "notice", LOG_NOTICE },
	[WR_WARN] = { "warn", LOG_WARNING },
	[WR_ERROR] = { "error", LOG_ERR },
};

static struct {
	struct wr_log_conf conf;
	char name[32];
	uint64_t lost;
	bool torn; /* only a part of the last line was written */
	/* The last line, held back while it repeats. */
	char last[TEXT_MAX_BYTES];
	size_t last_len;
	enum wr_level last_level;
	uint64_t repeats;
	pid_t pid; /* whose line that was */
} state = { .conf = { STDERR_FILENO, WR_INFO, WR_LOG_TEXT }, .name = "weir" };

static void
forget(void)
{
	state.last_len = 0;
	state.repeats = 0;
	state.pid = getpid();
}

void
wr_log_init(const struct wr_log_conf *c)
{
	wr_log_flush();
	state.conf = *c;
	state.torn = false;
	forget();
	if (c->fd < 0)
		openlog("weir", LOG_PID | LOG_NDELAY, LOG_DAEMON);
	else
		closelog();
}

void
wr_log_name(const char *name)
{
	struct wr_text t;

	wr_text_over(&t, state.name, sizeof(state.name));
	wr_text_puts(&t, name);
}

void
wr_log_fd(int fd)
{
	struct wr_log_conf c = state.conf;

	c.fd = fd;
	wr_log_init(&c);
}

void
wr_log_level(enum wr_level level)
{
	state.conf.level = level;
}

void
wr_log_format(enum wr_log_format format)
{
	wr_log_flush();
	state.conf.format = format;
}

void
wr_log_close(void)
{
	wr_log_flush();
	closelog();
}

bool
wr_log_on(enum wr_level level)
{
	return level >= state.conf.level;
}

uint64_t
wr_log_lost(void)
{
	return state.lost;
}

/* After a loss there is no more patience until something gets through. */
static bool
writable(int fd)
{
	static int patience_ms = WAIT_MS;
	struct pollfd p = { .fd = fd, .events = POLLOUT };

	if (poll(&p, 1, patience_ms) > 0) {
		patience_ms = WAIT_MS;
		return true;
	}
	patience_ms = 0;
	return false;
}

static void
put(const char *p, size_t len)
{
	size_t done = 0;

	/* A line that was torn apart is ended first. */
	if (!state.torn) {
		p++;
		len--;
	}
	while (done < len) {
		ssize_t n = -1;

		if (writable(state.conf.fd))
			n = write(state.conf.fd, p + done, len - done);
		else
			errno = EAGAIN;
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			state.lost++;
			state.torn |= done > 0;
			return;
		}
		done += (size_t)n;
	}
	state.torn = false;
}

/* One line, with a newline at both ends. */
static void
compose(struct wr_text *t, enum wr_level level, struct wr_str s)
{
	struct timespec now;
	struct tm tm;
	char date[32];
	unsigned ms;
	int pid = (int)getpid();

	(void)clock_gettime(CLOCK_REALTIME, &now);
	ms = (unsigned)(now.tv_nsec / 1000000);
	(void)gmtime_r(&now.tv_sec, &tm);
	(void)strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm);
	wr_text_reset(t);
	if (state.conf.format == WR_LOG_TEXT) {
		wr_text_printf(t, "\n%s.%03uZ %s %s[%d]: ", date, ms,
		    levels[level].name, state.name, pid);
		wr_text_oneline(t, s);
		wr_text_puts(t, "\n");
		return;
	}
	wr_text_printf(t, "\n{\"time\":\"%s.%03uZ\",\"level\":\"%s\",", date,
	    ms, levels[level].name);
	wr_text_puts(t, "\"process\":");
	wr_text_json(t, wr_str_of(state.name));
	wr_text_printf(t, ",\"pid\":%d,\"text\":", pid);
	wr_text_json(t, s);
	wr_text_puts(t, "}\n");
}

static void
emit(enum wr_level level, struct wr_str s)
{
	char line[LINE_MAX_BYTES];
	struct wr_text t;

	wr_text_over(&t, line, sizeof(line));
	if (state.conf.fd < 0) {
		wr_text_oneline(&t, s);
		syslog(levels[level].priority, "%s: %s", state.name, t.p);
		return;
	}
	compose(&t, level, s);
	/* Escapes may have made it too long; half of it is still a line. */
	while (t.cut) {
		s.len /= 2;
		compose(&t, level, s);
	}
	put(t.p, t.len);
}

static void
tell_repeats(void)
{
	char text[64];
	struct wr_text t;

	if (state.repeats > 0 && state.pid == getpid()) {
		wr_text_over(&t, text, sizeof(text));
		wr_text_printf(&t, "last line repeated %llu times",
		    (unsigned long long)state.repeats);
		emit(state.last_level, (struct wr_str){ t.p, t.len });
	}
	forget();
}

void
wr_log_flush(void)
{
	tell_repeats();
}

/* `err` is an errno to be told, or 0. */
static void
vlog(enum wr_level level, int err, const char *fmt, va_list ap)
{
	int saved = errno;
	char text[TEXT_MAX_BYTES];
	struct wr_text t;

	if (!wr_log_on(level))
		return;
	wr_text_over(&t, text, sizeof(text));
	wr_text_vprintf(&t, fmt, ap);
	if (err != 0)
		wr_text_printf(&t, ": %s", strerror(err));
	/* A child does not go on with its parent's line. */
	if (state.pid == getpid() && level == state.last_level && t.len > 0 &&
	    t.len == state.last_len && memcmp(text, state.last, t.len) == 0) {
		state.repeats++;
	} else {
		tell_repeats();
		emit(level, (struct wr_str){ t.p, t.len });
		memcpy(state.last, text, t.len);
		state.last_len = t.len;
		state.last_level = level;
	}
	errno = saved;
}

#define VLOG(level, err)                                                       \
	do {                                                                   \
		va_list ap;                                                    \
		va_start(ap, fmt);                                             \
		vlog((level), (err), fmt, ap);                                 \
		va_end(ap);                                                    \
	} while (0)

void
wr_log(enum wr_level level, const char *fmt, ...)
{
	VLOG(level, 0);
}

void
wr_debug(const char *fmt, ...)
{
	VLOG(WR_DEBUG, 0);
}

void
wr_info(const char *fmt, ...)
{
	VLOG(WR_INFO, 0);
}

void
wr_notice(const char *fmt, ...)
{
	VLOG(WR_NOTICE, 0);
}

void
wr_warn(const char *fmt, ...)
{
	VLOG(WR_WARN, errno);
}

void
wr_warnx(const char *fmt, ...)
{
	VLOG(WR_WARN, 0);
}

void
wr_error(const char *fmt, ...)
{
	VLOG(WR_ERROR, errno);
}

void
wr_errorx(const char *fmt, ...)
{
	VLOG(WR_ERROR, 0);
}
