/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * eject - take servers out on which sessions fail.
 *
 *	eject = { failures = 5; window = "10s"; for = "10s"; max_for = "5m"; };
 *
 * After `failures` within any `window` a server gets no sessions for `for`,
 * twice as long each time, up to `max_for`; time without failures is forgiven
 * at the same rate.  Then one session tries it; only if that one does well it
 * is back.  An active check that fails, and then passes, makes it begin at
 * once.  At most `max_percent` of a group are out at a time, so a group of
 * one never is.  If no other server is left, those that are ejected are used
 * (`panic`), but never one that fails its active check.
 */
#include "modules/eject.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "modules/modules.h"
#include "proxy/core.h"

/* Panic is mentioned again after so long without it. */
#define CALM_MS 10000

/* -- The state of one server --------------------------------------------- */

static bool
swap(uint64_t *p, uint64_t old, uint64_t now)
{
	return __atomic_compare_exchange_n(
	    p, &old, now, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

/* Since when it is back, if it is. */
static uint64_t
back_since_ms(const struct wr_server_state *x)
{
	uint64_t until_ms = wr_load(&x->eject_until_ms);
	uint64_t trial_ms = wr_load(&x->eject_trial_ms);

	return until_ms > trial_ms ? until_ms : trial_ms;
}

/* Note a failure.  Are there enough of them now, since it was last back? */
static bool
enough(
    struct wr_server_state *x, const struct wr_eject_conf *c, uint64_t now_ms)
{
	uint64_t back_ms = back_since_ms(x);
	uint32_t i = __atomic_fetch_add(&x->failed_next, 1, __ATOMIC_RELAXED);
	uint32_t first = i + 1 - c->failures;
	uint64_t age;

	wr_store(&x->failed_ms[i % WR_FAILURES], now_ms);
	(void)__atomic_fetch_add(&x->eject_failures, 1, __ATOMIC_RELAXED);
	if (i + 1 < c->failures)
		return false;
	age = now_ms - wr_load(&x->failed_ms[first % WR_FAILURES]);
	return age < c->window_ms && (back_ms == 0 || age <= now_ms - back_ms);
}

static uint32_t
out(const struct wr_server_state *states, const struct wr_eject_group *g,
    uint64_t now_ms)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < g->n; i++)
		n += wr_server_ejected(&states[g->cells[i]], now_ms) !=
		     WR_EJECT_NOT;
	return n;
}

static bool
too_many(const struct wr_eject_group *g, uint32_t n)
{
	return (uint64_t)n * 100 > (uint64_t)g->n * g->conf.max_percent;
}

/* Ejections that are not forgiven: each is, after as much time back as the
 * last one took. */
static uint32_t
times(const struct wr_server_state *x, bool was_out, uint64_t now_ms)
{
	uint64_t back_ms = back_since_ms(x), forgiven = 0;
	uint32_t n = wr_load(&x->eject_times), ms = wr_load(&x->eject_ms);

	if (!was_out && ms > 0 && now_ms > back_ms)
		forgiven = (now_ms - back_ms) / ms;
	return forgiven < n ? n - (uint32_t)forgiven : 0;
}

static uint32_t
length_ms(const struct wr_eject_conf *c, uint32_t n)
{
	uint64_t ms = c->for_ms;

	while (n-- > 0 && ms < c->max_for_ms)
		ms *= 2;
	return ms < c->max_for_ms ? (uint32_t)ms : c->max_for_ms;
}

static bool
eject(struct wr_server_state *states, const struct wr_eject_group *g,
    uint32_t cell, enum wr_news why, uint64_t now_ms)
{
	struct wr_server_state *x = &states[cell];
	uint64_t old = wr_load(&x->eject_until_ms);
	bool was_out = wr_server_ejected(x, now_ms) != WR_EJECT_NOT;
	uint32_t n = times(x, was_out, now_ms), ms = length_ms(&g->conf, n);

	if (!was_out && too_many(g, out(states, g, now_ms) + 1))
		return false;
	if (!swap(&x->eject_until_ms, old, now_ms + ms))
		return false;
	/* Another worker may have ejected another server meanwhile. */
	if (!was_out && too_many(g, out(states, g, now_ms))) {
		(void)swap(&x->eject_until_ms, now_ms + ms, old);
		return false;
	}
	wr_store(&x->eject_trial_ms, 0);
	wr_store(&x->eject_times, n + 1);
	wr_store(&x->eject_ms, ms);
	wr_store(&x->eject_cause, (uint32_t)why);
	(void)__atomic_fetch_add(&x->ejections, 1, __ATOMIC_RELAXED);
	return true;
}

bool
wr_eject_failed(struct wr_server_state *states, const struct wr_eject_group *g,
    uint32_t cell, bool trial, enum wr_news why, uint64_t sent_ms,
    uint64_t now_ms)
{
	struct wr_server_state *x = &states[cell];

	switch (wr_server_ejected(x, now_ms)) {
	case WR_EJECT_NOT:
		/* One that was there before it was back says nothing of now. */
		return sent_ms >= back_since_ms(x) &&
		       enough(x, &g->conf, now_ms) &&
		       eject(states, g, cell, why, now_ms);
	case WR_EJECT_TRIED:
		return trial && eject(states, g, cell, why, now_ms);
	default:
		/* Sessions that it had before. */
		return false;
	}
}

bool
wr_eject_passed(struct wr_server_state *x, uint64_t now_ms)
{
	uint64_t trial_ms = wr_load(&x->eject_trial_ms);

	return wr_server_ejected(x, now_ms) == WR_EJECT_TRIED &&
	       swap(&x->eject_trial_ms, trial_ms, now_ms);
}

void
wr_eject_undecided(struct wr_server_state *x, uint64_t now_ms)
{
	uint64_t trial_ms = wr_load(&x->eject_trial_ms);

	if (wr_server_ejected(x, now_ms) == WR_EJECT_TRIED)
		(void)swap(&x->eject_trial_ms, trial_ms, 0);
}

void
wr_eject_cut_short(struct wr_server_state *x, uint64_t now_ms)
{
	uint64_t until_ms = wr_load(&x->eject_until_ms);

	/* Not if a worker ejects it just now. */
	if (until_ms > now_ms)
		(void)swap(&x->eject_until_ms, until_ms, now_ms);
}

/* -- Configuration ------------------------------------------------------- */

#define KEY(key, type, member, preset, what)                                   \
	key, type, offsetof(struct wr_eject_conf, member), preset,             \
	    .help = what, .effect = WR_LIVE

static const struct wr_key keys[] = {
	{ KEY("on", WR_BOOL, on, "true",
	    "take servers out on which sessions "
	    "fail") },
	{ KEY("failures", WR_INT, failures, "5",
	      "failures within `window` that eject a server"),
	    .min = 1, .max = WR_FAILURES },
	{ KEY("window", WR_TIME, window_ms, "10s",
	      "the stretch of time in which failures count"),
	    .min = 10, .max = 86400000 },
	{ KEY("for", WR_TIME, for_ms, "10s",
	      "length of the first ejection; doubles each time"),
	    .min = 10, .max = 86400000 },
	{ KEY("max_for", WR_TIME, max_for_ms, "5m", "the longest ejection"),
	    .min = 10, .max = 86400000 },
	{ KEY("max_percent", WR_INT, max_percent, "50",
	      "share of a group that may be ejected at a time"),
	    .min = 0, .max = 100 },
	{ KEY("panic", WR_BOOL, panic, "true",
	    "use an ejected server rather than none") },
	{ 0 },
};

/* By cell of the upstream, made when the first of its sessions fails and there
 * until servers may have changed. */
static struct wr_eject_group **groups;
static uint32_t own_index;

static void
free_groups(void)
{
	for (uint32_t i = 0; groups != NULL && i < WR_UPSTREAM_CELLS; i++)
		free(groups[i]);
	free(groups);
	groups = NULL;
}

static struct wr_eject_group *
make_group(const struct wr_proxy *px, const struct wr_upstream_conf *u)
{
	const struct wr_joined *j = &px->joined;
	const struct wr_eject_conf *c = u->mod[own_index];
	const struct wr_server_conf *sv;
	struct wr_eject_group *g;
	uint32_t n = 0;

	for (sv = wr_servers_first(j, u); sv; sv = wr_servers_next(j, u, sv))
		n++;
	g = malloc(sizeof(*g) + n * sizeof(g->cells[0]));
	if (g == NULL) {
		wr_error("eject: upstream %s", u->name);
		return NULL;
	}
	g->conf = *c;
	/* Names of DNS are none: their addresses are. */
	g->n = 0;
	for (sv = wr_servers_first(j, u); sv; sv = wr_servers_next(j, u, sv))
		if (sv->addr.len > 0)
			g->cells[g->n++] = sv->cell;
	return g;
}

/* NULL if nobody is ejected there, or the upstream is there no more. */
static const struct wr_eject_group *
group_of(const struct wr_proxy *px, uint32_t cell)
{
	const struct wr_upstream_conf *u =
	    wr_conf_upstream_at(px->gen->conf, cell);
	const struct wr_eject_conf *c =
	    u != NULL && u->mod != NULL ? u->mod[own_index] : NULL;

	if (c == NULL || !c->on)
		return NULL;
	if (groups == NULL)
		groups = calloc(WR_UPSTREAM_CELLS, sizeof(*groups));
	if (groups == NULL) {
		wr_error("eject");
		return NULL;
	}
	if (groups[cell] == NULL)
		groups[cell] = make_group(px, u);
	return groups[cell];
}

static void
use(struct wr_proxy *px, const struct wr_conf *c)
{
	(void)px;
	(void)c;
	free_groups();
}

static int
start(struct wr_proxy *px)
{
	for (own_index = 0; wr_modules[own_index] != &wr_mod_eject;)
		own_index++;
	(void)px;
	return 0;
}

static void
joins(struct wr_proxy *px)
{
	(void)px;
	free_groups();
}

static void
finish(struct wr_proxy *px)
{
	(void)px;
	free_groups();
}

/* -- News of sessions ---------------------------------------------------- */

static const char *const whys[] = {
	[WR_NEWS_REFUSED] = "connection refused",
	[WR_NEWS_TIMEOUT] = "time-out of connect",
	[WR_NEWS_RESET] = "reset while connecting",
	[WR_NEWS_UNREACHABLE] = "unreachable",
	[WR_NEWS_MUTE] = "no first byte in time",
	[WR_NEWS_EARLY_RESET] = "reset before the first byte",
};

static const char *
seconds(uint32_t ms, char *text, size_t size)
{
	if (ms % 1000 == 0)
		(void)snprintf(text, size, "%us", ms / 1000);
	else
		(void)snprintf(text, size, "%ums", ms);
	return text;
}

static const char *
server_name(const struct wr_session *s)
{
	return wr_stats_server_name(s->px->stats, s->server_cell);
}

static const char *
group_name(const struct wr_session *s)
{
	return s->px->stats->upstream_cells[s->upstream_cell].name;
}

/* At the latest: when one that was tried again was sent is not known. */
static uint64_t
sent_ms(const struct wr_session *s)
{
	uint64_t now_ms = wr_loop_now(s->px->loop);

	return s->tries > 1 ? now_ms
			    : now_ms - (wr_session_age_ms(s) - s->dial_ms);
}

static void
failed(struct wr_session *s, const struct wr_eject_group *g, enum wr_news why)
{
	struct wr_proxy *px = s->px;
	const struct wr_eject_conf *c = &g->conf;
	char length[24], window[24];
	bool trial = s->trial;

	s->trial = false;
	if (!wr_eject_failed(px->stats->states, g, s->server_cell, trial, why,
		sent_ms(s), wr_loop_now(px->loop)))
		return;
	(void)seconds(
	    px->stats->states[s->server_cell].eject_ms, length, sizeof(length));
	if (trial)
		wr_warnx("server %s of upstream %s is ejected for %s, %u in "
			 "a row: the trial failed: %s",
		    server_name(s), group_name(s), length,
		    wr_load(&px->stats->states[s->server_cell].eject_times),
		    whys[why]);
	else
		wr_warnx("server %s of upstream %s is ejected for %s: %u "
			 "failures within %s, the last: %s",
		    server_name(s), group_name(s), length, c->failures,
		    seconds(c->window_ms, window, sizeof(window)), whys[why]);
}

static void
passed(struct wr_session *s)
{
	struct wr_proxy *px = s->px;

	s->trial = false;
	if (wr_eject_passed(
		&px->stats->states[s->server_cell], wr_loop_now(px->loop)))
		wr_notice("server %s of upstream %s is back: the trial went "
			  "well",
		    server_name(s), group_name(s));
}

/* A trial must get as far as those did not that ejected it. */
static bool
is_proof(const struct wr_session *s, enum wr_news news)
{
	uint32_t cause =
	    wr_load(&s->px->stats->states[s->server_cell].eject_cause);

	return news == WR_NEWS_ANSWERED ||
	       (cause != WR_NEWS_MUTE && cause != WR_NEWS_EARLY_RESET);
}

static void
on_server(struct wr_session *s, enum wr_news news)
{
	const struct wr_eject_group *g;

	if (news != WR_NEWS_CONNECTED && news != WR_NEWS_ANSWERED) {
		g = group_of(s->px, s->upstream_cell);
		if (g != NULL)
			failed(s, g, news);
		return;
	}
	if (s->trial && is_proof(s, news))
		passed(s);
}

static void
on_end(struct wr_session *s)
{
	if (!s->trial)
		return;
	s->trial = false;
	wr_eject_undecided(
	    &s->px->stats->states[s->server_cell], wr_loop_now(s->px->loop));
}

static bool
on_none(struct wr_proxy *px, const struct wr_upstream_conf *u, const void *conf)
{
	struct wr_upstream_state *x = &px->stats->group_states[u->cell];
	const struct wr_eject_conf *c = conf;
	uint64_t now_ms = wr_loop_now(px->loop), last = wr_load(&x->panic_ms);

	if (c == NULL || !c->panic)
		return false;
	(void)__atomic_fetch_add(&x->panics, 1, __ATOMIC_RELAXED);
	if (now_ms == last || !swap(&x->panic_ms, last, now_ms))
		return true;
	if (last == 0 || now_ms - last > CALM_MS)
		wr_warnx("upstream %s: no server is left but those that are "
			 "ejected: using them (panic)",
		    u->name);
	return true;
}

const struct wr_module wr_mod_eject = {
	.name = "eject",
	.conf = { .name = "eject",
	    .keys = keys,
	    .size = sizeof(struct wr_eject_conf),
	    .at = WR_AT_TOP | WR_AT_UPSTREAM,
	    .help = "take servers out on which sessions fail" },
	.on_end = on_end,
	.worker_start = start,
	.worker_use = use,
	.worker_exit = finish,
	.worker_joins = joins,
	.on_server = on_server,
	.on_none = on_none,
};
