/* SPDX-License-Identifier: BSD-2-Clause */
/* listens - what a listener listens on: addresses, ranges, descriptors. */
#include <errno.h>
#include <stdio.h>

#include "conf/core.h"

#define PORTS_MAX 4096

/* In scratch until all are known. */
struct found {
	struct wr_listen *v;
	uint32_t n, size;
};

int
wr_check_unix(struct wr_check *c, const struct wr_node *n, struct wr_str s,
    struct wr_addr *a)
{
	struct wr_text t = { 0 };
	const char *path;
	int err;

	s = (struct wr_str){ s.p + 5, s.len - 5 };
	if (s.len == 0)
		return -EINVAL;
	path = wr_check_path(c, n, wr_check_str(c, s));
	wr_text_printf(&t, "unix:%s", path);
	err = wr_addr_parse(a, (struct wr_str){ t.p, t.len }, -1);
	wr_text_fini(&t);
	return err;
}

void
wr_check_bad_path(
    struct wr_check *c, const struct wr_node *n, struct wr_str s, int err)
{
	if (err == -ENAMETOOLONG)
		wr_check_error(
		    c, n, "\"%.*s\": the path is too long", WR_STR_ARG(s));
	else
		wr_check_error(c, n, "\"%.*s\" names no path", WR_STR_ARG(s));
}

static struct wr_listen *
next(struct wr_check *c, struct found *f, const struct wr_node *n,
    struct wr_str text)
{
	uint32_t size = f->size > 0 ? f->size * 2 : 4;
	const char *key = wr_check_str(c, text);
	const struct wr_node *before =
	    wr_names_add(c->listens, key, (void *)(uintptr_t)n);
	struct wr_listen *v;

	if (before != NULL) {
		wr_check_error(c, n, "%s is taken already, at %s:%u", key,
		    before->src->name, before->line);
		return NULL;
	}
	if (f->n == f->size) {
		v = wr_check_scratch(c, size * sizeof(*v));
		if (f->n > 0)
			memcpy(v, f->v, f->n * sizeof(*v));
		f->v = v;
		f->size = size;
	}
	v = &f->v[f->n++];
	*v = (struct wr_listen){
		.fd = -1, .text = key, .where = wr_check_where(c, n)
	};
	return v;
}

static void
descriptor(struct wr_check *c, const struct wr_node *n, struct wr_str s,
    struct found *f)
{
	struct wr_str name = { s.p + 3, s.len - 3 };
	struct wr_listen *l;
	char text[16];
	uint64_t fd = 0;
	int err = wr_str_u64(name, INT32_MAX, &fd);

	if (name.len == 0 || err == -ERANGE || (err == 0 && fd < 3)) {
		wr_check_error(c, n,
		    "\"%.*s\" is no descriptor: write \"fd:3\" or \"fd:NAME\"",
		    WR_STR_ARG(s));
		return;
	}
	if (err == 0) {
		(void)snprintf(text, sizeof(text), "fd:%d", (int)fd);
		s = wr_str_of(text);
	}
	l = next(c, f, n, s);
	if (l == NULL)
		return;
	l->kind = WR_LISTEN_FD;
	if (err == 0)
		l->fd = (int)fd;
}

static void
path(struct wr_check *c, const struct wr_node *n, struct wr_str s,
    struct found *f)
{
	struct wr_listen *l;
	struct wr_addr a;
	char text[WR_ADDR_TEXT];
	int err = wr_check_unix(c, n, s, &a);

	if (err < 0) {
		wr_check_bad_path(c, n, s, err);
		return;
	}
	l = next(c, f, n, wr_str_of(wr_addr_text(&a, text, sizeof(text))));
	if (l == NULL)
		return;
	l->kind = WR_LISTEN_UNIX;
	l->addr = a;
}

/* "80" or "7000-7099" */
static bool
ports(struct wr_str s, uint64_t *first, uint64_t *last)
{
	struct wr_str a, b;
	bool range = wr_str_cut(s, '-', &a, &b);

	if (wr_str_u64(a, UINT16_MAX, first) < 0 || *first == 0)
		return false;
	*last = *first;
	return !range ||
	       (wr_str_u64(b, UINT16_MAX, last) == 0 && *last >= *first);
}

/* The colons of IPv6 stand in brackets, and nothing behind those. */
static bool
host_ok(struct wr_str host)
{
	if (host.len > 0 && host.p[0] == '[')
		return host.p[host.len - 1] == ']';
	return memchr(host.p, ':', host.len) == NULL;
}

/* `host` and all ports of a range; `s` is what was written. */
static void
range(struct wr_check *c, const struct wr_node *n, struct wr_str s,
    struct wr_str host, const uint64_t *first_last, struct found *f)
{
	uint64_t first = first_last[0], last = first_last[1];
	struct wr_listen *l;
	struct wr_addr a;
	char text[WR_ADDR_TEXT];
	int err = wr_addr_parse(&a, host, (int)first);

	if (err == -ENODEV) {
		wr_check_error(c, n, "\"%.*s\": there is no such interface",
		    WR_STR_ARG(s));
		return;
	}
	if (err < 0 || !host_ok(host)) {
		wr_check_error(c, n,
		    "\"%.*s\" is no address: a listener needs one of this "
		    "machine, \"*\" or \"[::]\", and a port",
		    WR_STR_ARG(s));
		return;
	}
	for (uint64_t port = first; port <= last; port++) {
		wr_addr_set_port(&a, (uint16_t)port);
		(void)wr_addr_text(&a, text, sizeof(text));
		l = next(c, f, n, wr_str_of(text));
		if (l == NULL)
			continue;
		l->kind = WR_LISTEN_TCP;
		l->addr = a;
	}
}

static void
one(struct wr_check *c, const struct wr_node *n, struct wr_str s, void *arg)
{
	const char *colon = memrchr(s.p, ':', s.len);
	struct wr_str host = s, port = { NULL, 0 };
	uint64_t p[2] = { 0, 0 };

	if (wr_str_starts(s, "fd:")) {
		descriptor(c, n, s, arg);
		return;
	}
	if (wr_str_starts(s, "unix:")) {
		path(c, n, s, arg);
		return;
	}
	/* The colons of "[::]" are no end of it. */
	if (colon != NULL &&
	    memchr(colon, ']', s.len - (size_t)(colon - s.p)) == NULL) {
		host.len = (size_t)(colon - s.p);
		port = (struct wr_str){ colon + 1, s.len - host.len - 1 };
	}
	if (ports(s, &p[0], &p[1]))
		wr_check_error(c, n,
		    "\"%.*s\" has no address: write \":%.*s\", or "
		    "\"*:%.*s\" for IPv4 only",
		    WR_STR_ARG(s), WR_STR_ARG(s), WR_STR_ARG(s));
	else if (port.p == NULL)
		wr_check_error(c, n,
		    "\"%.*s\" has no port: write \"*:80\", \"[::]:80\", "
		    "\":80\", \":7000-7099\", \"unix:/path\" or \"fd:3\"",
		    WR_STR_ARG(s));
	else if (!ports(port, &p[0], &p[1]))
		wr_check_error(c, n,
		    "\"%.*s\": a port is 1 to 65535, a range \"7000-7099\"",
		    WR_STR_ARG(s));
	else if (p[1] - p[0] >= PORTS_MAX)
		wr_check_error(c, n, "\"%.*s\": more than %d ports",
		    WR_STR_ARG(s), PORTS_MAX);
	else if (host.len > 0)
		range(c, n, s, host, p, arg);
	else {
		range(c, n, s, WR_STR("*"), p, arg);
		range(c, n, s, WR_STR("[::]"), p, arg);
	}
}

void
wr_parse_listen(struct wr_check *c, const struct wr_key *key,
    const struct wr_node *n, void *field)
{
	struct wr_listener_conf *l =
	    wr_container_of(field, struct wr_listener_conf, listens);
	struct found f = { 0 };

	/* A port alone; what is wrong is said there. */
	if (n->kind == WR_N_INT)
		one(c, n, wr_str_of(n->text), &f);
	else
		wr_check_texts(c, n, one, &f);
	if (f.n == 0 && wr_node_plural(n) && n->n == 0)
		wr_check_wrong(c, key, n, "it listens on nothing");
	l->n_listens = f.n;
	l->listens = wr_check_array(c, f.n, sizeof(*f.v));
	if (f.n > 0)
		memcpy(l->listens, f.v, f.n * sizeof(*f.v));
}

void
wr_listen_on_udp(struct wr_check *c, struct wr_listener_conf *l)
{
	struct wr_listen *v =
	    wr_check_array(c, 2 * (size_t)l->n_listens, sizeof(*v));
	uint32_t n = l->n_listens;

	if (n > 0)
		memcpy(v, l->listens, n * sizeof(*v));
	for (uint32_t i = 0; i < l->n_listens; i++) {
		char text[WR_ADDR_TEXT + 4];

		if (v[i].kind != WR_LISTEN_TCP)
			continue;
		v[n] = v[i];
		v[n].kind = WR_LISTEN_UDP;
		(void)snprintf(text, sizeof(text), "udp:%s", v[i].text);
		v[n++].text = wr_check_str(c, wr_str_of(text));
	}
	l->listens = v;
	l->n_listens = n;
}
