/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ports - will there be enough of them to connect from?
 *
 * A connection to a server needs a port of one of our addresses, and the
 * kernel gives some 28,000 of each to it.  Who has written figures that need
 * more is told so; nothing is said of those that were only left as they are.
 */
#include <sys/resource.h>

#include "conf/core.h"

#define PORTS 28000

/* What events.connections is if it is not written, at most. */
static uint64_t
connections(void)
{
	struct rlimit r = { 0, 0 };

	(void)getrlimit(RLIMIT_NOFILE, &r);
	if (r.rlim_max < 1024)
		return 0;
	r.rlim_max = (r.rlim_max - 512) / 2;
	return r.rlim_max < 16384 ? r.rlim_max : 16384;
}

/* Own addresses for a server; the kernel chooses one if none is written. */
static uint64_t
addresses(const struct wr_upstream_conf *u, const struct wr_server_conf *sv)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < u->source.n; i++)
		n += u->source.v[i].sa.sa_family == sv->addr.sa.sa_family;
	return n > 0 ? n : 1;
}

static bool
needs_ports(const struct wr_server_conf *sv)
{
	return sv->kind == WR_SERVER_ADDR &&
	       (sv->addr.sa.sa_family == AF_INET ||
		   sv->addr.sa.sa_family == AF_INET6);
}

static void
check_server(struct wr_check *c, const struct wr_node *n,
    const struct wr_server_conf *sv, uint64_t sessions)
{
	uint64_t ports = PORTS * addresses(sv->upstream, sv);

	if (sv->max_conns != WR_OFF && sessions > ports &&
	    sv->max_conns > ports)
		wr_check_notice(c, n,
		    "server %s may get max_conns = %u sessions, but there are "
		    "ports for about %llu: write more addresses into source",
		    sv->name, sv->max_conns, (unsigned long long)ports);
}

/* All servers together; those that are names, or join, may be any number. */
static void
check_all(struct wr_check *c, const struct wr_node *n,
    const struct wr_upstream_conf *u, uint64_t sessions)
{
	uint64_t ports = 0, capped = 0;

	for (uint32_t i = 0; i < u->n_servers; i++) {
		const struct wr_server_conf *sv = &u->servers[i];

		if (!needs_ports(sv))
			return;
		ports += PORTS * addresses(u, sv);
		capped += sv->max_conns != WR_OFF ? sv->max_conns : sessions;
	}
	if (sessions > ports && capped > ports)
		wr_check_notice(c, n,
		    "workers may have %llu sessions together, but there are "
		    "ports for about %llu to these servers: write more "
		    "addresses into source",
		    (unsigned long long)sessions, (unsigned long long)ports);
}

void
wr_check_ports(struct wr_check *c, const struct wr_node *n,
    const struct wr_upstream_conf *u)
{
	const struct wr_conf *conf = c->conf;
	bool written = conf->events.connections != WR_OFF;
	uint64_t sessions = conf->workers;

	sessions *= written ? conf->events.connections : connections();
	for (uint32_t i = 0; i < u->n_servers; i++)
		if (needs_ports(&u->servers[i]))
			check_server(c, n, &u->servers[i], sessions);
	if (u->n_servers > 0 && wr_node_get(n, "announce") == NULL &&
	    (written || u->source.n > 0))
		check_all(c, n, u, sessions);
}
