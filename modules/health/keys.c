/* SPDX-License-Identifier: BSD-2-Clause */
/* keys - the `health` group: its keys, and what is derived from them. */
#include "modules/health/health.h"

#include <errno.h>

#include "conf/check.h"
#include "modules/pcre.h"

#define CHECKED_STEPS 64

static const char *const types[] = { "tcp", "tls", "http", "script", NULL };

static const struct wr_key step_keys[] = {
	{ "send", WR_TEXT, offsetof(struct wr_health_step, send_text), "",
	    .help = "bytes to send: \"hex:0a 0b\", or text with \\\\r \\\\n "
		    "\\\\xNN",
	    .effect = WR_LIVE },
	{ "expect", WR_TEXT, offsetof(struct wr_health_step, expect_text), "",
	    .help =
		"what must come since then: a regex (PCRE2), or \"hex:...\"",
	    .effect = WR_LIVE },
	{ 0 },
};

#define KEY(key, type, member, preset, what)                                   \
	key, type, offsetof(struct wr_health_conf, member), preset,            \
	    .help = what, .effect = WR_LIVE

const struct wr_key wr_health_keys[] = {
	{ KEY("on", WR_BOOL, on, "false", "check the servers") },
	{ KEY("type", WR_CHOICE, type, "tcp", "what a check does"),
	    .choices = types },
	{ KEY("interval", WR_TIME, interval_ms, "2s",
	      "from one check of a server to the next"),
	    .min = 10, .max = 86400000 },
	{ KEY("fast", WR_TIME, fast_ms, "500ms",
	      "the same while results contradict the server's state"),
	    .min = 10, .max = 86400000 },
	{ KEY("timeout", WR_TIME, timeout_ms, "1s", "for the whole check"),
	    .min = 1, .max = 3600000 },
	{ KEY("fall", WR_INT, fall, "3",
	      "failed checks in a row that take a server down"),
	    .min = 1, .max = 1000 },
	{ KEY("rise", WR_INT, rise, "2",
	      "passed checks in a row that bring it back"),
	    .min = 1, .max = 1000 },
	{ KEY("address", WR_TEXT, address, "",
	    "check this address instead of the server's") },
	{ KEY("port", WR_INT, port, "0",
	      "check this port instead of the server's"),
	    .min = 0, .max = 65535 },
	{ KEY(
	    "method", WR_TEXT, method, "GET", "method of the request (http)") },
	{ KEY(
	    "uri", WR_TEXT, uri, "/", "path and query of the request (http)") },
	{ KEY("host", WR_TEXT, host, "",
	    "Host (http), else the server's address; name asked for (tls)") },
	{ KEY("status", WR_TEXTS, status, "[ 200-399 ]",
	    "answers that pass (http)") },
	{ KEY("body", WR_TEXT, body, "",
	    "a regex (PCRE2) for the first 16k of the body (http)") },
	{ KEY("steps", WR_GROUPS, steps, "",
	      "what is said and expected in turn (script)"),
	    .keys = step_keys, .size = sizeof(struct wr_health_step) },
	{ 0 },
};

/* -- Bytes --------------------------------------------------------------- */

/* Two digits at `z`, or -1. */
static int
hex_byte(const char *z)
{
	int high = wr_str_hex(z[0]), low = high < 0 ? -1 : wr_str_hex(z[1]);

	return low < 0 ? -1 : high << 4 | low;
}

static int
decode_hex(const char *z, uint8_t *bytes, uint32_t size)
{
	uint32_t n = 0;
	int b;

	for (;;) {
		while (*z == ' ')
			z++;
		if (*z == '\0')
			return (int)n;
		b = hex_byte(z);
		if (b < 0 || n == size)
			return -EINVAL;
		bytes[n++] = (uint8_t)b;
		z += 2;
	}
}

/* What follows a backslash; *z is moved past it. */
static int
decode_escape(const char **z)
{
	static const char names[] = "rnt0\\", values[] = "\r\n\t\0\\";
	const char *at;
	int b;

	if (**z == 'x') {
		b = hex_byte(*z + 1);
		*z += b < 0 ? 0 : 3;
		return b;
	}
	at = **z != '\0' ? strchr(names, **z) : NULL;
	if (at == NULL)
		return -1;
	(*z)++;
	return values[at - names];
}

int
wr_health_decode(const char *z, uint8_t *bytes, uint32_t size)
{
	uint32_t n = 0;

	if (strncmp(z, "hex:", 4) == 0)
		return decode_hex(z + 4, bytes, size);
	while (*z != '\0') {
		int b = (uint8_t)*z++;

		if (b == '\\')
			b = decode_escape(&z);
		if (b < 0 || n == size)
			return -EINVAL;
		bytes[n++] = (uint8_t)b;
	}
	return (int)n;
}

/* -- Checks of the group ------------------------------------------------- */

static const struct wr_node *
at(const struct wr_node *n, const char *key)
{
	const struct wr_node *m = wr_node_get(n, key);

	return m != NULL ? m : n;
}

static void
check_regex(struct wr_check *c, const struct wr_node *n, const char *pattern)
{
	struct wr_pcre *re;
	char why[192];

	re = wr_pcre_new(pattern, WR_PCRE_LINES, why, sizeof(why));
	if (re == NULL)
		wr_check_error(c, n, "this regex is broken: %s", why);
	wr_pcre_free(&re);
}

static bool
decode(struct wr_check *c, const struct wr_node *n, const char *text,
    struct wr_health_bytes *to)
{
	uint32_t size = (uint32_t)strlen(text);
	uint8_t *bytes = wr_check_alloc(c, size + 1);
	int len = wr_health_decode(text, bytes, size);

	if (len < 0) {
		wr_check_error(c, n,
		    strncmp(text, "hex:", 4) == 0
			? "\"hex:\" is followed by pairs of hex digits"
			: "a backslash is followed by r n t 0 \\ or xNN here "
			  "(written \"\\\\r\")");
		return false;
	}
	if (len > WR_PROBE_BYTES)
		wr_check_error(c, n, "no more than 16k can be sent in a step");
	*to = (struct wr_health_bytes){ bytes, (uint32_t)len };
	return true;
}

static void
check_step(
    struct wr_check *c, const struct wr_node *n, struct wr_health_step *s)
{
	const struct wr_node *expect = at(n, "expect");

	s->send = s->exact = (struct wr_health_bytes){ NULL, 0 };
	if (s->send_text[0] == '\0' && s->expect_text[0] == '\0')
		wr_check_error(c, n, "a step has \"send\", \"expect\" or both");
	if (s->send_text[0] != '\0')
		(void)decode(c, at(n, "send"), s->send_text, &s->send);
	if (strncmp(s->expect_text, "hex:", 4) == 0) {
		if (decode(c, expect, s->expect_text, &s->exact) &&
		    s->exact.len == 0)
			wr_check_error(c, expect, "no bytes are expected");
	} else if (s->expect_text[0] != '\0') {
		check_regex(c, expect, s->expect_text);
	}
}

static void
check_steps(
    struct wr_check *c, const struct wr_node *n, struct wr_health_conf *h)
{
	const struct wr_node *steps = wr_node_get(n, "steps"), *one;
	struct wr_health_step *v = h->steps.v;

	if (h->type != WR_CHECK_SCRIPT)
		return;
	if (h->steps.n == 0 || h->steps.n > CHECKED_STEPS) {
		wr_check_error(c, n,
		    "a script has 1 to %d steps, as in "
		    "steps = ( { send = \"PING\\r\\n\"; expect = "
		    "\"^\\\\+PONG\"; } )",
		    CHECKED_STEPS);
		return;
	}
	one = steps == NULL           ? NULL
	      : wr_node_plural(steps) ? steps->first
				      : steps;
	for (uint32_t i = 0; i < h->steps.n; i++) {
		check_step(c, one != NULL ? one : n, &v[i]);
		one = one != NULL ? one->next : NULL;
	}
}

static bool
code(struct wr_str s, uint16_t *to)
{
	uint64_t v;

	if (s.len != 3 || wr_str_u64(s, 599, &v) < 0 || v < 100)
		return false;
	*to = (uint16_t)v;
	return true;
}

/* Else something has been said already. */
static bool
texts_only(const struct wr_node *n)
{
	if (n == NULL || !wr_node_plural(n))
		return n == NULL || n->kind == WR_N_TEXT;
	for (n = n->first; n != NULL; n = n->next)
		if (n->kind != WR_N_TEXT)
			return false;
	return true;
}

static void
check_status(
    struct wr_check *c, const struct wr_node *n, struct wr_health_conf *h)
{
	struct wr_health_range *r =
	    wr_check_array(c, h->status.n + 1, sizeof(*r));

	for (uint32_t i = 0; i < h->status.n; i++) {
		struct wr_str s = wr_str_of(h->status.v[i]), first, last;

		if (!wr_str_cut(s, '-', &first, &last))
			last = first;
		if (!code(first, &r[i].first) || !code(last, &r[i].last) ||
		    r[i].first > r[i].last)
			wr_check_error(c, at(n, "status"),
			    "\"%s\" is not a status or a range of them: write "
			    "\"200\" or \"200-399\"",
			    h->status.v[i]);
	}
	if (h->status.n == 0 && texts_only(wr_node_get(n, "status")))
		wr_check_error(
		    c, at(n, "status"), "no status would pass the check");
	h->ranges = r;
	h->n_ranges = h->status.n;
}

/* Would `z` end a word or a line of a request? */
static bool
breaks(const char *z, bool spaces)
{
	for (; *z != '\0'; z++)
		if ((uint8_t)*z < ' ' || *z == 0x7f || (spaces && *z == ' '))
			return true;
	return false;
}

static void
check_http(
    struct wr_check *c, const struct wr_node *n, struct wr_health_conf *h)
{
	static const char token[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ-";

	check_status(c, n, h);
	if (h->method[0] == '\0' ||
	    h->method[strspn(h->method, token)] != '\0' ||
	    strlen(h->method) > 32)
		wr_check_error(c, at(n, "method"),
		    "a method is a word like \"GET\" or \"HEAD\"");
	if (h->uri[0] != '/' || breaks(h->uri, true) || strlen(h->uri) > 4096)
		wr_check_error(
		    c, at(n, "uri"), "a uri begins with / and has no spaces");
	if (breaks(h->host, true) || strlen(h->host) > 255)
		wr_check_error(c, at(n, "host"), "this is not a host");
	if (h->body[0] != '\0')
		check_regex(c, at(n, "body"), h->body);
}

static void
check_target(
    struct wr_check *c, const struct wr_node *n, struct wr_health_conf *h)
{
	const struct wr_upstream_conf *u = wr_check_owner(c);
	struct wr_str s = wr_str_of(h->address);
	int err;

	h->to.len = 0;
	h->to_has_port = true;
	if (s.len > 0) {
		err = wr_addr_parse(&h->to, s, -1);
		if (err == -EDESTADDRREQ) {
			h->to_has_port = false;
			err = wr_addr_parse(&h->to, s, 1);
		}
		if (err < 0)
			wr_check_error(c, at(n, "address"),
			    "\"%s\" is not an address: write \"10.0.0.5\", "
			    "\"10.0.0.5:8008\" or \"unix:/path\"",
			    h->address);
	}
	if (u == NULL || h->port != 0 || (h->to.len > 0 && h->to_has_port))
		return;
	for (uint32_t i = 0; i < u->n_servers; i++)
		if (u->servers[i].client_port)
			wr_check_error(c, n,
			    "server %s has no port of its own to check: "
			    "write health = { port = ...; }",
			    u->servers[i].name);
}

/* A uri beside a type that asks for none is a check of less than was meant. */
static void
check_moot(
    struct wr_check *c, const struct wr_node *n, const struct wr_health_conf *h)
{
	static const struct {
		const char *key, *types;
	} FOR[] = {
		{ "method", "\"http\"" },
		{ "uri", "\"http\"" },
		{ "host", "\"http\" or \"tls\"" },
		{ "status", "\"http\"" },
		{ "body", "\"http\"" },
		{ "steps", "\"script\"" },
	};
	const struct wr_node *type = wr_node_get(n, "type"), *m;

	/* Defaults are for upstreams of all types; and a wrong type has been
	 * reported. */
	if (wr_check_owner(c) == NULL ||
	    (type != NULL && (type->kind != WR_N_TEXT ||
				 strcmp(type->text, types[h->type]) != 0)))
		return;
	for (size_t i = 0; i < WR_COUNT(FOR); i++) {
		m = wr_node_get(n, FOR[i].key);
		if (m != NULL && strstr(FOR[i].types, types[h->type]) == NULL)
			wr_check_error(c, m,
			    "it is for type = %s, not for \"%s\"", FOR[i].types,
			    types[h->type]);
	}
}

void
wr_health_check(struct wr_check *c, const struct wr_node *n, void *value)
{
	struct wr_health_conf *h = value;

	check_http(c, n, h);
	if (!h->on)
		return;
	check_moot(c, n, h);
	check_steps(c, n, h);
	check_target(c, n, h);
}

/* -- What is asked ------------------------------------------------------- */

struct wr_addr
wr_health_target(const struct wr_health_conf *c, const struct wr_addr *server)
{
	struct wr_addr a = c->to.len > 0 ? c->to : *server;

	if (a.sa.sa_family == AF_UNIX)
		return a;
	if (c->port != 0)
		wr_addr_set_port(&a, (uint16_t)c->port);
	else if (c->to.len > 0 && !c->to_has_port)
		wr_addr_set_port(&a, wr_addr_port(server));
	return a;
}

static uint64_t
mix(uint64_t h, const void *p, size_t len)
{
	static const struct wr_hash_key key = { { 0x6865616c7468, 1 } };

	return wr_hash_u64(h ^ wr_hash(&key, p, len));
}

static uint64_t
mix_text(uint64_t h, const char *z)
{
	return mix(h, z, strlen(z) + 1);
}

uint64_t
wr_health_hash(const struct wr_health_conf *c, const struct wr_addr *server)
{
	struct wr_addr to = wr_health_target(c, server);
	const struct wr_health_step *step = c->steps.v;
	char text[WR_ADDR_TEXT];
	uint64_t h = mix(c->type, &c->type, sizeof(c->type));

	/* Another server under the same name is another server, wherever its
	 * check goes. */
	h = mix_text(h, wr_addr_text(server, text, sizeof(text)));
	h = mix_text(h, wr_addr_text(&to, text, sizeof(text)));
	h = mix_text(h, c->host);
	if (c->type == WR_CHECK_HTTP) {
		h = mix_text(h, c->method);
		h = mix_text(h, c->uri);
		h = mix_text(h, c->body);
		h = mix(h, c->ranges, c->n_ranges * sizeof(*c->ranges));
	}
	for (uint32_t i = 0; c->type == WR_CHECK_SCRIPT && i < c->steps.n;
	     i++) {
		h = mix_text(h, step[i].send_text);
		h = mix_text(h, step[i].expect_text);
	}
	return h != 0 ? h : 1;
}
