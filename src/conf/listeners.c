/* SPDX-License-Identifier: BSD-2-Clause */
/* listeners - where clients come in, and what becomes of them. */
#include "conf/core.h"

#define AT(field)     offsetof(struct wr_listener_conf, field)
#define LISTENERS_MAX 65536

static wr_parse_fn parse_protocol, parse_upstream;

const struct wr_key wr_listener_keys[] = {
	{ "label", WR_TEXT, AT(label), "", "free text" },
	{ "listen", WR_CUSTOM, AT(listens), "",
	    "one or many of \"10.0.0.5:80\", \"*:80\", \"[::]:80\", \":80\", "
	    "\":7000-7099\", \"unix:PATH\", \"fd:3\", \"fd:NAME\"",
	    .parse = wr_parse_listen },
	{ "protocol", WR_CUSTOM, AT(protocol), "tcp",
	    "what is spoken: tcp, http, udp, heartbeat or status",
	    .parse = parse_protocol },
	{ "backlog", WR_INT, AT(backlog), "4096",
	    "connections that may wait to be accepted", .min = 1,
	    .max = 1000000 },
	{ "mode", WR_CUSTOM, AT(mode), "0660", "mode of unix sockets",
	    .parse = wr_parse_mode },
	{ "owner", WR_CUSTOM, AT(uid), "", "user who owns unix sockets",
	    .parse = wr_parse_owner },
	{ "group", WR_CUSTOM, AT(gid), "", "group of unix sockets",
	    .parse = wr_parse_gid },
	{ "upstream", WR_CUSTOM, AT(upstream), "",
	    "upstream for sessions that no route takes, or names and weights",
	    .parse = parse_upstream },
	{ "split_on", WR_CHOICE, AT(split_on), "random",
	    "what decides between weighted upstreams: random or client",
	    .choices = wr_splits },
	{ "return", WR_CUSTOM, AT(answer), "",
	    "answer for sessions that no route takes: a status, or a group",
	    .keys = wr_answer_keys, .parse = wr_parse_answer },
	{ "routes", WR_CUSTOM, AT(routes), "",
	    "conditions, action, overrides; the first match wins",
	    .keys = wr_route_keys, .parse = wr_parse_nothing },
	{ "timeouts", WR_CUSTOM, AT(rules.timeouts), "", "time-outs",
	    .keys = wr_timeout_keys, .parse = wr_parse_timeouts,
	    .min = WR_AT_LISTENER },
	{ "access_log", WR_CUSTOM, AT(rules.access_log), "on",
	    "\"off\": sessions are not logged; or how their lines differ",
	    .keys = &wr_access_log_keys[1], .parse = wr_parse_listener_log },
	{ 0 },
};

static void
parse_protocol(struct wr_check *c, const struct wr_key *key,
    const struct wr_node *n, void *field)
{
	static const char *const NAMES[] = { "tcp", "http", "udp", "heartbeat",
		"status", NULL };
	static const struct {
		enum wr_protocol protocol;
		bool built;
	} THEY[] = {
		{ WR_TCP, true },
		{ WR_TCP, false },
		{ WR_TCP, false },
		{ WR_HEARTBEAT, true },
		{ WR_STATUS, true },
	};
	struct wr_key which = *key;
	uint32_t i = 0;

	which.type = WR_CHOICE;
	which.choices = NAMES;
	wr_check_value(c, &which, n, &i);
	*(enum wr_protocol *)field = THEY[i].protocol;
	if (!THEY[i].built)
		wr_check_error(c, n, "\"%s\" is not built yet", NAMES[i]);
	/* What else it needs depends on what was meant. */
	if (n->parent != NULL && (!THEY[i].built || n->kind != WR_N_TEXT ||
				     strcmp(n->text, NAMES[i]) != 0))
		n->parent->bad = true;
}

void
wr_parse_on_off(struct wr_check *c, const struct wr_key *key,
    const struct wr_node *n, void *field)
{
	struct wr_key which = *key;

	which.type = WR_BOOL;
	wr_check_value(c, &which, n, field);
}

static void
parse_upstream(struct wr_check *c, const struct wr_key *key,
    const struct wr_node *n, void *field)
{
	struct wr_listener_conf *l =
	    wr_container_of(field, struct wr_listener_conf, upstream);

	(void)key;
	wr_check_to(c, n, &l->upstream, &l->split);
}

/* A listener must lead somewhere. */
static void
check_action(struct wr_check *c, const struct wr_node *n,
    const struct wr_listener_conf *l)
{
	if (wr_node_get(n, "upstream") != NULL &&
	    wr_node_get(n, "return") != NULL)
		wr_check_error(c, n, "upstream and return exclude each other");
	else if (l->protocol == WR_TCP && l->upstream == NULL &&
		 l->answer == NULL && wr_node_get(n, "upstream") == NULL &&
		 wr_node_get(n, "return") == NULL &&
		 wr_node_get(n, "routes") == NULL)
		wr_check_error(
		    c, n, "it leads nowhere: write upstream, routes or return");
}

static bool
among(const char *key, const char *const *keys)
{
	while (*keys != NULL && strcmp(*keys, key) != 0)
		keys++;
	return *keys != NULL;
}

static bool
has_file(const struct wr_listener_conf *l)
{
	for (uint32_t i = 0; i < l->n_listens; i++)
		if (l->listens[i].kind == WR_LISTEN_UNIX)
			return true;
	return l->n_listens == 0;
}

const char *
wr_listener_moot(const struct wr_listener_conf *l, const char *key)
{
	static const char *const SESSIONS[] = { "upstream", "split_on",
		"return", "routes", "timeouts", "access_log", "limit",
		"heartbeat", NULL };
	static const char *const FILES[] = { "mode", "owner", "group", NULL };

	if (l->protocol == WR_STATUS && among(key, SESSIONS))
		return "it has no meaning with protocol = \"status\"";
	if (l->protocol == WR_HEARTBEAT && among(key, SESSIONS))
		return "it has no meaning with protocol = \"heartbeat\"";
	if (!has_file(l) && among(key, FILES))
		return "it is for listen = \"unix:PATH\"";
	return wr_split_moot(l->split, key);
}

/* Nothing is ignored silently. */
static void
check_moot(struct wr_check *c, const struct wr_node *n,
    const struct wr_listener_conf *l)
{
	for (n = n->first; n != NULL; n = n->next) {
		const char *why = wr_listener_moot(l, n->name);

		if (why != NULL)
			wr_check_error(c, n, "%s", why);
	}
}

static void
one(struct wr_check *c, const struct wr_node *n,
    const struct wr_listener_conf *base, struct wr_listener_conf *l)
{
	char text[WR_SHOWN];

	*l = *base;
	l->where = wr_check_where(c, n);
	l->name = n->name != NULL ? n->name : "";
	if (n->kind != WR_N_GROUP) {
		wr_check_error(c, n, "a group { } is expected, not %s",
		    wr_check_shown(NULL, n, text));
		return;
	}
	l->rules.mod = wr_check_object(
	    c, n, wr_listener_keys, l, WR_AT_LISTENER, base->rules.mod);
	if (wr_node_get(n, "listen") == NULL)
		wr_check_error(c, n, "listen is missing");
	if (l->protocol == WR_HEARTBEAT)
		wr_listen_on_udp(c, l);
	/* The inner one of the two wins over what is inherited. */
	if (wr_node_get(n, "upstream") != NULL)
		l->answer = NULL;
	if (wr_node_get(n, "return") != NULL)
		l->upstream = NULL, l->split = NULL;
	check_action(c, n, l);
	check_moot(c, n, l);
	wr_check_routes(
	    c, wr_node_get(n, "routes"), &l->rules, &l->routes, &l->n_routes);
	wr_timeouts_settle(&l->rules.timeouts);
	if (n->name != NULL)
		l->name = wr_check_str(c, wr_str_of(l->name));
	else if (l->n_listens > 0)
		l->name = l->listens[0].text;
}

static const char *
listener_name(const void *all, uint32_t i)
{
	return ((const struct wr_listener_conf *const *)all)[i]->name;
}

static uint32_t
count(struct wr_check *c, const struct wr_node *all)
{
	char text[WR_SHOWN];

	if (all == NULL)
		return 0;
	if (all->kind != WR_N_GROUP && all->kind != WR_N_LIST) {
		wr_check_error(c, all,
		    "a group { } or a list ( ) is expected, not %s",
		    wr_check_shown(NULL, all, text));
		return 0;
	}
	if (all->n <= LISTENERS_MAX)
		return all->n;
	wr_check_error(c, all, "more than %d listeners", LISTENERS_MAX);
	return LISTENERS_MAX;
}

void
wr_check_listeners(struct wr_check *c, const struct wr_node *all,
    const struct wr_node *defaults)
{
	static const char *const NOT[] = { "listen", "label", "routes", NULL };
	struct wr_listener_conf *base = wr_check_scratch(c, sizeof(*base));
	struct wr_conf *conf = c->conf;
	uint32_t n_all = count(c, all);
	struct wr_listener_conf **v = wr_check_array(c, n_all, sizeof(*v));
	struct wr_listener_conf *ls = wr_check_array(c, n_all, sizeof(*ls));
	const struct wr_node *n = all != NULL ? all->first : NULL;

	c->listens = wr_names_new(c, n_all);
	wr_check_presets(c, wr_listener_keys, base);
	base->uid = base->gid = WR_OFF;
	base->rules.timeouts = conf->timeouts;
	base->line = &conf->access_log.line;
	wr_check_not_here(c, defaults, NOT);
	base->rules.mod = wr_check_object(
	    c, defaults, wr_listener_keys, base, WR_AT_LISTENER, conf->mod);
	for (uint32_t i = 0; i < n_all; i++, n = n->next) {
		if (n->name != NULL)
			(void)wr_check_name(c, n);
		one(c, n, base, &ls[i]);
		v[i] = &ls[i];
	}
	conf->listeners = v;
	conf->n_listeners = n_all;
	conf->listeners_by_name = wr_check_by_name(c, listener_name, v, n_all);
	conf->listeners_by_cell =
	    wr_check_array(c, n_all, sizeof(*conf->listeners_by_cell));
	for (uint32_t i = 0; i < n_all; i++)
		conf->listeners_by_cell[i] = v[i];
}
