/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * health - check servers actively: one prober, in control, for all workers.
 *
 *	health = { type = "http"; uri = "/ready"; interval = "2s"; fall = 3; };
 *
 * What is known of a server lies in shared memory, so that it outlives workers
 * and control, and stays over a reload unless the check asks something else.
 * Checks of one server never overlap.
 */
#include "modules/health/health.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "base/list.h"
#include "base/log.h"
#include "base/pool.h"
#include "modules/eject.h"
#include "modules/health/probe.h"
#include "modules/modules.h"
#include "proxy/control.h"

/* Probes that run at the same time; others wait for a place. */
#define RUNNING_MAX 1024
#define PLACE_MS    20
/* First checks of many servers are spread, so many ms a server. */
#define SPREAD_MS     2
#define SPREAD_MAX_MS 2000

/* The check of one upstream's servers in the generation in use. */
struct watch {
	struct wr_list link;
	const struct wr_upstream_conf *upstream;
	const struct wr_health_conf *conf;
	struct wr_patterns patterns;
	bool compiled;
};

/* One server that is checked. */
struct target {
	struct wr_list link;
	struct watch *watch;
	const struct wr_server_conf *server;
	uint32_t cell;
	struct wr_probe probe;
	struct wr_timer due;
	struct wr_pace pace;
	char host[WR_ADDR_TEXT];
	bool kept; /* the generation in use names it */
};

static struct {
	struct wr_control *ct;
	struct wr_list watches, targets;
	struct target **by_cell;
	struct wr_pool places; /* memory of running probes */
	uint32_t index;        /* of our group's values */
} self;

static wr_timer_fn on_due;
static wr_probe_done_fn on_done;

static struct wr_server_state *
state_of(const struct target *t)
{
	return &self.ct->stats->states[t->cell];
}

static enum wr_health
health_of(const struct target *t)
{
	return (enum wr_health)wr_load(&state_of(t)->health);
}

/* -- When ---------------------------------------------------------------- */

static void
set_due(struct target *t, uint64_t at_ms)
{
	uint64_t now_ms = wr_loop_now(self.ct->loop);

	wr_timer_set(self.ct->loop, &t->due,
	    at_ms > now_ms ? at_ms - now_ms : 0, on_due);
}

static uint32_t
period_ms(const struct target *t)
{
	return wr_health_period_ms(
	    t->watch->conf, health_of(t), wr_load(&state_of(t)->check_streak));
}

static void
set_next(struct target *t)
{
	enum wr_health h = health_of(t);
	bool regular =
	    h != WR_HEALTH_CHECKING && wr_load(&state_of(t)->check_streak) == 0;

	set_due(t, wr_pace_next(&t->pace, &self.ct->random,
		       wr_loop_now(self.ct->loop), period_ms(t), regular));
}

/* The operator has taken it down: it is not asked, and will have to pass a
 * check before it is used again. */
static bool
is_wanted(struct target *t)
{
	if (t->server->want != WR_WANT_DOWN &&
	    wr_load(&state_of(t)->want) != WR_WANT_DOWN)
		return true;
	if (health_of(t) != WR_HEALTH_CHECKING) {
		wr_store(&state_of(t)->check_streak, 0);
		wr_control_health(self.ct, t->cell, WR_HEALTH_CHECKING);
	}
	return false;
}

static bool
compile(struct watch *w)
{
	if (!w->compiled)
		w->compiled = wr_patterns_init(&w->patterns, w->conf) == 0;
	return w->compiled;
}

static void
on_due(struct wr_loop *l, struct wr_timer *timer)
{
	struct target *t = wr_container_of(timer, struct target, due);
	uint64_t now_ms = wr_loop_now(l);
	struct wr_addr to;
	uint8_t *place;
	int err;

	if (!is_wanted(t)) {
		set_due(t, now_ms + t->watch->conf->fast_ms);
		return;
	}
	place = wr_pool_get(&self.places);
	if (place == NULL || !compile(t->watch)) {
		if (place != NULL)
			wr_pool_put(&self.places, place);
		set_due(t, now_ms + PLACE_MS);
		return;
	}
	to = wr_health_target(t->watch->conf, &t->server->addr);
	t->probe.conf = t->watch->conf;
	t->probe.patterns = &t->watch->patterns;
	err = wr_probe_start(&t->probe, l, &to, place);
	if (err == 0)
		return;
	wr_pool_put(&self.places, place);
	errno = -err;
	wr_warn("health: servers cannot be checked");
	set_next(t);
}

/* -- What came of it ----------------------------------------------------- */

static void
say(const struct target *t, enum wr_health h)
{
	const char *server = t->server->name;
	const char *upstream = t->watch->upstream->name;

	if (h == WR_HEALTH_UP)
		wr_notice("server %s of upstream %s is up: %s", server,
		    upstream, t->probe.why);
	else
		wr_warnx("server %s of upstream %s is down: %s", server,
		    upstream, t->probe.why);
}

static void
conclude(struct target *t, bool good)
{
	struct wr_server_state *x = state_of(t);
	enum wr_health was = health_of(t), is;
	uint32_t streak = wr_load(&x->check_streak);

	wr_count(&x->checks, 1);
	wr_count(&x->check_failures, good ? 0 : 1);
	wr_store(&x->check_us, t->probe.took_us);
	wr_store(&x->checked_ms, wr_loop_now(self.ct->loop));
	if (!good)
		wr_debug("server %s of upstream %s: check: %s", t->server->name,
		    t->watch->upstream->name, t->probe.why);
	is = wr_health_after(t->watch->conf, was, good, &streak);
	wr_store(&x->check_streak, streak);
	if (is == was)
		return;
	/* What sessions met is what the check found. */
	if (was == WR_HEALTH_DOWN)
		wr_eject_cut_short(x, wr_loop_now(self.ct->loop));
	wr_control_health(self.ct, t->cell, is);
	say(t, is);
}

static void
target_free(struct target *t)
{
	assert(!t->probe.running);
	wr_timer_stop(self.ct->loop, &t->due);
	wr_list_remove(&t->link);
	free(t);
}

static void
on_done(struct wr_probe *p, enum wr_probed how)
{
	struct target *t = wr_container_of(p, struct target, probe);

	wr_pool_put(&self.places, p->bytes);
	if (!t->kept) {
		target_free(t);
		return;
	}
	if (how == WR_PROBE_STOPPED) {
		set_due(t, 0);
		return;
	}
	if (how == WR_PROBE_OURS)
		wr_warnx("health: servers cannot be checked: %s", p->why);
	else
		conclude(t, how == WR_PROBE_GOOD);
	set_next(t);
}

/* -- Whom ---------------------------------------------------------------- */

static struct target *
target_new(uint32_t cell)
{
	struct target *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return NULL;
	t->cell = cell;
	t->probe.host = t->host;
	t->probe.done = on_done;
	wr_list_push(&self.targets, &t->link);
	self.by_cell[cell] = t;
	return t;
}

/* A running probe that still asks the same goes on by the new words. */
static void
adopt(struct target *t, struct watch *w, const struct wr_server_conf *sv)
{
	t->kept = true;
	t->watch = w;
	t->server = sv;
	t->probe.conf = w->conf;
	t->probe.patterns = &w->patterns;
	if (sv->addr.sa.sa_family == AF_UNIX)
		(void)memcpy(t->host, "localhost", sizeof("localhost"));
	else
		(void)wr_addr_text(&sv->addr, t->host, sizeof(t->host));
}

static void
follow(struct watch *w, const struct wr_server_conf *sv, uint32_t spread_ms)
{
	struct target *t = self.by_cell[sv->cell];
	uint64_t hash = wr_health_hash(w->conf, &sv->addr);
	struct wr_server_state *x = &self.ct->stats->states[sv->cell];
	bool fresh = t == NULL, same = wr_load(&x->check) == hash &&
				       wr_load(&x->health) != WR_HEALTH_NONE;

	if (fresh)
		t = target_new(sv->cell);
	if (t == NULL) {
		wr_error("health: server %s of upstream %s", sv->name,
		    w->upstream->name);
		return;
	}
	adopt(t, w, sv);
	if (!same) {
		wr_store(&x->check, hash);
		wr_store(&x->check_streak, 0);
		wr_control_health(self.ct, sv->cell, WR_HEALTH_CHECKING);
	}
	if (t->probe.running && same && compile(w))
		return;
	if (t->probe.running)
		wr_probe_stop(&t->probe);
	else if (fresh || !same)
		set_due(t, wr_pace_first(&t->pace, &self.ct->random,
			       wr_loop_now(self.ct->loop), spread_ms));
	else if (t->pace.period_ms != period_ms(t))
		set_next(t);
}

/* The group is off for this server. */
static void
forget(const struct wr_server_conf *sv)
{
	struct wr_server_state *x = &self.ct->stats->states[sv->cell];

	if (wr_load(&x->health) == WR_HEALTH_NONE)
		return;
	wr_store(&x->check, 0);
	wr_store(&x->check_streak, 0);
	wr_control_health(self.ct, sv->cell, WR_HEALTH_NONE);
}

static void
watch_free(struct watch *w)
{
	wr_list_remove(&w->link);
	wr_patterns_fini(&w->patterns);
	free(w);
}

static struct watch *
watch_new(const struct wr_upstream_conf *u, const struct wr_health_conf *c)
{
	struct watch *w = calloc(1, sizeof(*w));

	if (w == NULL) {
		wr_error("health: upstream %s", u->name);
		return NULL;
	}
	w->upstream = u;
	w->conf = c;
	wr_list_push(&self.watches, &w->link);
	return w;
}

/* How the group is checked, or NULL. */
static const struct wr_health_conf *
checks_of(const struct wr_upstream_conf *u)
{
	const struct wr_health_conf *c =
	    u->mod != NULL ? u->mod[self.index] : NULL;

	return c != NULL && c->on ? c : NULL;
}

static void
follow_all(const struct wr_upstream_conf *u, uint32_t spread_ms)
{
	const struct wr_health_conf *c = checks_of(u);
	struct watch *w = c != NULL ? watch_new(u, c) : NULL;
	const struct wr_joined *j = &self.ct->roster.joined;
	const struct wr_server_conf *sv = wr_servers_first(j, u);

	for (; sv != NULL; sv = wr_servers_next(j, u, sv)) {
		/* The state of a name is not ours. */
		if (sv->addr.len == 0)
			continue;
		if (w == NULL)
			forget(sv);
		else
			follow(w, sv, spread_ms);
	}
}

static void
drop(struct target *t)
{
	t->kept = false;
	if (self.by_cell[t->cell] == t)
		self.by_cell[t->cell] = NULL;
	wr_timer_stop(self.ct->loop, &t->due);
	if (t->probe.running)
		wr_probe_stop(&t->probe);
	else
		target_free(t);
}

/* Those that the generation in use does not name. */
static void
sweep(void)
{
	wr_list_each_safe (n, &self.targets) {
		struct target *t = wr_container_of(n, struct target, link);

		if (!t->kept)
			drop(t);
	}
}

static void
control_join(struct wr_control *ct, const struct wr_server_conf *sv)
{
	(void)ct;
	wr_list_each (n, &self.watches) {
		struct watch *w = wr_container_of(n, struct watch, link);

		if (w->upstream == sv->upstream)
			follow(w, sv, 0);
	}
}

static void
control_leave(struct wr_control *ct, const struct wr_server_conf *sv)
{
	(void)ct;
	if (self.by_cell[sv->cell] != NULL)
		drop(self.by_cell[sv->cell]);
}

static uint32_t
spread(const struct wr_conf *c)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < c->n_upstreams; i++)
		if (checks_of(c->upstreams[i]) != NULL)
			n += c->upstreams[i]->n_servers;
	return n * SPREAD_MS < SPREAD_MAX_MS ? n * SPREAD_MS : SPREAD_MAX_MS;
}

static void
control_use(struct wr_control *ct, const struct wr_conf *c)
{
	struct wr_list old;
	uint32_t spread_ms = spread(c);

	(void)ct;
	wr_list_init(&old);
	wr_list_each_safe (n, &self.watches) {
		wr_list_remove(n);
		wr_list_push(&old, n);
	}
	wr_list_each (n, &self.targets)
		wr_container_of(n, struct target, link)->kept = false;
	for (uint32_t i = 0; i < c->n_upstreams; i++)
		follow_all(c->upstreams[i], spread_ms);
	sweep();
	wr_list_each_safe (n, &old)
		watch_free(wr_container_of(n, struct watch, link));
}

/* -- Life of control ----------------------------------------------------- */

static uint32_t
own_index(void)
{
	uint32_t i = 0;

	while (wr_modules[i] != &wr_mod_health)
		i++;
	return i;
}

static int
control_start(struct wr_control *ct)
{
	int err;

	self.ct = ct;
	self.index = own_index();
	wr_list_init(&self.watches);
	wr_list_init(&self.targets);
	self.by_cell = calloc(WR_SERVER_CELLS, sizeof(struct target *));
	if (self.by_cell == NULL)
		return -ENOMEM;
	err = wr_pool_init(&self.places, WR_PROBE_BYTES, 64, RUNNING_MAX);
	if (err < 0)
		return err;
	control_use(ct, ct->conf);
	return 0;
}

/* Running probes end by the close of their sockets, at the end of a turn. */
static void
control_exit(struct wr_control *ct)
{
	(void)ct;
	wr_list_each (n, &self.targets)
		wr_container_of(n, struct target, link)->kept = false;
	sweep();
	wr_list_each_safe (n, &self.watches)
		watch_free(wr_container_of(n, struct watch, link));
	free(self.by_cell);
	self.by_cell = NULL;
}

const struct wr_module wr_mod_health = {
	.name = "health",
	.conf = { .name = "health",
	    .keys = wr_health_keys,
	    .size = sizeof(struct wr_health_conf),
	    .at = WR_AT_TOP | WR_AT_UPSTREAM,
	    .principal = "type",
	    .help = "check servers actively, once for all workers",
	    .check = wr_health_check,
	    .own = true },
	.control_start = control_start,
	.control_use = control_use,
	.control_exit = control_exit,
	.control_join = control_join,
	.control_leave = control_leave,
};
