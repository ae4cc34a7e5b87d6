/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * get - one state machine over bytes (RFC 9112), and what was announced.
 *
 * What others take with a shrug is refused here: a bare LF or CR, folded
 * lines, space before a colon, a request without version or with two hosts.
 * Nobody honest needs it, and somebody else may have read it differently.
 */
#include "wire/get.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum state {
	METHOD,
	TARGET,
	VERSION,
	LINE_LF,
	NAME,
	VALUE,
	VALUE_LF,
	END_LF,
	COMPLETE,
	REFUSED,
};

void
wr_get_init(struct wr_get *g)
{
	(void)memset(g, 0, sizeof(*g));
}

static enum state
refuse(struct wr_get *g, uint16_t status)
{
	g->status = status;
	return REFUSED;
}

static bool
is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

static bool
is_alnum(uint8_t c)
{
	return is_digit(c) || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

/* RFC 9110 section 5.6.2 */
static bool
is_token(uint8_t c)
{
	return is_alnum(c) || (c != '\0' && strchr("!#$%&'*+-.^_`|~", c));
}

static uint8_t
lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? (uint8_t)(c | 0x20) : c;
}

/* -- What headers say ---------------------------------------------------- */

/* "name", "name:80", "[::1]", "[::1]:80": no user, no path, no list. */
static bool
host_ok(const char *v)
{
	const char *colon;
	size_t n;

	if (v[0] == '[') {
		n = strspn(v + 1, "0123456789abcdefABCDEF:.");
		if (n == 0 || v[1 + n] != ']')
			return false;
		colon = v + n + 2;
	} else {
		colon = strchrnul(v, ':');
		for (const char *p = v; p < colon; p++)
			if (!is_alnum((uint8_t)*p) && !strchr("-._~", *p))
				return false;
	}
	if (colon == v || *colon == '\0')
		return colon != v;
	n = strspn(colon + 1, "0123456789");
	return *colon == ':' && colon[1 + n] == '\0' && n <= 5 &&
	       strtoul(colon + 1, NULL, 10) <= UINT16_MAX;
}

/* Is the last coding of the list the one that tells where a body ends? */
static bool
is_chunked(const char *v)
{
	const char *last = strrchr(v, ',');

	last = last != NULL ? last + 1 : v;
	last += strspn(last, " \t");
	return strcasecmp(last, "chunked") == 0;
}

/* A header is complete. */
static enum state
header(struct wr_get *g)
{
	size_t len = strlen(g->value);

	while (len > 0 && strchr(" \t", g->value[len - 1]) != NULL)
		g->value[--len] = '\0';
	if (strcmp(g->name, "host") == 0) {
		if (++g->n_host > 1 || g->over || !host_ok(g->value))
			return refuse(g, 400);
	} else if (strcmp(g->name, "content-length") == 0) {
		if (++g->n_length > 1 || g->over || len == 0 ||
		    strspn(g->value, "0123456789") != len)
			return refuse(g, 400);
		g->body = strspn(g->value, "0") != len;
	} else if (strcmp(g->name, "transfer-encoding") == 0) {
		if (++g->n_coding > 1 || g->over)
			return refuse(g, 400);
		g->coded = is_chunked(g->value);
	}
	g->over = false;
	g->n = 0;
	return NAME;
}

/* The head is complete: is it one that can be answered? */
static enum state
judge(struct wr_get *g)
{
	g->head = strcmp(g->method, "HEAD") == 0;
	if (g->major != 1 || g->minor > 1)
		return refuse(g, 505);
	if (g->n_host == 0 && g->minor == 1)
		return refuse(g, 400);
	/* Where a body ends, and so where the next request begins, is told
	 * twice, or in a way that cannot be right. */
	if (g->n_coding > 0 && (g->n_length > 0 || g->minor == 0 || !g->coded))
		return refuse(g, 400);
	if (!g->head && strcmp(g->method, "GET") != 0)
		return refuse(g, 405);
	if (g->n_coding > 0)
		return refuse(g, 501);
	if (g->body || !g->origin)
		return refuse(g, 400);
	return COMPLETE;
}

/* -- Bytes --------------------------------------------------------------- */

static enum state
in_method(struct wr_get *g, uint8_t c)
{
	if (c == ' ' && g->n > 0) {
		g->n = 0;
		return TARGET;
	}
	if (!is_token(c))
		return refuse(g, 400);
	/* Longer than any method that is known. */
	if (g->n == sizeof(g->method) - 1)
		return refuse(g, 501);
	g->method[g->n++] = (char)c;
	return METHOD;
}

static enum state
in_target(struct wr_get *g, uint8_t c)
{
	if (c == ' ' && g->n > 0) {
		if (g->over)
			g->path[0] = '\0';
		g->n = 0;
		g->over = false;
		return VERSION;
	}
	if (c <= ' ' || c >= 0x7f || c == '#')
		return refuse(g, 400);
	if (g->n == 0)
		g->origin = c == '/';
	g->query |= c == '?';
	if (g->query)
		g->n = g->n > 0 ? g->n : 1;
	else if (g->n == sizeof(g->path) - 1)
		g->over = true;
	else
		g->path[g->n++] = (char)c;
	return TARGET;
}

static enum state
in_version(struct wr_get *g, uint8_t c)
{
	static const char form[] = "HTTP/d.d";
	bool digit;

	if (c == '\r' && form[g->n] == '\0') {
		g->n = 0;
		return LINE_LF;
	}
	digit = form[g->n] == 'd';
	if (form[g->n] == '\0' || (digit ? !is_digit(c) : c != form[g->n]))
		return refuse(g, 400);
	if (digit)
		g->major = g->minor, g->minor = (uint8_t)(c - '0');
	g->n++;
	return VERSION;
}

static enum state
in_name(struct wr_get *g, uint8_t c)
{
	if (c == '\r' && g->n == 0)
		return END_LF;
	if (c == ':' && g->n > 0) {
		/* A name that is too long for us is none that matters. */
		g->name[g->over ? 0 : g->n] = '\0';
		g->n = 0;
		g->over = false;
		return VALUE;
	}
	if (!is_token(c))
		return refuse(g, 400);
	if (g->n == sizeof(g->name) - 1)
		g->over = true;
	else
		g->name[g->n++] = (char)lower(c);
	return NAME;
}

static enum state
in_value(struct wr_get *g, uint8_t c)
{
	if (c == '\r') {
		g->value[g->n] = '\0';
		return VALUE_LF;
	}
	if ((c < ' ' && c != '\t') || c == 0x7f)
		return refuse(g, 400);
	if (g->n == 0 && (c == ' ' || c == '\t'))
		return VALUE;
	if (g->n == sizeof(g->value) - 1)
		g->over = true;
	else
		g->value[g->n++] = (char)c;
	return VALUE;
}

static enum state
step(struct wr_get *g, uint8_t c)
{
	if (g->len++ == WR_GET_MAX)
		return refuse(g, 431);
	switch ((enum state)g->state) {
	case METHOD:
		return in_method(g, c);
	case TARGET:
		return in_target(g, c);
	case VERSION:
		return in_version(g, c);
	case LINE_LF:
		return c == '\n' ? NAME : refuse(g, 400);
	case NAME:
		return in_name(g, c);
	case VALUE:
		return in_value(g, c);
	case VALUE_LF:
		return c == '\n' ? header(g) : refuse(g, 400);
	default:
		assert(g->state == END_LF);
		return c == '\n' ? judge(g) : refuse(g, 400);
	}
}

int
wr_get_feed(struct wr_get *g, const uint8_t *bytes, size_t len)
{
	assert(g->state != COMPLETE && g->state != REFUSED);
	for (size_t i = 0; i < len; i++) {
		g->state = (uint8_t)step(g, bytes[i]);
		if (g->state == REFUSED)
			return -EPROTO;
		if (g->state == COMPLETE)
			return (int)(i + 1);
	}
	return 0;
}
