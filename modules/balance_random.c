/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * random - draw two by weight, take the one with fewer sessions for its
 * weight.
 *
 * Nearly as even as least_conn, and workers that have not yet seen each
 * other's choices do not all run to the same server.
 */
#include "modules/modules.h"
#include "proxy/balance.h"
#include "proxy/core.h"

/* One by weight, but not `other`; NULL if there is none. */
static const struct wr_server_conf *
draw(struct wr_pick *k, const struct wr_server_conf *other)
{
	const struct wr_server_conf *got = NULL, *sv;
	uint32_t all = 0;

	/* Each replaces the one before with its share of all so far. */
	for (sv = wr_pick_first(k); sv != NULL; sv = wr_pick_next(k, sv)) {
		uint32_t w;

		if (sv == other || !wr_pick_fits(k, sv))
			continue;
		w = wr_pick_weight(k, sv);
		all += w;
		if (wr_random_below(&k->px->random, all) < w)
			got = sv;
	}
	return got;
}

static const struct wr_server_conf *
pick(struct wr_pick *k)
{
	const struct wr_server_conf *a = draw(k, NULL), *b;

	if (a == NULL)
		return NULL;
	b = draw(k, a);
	if (b == NULL)
		return a;
	return (wr_pick_active(k, a) + 1) * wr_pick_weight(k, b) <=
		       (wr_pick_active(k, b) + 1) * wr_pick_weight(k, a)
		   ? a
		   : b;
}

const struct wr_balancer wr_balance_random = { "random", pick };
