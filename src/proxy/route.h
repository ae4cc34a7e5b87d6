/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * route - what a listener's routes say about a client: the first match in
 * written order.
 */
#ifndef WR_ROUTE_H
#define WR_ROUTE_H

#include "conf/conf.h"

/* What is known of a client when it is routed. */
struct wr_route_facts {
	const struct wr_ip *client;
	uint16_t port;   /* of ours, that it came to; 0 for unix: */
	uint64_t chance; /* any number, for a choice by chance */
};

/* An action, and the rules that go with it. */
struct wr_routed {
	const struct wr_upstream_conf *upstream;
	const struct wr_answer *answer;
	const struct wr_rules *rules;
};

/* One of a weighted choice, by a number that may be any.  Clients that have one
 * of the first keep it when its weight grows. */
const struct wr_upstream_conf *
wr_split_pick(const struct wr_split *s, uint64_t number);

/* Both actions are NULL if there is none for this client. */
struct wr_routed
wr_route_find(const struct wr_listener_conf *c, const struct wr_route_facts *f);

#endif
