/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * server - may a server get another session?  From its configuration and the
 * state that all processes share.
 */
#ifndef WR_SERVER_H
#define WR_SERVER_H

#include "conf/conf.h"
#include "proxy/stats.h"

enum wr_fit {
	WR_FIT,         /* yes */
	WR_FIT_WAIT,    /* not now: full, or not checked yet */
	WR_FIT_EJECTED, /* not now, unless there is nothing better */
	WR_FIT_NOT,     /* not before its state changes */
};

enum wr_ejected {
	WR_EJECT_NOT,   /* it may be used */
	WR_EJECT_OUT,   /* it may not */
	WR_EJECT_OPEN,  /* one session may try it */
	WR_EJECT_TRIED, /* one session is trying it */
};

static inline enum wr_ejected
wr_server_ejected(const struct wr_server_state *x, uint64_t now_ms)
{
	uint64_t until_ms = wr_load(&x->eject_until_ms), trial_ms;

	if (until_ms == 0)
		return WR_EJECT_NOT;
	if (until_ms > now_ms)
		return WR_EJECT_OUT;
	trial_ms = wr_load(&x->eject_trial_ms);
	if (trial_ms == 0)
		return WR_EJECT_OPEN;
	/* A trial of which nothing bad was heard in its time went well. */
	return trial_ms > now_ms ? WR_EJECT_TRIED : WR_EJECT_NOT;
}

/* Be the session that tries an open server, until then at most.  False if the
 * server is not open, or another session was faster; then both go there. */
static inline bool
wr_server_try(struct wr_server_state *x, uint64_t now_ms, uint64_t until_ms)
{
	uint64_t none = 0;

	return wr_server_ejected(x, now_ms) == WR_EJECT_OPEN &&
	       __atomic_compare_exchange_n(&x->eject_trial_ms, &none, until_ms,
		   false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

/* What does not matter for a session. */
#define WR_DESPITE_EJECTED 1u /* there is nothing better */
#define WR_DESPITE_DRAIN   2u /* it has been there before */

static inline enum wr_fit
wr_server_fit(const struct wr_stats *st, const struct wr_server_conf *sv,
    uint64_t now_ms, unsigned despite)
{
	const struct wr_server_state *x = &st->states[sv->cell];
	uint32_t health = wr_load(&x->health), want = wr_load(&x->want);
	enum wr_ejected e;

	if (sv->want == WR_WANT_DOWN || want == WR_WANT_DOWN ||
	    health == WR_HEALTH_DOWN)
		return WR_FIT_NOT;
	if ((despite & WR_DESPITE_DRAIN) == 0 &&
	    (sv->want != WR_WANT_UP || want != WR_WANT_UP || sv->weight == 0))
		return WR_FIT_NOT;
	/* A name: its addresses are servers of their own, once there are. */
	if (sv->addr.len == 0)
		return health == WR_HEALTH_UP ? WR_FIT_NOT : WR_FIT_WAIT;
	e = despite & WR_DESPITE_EJECTED ? WR_EJECT_NOT
					 : wr_server_ejected(x, now_ms);
	if (e == WR_EJECT_OUT || e == WR_EJECT_TRIED)
		return WR_FIT_EJECTED;
	if (health == WR_HEALTH_CHECKING)
		return WR_FIT_WAIT;
	return WR_FIT;
}

/* A server's bit in the set of those a session has tried.  Servers of a large
 * group may share one; then both count as tried, for a while. */
static inline uint64_t
wr_server_bit(const struct wr_server_conf *sv)
{
	return 1ull << (sv->cell & 63);
}

#endif
