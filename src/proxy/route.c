/* SPDX-License-Identifier: BSD-2-Clause */
/* route - see route.h. */
#include "proxy/route.h"

#include "base/hash.h"

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

const struct wr_upstream_conf *
wr_split_pick(const struct wr_split *s, uint64_t number)
{
	/* The upper 32 bits are the part of all that lies before it. */
	uint64_t at = (number >> 32) * s->sum >> 32;
	uint32_t i = 0;

	for (; i + 1 < s->n && at >= s->v[i].weight; i++)
		at -= s->v[i].weight;
	return s->v[i].upstream;
}

static const struct wr_upstream_conf *
target(const struct wr_upstream_conf *only, const struct wr_split *s,
    uint32_t on, const struct wr_route_facts *f)
{
	static const struct wr_hash_key fixed = { { 0x77656972, 3 } };

	if (s == NULL)
		return only;
	return wr_split_pick(
	    s, on == WR_SPLIT_RANDOM
		   ? f->chance
		   : wr_hash(&fixed, f->client->ip, sizeof(f->client->ip)));
}

struct wr_routed
wr_route_find(const struct wr_listener_conf *c, const struct wr_route_facts *f)
{
	const struct wr_route_conf *r = first(c->routes, c->n_routes, f);

	if (r != NULL)
		return (struct wr_routed){ target(r->upstream, r->split,
					       r->split_on, f),
			r->answer, &r->rules };
	return (
	    struct wr_routed){ target(c->upstream, c->split, c->split_on, f),
		c->answer, &c->rules };
}
