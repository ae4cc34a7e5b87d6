/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * round_robin - each in turn, by weight, without bursts.
 *
 * Smooth: at each pick a server gains its weight, and the winner pays for
 * all; so weights 5, 1, 1 give a a b a c a a, not a a a a a b c.
 */
#include "modules/modules.h"
#include "proxy/balance.h"
#include "proxy/core.h"

static const struct wr_server_conf *
pick(struct wr_pick *k)
{
	struct wr_server_run *runs = k->px->servers;
	const struct wr_server_conf *best = NULL, *sv;
	int64_t all = 0;

	for (sv = wr_pick_first(k); sv != NULL; sv = wr_pick_next(k, sv)) {
		int64_t weight;

		if (!wr_pick_fits(k, sv))
			continue;
		weight = wr_pick_weight(k, sv);
		runs[sv->cell].turn += weight;
		all += weight;
		if (best == NULL || runs[sv->cell].turn > runs[best->cell].turn)
			best = sv;
	}
	if (best != NULL)
		runs[best->cell].turn -= all;
	return best;
}

const struct wr_balancer wr_balance_round_robin = { "round_robin", pick };
