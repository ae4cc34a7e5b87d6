/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * least_conn - the server with the fewest sessions for its weight, counted
 * over all workers.
 *
 * Among equals the one that waited longest since this worker chose it.
 */
#include "modules/modules.h"
#include "proxy/balance.h"
#include "proxy/core.h"

static const struct wr_server_conf *
pick(struct wr_pick *k)
{
	struct wr_server_run *runs = k->px->servers;
	const struct wr_server_conf *best = NULL, *sv;
	uint64_t load = 0, weight = 1;

	for (sv = wr_pick_first(k); sv != NULL; sv = wr_pick_next(k, sv)) {
		uint64_t its, w;

		if (!wr_pick_fits(k, sv))
			continue;
		its = wr_pick_active(k, sv) + 1;
		w = wr_pick_weight(k, sv);
		/* its / w < load / weight */
		if (best != NULL && its * weight > load * w)
			continue;
		if (best != NULL && its * weight == load * w &&
		    runs[sv->cell].chosen >= runs[best->cell].chosen)
			continue;
		best = sv;
		load = its;
		weight = w;
	}
	if (best != NULL)
		runs[best->cell].chosen = ++k->px->choices;
	return best;
}

const struct wr_balancer wr_balance_least_conn = { "least_conn", pick };
