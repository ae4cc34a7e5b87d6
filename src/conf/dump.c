/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dump - the effective configuration (-T).
 *
 * It is printed from what was written and from the tables, not from the value:
 * so each line can say where it comes from, and what came from a file stays
 * there.  The text is a configuration that means the same.
 */
#include <stdio.h>
#include <unistd.h>

#include "conf/core.h"
#include "conf/print.h"

/* Where a group may be written, the strongest first. */
#define LEVELS_MAX 40

struct levels {
	const struct wr_node *v[LEVELS_MAX];
	uint32_t n;
};

static void
keys(struct wr_print *p, const struct wr_key *k, const struct levels *lv);

static void
push(struct levels *lv, const struct wr_node *n)
{
	if (n != NULL && lv->n < LEVELS_MAX)
		lv->v[lv->n++] = n;
}

static bool
is_word(const struct wr_node *n, const char *on, const char *boolean)
{
	return n->kind >= WR_N_TEXT &&
	       (strcmp(n->text, on) == 0 || strcmp(n->text, boolean) == 0);
}

static bool
switchable(const struct wr_key *k)
{
	return k[0].type == WR_BOOL && strcmp(k[0].name, "on") == 0;
}

/* The group of that name at all levels that count: "off" cuts. */
static struct levels
inner(const struct levels *lv, const char *name, const struct wr_key *k)
{
	struct levels in = { .n = 0 };

	for (uint32_t i = 0; i < lv->n; i++) {
		const struct wr_node *n = wr_node_get(lv->v[i], name);

		push(&in, n);
		if (n != NULL && switchable(k) && is_word(n, "off", "false"))
			break;
	}
	return in;
}

/* Who says this key: a member, or the group itself by its principal value. */
static const struct wr_node *
winner(const struct levels *lv, const char *name, const char *principal,
    bool switched)
{
	for (uint32_t i = 0; i < lv->n; i++) {
		const struct wr_node *n = lv->v[i], *m = wr_node_get(n, name);

		if (m != NULL)
			return m;
		if (n->kind == WR_N_GROUP || principal == NULL ||
		    strcmp(name, principal) != 0)
			continue;
		if (!switched ||
		    (!is_word(n, "off", "false") && !is_word(n, "on", "true")))
			return n;
	}
	return NULL;
}

static bool
on(const struct wr_key *k, const struct levels *lv)
{
	const struct wr_node *n;

	for (uint32_t i = 0; i < lv->n; i++) {
		n = wr_node_get(lv->v[i], "on");
		if (n != NULL)
			return is_word(n, "on", "true");
		if (lv->v[i]->kind != WR_N_GROUP)
			return !is_word(lv->v[i], "off", "false");
		return true;
	}
	return strcmp(k[0].preset, "true") == 0 ||
	       strcmp(k[0].preset, "on") == 0;
}

static void
group(struct wr_print *p, const char *name, const struct wr_key *k,
    const char *principal, const struct levels *lv)
{
	const struct wr_node *from = lv->n > 0 ? lv->v[0] : NULL;
	const struct wr_key *key = k;

	if (switchable(k)) {
		if (!on(k, lv)) {
			wr_print_word(p, name, "\"off\"", from, WR_NEW);
			return;
		}
		key = k + 1;
	}
	wr_print_open(p, name, '{');
	p->principal = principal;
	p->switched = switchable(k);
	keys(p, key, lv);
	wr_print_close(p, '}');
}

static void
groups(struct wr_print *p, const struct wr_key *k, const struct wr_node *n)
{
	const struct wr_node *m = wr_node_plural(n) ? n->first : n;
	uint32_t count = wr_node_plural(n) ? n->n : 1;

	wr_print_open(p, k->name, '(');
	for (uint32_t i = 0; i < count; i++, m = m->next) {
		struct levels lv = { .n = 0 };

		push(&lv, m);
		wr_print_open(p, NULL, '{');
		p->principal = k->principal;
		p->switched = switchable(k->keys);
		keys(p, k->keys, &lv);
		wr_print_close_item(p, '}', i + 1 < count);
	}
	wr_print_close(p, ')');
}

/* A list of groups and plain values (servers). */
static void
mixture(struct wr_print *p, const struct wr_key *k, const struct wr_node *n)
{
	const struct wr_node *m = wr_node_plural(n) ? n->first : n;
	uint32_t count = wr_node_plural(n) ? n->n : 1;

	wr_print_open(p, k->name, '(');
	for (uint32_t i = 0; i < count; i++, m = m->next) {
		struct levels lv = { .n = 0 };

		if (m->kind != WR_N_GROUP) {
			wr_print_item(p, k, m, i + 1 < count);
			continue;
		}
		push(&lv, m);
		wr_print_open(p, NULL, '{');
		keys(p, k->keys, &lv);
		wr_print_close_item(p, '}', i + 1 < count);
	}
	wr_print_close(p, ')');
}

/* `at`: where this is; what is set at both sides counts only where it is
 * written, so that printing it elsewhere would change its meaning. */
static void
timeouts(struct wr_print *p, const struct levels *outer, unsigned at)
{
	struct levels lv = inner(outer, "timeouts", wr_timeout_keys), own = lv;
	const struct wr_node *n, *top = wr_node_get(p->c->root, "timeouts");

	if (own.n > 0 && own.v[own.n - 1] == top && at != WR_AT_TOP)
		own.n--;
	wr_print_open(p, "timeouts", '{');
	for (unsigned i = 0; i < WR_TIMEOUTS; i++) {
		const struct wr_key *k = &wr_timeout_keys[i];
		unsigned where = wr_timeout_at((enum wr_timeout)i);
		bool both = (where & WR_AT_UPSTREAM) != 0 &&
			    (where & WR_AT_LISTENER) != 0;

		if ((where & at) == 0 || k->later != NULL)
			continue;
		n = winner(&lv, k->name, NULL, false);
		p->comment = both && at != WR_AT_TOP &&
			     winner(&own, k->name, NULL, false) == NULL;
		if (n != NULL || k->preset[0] != '\0')
			wr_print_key(p, k, n);
		p->comment = false;
	}
	wr_print_close(p, '}');
}

/* What it says itself or by defaults; the rest is as at the top. */
static void
listener_log(
    struct wr_print *p, const struct wr_key *k, const struct levels *lv)
{
	const struct wr_node *n = winner(lv, k->name, NULL, false);
	struct levels in = { .n = 0 };

	for (uint32_t i = 0; i < lv->n; i++) {
		const struct wr_node *m = wr_node_get(lv->v[i], k->name);

		if (m != NULL && m->kind == WR_N_GROUP)
			push(&in, m);
	}
	if (in.n == 0 || is_word(n, "off", "false")) {
		wr_print_key(p, k, n);
		return;
	}
	wr_print_open(p, k->name, '{');
	for (k = wr_line_keys; k->name != NULL; k++) {
		n = winner(&in, k->name, NULL, false);
		if (n != NULL)
			wr_print_key(p, k, n);
	}
	wr_print_close(p, '}');
}

static void
custom(struct wr_print *p, const struct wr_key *k, const struct levels *lv)
{
	const struct wr_node *n =
	    winner(lv, k->name, p->principal, p->switched);

	if (k->parse == wr_parse_nothing)
		return;
	if (k->parse == wr_parse_timeouts)
		timeouts(p, lv, (unsigned)k->min);
	else if (k->parse == wr_parse_listener_log)
		listener_log(p, k, lv);
	else if (n == NULL && k->preset[0] == '\0')
		return;
	else if (k->parse == wr_parse_servers)
		mixture(p, k, n);
	else if (n != NULL && n->kind == WR_N_GROUP)
		wr_print_written(p, k, n);
	else
		wr_print_key(p, k, n);
}

static void
one(struct wr_print *p, const struct wr_key *k, const struct levels *lv)
{
	const char *principal = p->principal;
	bool switched = p->switched;
	const struct wr_node *n;
	struct levels in;

	switch (k->type) {
	case WR_GROUP:
		in = inner(lv, k->name, k->keys);
		group(p, k->name, k->keys, k->principal, &in);
		break;
	case WR_GROUPS:
		n = winner(lv, k->name, principal, p->switched);
		if (n != NULL)
			groups(p, k, n);
		break;
	case WR_CUSTOM:
		custom(p, k, lv);
		break;
	default:
		wr_print_key(p, k, winner(lv, k->name, principal, p->switched));
		break;
	}
	p->principal = principal;
	p->switched = switched;
}

static void
keys(struct wr_print *p, const struct wr_key *k, const struct levels *lv)
{
	for (; k->name != NULL; k++)
		if (k->later == NULL)
			one(p, k, lv);
}

/* Groups of modules: those that are written for `at`, or could be; at a
 * listener, those that do something there. */
static void
modules(struct wr_print *p, unsigned at, const struct levels *lv,
    const struct wr_listener_conf *l)
{
	for (uint32_t i = 0; i < p->c->n_groups; i++) {
		const struct wr_group *g = p->c->groups[i];
		struct levels all = *lv, in;

		if (g->name == NULL || (g->at & at) == 0)
			continue;
		if (at == WR_AT_ROUTE && wr_node_get(lv->v[0], g->name) == NULL)
			continue;
		if (l != NULL && wr_listener_moot(l, g->name) != NULL)
			continue;
		if (at != WR_AT_TOP && (g->at & WR_AT_TOP) != 0)
			push(&all, p->c->root);
		in = inner(&all, g->name, g->keys);
		group(p, g->name, g->keys, g->principal, &in);
	}
}

static void
upstream(
    struct wr_print *p, const struct wr_node *n, const struct wr_node *defaults)
{
	struct levels lv = { .n = 0 };

	push(&lv, n);
	push(&lv, defaults);
	wr_print_open(p, n->name, '{');
	p->principal = NULL;
	for (const struct wr_key *k = wr_upstream_keys; k->name != NULL; k++) {
		struct levels with = lv;

		if (k->parse == wr_parse_timeouts)
			push(&with, p->c->root);
		if (k->later == NULL)
			one(p, k, &with);
	}
	modules(p, WR_AT_UPSTREAM, &lv, NULL);
	wr_print_close(p, '}');
}

static void
routes(struct wr_print *p, const struct wr_node *n, const struct levels *outer);

/* What a route writes; what it inherits is printed there. */
static void
route(struct wr_print *p, const struct wr_node *n, const struct levels *outer)
{
	struct levels lv = { .n = 0 };

	push(&lv, n);
	for (uint32_t i = 0; i < outer->n; i++)
		push(&lv, outer->v[i]);
	for (const struct wr_key *k = wr_route_keys; k->name != NULL; k++) {
		const struct wr_node *m = wr_node_get(n, k->name);

		if (m == NULL)
			continue;
		if (strcmp(k->name, "routes") == 0)
			routes(p, m, &lv);
		else if (m->kind == WR_N_GROUP)
			wr_print_written(p, k, m);
		else
			wr_print_key(p, k, m);
	}
	modules(p, WR_AT_ROUTE, &lv, NULL);
}

static void
routes(struct wr_print *p, const struct wr_node *n, const struct levels *outer)
{
	const struct wr_node *m = wr_node_plural(n) ? n->first : n;
	uint32_t count = wr_node_plural(n) ? n->n : 1;

	wr_print_open(p, "routes", '(');
	for (uint32_t i = 0; i < count; i++, m = m->next) {
		wr_print_open(p, NULL, '{');
		route(p, m, outer);
		wr_print_close_item(p, '}', i + 1 < count);
	}
	wr_print_close(p, ')');
}

/* `upstream` and `return` exclude each other: a listener's own one wins. */
static bool
replaced(const struct wr_node *n, const struct wr_key *k)
{
	const char *other = strcmp(k->name, "upstream") == 0 ? "return"
			    : strcmp(k->name, "return") == 0 ? "upstream"
							     : NULL;

	return other != NULL && wr_node_get(n, k->name) == NULL &&
	       wr_node_get(n, other) != NULL;
}

static void
listener(struct wr_print *p, const struct wr_node *n,
    const struct wr_node *defaults, const struct wr_listener_conf *l)
{
	struct levels lv = { .n = 0 };
	const struct wr_node *list = wr_node_get(n, "routes");

	push(&lv, n);
	push(&lv, defaults);
	p->principal = NULL;
	for (const struct wr_key *k = wr_listener_keys; k->name != NULL; k++) {
		struct levels with = lv;

		if (k->later != NULL || replaced(n, k) ||
		    wr_listener_moot(l, k->name) != NULL)
			continue;
		if (k->parse == wr_parse_timeouts)
			push(&with, p->c->root);
		one(p, k, &with);
	}
	modules(p, WR_AT_LISTENER, &lv, l);
	if (list != NULL)
		routes(p, list, &lv);
}

static void
objects(struct wr_print *p)
{
	const struct wr_node *root = p->c->root;
	const struct wr_node *defaults = wr_node_get(root, "defaults");
	const struct wr_node *all = wr_node_get(root, "upstreams");
	uint32_t i = 0;
	bool list;

	if (all != NULL) {
		wr_print_open(p, "upstreams", '{');
		for (const struct wr_node *n = all->first; n != NULL;
		     n = n->next)
			upstream(p, n, wr_node_get(defaults, "upstream"));
		wr_print_close(p, '}');
	}
	all = wr_node_get(root, "listeners");
	if (all == NULL)
		return;
	list = all->kind == WR_N_LIST;
	wr_print_open(p, "listeners", list ? '(' : '{');
	for (const struct wr_node *n = all->first; n != NULL; n = n->next) {
		wr_print_open(p, n->name, '{');
		listener(p, n, wr_node_get(defaults, "listener"),
		    p->c->conf->listeners[i++]);
		if (list)
			wr_print_close_item(p, '}', n->next != NULL);
		else
			wr_print_close(p, '}');
	}
	wr_print_close(p, list ? ')' : '}');
}

void
wr_dump(struct wr_check *c, struct wr_text *out)
{
	struct wr_print p = { .c = c, .out = out };
	struct levels lv = { .n = 0 };

	wr_text_printf(out,
	    "# The effective configuration of %s.  Behind each value: where "
	    "it comes\n# from, and whom a change concerns: running sessions "
	    "too (live), new sessions\n# (new), workers, which are replaced "
	    "(workers), or only a new master (upgrade).\n\n",
	    c->load->path);
	push(&lv, c->root);
	keys(&p, wr_top_keys, &lv);
	modules(&p, WR_AT_TOP, &lv, NULL);
	objects(&p);
}
