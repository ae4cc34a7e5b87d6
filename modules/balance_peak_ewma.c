/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * peak_ewma - the server that will probably answer first.
 *
 * Its cost is what it took lately to connect and to send its first byte (see
 * wr_upstream_took()), as this worker saw it, times the sessions it has.
 */
#include "modules/modules.h"
#include "proxy/balance.h"
#include "proxy/core.h"

/* What nobody has asked for a while is forgotten too: it gets a chance. */
static uint64_t
cost(const struct wr_pick *k, const struct wr_server_conf *sv)
{
	const struct wr_server_run *run = &k->px->servers[sv->cell];
	uint64_t age_ms = k->now_ms - run->ewma_ms;
	uint64_t us = run->ewma_us;

	us = age_ms >= WR_EWMA_MS ? 0 : us - us * age_ms / WR_EWMA_MS;
	return (us + 1) * (wr_pick_active(k, sv) + 1);
}

static const struct wr_server_conf *
pick(struct wr_pick *k)
{
	struct wr_server_run *runs = k->px->servers;
	const struct wr_server_conf *best = NULL, *sv;
	uint64_t low = 0, weight = 1;

	for (sv = wr_pick_first(k); sv != NULL; sv = wr_pick_next(k, sv)) {
		uint64_t its, w;

		if (!wr_pick_fits(k, sv))
			continue;
		its = cost(k, sv);
		w = wr_pick_weight(k, sv);
		if (best != NULL && its * weight > low * w)
			continue;
		if (best != NULL && its * weight == low * w &&
		    runs[sv->cell].chosen >= runs[best->cell].chosen)
			continue;
		best = sv;
		low = its;
		weight = w;
	}
	if (best != NULL)
		runs[best->cell].chosen = ++k->px->choices;
	return best;
}

const struct wr_balancer wr_balance_peak_ewma = { "peak_ewma", pick };
