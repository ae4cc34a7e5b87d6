/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * names - servers that are named, not numbered: every address of a name is a
 * server that joins and leaves as DNS says so.
 *
 *	servers = ( "app.example.net:80", "srv:_app._tcp.example.net" );
 *
 * A round asks all that a name needs, in parallel: its service, then the
 * addresses of each host.  What is found joins at once; what was not found
 * leaves at the end of the round, unless the answer that would have named it
 * is missing.
 */
#include "modules/modules.h"

#ifdef WR_HAVE_CARES

#include <stdio.h>
#include <stdlib.h>

#include "base/hash.h"
#include "base/list.h"
#include "base/log.h"
#include "modules/dns.h"
#include "proxy/control.h"

/* Rounds at the same time; others wait for one to end. */
#define ROUNDS_MAX 64
#define ROUND_MS   10
/* Addresses of one name. */
#define FOUND_MAX 4096
/* After a failure: from ttl_min, doubled each time, up to this. */
#define RETRY_MAX_MS 30000

/* What could not be asked, or not be understood. */
#define LOST_4       1u
#define LOST_6       2u
#define LOST_SERVICE 4u

struct found {
	struct wr_ip ip;
	uint32_t weight;
	bool backup;
};

/* One server of the file that is named. */
struct lookup {
	struct wr_list link;
	const struct wr_server_conf *server; /* in the generation in use */
	uint64_t origin;
	struct wr_timer due;
	unsigned pending; /* questions */
	bool kept, started, faulty;
	/* The round. */
	unsigned lost; /* LOST_... */
	uint32_t ttl_ms, n_found;
	struct found *found; /* FOUND_MAX at most */
	const char *why;     /* something was lost */
	/* Of rounds before. */
	uint64_t gone_ms; /* since when there is no such name */
	uint32_t failures;
};

/* One question. */
struct question {
	struct lookup *lookup;
	enum wr_dns_type type;
	uint16_t port;
	uint32_t weight;
	bool backup;
};

static struct {
	struct wr_control *ct;
	struct wr_list lookups;
	unsigned rounds;
} self;

static wr_timer_fn on_due;
static wr_dns_fn on_answer;

static const struct wr_resolver_conf *
resolver(void)
{
	return &self.ct->conf->resolver;
}

static uint64_t
now_ms(void)
{
	return wr_loop_now(self.ct->loop);
}

/* -- Who is there because of a name -------------------------------------- */

static const struct wr_server_conf *
member_of(const struct lookup *k, const struct wr_server_conf *sv)
{
	while (sv != NULL && wr_roster_entry(self.ct, sv)->origin != k->origin)
		sv = wr_joined_next(&self.ct->roster.joined, sv);
	return sv;
}

static const struct wr_server_conf *
member_first(const struct lookup *k)
{
	return member_of(
	    k, wr_joined_first(&self.ct->roster.joined, k->server->upstream));
}

static const struct wr_server_conf *
member_next(const struct lookup *k, const struct wr_server_conf *sv)
{
	return member_of(k, wr_joined_next(&self.ct->roster.joined, sv));
}

/* The health of the name itself: are its addresses known? */
static void
set_known(const struct lookup *k, enum wr_health h)
{
	uint32_t cell = k->server->cell;

	if (wr_load(&self.ct->stats->states[cell].health) != (uint32_t)h)
		wr_control_health(self.ct, cell, h);
}

static void
update(const struct lookup *k, const struct wr_server_conf *sv, uint32_t weight,
    bool backup)
{
	wr_roster_change(
	    self.ct, sv, weight, k->server->max_conns, backup, k->server->want);
}

static void
join(const struct lookup *k, const struct found *f)
{
	const struct wr_server_conf *sv = member_first(k);
	struct wr_newcomer n = { .ip = f->ip,
		.origin = k->origin,
		.want = k->server->want,
		.weight = f->weight,
		.max_conns = k->server->max_conns,
		.backup = f->backup,
		.client_port = k->server->client_port };
	char addr[WR_ADDR_TEXT], name[WR_NAME_MAX];

	for (; sv != NULL; sv = member_next(k, sv)) {
		if (memcmp(&wr_roster_entry(self.ct, sv)->ip, &f->ip,
			sizeof(f->ip)) == 0) {
			update(k, sv, f->weight, f->backup);
			return;
		}
	}
	(void)wr_ip_text(&f->ip, addr, sizeof(addr));
	/* The address tells them apart, so it is not what is cut. */
	(void)snprintf(name, sizeof(name), "%.*s/%s",
	    (int)(sizeof(name) - 2 - strlen(addr)), k->server->name, addr);
	n.name = name;
	if (wr_roster_join(self.ct, k->server->upstream, &n) != NULL)
		set_known(k, WR_HEALTH_UP);
}

static bool
is_found(const struct lookup *k, const struct wr_ip *ip)
{
	for (uint32_t i = 0; i < k->n_found; i++)
		if (memcmp(&k->found[i].ip, ip, sizeof(*ip)) == 0)
			return true;
	return false;
}

static void
found(struct question *q, const struct wr_ip *ip)
{
	struct lookup *k = q->lookup;
	struct found f = { *ip, q->weight, q->backup };
	uint32_t max = k->server->upstream->servers_max;

	f.ip.port = q->port;
	if (k->n_found >= FOUND_MAX || k->n_found >= max || is_found(k, &f.ip))
		return;
	k->found[k->n_found++] = f;
	join(k, &f);
}

/* Those that this round would have found if they were still there. */
static void
leave_missing(struct lookup *k)
{
	const struct wr_server_conf *sv = member_first(k), *next;

	for (; sv != NULL; sv = next) {
		const struct wr_ip *ip = &wr_roster_entry(self.ct, sv)->ip;
		unsigned lost = ip->family == AF_INET ? LOST_4 : LOST_6;

		next = member_next(k, sv);
		if ((k->lost & (lost | LOST_SERVICE)) == 0 && !is_found(k, ip))
			wr_roster_leave(self.ct, sv);
	}
}

/* -- The end of a round -------------------------------------------------- */

static void
set_due(struct lookup *k, uint64_t ms)
{
	/* A little earlier, so that many do not stay together. */
	ms -= wr_random_below(&self.ct->random, (uint32_t)(ms / 10) + 1);
	wr_timer_set(self.ct->loop, &k->due, ms, on_due);
}

static uint32_t
retry_ms(const struct lookup *k)
{
	uint64_t ms = resolver()->ttl_min_ms;

	for (uint32_t i = 1; i < k->failures && ms < RETRY_MAX_MS; i++)
		ms *= 2;
	return ms < RETRY_MAX_MS ? (uint32_t)ms : RETRY_MAX_MS;
}

static void
say(struct lookup *k, bool faulty, const char *why)
{
	const struct wr_server_conf *sv = k->server;

	if (k->faulty == faulty)
		return;
	k->faulty = faulty;
	if (!faulty)
		wr_notice("name %s of upstream %s is resolved again", sv->name,
		    sv->upstream->name);
	else
		wr_warnx("name %s of upstream %s: %s%s", sv->name,
		    sv->upstream->name, why,
		    member_first(k) != NULL ? "; the last answer stays" : "");
}

/* There is no such name, or it has no address. */
static void
gone(struct lookup *k)
{
	uint32_t hold_ms = resolver()->hold_ms;
	uint64_t age_ms;

	if (k->gone_ms == 0)
		k->gone_ms = now_ms();
	age_ms = now_ms() - k->gone_ms;
	if (hold_ms != WR_OFF && age_ms >= hold_ms)
		leave_missing(k);
	say(k, true, "no such name, or it has no address");
	k->failures++;
	if (member_first(k) != NULL && hold_ms != WR_OFF &&
	    hold_ms - age_ms < retry_ms(k))
		wr_timer_set(
		    self.ct->loop, &k->due, hold_ms - age_ms + 1, on_due);
	else
		set_due(k, retry_ms(k));
}

static void
good(struct lookup *k)
{
	const struct wr_resolver_conf *r = resolver();
	uint32_t ms = k->ttl_ms;

	k->gone_ms = 0;
	k->failures = 0;
	leave_missing(k);
	/* Some may have found no room before others left. */
	for (uint32_t i = 0; i < k->n_found; i++)
		join(k, &k->found[i]);
	if (k->lost == 0)
		say(k, false, NULL);
	ms = ms > r->ttl_max_ms ? r->ttl_max_ms : ms;
	set_due(k, ms < r->ttl_min_ms ? r->ttl_min_ms : ms);
}

static void
conclude(struct lookup *k)
{
	self.rounds--;
	k->started = false;
	if (k->n_found > 0) {
		good(k);
	} else if (k->lost != 0) {
		say(k, true, k->why);
		k->failures++;
		set_due(k, retry_ms(k));
	} else {
		gone(k);
	}
	set_known(k, member_first(k) != NULL ? WR_HEALTH_UP : WR_HEALTH_DOWN);
	free(k->found);
	k->found = NULL;
	k->n_found = 0;
}

/* -- Questions and answers ----------------------------------------------- */

static void
ask(const struct question *like, const char *name, enum wr_dns_type type)
{
	struct lookup *k = like->lookup;
	struct question *q = malloc(sizeof(*q));

	if (q == NULL) {
		k->lost |= LOST_4 | LOST_6 | LOST_SERVICE;
		k->why = "no memory";
		return;
	}
	*q = *like;
	q->type = type;
	k->pending++;
	wr_dns_ask(name, type, on_answer, q);
}

static void
take_ips(struct question *q, const struct wr_dns_answer *a)
{
	if (a->n_ips > 0 && a->ttl_ms < q->lookup->ttl_ms)
		q->lookup->ttl_ms = a->ttl_ms;
	for (uint32_t i = 0; i < a->n_ips; i++)
		found(q, &a->ips[i]);
}

static void
on_file(void *arg, const struct wr_dns_answer *a)
{
	take_ips(arg, a);
}

/* The hosts file comes first. */
static void
ask_host(struct question *q, const char *name)
{
	bool v4 = resolver()->family != 2, v6 = resolver()->family != 1;
	bool known = v4 && wr_dns_file(name, WR_DNS_A, on_file, q);

	known |= v6 && wr_dns_file(name, WR_DNS_AAAA, on_file, q);
	if (known)
		return;
	if (v4)
		ask(q, name, WR_DNS_A);
	if (v6)
		ask(q, name, WR_DNS_AAAA);
}

static void
take_services(const struct question *q, const struct wr_dns_answer *a)
{
	uint32_t first = UINT16_MAX, heaviest = 1;

	if (a->ttl_ms < q->lookup->ttl_ms)
		q->lookup->ttl_ms = a->ttl_ms;
	for (uint32_t i = 0; i < a->n_services; i++) {
		const struct wr_dns_service *s = &a->services[i];

		first = s->priority < first ? s->priority : first;
		heaviest = s->weight > heaviest ? s->weight : heaviest;
	}
	for (uint32_t i = 0; i < a->n_services; i++) {
		const struct wr_dns_service *s = &a->services[i];
		/* 0 is a little, not nothing; our weights end at 1000. */
		uint32_t weight =
		    heaviest > 1000 ? s->weight * 1000u / heaviest : s->weight;
		struct question host = { .lookup = q->lookup,
			.port = s->port,
			.weight = weight > 0 ? weight : 1,
			.backup = s->priority != first || q->backup };

		ask_host(&host, s->host);
	}
}

/* Answers, or the guard of on_due(), have come to an end. */
static void
answered(struct lookup *k)
{
	if (--k->pending == 0)
		conclude(k);
}

static void
on_answer(void *arg, const struct wr_dns_answer *a)
{
	static const unsigned lost[] = { [WR_DNS_A] = LOST_4,
		[WR_DNS_AAAA] = LOST_6,
		[WR_DNS_SRV] = LOST_SERVICE };
	struct question *q = arg;

	if (a->how == WR_DNS_GOOD && q->type == WR_DNS_SRV)
		take_services(q, a);
	else if (a->how == WR_DNS_GOOD)
		take_ips(q, a);
	if (a->how == WR_DNS_LOST) {
		q->lookup->lost |= lost[q->type];
		q->lookup->why = a->why;
	}
	/* Else the round has no end: it is begun again. */
	if (a->how != WR_DNS_CLOSED)
		answered(q->lookup);
	free(q);
}

static void
on_due(struct wr_loop *l, struct wr_timer *t)
{
	struct lookup *k = wr_container_of(t, struct lookup, due);
	const struct wr_server_conf *sv = k->server;
	struct question q = { .lookup = k,
		.port = sv->port,
		.weight = sv->weight,
		.backup = sv->backup };

	if (self.rounds >= ROUNDS_MAX || !wr_dns_is_open()) {
		wr_timer_set(l, t, ROUND_MS, on_due);
		return;
	}
	k->found = malloc(FOUND_MAX * sizeof(*k->found));
	if (k->found == NULL) {
		set_due(k, RETRY_MAX_MS);
		return;
	}
	self.rounds++;
	k->started = true;
	k->lost = 0;
	k->n_found = 0;
	k->ttl_ms = UINT32_MAX;
	k->pending = 1; /* until all is asked */
	if (sv->kind == WR_SERVER_SRV)
		ask(&q, sv->host, WR_DNS_SRV);
	else
		ask_host(&q, sv->host);
	answered(k);
}

/* -- What the file names ------------------------------------------------- */

/* A name with another address is another one. */
static uint64_t
origin_of(const struct wr_server_conf *sv)
{
	static const struct wr_hash_key key = { { 0x77656972, 0x6e616d65 } };

	return (wr_hash(&key, sv->name, strlen(sv->name)) ^
		   wr_hash_u64(
		       wr_hash(&key, sv->address, strlen(sv->address))) ^
		   wr_hash_u64(sv->upstream->cell)) |
	       1;
}

static struct lookup *
lookup_of(uint64_t origin)
{
	wr_list_each (n, &self.lookups) {
		struct lookup *k = wr_container_of(n, struct lookup, link);

		if (k->origin == origin)
			return k;
	}
	return NULL;
}

/* The round has lost its questions. */
static void
interrupt(struct lookup *k)
{
	if (!k->started)
		return;
	self.rounds--;
	k->started = false;
	k->pending = 0;
	free(k->found);
	k->found = NULL;
	k->n_found = 0;
	wr_timer_set(self.ct->loop, &k->due, 0, on_due);
}

static void
follow(const struct wr_server_conf *sv)
{
	uint64_t origin = origin_of(sv);
	struct lookup *k = lookup_of(origin);

	if (k == NULL) {
		k = calloc(1, sizeof(*k));
		if (k == NULL) {
			wr_error("names: %s", sv->name);
			return;
		}
		k->origin = origin;
		wr_list_push(&self.lookups, &k->link);
		wr_timer_set(self.ct->loop, &k->due, 0, on_due);
	}
	k->kept = true;
	k->server = sv;
	if (member_first(k) != NULL)
		set_known(k, WR_HEALTH_UP);
	else if (k->failures == 0)
		set_known(k, WR_HEALTH_CHECKING);
	if (sv->kind == WR_SERVER_SRV)
		return;
	for (const struct wr_server_conf *m = member_first(k); m != NULL;
	     m = member_next(k, m))
		update(k, m, sv->weight, sv->backup);
}

/* Names that are gone from the file, or were so when nobody looked. */
static void
leave_unnamed(const struct wr_conf *c)
{
	const struct wr_joined *j = &self.ct->roster.joined;
	const struct wr_server_conf *sv, *next;

	for (uint32_t i = 0; i < c->n_upstreams; i++) {
		sv = wr_joined_first(j, c->upstreams[i]);
		for (; sv != NULL; sv = next) {
			uint64_t o = wr_roster_entry(self.ct, sv)->origin;

			next = wr_joined_next(j, sv);
			if (o != 0 && lookup_of(o) == NULL)
				wr_roster_leave(self.ct, sv);
		}
	}
}

static void
sweep(void)
{
	wr_list_each_safe (n, &self.lookups) {
		struct lookup *k = wr_container_of(n, struct lookup, link);

		if (k->kept)
			continue;
		wr_timer_stop(self.ct->loop, &k->due);
		wr_list_remove(&k->link);
		free(k);
	}
}

static void
forget_all(void)
{
	wr_dns_close();
	wr_list_each (n, &self.lookups) {
		struct lookup *k = wr_container_of(n, struct lookup, link);

		interrupt(k);
		k->kept = false;
	}
}

/* Bounds, servers and resolv.conf may be others. */
static void
control_use(struct wr_control *ct, const struct wr_conf *c)
{
	bool any = false;

	if (!ct->roster.owns)
		return;
	forget_all();
	for (uint32_t i = 0; i < c->n_upstreams; i++) {
		const struct wr_upstream_conf *u = c->upstreams[i];

		for (uint32_t j = 0; j < u->n_servers; j++) {
			if (u->servers[j].kind == WR_SERVER_ADDR)
				continue;
			follow(&u->servers[j]);
			any = true;
		}
	}
	sweep();
	leave_unnamed(c);
	if (any)
		wr_dns_open(ct->loop, resolver());
}

static int
control_start(struct wr_control *ct)
{
	self.ct = ct;
	wr_list_init(&self.lookups);
	control_use(ct, ct->conf);
	return 0;
}

static void
control_exit(struct wr_control *ct)
{
	(void)ct;
	forget_all();
	sweep();
}

const struct wr_module wr_mod_names = {
	.name = "names",
	.control_start = control_start,
	.control_use = control_use,
	.control_exit = control_exit,
};

#else

/* Names are refused when the file is read (conf/servers.c). */
const struct wr_module wr_mod_names = { .name = "names" };

#endif
