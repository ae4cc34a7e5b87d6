/* SPDX-License-Identifier: BSD-2-Clause */
/* route - see route.h. */
#include "proxy/route.h"

static bool
port_matches(const struct wr_ports *p, uint16_t port)
{
	for (uint32_t i = 0; i < p->n; i++)
		if (port >= p->v[i][0] && port <= p->v[i][1])
			return true;
	return p->n == 0;
}

static bool
matches(const struct wr_route_conf *r, const struct wr_route_facts *f)
{
	return port_matches(&r->ports, f->port) &&
	       (r->client.n == 0 || wr_cidrs_have(&r->client, f->client));
}

/* An outer route whose inner ones do not match does not match either. */
static const struct wr_route_conf *
first(const struct wr_route_conf *routes, uint32_t n,
    const struct wr_route_facts *f)
{
	for (uint32_t i = 0; i < n; i++) {
		const struct wr_route_conf *r = &routes[i];

		if (!matches(r, f))
			continue;
		if (r->n_routes == 0)
			return r;
		r = first(r->routes, r->n_routes, f);
		if (r != NULL)
			return r;
	}
	return NULL;
}

struct wr_routed
wr_route_find(const struct wr_listener_conf *c, const struct wr_route_facts *f)
{
	const struct wr_route_conf *r = first(c->routes, c->n_routes, f);

	if (r != NULL)
		return (struct wr_routed){ r->upstream, r->answer, &r->rules };
	return (struct wr_routed){ c->upstream, c->answer, &c->rules };
}
