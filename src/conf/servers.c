/* SPDX-License-Identifier: BSD-2-Clause */
/* servers - the members of an upstream. */
#include <ctype.h>
#include <errno.h>

#include "conf/core.h"

#define AT(field) offsetof(struct wr_server_conf, field)
#define NAME_MAX_ 127

static wr_parse_fn parse_address;

static const char *const STATES[] = { "up", "drain", "down", NULL };

const struct wr_key wr_server_keys[] = {
	{ "name", WR_TEXT, AT(name), "",
	    "name in logs and figures; the address if not set" },
	{ "address", WR_CUSTOM, AT(addr), "",
	    "address, name:port, srv:NAME or unix:PATH",
	    .parse = parse_address },
	{ "weight", WR_INT, AT(weight), "1",
	    "share of sessions among others; 0 is drain", WR_LIVE,
	    .max = 1000 },
	{ "max_conns", WR_INT, AT(max_conns), "off",
	    "sessions at a time, over all workers", WR_LIVE, .min = 1,
	    .max = 1000000, .may_be_off = true },
	{ "backup", WR_BOOL, AT(backup), "false",
	    "used only if no other server can be" },
	{ "state", WR_CHOICE, AT(want), "up",
	    "up, drain (no new sessions) or down", WR_LIVE, .choices = STATES },
	{ 0 },
};

/* A name of DNS: letters, digits, - and _, dots between. */
static bool
is_host(struct wr_str s)
{
	bool letter = false;
	char before = '.';

	if (s.len == 0 || s.len > 253)
		return false;
	for (size_t i = 0; i < s.len; i++) {
		char ch = s.p[i];

		if (ch == '.'
			? before == '.'
			: !isalnum((unsigned char)ch) && ch != '-' && ch != '_')
			return false;
		/* 10.0.0.300 is a slip, not a name: the last label tells. */
		letter = ch != '.' && (letter || !isdigit((unsigned char)ch));
		before = ch;
	}
	return letter;
}

static void
bad_address(struct wr_check *c, const struct wr_node *n, struct wr_str s)
{
	struct wr_str head, tail;

	if (wr_str_cut(s, ':', &head, &tail) && s.p[0] != '[' &&
	    memchr(tail.p, ':', tail.len) != NULL &&
	    memmem(s.p, s.len, "://", 3) == NULL)
		wr_check_error(c, n,
		    "\"%.*s\" is no address: write IPv6 in brackets, "
		    "\"[::1]:80\"",
		    WR_STR_ARG(s));
	else
		wr_check_error(c, n,
		    "\"%.*s\" is no address: write \"10.0.0.5:80\", "
		    "\"[::1]:80\", \"name:80\", \"unix:/path\" or \"srv:NAME\"",
		    WR_STR_ARG(s));
}

static void
bad_port(struct wr_check *c, const struct wr_node *n, struct wr_str s)
{
	wr_check_error(c, n, "\"%.*s\": a port is 1 to 65535", WR_STR_ARG(s));
}

/* What is not built is refused, not ignored. */
static void
no_names(struct wr_check *c, const struct wr_node *n)
{
#ifdef WR_HAVE_CARES
	(void)c;
	(void)n;
#else
	wr_check_error(c, n,
	    "this weir was built without name resolution (c-ares): write an "
	    "address");
#endif
}

/* "name", "name:port" */
static void
by_name(struct wr_check *c, const struct wr_node *n, struct wr_str s,
    struct wr_server_conf *srv)
{
	struct wr_str host, port;
	uint64_t num = 0;
	bool given = wr_str_cut(s, ':', &host, &port);

	if (!is_host(host) || memchr(port.p, '/', port.len) != NULL) {
		bad_address(c, n, s);
		return;
	}
	if (given && (wr_str_u64(port, UINT16_MAX, &num) < 0 || num == 0)) {
		bad_port(c, n, s);
		return;
	}
	no_names(c, n);
	srv->kind = WR_SERVER_NAME;
	srv->host = wr_check_str(c, host);
	srv->port = (uint16_t)num;
	srv->client_port = !given;
}

/* "srv:_x._tcp.name" */
static void
by_service(struct wr_check *c, const struct wr_node *n, struct wr_str s,
    struct wr_server_conf *srv)
{
	struct wr_str host = { s.p + 4, s.len - 4 };

	if (!is_host(host)) {
		wr_check_error(c, n,
		    "\"%.*s\" is no service: write \"srv:_x._tcp.name\"",
		    WR_STR_ARG(s));
		return;
	}
	no_names(c, n);
	srv->kind = WR_SERVER_SRV;
	srv->host = wr_check_str(c, host);
}

static void
by_path(struct wr_check *c, const struct wr_node *n, struct wr_str s,
    struct wr_server_conf *srv)
{
	int err = wr_check_unix(c, n, s, &srv->addr);

	if (err < 0)
		wr_check_bad_path(c, n, s, err);
}

static void
address(struct wr_check *c, const struct wr_node *n, struct wr_str s, void *arg)
{
	struct wr_server_conf *srv = arg;
	int err;

	srv->address = wr_check_str(c, s);
	if (wr_str_starts(s, "unix:")) {
		by_path(c, n, s, srv);
		return;
	}
	if (wr_str_starts(s, "srv:")) {
		by_service(c, n, s, srv);
		return;
	}
	err = wr_addr_parse(&srv->addr, s, 0);
	if (err == -EINVAL && s.len > 0 && s.p[0] != '[')
		by_name(c, n, s, srv);
	else if (err == -ERANGE)
		bad_port(c, n, s);
	else if (err < 0 || wr_str_starts(s, "*"))
		bad_address(c, n, s);
	else
		srv->client_port = wr_addr_port(&srv->addr) == 0;
	srv->port =
	    srv->kind == WR_SERVER_ADDR ? wr_addr_port(&srv->addr) : srv->port;
}

static void
parse_address(struct wr_check *c, const struct wr_key *key,
    const struct wr_node *n, void *field)
{
	const char *z = wr_check_text(c, n);

	(void)key;
	if (z != NULL)
		address(c, n, wr_str_of(z),
		    wr_container_of(field, struct wr_server_conf, addr));
}

/* Servers as they are found; the array is in scratch until it is whole. */
struct found {
	struct wr_server_conf base; /* presets */
	struct wr_server_conf *v;
	const struct wr_node **at;
	uint32_t n, size;
};

static struct wr_server_conf *
next(struct wr_check *c, struct found *f, const struct wr_node *n)
{
	uint32_t size = f->size > 0 ? f->size * 2 : 16;
	struct wr_server_conf *v;
	const struct wr_node **at;

	if (f->n == f->size) {
		v = wr_check_scratch(c, size * sizeof(*v));
		at = wr_check_scratch(c, size * sizeof(*at));
		if (f->n > 0) {
			memcpy(v, f->v, f->n * sizeof(*v));
			memcpy(at, f->at, f->n * sizeof(*at));
		}
		f->v = v;
		f->at = at;
		f->size = size;
	}
	f->at[f->n] = n;
	f->v[f->n] = f->base;
	return &f->v[f->n++];
}

static void
from_text(
    struct wr_check *c, const struct wr_node *n, struct wr_str s, void *arg)
{
	struct wr_node *at = wr_check_scratch(c, sizeof(*at));

	/* The lines of a file share a node; names are compared later. */
	*at = *n;
	address(c, at, s, next(c, arg, at));
}

static void
from_group(struct wr_check *c, const struct wr_node *n, struct found *f)
{
	struct wr_server_conf *srv = next(c, f, n);

	wr_check_group(c, wr_server_keys, NULL, n, srv);
	if (wr_node_get(n, "address") == NULL)
		wr_check_error(c, n, "the server has no address");
}

static void
collect(struct wr_check *c, const struct wr_node *n, struct found *f)
{
	if (n->kind == WR_N_GROUP) {
		from_group(c, n, f);
	} else if (wr_node_plural(n)) {
		for (n = n->first; n != NULL; n = n->next)
			collect(c, n, f);
	} else {
		wr_check_texts(c, n, from_text, f);
	}
}

static bool
name_fits(const char *z)
{
	size_t n = strlen(z);

	for (size_t i = 0; i < n; i++)
		if ((unsigned char)z[i] <= ' ' || z[i] == 0x7f)
			return false;
	return n > 0 && n <= NAME_MAX_;
}

static void
check_names(struct wr_check *c, struct found *f)
{
	struct wr_names *names = wr_names_new(c, f->n);

	for (uint32_t i = 0; i < f->n; i++) {
		struct wr_server_conf *srv = &f->v[i];
		const struct wr_node *before;

		if (srv->address == NULL)
			srv->address = "";
		if (srv->name[0] == '\0')
			srv->name = srv->address;
		if (srv->name[0] == '\0')
			continue;
		if (!name_fits(srv->name)) {
			wr_check_error(c, f->at[i],
			    "the name of a server is at most %d letters, "
			    "without spaces",
			    NAME_MAX_);
			continue;
		}
		before =
		    wr_names_add(names, srv->name, (void *)(uintptr_t)f->at[i]);
		if (before != NULL)
			wr_check_error(c, f->at[i],
			    "the server \"%s\" is there already, at %s:%u "
			    "(for a larger share, use weight)",
			    srv->name, before->src->name, before->line);
	}
}

void
wr_parse_servers(struct wr_check *c, const struct wr_key *key,
    const struct wr_node *n, void *field)
{
	struct wr_upstream_conf *u =
	    wr_container_of(field, struct wr_upstream_conf, servers);
	struct found f = { 0 };

	(void)key;
	wr_check_presets(c, wr_server_keys, &f.base);
	collect(c, n, &f);
	check_names(c, &f);
	u->servers = NULL;
	u->n_servers = f.n;
	if (f.n == 0)
		return;
	u->servers = wr_check_array(c, f.n, sizeof(*u->servers));
	memcpy(u->servers, f.v, f.n * sizeof(*f.v));
	for (uint32_t i = 0; i < f.n; i++)
		u->servers[i].upstream = u;
}
