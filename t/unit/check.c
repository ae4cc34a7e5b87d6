/* SPDX-License-Identifier: BSD-2-Clause */
#include "conf/check.h"

#include "conf.h"

/* A group as modules have them. */
struct probe {
	bool on;
	uint32_t interval_ms;
	uint32_t fall;
	uint32_t kind;
	const char *uri;
	struct wr_rate rate;
	struct wr_texts status;
	struct wr_cidrs from;
	struct {
		const char *name;
		uint64_t size;
	} inner;
	struct wr_array steps;
	const char *secret;
	const struct wr_upstream_conf *owner; /* set by check */
	uint32_t checked;
};

struct step {
	const char *send;
	uint32_t wait_ms;
};

#define AT(f) offsetof(struct probe, f)

static const char *const KINDS[] = { "tcp", "http", NULL };

static const struct wr_key STEP[] = {
	{ "send", WR_TEXT, offsetof(struct step, send), "", "what is sent" },
	{ "wait", WR_TIME, offsetof(struct step, wait_ms), "1s", "how long" },
	{ 0 },
};

static const struct wr_key INNER[] = {
	{ "name", WR_TEXT, offsetof(struct probe, inner.name) - AT(inner),
	    "none", "a name" },
	{ "size", WR_SIZE, offsetof(struct probe, inner.size) - AT(inner), "4k",
	    "a size", .may_be_off = true },
	{ 0 },
};

static const struct wr_key PROBE[] = {
	{ "on", WR_BOOL, AT(on), "false", "is it on?" },
	{ "type", WR_CHOICE, AT(kind), "tcp", "kind", .choices = KINDS },
	{ "interval", WR_TIME, AT(interval_ms), "2s", "time", .min = 1 },
	{ "fall", WR_INT, AT(fall), "3", "count", .min = 1, .max = 100,
	    .may_be_off = true },
	{ "uri", WR_TEXT, AT(uri), "/", "text" },
	{ "rate", WR_RATE, AT(rate), "20/s", "rate" },
	{ "status", WR_TEXTS, AT(status), "[ 200-299, 304 ]", "list" },
	{ "from", WR_CIDRS, AT(from), "", "networks" },
	{ "inner", WR_GROUP, AT(inner), "", "group", .keys = INNER,
	    .principal = "name" },
	{ "steps", WR_GROUPS, AT(steps), "", "groups", .keys = STEP,
	    .size = sizeof(struct step), .principal = "send" },
	{ "secret", WR_SECRET, AT(secret), "", "secret" },
	{ "more", WR_INT, 0, "", "not yet", .later = "http" },
	{ 0 },
};

static uint32_t checks, nowhere;

static void
check_probe(struct wr_check *c, const struct wr_node *n, void *value)
{
	struct probe *p = value;

	checks++;
	nowhere += n == NULL;
	p->owner = wr_check_owner(c);
	p->checked++;
	if (p->fall == 13)
		wr_check_error(c, n, "13 brings bad luck");
}

static const struct wr_group UP = { "health", PROBE, sizeof(struct probe),
	WR_AT_UPSTREAM, "type", "checks", check_probe, false };
static const struct wr_group OWN = { "own", PROBE, sizeof(struct probe),
	WR_AT_UPSTREAM, NULL, "checks", check_probe, true };
static const struct wr_group NONE = { .name = NULL };
static const struct wr_group ALL = { "limit", PROBE, sizeof(struct probe),
	WR_AT_TOP | WR_AT_LISTENER | WR_AT_ROUTE, NULL, "limits", NULL, false };
static const struct wr_group *const GROUPS[] = { &NONE, &UP, &ALL, NULL };
static const struct wr_group *const OWNS[] = { &OWN, NULL };

static struct wr_gen *
load(const char *text, const char **said)
{
	struct wr_load ld = { .groups = GROUPS };

	return conf_load(text, &ld, said);
}

static const char APP[] = "upstreams = { app = { servers = \"10.0.0.5:80\"; "
			  "}; };\n";

static const char *
with_app(const char *text)
{
	static char all[4096];

	(void)snprintf(all, sizeof(all), "%s%s", APP, text);
	return all;
}

static void
presets_are_good(void)
{
	const char *said;
	struct wr_gen *g = load(APP, &said);
	const struct probe *p;

	is_str(said, "");
	ok(g != NULL);
	is_int(g->conf->reload_timeout_ms, 15000);
	is_int(g->conf->timeouts.ms[WR_T_IDLE], 600000);
	is_int(g->conf->timeouts.ms[WR_T_SEND], 600000);
	is_int(g->conf->events.unsent, 128 * 1024);
	is_str(g->conf->events.backend, "auto");
	ok(g->conf->events.connections == WR_OFF);
	ok(g->conf->workers >= 1);
	ok(g->conf->uid == WR_OFF && g->conf->gid == WR_OFF);
	is_str(g->conf->user, "");
	ok(!g->conf->pid_written);
	ok(g->conf->mod[0] == NULL);
	p = g->conf->upstreams[0]->mod[1];
	ok(!p->on);
	is_int(p->interval_ms, 2000);
	is_int(p->fall, 3);
	is_str(p->uri, "/");
	is_int(p->rate.n, 20);
	is_int(p->rate.per_ms, 1000);
	is_int(p->status.n, 2);
	is_str(p->status.v[0], "200-299");
	is_str(p->status.v[1], "304");
	is_int(p->from.n, 0);
	is_str(p->inner.name, "none");
	is_int(p->inner.size, 4096);
	is_int(p->steps.n, 0);
	is_str(p->secret, "");
	wr_gen_put(&g);
}

static const struct probe *
upstream_probe(const struct wr_gen *g, const char *name)
{
	return wr_conf_upstream(g->conf, name)->mod[1];
}

static void
levels_are_merged_key_by_key(void)
{
	const char *said;
	const struct probe *a, *b, *d, *e;
	struct wr_gen *g = load(
	    "defaults = { upstream = { health = { interval = \"5s\"; status = "
	    "\"201\"; inner = { size = \"off\"; }; }; }; };\n"
	    "upstreams = {\n"
	    "  a = { servers = \"10.0.0.5:80\"; };\n"
	    "  b = { servers = \"10.0.0.5:80\"; health = { fall = 7; inner = "
	    "{ name = \"x\"; }; }; };\n"
	    "  c = { servers = \"10.0.0.5:80\"; health = \"off\"; };\n"
	    "  d = { servers = \"10.0.0.5:80\"; health = \"http\"; };\n"
	    "  e = { servers = \"10.0.0.5:80\"; health = { on = false; }; };\n"
	    "  f = { servers = \"10.0.0.5:80\"; health = true; };\n"
	    "};\n",
	    &said);

	is_str(said, "");
	a = upstream_probe(g, "a");
	b = upstream_probe(g, "b");
	ok(a->on && a->interval_ms == 5000 && a->fall == 3);
	is_int(a->status.n, 1);
	ok(a->inner.size == UINT64_MAX);
	ok(b->on && b->interval_ms == 5000 && b->fall == 7);
	is_str(b->inner.name, "x");
	ok(b->inner.size == UINT64_MAX);
	/* "off" cuts what was inherited. */
	d = upstream_probe(g, "c");
	ok(!d->on && d->interval_ms == 2000 && d->status.n == 2);
	d = upstream_probe(g, "d");
	ok(d->on && d->kind == 1 && d->interval_ms == 5000);
	e = upstream_probe(g, "e");
	ok(!e->on && e->interval_ms == 5000);
	ok(upstream_probe(g, "f")->on && upstream_probe(g, "f")->kind == 0);
	wr_gen_put(&g);
}

static void
values_that_nobody_writes_are_shared(void)
{
	struct wr_load ld = { .groups = OWNS };
	struct wr_gen *g;
	const struct probe *p;
	const char *two = "upstreams = { a = { servers = \"10.0.0.5:80\"; }; "
			  "b = { servers = \"10.0.0.5:80\"; }; };";

	g = load(two, NULL);
	ok(upstream_probe(g, "a") == upstream_probe(g, "b"));
	wr_gen_put(&g);
	checks = nowhere = 0;
	g = conf_load(two, &ld, NULL);
	p = g->conf->upstreams[1]->mod[0];
	ok(p->owner == g->conf->upstreams[1]);
	ok(g->conf->upstreams[0]->mod[0] != g->conf->upstreams[1]->mod[0]);
	is_int(nowhere, checks);
	wr_gen_put(&g);
}

static void
routes_inherit_from_listeners(void)
{
	const char *said;
	struct wr_gen *g = load(
	    with_app("limit = { fall = 2; };\n"
		     "listeners = { a = { listen = \"*:80\"; upstream = "
		     "\"app\"; limit = { interval = \"9s\"; };\n"
		     "  routes = ( { port = 80; upstream = \"app\"; limit = "
		     "{ uri = \"/r\"; }; timeouts = { idle = \"3s\"; };\n"
		     "    }, { client = \"10.0.0.0/8\"; routes = ( { upstream "
		     "= \"app\"; } ); access_log = \"off\"; } );\n"
		     "  timeouts = { idle = \"5s\"; linger = \"1s\"; }; }; "
		     "};\n"),
	    &said);
	const struct wr_listener_conf *l;
	const struct wr_route_conf *r;
	const struct probe *p;

	is_str(said, "");
	l = g->conf->listeners[0];
	p = g->conf->mod[2];
	ok(p->on && p->fall == 2 && p->interval_ms == 2000);
	p = l->rules.mod[2];
	ok(p->fall == 2 && p->interval_ms == 9000);
	is_int(l->n_routes, 2);
	r = &l->routes[0];
	p = r->rules.mod[2];
	ok(p->fall == 2 && p->interval_ms == 9000);
	is_str(p->uri, "/r");
	/* Although the listener's time-outs are written behind its routes. */
	is_int(r->rules.timeouts.ms[WR_T_IDLE], 3000);
	is_int(r->rules.timeouts.ms[WR_T_LINGER], 1000);
	ok(r->rules.access_log);
	is_int(r->ports.n, 1);
	ok(r->ports.v[0][0] == 80 && r->ports.v[0][1] == 80);
	r = &l->routes[1];
	ok(r->upstream == NULL && r->n_routes == 1 && r->client.n == 1);
	ok(r->routes[0].rules.mod[2] == l->rules.mod[2]);
	ok(!r->routes[0].rules.access_log);
	ok(r->routes[0].upstream == g->conf->upstreams[0]);
	wr_gen_put(&g);
}

static void
each_type_is_read(void)
{
	const char *said;
	const struct probe *p;
	const struct step *s;
	struct wr_gen *g = load(
	    "upstreams = { a = { servers = \"10.0.0.5:80\"; health = {\n"
	    "  interval = \"1d\"; fall = \"off\"; rate = \"100/h\"; secret = "
	    "\"hush\"; status = ( \"1\", [ \"2\", \"3\" ] );\n"
	    "  from = [ \"10.0.0.0/8\", \"10.1.0.0/16\", \"::1\" ]; inner = "
	    "\"plain\";\n"
	    "  steps = ( { send = \"a\"; wait = \"250ms\"; }, \"b\", { } ); "
	    "}; }; };\n",
	    &said);

	is_str(said, "");
	p = upstream_probe(g, "a");
	is_int(p->interval_ms, 86400000);
	ok(p->fall == WR_OFF);
	ok(p->rate.n == 100 && p->rate.per_ms == 3600000);
	is_str(p->secret, "hush");
	is_int(p->status.n, 3);
	is_str(p->status.v[2], "3");
	is_int(p->from.n, 2);
	is_str(p->inner.name, "plain");
	is_int(p->steps.n, 3);
	s = p->steps.v;
	is_str(s[0].send, "a");
	is_int(s[0].wait_ms, 250);
	is_str(s[1].send, "b");
	is_int(s[2].wait_ms, 1000);
	wr_gen_put(&g);
}

static void
errors_are_collected_and_say_where(void)
{
	const char *said;

	ok(load("upstreams = { a = { servers = \"10.0.0.5:80\";\n"
		"  health = { interval = 5; fall = 0; type = \"udp\"; rate = "
		"\"5\";\n"
		"    fail_timeout = 1; more = 2; secret = 7; steps = { sned = "
		"1; };\n"
		"    status = { }; on = \"maybe\"; inner = [ ]; }; };\n"
		"  b = { servers = \"10.0.0.5:80\"; health = { fall = 13; }; "
		"};\n};\n",
	       &said) == NULL);
	is_str(said,
	    "t.conf:2: upstreams.a.health.interval: 5 has no unit: write "
	    "\"5s\" or the like (default 2s)\n"
	    "t.conf:2: upstreams.a.health.fall: 0 is out of range: it may be "
	    "1 to 100 (default 3)\n"
	    "t.conf:2: upstreams.a.health.type: \"udp\" is not one of its "
	    "values: write \"tcp\" or \"http\" (default tcp)\n"
	    "t.conf:2: upstreams.a.health.rate: 5 has no unit: write "
	    "\"5/s\" or the like (default 20/s)\n"
	    "t.conf:3: upstreams.a.health.fail_timeout: unknown key: weir's "
	    "word is eject.window and eject.for\n"
	    "t.conf:3: upstreams.a.health.more: not built yet (http)\n"
	    "t.conf:3: upstreams.a.health.secret: a string is expected: write "
	    "\"...\"\n"
	    "t.conf:3: upstreams.a.health.steps.sned: unknown key: did you "
	    "mean \"send\"?\n"
	    "t.conf:4: upstreams.a.health.status: a string is expected, not a "
	    "group\n"
	    "t.conf:4: upstreams.a.health.on: \"maybe\" is neither true nor "
	    "false (\"on\" and \"off\" will do) (default false)\n"
	    "t.conf:4: upstreams.a.health.inner: a string is expected, not a "
	    "list\n"
	    "t.conf:5: upstreams.b.health: 13 brings bad luck\n");
}

static void
what_a_module_supplies_is_no_longer_refused(void)
{
	static const struct wr_group tls = { "tls", PROBE, sizeof(struct probe),
		WR_AT_UPSTREAM, "type", "checks", check_probe, false };
	static const struct wr_group *const supplied[] = { &tls, NULL };
	static const char text[] =
	    "upstreams = { a = { servers = \"10.0.0.5:80\"; tls = \"http\"; }; "
	    "};";
	struct wr_load without = { .groups = NULL };
	struct wr_load with = { .groups = supplied };
	const char *said;
	struct wr_gen *g;

	ok(conf_load(text, &without, &said) == NULL);
	is_str(said, "t.conf:1: upstreams.a.tls: not built yet (tls)\n");
	g = conf_load(text, &with, &said);
	ok(g != NULL);
	wr_gen_put(&g);
}

static void
timeouts_of_both_sides_meet(void)
{
	const char *said;
	struct wr_gen *g = load(
	    "upstreams = {\n"
	    "  plain = { servers = \"10.0.0.5:80\"; };\n"
	    "  long = { servers = \"10.0.0.5:80\"; timeouts = { idle = "
	    "\"8h\"; }; };\n"
	    "};\nlisteners = {\n"
	    "  plain = { listen = \"*:80\"; upstream = \"plain\"; };\n"
	    "  long = { listen = \"*:81\"; upstream = \"plain\"; timeouts = { "
	    "idle = \"9h\"; half_close = \"off\"; }; };\n"
	    "  part = { listen = \"*:82\"; upstream = \"plain\"; timeouts = { "
	    "client_idle = \"1s\"; }; };\n"
	    "};\n",
	    &said);
	const struct wr_timeouts *up, *ul, *lp, *ll, *part;

	is_str(said, "");
	up = &wr_conf_upstream(g->conf, "plain")->timeouts;
	ul = &wr_conf_upstream(g->conf, "long")->timeouts;
	lp = &wr_conf_listener(g->conf, "plain")->rules.timeouts;
	ll = &wr_conf_listener(g->conf, "long")->rules.timeouts;
	part = &wr_conf_listener(g->conf, "part")->rules.timeouts;
	is_int(wr_timeout_of(lp, up, WR_T_IDLE), 600000);
	is_int(wr_timeout_of(ll, up, WR_T_IDLE), 9 * 3600000);
	is_int(wr_timeout_of(lp, ul, WR_T_IDLE), 8 * 3600000);
	is_int(wr_timeout_of(ll, ul, WR_T_IDLE), 8 * 3600000);
	is_int(wr_timeout_of(ll, up, WR_T_SEND), 9 * 3600000);
	ok(wr_timeout_of(ll, up, WR_T_HALF_CLOSE) == WR_OFF);
	is_int(wr_timeout_of(part, ul, WR_T_CLIENT_IDLE), 1000);
	/* A stream in one direction is not idle. */
	ok(wr_timeout_of(part, ul, WR_T_SERVER_IDLE) == WR_OFF);
	is_int(wr_timeout_of(lp, up, WR_T_CONNECT), 3000);
	is_int(wr_timeout_of(lp, up, WR_T_LINGER), 2000);
	is_str(wr_timeout_name(WR_T_SPREAD), "spread");
	wr_gen_put(&g);
}

static const struct wr_answer *
answer_of(const struct wr_gen *g, const char *name)
{
	return wr_conf_listener(g->conf, name)->answer;
}

static void
answers_are_whole(void)
{
	static const char BARE[] = "go\naway\n";
	static const char PAGE[] =
	    "HTTP/1.0 503 Service Unavailable\r\n"
	    "Content-Type: text/html; charset=utf-8\r\n"
	    "Content-Length: 8\r\nConnection: close\r\n\r\n<p>x</p>";
	static const char MOVED[] =
	    "HTTP/1.0 302 Found\r\nLocation: https://example.net/\r\n"
	    "Content-Type: text/plain; charset=utf-8\r\n"
	    "Content-Length: 10\r\nConnection: close\r\n\r\n302 Found\n";
	static const char EMPTY[] =
	    "HTTP/1.0 204 No Content\r\nConnection: close\r\n\r\n";
	const char *said;
	const struct wr_answer *a;
	struct wr_gen *g;

	conf_write("x.html", "<p>x</p>", 8);
	g = load("listeners = {\n"
		 "  bare = { listen = \"*:1\"; return = { body = "
		 "\"go\\naway\\n\"; }; };\n"
		 "  page = { listen = \"*:2\"; return = { status = 503; file "
		 "= \"x.html\"; }; };\n"
		 "  moved = { listen = \"*:3\"; return = { location = "
		 "\"https://example.net/\"; }; };\n"
		 "  empty = { listen = \"*:4\"; return = \"204\"; };\n};\n",
	    &said);
	is_str(said, "");
	a = answer_of(g, "bare");
	ok(a->status == 0 && a->len == sizeof(BARE) - 1 &&
	    memcmp(a->bytes, BARE, a->len) == 0);
	a = answer_of(g, "page");
	ok(a->status == 503 && a->len == sizeof(PAGE) - 1 &&
	    memcmp(a->bytes, PAGE, a->len) == 0);
	a = answer_of(g, "moved");
	ok(a->status == 302 && a->len == sizeof(MOVED) - 1 &&
	    memcmp(a->bytes, MOVED, a->len) == 0);
	a = answer_of(g, "empty");
	ok(a->status == 204 && a->len == sizeof(EMPTY) - 1 &&
	    memcmp(a->bytes, EMPTY, a->len) == 0);
	wr_gen_put(&g);
}

static void
servers_are_of_three_kinds(void)
{
	const char *said;
	const struct wr_server_conf *s;
	struct wr_gen *g = load(
	    "upstreams = { a = { fallback = \"b\"; servers = ( "
	    "\"10.0.0.5:80\", "
	    "\"db.example.net:5432\", \"db.example.net\",\n"
	    "  \"srv:_x._tcp.example.net\", \"[::1]\", { name = \"u\"; "
	    "address = \"unix:/run/u\"; weight = 0; backup = true; max_conns "
	    "= 5; state = \"drain\"; } ); };\n"
	    "  b = { servers = \"10.0.0.6:80\"; label = \"spare\"; }; };\n",
	    &said);
	const struct wr_upstream_conf *u;

	is_str(said, "");
	u = g->conf->upstreams[0];
	is_int(u->n_servers, 6);
	ok(u->fallback == g->conf->upstreams[1]);
	s = u->servers;
	ok(s[0].kind == WR_SERVER_ADDR && wr_addr_port(&s[0].addr) == 80 &&
	    s[0].port == 80 && !s[0].client_port && s[0].weight == 1 &&
	    s[0].max_conns == WR_OFF && s[0].upstream == u);
	is_str(s[0].name, "10.0.0.5:80");
	ok(s[1].kind == WR_SERVER_NAME && s[1].port == 5432);
	is_str(s[1].host, "db.example.net");
	ok(s[2].kind == WR_SERVER_NAME && s[2].client_port);
	ok(s[3].kind == WR_SERVER_SRV);
	is_str(s[3].host, "_x._tcp.example.net");
	ok(s[4].kind == WR_SERVER_ADDR && s[4].client_port &&
	    s[4].addr.sa.sa_family == AF_INET6);
	ok(s[5].addr.sa.sa_family == AF_UNIX && s[5].weight == 0 &&
	    s[5].backup && s[5].max_conns == 5 && s[5].want == WR_WANT_DRAIN);
	is_str(s[5].name, "u");
	is_str(s[5].address, "unix:/run/u");
	is_str(g->conf->upstreams[1]->label, "spare");
	is_str(g->conf->upstreams[1]->where + strlen(conf_dir), "/t.conf:3");
	wr_gen_put(&g);
}

static void
listens_are_one_an_address(void)
{
	const char *said;
	const struct wr_listener_conf *l;
	struct wr_gen *g =
	    load("listeners = { a = { return = 200; listen = [ \":80-81\", "
		 "\"127.0.0.1:90\", \"fd:3\", \"fd:web\", \"unix:a.sock\" ]; "
		 "mode = \"0600\"; owner = 12; group = \"34\"; }; };",
		&said);

	is_str(said, "");
	l = g->conf->listeners[0];
	is_int(l->n_listens, 8);
	is_str(l->listens[0].text, "0.0.0.0:80");
	is_str(l->listens[1].text, "0.0.0.0:81");
	is_str(l->listens[2].text, "[::]:80");
	is_str(l->listens[3].text, "[::]:81");
	ok(l->listens[4].kind == WR_LISTEN_TCP && l->listens[4].fd == -1);
	ok(l->listens[5].kind == WR_LISTEN_FD && l->listens[5].fd == 3);
	ok(l->listens[6].kind == WR_LISTEN_FD && l->listens[6].fd == -1);
	is_str(l->listens[6].text, "fd:web");
	ok(l->listens[7].kind == WR_LISTEN_UNIX);
	is_str(l->listens[7].addr.un.sun_path, conf_path("a.sock"));
	ok(l->mode == 0600 && l->uid == 12 && l->gid == 34);
	wr_gen_put(&g);
}

/* Far more than anybody has, and no time lost. */
static void
ten_thousand_are_no_trouble(void)
{
	struct wr_text t = { 0 };
	struct wr_load ld = { .groups = GROUPS };
	struct wr_gen *g;

	wr_text_puts(&t, "upstreams = {\n");
	for (int i = 0; i < 10000; i++)
		wr_text_printf(
		    &t, "a%d = { servers = \"10.0.0.5:80\"; };\n", i);
	wr_text_puts(&t, "b = { servers = [ \"10.0.0.5:80\"");
	for (int i = 0; i < 10000; i++)
		wr_text_printf(&t, ", \"10.1.%d.%d:80\"", i / 250, i % 250);
	wr_text_puts(&t, " ]; }; };\nlisteners = {\n");
	for (int i = 0; i < 5000; i++)
		wr_text_printf(&t,
		    "l%d = { listen = \"127.0.%d.%d:80\"; upstream = \"a%d\"; "
		    "};\n",
		    i, i / 250, i % 250 + 1, i);
	wr_text_puts(&t, "};\n");
	g = conf_load(t.p, &ld, NULL);
	ok(g != NULL && g->conf->n_upstreams == 10001);
	ok(g != NULL && g->conf->listeners[4999]->upstream ==
			    wr_conf_upstream(g->conf, "a4999"));
	wr_gen_put(&g);
	wr_text_fini(&t);
}

static void
the_pid_file_is_found_in_a_broken_file(void)
{
	static const char *const FILES[] = {
		"pid = \"/run/x.pid\";",
		"upstreams = { pid = \"no\"; a = 30s };\npid : \"/run/x.pid\"",
		("/* pid = \"no\"; */ # pid = \"no\"\nfoo = ${ \"un\n)\n"
		 "pid = \"/run/x.pid\"; ]"),
		"pid = \"/run/${NO_SUCH_NAME:-x}.pid\"",
	};
	char pid[64];

	for (size_t i = 0; i < WR_COUNT(FILES); i++) {
		conf_write("t.conf", FILES[i], strlen(FILES[i]));
		ok(wr_conf_scan_pid(conf_path("t.conf"), pid, sizeof(pid)));
		is_str(pid, "/run/x.pid");
	}
	conf_write("t.conf", "pid = \"x.pid\";", 14);
	ok(wr_conf_scan_pid(conf_path("t.conf"), pid, sizeof(pid)));
	is_str(pid, conf_path("x.pid"));
	ok(!wr_conf_scan_pid(conf_path("t.conf"), pid, 8));
	conf_write("t.conf", "a = { pid = \"x.pid\"; };", 23);
	ok(!wr_conf_scan_pid(conf_path("t.conf"), pid, sizeof(pid)));
	ok(!wr_conf_scan_pid(conf_path("none.conf"), pid, sizeof(pid)));
}

/* In a file that a file includes, whatever else they say. */
static void
the_pid_file_may_be_named_in_an_included_file(void)
{
	static const char *const FILES[] = {
		"include = \"b.inc\";",
		"include = [ \"none.inc\", \"b.inc\" ]; a = {",
		"include : (\"broken.inc\",\"b.inc\"); a = 30s",
		"include = \"*.inc\";",
		"@include \"b.inc\"\n",
		("x = \"include\"; y = { include = \"c.inc\"; };\n"
		 "include = \"${NO_SUCH_NAME:-b}.inc\""),
		/* It includes itself. */
		"include = [ \"t.conf\", \"t.conf\", \"b.inc\" ];",
	};
	static const char LOOP[] = "include = [ \"*.conf\", \"t.conf\" ];";
	char pid[64];

	conf_write("b.inc", "pid = \"/run/x.pid\";", 19);
	conf_write("broken.inc", "pid = \"/run/y.pid", 18);
	for (size_t i = 0; i < WR_COUNT(FILES); i++) {
		conf_write("t.conf", FILES[i], strlen(FILES[i]));
		ok(wr_conf_scan_pid(conf_path("t.conf"), pid, sizeof(pid)));
		is_str(pid, "/run/x.pid");
	}
	conf_write("t.conf", LOOP, strlen(LOOP));
	ok(!wr_conf_scan_pid(conf_path("t.conf"), pid, sizeof(pid)));
	/* A path is relative to the file that names it. */
	conf_write("t.conf", "include = \"b.inc\";", 18);
	conf_write("b.inc", "pid = \"z.pid\";", 14);
	ok(wr_conf_scan_pid(conf_path("t.conf"), pid, sizeof(pid)));
	is_str(pid, conf_path("z.pid"));
	/* Strings and groups that only look like it. */
	conf_write("t.conf",
	    "a = { include = \"b.inc\"; }; b = include; \"b.inc\";", 49);
	ok(!wr_conf_scan_pid(conf_path("t.conf"), pid, sizeof(pid)));
}

/* Every key has what -T, the manual and the editor need. */
static void
tables_are_complete(void)
{
	struct wr_text t = { 0 };
	int lines = 0, bad = 0;

	wr_conf_keys(GROUPS, &t);
	for (char *line = t.p, *end; line != NULL && *line != '\0';
	     line = end + 1) {
		const char *help;
		int tabs = 0;

		end = strchr(line, '\n');
		*end = '\0';
		lines++;
		for (const char *p = line; *p != '\0'; p++)
			tabs += *p == '\t';
		help = strrchr(line, '\t');
		if (tabs != 4 || help == NULL || help[1] == '\0') {
			diag("%s", line);
			bad++;
		}
	}
	is_int(bad, 0);
	ok(lines > 60);
	wr_text_fini(&t);
}

static void
lines_of_the_access_log_are_compiled(void)
{
	static const char *const FIELDS[] = { "time", "client", "end",
		"total_ms", NULL };
	static const char *const ENDS[] = { "-", "client.relay.eof",
		"weir.relay.idle", NULL };
	struct wr_load ld = { .groups = GROUPS, .words = { FIELDS, ENDS } };
	const struct wr_line_conf *top, *line;
	const char *said;
	struct wr_gen *g = conf_load(
	    with_app(
		"access_log = { fields = \"end, time  client\"; skip = "
		"\"client.relay.eof\"; };\n"
		"defaults = { listener = { access_log = \"off\"; }; };\n"
		"listeners = { a = { listen = \"*:1\"; upstream = \"app\"; };"
		" b = { listen = \"*:2\"; upstream = \"app\";\n"
		" access_log = { format = \"json\"; fields = [ \"total_ms\" "
		"]; }; };"
		" c = { listen = \"*:3\"; upstream = \"app\"; access_log = "
		"\"on\"; }; };\n"),
	    &ld, &said);

	is_str(said, "");
	ok(g != NULL);
	top = &g->conf->access_log.line;
	is_int(top->n_fields, 3);
	ok(top->fields[0] == 2 && top->fields[1] == 0 && top->fields[2] == 1);
	is_int(top->skip[0], 2);
	ok(!g->conf->listeners[0]->rules.access_log);
	ok(g->conf->listeners[0]->line == top);
	line = g->conf->listeners[1]->line;
	ok(g->conf->listeners[1]->rules.access_log);
	ok(line->n_fields == 1 && line->fields[0] == 3);
	is_int(line->format, 1);
	is_int(line->skip[0], 2);
	ok(g->conf->listeners[2]->rules.access_log);
	ok(g->conf->listeners[2]->line == top);
	wr_gen_put(&g);

	g = conf_load(
	    with_app("access_log = { fields = \"tme end %Tt end\";\n"
		     "skip = [ \"client.relay.eof\", \"client.relay.eov\" ];"
		     " };\n"),
	    &ld, &said);
	ok(g == NULL);
	is_str(said,
	    "t.conf:2: access_log.fields: there is no field \"tme\": did you "
	    "mean \"time\"?\n"
	    "t.conf:2: access_log.fields: there is no field \"%Tt\": weir's "
	    "word is \"total_ms\"\n"
	    "t.conf:2: access_log.fields: the field \"end\" is named twice\n"
	    "t.conf:3: access_log.skip: there is no reason "
	    "\"client.relay.eov\": did you mean \"client.relay.eof\"?\n");
}

int
main(void)
{
	conf_begin();
	presets_are_good();
	levels_are_merged_key_by_key();
	values_that_nobody_writes_are_shared();
	routes_inherit_from_listeners();
	each_type_is_read();
	errors_are_collected_and_say_where();
	what_a_module_supplies_is_no_longer_refused();
	timeouts_of_both_sides_meet();
	answers_are_whole();
	servers_are_of_three_kinds();
	listens_are_one_an_address();
	ten_thousand_are_no_trouble();
	the_pid_file_is_found_in_a_broken_file();
	the_pid_file_may_be_named_in_an_included_file();
	tables_are_complete();
	lines_of_the_access_log_are_compiled();
	conf_end();
	return tap_done();
}
