/* SPDX-License-Identifier: BSD-2-Clause */
/* http - ask once, look at the status and at the beginning of the body. */
#include <stdio.h>
#include <strings.h>

#include "modules/health/probe.h"

/* Longer ones are no status lines. */
#define LINE_MAX_BYTES 1024
/* Interim answers (1xx) before the real one. */
#define INTERIM_MAX 8

/* What has come, cut up. */
struct answer {
	uint32_t status;
	struct wr_str head; /* from the first field on */
	struct wr_str body;
	bool headed; /* all of the head is there */
};

static enum wr_probed
ask(struct wr_probe *p)
{
	const struct wr_health_conf *c = p->conf;
	char text[5120];
	int n = snprintf(text, sizeof(text),
	    "%s %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: weir-check\r\n"
	    "Accept: */*\r\nConnection: close\r\n\r\n",
	    c->method, c->uri, c->host[0] != '\0' ? c->host : p->host);

	(void)snprintf(p->doing, sizeof(p->doing), "waiting for a status");
	if (n < 0 || (size_t)n >= sizeof(text))
		return wr_probe_say(p, WR_PROBE_BAD, "the request is too long");
	return wr_probe_send(p, text, (uint32_t)n);
}

/* -- Head ---------------------------------------------------------------- */

/* "HTTP/1.1 200 OK": the status, or 0 (RFC 9112 section 4). */
static uint32_t
status_of(struct wr_str line)
{
	uint64_t v;

	if (line.len < 12 || !wr_str_starts(line, "HTTP/1.") ||
	    line.p[8] != ' ' || (line.len > 12 && (uint8_t)line.p[12] > ' '))
		return 0;
	if (wr_str_u64((struct wr_str){ line.p + 9, 3 }, 999, &v) < 0)
		return 0;
	return (uint32_t)v;
}

/* The first empty line ends the head. */
static bool
split(struct wr_str all, struct wr_str *head, struct wr_str *body)
{
	struct wr_str rest = all, line;

	while (wr_str_cut(rest, '\n', &line, &rest)) {
		if (line.len > 0 && !wr_str_is(line, "\r"))
			continue;
		*head = (struct wr_str){ all.p, (size_t)(line.p - all.p) };
		*body = rest;
		return true;
	}
	return false;
}

/* The value of a field of the head, or empty. */
static struct wr_str
field(struct wr_str head, const char *name)
{
	struct wr_str line, key, value;

	while (head.len > 0) {
		(void)wr_str_cut(head, '\n', &line, &head);
		if (wr_str_cut(line, ':', &key, &value) &&
		    key.len == strlen(name) &&
		    strncasecmp(key.p, name, key.len) == 0)
			return wr_str_trim(value);
	}
	return (struct wr_str){ "", 0 };
}

/* MORE: not enough has come; GOOD: `a` is filled in. */
static enum wr_probed
parse(struct wr_probe *p, struct answer *a, bool last)
{
	struct wr_str all = { (const char *)p->bytes, p->len }, line, rest;
	char shown[WR_PROBE_SHOWN];
	bool whole = wr_str_cut(all, '\n', &line, &rest);

	if (!whole && !last && p->len < LINE_MAX_BYTES &&
	    memcmp(p->bytes, "HTTP/1.", p->len < 7 ? p->len : 7) == 0)
		return WR_PROBE_MORE;
	a->status = whole ? status_of(line) : 0;
	if (a->status == 0)
		return wr_probe_say(p, WR_PROBE_BAD,
		    p->len == 0 ? "closed without an answer"
				: "not an HTTP answer: \"%s\"",
		    wr_probe_shown(p, shown));
	a->headed = split(rest, &a->head, &a->body);
	return WR_PROBE_GOOD;
}

/* -- Body ---------------------------------------------------------------- */

/* A chunk's size from its line; false if it is none. */
static bool
chunk_size(struct wr_str line, size_t *size)
{
	size_t v = 0, i;

	for (i = 0; i < line.len && i < 8; i++) {
		const char *digits = "0123456789abcdefABCDEF", *at;

		at = line.p[i] != '\0' ? strchr(digits, line.p[i]) : NULL;
		if (at == NULL)
			break;
		v = v * 16 +
		    (size_t)(at - digits > 15 ? at - digits - 6 : at - digits);
	}
	*size = v;
	return i > 0;
}

/* Take the sizes out (RFC 9112 section 7.1); *whole if the last one came, or
 * what comes is broken. */
static struct wr_str
unchunk(struct wr_str in, char *out, bool *whole)
{
	struct wr_str line;
	size_t n = 0, size;

	while (wr_str_cut(in, '\n', &line, &in)) {
		if (!chunk_size(line, &size) || size == 0) {
			*whole = true;
			break;
		}
		if (size > in.len)
			size = in.len;
		memcpy(out + n, in.p, size);
		n += size;
		in.p += size;
		in.len -= size;
		/* The line end behind it. */
		(void)wr_str_cut(in, '\n', &line, &in);
	}
	return (struct wr_str){ out, n };
}

static enum wr_probed
match(struct wr_probe *p, const struct answer *a, bool last)
{
	static char plain[WR_PROBE_BYTES]; /* of one look */
	struct wr_str body = a->body, coding, length;
	uint64_t v;

	if (!wr_probe_may_look(p, last))
		return WR_PROBE_MORE;
	coding = field(a->head, "transfer-encoding");
	length = field(a->head, "content-length");
	if (coding.len == 7 && strncasecmp(coding.p, "chunked", 7) == 0)
		body = unchunk(body, plain, &last);
	else if (wr_str_u64(length, UINT64_MAX, &v) == 0 && body.len >= v)
		last = true;
	switch (wr_pcre_match(p->patterns->body, body.p, body.len)) {
	case 1:
		return wr_probe_say(
		    p, WR_PROBE_GOOD, "status %u, the body matches", a->status);
	case 0:
		if (!last)
			return WR_PROBE_MORE;
		return wr_probe_say(p, WR_PROBE_BAD,
		    "status %u, the body does not match", a->status);
	default:
		return wr_probe_say(
		    p, WR_PROBE_BAD, "the regex for the body takes too long");
	}
}

static bool
passes(const struct wr_health_conf *c, uint32_t status)
{
	for (uint32_t i = 0; i < c->n_ranges; i++)
		if (status >= c->ranges[i].first && status <= c->ranges[i].last)
			return true;
	return false;
}

static enum wr_probed
judge(struct wr_probe *p, const struct answer *a, bool last)
{
	if (!passes(p->conf, a->status))
		return wr_probe_say(p, WR_PROBE_BAD, "status %u", a->status);
	if (p->patterns->body == NULL)
		return wr_probe_say(p, WR_PROBE_GOOD, "status %u", a->status);
	(void)snprintf(p->doing, sizeof(p->doing), "waiting for the body");
	if (a->headed)
		return match(p, a, last);
	if (last)
		return wr_probe_say(
		    p, WR_PROBE_BAD, "the head of the answer does not end");
	return WR_PROBE_MORE;
}

static enum wr_probed
look(struct wr_probe *p, bool last)
{
	enum wr_probed how;
	struct answer a = { 0 };

	for (;;) {
		how = parse(p, &a, last);
		if (how != WR_PROBE_GOOD)
			return how;
		if (a.status >= 200)
			return judge(p, &a, last);
		/* An interim answer: the real one follows. */
		if (!a.headed && !last)
			return WR_PROBE_MORE;
		if (!a.headed || ++p->step > INTERIM_MAX)
			return wr_probe_say(
			    p, WR_PROBE_BAD, "nothing but status %u", a.status);
		memmove(p->bytes, a.body.p, a.body.len);
		p->len = (uint32_t)a.body.len;
		last = p->ended;
	}
}

static enum wr_probed
sent(struct wr_probe *p)
{
	(void)p;
	return WR_PROBE_MORE;
}

const struct wr_probe_kind wr_probe_http = { ask, look, sent };
