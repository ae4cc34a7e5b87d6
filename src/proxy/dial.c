/* SPDX-License-Identifier: BSD-2-Clause */
/* dial - see dial.h. */
#include "proxy/dial.h"

#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "io/sock.h"
#include "proxy/budget.h"
#include "proxy/core.h"
#include "proxy/server.h"

/* A worker that others waited for in vain is not waited for longer. */
#define PATIENCE_MS 10
/* Places also come with time: a server warms up, its ejection is over.  So
 * often those who wait look for them. */
#define LOOK_MS 100
/* Nothing bad in so long, and the time-outs, is good news of a trial. */
#define TRIAL_MS 5000
/* So soon after it came a client has not left. */
#define STAYS_MS 10
/* A server that fails is mentioned so often at most. */
#define SAY_MS 1000

static wr_done_fn on_connect;
static wr_timer_fn on_patience;

static uint32_t
clock_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint32_t)(ts.tv_sec * 1000000 + ts.tv_nsec / 1000);
}

/* -- Places -------------------------------------------------------------- */

/* Until then it has failed, if it fails. */
static uint64_t
trial_ends_ms(const struct wr_session *s, const struct wr_upstream_conf *u)
{
	uint32_t connect = u->timeouts.ms[WR_T_CONNECT];
	uint32_t first = u->timeouts.ms[WR_T_FIRST_BYTE];

	return wr_loop_now(s->px->loop) + TRIAL_MS +
	       (connect != WR_OFF ? connect : 0) +
	       (first != WR_OFF ? first : 0);
}

static void
take(struct wr_session *s, const struct wr_server_conf *sv)
{
	struct wr_server_count *n = wr_count_server(s->px, sv->cell);

	s->server_cell = sv->cell;
	s->upstream_cell = sv->upstream->cell;
	s->placed = true;
	s->trial = wr_server_try(&s->px->stats->states[sv->cell],
	    wr_loop_now(s->px->loop), trial_ends_ms(s, sv->upstream));
	wr_count(&n->picks, 1);
	wr_count(&n->active, 1);
	wr_count(&wr_count_upstream(s->px, s->upstream_cell)->picks, 1);
}

/* Others may wait for the place, here and in other processes.  Who waits
 * longest is told, and tells the next one of what it leaves. */
static void
tell_waiting(struct wr_proxy *px, uint32_t upstream)
{
	uint32_t high = wr_load(px->stats->slots_high), to = high;
	uint64_t oldest_ms = UINT64_MAX, its_ms;
	static const uint64_t one = 1;

	px->admit = true;
	/* Either we see that it waits, or it sees the place, wr_dial_queue().
	 */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	for (uint32_t i = 0; i < high; i++) {
		const struct wr_upstream_count *n =
		    wr_stats_upstream(px->stats, i, upstream);

		if (i == px->slot_index || px->stats->wake[i] < 0 ||
		    wr_load(&n->waiting) == 0)
			continue;
		its_ms = wr_load(&n->oldest_ms);
		if (its_ms < oldest_ms) {
			oldest_ms = its_ms;
			to = i;
		}
	}
	/* It can only fail if a wake-up is pending anyway. */
	if (to < high)
		(void)!write(px->stats->wake[to], &one, sizeof(one));
}

/* On the clock of all processes. */
static uint64_t
queued_ms(const struct wr_session *s)
{
	return wr_loop_now(s->px->loop) - (wr_session_age_ms(s) - s->since_ms);
}

/* Publish since when the first of ours waits for this upstream; sessions
 * enter the queue at its end. */
static void
publish_oldest(struct wr_proxy *px, uint32_t cell)
{
	uint64_t oldest_ms = 0;

	wr_list_each (n, &px->in[WR_QUEUE]) {
		struct wr_session *s =
		    wr_container_of(n, struct wr_session, link);

		if (s->queued && s->upstream_cell == cell) {
			oldest_ms = queued_ms(s);
			break;
		}
	}
	wr_store(&wr_count_upstream(px, cell)->oldest_ms, oldest_ms);
}

void
wr_dial_leave(struct wr_session *s)
{
	struct wr_proxy *px = s->px;

	if (s->queued) {
		s->queued = false;
		px->queued--;
		wr_count(&wr_count_upstream(px, s->upstream_cell)->waiting,
		    (uint64_t)-1);
		publish_oldest(px, s->upstream_cell);
	}
	if (!s->placed)
		return;
	s->placed = false;
	wr_count(&wr_count_server(px, s->server_cell)->active, (uint64_t)-1);
	/* Whether or not it was scarce when it was taken: a reload may have
	 * made it so. */
	tell_waiting(px, s->upstream_cell);
}

/* -- Pick ---------------------------------------------------------------- */

/* Decide by the current configuration, if there still is such an upstream. */
static bool
refresh(struct wr_session *s)
{
	struct wr_gen *now = s->px->gen;
	const struct wr_upstream_conf *u;

	if (s->gen == now)
		return true;
	u = wr_conf_upstream(now->conf, s->upstream->name);
	if (u == NULL)
		return false;
	wr_gen_put(&s->gen);
	s->gen = wr_gen_get(now);
	s->upstream = u;
	s->server = NULL;
	/* What they said was copied when it was routed. */
	s->rules = NULL;
	return true;
}

static void
back_off(struct wr_session *s)
{
	const struct wr_retry_conf *c = &s->upstream->retry;
	uint32_t ms = c->backoff_ms;

	for (unsigned i = 1; i < s->tries && ms < c->max_backoff_ms; i++)
		ms *= 2;
	if (ms > c->max_backoff_ms)
		ms = c->max_backoff_ms;
	/* Not all at once. */
	ms = ms / 2 + wr_random_below(&s->px->random, ms / 2 + 1);
	if (wr_session_age_ms(s) - s->dial_ms + ms > c->deadline_ms) {
		wr_session_end(s, WR_END_WEIR_PICK_DEADLINE);
		return;
	}
	wr_session_limit(s, ms);
}

static void
none(struct wr_session *s)
{
	if (s->upstream->timeouts.ms[WR_T_WAIT_UP] != WR_OFF) {
		/* Whoever comes up may be one that it has tried. */
		s->tried = 0;
		s->wait_up = true;
		wr_session_go(s, WR_QUEUE);
		return;
	}
	if (s->tries > 0) {
		wr_session_end(s, wr_trouble_end(s->fault));
		return;
	}
	wr_count(&wr_count_upstream(s->px, s->upstream->cell)->no_server, 1);
	wr_session_end(s, WR_END_WEIR_PICK_NO_SERVER);
}

static uint64_t
all_waiting(const struct wr_proxy *px, uint32_t cell)
{
	uint32_t high = wr_load(px->stats->slots_high);
	uint64_t n = 0;

	for (uint32_t i = 0; i < high; i++)
		n += wr_load(&wr_stats_upstream(px->stats, i, cell)->waiting);
	return n;
}

/* Those who came before are first, unless their queue is full: then a place is
 * better used than not. */
static bool
others_wait(const struct wr_session *s)
{
	uint64_t n = all_waiting(s->px, s->upstream->cell);

	return n > 0 && n < s->upstream->queue_max;
}

/* It goes where it was before, to a server that those who wait could not get:
 * one that drains, or a backup. */
static bool
is_its_own(const struct wr_session *s)
{
	const struct wr_server_conf *sv;

	return s->upstream->sticky.on != WR_STICKY_OFF &&
	       wr_upstream_pick(s->px, NULL, s->upstream, s->tried, &sv) ==
		   WR_PICK_FULL;
}

void
wr_dial_pick(struct wr_session *s)
{
	if (!refresh(s)) {
		wr_session_end(s, WR_END_WEIR_PICK_NO_UPSTREAM);
		return;
	}
	if (s->wait) {
		s->wait = false;
		back_off(s);
		return;
	}
	switch (wr_upstream_pick(s->px, s, s->upstream, s->tried, &s->server)) {
	case WR_PICKED:
		if (!others_wait(s) || is_its_own(s)) {
			wr_session_go(s, WR_CONNECT);
			break;
		}
		wr_session_go(s, WR_QUEUE);
		break;
	case WR_PICK_FULL:
		wr_session_go(s, WR_QUEUE);
		break;
	case WR_PICK_TRIED:
		s->tried = 0;
		back_off(s);
		break;
	case WR_PICK_EJECTED:
	case WR_PICK_NONE:
		none(s);
		break;
	}
}

/* -- Queue --------------------------------------------------------------- */

void
wr_dial_queue(struct wr_session *s)
{
	const struct wr_upstream_conf *u = s->upstream;
	struct wr_upstream_count *n = wr_count_upstream(s->px, u->cell);

	if (all_waiting(s->px, u->cell) >= u->queue_max) {
		wr_count(&n->queue_full, 1);
		wr_session_end(s, WR_END_WEIR_QUEUE_FULL);
		return;
	}
	s->upstream_cell = u->cell;
	s->queued = true;
	s->px->queued++;
	s->since_ms = wr_session_age_ms(s);
	wr_count(&n->queued, 1);
	wr_count(&n->waiting, 1);
	if (n->oldest_ms == 0)
		wr_store(&n->oldest_ms, queued_ms(s));
	/* A place may have come free before this was seen. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	s->px->admit = true;
	wr_session_limit(
	    s, u->timeouts.ms[s->wait_up ? WR_T_WAIT_UP : WR_T_QUEUE]);
	if (!wr_timer_is_set(&s->px->patience))
		wr_timer_set(
		    s->px->loop, &s->px->patience, LOOK_MS, on_patience);
}

void
wr_dial_queue_late(struct wr_session *s)
{
	if (s->wait_up)
		wr_count(
		    &wr_count_upstream(s->px, s->upstream_cell)->no_server, 1);
	wr_session_end(s,
	    s->wait_up ? WR_END_WEIR_QUEUE_WAIT_UP : WR_END_WEIR_QUEUE_TIMEOUT);
}

/* Somebody waits longer in another process: it is first. */
static bool
after_others(struct wr_session *s)
{
	struct wr_proxy *px = s->px;
	const struct wr_stats *st = px->stats;
	uint32_t high = wr_load(st->slots_high);
	uint64_t mine = queued_ms(s);

	if (px->impatient)
		return false;
	for (uint32_t i = 0; i < high; i++) {
		const struct wr_upstream_count *n =
		    wr_stats_upstream(st, i, s->upstream_cell);
		uint64_t its = wr_load(&n->oldest_ms);

		if (i == px->slot_index || its == 0 || its >= mine ||
		    wr_load(&n->waiting) == 0)
			continue;
		if (!px->yielded) {
			px->ahead_slot = i;
			px->ahead_ms = its;
		}
		px->yielded = true;
		return true;
	}
	return false;
}

/* False if it has to go on waiting. */
static bool
admit(struct wr_session *s)
{
	struct wr_proxy *px = s->px;
	uint32_t cell = s->upstream_cell;
	enum wr_picked how;

	if (!refresh(s)) {
		wr_session_end(s, WR_END_WEIR_PICK_NO_UPSTREAM);
		return true;
	}
	how = wr_upstream_pick(px, s, s->upstream, s->tried, &s->server);
	if (how == WR_PICK_FULL)
		return false;
	if (s->wait_up && (how == WR_PICK_NONE || how == WR_PICK_EJECTED))
		return false;
	if (how == WR_PICKED && after_others(s)) {
		tell_waiting(px, cell);
		return false;
	}
	wr_dial_leave(s);
	/* The deadline of retries is for those that wait between them. */
	if (s->wait_up)
		s->dial_ms += wr_session_age_ms(s) - s->since_ms;
	s->wait_up = false;
	if (how != WR_PICKED) {
		wr_session_go(s, WR_PICK);
		return true;
	}
	wr_session_go(s, WR_CONNECT);
	/* There may be more places than it was told of. */
	if (wr_count_upstream(px, cell)->waiting == 0)
		tell_waiting(px, cell);
	return true;
}

/* All who wait here wait for the same as this one. */
static bool
all_like(const struct wr_session *s)
{
	return wr_count_upstream(s->px, s->upstream_cell)->waiting ==
	       s->px->queued;
}

/* Those who were let go first may be stopped, or dead and not yet reaped. */
static void
on_patience(struct wr_loop *l, struct wr_timer *t)
{
	struct wr_proxy *px = wr_container_of(t, struct wr_proxy, patience);

	(void)l;
	px->impatient = px->yielded;
	px->patient = false;
	wr_dial_admit(px);
	px->impatient = false;
}

/* Not for longer when it is asked again: it is the same that does nothing. */
static void
be_patient(struct wr_proxy *px, uint32_t slot, uint64_t oldest_ms)
{
	if (!px->patient || px->ahead_slot != slot || px->ahead_ms != oldest_ms)
		wr_timer_set(px->loop, &px->patience, PATIENCE_MS, on_patience);
	px->patient = true;
}

void
wr_dial_admit(struct wr_proxy *px)
{
	const struct wr_upstream_conf *full = NULL;
	uint32_t slot = px->ahead_slot;
	uint64_t oldest_ms = px->ahead_ms;

	px->yielded = false;
	wr_list_each_safe (n, &px->in[WR_QUEUE]) {
		struct wr_session *s =
		    wr_container_of(n, struct wr_session, link);

		if (s->upstream == full || admit(s))
			continue;
		full = s->upstream;
		if (all_like(s))
			break;
	}
	if (px->yielded) {
		be_patient(px, slot, oldest_ms);
		return;
	}
	px->patient = false;
	if (!wr_list_empty(&px->in[WR_QUEUE]))
		wr_timer_set(px->loop, &px->patience, LOOK_MS, on_patience);
	else
		wr_timer_stop(px->loop, &px->patience);
}

/* -- Connect ------------------------------------------------------------- */

/* May it be mentioned that something is wrong with the server? */
static bool
may_say(struct wr_session *s, const struct wr_server_conf *sv)
{
	struct wr_server_run *run = &s->px->servers[sv->cell];
	uint64_t now_ms = wr_loop_now(s->px->loop);

	if (run->said_ms != 0 && now_ms - run->said_ms < SAY_MS)
		return false;
	run->said_ms = now_ms;
	return true;
}

static void
say_source(struct wr_session *s, const struct wr_server_conf *sv,
    const struct wr_addr *a)
{
	char text[WR_ADDR_TEXT];
	int n;

	if (!may_say(s, sv))
		return;
	/* Without the port, which is 0. */
	n = (int)strlen(wr_addr_text(a, text, sizeof(text))) - 2;
	wr_warn("upstream %s: cannot connect from %.*s", sv->upstream->name, n,
	    text);
}

/*
 * The next own address of the server's family, if there are any: the one
 * whose turn it is, or the one after that which had no port for this session.
 */
static int
choose_source(struct wr_session *s, const struct wr_server_conf *sv, int fd)
{
	const struct wr_addrs *own = &sv->upstream->source;
	uint32_t *turn = &s->px->servers[sv->cell].source;
	uint32_t last = s->scratch > 0 ? s->source : *turn + s->px->slot_index;
	int err = 0;

	for (uint32_t i = 1; i <= own->n; i++) {
		const struct wr_addr *a = &own->v[(last + i) % own->n];

		if (a->sa.sa_family != sv->addr.sa.sa_family)
			continue;
		s->source = (uint8_t)((last + i) % own->n);
		*turn += i;
		err = wr_sock_source(fd, a);
		if (err != -EADDRNOTAVAIL)
			return err;
		errno = -err;
		say_source(s, sv, a); /* it is not ours any more */
	}
	if (err < 0)
		s->scratch = UINT8_MAX;
	return err;
}

/* Has it another own address from which there may be a port? */
static bool
has_source(const struct wr_session *s)
{
	const struct wr_server_conf *sv = s->server;
	const struct wr_addrs *own = &sv->upstream->source;
	uint32_t n = 0;

	if (s->fault != -EADDRNOTAVAIL)
		return false;
	for (uint32_t i = 0; i < own->n; i++)
		n += own->v[i].sa.sa_family == sv->addr.sa.sa_family;
	return s->scratch + 1u < n;
}

static int
dial(struct wr_session *s, const struct wr_server_conf *sv)
{
	struct wr_conn *c = wr_session_conn(s, WR_SERVER);
	struct wr_loop *l = s->px->loop;
	struct wr_addr a = sv->addr;
	int fd, err;

	if (sv->client_port)
		wr_addr_set_port(&a, s->port);
	fd = wr_sock_stream(a.sa.sa_family);
	if (fd < 0)
		return fd;
	err = choose_source(s, sv, fd);
	if (err >= 0)
		err = wr_conn_init(l, c, WR_SERVER, fd);
	if (err < 0) {
		(void)close(fd);
		return err;
	}
	s->open |= 1u << WR_SERVER;
	return wr_connect(l, &c->sock, &a.sa, a.len, on_connect);
}

static void
say(struct wr_session *s, int err)
{
	const struct wr_server_conf *sv = s->server;

	if (!may_say(s, sv))
		return;
	errno = -err;
	if (wr_trouble_of(err) == WR_OURS)
		wr_error("cannot connect to server %s of upstream %s", sv->name,
		    wr_session_group(s)->name);
	else
		wr_warn("server %s of upstream %s: connect", sv->name,
		    wr_session_group(s)->name);
}

static enum wr_news
news_of(int err)
{
	switch (wr_trouble_end(err)) {
	case WR_END_SERVER_CONNECT_TIMEOUT:
		return WR_NEWS_TIMEOUT;
	case WR_END_SERVER_CONNECT_RESET:
		return WR_NEWS_RESET;
	case WR_END_SERVER_CONNECT_UNREACHABLE:
		return WR_NEWS_UNREACHABLE;
	default:
		return WR_NEWS_REFUSED;
	}
}

/* This try is over. */
static void
give_up(struct wr_session *s, int err)
{
	s->fault = (int16_t)err;
	wr_session_limit(s, WR_OFF); /* it may be due in this turn too */
	if (wr_trouble_of(err) == WR_TEMPORARY) {
		wr_count(&wr_count_server(s->px, s->server_cell)->failures, 1);
		wr_hooks_server(s, news_of(err));
	}
	say(s, err);
	wr_dial_leave(s);
	if (s->open & 1u << WR_SERVER)
		wr_session_hang_up(s, WR_SERVER);
	else
		wr_dial_closed(s);
}

void
wr_dial_connect(struct wr_session *s)
{
	const struct wr_server_conf *sv = s->server;
	int err;

	if (wr_session_age_ms(s) > STAYS_MS &&
	    wr_sock_gone(wr_session_conn(s, WR_CLIENT)->sock.fd)) {
		wr_session_end(s, WR_END_CLIENT_PICK_EOF);
		return;
	}
	take(s, sv);
	if (s->fault == 0)
		s->scratch = 0;
	if (s->tries++ == 0 && s->scratch == 0) {
		s->dial_ms = wr_session_age_ms(s);
		wr_budget_first(
		    &s->px->stats->group_states[s->upstream_cell].budget,
		    wr_loop_now(s->px->loop));
	} else if (s->tries > 1) {
		wr_count(
		    &wr_count_upstream(s->px, s->upstream_cell)->retries, 1);
	}
	s->tried |= wr_server_bit(sv);
	s->connect_us = clock_us();
	err = dial(s, sv);
	if (err < 0)
		give_up(s, err);
	else
		wr_session_limit(s, sv->upstream->timeouts.ms[WR_T_CONNECT]);
}

void
wr_dial_connect_late(struct wr_session *s)
{
	give_up(s, -ETIMEDOUT);
}

static void
on_connect(struct wr_loop *l, struct wr_op *op, const struct wr_done *d)
{
	struct wr_session *s = wr_session_of(wr_conn_of_out(op));
	struct wr_server_count *n;

	(void)l;
	if (d->res < 0) {
		give_up(s, d->res);
		return;
	}
	s->connect_us = clock_us() - s->connect_us;
	s->connected = true;
	n = wr_count_server(s->px, s->server_cell);
	wr_count(&n->connects, 1);
	wr_count(&n->connect_us, s->connect_us);
	wr_upstream_took(s->px, s->server_cell, s->connect_us);
	wr_hooks_server(s, WR_NEWS_CONNECTED);
	wr_session_limit(s, WR_OFF);
	wr_session_ask(s, WR_ON_CONNECT, WR_RELAY);
}

/* A failure of our own machine always is: the server is innocent. */
static bool
worth_it(const struct wr_session *s, enum wr_trouble t)
{
	static const uint32_t bits[] = {
		[WR_NEWS_REFUSED] = WR_RETRY_REFUSED,
		[WR_NEWS_TIMEOUT] = WR_RETRY_TIMEOUT,
		[WR_NEWS_RESET] = WR_RETRY_RESET,
		[WR_NEWS_UNREACHABLE] = WR_RETRY_UNREACHABLE,
	};
	const struct wr_retry_conf *c = &s->upstream->retry;

	return s->tries < c->tries &&
	       (t == WR_OURS || (c->on & bits[news_of(s->fault)]) != 0);
}

void
wr_dial_closed(struct wr_session *s)
{
	enum wr_trouble t = wr_trouble_of(s->fault);
	struct wr_upstream_state *x;

	if (has_source(s)) {
		s->scratch++;
		s->tries--;
		s->tried &= ~wr_server_bit(s->server);
		wr_session_go(s, WR_PICK);
		return;
	}
	if (t == WR_PERMANENT || !worth_it(s, t)) {
		wr_session_end(s, wr_trouble_end(s->fault));
		return;
	}
	x = &s->px->stats->group_states[s->upstream_cell];
	if (!wr_budget_take(
		&x->budget, &s->upstream->retry, wr_loop_now(s->px->loop))) {
		(void)__atomic_fetch_add(&x->budget_spent, 1, __ATOMIC_RELAXED);
		wr_session_end(s, WR_END_WEIR_PICK_BUDGET);
		return;
	}
	/* Another server would fare no better, and this one is innocent. */
	if (t == WR_OURS) {
		s->wait = true;
		s->tried &= ~wr_server_bit(s->server);
	}
	wr_session_go(s, WR_PICK);
}
