/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hash, source - the same server for the same key, as far as it can be had.
 *
 * Rendezvous hashing: every server draws a number from the key and its name,
 * the highest in proportion to weight wins.  So a server that goes takes
 * only its own keys with it, and one that comes takes only its share; there
 * is no ring to build, and servers may come and go at run time.  (Thaler and
 * Ravishankar, 1998; weights by -w / ln u.)
 *
 * The load is bounded: a server with more than 1.25 times its share of all
 * sessions is passed over for the next one, once it has 64 of them; few
 * sessions say nothing about load, and the same client should meet the same
 * server.
 */
#include <math.h>

#include "base/hash.h"
#include "modules/modules.h"
#include "proxy/balance.h"
#include "proxy/core.h"

#define FLOOR 64

/* What all that fit have together. */
struct sum {
	uint64_t active, weight;
};

static struct sum
add_up(struct wr_pick *k)
{
	struct sum sum = { 1, 0 };
	const struct wr_server_conf *sv;

	for (sv = wr_pick_first(k); sv != NULL; sv = wr_pick_next(k, sv)) {

		if (!wr_pick_fits(k, sv))
			continue;
		sum.active += wr_pick_active(k, sv);
		sum.weight += wr_pick_weight(k, sv);
	}
	return sum;
}

static bool
overloaded(const struct wr_pick *k, const struct wr_server_conf *sv,
    const struct sum *sum)
{
	uint64_t active = wr_pick_active(k, sv);

	return active >= FLOOR && active * 4 * sum->weight >=
				      5 * sum->active * wr_pick_weight(k, sv);
}

static double
score(uint64_t key, const struct wr_server_conf *sv, uint32_t weight)
{
	static const struct wr_hash_key fixed = { { 0x77656972, 1 } };
	uint64_t x =
	    wr_hash_u64(key ^ wr_hash(&fixed, sv->name, strlen(sv->name)));
	/* 53 random bits, between 0 and 1 but neither of them. */
	double u = ((double)(x >> 11) + 0.5) / 9007199254740992.0;

	return -(double)weight / log(u);
}

static const struct wr_server_conf *
pick(struct wr_pick *k)
{
	const struct wr_server_conf *best = NULL, *spare = NULL, *sv;
	double high = 0, spare_high = 0;
	uint64_t key = wr_pick_key(k);
	struct sum sum = add_up(k);

	for (sv = wr_pick_first(k); sv != NULL; sv = wr_pick_next(k, sv)) {
		double its;

		if (!wr_pick_fits(k, sv))
			continue;
		its = score(key, sv, wr_pick_weight(k, sv));
		if (overloaded(k, sv, &sum)) {
			if (spare == NULL || its > spare_high)
				spare = sv, spare_high = its;
		} else if (best == NULL || its > high) {
			best = sv, high = its;
		}
	}
	return best != NULL ? best : spare;
}

const struct wr_balancer wr_balance_hash = { "hash", pick };
const struct wr_balancer wr_balance_source = { "source", pick };
