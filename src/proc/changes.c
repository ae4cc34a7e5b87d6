/* SPDX-License-Identifier: BSD-2-Clause */
/* changes - two values compared by cells, which names keep. */
#include "proc/changes.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conf/conf.h"
#include "proxy/stats.h"

/* More names than these are only counted. */
#define NAMES_MAX 10

/* A line under construction: "servers added: app/a, app/b and 3 more". */
struct names {
	struct wr_text text;
	unsigned n;
};

static void
add_name(struct names *l, const char *group, const char *name)
{
	if (l->n++ >= NAMES_MAX)
		return;
	wr_text_printf(&l->text, "%s%s%s%s", l->n > 1 ? ", " : "", group,
	    group[0] != '\0' ? "/" : "", name);
}

static void
end_names(struct names *l, const char *what, struct wr_text *out)
{
	if (l->n > 0)
		wr_text_printf(out, "%s: %s", what, l->text.p);
	if (l->n > NAMES_MAX)
		wr_text_printf(out, " and %u more", l->n - NAMES_MAX);
	if (l->n > 0)
		wr_text_putc(out, '\n');
	wr_text_fini(&l->text);
	l->n = 0;
}

/* Which upstream or server has a cell, NULL if none. */
struct index {
	const struct wr_upstream_conf **upstreams;
	const struct wr_server_conf **servers;
};

static bool
index_init(struct index *x, const struct wr_conf *c)
{
	x->upstreams = calloc(WR_UPSTREAM_CELLS, sizeof(*x->upstreams));
	x->servers = calloc(WR_SERVER_CELLS, sizeof(*x->servers));
	if (x->upstreams == NULL || x->servers == NULL)
		return false;
	for (uint32_t i = 0; i < c->n_upstreams; i++) {
		const struct wr_upstream_conf *u = c->upstreams[i];

		x->upstreams[u->cell] = u;
		for (uint32_t k = 0; k < u->n_servers; k++)
			x->servers[u->servers[k].cell] = &u->servers[k];
	}
	return true;
}

static void
index_fini(struct index *x)
{
	free(x->upstreams);
	free(x->servers);
}

/* Names of `c` that are not in `other`. */
static void
missing(const struct wr_conf *c, const struct index *other,
    struct names *upstreams, struct names *servers)
{
	for (uint32_t i = 0; i < c->n_upstreams; i++) {
		const struct wr_upstream_conf *u = c->upstreams[i];

		if (other->upstreams[u->cell] == NULL) {
			add_name(upstreams, "", u->name);
			continue;
		}
		for (uint32_t k = 0; k < u->n_servers; k++) {
			const struct wr_server_conf *s = &u->servers[k];

			if (other->servers[s->cell] == NULL)
				add_name(servers, u->name, s->name);
		}
	}
}

static bool
differ(const struct wr_server_conf *a, const struct wr_server_conf *b)
{
	return strcmp(a->address, b->address) != 0 || a->weight != b->weight ||
	       a->want != b->want || a->backup != b->backup ||
	       a->max_conns != b->max_conns;
}

static void
changed(const struct wr_conf *c, const struct index *old, struct names *l)
{
	for (uint32_t i = 0; i < c->n_upstreams; i++) {
		const struct wr_upstream_conf *u = c->upstreams[i];

		for (uint32_t k = 0; k < u->n_servers; k++) {
			const struct wr_server_conf *s = &u->servers[k];
			const struct wr_server_conf *was =
			    old->servers[s->cell];

			if (was != NULL && differ(was, s))
				add_name(l, u->name, s->name);
		}
	}
}

void
wr_changes_of(
    const struct wr_conf *old, const struct wr_conf *now, struct wr_text *out)
{
	struct names upstreams = { 0 }, servers = { 0 };
	struct index was = { 0 }, is = { 0 };

	if (old->workers != now->workers)
		wr_text_printf(
		    out, "workers: %u to %u\n", old->workers, now->workers);
	if (index_init(&was, old) && index_init(&is, now)) {
		missing(now, &was, &upstreams, &servers);
		end_names(&upstreams, "upstreams added", out);
		end_names(&servers, "servers added", out);
		missing(old, &is, &upstreams, &servers);
		end_names(&upstreams, "upstreams removed", out);
		end_names(&servers, "servers removed", out);
		changed(now, &was, &servers);
		end_names(&servers, "servers changed", out);
	}
	index_fini(&was);
	index_fini(&is);
}

void
wr_changes_log(enum wr_level level, const struct wr_text *lines)
{
	struct wr_str rest = { lines->p, lines->len }, line;

	while (rest.len > 0) {
		(void)wr_str_cut(rest, '\n', &line, &rest);
		if (line.len > 0)
			wr_log(level, "%.*s", WR_STR_ARG(line));
	}
}

void
wr_changes_advise(void)
{
#ifdef __linux__
	int fd =
	    open("/proc/sys/net/ipv4/tcp_migrate_req", O_RDONLY | O_CLOEXEC);
	char on = '0';

	if (fd < 0)
		return;
	if (read(fd, &on, 1) == 1)
		wr_info("net.ipv4.tcp_migrate_req is %c (not needed; 1 also "
			"saves what a killed weir had not accepted)",
		    on);
	(void)close(fd);
#endif
}
