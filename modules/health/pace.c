/* SPDX-License-Identifier: BSD-2-Clause */
/* pace - what a check changes, and when the next one follows; see health.h. */
#include "modules/health/health.h"

#include <assert.h>

#define JITTER_PARTS 8

enum wr_health
wr_health_after(const struct wr_health_conf *c, enum wr_health was, bool good,
    uint32_t *streak)
{
	enum wr_health to = good ? WR_HEALTH_UP : WR_HEALTH_DOWN;

	if (was == to) {
		*streak = 0;
		return was;
	}
	if (was == WR_HEALTH_UP || was == WR_HEALTH_DOWN) {
		if (++*streak < (good ? c->rise : c->fall))
			return was;
	}
	*streak = 0;
	return to;
}

static uint32_t
fast_ms(const struct wr_health_conf *c)
{
	return c->fast_ms < c->interval_ms ? c->fast_ms : c->interval_ms;
}

uint32_t
wr_health_period_ms(
    const struct wr_health_conf *c, enum wr_health is, uint32_t streak)
{
	uint64_t fast = fast_ms(c), rises = c->rise - 1, ms;

	if (streak > 0 || is == WR_HEALTH_CHECKING)
		return (uint32_t)fast;
	if (is != WR_HEALTH_DOWN)
		return c->interval_ms;
	/* The checks that follow the first good one are fast, and that one
	 * may come later by the jitter. */
	if (rises * fast >= c->interval_ms)
		return (uint32_t)fast;
	ms =
	    (c->interval_ms - rises * fast) * JITTER_PARTS / (JITTER_PARTS + 1);
	return (uint32_t)(ms > fast ? ms : fast);
}

uint64_t
wr_pace_first(
    struct wr_pace *p, struct wr_random *r, uint64_t now_ms, uint32_t spread_ms)
{
	p->grid_ms = now_ms + wr_random_below(r, spread_ms + 1);
	p->period_ms = 0;
	return p->grid_ms;
}

uint64_t
wr_pace_next(struct wr_pace *p, struct wr_random *r, uint64_t now_ms,
    uint32_t period_ms, bool regular)
{
	bool same = p->period_ms == period_ms;

	assert(period_ms > 0);
	p->period_ms = regular ? period_ms : 0;
	/* Those that came into it together leave each other now. */
	if (regular && !same) {
		p->grid_ms = now_ms + 1 + wr_random_below(r, period_ms);
		return p->grid_ms;
	}
	p->grid_ms += period_ms;
	/* It took longer than that: leave out what was missed. */
	if (p->grid_ms <= now_ms)
		p->grid_ms +=
		    ((now_ms - p->grid_ms) / period_ms + 1) * period_ms;
	if (!regular)
		return p->grid_ms;
	return p->grid_ms + wr_random_below(r, period_ms / JITTER_PARTS + 1);
}
