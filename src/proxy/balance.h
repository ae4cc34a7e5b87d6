/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * balance - the contract of a balancer: which of the servers that fit is next.
 *
 * One balancer is one file in modules/.  It looks at the servers of a group,
 * those of the file and those that have joined, in whatever order it likes,
 * asks wr_pick_fits() of each, and returns one that did; NULL only after it has
 * asked of all.
 */
#ifndef WR_BALANCE_H
#define WR_BALANCE_H

#include <stdbool.h>
#include <stdint.h>

struct wr_proxy;
struct wr_server_conf;
struct wr_session;
struct wr_upstream_conf;

/* One look at the servers of one kind of a group. */
struct wr_pick {
	struct wr_proxy *px;
	const struct wr_upstream_conf *u;
	struct wr_session *s; /* who asks; NULL: nobody in particular */
	uint64_t tried, now_ms;
	bool backup;      /* the kind that is looked at */
	unsigned despite; /* WR_DESPITE_... */
	/* Why some did not fit. */
	bool full, was_tried, ejected;
};

/* The servers of the group, one after the other; NULL at the end. */
const struct wr_server_conf *wr_pick_first(const struct wr_pick *k);
const struct wr_server_conf *
wr_pick_next(const struct wr_pick *k, const struct wr_server_conf *sv);
/* May it be chosen?  If not, `k` remembers why. */
bool wr_pick_fits(struct wr_pick *k, const struct wr_server_conf *sv);
/* Its share now, in hundredths: its weight, lower while it warms up. */
uint32_t
wr_pick_weight(const struct wr_pick *k, const struct wr_server_conf *sv);
/* Sessions on it, over all workers. */
uint64_t
wr_pick_active(const struct wr_pick *k, const struct wr_server_conf *sv);
/* A hash of what `hash_on` names, or of the client's address. */
uint64_t wr_pick_key(const struct wr_pick *k);

struct wr_balancer {
	const char *name; /* as in wr_balances */
	const struct wr_server_conf *(*pick)(struct wr_pick *k);
};

/* By index of wr_balances. */
extern const struct wr_balancer *const wr_balancers[];

#endif
