/* SPDX-License-Identifier: BSD-2-Clause */
/* upstreams - groups of servers. */
#include <stdio.h>
#include <stdlib.h>

#include "conf/core.h"

#define AT(field)     offsetof(struct wr_upstream_conf, field)
#define UPSTREAMS_MAX 65536
const char *const wr_balances[] = { "round_robin", "least_conn", "random",
	"hash", "source", "peak_ewma", NULL };

static const char *const ON_DOWN[] = { "keep", "close", NULL };
static const char *const ON_UP[] = { "keep", "close_backup", NULL };

static wr_parse_fn parse_fallback, parse_hash_on, parse_on_remove;
static wr_parse_fn parse_sticky_on;

#define STICKY(field) offsetof(struct wr_sticky_conf, field)

static const struct wr_key sticky_keys[] = {
	{ "on", WR_CUSTOM, STICKY(on), "off",
	    "what is remembered: client, the address without port; or off",
	    .parse = parse_sticky_on },
	{ "expire", WR_TIME, STICKY(expire_ms), "1h",
	    "a client is forgotten so long after its last session began",
	    .min = 1000, .max = 2592000000 },
	{ "size", WR_INT, STICKY(size), "100000",
	    "so many clients are remembered, by all workers together", .min = 1,
	    .max = 5000000 },
	{ 0 },
};

const struct wr_key wr_upstream_keys[] = {
	{ "label", WR_TEXT, AT(label), "", "free text" },
	{ "servers", WR_CUSTOM, AT(servers), "",
	    "addresses, or groups of name, address, weight, ...", WR_NEW,
	    .keys = wr_server_keys, .parse = wr_parse_servers },
	{ "balance", WR_CHOICE, AT(balance), "round_robin",
	    "how a server is picked: round_robin, least_conn, random, hash, "
	    "source or peak_ewma",
	    .choices = wr_balances },
	{ "hash_on", WR_CUSTOM, AT(hash_on), "client",
	    "what is hashed: client, the address without port",
	    .parse = parse_hash_on },
	{ "sticky", WR_GROUP, AT(sticky), "",
	    "a client goes to the server that it went to before", WR_NEW,
	    .keys = sticky_keys, .principal = "on" },
	{ "fallback", WR_CUSTOM, AT(fallback), "",
	    "upstream that is used when no server here is usable",
	    .parse = parse_fallback },
	{ "servers_max", WR_INT, AT(servers_max), "256",
	    "servers that may join while weir runs (names, announced)",
	    .max = 16384 },
	{ "slow_start", WR_TIME, AT(slow_start_ms), "off",
	    "a server that comes up gets its full share after this time",
	    .min = 0 },
	{ "queue_max", WR_INT, AT(queue_max), "1000",
	    "sessions that may wait for a place on a server", .max = 1000000 },
	{ "on_down", WR_CHOICE, AT(on_down), "keep",
	    "sessions of a server that failed its check: keep or close",
	    WR_LIVE, .choices = ON_DOWN },
	{ "on_remove", WR_CUSTOM, AT(on_remove), "keep",
	    "sessions of a server that is gone: keep, close, or a time after "
	    "which they are closed",
	    WR_LIVE, .parse = parse_on_remove },
	{ "on_up", WR_CHOICE, AT(on_up), "keep",
	    "sessions on backups when another server is back: keep or "
	    "close_backup",
	    WR_LIVE, .choices = ON_UP },
	{ "source", WR_ADDRS, AT(source), "",
	    "own addresses to connect from, in turn" },
	{ "retry", WR_GROUP, AT(retry), "", "connects that failed", WR_NEW,
	    .keys = wr_retry_keys },
	{ "timeouts", WR_CUSTOM, AT(timeouts), "", "time-outs", WR_NEW,
	    .keys = wr_timeout_keys, .parse = wr_parse_timeouts,
	    .min = WR_AT_UPSTREAM },
	{ 0 },
};

/* What tells clients apart; the others need a look at what they say. */
static bool
is_client(struct wr_check *c, const struct wr_key *key, const struct wr_node *n,
    const char *z)
{
	if (strcmp(z, "client") == 0)
		return true;
	if (strcmp(z, "sni") == 0)
		wr_check_error(c, n, "\"sni\" is not built yet (tls)");
	else if (strcmp(z, "host") == 0 || strcmp(z, "path") == 0 ||
		 strncmp(z, "header:", 7) == 0 || strncmp(z, "cookie:", 7) == 0)
		wr_check_error(c, n, "\"%s\" is not built yet (http)", z);
	else
		wr_check_wrong(c, key, n,
		    "\"%s\" does not tell clients apart: write \"client\"", z);
	return false;
}

static void
parse_hash_on(struct wr_check *c, const struct wr_key *key,
    const struct wr_node *n, void *field)
{
	const char *z = wr_check_text(c, n);

	if (z != NULL && is_client(c, key, n, z))
		*(const char **)field = wr_check_str(c, wr_str_of(z));
}

static void
parse_sticky_on(struct wr_check *c, const struct wr_key *key,
    const struct wr_node *n, void *field)
{
	const char *z = wr_check_text(c, n);
	uint32_t *on = field;

	*on = WR_STICKY_OFF;
	if (z != NULL && strcmp(z, "off") != 0 && is_client(c, key, n, z))
		*on = WR_STICKY_CLIENT;
}

/* A group that is written is meant. */
static void
check_sticky(struct wr_check *c, const struct wr_node *n,
    const struct wr_upstream_conf *u)
{
	n = wr_node_get(n, "sticky");
	if (n != NULL && n->kind == WR_N_GROUP &&
	    wr_node_get(n, "on") == NULL && u->sticky.on == WR_STICKY_OFF)
		wr_check_error(c, n, "by what? write on = \"client\" in it");
}

static void
parse_fallback(struct wr_check *c, const struct wr_key *key,
    const struct wr_node *n, void *field)
{
	const char *z = wr_check_text(c, n);

	(void)key;
	if (z != NULL && z[0] != '\0')
		*(const struct wr_upstream_conf **)field =
		    wr_check_upstream(c, n, z);
}

static void
parse_on_remove(struct wr_check *c, const struct wr_key *key,
    const struct wr_node *n, void *field)
{
	struct wr_upstream_conf *u =
	    wr_container_of(field, struct wr_upstream_conf, on_remove);
	struct wr_key time = *key;

	u->on_remove_ms = 0;
	u->on_remove = WR_FATE_CLOSE;
	if (n->kind == WR_N_TEXT && strcmp(n->text, "keep") == 0) {
		u->on_remove = WR_FATE_KEEP;
	} else if (n->kind != WR_N_TEXT || strcmp(n->text, "close") != 0) {
		time.type = WR_TIME;
		time.min = 1;
		wr_check_value(c, &time, n, &u->on_remove_ms);
	}
}

const char *
wr_check_where(struct wr_check *c, const struct wr_node *n)
{
	struct wr_text t = { 0 };
	const char *z;

	if (n->src == NULL)
		return c->conf->path;
	wr_text_printf(&t, "%s:%u", n->src->name, n->line);
	z = wr_arena_str(c->arena, (struct wr_str){ t.p, t.len });
	wr_text_fini(&t);
	return z != NULL ? z : "";
}

bool
wr_check_name(struct wr_check *c, const struct wr_node *n)
{
	if (strlen(n->name) <= 127)
		return true;
	wr_check_error(c, n, "the name is longer than 127 letters");
	return false;
}

void
wr_check_not_here(struct wr_check *c, const struct wr_node *defaults,
    const char *const *names)
{
	const struct wr_node *n;

	for (; *names != NULL; names++) {
		n = wr_node_get(defaults, *names);
		if (n != NULL)
			wr_check_error(
			    c, n, "this cannot be the same for all of them");
	}
}

/* Insertion into a sorted run would be quadratic; qsort() has no argument. */
static const char *(*name_of)(const void *all, uint32_t i);
static const void *names_of;

static int
by_name(const void *a, const void *b)
{
	return strcmp(name_of(names_of, *(const uint32_t *)a),
	    name_of(names_of, *(const uint32_t *)b));
}

const uint32_t *
wr_check_by_name(struct wr_check *c,
    const char *(*name)(const void *all, uint32_t i), const void *all,
    uint32_t n)
{
	uint32_t *v = wr_check_array(c, n, sizeof(*v));

	for (uint32_t i = 0; i < n; i++)
		v[i] = i;
	name_of = name;
	names_of = all;
	if (n > 0)
		qsort(v, n, sizeof(*v), by_name);
	return v;
}

static const char *
upstream_name(const void *all, uint32_t i)
{
	return ((const struct wr_upstream_conf *const *)all)[i]->name;
}

/* One that is longer than the longest would do nothing. */
static void
check_retry(struct wr_check *c, const struct wr_node *n,
    const struct wr_upstream_conf *u)
{
	if (u->retry.backoff_ms > u->retry.max_backoff_ms)
		wr_check_error(c, wr_node_get(n, "retry"),
		    "backoff is longer than max_backoff (%u ms)",
		    u->retry.max_backoff_ms);
}

/* Following fallbacks from here must come to an end. */
static void
check_fallback(struct wr_check *c, const struct wr_node *n,
    const struct wr_upstream_conf *u)
{
	const struct wr_upstream_conf *next = u->fallback;

	for (uint32_t i = 0; next != NULL; i++) {
		if (next == u || i > c->conf->n_upstreams) {
			wr_check_error(c, wr_node_get(n, "fallback"),
			    "it leads back to this upstream");
			return;
		}
		next = next->fallback;
	}
}

static void
one(struct wr_check *c, const struct wr_node *n,
    const struct wr_upstream_conf *base, struct wr_upstream_conf *u)
{
	char text[WR_SHOWN];
	const char *name = u->name;

	*u = *base;
	u->name = name;
	u->where = wr_check_where(c, n);
	if (n->kind != WR_N_GROUP) {
		wr_check_error(c, n, "a group { } is expected, not %s",
		    wr_check_shown(NULL, n, text));
		return;
	}
	c->owner = u;
	u->mod = wr_check_object(
	    c, n, wr_upstream_keys, u, WR_AT_UPSTREAM, base->mod);
	c->owner = NULL;
	check_sticky(c, n, u);
	check_retry(c, n, u);
	wr_check_ports(c, n, u);
	if (wr_node_get(n, "servers") == NULL &&
	    wr_node_get(n, "announce") == NULL)
		wr_check_error(c, n, "the upstream has no servers");
	wr_timeouts_settle(&u->timeouts);
}

static void
name_all(struct wr_check *c, const struct wr_node *all)
{
	struct wr_conf *conf = c->conf;
	uint32_t max = all->n < UPSTREAMS_MAX ? all->n : UPSTREAMS_MAX, i = 0;
	struct wr_upstream_conf **v = wr_check_array(c, max, sizeof(*v));
	struct wr_upstream_conf *us = wr_check_array(c, max, sizeof(*us));

	if (all->n > max)
		wr_check_error(c, all, "more than %d upstreams", UPSTREAMS_MAX);
	c->upstreams = wr_names_new(c, max);
	for (const struct wr_node *n = all->first; i < max; n = n->next) {
		us[i].name = wr_check_str(c, wr_str_of(n->name));
		(void)wr_check_name(c, n);
		(void)wr_names_add(c->upstreams, us[i].name, &us[i]);
		v[i] = &us[i];
		i++;
	}
	conf->upstreams = v;
	conf->n_upstreams = max;
	conf->upstreams_by_name = wr_check_by_name(c, upstream_name, v, max);
	conf->upstreams_by_cell =
	    wr_check_array(c, max, sizeof(*conf->upstreams_by_cell));
	for (i = 0; i < max; i++)
		conf->upstreams_by_cell[i] = v[i];
}

static bool
is_strict(const struct wr_upstream_conf *u)
{
	return u->on_down == WR_FATE_CLOSE || u->on_remove == WR_FATE_CLOSE ||
	       u->on_up == WR_FATE_CLOSE;
}

static void
note_strict(struct wr_check *c)
{
	struct wr_conf *conf = c->conf;
	const struct wr_upstream_conf **v =
	    wr_check_array(c, conf->n_upstreams, sizeof(*v));

	for (uint32_t i = 0; i < conf->n_upstreams; i++)
		if (is_strict(conf->upstreams[i]))
			v[conf->n_strict++] = conf->upstreams[i];
	conf->strict = v;
}

void
wr_check_upstreams(struct wr_check *c, const struct wr_node *all,
    const struct wr_node *defaults)
{
	static const char *const NOT[] = { "servers", "label", NULL };
	struct wr_upstream_conf *base = wr_check_scratch(c, sizeof(*base));
	const struct wr_node *n = all->first;
	struct wr_conf *conf = c->conf;

	name_all(c, all);
	wr_check_presets(c, wr_upstream_keys, base);
	base->timeouts = conf->timeouts;
	wr_check_not_here(c, defaults, NOT);
	base->mod = wr_check_object(
	    c, defaults, wr_upstream_keys, base, WR_AT_UPSTREAM, conf->mod);
	for (uint32_t i = 0; i < conf->n_upstreams; i++, n = n->next)
		one(c, n, base, conf->upstreams[i]);
	n = all->first;
	for (uint32_t i = 0; i < conf->n_upstreams; i++, n = n->next)
		check_fallback(c, n, conf->upstreams[i]);
	note_strict(c);
}
