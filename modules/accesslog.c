/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * accesslog - one line for each session that is over.
 *
 *	access_log = { to = "stdout"; fields = "time client server end"; };
 *
 * Lines are gathered and written once a turn.  A log that cannot be written
 * to now keeps its lines waiting; when there are too many, new ones are lost
 * and counted, and the sessions go on.  The error log tells of the first
 * failure, of the first loss, and how many were lost when all is well again.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/text.h"
#include "modules/modules.h"
#include "proxy/core.h"

/* Lines wait for a slow log in so much memory. */
#define WAIT_BYTES (256u << 10)
/* A pipe that is ready takes so much without blocking (POSIX's PIPE_BUF). */
#define PIPE_BYTES 4096u
/* How often a log that could not be written is tried again. */
#define RETRY_MS 50

struct line {
	struct wr_text *out;
	struct wr_session *s;
	const struct wr_line_conf *conf;
};

/* In text a value is one word, or it is quoted. */
static bool
is_word(const char *z)
{
	for (; *z != '\0'; z++)
		if ((unsigned char)*z <= ' ' || *z == '"' || *z == 0x7f)
			return false;
	return true;
}

static void
text(struct line *ln, const char *z)
{
	if (z == NULL || *z == '\0')
		z = "-";
	if (ln->conf->format == WR_LOG_JSON ||
	    (ln->conf->n_fields > 0 && !is_word(z)))
		wr_text_json(ln->out, wr_str_of(z));
	else
		wr_text_oneline(ln->out, wr_str_of(z));
}

static void
number(struct line *ln, uint64_t n)
{
	wr_text_printf(ln->out, "%llu", (unsigned long long)n);
}

static const struct wr_stats *
stats(const struct line *ln)
{
	return ln->s->px->stats;
}

static const char *
name(const struct wr_cell *cells, uint32_t cell)
{
	return cell == WR_OFF ? NULL : cells[cell].name;
}

static struct timespec
ago(uint64_t ms)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	ts.tv_sec -= (time_t)(ms / 1000);
	ts.tv_nsec -= (long)(ms % 1000) * 1000000;
	if (ts.tv_nsec < 0) {
		ts.tv_sec--;
		ts.tv_nsec += 1000000000;
	}
	return ts;
}

static void
put_date(struct line *ln, struct timespec ts)
{
	char z[64];
	struct tm tm;

	gmtime_r(&ts.tv_sec, &tm);
	(void)snprintf(z, sizeof(z), "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ",
	    tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min,
	    tm.tm_sec, (int)(ts.tv_nsec / 1000000));
	text(ln, z);
}

static void
put_time(struct line *ln)
{
	put_date(ln, ago(0));
}

static void
put_start(struct line *ln)
{
	put_date(ln, ago(wr_session_lasted_ms(ln->s)));
}

static void
put_epoch(struct line *ln)
{
	struct timespec ts = ago(0);

	wr_text_printf(ln->out, "%lld.%03d", (long long)ts.tv_sec,
	    (int)(ts.tv_nsec / 1000000));
}

static void
put_listener(struct line *ln)
{
	text(ln, name(stats(ln)->listener_cells, ln->s->listener_cell));
}

static void
put_client(struct line *ln)
{
	char z[WR_ADDR_TEXT];

	text(ln, wr_ip_text(wr_session_client(ln->s), z, sizeof(z)));
}

static void
put_client_ip(struct line *ln)
{
	char z[WR_ADDR_TEXT];

	text(ln, wr_ip_host(wr_session_client(ln->s), z, sizeof(z)));
}

static void
put_client_port(struct line *ln)
{
	number(ln, wr_session_client(ln->s)->port);
}

static void
put_port(struct line *ln)
{
	number(ln, ln->s->port);
}

static void
put_upstream(struct line *ln)
{
	text(ln, name(stats(ln)->upstream_cells, ln->s->upstream_cell));
}

static void
put_server(struct line *ln)
{
	uint32_t cell = ln->s->server_cell;

	text(ln, cell == WR_OFF ? NULL : wr_stats_server_name(stats(ln), cell));
}

static void
put_up(struct line *ln)
{
	number(ln, wr_session_conn(ln->s, WR_CLIENT)->bytes);
}

static void
put_down(struct line *ln)
{
	number(ln, wr_session_conn(ln->s, WR_SERVER)->bytes);
}

static void
put_wait(struct line *ln)
{
	number(ln, ln->s->tries > 0 ? ln->s->dial_ms : 0);
}

static void
put_connect(struct line *ln)
{
	const struct wr_session *s = ln->s;
	uint32_t us = s->connected ? s->connect_us : 0;

	wr_text_printf(ln->out, "%u.%03u", us / 1000, us % 1000);
}

static void
put_total(struct line *ln)
{
	number(ln, wr_session_lasted_ms(ln->s));
}

static void
put_tries(struct line *ln)
{
	number(ln, ln->s->tries);
}

static void
put_end(struct line *ln)
{
	text(ln, wr_end_text(ln->s->end));
}

static void
put_worker(struct line *ln)
{
	number(ln, ln->s->px->slot->index);
}

static void
put_pid(struct line *ln)
{
	number(ln, (uint64_t)getpid());
}

/* X(name, what stands before it in the usual line of text, how it is put) */
#define USUAL(X)                                                               \
	X(time, "", put_time)                                                  \
	X(listener, " ", put_listener)                                         \
	X(client, " ", put_client)                                             \
	X(upstream, " ", put_upstream)                                         \
	X(server, "/", put_server)                                             \
	X(up, " up=", put_up)                                                  \
	X(down, " down=", put_down)                                            \
	X(wait_ms, " wait=", put_wait)                                         \
	X(connect_ms, " connect=", put_connect)                                \
	X(total_ms, " total=", put_total)                                      \
	X(tries, " tries=", put_tries)                                         \
	X(end, " ", put_end)
/* Those that must be asked for. */
#define OTHER(X)                                                               \
	X(start, "", put_start)                                                \
	X(epoch, "", put_epoch)                                                \
	X(client_ip, "", put_client_ip)                                        \
	X(client_port, "", put_client_port)                                    \
	X(port, "", put_port)                                                  \
	X(worker, "", put_worker)                                              \
	X(pid, "", put_pid)

#define X(name, before, put) #name,
const char *const wr_access_fields[] = { USUAL(X) OTHER(X) NULL };
#undef X

enum {
#define X(name, before, put) F_##name,
	USUAL(X) OTHER(X)
#undef X
};

static const struct field {
	const char *name;
	const char *before;
	void (*put)(struct line *ln);
} fields[] = {
#define X(name, before, put) { #name, before, put },
	USUAL(X) OTHER(X)
#undef X
};

static const uint8_t usual[] = {
#define X(name, before, put) F_##name,
	USUAL(X)
#undef X
};

/* One to a process: the process has one access log. */
static struct {
	struct wr_text out;
	char *mem;
	/* Of the generation in use; by cell, NULL: as at the top. */
	const struct wr_line_conf *line, *lines[WR_LISTENER_CELLS];
	int fd;
	uint32_t version; /* of px->access_fd: this is it */
	bool pipe;        /* so it is */
	bool torn;        /* it has the first part of a line */
	bool failing;     /* and cannot be written to, as was said */
	uint64_t lost;
	struct wr_timer retry;
	struct wr_hook turn_end;
	struct wr_proxy *px;
} access_log;

/* -- Configuration ------------------------------------------------------- */

_Static_assert(WR_ENDS <= WR_SKIP_BITS, "each reason has a bit");

static void
use(struct wr_proxy *px, const struct wr_conf *c)
{
	(void)px;
	access_log.line = &c->access_log.line;
	memset(access_log.lines, 0, sizeof(access_log.lines));
	for (uint32_t i = 0; i < c->n_listeners; i++)
		if (c->listeners[i]->line != access_log.line)
			access_log.lines[c->listeners[i]->cell] =
			    c->listeners[i]->line;
}

/* How the line of a session looks now, whatever was so when it came. */
static const struct wr_line_conf *
line_of(const struct wr_session *s)
{
	const struct wr_line_conf *own = access_log.lines[s->listener_cell];

	return own != NULL ? own : access_log.line;
}

static bool
is_skipped(const struct wr_line_conf *c, unsigned end)
{
	return (c->skip[end / 64] >> end % 64 & 1) != 0;
}

/* -- Writing ------------------------------------------------------------- */

static void
drop_front(size_t n)
{
	struct wr_text *out = &access_log.out;

	memmove(out->p, out->p + n, out->len - n);
	out->len -= n;
	out->p[out->len] = '\0';
}

/* Another file, or the same number for another file.  The rest of a line
 * would be none there. */
static void
take_over(const struct wr_proxy *px)
{
	const struct wr_text *out = &access_log.out;
	const char *end;
	struct stat st;

	if (access_log.torn) {
		end = memchr(out->p, '\n', out->len);
		drop_front(end != NULL ? (size_t)(end + 1 - out->p) : out->len);
		access_log.lost++;
	}
	access_log.torn = access_log.failing = false;
	access_log.version = px->access_version;
	access_log.fd = px->access_fd;
	access_log.pipe = fstat(px->access_fd, &st) < 0 || !S_ISREG(st.st_mode);
}

/* How much may be written now without blocking; whole lines if possible, as
 * other workers write to the same place. */
static size_t
chunk(void)
{
	struct wr_text *out = &access_log.out;
	struct pollfd p = { .fd = access_log.fd, .events = POLLOUT };
	const char *end;

	if (!access_log.pipe)
		return out->len;
	if (poll(&p, 1, 0) != 1 || !(p.revents & POLLOUT))
		return 0;
	if (out->len <= PIPE_BYTES)
		return out->len;
	end = memrchr(out->p, '\n', PIPE_BYTES);
	return end != NULL ? (size_t)(end + 1 - out->p) : PIPE_BYTES;
}

static wr_timer_fn on_retry;

static void
say_failing(void)
{
	if (!access_log.failing)
		wr_warn("access log: cannot write, lines wait");
	access_log.failing = true;
}

static void
lose(uint64_t n)
{
	if (access_log.lost == 0)
		wr_warnx("access log: too many lines wait, new ones are lost");
	access_log.lost += n;
}

static void
say_lost(void)
{
	if (access_log.lost > 0)
		wr_warnx("access log: %llu lines lost",
		    (unsigned long long)access_log.lost);
	access_log.lost = 0;
}

static void
flush(struct wr_proxy *px)
{
	struct wr_text *out = &access_log.out;
	ssize_t n = 0;
	size_t want;

	if (px->access_fd < 0) {
		wr_text_reset(out);
		access_log.torn = false;
		return;
	}
	if (px->access_version != access_log.version)
		take_over(px);
	while (out->len > 0 && (want = chunk()) > 0) {
		n = write(access_log.fd, out->p, want);
		if (n > 0) {
			access_log.torn = out->p[n - 1] != '\n';
			access_log.failing = false;
			drop_front((size_t)n);
		} else if (errno != EINTR) {
			if (errno != EAGAIN)
				say_failing();
			break;
		}
	}
	if (out->len > 0)
		wr_timer_set(px->loop, &access_log.retry, RETRY_MS, on_retry);
	else
		say_lost();
}

static void
on_retry(struct wr_loop *l, struct wr_timer *t)
{
	(void)l;
	(void)t;
	flush(access_log.px);
}

static void
on_turn_end(struct wr_loop *l, struct wr_hook *h)
{
	(void)l;
	(void)h;
	if (access_log.out.len > 0 && !wr_timer_is_set(&access_log.retry))
		flush(access_log.px);
}

/* -- Lines --------------------------------------------------------------- */

static void
put_usual(struct line *ln)
{
	for (size_t i = 0; i < WR_COUNT(usual); i++) {
		const struct field *f = &fields[usual[i]];

		wr_text_puts(ln->out, f->before);
		f->put(ln);
	}
}

/* Each with its name. */
static void
put_chosen(struct line *ln)
{
	for (uint32_t i = 0; i < ln->conf->n_fields; i++) {
		const struct field *f = &fields[ln->conf->fields[i]];

		if (i > 0)
			wr_text_putc(ln->out, ' ');
		wr_text_puts(ln->out, f->name);
		wr_text_putc(ln->out, '=');
		f->put(ln);
	}
}

static void
put_json(struct line *ln)
{
	bool chosen = ln->conf->n_fields > 0;
	const uint8_t *v = chosen ? ln->conf->fields : usual;
	size_t n = chosen ? ln->conf->n_fields : WR_COUNT(usual);

	for (size_t i = 0; i < n; i++) {
		wr_text_puts(ln->out, i == 0 ? "{\"" : ",\"");
		wr_text_puts(ln->out, fields[v[i]].name);
		wr_text_puts(ln->out, "\":");
		fields[v[i]].put(ln);
	}
	wr_text_putc(ln->out, '}');
}

static void
on_end(struct wr_session *s)
{
	struct wr_text *out = &access_log.out;
	struct line ln = { out, s, line_of(s) };
	size_t before = out->len;

	if (!s->log || s->px->access_fd < 0 || is_skipped(ln.conf, s->end))
		return;
	if (ln.conf->format == WR_LOG_JSON)
		put_json(&ln);
	else if (ln.conf->n_fields > 0)
		put_chosen(&ln);
	else
		put_usual(&ln);
	wr_text_putc(out, '\n');
	if (!out->cut)
		return;
	out->len = before;
	out->p[before] = '\0';
	out->cut = false;
	lose(1);
}

/* -- Life ---------------------------------------------------------------- */

static int
start(struct wr_proxy *px)
{
	access_log.mem = malloc(WAIT_BYTES);
	if (access_log.mem == NULL)
		return -ENOMEM;
	wr_text_over(&access_log.out, access_log.mem, WAIT_BYTES);
	access_log.px = px;
	access_log.fd = -1;
	access_log.version = px->access_version - 1;
	access_log.torn = false;
	access_log.turn_end.fn = on_turn_end;
	wr_loop_at_end(px->loop, &access_log.turn_end);
	use(px, px->gen->conf);
	return 0;
}

static void
finish(struct wr_proxy *px)
{
	if (access_log.mem == NULL)
		return;
	flush(px);
	for (size_t i = 0; i < access_log.out.len; i++)
		access_log.lost += access_log.out.p[i] == '\n';
	say_lost();
	wr_timer_stop(px->loop, &access_log.retry);
	wr_loop_hook_stop(&access_log.turn_end);
	free(access_log.mem);
	access_log.mem = NULL;
}

const struct wr_module wr_mod_accesslog = {
	.name = "accesslog",
	.on_end = on_end,
	.worker_start = start,
	.worker_use = use,
	.worker_exit = finish,
};
