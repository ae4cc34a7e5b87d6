/* SPDX-License-Identifier: BSD-2-Clause */
/* proxy - see proxy.h. */
#include "proxy/proxy.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "proxy/core.h"
#include "proxy/dial.h"
#include "proxy/door.h"

/* Clients that the kernel accepts before it hears that we are full; they wait.
 */
#define OVERFLOW 1024

/* Sessions that are cut: no more often than this. */
#define CUT_MS 10

static wr_timer_fn on_drain_timer;

/* -- Servers that join and leave ----------------------------------------- */

/* Control may use their cells again when it has heard this. */
static void
tell_seen(struct wr_proxy *px)
{
	__atomic_store_n(
	    &px->slot->joins_seen, px->joined.seen, __ATOMIC_RELEASE);
}

void
wr_proxy_joins(struct wr_proxy *px)
{
	if (!wr_joined_stale(&px->joined))
		return;
	wr_joined_look(&px->joined);
	wr_policy_joins(px);
	for (unsigned i = 0; px->modules[i] != NULL; i++)
		if (px->modules[i]->worker_joins != NULL)
			px->modules[i]->worker_joins(px);
	tell_seen(px);
}

/* -- Everything that happens once a turn --------------------------------- */

static void
on_turn_end(struct wr_loop *l, struct wr_hook *h)
{
	struct wr_proxy *px = wr_container_of(h, struct wr_proxy, turn_end);

	(void)l;
	if (px->admit) {
		px->admit = false;
		wr_dial_admit(px);
	}
}

/* Buffers are missing: end the session whose reader has kept some for
 * longest. */
static void
on_pressure(struct wr_loop *l, void *arg)
{
	struct wr_proxy *px = arg;
	struct wr_session *worst = NULL;
	uint32_t worst_ms = 0, ms;

	wr_list_each (n, &px->in[WR_RELAY]) {
		struct wr_session *s =
		    wr_container_of(n, struct wr_session, link);

		for (unsigned side = 0; side < 2; side++) {
			struct wr_conn *c = wr_session_conn(s, side);

			ms = wr_relay_stalled_ms(l, c);
			if (ms <= worst_ms || !wr_send_pins(&c->sock))
				continue;
			worst = s;
			worst_ms = ms;
		}
	}
	if (worst != NULL)
		wr_session_end(worst, WR_END_WEIR_RELAY_BUFFERS);
}

/* -- Beginning and end --------------------------------------------------- */

static int
init(struct wr_proxy *px, const struct wr_proxy_opts *o, struct wr_gen *g)
{
	int err;

	px->loop = o->loop;
	px->stats = o->stats;
	px->slot_index = o->slot;
	px->slot = &o->stats->slots[o->slot];
	px->modules = o->modules;
	px->access_fd = o->access_fd;
	px->sessions_max = o->sessions_max;
	px->gen = wr_gen_get(g);
	px->uses = 1;
	wr_list_init(&px->doors);
	wr_list_init(&px->turn_end.link);
	for (int i = 0; i < WR_STATES; i++)
		wr_list_init(&px->in[i]);
	px->servers = calloc(WR_SERVER_CELLS, sizeof(*px->servers));
	px->dooms = calloc(WR_SERVER_CELLS, sizeof(*px->dooms));
	if (px->servers == NULL || px->dooms == NULL)
		return -ENOMEM;
	err = wr_joined_init(&px->joined, px->stats);
	if (err < 0)
		return err;
	return wr_pool_init(&px->sessions, sizeof(struct wr_session), 64,
	    o->sessions_max + OVERFLOW);
}

static int
start_modules(struct wr_proxy *px)
{
	int err;

	for (unsigned i = 0; px->modules[i] != NULL; i++) {
		if (px->modules[i]->worker_start == NULL)
			continue;
		err = px->modules[i]->worker_start(px);
		if (err < 0)
			return err;
	}
	return 0;
}

struct wr_proxy *
wr_proxy_new(const struct wr_proxy_opts *o, struct wr_gen *g)
{
	struct wr_proxy *px = calloc(1, sizeof(*px));
	struct timespec ts;
	int err;

	if (px == NULL)
		return NULL;
	err = init(px, o, g);
	if (err == 0) {
		clock_gettime(CLOCK_MONOTONIC, &ts);
		wr_random_seed(&px->random,
		    (uint64_t)ts.tv_nsec * (o->slot + 1) + o->slot);
		wr_hooks_init(px);
		wr_joined_use(&px->joined, g->conf);
		tell_seen(px);
		err = start_modules(px);
	}
	if (err < 0) {
		wr_proxy_free(&px);
		errno = -err;
		return NULL;
	}
	px->turn_end.fn = on_turn_end;
	wr_loop_at_end(px->loop, &px->turn_end);
	wr_loop_on_pressure(px->loop, on_pressure, px);
	return px;
}

void
wr_proxy_free(struct wr_proxy **pp)
{
	struct wr_proxy *px = *pp;

	if (px == NULL)
		return;
	assert(wr_list_empty(&px->doors));
	for (unsigned i = 0; px->modules[i] != NULL; i++)
		if (px->modules[i]->worker_exit != NULL)
			px->modules[i]->worker_exit(px);
	wr_timer_stop(px->loop, &px->hold_timer);
	wr_timer_stop(px->loop, &px->patience);
	wr_policy_stop(px);
	wr_timer_stop(px->loop, &px->drain_timer);
	wr_loop_hook_stop(&px->turn_end);
	wr_loop_on_pressure(px->loop, NULL, NULL);
	if (px->sessions.mem != NULL)
		wr_pool_fini(&px->sessions);
	free(px->servers);
	free(px->dooms);
	wr_joined_fini(&px->joined);
	wr_gen_put(&px->gen);
	free(px);
	*pp = NULL;
}

void
wr_proxy_use(struct wr_proxy *px, struct wr_gen *g)
{
	struct wr_gen *old = px->gen;

	px->gen = wr_gen_get(g);
	px->uses++;
	wr_store(&px->slot->generation, (uint32_t)g->generation);
	wr_joined_use(&px->joined, g->conf);
	wr_doors_use(px);
	for (unsigned i = 0; px->modules[i] != NULL; i++)
		if (px->modules[i]->worker_use != NULL)
			px->modules[i]->worker_use(px, g->conf);
	wr_policy_joins(px);
	wr_policy_use(px, old->conf);
	tell_seen(px);
	wr_gen_put(&old);
	px->admit = true;
}

uint32_t
wr_proxy_sessions(const struct wr_proxy *px)
{
	return px->sessions.used - px->waiting;
}

void
wr_proxy_wake(struct wr_proxy *px)
{
	wr_policy_look(px);
	wr_proxy_joins(px);
	px->admit = true;
}

void
wr_proxy_access_fd(struct wr_proxy *px, int fd)
{
	px->access_fd = fd;
	px->access_version++;
}

/* -- Draining ------------------------------------------------------------ */

static void
end_up_to(struct wr_proxy *px, uint32_t n, enum wr_end why)
{
	for (int i = 0; i < WR_END && n > 0; i++) {
		while (n > 0 && !wr_list_empty(&px->in[i])) {
			wr_session_end(
			    wr_container_of(wr_list_first(&px->in[i]),
				struct wr_session, link),
			    why);
			n--;
		}
	}
}

static void
tell_idle(struct wr_proxy *px)
{
	wr_idle_fn *idle = px->idle;

	if (idle == NULL || px->sessions.used > 0 || !wr_list_empty(&px->doors))
		return;
	px->idle = NULL;
	wr_timer_stop(px->loop, &px->drain_timer);
	idle(px->idle_arg);
}

void
wr_proxy_freed(struct wr_proxy *px)
{
	wr_sessions_begin(px);
	wr_doors_freed(px);
	tell_idle(px);
}

static uint32_t
top_timeout(const struct wr_proxy *px, enum wr_timeout t)
{
	return px->gen->conf->timeouts.ms[t];
}

/* One by one, or more at a time, so that all are gone in time. */
static void
cut(struct wr_proxy *px)
{
	uint64_t now_ms = wr_loop_now(px->loop);
	uint64_t left_ms = px->cut_by_ms > now_ms ? px->cut_by_ms - now_ms : 0;
	uint64_t n = px->sessions.used, step_ms;

	if (left_ms > 0 && n > 0) {
		step_ms = left_ms / n > CUT_MS ? left_ms / n : CUT_MS;
		n = (n * step_ms + left_ms - 1) / left_ms;
		wr_timer_set(
		    px->loop, &px->drain_timer, step_ms, on_drain_timer);
	}
	end_up_to(px, (uint32_t)n, WR_END_WEIR_RELAY_DRAIN);
}

static void
close_doors(struct wr_proxy *px)
{
	uint32_t drain_ms = top_timeout(px, WR_T_DRAIN);

	px->drain = WR_DRAIN_WAIT;
	if (drain_ms != WR_OFF)
		wr_timer_set(
		    px->loop, &px->drain_timer, drain_ms, on_drain_timer);
	wr_doors_shut(px);
}

static void
on_drain_timer(struct wr_loop *l, struct wr_timer *t)
{
	struct wr_proxy *px = wr_container_of(t, struct wr_proxy, drain_timer);
	uint32_t spread_ms = top_timeout(px, WR_T_SPREAD);

	if (px->drain == WR_DRAIN_WAIT) {
		wr_notice("cut %u sessions: they outlived timeouts.drain",
		    px->sessions.used);
		px->drain = WR_DRAIN_CUT;
		px->cut_by_ms = wr_loop_now(l);
		if (spread_ms != WR_OFF)
			px->cut_by_ms += spread_ms;
	}
	cut(px);
}

void
wr_proxy_drain(struct wr_proxy *px, void (*done)(void *arg), void *arg)
{
	px->idle = done;
	px->idle_arg = arg;
	close_doors(px);
	tell_idle(px);
}

void
wr_proxy_undrain(struct wr_proxy *px)
{
	px->drain = WR_DRAIN_NOT;
	px->idle = NULL;
	wr_timer_stop(px->loop, &px->drain_timer);
}

void
wr_proxy_stop(struct wr_proxy *px, void (*done)(void *arg), void *arg)
{
	px->idle = done;
	px->idle_arg = arg;
	px->drain = WR_DRAIN_CUT;
	if (px->sessions.used > 0)
		wr_notice(
		    "cut %u sessions: told to stop at once", px->sessions.used);
	wr_timer_stop(px->loop, &px->drain_timer);
	wr_doors_shut(px);
	end_up_to(px, px->sessions.used, WR_END_WEIR_STOP);
	tell_idle(px);
}
