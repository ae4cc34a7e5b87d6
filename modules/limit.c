/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * limit - turn clients away when there are too many, or they come too often.
 *
 *	limit = { conns_per_ip = 50; rate_per_ip = "20/s"; burst = 40; };
 *
 * Counted for each listener, over all workers.  An IPv6 client is known by the
 * first `prefix6` bits of its address; `except` names networks that are not
 * limited and not counted.  With `dry_run` nobody is turned away.
 *
 * A route that writes it has counters of its own, in the place of its
 * listener's; so has the listener for those that are routed elsewhere, and
 * nobody is looked at before it is routed.
 */
#include "modules/limit.h"

#include <assert.h>
#include <sched.h>
#include <string.h>
#include <time.h>

#include "base/hash.h"
#include "base/log.h"
#include "conf/check.h"
#include "modules/modules.h"
#include "proxy/core.h"

#define COUNT_BITS 20
#define COUNT_MAX  ((1u << COUNT_BITS) - 1)
/* So often another process may take a place before us. */
#define TRIES 4
/* So long one waits for another process's turn. */
#define TURN_NS UINT64_C(10000000)
/* A dry run says no more than one line in that time. */
#define QUIET_MS 1000

/* -- Sessions ------------------------------------------------------------ */

_Static_assert(WR_LIMIT_CONNS < UINT16_MAX, "a place fits into a session");

static uint64_t
tag_of(uint64_t key)
{
	return key >> COUNT_BITS << COUNT_BITS;
}

static uint32_t
first_of(uint64_t key, uint32_t places)
{
	return (uint32_t)key % (places / WR_LIMIT_WAYS) * WR_LIMIT_WAYS;
}

/* How often a word counts the key. */
static uint64_t
counts(uint64_t word, uint64_t key)
{
	return tag_of(word) == tag_of(key) ? word & COUNT_MAX : 0;
}

static uint64_t
now_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static bool
hand(uint32_t *turn, uint32_t from, uint32_t to)
{
	return __atomic_compare_exchange_n(
	    turn, &from, to, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

/* A process that is stopped in its turn loses it; one that died in it has been
 * followed by us, or loses it as well. */
static void
take_turn(uint32_t *turn, uint32_t me)
{
	uint64_t until_ns = 0;

	for (;;) {
		uint32_t whose = wr_load(turn);

		if ((whose == 0 || whose == me) && hand(turn, whose, me))
			return;
		if (until_ns == 0)
			until_ns = now_ns() + TURN_NS;
		else if (now_ns() > until_ns && hand(turn, whose, me))
			return;
		(void)sched_yield();
	}
}

/* The place of its count; 0: there is none. */
static uint16_t
add(const struct wr_stats *st, uint32_t slot, uint64_t key)
{
	struct wr_limit_conns *c = &st->limit_conns[slot];
	uint32_t first = first_of(key, WR_LIMIT_CONNS), at = WR_LIMIT_CONNS;
	uint64_t n = 0;

	for (uint32_t i = first; i < first + WR_LIMIT_WAYS; i++) {
		uint64_t word = wr_load(&c->v[i]);

		n = counts(word, key);
		if (n > 0 || (word & COUNT_MAX) == 0)
			at = i;
		if (n > 0)
			break;
	}
	if (at == WR_LIMIT_CONNS || n == COUNT_MAX)
		return 0;
	wr_store(&c->used, 1);
	wr_store(&c->v[at], tag_of(key) | (n + 1));
	return (uint16_t)(at + 1);
}

enum wr_claimed
wr_limit_claim(const struct wr_stats *st, uint32_t slot, uint64_t key,
    uint32_t max, bool keep, uint16_t *at)
{
	uint32_t *turn = &st->limit_rates->turns[key % WR_LIMIT_TURNS];
	enum wr_claimed how = WR_CLAIM_IN;

	take_turn(turn, slot + 1);
	*at = add(st, slot, key);
	if (*at == 0)
		how = WR_CLAIM_FULL;
	else if (wr_limit_sum(st, key) > max)
		how = WR_CLAIM_OVER;
	if (how == WR_CLAIM_OVER && !keep) {
		wr_limit_drop(st, slot, *at);
		*at = 0;
	}
	(void)hand(turn, slot + 1, 0);
	return how;
}

void
wr_limit_drop(const struct wr_stats *st, uint32_t slot, uint16_t at)
{
	uint64_t *word;

	assert(at > 0 && at <= WR_LIMIT_CONNS);
	word = &st->limit_conns[slot].v[at - 1];
	assert((*word & COUNT_MAX) > 0);
	wr_store(word, *word - 1);
}

uint64_t
wr_limit_sum(const struct wr_stats *st, uint64_t key)
{
	uint32_t high = wr_load(st->slots_high);
	uint32_t first = first_of(key, WR_LIMIT_CONNS);
	uint64_t n = 0;

	/* Our own words are out before we look at others', should one of them
	 * have lost its turn. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	for (uint32_t slot = 0; slot < high; slot++) {
		const struct wr_limit_conns *c = &st->limit_conns[slot];

		if (wr_load(&c->used) == 0)
			continue;
		for (uint32_t i = first; i < first + WR_LIMIT_WAYS; i++)
			n += counts(wr_load(&c->v[i]), key);
	}
	return n;
}

/* -- Rates --------------------------------------------------------------- */

static bool
swap(uint64_t *p, uint64_t old, uint64_t now)
{
	return __atomic_compare_exchange_n(
	    p, &old, now, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

/* The place of a key, or one of a key that owes nothing any more; as it is
 * past, the time in it is as good for the new one. */
static struct wr_limit_rate *
place_of(struct wr_limit_rates *t, uint64_t key, uint64_t now_ns)
{
	struct wr_limit_rate *set = &t->v[first_of(key, WR_LIMIT_RATES)];
	struct wr_limit_rate *spare;
	uint64_t old;

	for (int tries = 0; tries < TRIES; tries++) {
		spare = NULL;
		for (uint32_t i = 0; i < WR_LIMIT_WAYS; i++) {
			if (wr_load(&set[i].key) == key)
				return &set[i];
			if (spare == NULL && wr_load(&set[i].due_ns) <= now_ns)
				spare = &set[i];
		}
		if (spare == NULL)
			return NULL;
		old = wr_load(&spare->key);
		if (swap(&spare->key, old, key))
			return spare;
	}
	return NULL;
}

enum wr_rated
wr_limit_rate(struct wr_limit_rates *t, uint64_t key,
    const struct wr_rate *rate, uint32_t burst, uint64_t now_ns)
{
	uint64_t step_ns = (uint64_t)rate->per_ms * 1000000 / rate->n;
	struct wr_limit_rate *r = place_of(t, key, now_ns);
	uint64_t due_ns, from_ns;

	if (r == NULL)
		return WR_RATE_FULL;
	do {
		due_ns = wr_load(&r->due_ns);
		from_ns = due_ns > now_ns ? due_ns : now_ns;
		if (from_ns - now_ns > burst * step_ns)
			return WR_RATE_OVER;
	} while (!swap(&r->due_ns, due_ns, from_ns + step_ns));
	return WR_RATE_PASS;
}

/* -- Configuration ------------------------------------------------------- */

struct limit {
	bool on;
	uint32_t conns, conns_per_ip;
	struct wr_rate rate, rate_per_ip;
	uint32_t burst;
	struct wr_cidrs except;
	uint32_t prefix6;
	const char *reply;
	bool dry_run;
	const struct wr_answer *answer; /* made of `reply`; or NULL */
	uint64_t route;                 /* that writes it; 0: the listener */
};

#define AT(field) offsetof(struct limit, field)

static const struct wr_key keys[] = {
	{ "on", WR_BOOL, AT(on), "false", .help = "limit clients" },
	{ "conns", WR_INT, AT(conns), "0",
	    .help = "sessions at a time; 0: any number", .max = COUNT_MAX },
	{ "rate", WR_RATE, AT(rate), "",
	    .help = "new sessions in a time, as \"100/s\"" },
	{ "conns_per_ip", WR_INT, AT(conns_per_ip), "0",
	    .help = "sessions at a time of one address; 0: any number",
	    .max = COUNT_MAX },
	{ "rate_per_ip", WR_RATE, AT(rate_per_ip), "",
	    .help = "new sessions of one address in a time" },
	{ "burst", WR_INT, AT(burst), "0",
	    .help = "so many may come earlier than the rate allows",
	    .max = 1000000 },
	{ "except", WR_CIDRS, AT(except), "",
	    .help = "networks that are not limited and not counted" },
	{ "prefix6", WR_INT, AT(prefix6), "64",
	    .help = "bits of an IPv6 address that make one client", .min = 1,
	    .max = 128 },
	{ "reply", WR_TEXT, AT(reply), "",
	    .help = "what is said to a client before it is turned away" },
	{ "dry_run", WR_BOOL, AT(dry_run), "false",
	    .help = "count and log, but turn nobody away" },
	{ 0 },
};

static void
finish(struct wr_check *c, const struct wr_node *n, void *value)
{
	struct limit *l = value;
	struct wr_answer *a;

	if (l->burst > 0 && l->rate.n == 0 && l->rate_per_ip.n == 0)
		wr_check_error(c, n, "burst without rate or rate_per_ip");
	if (n != NULL)
		l->route = wr_check_route(c);
	l->answer = NULL;
	if (l->reply[0] == '\0')
		return;
	a = wr_check_alloc(c, sizeof(*a));
	a->bytes = (const uint8_t *)l->reply;
	a->len = (uint32_t)strlen(l->reply);
	l->answer = a;
}

/* -- Clients ------------------------------------------------------------- */

/* What is counted; a part of the key. */
enum what {
	ALL_CONNS,
	ALL_RATE,
	IP_CONNS,
	IP_RATE
};

static void
mask(uint8_t ip[16], uint32_t bits)
{
	for (uint32_t i = 0; i < 16; i++, bits -= bits < 8 ? bits : 8)
		if (bits < 8)
			ip[i] &= (uint8_t)(0xff00u >> bits);
}

static uint64_t
key_of(struct wr_session *s, const struct limit *c, enum what what)
{
	const struct wr_limit_rates *t = s->px->stats->limit_rates;
	struct wr_hash_key seed = { { t->seed[0], t->seed[1] } };
	struct {
		uint32_t cell;
		uint8_t what, family, unused[2];
		uint8_t ip[16];
		uint64_t route;
	} of = { .cell = s->listener_cell,
		.what = (uint8_t)what,
		.route = c->route };

	if (what == IP_CONNS || what == IP_RATE) {
		const struct wr_ip *client = wr_session_client(s);

		of.family = client->family;
		memcpy(of.ip, client->ip, sizeof(of.ip));
		if (of.family == AF_INET6)
			mask(of.ip, c->prefix6);
	}
	return wr_hash(&seed, &of, sizeof(of));
}

static void
count_full(struct wr_session *s)
{
	wr_count(&wr_count_listener(s->px, s->listener_cell)->limit_full, 1);
}

static bool
too_many(
    struct wr_session *s, const struct limit *c, enum what what, uint32_t max)
{
	enum wr_claimed how;

	if (max == 0)
		return false;
	how =
	    wr_limit_claim(s->px->stats, s->px->slot_index, key_of(s, c, what),
		max, c->dry_run, &s->limit_at[what == IP_CONNS]);
	if (how == WR_CLAIM_FULL)
		count_full(s);
	return how == WR_CLAIM_OVER;
}

static bool
too_often(struct wr_session *s, const struct limit *c, enum what what,
    const struct wr_rate *rate)
{
	enum wr_rated how;

	if (rate->n == 0)
		return false;
	how = wr_limit_rate(s->px->stats->limit_rates, key_of(s, c, what), rate,
	    c->burst, now_ns());
	if (how == WR_RATE_FULL)
		count_full(s);
	return how == WR_RATE_OVER;
}

/* The first limit that it is over; a dry run counts on, as if it were let in
 * by that one. */
static const char *
over(struct wr_session *s, const struct limit *c)
{
	bool has_ip = wr_session_client(s)->family != AF_UNIX;
	const char *why = NULL;

	if (has_ip && too_many(s, c, IP_CONNS, c->conns_per_ip))
		why = "conns_per_ip";
	if (has_ip && (why == NULL || c->dry_run) &&
	    too_often(s, c, IP_RATE, &c->rate_per_ip))
		why = "rate_per_ip";
	if ((why == NULL || c->dry_run) && too_many(s, c, ALL_CONNS, c->conns))
		why = "conns";
	if ((why == NULL || c->dry_run) && too_often(s, c, ALL_RATE, &c->rate))
		why = "rate";
	return why;
}

static void
forget(struct wr_session *s)
{
	for (size_t i = 0; i < WR_COUNT(s->limit_at); i++) {
		if (s->limit_at[i] != 0)
			wr_limit_drop(
			    s->px->stats, s->px->slot_index, s->limit_at[i]);
		s->limit_at[i] = 0;
	}
}

/* How many there are, the counters tell. */
static void
say(struct wr_session *s, const char *why)
{
	static uint64_t quiet_until_ms;
	uint64_t now_ms = wr_loop_now(s->px->loop);
	char ip[WR_ADDR_TEXT];

	if (now_ms < quiet_until_ms)
		return;
	quiet_until_ms = now_ms + QUIET_MS;
	wr_notice("listener %s: %s would be turned away by limit.%s (dry run)",
	    s->px->stats->listener_cells[s->listener_cell].name,
	    wr_ip_text(wr_session_client(s), ip, sizeof(ip)), why);
}

static enum wr_verdict
check(struct wr_session *s, const struct limit *c)
{
	struct wr_listener_count *n;
	const char *why;

	if (c == NULL || !c->on ||
	    (c->except.n > 0 &&
		wr_cidrs_have(&c->except, wr_session_client(s))))
		return WR_NEXT;
	why = over(s, c);
	if (why == NULL)
		return WR_NEXT;
	n = wr_count_listener(s->px, s->listener_cell);
	if (c->dry_run) {
		wr_count(&n->limit_dry, 1);
		say(s, why);
		return WR_NEXT;
	}
	wr_count(&n->limited, 1);
	forget(s);
	s->end = WR_END_CLIENT_ACCEPT_LIMIT;
	s->answer = c->answer;
	return WR_DENY;
}

/* -- Routes -------------------------------------------------------------- */

static unsigned own_index;
/* By cell of the listener: a route of it has a limit of its own. */
static bool by_route[WR_LISTENER_CELLS];

static enum wr_verdict
on_accept(struct wr_session *s, const void *conf)
{
	if (!by_route[s->listener_cell])
		return check(s, conf);
	s->ask_route = true;
	return WR_NEXT;
}

static enum wr_verdict
on_route(struct wr_session *s, const void *conf)
{
	const struct limit *c = conf;

	if (!s->ask_route && (c == NULL || c->route == 0))
		return WR_NEXT;
	/* The listener has had no such route when it was accepted. */
	forget(s);
	return check(s, c);
}

static bool
any_own(const struct wr_route_conf *v, uint32_t n, const void *listeners)
{
	for (uint32_t i = 0; i < n; i++)
		if (v[i].rules.mod[own_index] != listeners ||
		    any_own(v[i].routes, v[i].n_routes, listeners))
			return true;
	return false;
}

static void
use(struct wr_proxy *px, const struct wr_conf *c)
{
	(void)px;
	for (uint32_t i = 0; i < c->n_listeners; i++) {
		const struct wr_listener_conf *ln = c->listeners[i];

		by_route[ln->cell] =
		    any_own(ln->routes, ln->n_routes, ln->rules.mod[own_index]);
	}
}

static int
start(struct wr_proxy *px)
{
	for (own_index = 0; wr_modules[own_index] != &wr_mod_limit;)
		own_index++;
	use(px, px->gen->conf);
	return 0;
}

const struct wr_module wr_mod_limit = {
	.name = "limit",
	.conf = { .name = "limit",
	    .keys = keys,
	    .size = sizeof(struct limit),
	    .at = WR_AT_TOP | WR_AT_LISTENER | WR_AT_ROUTE,
	    .help = "how many clients are let in, and how often",
	    .check = finish },
	.on_accept = on_accept,
	.on_route = on_route,
	.on_end = forget,
	.worker_start = start,
	.worker_use = use,
};
