/* SPDX-License-Identifier: BSD-2-Clause */
/* routes - conditions, one action, overrides. */
#include <errno.h>

#include "base/hash.h"
#include "conf/core.h"

#define AT(field) offsetof(struct wr_route_conf, field)
#define PAIRS_MAX 2000

static wr_parse_fn parse_ports, parse_upstream;

const struct wr_key wr_route_keys[] = {
	{ "client", WR_CIDRS, AT(client), "",
	    "condition: the client's address is in one of these networks" },
	{ "port", WR_CUSTOM, AT(ports), "",
	    "condition: the port that the client came to is one of these, or "
	    "in a range \"7000-7099\"",
	    .parse = parse_ports },
	{ "upstream", WR_CUSTOM, AT(upstream), "",
	    "action: go there, or names and weights", .parse = parse_upstream },
	{ "split_on", WR_CHOICE, AT(split_on), "random",
	    "what decides between weighted upstreams: random or client",
	    .choices = wr_splits },
	{ "return", WR_CUSTOM, AT(answer), "", "action: answer with this",
	    .keys = wr_answer_keys, .parse = wr_parse_answer },
	{ "routes", WR_CUSTOM, AT(routes), "",
	    "action: look at these, which inherit from this one",
	    .parse = wr_parse_nothing },
	{ "timeouts", WR_CUSTOM, AT(rules.timeouts), "", "time-outs",
	    .keys = wr_timeout_keys, .parse = wr_parse_timeouts,
	    .min = WR_AT_ROUTE },
	{ "access_log", WR_CUSTOM, AT(rules.access_log), "",
	    "\"off\": sessions are not logged", .parse = wr_parse_on_off },
	{ 0 },
};

static bool
port_range(const struct wr_node *n, uint16_t *v)
{
	struct wr_str a, b;
	uint64_t x, y;
	bool range = wr_str_cut(wr_str_of(n->text), '-', &a, &b);

	if (n->kind != WR_N_INT && n->kind != WR_N_TEXT)
		return false;
	if (wr_str_u64(a, UINT16_MAX, &x) < 0 || x == 0)
		return false;
	y = x;
	if (range && (wr_str_u64(b, UINT16_MAX, &y) < 0 || y < x))
		return false;
	v[0] = (uint16_t)x;
	v[1] = (uint16_t)y;
	return true;
}

static void
parse_ports(struct wr_check *c, const struct wr_key *key,
    const struct wr_node *n, void *field)
{
	const struct wr_node *m = wr_node_plural(n) ? n->first : n;
	uint32_t count = wr_node_plural(n) ? n->n : 1;
	uint16_t(*v)[2] = wr_check_array(c, count, sizeof(*v));
	struct wr_ports *ports = field;
	char text[WR_SHOWN];

	for (uint32_t i = 0; i < count; i++, m = m->next)
		if (m->kind < WR_N_TEXT || !port_range(m, v[i]))
			wr_check_error(c, m,
			    "%s is no port: write 443 or \"7000-7099\"",
			    wr_check_shown(key, m, text));
	ports->v = (const uint16_t(*)[2])v;
	ports->n = count;
}

static void
parse_upstream(struct wr_check *c, const struct wr_key *key,
    const struct wr_node *n, void *field)
{
	struct wr_route_conf *r =
	    wr_container_of(field, struct wr_route_conf, upstream);

	(void)key;
	wr_check_to(c, n, &r->upstream, &r->split);
}

static bool
cidr_within(const struct wr_cidr *in, const struct wr_cidr *out)
{
	unsigned whole = out->bits / 8u, rest = out->bits % 8u;

	if (out->family == 0)
		return true;
	if (in->family != out->family || in->bits < out->bits ||
	    memcmp(in->ip, out->ip, whole) != 0)
		return false;
	return rest == 0 ||
	       ((in->ip[whole] ^ out->ip[whole]) >> (8 - rest)) == 0;
}

static bool
clients_within(const struct wr_cidrs *in, const struct wr_cidrs *out)
{
	if (out->n == 0)
		return true;
	for (uint32_t i = 0; i < in->n; i++) {
		bool found = false;

		for (uint32_t j = 0; j < out->n && !found; j++)
			found = cidr_within(&in->v[i], &out->v[j]);
		if (!found)
			return false;
	}
	return in->n > 0;
}

static bool
ports_within(const struct wr_ports *in, const struct wr_ports *out)
{
	if (out->n == 0)
		return true;
	for (uint32_t i = 0; i < in->n; i++) {
		bool found = false;

		for (uint32_t j = 0; j < out->n && !found; j++)
			found = out->v[j][0] <= in->v[i][0] &&
				in->v[i][1] <= out->v[j][1];
		if (!found)
			return false;
	}
	return in->n > 0;
}

/* Has it no other conditions than those we know here? */
static bool
plain(const struct wr_node *n)
{
	for (n = n->first; n != NULL; n = n->next) {
		const struct wr_key *k = wr_route_keys;

		while (k->name != NULL && strcmp(k->name, n->name) != 0)
			k++;
		if (k->name == NULL)
			return false;
	}
	return true;
}

/* A route that can never be reached is a mistake. */
static void
check_hidden(struct wr_check *c, const struct wr_node *list,
    const struct wr_route_conf *v, uint32_t count)
{
	const struct wr_node *n = list, *m;

	for (uint32_t j = 0; j < count; j++, n = n->next) {
		m = list;
		for (uint32_t i = 0; i < j; i++, m = m->next) {
			if (count > PAIRS_MAX &&
			    (v[i].client.n > 0 || v[i].ports.n > 0))
				continue;
			/* Nested routes may all decline. */
			if (v[i].routes != NULL || !plain(m) ||
			    !clients_within(&v[j].client, &v[i].client) ||
			    !ports_within(&v[j].ports, &v[i].ports))
				continue;
			wr_check_error(c, n,
			    "this route is never reached: the one at %s:%u "
			    "takes all it could match",
			    m->src->name, m->line);
			break;
		}
	}
}

static void
check_action(struct wr_check *c, const struct wr_node *n)
{
	static const char *const ACTIONS[] = { "upstream", "return", "routes" };
	const char *first = NULL;

	for (size_t i = 0; i < WR_COUNT(ACTIONS); i++) {
		if (wr_node_get(n, ACTIONS[i]) == NULL)
			continue;
		if (first != NULL) {
			wr_check_error(c, n,
			    "a route has one action, not both %s and %s", first,
			    ACTIONS[i]);
			return;
		}
		first = ACTIONS[i];
	}
	/* What is not built yet has been told. */
	if (first == NULL && wr_node_get(n, "redirect") == NULL)
		wr_check_error(c, n,
		    "the route has no action: write upstream, return or "
		    "routes");
}

static void
one(struct wr_check *c, const struct wr_node *n, const struct wr_rules *outer,
    struct wr_route_conf *r)
{
	char text[WR_SHOWN];

	r->rules = *outer;
	r->where = wr_check_where(c, n);
	if (n->kind != WR_N_GROUP) {
		wr_check_error(c, n, "a group { } is expected, not %s",
		    wr_check_shown(NULL, n, text));
		return;
	}
	r->rules.mod =
	    wr_check_object(c, n, wr_route_keys, r, WR_AT_ROUTE, outer->mod);
	check_action(c, n);
	if (wr_split_moot(r->split, "split_on") != NULL &&
	    wr_node_get(n, "split_on") != NULL)
		wr_check_error(c, wr_node_get(n, "split_on"), "%s",
		    wr_split_moot(r->split, "split_on"));
	wr_check_routes(
	    c, wr_node_get(n, "routes"), &r->rules, &r->routes, &r->n_routes);
	wr_timeouts_settle(&r->rules.timeouts);
}

void
wr_check_routes(struct wr_check *c, const struct wr_node *n,
    const struct wr_rules *outer, const struct wr_route_conf **routes,
    uint32_t *n_routes)
{
	const struct wr_node *list;
	struct wr_route_conf *v;
	uint32_t count, i = 0, errors = c->errs->total;
	uint64_t outside = c->route;
	char text[WR_SHOWN];

	*routes = NULL;
	*n_routes = 0;
	if (n == NULL)
		return;
	if (n->kind != WR_N_GROUP && !wr_node_plural(n)) {
		wr_check_error(c, n, "a list of groups is expected, not %s",
		    wr_check_shown(NULL, n, text));
		return;
	}
	list = wr_node_plural(n) ? n->first : n;
	count = wr_node_plural(n) ? n->n : 1;
	v = wr_check_array(c, count, sizeof(*v));
	for (n = list; i < count; n = n->next, i++) {
		c->route = wr_hash_u64(outside ^ wr_hash_u64(i + 1)) | 1;
		one(c, n, outer, &v[i]);
	}
	c->route = outside;
	/* Conditions that were not understood would seem to match all. */
	if (c->errs->total == errors)
		check_hidden(c, list, v, count);
	*routes = v;
	*n_routes = count;
}
