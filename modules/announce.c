/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * announce - servers that say themselves that they are there.
 *
 *	upstreams = { app = { announce = { secret = "${file:beat.key}"; }; }; };
 *	listeners = { beats = { listen = "10.0.0.1:7000";
 *	    protocol = "heartbeat"; }; };
 *
 * A beat is one line (wire/beat.h), in a datagram or in a TCP stream, signed
 * with the upstream's secret.  The first makes a server join, others say that
 * it is still there and how busy it is; without one for `ttl`, or by a last
 * word, it leaves.  Nobody is answered, so nobody is told what was wrong.
 *
 * A beat counts once: its time must be within WINDOW_S of ours, not older than
 * the last of the same server, and not before this process began, which has
 * forgotten what came earlier.  Clocks are asked for no more than that.
 *
 * Who may speak at all, `access` of the listener says.
 */
#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/list.h"
#include "base/log.h"
#include "conf/check.h"
#include "modules/access.h"
#include "modules/hmac.h"
#include "modules/modules.h"
#include "proxy/control.h"
#include "wire/beat.h"

#define WINDOW_S 60
/* Datagrams, before others get a turn. */
#define DATAGRAMS  64
#define CONNS_MAX  256
#define CONN_MS    5000
#define SWEEP_MS   250
#define ERROR_MS   200
#define SAY_MS     10000
#define SEEN_MAX   32768
#define SEEN_TRIES 32
/* Beats of one server in one second. */
#define SAME_MAX 4

struct announce {
	bool on;
	uint32_t ttl_ms;
	const char *secret;
};

enum fate {
	TAKEN,
	BAD,
	OLD,
	REPLAYED,
	TOO_LONG,
	TOO_MANY,
	FATES
};

static const char *const fates[FATES] = { "taken", "not valid", "too old",
	"replayed", "too long", "too many" };

/* The last beats of one server, as long as they could be replayed. */
struct seen {
	uint64_t key, time_s;
	uint64_t macs[SAME_MAX];
	uint32_t n;
};

/* A socket that beats come to. */
struct ear {
	struct wr_list link;
	struct wr_sock sock;
	char *text;
	struct wr_gen *gen; /* the last one that has the listener */
	const struct wr_listener_conf *conf;
	bool stream, closing;
};

struct conn {
	struct wr_list link;
	struct wr_sock sock;
	struct wr_timer timer;
	uint32_t cell, len;
	char line[WR_BEAT_MAX + 2]; /* and \r, and one too many */
};

static struct {
	struct wr_control *ct;
	struct wr_list ears, conns;
	uint32_t n_conns;
	struct seen *seen;
	struct wr_hash_key hash;
	uint64_t began_s;
	struct wr_timer sweep, say, again;
	uint64_t ignored[FATES];
	uint32_t index;
} self;

static wr_done_fn on_datagram, on_accept, on_recv;
static wr_timer_fn on_sweep, on_say, on_conn_late, on_again;

static uint64_t
wall_s(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec;
}

static const struct announce *
conf_of(const struct wr_upstream_conf *u)
{
	const struct announce *a = u->mod != NULL ? u->mod[self.index] : NULL;

	return a != NULL && a->on ? a : NULL;
}

/* -- Replays ------------------------------------------------------------- */

/* Where the server of this key is remembered, or could be; NULL: nowhere. */
static struct seen *
seen_of(uint64_t key, uint64_t now_s)
{
	struct seen *empty = NULL;

	for (uint32_t i = 0; i < SEEN_TRIES; i++) {
		struct seen *s = &self.seen[(key + i) % SEEN_MAX];

		if (s->n > 0 && s->key == key)
			return s;
		if (empty == NULL &&
		    (s->n == 0 || s->time_s + WINDOW_S < now_s))
			empty = s;
	}
	if (empty != NULL)
		*empty = (struct seen){ .key = key };
	return empty;
}

static enum fate
check_time(const struct wr_beat_line *b, const struct wr_upstream_conf *u)
{
	uint64_t now_s = wall_s(), mac;
	struct seen *s;

	if (b->time_s + WINDOW_S < now_s || b->time_s > now_s + WINDOW_S ||
	    b->time_s < self.began_s)
		return OLD;
	s = seen_of(
	    wr_hash(&self.hash, b->name.p, b->name.len) ^ wr_hash_u64(u->cell),
	    now_s);
	if (s == NULL)
		return TOO_MANY;
	if (b->time_s < s->time_s)
		return OLD;
	memcpy(&mac, b->hmac, sizeof(mac));
	if (b->time_s > s->time_s)
		s->n = 0;
	for (uint32_t i = 0; i < s->n; i++)
		if (s->macs[i] == mac)
			return REPLAYED;
	if (s->n == SAME_MAX)
		return TOO_MANY;
	s->time_s = b->time_s;
	s->macs[s->n++] = mac;
	return TAKEN;
}

/* -- Beats --------------------------------------------------------------- */

static const struct wr_server_conf *
member_of(const struct wr_upstream_conf *u, struct wr_str name)
{
	const struct wr_joined *j = &self.ct->roster.joined;
	const struct wr_server_conf *sv = wr_joined_first(j, u);

	while (sv != NULL && (wr_roster_entry(self.ct, sv)->origin != 0 ||
				 !wr_str_is(name, sv->name)))
		sv = wr_joined_next(j, sv);
	return sv;
}

static void
leave(const struct wr_server_conf *sv, const char *why)
{
	wr_info("server %s of upstream %s leaves: %s", sv->name,
	    sv->upstream->name, why);
	wr_roster_leave(self.ct, sv);
}

/* A group has one server of a name. */
static bool
is_in_file(const struct wr_upstream_conf *u, struct wr_str name)
{
	for (uint32_t i = 0; i < u->n_servers; i++)
		if (wr_str_is(name, u->servers[i].name))
			return true;
	return false;
}

static void
obey(const struct wr_beat_line *b, const struct wr_upstream_conf *u)
{
	struct wr_ip ip = wr_ip_of(&b->address.sa, b->address.len);
	const struct wr_server_conf *sv = member_of(u, b->name);
	char name[WR_NAME_MAX];
	struct wr_newcomer n = {
		.name = name, .ip = ip, .weight = b->weight, .max_conns = WR_OFF
	};

	memcpy(name, b->name.p, b->name.len);
	name[b->name.len] = '\0';
	if (sv != NULL && b->leaving) {
		leave(sv, "it says so");
		return;
	}
	if (b->leaving)
		return;
	if (sv != NULL &&
	    memcmp(&wr_roster_entry(self.ct, sv)->ip, &ip, sizeof(ip)) != 0) {
		leave(sv, "it has another address");
		sv = NULL;
	}
	if (sv == NULL) {
		sv = wr_roster_join(self.ct, u, &n);
		if (sv == NULL)
			return;
		wr_info("server %s joins upstream %s", name, u->name);
	}
	wr_roster_change(self.ct, sv, b->weight, WR_OFF, false, WR_WANT_UP);
	wr_store(
	    &wr_roster_entry(self.ct, sv)->seen_ms, wr_loop_now(self.ct->loop));
	wr_store(&self.ct->stats->states[sv->cell].load, b->load);
}

static const struct wr_upstream_conf *
upstream_of(struct wr_str name)
{
	char text[WR_NAME_MAX];

	if (name.len >= sizeof(text))
		return NULL;
	memcpy(text, name.p, name.len);
	text[name.len] = '\0';
	return wr_conf_upstream(self.ct->conf, text);
}

static enum fate
judge(struct wr_str line)
{
	const struct wr_upstream_conf *u;
	const struct announce *a;
	struct wr_beat_line b;
	enum fate fate;

	if (line.len > WR_BEAT_MAX)
		return TOO_LONG;
	if (wr_beat_parse(&b, line) < 0)
		return BAD;
	u = upstream_of(b.upstream);
	a = u != NULL ? conf_of(u) : NULL;
	if (a == NULL || !wr_hmac_is(wr_str_of(a->secret), b.text, b.hmac) ||
	    is_in_file(u, b.name))
		return BAD;
	fate = check_time(&b, u);
	if (fate == TAKEN)
		obey(&b, u);
	return fate;
}

/* A listener's `accepted` are beats that counted, `refused` all others. */
static void
hear(uint32_t cell, struct wr_str line)
{
	struct wr_listener_count *n =
	    wr_stats_listener(self.ct->stats, self.ct->slot, cell);
	enum fate fate;

	if (line.len > 0 && line.p[line.len - 1] == '\r')
		line.len--;
	if (line.len == 0)
		return;
	fate = judge(line);
	wr_count(fate == TAKEN ? &n->accepted : &n->refused, 1);
	self.ignored[fate]++;
	if (fate != TAKEN && !wr_timer_is_set(&self.say))
		wr_timer_set(self.ct->loop, &self.say, SAY_MS / 10, on_say);
}

static void
on_say(struct wr_loop *l, struct wr_timer *t)
{
	struct wr_text text = { 0 };

	(void)l;
	(void)t;
	self.ignored[TAKEN] = 0;
	for (int i = 1; i < FATES; i++) {
		if (self.ignored[i] == 0)
			continue;
		wr_text_printf(&text, "%s%llu %s", text.len > 0 ? ", " : "",
		    (unsigned long long)self.ignored[i], fates[i]);
		self.ignored[i] = 0;
	}
	if (text.len > 0) {
		wr_warnx("beats of servers ignored: %s", text.p);
		wr_timer_set(self.ct->loop, &self.say, SAY_MS, on_say);
	}
	wr_text_fini(&text);
}

static void
on_sweep(struct wr_loop *l, struct wr_timer *t)
{
	const struct wr_conf *c = self.ct->conf;
	const struct wr_joined *j = &self.ct->roster.joined;
	const struct wr_server_conf *sv, *next;

	for (uint32_t i = 0; i < c->n_upstreams; i++) {
		const struct wr_upstream_conf *u = c->upstreams[i];
		const struct announce *a = conf_of(u);

		for (sv = wr_joined_first(j, u); sv != NULL; sv = next) {
			const struct wr_join *x = wr_roster_entry(self.ct, sv);

			next = wr_joined_next(j, sv);
			if (x->origin == 0 && a == NULL)
				leave(sv, "servers do not announce themselves "
					  "any more");
			else if (x->origin == 0 &&
				 wr_loop_now(l) - x->seen_ms >= a->ttl_ms)
				leave(sv, "no beat in time");
		}
	}
	wr_timer_set(l, t, SWEEP_MS, on_sweep);
}

/* -- Sockets ------------------------------------------------------------- */

static void
on_ear_closed(struct wr_loop *l, struct wr_sock *k)
{
	struct ear *e = wr_container_of(k, struct ear, sock);

	(void)l;
	wr_gen_put(&e->gen);
	free(e->text);
	free(e);
}

static void
ear_close(struct ear *e)
{
	if (e->closing)
		return;
	e->closing = true;
	wr_list_remove(&e->link);
	wr_close(self.ct->loop, &e->sock, on_ear_closed);
}

/* Not at once: what is missing would still be so. */
static void
ear_wait(const struct ear *e, int err)
{
	errno = -err;
	wr_error("%s: no beats are heard for a moment", e->text);
	wr_timer_set(self.ct->loop, &self.again, ERROR_MS, on_again);
}

static void
ear_start(struct ear *e)
{
	int err = e->stream ? wr_accept(self.ct->loop, &e->sock, 0, on_accept)
			    : wr_watch(self.ct->loop, &e->sock, WR_OP_READABLE,
				  on_datagram);

	if (err < 0)
		ear_wait(e, err);
}

static void
on_again(struct wr_loop *l, struct wr_timer *t)
{
	(void)l;
	(void)t;
	wr_list_each (n, &self.ears) {
		struct ear *e = wr_container_of(n, struct ear, link);

		if (e->sock.in.kind == WR_OP_NONE)
			ear_start(e);
	}
}

static void
denied(const struct ear *e)
{
	struct wr_listener_count *n =
	    wr_stats_listener(self.ct->stats, self.ct->slot, e->conf->cell);

	wr_count(&n->denied, 1);
}

static void
on_datagram(struct wr_loop *l, struct wr_op *op, const struct wr_done *d)
{
	struct ear *e = wr_container_of(wr_sock_of_in(op), struct ear, sock);
	char bytes[WR_BEAT_MAX + 3];

	(void)l;
	if (e->closing || d->res == -ECANCELED)
		return;
	if (d->res < 0) {
		ear_wait(e, d->res);
		return;
	}
	for (int i = 0; i < DATAGRAMS; i++) {
		struct wr_str line = { bytes, 0 };
		struct wr_addr from = { .len = sizeof(from.un) };
		ssize_t n = recvfrom(e->sock.fd, bytes, sizeof(bytes),
		    MSG_DONTWAIT, &from.sa, &from.len);
		struct wr_ip ip;

		if (n < 0)
			break;
		ip = wr_ip_of(&from.sa, from.len);
		if (!wr_access_lets_in(e->conf, &ip)) {
			denied(e);
			continue;
		}
		line.len = (size_t)n;
		if (n > 0 && bytes[n - 1] == '\n')
			line.len--;
		hear(e->conf->cell, line);
	}
	ear_start(e);
}

static void
on_conn_closed(struct wr_loop *l, struct wr_sock *k)
{
	(void)l;
	self.n_conns--;
	free(wr_container_of(k, struct conn, sock));
}

static void
conn_close(struct conn *c)
{
	wr_timer_stop(self.ct->loop, &c->timer);
	wr_list_remove(&c->link);
	wr_close(self.ct->loop, &c->sock, on_conn_closed);
}

static void
on_conn_late(struct wr_loop *l, struct wr_timer *t)
{
	(void)l;
	conn_close(wr_container_of(t, struct conn, timer));
}

/* False if it says too much at a time. */
static bool
conn_take(struct conn *c, const uint8_t *bytes, uint32_t len)
{
	for (uint32_t i = 0; i < len; i++) {
		if (bytes[i] == '\n') {
			hear(c->cell, (struct wr_str){ c->line, c->len });
			c->len = 0;
		} else if (c->len < sizeof(c->line)) {
			c->line[c->len++] = (char)bytes[i];
		} else {
			hear(c->cell, (struct wr_str){ c->line, c->len });
			return false;
		}
	}
	return true;
}

static void
on_recv(struct wr_loop *l, struct wr_op *op, const struct wr_done *d)
{
	struct conn *c = wr_container_of(wr_sock_of_in(op), struct conn, sock);
	struct wr_slice in = d->in;
	bool good;

	if (d->res <= 0) {
		/* The last line may have no end. */
		if (d->res == 0)
			hear(c->cell, (struct wr_str){ c->line, c->len });
		conn_close(c);
		return;
	}
	good = conn_take(c, in.mem, in.len);
	wr_slice_put(l, &in);
	if (!good || wr_recv(l, &c->sock, 0, WR_COLD, on_recv) < 0)
		conn_close(c);
}

static void
conn_new(struct wr_loop *l, struct ear *e, int fd)
{
	struct conn *c =
	    self.n_conns < CONNS_MAX ? calloc(1, sizeof(*c)) : NULL;

	if (c == NULL || wr_sock_init(l, &c->sock, fd) < 0) {
		(void)close(fd);
		free(c);
		return;
	}
	c->cell = e->conf->cell;
	self.n_conns++;
	wr_list_push(&self.conns, &c->link);
	wr_timer_set(l, &c->timer, CONN_MS, on_conn_late);
	if (wr_recv(l, &c->sock, 0, 0, on_recv) < 0)
		conn_close(c);
}

static void
on_accept(struct wr_loop *l, struct wr_op *op, const struct wr_done *d)
{
	struct ear *e = wr_container_of(wr_sock_of_in(op), struct ear, sock);

	if (d->res >= 0 && wr_access_lets_in_fd(e->conf, d->res, d)) {
		conn_new(l, e, d->res);
	} else if (d->res >= 0) {
		denied(e);
		(void)close(d->res);
	}
	if (d->flags & WR_MORE || e->closing || d->res == -ECANCELED)
		return;
	if (d->res < 0)
		ear_wait(e, d->res);
	else
		ear_start(e);
}

static bool
control_listen(struct wr_control *ct, struct wr_gen *g,
    const struct wr_listener_conf *c, const char *text, int fd)
{
	struct ear *e;

	if (c->protocol != WR_HEARTBEAT)
		return false;
	e = calloc(1, sizeof(*e));
	if (e == NULL)
		return false;
	e->text = strdup(text);
	if (e->text == NULL || wr_sock_init(ct->loop, &e->sock, fd) < 0) {
		free(e->text);
		free(e);
		return false;
	}
	e->gen = wr_gen_get(g);
	e->conf = c;
	e->stream = !wr_str_starts(wr_str_of(text), "udp:");
	wr_list_push(&self.ears, &e->link);
	ear_start(e);
	return true;
}

static void
control_unlisten(struct wr_control *ct, const char *text)
{
	(void)ct;
	wr_list_each_safe (n, &self.ears) {
		struct ear *e = wr_container_of(n, struct ear, link);

		if (strcmp(e->text, text) == 0)
			ear_close(e);
	}
}

/* -- Life of control ----------------------------------------------------- */

static int
control_start(struct wr_control *ct)
{
	self.ct = ct;
	for (self.index = 0; wr_modules[self.index] != &wr_mod_announce;)
		self.index++;
	wr_list_init(&self.ears);
	wr_list_init(&self.conns);
	self.hash.k[0] = wr_random_u64(&ct->random);
	self.hash.k[1] = wr_random_u64(&ct->random);
	self.began_s = wall_s();
	self.seen = calloc(SEEN_MAX, sizeof(*self.seen));
	if (self.seen == NULL)
		return -ENOMEM;
	wr_timer_set(ct->loop, &self.sweep, SWEEP_MS, on_sweep);
	return 0;
}

/* A listener that is gone hears who still speaks as it did. */
static void
control_use(struct wr_control *ct, const struct wr_conf *c)
{
	wr_list_each (n, &self.ears) {
		struct ear *e = wr_container_of(n, struct ear, link);
		const struct wr_listener_conf *now =
		    wr_conf_listener_at(c, e->conf->cell);

		if (now == NULL)
			continue;
		wr_gen_put(&e->gen);
		e->gen = wr_gen_get(ct->gen);
		e->conf = now;
	}
}

static void
control_exit(struct wr_control *ct)
{
	wr_timer_stop(ct->loop, &self.sweep);
	wr_timer_stop(ct->loop, &self.say);
	wr_timer_stop(ct->loop, &self.again);
	wr_list_each_safe (n, &self.ears)
		ear_close(wr_container_of(n, struct ear, link));
	wr_list_each_safe (m, &self.conns)
		conn_close(wr_container_of(m, struct conn, link));
	free(self.seen);
	self.seen = NULL;
}

/* -- Configuration ------------------------------------------------------- */

static const struct wr_key keys[] = {
	{ "on", WR_BOOL, offsetof(struct announce, on), "false",
	    "servers may announce themselves", WR_LIVE },
	{ "ttl", WR_TIME, offsetof(struct announce, ttl_ms), "90s",
	    "a server leaves after so long without a beat", WR_LIVE, .min = 100,
	    .max = 86400000 },
	{ "secret", WR_SECRET, offsetof(struct announce, secret), "",
	    "what beats are signed with", WR_LIVE },
	{ 0 },
};

static void
check(struct wr_check *c, const struct wr_node *n, void *value)
{
	const struct announce *a = value;

	if (a->on && strlen(a->secret) < 16)
		wr_check_error(c, n,
		    "a secret of 16 letters or more is needed, so that nobody "
		    "else can announce servers");
}

const struct wr_module wr_mod_announce = {
	.name = "announce",
	.conf = { .name = "announce",
	    .keys = keys,
	    .size = sizeof(struct announce),
	    .at = WR_AT_UPSTREAM,
	    .help = "servers announce themselves",
	    .check = check },
	.control_start = control_start,
	.control_use = control_use,
	.control_exit = control_exit,
	.control_listen = control_listen,
	.control_unlisten = control_unlisten,
};
