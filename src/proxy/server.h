/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * server - may a server get another session?  From its configuration and the
 * state that all processes share.
 */
#ifndef WR_SERVER_H
#define WR_SERVER_H

#include "conf/conf.h"
#include "proxy/stats.h"

/* How long the one session may take that tries an ejected server. */
#define WR_TRIAL_MS 10000

enum wr_fit {
	WR_FIT,         /* yes */
	WR_FIT_WAIT,    /* not now: full, or not checked yet */
	WR_FIT_EJECTED, /* not now, unless there is nothing better */
	WR_FIT_NOT,     /* not before its state changes */
};

static inline bool
wr_server_ejected(const struct wr_server_state *x, uint64_t now_ms)
{
	uint64_t until_ms = wr_load(&x->eject_until_ms);

	return until_ms != 0 &&
	       (until_ms > now_ms || wr_load(&x->eject_trial_ms) > now_ms);
}

static inline enum wr_fit
wr_server_fit(
    const struct wr_stats *st, const struct wr_server_conf *sv, uint64_t now_ms)
{
	const struct wr_server_state *x = &st->states[sv->cell];
	uint32_t health = wr_load(&x->health);

	if (sv->want != WR_WANT_UP || sv->weight == 0 || sv->addr.len == 0 ||
	    wr_load(&x->want) != WR_WANT_UP || health == WR_HEALTH_DOWN)
		return WR_FIT_NOT;
	if (wr_server_ejected(x, now_ms))
		return WR_FIT_EJECTED;
	if (health == WR_HEALTH_CHECKING)
		return WR_FIT_WAIT;
	if (sv->max_conns != WR_OFF &&
	    wr_stats_server_active(st, sv->cell) >= sv->max_conns)
		return WR_FIT_WAIT;
	return WR_FIT;
}

/* A session is sent there.  If the server's ejection is over, it is the one
 * that finds out whether it is well again. */
static inline void
wr_server_try(
    const struct wr_stats *st, const struct wr_server_conf *sv, uint64_t now_ms)
{
	struct wr_server_state *x = &st->states[sv->cell];
	uint64_t none = 0;

	if (wr_load(&x->eject_until_ms) == 0 ||
	    wr_load(&x->eject_trial_ms) != 0)
		return;
	/* If another process was faster, both try. */
	(void)__atomic_compare_exchange_n(&x->eject_trial_ms, &none,
	    now_ms + WR_TRIAL_MS, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}

/* A server's bit in the set of those a session has tried.  Servers of a large
 * group may share one; then both count as tried, for a while. */
static inline uint64_t
wr_server_bit(const struct wr_server_conf *sv)
{
	return 1ull << (sv->cell & 63);
}

#endif
