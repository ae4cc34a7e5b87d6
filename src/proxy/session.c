/* SPDX-License-Identifier: BSD-2-Clause */
/* session - the table of states, and the ways in and out; see session.h. */
#include "proxy/session.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "io/sock.h"
#include "proxy/core.h"
#include "proxy/dial.h"
#include "proxy/door.h"
#include "proxy/reply.h"
#include "proxy/route.h"

#define TO(state) (1u << (state))
/* That clients are turned away is said so often at most. */
#define QUIET_MS 1000

static void greet(struct wr_session *s);
static void route(struct wr_session *s);
static void relay(struct wr_session *s);
static void end(struct wr_session *s);
static wr_timer_fn on_late;
static wr_close_fn on_closed;

static const struct {
	const char *name;
	unsigned next; /* where it may go */
	void (*enter)(struct wr_session *s);
	void (*late)(struct wr_session *s); /* its time is over */
} states[WR_STATES] = {
	[WR_ACCEPT] = { "accept", TO(WR_GREET) | TO(WR_END), NULL, NULL },
	[WR_GREET] = { "greet", TO(WR_ROUTE) | TO(WR_ANSWER) | TO(WR_END),
	    greet, NULL },
	[WR_ROUTE] = { "route",
	    TO(WR_PREREAD) | TO(WR_PICK) | TO(WR_ANSWER) | TO(WR_END), route,
	    NULL },
	[WR_PREREAD] = { "preread", TO(WR_ANSWER) | TO(WR_END), wr_reply_read,
	    wr_reply_read_late },
	[WR_PICK] = { "pick", TO(WR_QUEUE) | TO(WR_CONNECT) | TO(WR_END),
	    wr_dial_pick, wr_dial_pick }, /* late: the back-off is over */
	[WR_QUEUE] = { "queue", TO(WR_PICK) | TO(WR_CONNECT) | TO(WR_END),
	    wr_dial_queue, wr_dial_queue_late },
	[WR_CONNECT] = { "connect", TO(WR_PICK) | TO(WR_RELAY) | TO(WR_END),
	    wr_dial_connect, wr_dial_connect_late },
	[WR_RELAY] = { "relay", TO(WR_LINGER) | TO(WR_END), relay, NULL },
	[WR_ANSWER] = { "answer", TO(WR_LINGER) | TO(WR_END), wr_reply_answer,
	    wr_reply_answer_late },
	[WR_LINGER] = { "linger", TO(WR_END), wr_reply_linger,
	    wr_reply_linger_late },
	[WR_END] = { "end", 0, end, NULL },
};

/* The only place where a session changes state. */
void
wr_session_go(struct wr_session *s, enum wr_state to)
{
	struct wr_proxy *px = s->px;

	assert(states[s->state].next & TO(to));
	if (s->state == WR_ACCEPT)
		px->waiting--;
	wr_list_remove(&s->link);
	wr_list_push(&px->in[to], &s->link);
	s->state = (uint8_t)to;
	wr_timer_stop(px->loop, &s->relay.timer);
	states[to].enter(s);
}

const char *
wr_state_name(enum wr_state state)
{
	assert(state < WR_STATES);
	return states[state].name;
}

void
wr_session_end(struct wr_session *s, enum wr_end why)
{
	if (s->state == WR_END)
		return;
	if (s->end == WR_END_NONE)
		s->end = (uint8_t)why;
	wr_session_go(s, WR_END);
}

/* -- Time ---------------------------------------------------------------- */

static void
on_late(struct wr_loop *l, struct wr_timer *t)
{
	struct wr_session *s =
	    wr_container_of(t, struct wr_session, relay.timer);

	(void)l;
	states[s->state].late(s);
}

void
wr_session_limit(struct wr_session *s, uint32_t ms)
{
	if (ms == WR_OFF)
		wr_timer_stop(s->px->loop, &s->relay.timer);
	else
		wr_timer_set(s->px->loop, &s->relay.timer, ms, on_late);
}

uint32_t
wr_session_age_ms(const struct wr_session *s)
{
	return wr_proxy_now(s->px) - s->relay.start_ms;
}

uint64_t
wr_session_lasted_ms(const struct wr_session *s)
{
	const struct wr_relay *r = &s->relay;
	uint64_t start_ms = (uint64_t)r->start_laps << 32 | r->start_ms;

	/* Laps have 16 bits. */
	return (wr_loop_now(s->px->loop) - start_ms) & 0xffffffffffff;
}

/* -- Beginning ----------------------------------------------------------- */

static void
init(struct wr_session *s, struct wr_proxy *px, const struct wr_door *door)
{
	memset(s, 0, sizeof(*s));
	wr_list_init(&s->link);
	s->px = px;
	s->gen = wr_gen_get(door->gen);
	s->listener = door->conf;
	s->rules = &door->conf->rules;
	s->log = s->rules->access_log;
	s->listener_cell = door->cell;
	s->upstream_cell = s->server_cell = WR_OFF;
	s->port = door->port;
	s->relay.start_ms = wr_proxy_now(px);
	s->relay.start_laps = (uint16_t)(wr_loop_now(px->loop) >> 32);
	s->relay.end[WR_SERVER].side = WR_SERVER;
	s->relay.end[WR_SERVER].sock.fd = -1;
}

/* How many it were, the counters tell. */
static void
say_away(const struct wr_session *s)
{
	struct wr_proxy *px = s->px;
	uint64_t now_ms = wr_loop_now(px->loop);

	if (now_ms < px->quiet_until_ms)
		return;
	px->quiet_until_ms = now_ms + QUIET_MS;
	wr_errorx("listener %s: clients are turned away: %s",
	    px->stats->listener_cells[s->listener_cell].name,
	    wr_end_help(s->end));
}

/* There is no session for it, but it is told of and counted like all that
 * have had one. */
static void
turn_away(struct wr_proxy *px, const struct wr_door *door, int fd,
    const struct sockaddr *peer, socklen_t peer_len, enum wr_end why)
{
	struct wr_session s;

	init(&s, px, door);
	s.relay.end[WR_CLIENT].sock.fd = fd;
	if (peer != NULL)
		s.client_ip = wr_ip_of(peer, peer_len);
	s.end = (uint8_t)why;
	wr_count(&wr_count_listener(px, door->cell)->refused, 1);
	wr_count(&px->slot->ends[why], 1);
	wr_hooks_end(&s);
	say_away(&s);
	wr_gen_put(&s.gen);
	(void)close(fd);
}

/* How many there are, but for those that wait to be. */
static void
tell_sessions(struct wr_proxy *px)
{
	wr_store(&px->slot->sessions, px->sessions.used - px->waiting);
}

void
wr_sessions_begin(struct wr_proxy *px)
{
	while (px->waiting > 0 &&
	       px->sessions.used - px->waiting < px->sessions_max)
		wr_session_go(wr_container_of(wr_list_first(&px->in[WR_ACCEPT]),
				  struct wr_session, link),
		    WR_GREET);
	tell_sessions(px);
}

void
wr_session_accept(struct wr_proxy *px, const struct wr_door *door, int fd,
    const struct sockaddr *peer, socklen_t peer_len)
{
	struct wr_listener_count *n = wr_count_listener(px, door->cell);
	struct wr_session *s = wr_pool_get(&px->sessions);

	wr_count(&n->accepted, 1);
	wr_count(&px->slot->accepted, 1);
	if (s == NULL) {
		turn_away(
		    px, door, fd, peer, peer_len, WR_END_WEIR_ACCEPT_FULL);
		return;
	}
	init(s, px, door);
	if (wr_conn_init(px->loop, &s->relay.end[WR_CLIENT], WR_CLIENT, fd) <
	    0) {
		wr_gen_put(&s->gen);
		wr_pool_put(&px->sessions, s);
		turn_away(
		    px, door, fd, peer, peer_len, WR_END_WEIR_ACCEPT_FAILED);
		return;
	}
	s->open = 1u << WR_CLIENT;
	if (peer != NULL)
		s->client_ip = wr_ip_of(peer, peer_len);
	wr_count(&n->active, 1);
	wr_list_push(&px->in[WR_ACCEPT], &s->link);
	px->waiting++;
	wr_sessions_begin(px);
}

const struct wr_ip *
wr_session_client(struct wr_session *s)
{
	struct wr_addr a;

	if (s->client_ip.family == 0) {
		if (wr_sock_peer(s->relay.end[WR_CLIENT].sock.fd, &a) == 0)
			s->client_ip = wr_ip_of(&a.sa, a.len);
		/* One that cannot be told is asked for once only. */
		if (s->client_ip.family == 0)
			s->client_ip.family = AF_UNIX;
	}
	return &s->client_ip;
}

static void
deny(struct wr_session *s)
{
	assert(s->end != WR_END_NONE);
	if ((s->state == WR_GREET || s->state == WR_ROUTE) &&
	    s->answer != NULL) {
		s->linger_ms = s->rules->timeouts.ms[WR_T_LINGER];
		wr_session_go(s, WR_ANSWER);
	} else {
		wr_session_end(s, s->end);
	}
}

void
wr_session_ask(struct wr_session *s, enum wr_hook_at at, enum wr_state next)
{
	switch (wr_hooks_run(s, at)) {
	case WR_NEXT:
		wr_session_go(s, next);
		break;
	case WR_DENY:
		deny(s);
		break;
	case WR_WAIT:
		break;
	}
}

static void
greet(struct wr_session *s)
{
	/* Once the client has left, nobody can say who it was. */
	if (s->log && s->px->access_fd >= 0)
		(void)wr_session_client(s);
	wr_session_ask(s, WR_ON_ACCEPT, WR_ROUTE);
}

/* -- Route --------------------------------------------------------------- */

/* What it needs when the configuration that says so may be gone. */
static void
copy_rules(struct wr_session *s)
{
	const struct wr_timeouts *here = &s->rules->timeouts, *there = here;
	struct wr_limits *limits = &s->relay.limits;

	if (s->upstream != NULL)
		there = &s->upstream->timeouts;
	s->log = s->rules->access_log;
	s->linger_ms = here->ms[WR_T_LINGER];
	*limits = (struct wr_limits){
		.idle = wr_timeout_of(here, there, WR_T_IDLE),
		.side_idle = { wr_timeout_of(here, there, WR_T_CLIENT_IDLE),
		    wr_timeout_of(here, there, WR_T_SERVER_IDLE) },
		.send = wr_timeout_of(here, there, WR_T_SEND),
		.half_close = wr_timeout_of(here, there, WR_T_HALF_CLOSE),
		.first_byte = there->ms[WR_T_FIRST_BYTE],
		.lifetime = here->ms[WR_T_LIFETIME],
	};
}

static void
serve(struct wr_session *s)
{
	if (!wr_hooks_serve(s))
		wr_session_end(s, WR_END_WEIR_ROUTE_NONE);
}

static void
ask_route(struct wr_session *s)
{
	switch (wr_hooks_run(s, WR_ON_ROUTE)) {
	case WR_NEXT:
		serve(s);
		break;
	case WR_DENY:
		deny(s);
		break;
	case WR_WAIT:
		break;
	}
}

static void
route(struct wr_session *s)
{
	const struct wr_listener_conf *c = s->listener;
	struct wr_route_facts facts = { .port = s->port };
	struct wr_routed to = { c->upstream, c->answer, &c->rules };

	if (c->n_routes > 0 || c->split != NULL) {
		facts.chance = wr_random_u64(&s->px->random);
		facts.client = wr_session_client(s);
		to = wr_route_find(c, &facts);
	}
	s->upstream = to.upstream;
	s->answer = to.answer;
	s->rules = to.rules;
	copy_rules(s);
	/* The listener's own rules were asked when the client was greeted. */
	if (s->rules == &c->rules && !s->ask_route)
		serve(s);
	else
		ask_route(s);
}

void
wr_session_resume(struct wr_session *s, bool go_on)
{
	assert(s->hook > 0);
	if (!go_on)
		deny(s);
	else if (s->state == WR_GREET)
		wr_session_ask(s, WR_ON_ACCEPT, WR_ROUTE);
	else if (s->state == WR_ROUTE)
		ask_route(s);
	else
		wr_session_ask(s, WR_ON_CONNECT, WR_RELAY);
}

/* -- Relay --------------------------------------------------------------- */

/* Of one side, in whole KiB unless it is over; what was not counted yet. */
static uint64_t
uncounted(struct wr_session *s, enum wr_side side, bool over)
{
	uint64_t bytes = s->relay.end[side].bytes;
	uint32_t kib = (uint32_t)(bytes >> 10) - s->counted_kib[side];

	s->counted_kib[side] += kib;
	return ((uint64_t)kib << 10) + (over ? bytes & 1023 : 0);
}

static void
count_bytes(struct wr_session *s, bool over)
{
	struct wr_listener_count *ln =
	    wr_count_listener(s->px, s->listener_cell);
	uint64_t up = uncounted(s, WR_CLIENT, over);
	uint64_t down = uncounted(s, WR_SERVER, over);
	struct wr_server_count *sn;

	wr_count(&ln->bytes_in, up);
	wr_count(&ln->bytes_out, down);
	if (s->server_cell == WR_OFF)
		return;
	sn = wr_count_server(s->px, s->server_cell);
	wr_count(&sn->bytes_in, up);
	wr_count(&sn->bytes_out, down);
}

/* What an end says of the server; most say nothing. */
static void
tell_server(struct wr_session *s)
{
	bool heard = s->relay.end[WR_SERVER].bytes > 0;

	if (s->end == WR_END_SERVER_RELAY_FIRST)
		wr_hooks_server(s, WR_NEWS_MUTE);
	else if (s->end == WR_END_SERVER_RELAY_RESET && !heard)
		wr_hooks_server(s, WR_NEWS_EARLY_RESET);
}

/* What the kernel may hold for a slow server; accepted sockets have it from
 * their listener. */
static void
bound_unsent(struct wr_session *s)
{
	const struct wr_conn *server = &s->relay.end[WR_SERVER];
	uint64_t unsent = s->px->gen->conf->events.unsent;

	if (server->bulk && unsent > 0)
		wr_sock_unsent(server->sock.fd, (uint32_t)unsent);
}

static void
on_relay(struct wr_loop *l, struct wr_relay *r, enum wr_relay_news news)
{
	struct wr_session *s = wr_container_of(r, struct wr_session, relay);

	(void)l;
	switch (news) {
	case WR_RELAY_HEARD:
		wr_hooks_server(s, WR_NEWS_ANSWERED);
		return;
	case WR_RELAY_TICK:
		count_bytes(s, false);
		wr_beat_tick(s);
		return;
	case WR_RELAY_BULK:
		bound_unsent(s);
		return;
	case WR_RELAY_OVER:
		break;
	}
	if (r->why == WR_END_WEIR_ANY_ERROR) {
		errno = -r->err;
		wr_error("relay");
	}
	s->end = r->why;
	tell_server(s);
	if (r->deaf & 1u << WR_CLIENT && !(r->torn & 1u << WR_SERVER))
		wr_session_go(s, WR_LINGER);
	else
		wr_session_end(s, s->end);
}

const struct wr_upstream_conf *
wr_session_group(const struct wr_session *s)
{
	const struct wr_upstream_conf *u = s->upstream;

	/* A fallback may have stood in. */
	while (u->fallback != NULL && u->cell != s->upstream_cell)
		u = u->fallback;
	return u;
}

static void
relay(struct wr_session *s)
{
	/* From here on it lives on copies. */
	s->rules = NULL;
	s->upstream = NULL;
	s->server = NULL;
	wr_gen_put(&s->gen);
	wr_beat_start(s);
	wr_relay_start(s->px->loop, &s->relay, on_relay);
	wr_policy_begin(s);
}

/* -- End ----------------------------------------------------------------- */

void
wr_session_hang_up(struct wr_session *s, enum wr_side side)
{
	struct wr_conn *c = wr_session_conn(s, side);
	unsigned from_other = 1u << (1 - side);
	bool reset;

	if (c->sock.closing)
		return;
	/* What did not get all that was meant for it must not see an end. */
	reset = s->relay.torn & from_other || wr_conn_owed(c);
	wr_conn_close(s->px->loop, c, reset, on_closed);
}

static void
free_session(struct wr_session *s)
{
	struct wr_proxy *px = s->px;

	wr_list_remove(&s->link);
	wr_relay_fini(px->loop, &s->relay);
	wr_count(
	    &wr_count_listener(px, s->listener_cell)->active, (uint64_t)-1);
	wr_pool_put(&px->sessions, s);
	tell_sessions(px);
	wr_proxy_freed(px);
}

/* Here, at the end of a turn and with nothing in flight, it dies. */
static void
on_closed(struct wr_loop *l, struct wr_sock *k)
{
	struct wr_conn *c = wr_conn_of_sock(k);
	struct wr_session *s = wr_session_of(c);

	(void)l;
	s->open &= (uint8_t) ~(1u << c->side);
	if (s->state == WR_CONNECT)
		wr_dial_closed(s);
	else if (s->state == WR_END && s->open == 0)
		free_session(s);
}

/* A send that is cut short has delivered something too. */
static void
count_unfinished(struct wr_session *s)
{
	for (unsigned side = 0; side < 2; side++) {
		const struct wr_conn *c = &s->relay.end[side];

		if (wr_conn_owed(c))
			s->relay.end[1 - side].bytes += c->sock.sent;
	}
}

static void
end(struct wr_session *s)
{
	count_unfinished(s);
	count_bytes(s, true);
	wr_count(&s->px->slot->ends[s->end], 1);
	wr_hooks_end(s);
	wr_dial_leave(s);
	if (s->gen != NULL)
		wr_gen_put(&s->gen);
	for (unsigned side = 0; side < 2; side++)
		if (s->open & 1u << side)
			wr_session_hang_up(s, side);
}
