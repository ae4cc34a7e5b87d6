/* SPDX-License-Identifier: BSD-2-Clause */
#include "proxy/session.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "base/log.h"
#include "fakeconf.h"
#include "fakeloop.h"
#include "modules/modules.h"
#include "proxy/core.h"
#include "proxy/door.h"
#include "tap.h"

static const struct wr_module *const modules[] = { &wr_mod_access,
	&wr_mod_heartbeat, &wr_mod_answer, &wr_mod_tcp, &wr_mod_accesslog,
	NULL };
static struct wr_loop *l;
static struct wr_proxy *px;
static struct fake_conf f;
static const struct wr_stats *st;
static int log_fds[2];
static unsigned told;

static void
on_told(void *arg)
{
	(void)arg;
	told++;
}

static void
begin(void)
{
	l = fake_new();
	told = 0;
	/* What is said on the way is not what is tested. */
	wr_log_level(WR_ERROR + 1);
	fake_conf_init(&f, 2);
	st = fake_shared();
	if (pipe2(log_fds, O_NONBLOCK) < 0)
		abort();
}

static void
start_with(uint32_t sessions_max)
{
	struct wr_proxy_opts o = { .loop = l,
		.stats = st,
		.sessions_max = sessions_max,
		.modules = modules,
		.access_fd = log_fds[1] };

	px = wr_proxy_new(&o, &f.gen);
	if (px == NULL ||
	    wr_proxy_open(px, &f.gen, 0, "*:8080", 0, 999, false) < 0)
		abort();
}

static void
start(void)
{
	start_with(10);
}

/* Everything ends, and nothing is left. */
static void
finish(void)
{
	bool stopped = told > 0;

	if (!stopped)
		wr_proxy_stop(px, on_told, NULL);
	for (int i = 0; i < 3; i++)
		fake_turn(l);
	ok(told > 0);
	is_int(wr_proxy_sessions(px), 0);
	is_int(st->slots[0].sessions, 0);
	is_int(st->listeners[0].active, 0);
	is_int(st->upstreams[0].waiting, 0);
	for (int i = 0; i < FAKE_SERVERS; i++)
		if (st->servers[i].active != 0)
			is_int(st->servers[i].active, 0);
	wr_proxy_free(&px);
	is_int(f.gen.users, 0);
	is_int(fake_left(l), 0);
	fake_free(&l);
	close(log_fds[0]);
	close(log_fds[1]);
}

static struct wr_door *
door(void)
{
	return wr_container_of(wr_list_first(&px->doors), struct wr_door, link);
}

static struct wr_session *
first(enum wr_state state)
{
	return wr_list_empty(&px->in[state])
		   ? NULL
		   : wr_container_of(wr_list_first(&px->in[state]),
			 struct wr_session, link);
}

/* The last one that came just now, or NULL. */
static struct wr_session *
newest(struct wr_list *in)
{
	for (struct wr_list *n = in->prev; n != in; n = n->prev) {
		struct wr_session *s =
		    wr_container_of(n, struct wr_session, link);

		if (wr_session_age_ms(s) == 0)
			return s;
	}
	return NULL;
}

/* A client comes; its session, wherever it is now. */
static struct wr_session *
client(void)
{
	struct wr_session *s;

	fake_client(l, &door()->sock.in);
	for (int i = 0; i < WR_STATES; i++)
		if ((s = newest(&px->in[i])) != NULL)
			return s;
	abort();
}

static bool
is_at(const struct wr_session *s, enum wr_state state)
{
	if (s->state != state)
		diag("state is %s", wr_state_name(s->state));
	return s->state == state;
}

#define IN(s, side)  (&(s)->relay.end[side].sock.in)
#define OUT(s, side) (&(s)->relay.end[side].sock.out)

static struct wr_session *
relayed(void)
{
	struct wr_session *s = client();

	fake_finish(l, OUT(s, WR_SERVER), 0);
	ok(is_at(s, WR_RELAY));
	return s;
}

/* The last line of the access log ends with this. */
static bool
logged(const char *end)
{
	char text[4096];
	ssize_t n;
	size_t len = strlen(end);

	fake_turn(l);
	fake_turn(l);
	n = read(log_fds[0], text, sizeof(text));
	if (n > 0)
		diag("%.*s", (int)n - 1, text);
	return n > 0 && (size_t)n > len && text[n - 1] == '\n' &&
	       memcmp(text + n - 1 - len, end, len) == 0;
}

/* -- The plain way ------------------------------------------------------- */

static void
a_session_from_accept_to_close(void)
{
	struct wr_session *s;

	begin();
	start();
	s = client();
	ok(is_at(s, WR_CONNECT));
	is_int(f.gen.users, 3); /* the proxy's, the door's, the session's */
	fake_pass(l, 3);
	fake_finish(l, OUT(s, WR_SERVER), 0);
	ok(is_at(s, WR_RELAY));
	is_int(f.gen.users, 2);
	fake_bytes(l, IN(s, WR_CLIENT), "hello", 5, 0);
	fake_take(l, OUT(s, WR_SERVER), 5);
	fake_bytes(l, IN(s, WR_SERVER), "hi", 2, 0);
	fake_take(l, OUT(s, WR_CLIENT), 2);
	is_int(st->servers[0].active, 1);
	fake_finish(l, IN(s, WR_SERVER), 0);
	fake_finish(l, IN(s, WR_CLIENT), 0);
	ok(is_at(s, WR_END));
	ok(!fake_was_reset(l));
	ok(logged(" server.relay.eof"));
	is_int(wr_proxy_sessions(px), 0);
	is_int(st->listeners[0].bytes_in, 5);
	is_int(st->listeners[0].bytes_out, 2);
	is_int(st->servers[0].bytes_in, 5);
	is_int(st->slots[0].ends[WR_END_SERVER_RELAY_EOF], 1);
	finish();
}

static void
bytes_are_counted_while_they_flow(void)
{
	static uint8_t much[10000];
	struct wr_session *s;

	begin();
	start();
	s = relayed();
	fake_bytes(l, IN(s, WR_CLIENT), much, sizeof(much), 0);
	fake_take(l, OUT(s, WR_SERVER), sizeof(much));
	is_int(st->listeners[0].bytes_in, 0);
	fake_pass(l, 1064);
	is_int(st->listeners[0].bytes_in, 9 << 10);
	is_int(st->servers[0].bytes_in, 9 << 10);
	fake_bytes(l, IN(s, WR_CLIENT), much, 100, 0);
	fake_take(l, OUT(s, WR_SERVER), 100);
	fake_pass(l, 30000);
	wr_session_end(s, WR_END_WEIR_STOP);
	is_int(st->listeners[0].bytes_in, 10100);
	finish();
}

static void
a_reset_is_passed_on_as_a_reset(void)
{
	struct wr_session *s;

	begin();
	start();
	s = relayed();
	fake_finish(l, IN(s, WR_SERVER), -ECONNRESET);
	ok(s->relay.end[WR_CLIENT].sock.closing);
	ok(logged(" server.relay.reset"));
	ok(fake_was_reset(l)); /* the client's end is closed last */
	finish();
}

static void
an_answer_to_a_refused_question_can_be_read(void)
{
	struct wr_session *s;

	begin();
	f.listener.rules.timeouts.ms[WR_T_LINGER] = 2000;
	start();
	s = relayed();
	fake_bytes(l, IN(s, WR_CLIENT), "upload", 6, 0);
	fake_finish(l, OUT(s, WR_SERVER), -ECONNRESET);
	fake_bytes(l, IN(s, WR_SERVER), "413", 3, 0);
	fake_take(l, OUT(s, WR_CLIENT), 3);
	fake_finish(l, IN(s, WR_SERVER), 0);
	ok(is_at(s, WR_LINGER));
	fake_turn(l);
	fake_bytes(l, IN(s, WR_CLIENT), "more", 4, 0);
	ok(is_at(s, WR_LINGER));
	fake_pass(l, 1999);
	ok(is_at(s, WR_LINGER));
	fake_pass(l, 1);
	is_int(wr_proxy_sessions(px), 0);
	ok(!fake_was_reset(l));
	ok(logged(" server.relay.reset"));
	finish();
}

/* -- Access, routes, answers --------------------------------------------- */

static struct wr_cidr tens = { .ip = { 10 }, .family = AF_INET, .bits = 8 };
static struct {
	struct wr_cidrs allow, deny;
} access_conf;

static void
denied_clients_are_closed_at_once(void)
{
	begin();
	access_conf.deny = (struct wr_cidrs){ &tens, 1 };
	f.mod[0] = &access_conf;
	start();
	ok(is_at(client(), WR_END));
	ok(logged(" client.accept.denied"));
	access_conf.deny.n = 0;
	access_conf.allow = (struct wr_cidrs){ &tens, 1 };
	ok(is_at(client(), WR_CONNECT));
	tens.ip[0] = 11;
	fake_pass(l, 1);
	ok(is_at(client(), WR_END));
	tens.ip[0] = 10;
	finish();
}

static void
routes_choose_and_may_deny(void)
{
	static const struct wr_answer answer = { (const uint8_t *)"no", 2,
		404 };
	struct wr_route_conf routes[2] = { 0 };
	struct wr_session *s;

	begin();
	routes[0].client = (struct wr_cidrs){ &tens, 1 };
	routes[0].answer = &answer;
	routes[0].rules = f.listener.rules;
	f.listener.routes = routes;
	f.listener.n_routes = 1;
	start();
	s = client();
	ok(is_at(s, WR_PREREAD));
	fake_bytes(l, IN(s, WR_CLIENT), "GET / HTTP/1.0\r\n", 16, 0);
	ok(is_at(s, WR_PREREAD));
	fake_bytes(l, IN(s, WR_CLIENT), "\r\nrest", 6, 0);
	ok(is_at(s, WR_ANSWER));
	is_int(fake_left_bytes(OUT(s, WR_CLIENT)), 2);
	fake_take(l, OUT(s, WR_CLIENT), 2);
	/* No linger here: it is off. */
	ok(is_at(s, WR_END));
	ok(logged(" weir.route.answer"));

	f.listener.n_routes = 0;
	f.listener.upstream = NULL;
	ok(is_at(client(), WR_END));
	ok(logged(" weir.route.none"));
	finish();
}

static void
answers_are_for_the_silent_the_slow_and_the_rude(void)
{
	static const struct wr_answer answer = { (const uint8_t *)"no", 2,
		404 };
	struct wr_session *s;
	uint32_t *ms;

	begin();
	ms = f.listener.rules.timeouts.ms;
	ms[WR_T_PREREAD] = 100;
	ms[WR_T_SEND] = 200;
	ms[WR_T_LINGER] = 300;
	f.listener.answer = &answer;
	f.listener.upstream = NULL;
	start();
	s = client();
	fake_pass(l, 99);
	ok(is_at(s, WR_PREREAD));
	fake_pass(l, 1);
	ok(is_at(s, WR_ANSWER)); /* silent */
	fake_pass(l, 199);
	fake_take(l, OUT(s, WR_CLIENT), 1); /* slow */
	fake_pass(l, 1);
	ok(is_at(s, WR_ANSWER));
	fake_pass(l, 199);
	ok(is_at(s, WR_ANSWER));
	fake_pass(l, 1);
	ok(logged(" client.answer.timeout"));
	ok(fake_was_reset(l));

	s = client();
	fake_finish(l, IN(s, WR_CLIENT), 0); /* ends at once */
	fake_take(l, OUT(s, WR_CLIENT), 2);
	ok(is_at(s, WR_END));
	ok(!fake_was_reset(l) || !logged("x"));
	fake_turn(l);

	s = client(); /* talks on */
	fake_bytes(l, IN(s, WR_CLIENT), "\n\nblah", 6, 0);
	fake_take(l, OUT(s, WR_CLIENT), 2);
	ok(is_at(s, WR_LINGER));
	fake_bytes(l, IN(s, WR_CLIENT), "blah", 4, 0);
	fake_finish(l, IN(s, WR_CLIENT), 0);
	ok(is_at(s, WR_END));
	ok(logged(" weir.route.answer"));

	s = client(); /* is gone */
	fake_finish(l, IN(s, WR_CLIENT), -ECONNRESET);
	ok(logged(" client.answer.reset"));
	finish();
}

/* -- Servers that fail --------------------------------------------------- */

static void
the_next_server_is_tried(void)
{
	struct wr_session *s;

	begin();
	start();
	s = client();
	is_int(s->server_cell, 0);
	fake_finish(l, OUT(s, WR_SERVER), -ECONNREFUSED);
	fake_turn(l);
	ok(is_at(s, WR_CONNECT));
	is_int(s->server_cell, 1);
	is_int(st->servers[0].active, 0);
	is_int(st->servers[0].failures, 1);
	fake_finish(l, OUT(s, WR_SERVER), 0);
	ok(is_at(s, WR_RELAY));
	is_int(st->upstreams[0].retries, 1);
	finish();
}

static void
a_single_server_is_tried_again_later(void)
{
	struct wr_session *s;

	begin();
	f.upstream.n_servers = 1;
	start();
	s = client();
	for (int i = 0; i < 2; i++) {
		fake_finish(l, OUT(s, WR_SERVER), -ECONNREFUSED);
		fake_turn(l);
		ok(is_at(s, WR_PICK));
		fake_pass(l, 24);
		ok(is_at(s, WR_PICK));
		fake_pass(l, 80);
		ok(is_at(s, WR_CONNECT));
	}
	fake_finish(l, OUT(s, WR_SERVER), -ECONNREFUSED);
	ok(logged(" server.connect.refused"));
	is_int(st->servers[0].failures, 3);
	is_int(st->servers[0].picks, 3);
	finish();
}

static void
nobody_is_called_for_a_client_that_left(void)
{
	struct wr_session *s;

	begin();
	f.upstream.n_servers = 1;
	start();
	s = client();
	fake_finish(l, OUT(s, WR_SERVER), -ECONNREFUSED);
	fake_turn(l);
	fake_gone(s->relay.end[WR_CLIENT].sock.fd);
	fake_pass(l, 100);
	ok(logged(" client.pick.gone"));
	is_int(st->servers[0].picks, 1);
	fake_gone(-1);
	finish();
}

static void
connecting_has_its_time(void)
{
	struct wr_session *s;

	begin();
	f.upstream.n_servers = 1;
	f.upstream.timeouts.ms[WR_T_CONNECT] = 3000;
	start();
	s = client();
	for (int i = 0; i < 3; i++) {
		fake_pass(l, 2999);
		ok(is_at(s, WR_CONNECT));
		fake_pass(l, 1);
		for (int j = 0; j < 100 && s->state == WR_PICK; j++)
			fake_pass(l, 1);
	}
	ok(logged(" server.connect.timeout"));
	finish();
}

static void
permanent_errors_are_not_tried_again(void)
{
	begin();
	start();
	fake_finish(l, OUT(client(), WR_SERVER), -EACCES);
	ok(logged(" weir.connect.failed"));
	is_int(st->servers[0].failures, 0);
	finish();
}

static void
our_own_failures_are_no_servers_fault(void)
{
	struct wr_session *s;

	begin();
	start();
	fake_fail_socket(-EMFILE);
	s = client();
	ok(is_at(s, WR_PICK));
	fake_pass(l, 50);
	ok(is_at(s, WR_CONNECT));
	fake_finish(l, OUT(s, WR_SERVER), -EADDRNOTAVAIL);
	fake_turn(l);
	ok(is_at(s, WR_PICK));
	fake_pass(l, 100);
	fake_finish(l, OUT(s, WR_SERVER), -EADDRNOTAVAIL);
	ok(logged(" weir.connect.failed"));
	is_int(st->servers[0].failures + st->servers[1].failures, 0);
	finish();
}

/* 10.9.0.1 and so on, and one that does not fit. */
static void
own_addresses(uint32_t n)
{
	static struct wr_addr v[8];
	char text[32];

	for (uint32_t i = 0; i < n; i++) {
		(void)snprintf(text, sizeof(text), "10.9.0.%u", i + 1);
		if (wr_addr_parse(&v[i], wr_str_of(text), 0) < 0)
			abort();
	}
	if (wr_addr_parse(&v[n], wr_str_of("[::1]"), 0) < 0)
		abort();
	f.upstream.source = (struct wr_addrs){ v, n + 1 };
	fake_miss_sources(0);
}

/* Somebody waits in another process, for `server`, which is full. */
static void
crowd(uint32_t server)
{
	*st->slots_high = 2;
	f.servers[server].max_conns = 1;
	wr_stats_server(st, 1, server)->active = 1;
	wr_stats_upstream(st, 1, 0)->waiting = 1;
	wr_stats_upstream(st, 1, 0)->oldest_ms = wr_loop_now(l) - 1;
}

static void
who_comes_does_not_take_the_place_others_wait_for(void)
{
	struct wr_session *s, *next;

	begin();
	f.upstream.n_servers = 1;
	start();
	crowd(0);
	s = client();
	ok(is_at(s, WR_QUEUE));
	/* The place is free, but whoever was first has not heard of it yet. */
	wr_stats_server(st, 1, 0)->active = 0;
	fake_pass(l, 1);
	next = client();
	ok(is_at(next, WR_QUEUE));
	fake_turn(l);
	ok(is_at(s, WR_QUEUE) && is_at(next, WR_QUEUE));
	/* Nor will it: it is not waited for for ever, and then who has waited
	 * longer is next. */
	fake_pass(l, 200);
	ok(is_at(s, WR_CONNECT) && is_at(next, WR_QUEUE));
	wr_stats_upstream(st, 1, 0)->waiting = 0;
	*st->slots_high = 1;
	finish();
}

static void
who_comes_back_to_a_draining_server_does_not_wait_for_others(void)
{
	struct wr_session *s;
	uint32_t own;

	begin();
	f.upstream.sticky = (struct wr_sticky_conf){
		.on = WR_STICKY_CLIENT, .expire_ms = 3600000, .buckets = 64
	};
	start();
	s = client();
	own = s->server_cell;
	crowd(1 - own);
	f.servers[own].want = WR_WANT_DRAIN;
	fake_pass(l, 1);
	s = client();
	ok(is_at(s, WR_CONNECT));
	is_int(s->server_cell, own);
	/* A place that they could have is theirs. */
	f.servers[own].want = WR_WANT_UP;
	ok(is_at(client(), WR_QUEUE));
	wr_stats_upstream(st, 1, 0)->waiting = 0;
	*st->slots_high = 1;
	finish();
}

static void
own_addresses_take_turns(void)
{
	unsigned seen = 0;

	begin();
	own_addresses(3);
	f.upstream.n_servers = 1;
	start();
	for (int i = 0; i < 4; i++) {
		(void)client();
		seen |= 1u << fake_source();
	}
	is_int(seen, 1u << 1 | 1u << 2 | 1u << 3);
	finish();
}

static void
without_a_port_the_next_own_address_is_tried(void)
{
	struct wr_session *s;
	unsigned seen = 0;

	begin();
	own_addresses(3);
	start();
	s = client();
	for (int i = 0; i < 3; i++) {
		ok(is_at(s, WR_CONNECT));
		seen |= 1u << fake_source();
		fake_finish(l, OUT(s, WR_SERVER), -EADDRNOTAVAIL);
		fake_turn(l);
	}
	/* All of them were tried at once; only now it waits. */
	is_int(seen, 1u << 1 | 1u << 2 | 1u << 3);
	ok(is_at(s, WR_PICK));
	is_int(st->upstreams[0].retries, 0);
	is_int(st->servers[0].failures + st->servers[1].failures, 0);
	is_int(st->group_states[0].budget_spent, 0);
	fake_pass(l, 100);
	ok(is_at(s, WR_CONNECT));
	fake_finish(l, OUT(s, WR_SERVER), 0);
	ok(is_at(s, WR_RELAY));
	finish();
}

static void
an_own_address_that_is_gone_is_passed_over(void)
{
	struct wr_session *s;

	begin();
	own_addresses(3);
	fake_miss_sources(1u << 1 | 1u << 2);
	start();
	for (int i = 0; i < 3; i++) {
		s = client();
		ok(is_at(s, WR_CONNECT));
		is_int(fake_source(), 3);
	}
	/* None is left: it is tried again later, as when there are no ports. */
	fake_miss_sources(0xff);
	s = client();
	ok(is_at(s, WR_PICK));
	fake_miss_sources(0xff & ~(1u << 2));
	fake_pass(l, 100);
	ok(is_at(s, WR_CONNECT));
	is_int(fake_source(), 2);
	is_int(st->servers[0].failures + st->servers[1].failures, 0);
	fake_miss_sources(0);
	finish();
}

static void
without_a_usable_server_it_ends(void)
{
	begin();
	f.servers[0].want = WR_WANT_DOWN;
	f.servers[1].weight = 0;
	start();
	client();
	ok(logged(" weir.pick.no_server"));
	is_int(st->upstreams[0].no_server, 1);
	finish();
}

/* -- Queue --------------------------------------------------------------- */

static void
full_servers_make_clients_wait(void)
{
	struct wr_session *a, *b, *c;

	begin();
	f.upstream.n_servers = 1;
	f.servers[0].max_conns = 1;
	f.upstream.timeouts.ms[WR_T_QUEUE] = 500;
	start();
	a = relayed();
	fake_pass(l, 1);
	b = client();
	ok(is_at(b, WR_QUEUE));
	fake_pass(l, 1);
	c = client();
	ok(is_at(c, WR_QUEUE));
	is_int(st->upstreams[0].waiting, 2);
	wr_proxy_wake(px);
	fake_turn(l);
	ok(is_at(b, WR_QUEUE));

	fake_finish(l, IN(a, WR_SERVER), -ECONNRESET);
	fake_turn(l);
	ok(is_at(b, WR_CONNECT)); /* the oldest */
	ok(is_at(c, WR_QUEUE));
	is_int(st->upstreams[0].waiting, 1);
	fake_pass(l, 498);
	ok(is_at(c, WR_QUEUE));
	fake_pass(l, 2);
	ok(logged(" weir.queue.timeout"));
	finish();
}

/* Who is in another process, by its slot. */
static void
who_comes_does_not_pass_those_who_wait(void)
{
	struct wr_upstream_count *other;
	struct wr_session *a, *b;

	begin();
	start();
	fake_pass(l, 50);
	other = wr_stats_upstream(st, 1, f.upstream.cell);
	wr_store(st->slots_high, 2);
	wr_store(&other->waiting, 1);
	wr_store(&other->oldest_ms, wr_loop_now(l) - 20);
	a = client();
	fake_turn(l);
	ok(is_at(a, WR_QUEUE));
	/* It is not heard of: it may be stopped. */
	fake_pass(l, 9);
	ok(is_at(a, WR_QUEUE));
	fake_pass(l, 2);
	ok(is_at(a, WR_CONNECT));
	/* It is no longer than this one. */
	wr_store(&other->oldest_ms, wr_loop_now(l) + 20);
	b = client();
	fake_turn(l);
	ok(is_at(b, WR_CONNECT));
	wr_store(&other->waiting, 0);
	wr_store(&other->oldest_ms, 0);
	wr_store(st->slots_high, 1);
	finish();
}

static void
who_was_refused_waits_for_a_server_too(void)
{
	struct wr_session *s;

	begin();
	f.upstream.n_servers = 1;
	f.upstream.retry.deadline_ms = 200;
	f.upstream.timeouts.ms[WR_T_WAIT_UP] = 5000;
	start();
	s = client();
	fake_finish(l, OUT(s, WR_SERVER), -ECONNREFUSED);
	fake_turn(l);
	ok(is_at(s, WR_PICK));
	wr_store(&st->states[0].health, WR_HEALTH_DOWN);
	fake_pass(l, 80);
	ok(is_at(s, WR_QUEUE));
	fake_pass(l, 3000);
	ok(is_at(s, WR_QUEUE));
	wr_store(&st->states[0].health, WR_HEALTH_UP);
	wr_proxy_wake(px);
	fake_turn(l);
	ok(is_at(s, WR_CONNECT));
	/* The time in the queue is none of the deadline's. */
	fake_finish(l, OUT(s, WR_SERVER), -ECONNREFUSED);
	fake_turn(l);
	ok(is_at(s, WR_PICK));
	fake_pass(l, 110);
	ok(is_at(s, WR_CONNECT));
	fake_finish(l, OUT(s, WR_SERVER), 0);
	ok(is_at(s, WR_RELAY));
	wr_store(&st->states[0].health, WR_HEALTH_NONE);
	finish();
}

/* -- Another configuration ----------------------------------------------- */

static void
who_still_decides_does_so_by_the_new_one(void)
{
	static struct fake_conf empty, other;
	struct wr_session *old, *waits;

	begin();
	f.upstream.n_servers = 1;
	start();
	old = relayed();
	fake_pass(l, 1);
	waits = client();
	fake_finish(l, OUT(waits, WR_SERVER), -ECONNREFUSED);
	fake_turn(l);
	ok(is_at(waits, WR_PICK));
	fake_conf_init(&other, 2);
	other.servers[0].want = WR_WANT_DOWN;
	wr_proxy_use(px, &other.gen);
	is_int(f.gen.users, 1); /* the one that waits */
	fake_pass(l, 100);
	is_int(f.gen.users, 0);
	ok(is_at(waits, WR_CONNECT));
	is_int(waits->server_cell, 1);
	ok(is_at(old, WR_RELAY));

	fake_finish(l, OUT(waits, WR_SERVER), -ECONNREFUSED);
	fake_turn(l);
	ok(is_at(waits, WR_PICK));
	fake_conf_empty(&empty);
	wr_proxy_use(px, &empty.gen);
	fake_pass(l, 200);
	ok(logged(" weir.pick.no_upstream"));
	ok(is_at(old, WR_RELAY));
	/* The door still knows the last one that has it. */
	is_int(other.gen.users, 1);
	wr_proxy_stop(px, on_told, NULL);
	fake_turn(l);
	is_int(other.gen.users, 0);
	finish();
	is_int(empty.gen.users, 0);
}

/* -- Doors --------------------------------------------------------------- */

static void
a_full_house_accepts_nobody_until_one_leaves(void)
{
	struct wr_session *s = NULL, *one, *two;

	begin();
	start_with(3);
	for (int i = 0; i < 3; i++) {
		fake_pass(l, 1);
		s = relayed();
	}
	/* They were accepted before the kernel heard of it: they wait here. */
	one = client();
	two = client();
	ok(is_at(one, WR_ACCEPT) && is_at(two, WR_ACCEPT));
	is_int(wr_proxy_sessions(px), 3);
	is_int(st->slots[0].sessions, 3);
	fake_turn(l);
	ok(fake_waits(&door()->sock.in) == WR_OP_NONE);
	wr_session_end(s, WR_END_WEIR_STOP);
	fake_turn(l);
	ok(is_at(one, WR_CONNECT) && is_at(two, WR_ACCEPT));
	is_int(wr_proxy_sessions(px), 3);
	ok(fake_waits(&door()->sock.in) == WR_OP_NONE);
	/* One that waits can be told to stop. */
	wr_session_end(two, WR_END_WEIR_STOP);
	fake_turn(l);
	is_int(wr_proxy_sessions(px), 3);
	ok(logged(" weir.any.stop"));
	wr_session_end(first(WR_RELAY), WR_END_WEIR_STOP);
	fake_turn(l);
	is_int(wr_proxy_sessions(px), 2);
	is_int(st->slots[0].sessions, 2);
	ok(fake_waits(&door()->sock.in) == WR_OP_ACCEPT);
	finish();
}

/* Doors are opened for some at a time; but nobody waits for long beside a free
 * place. */
static void
a_single_place_is_given_away_soon(void)
{
	struct wr_session *s = NULL;

	begin();
	start_with(128);
	for (int i = 0; i < 128; i++)
		s = relayed();
	fake_turn(l);
	ok(fake_waits(&door()->sock.in) == WR_OP_NONE);
	wr_session_end(s, WR_END_WEIR_STOP);
	fake_turn(l);
	is_int(wr_proxy_sessions(px), 127);
	ok(fake_waits(&door()->sock.in) == WR_OP_NONE);
	fake_pass(l, 50);
	ok(fake_waits(&door()->sock.in) == WR_OP_ACCEPT);
	finish();
}

/* The kernel goes on accepting until it hears that we are full; of those that
 * are too many even for that, each is told of. */
static void
who_gets_no_session_is_told_of(void)
{
	const struct wr_slot *slot;
	uint32_t n = 0;

	begin();
	start_with(1);
	slot = &st->slots[0];
	while (slot->ends[WR_END_WEIR_ACCEPT_FULL] == 0 && n++ < 5000)
		fake_client(l, &door()->sock.in);
	ok(n > 1 && n < 5000);
	is_int(wr_proxy_sessions(px), 1);
	is_int(px->waiting, n - 2);
	is_int(slot->full, 1);
	is_int(slot->accepted, n);
	is_int(st->listeners[0].accepted, n);
	is_int(st->listeners[0].refused, 1);
	is_int(st->listeners[0].active, n - 1);
	ok(logged(" weir.accept.full"));
	finish();

	begin();
	start();
	slot = &st->slots[0];
	fake_fail_init(-ENOMEM);
	fake_client(l, &door()->sock.in);
	is_int(wr_proxy_sessions(px), 0);
	is_int(slot->ends[WR_END_WEIR_ACCEPT_FAILED], 1);
	is_int(st->listeners[0].refused, 1);
	ok(logged(" weir.accept.failed"));
	ok(is_at(client(), WR_CONNECT));
	finish();
}

static void
without_descriptors_it_waits_a_little(void)
{
	begin();
	start();
	fake_finish(l, &door()->sock.in, -EMFILE);
	ok(fake_waits(&door()->sock.in) == WR_OP_NONE);
	fake_pass(l, 500);
	ok(fake_waits(&door()->sock.in) == WR_OP_ACCEPT);
	fake_finish(l, &door()->sock.in, -ECANCELED);
	ok(fake_waits(&door()->sock.in) == WR_OP_ACCEPT);
	finish();
}

static void
a_door_is_paused_and_resumed(void)
{
	begin();
	start();
	wr_proxy_pause(px);
	/* Comes while the kernel is told. */
	ok(is_at(client(), WR_CONNECT));
	fake_turn(l);
	ok(fake_waits(&door()->sock.in) == WR_OP_NONE);
	wr_proxy_resume(px);
	ok(fake_waits(&door()->sock.in) == WR_OP_ACCEPT);
	finish();
}

static void
a_shut_door_serves_who_came_before(void)
{
	struct wr_session *s;

	begin();
	start();
	wr_proxy_shut(px, "*:8080", 7, on_told, NULL);
	is_int(told, 1); /* there is no such shard */
	told = 0;
	wr_proxy_shut(px, "*:8080", 0, on_told, NULL);
	s = client();
	is_int(told, 0);
	fake_turn(l);
	is_int(told, 1);
	ok(wr_list_empty(&px->doors));
	ok(is_at(s, WR_CONNECT));
	told = 0;
	finish();
}

/* -- Heartbeat ----------------------------------------------------------- */

/* As modules/heartbeat.c has it. */
static struct {
	bool on;
	uint32_t interval_ms, misses;
} beat_conf = { true, 30000, 2 };

static void
a_peer_that_pauses_is_not_taken_for_dead(void)
{
	const struct fake_heartbeat *h = fake_heartbeat();
	struct wr_session *s;
	int fd;
	unsigned asked;

	begin();
	f.mod[1] = &beat_conf;
	f.listener.rules.timeouts.ms[WR_T_SEND] = 600000;
	start();
	is_int(h->fd, 999); /* clients inherit it */
	is_int(h->user_timeout_ms, 90000);
	s = relayed();
	fd = s->relay.end[WR_SERVER].sock.fd;
	fake_pass(l, 999);
	is_int(h->fd, 999);
	fake_pass(l, 65);
	is_int(h->fd, fd); /* one that lasts is worth it */
	is_int(h->idle_s, 30);
	is_int(h->misses, 2);
	is_int(h->user_timeout_ms, 90000);

	/* An idle session costs nothing. */
	asked = fake_asked();
	fake_pass(l, 3600000);
	is_int(fake_asked(), asked);

	fake_stuck(fd);
	fake_bytes(l, IN(s, WR_CLIENT), "x", 1, 0);
	fake_take(l, OUT(s, WR_SERVER), 1);
	fake_pass(l, 31000);
	is_int(h->user_timeout_ms, 600000);
	fake_pass(l, 300000);
	is_int(h->user_timeout_ms, 600000);
	fake_stuck(-1);
	fake_pass(l, 31000);
	is_int(h->user_timeout_ms, 90000);
	asked = fake_asked();
	fake_pass(l, 3600000);
	is_int(fake_asked(), asked);
	finish();
}

/* -- The end ------------------------------------------------------------- */

static void
draining_waits_and_then_cuts_bit_by_bit(void)
{
	begin();
	f.conf.timeouts.ms[WR_T_DRAIN] = 1000;
	f.conf.timeouts.ms[WR_T_SPREAD] = 400;
	start();
	for (int i = 0; i < 4; i++) {
		fake_pass(l, 1);
		(void)relayed();
	}
	wr_proxy_drain(px, on_told, NULL);
	fake_turn(l);
	ok(wr_list_empty(&px->doors));
	fake_pass(l, 999);
	is_int(wr_proxy_sessions(px), 4);
	fake_pass(l, 200);
	ok(wr_proxy_sessions(px) > 0 && wr_proxy_sessions(px) < 4);
	is_int(told, 0);
	fake_pass(l, 201);
	is_int(told, 1);
	ok(logged(" weir.relay.drain"));
	finish();
}

static void
a_drain_can_be_taken_back(void)
{
	struct wr_session *s;

	begin();
	f.conf.timeouts.ms[WR_T_DRAIN] = 1000;
	start();
	s = relayed();
	wr_proxy_drain(px, on_told, NULL);
	fake_turn(l);
	wr_proxy_undrain(px);
	fake_pass(l, 5000);
	is_int(told, 0);
	ok(is_at(s, WR_RELAY));
	if (wr_proxy_open(px, &f.gen, 0, "*:8080", 0, 998, false) < 0)
		abort();
	fake_pass(l, 1);
	ok(is_at(client(), WR_CONNECT));
	finish();
}

static void
the_slowest_goes_when_memory_is_short(void)
{
	struct wr_session *a, *b;

	begin();
	start();
	a = relayed();
	fake_pass(l, 1);
	b = relayed();
	fake_bytes(l, IN(b, WR_SERVER), "x", 1, 0);
	fake_pass(l, 10);
	fake_bytes(l, IN(a, WR_SERVER), "x", 1, 0);
	fake_pass(l, 10);
	fake_press(l);
	ok(is_at(a, WR_RELAY));
	ok(is_at(b, WR_END));
	ok(logged(" weir.relay.no_buffers"));
	finish();
}

static void
sessions_are_small(void)
{
	diag("a session is %zu bytes", sizeof(struct wr_session));
	ok(sizeof(struct wr_session) <= 544);
}

int
main(void)
{
	a_session_from_accept_to_close();
	bytes_are_counted_while_they_flow();
	a_reset_is_passed_on_as_a_reset();
	an_answer_to_a_refused_question_can_be_read();
	denied_clients_are_closed_at_once();
	routes_choose_and_may_deny();
	answers_are_for_the_silent_the_slow_and_the_rude();
	the_next_server_is_tried();
	a_single_server_is_tried_again_later();
	nobody_is_called_for_a_client_that_left();
	connecting_has_its_time();
	permanent_errors_are_not_tried_again();
	our_own_failures_are_no_servers_fault();
	who_comes_does_not_take_the_place_others_wait_for();
	who_comes_back_to_a_draining_server_does_not_wait_for_others();
	own_addresses_take_turns();
	without_a_port_the_next_own_address_is_tried();
	an_own_address_that_is_gone_is_passed_over();
	without_a_usable_server_it_ends();
	full_servers_make_clients_wait();
	who_comes_does_not_pass_those_who_wait();
	who_was_refused_waits_for_a_server_too();
	who_still_decides_does_so_by_the_new_one();
	a_full_house_accepts_nobody_until_one_leaves();
	who_gets_no_session_is_told_of();
	a_single_place_is_given_away_soon();
	without_descriptors_it_waits_a_little();
	a_door_is_paused_and_resumed();
	a_shut_door_serves_who_came_before();
	a_peer_that_pauses_is_not_taken_for_dead();
	draining_waits_and_then_cuts_bit_by_bit();
	a_drain_can_be_taken_back();
	the_slowest_goes_when_memory_is_short();
	sessions_are_small();
	return tap_done();
}
