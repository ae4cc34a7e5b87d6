/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * accesslog - one line for each session that is over.
 *
 *	access_log = { to = "stdout"; format = "text"; fields = ""; skip = [];
 *};
 *
 * Lines are gathered and written once a turn.  A log that cannot be written
 * to now keeps its lines waiting; when there are too many, new ones are lost
 * and counted, and the sessions go on.
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
#define FIELDS_MAX 16
/* How often a log that could not be written is tried again. */
#define RETRY_MS 50

struct line {
	struct wr_text *out;
	struct wr_session *s;
	bool json;
};

static void
text(struct line *ln, const char *z)
{
	if (z == NULL || *z == '\0')
		z = "-";
	if (ln->json)
		wr_text_json(ln->out, wr_str_of(z));
	else
		wr_text_puts(ln->out, z);
}

static void
number(struct line *ln, uint64_t n)
{
	wr_text_printf(ln->out, "%llu", (unsigned long long)n);
}

static const char *
name(char *const *names, uint32_t cell)
{
	return cell == WR_OFF ? NULL : names[cell];
}

static void
put_time(struct line *ln)
{
	char z[64];
	struct timespec ts;
	struct tm tm;

	clock_gettime(CLOCK_REALTIME, &ts);
	gmtime_r(&ts.tv_sec, &tm);
	(void)snprintf(z, sizeof(z), "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ",
	    tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min,
	    tm.tm_sec, (int)(ts.tv_nsec / 1000000));
	text(ln, z);
}

static void
put_listener(struct line *ln)
{
	text(ln, name(ln->s->px->listener_names, ln->s->listener_cell));
}

static void
put_client(struct line *ln)
{
	char z[WR_ADDR_TEXT];

	text(ln, wr_ip_text(wr_session_client(ln->s), z, sizeof(z)));
}

static void
put_upstream(struct line *ln)
{
	text(ln, name(ln->s->px->upstream_names, ln->s->upstream_cell));
}

static void
put_server(struct line *ln)
{
	text(ln, name(ln->s->px->server_names, ln->s->server_cell));
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
	number(ln, wr_session_age_ms(ln->s));
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

static const struct field {
	const char *name;
	const char *before; /* in text: what stands before it */
	void (*put)(struct line *ln);
} fields[] = {
	{ "time", "", put_time },
	{ "listener", " ", put_listener },
	{ "client", " ", put_client },
	{ "upstream", " ", put_upstream },
	{ "server", "/", put_server },
	{ "up", " up=", put_up },
	{ "down", " down=", put_down },
	{ "wait_ms", " wait=", put_wait },
	{ "connect_ms", " connect=", put_connect },
	{ "total_ms", " total=", put_total },
	{ "tries", " tries=", put_tries },
	{ "end", " ", put_end },
};

/* One to a process: the process has one access log. */
static struct {
	struct wr_text out;
	char *mem;
	const struct field *fields[FIELDS_MAX];
	unsigned n_fields;
	bool skip[WR_ENDS];
	bool json, pipe;
	bool chosen; /* fields were named: each stands with its name */
	int fd;      /* that `pipe` is about */
	uint64_t lost;
	struct wr_timer retry;
	struct wr_hook turn_end;
	struct wr_proxy *px;
} access_log;

/* -- Configuration ------------------------------------------------------- */

static const struct field *
field_of(struct wr_str name_)
{
	for (size_t i = 0; i < WR_COUNT(fields); i++)
		if (wr_str_is(name_, fields[i].name))
			return &fields[i];
	return NULL;
}

/* Names in the order in which they are wanted; all if there are none. */
static void
use_fields(const char *names)
{
	struct wr_str rest = wr_str_of(names), word;
	const struct field *f;

	access_log.n_fields = 0;
	while (rest.len > 0) {
		(void)wr_str_cut(rest, ' ', &word, &rest);
		if (word.len == 0)
			continue;
		f = field_of(word);
		if (f == NULL)
			wr_warnx("access_log: there is no field \"%.*s\"",
			    WR_STR_ARG(word));
		else if (access_log.n_fields < FIELDS_MAX)
			access_log.fields[access_log.n_fields++] = f;
	}
	access_log.chosen = access_log.n_fields > 0;
	if (access_log.chosen)
		return;
	for (size_t i = 0; i < WR_COUNT(fields); i++)
		access_log.fields[access_log.n_fields++] = &fields[i];
}

static void
use_skip(const struct wr_texts *skip)
{
	memset(access_log.skip, 0, sizeof(access_log.skip));
	for (uint32_t i = 0; i < skip->n; i++)
		for (unsigned e = 0; e < WR_ENDS; e++)
			if (strcmp(skip->v[i], wr_end_text(e)) == 0)
				access_log.skip[e] = true;
}

static void
use(struct wr_proxy *px, const struct wr_conf *c)
{
	(void)px;
	access_log.json = c->access_log.format == WR_LOG_JSON;
	use_fields(c->access_log.fields != NULL ? c->access_log.fields : "");
	use_skip(&c->access_log.skip);
}

/* -- Writing ------------------------------------------------------------- */

static void
look_at(int fd)
{
	struct stat st;

	access_log.fd = fd;
	access_log.pipe = fstat(fd, &st) < 0 || !S_ISREG(st.st_mode);
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

static void
drop_front(size_t n)
{
	struct wr_text *out = &access_log.out;

	memmove(out->p, out->p + n, out->len - n);
	out->len -= n;
	out->p[out->len] = '\0';
}

static wr_timer_fn on_retry;

static void
flush(struct wr_proxy *px)
{
	struct wr_text *out = &access_log.out;
	ssize_t n = 0;
	size_t want;

	if (px->access_fd < 0) {
		wr_text_reset(out);
		return;
	}
	if (px->access_fd != access_log.fd)
		look_at(px->access_fd);
	while (out->len > 0 && (want = chunk()) > 0) {
		n = write(access_log.fd, out->p, want);
		if (n > 0)
			drop_front((size_t)n);
		else if (errno != EINTR)
			break;
	}
	if (out->len > 0)
		wr_timer_set(px->loop, &access_log.retry, RETRY_MS, on_retry);
	else if (access_log.lost > 0) {
		wr_warnx("access log: %llu lines lost",
		    (unsigned long long)access_log.lost);
		access_log.lost = 0;
	}
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
put_text(struct line *ln)
{
	for (unsigned i = 0; i < access_log.n_fields; i++) {
		const struct field *f = access_log.fields[i];

		if (access_log.chosen)
			wr_text_printf(
			    ln->out, "%s%s=", i == 0 ? "" : " ", f->name);
		else
			wr_text_puts(ln->out, f->before);
		f->put(ln);
	}
}

static void
put_json(struct line *ln)
{
	for (unsigned i = 0; i < access_log.n_fields; i++) {
		wr_text_putc(ln->out, i == 0 ? '{' : ',');
		wr_text_printf(ln->out, "\"%s\":", access_log.fields[i]->name);
		access_log.fields[i]->put(ln);
	}
	wr_text_putc(ln->out, '}');
}

static void
on_end(struct wr_session *s)
{
	struct wr_text *out = &access_log.out;
	struct line ln = { out, s, access_log.json };
	size_t before = out->len;

	if (!s->log || s->px->access_fd < 0 || access_log.skip[s->end])
		return;
	if (access_log.json)
		put_json(&ln);
	else
		put_text(&ln);
	wr_text_putc(out, '\n');
	if (!out->cut)
		return;
	out->len = before;
	out->p[before] = '\0';
	out->cut = false;
	access_log.lost++;
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
