/* SPDX-License-Identifier: BSD-2-Clause */
#include "proxy/route.h"

#include <stdlib.h>

#include "tap.h"

static struct wr_upstream_conf up[6];
static struct wr_answer answer;
static struct wr_cidr ten = { .ip = { 10 }, .family = AF_INET, .bits = 8 };
static struct wr_cidr lan = { .ip = { 10, 1 }, .family = AF_INET, .bits = 16 };
static const uint16_t high[][2] = { { 8000, 8099 }, { 9000, 9000 } };

static struct wr_routed
find(const struct wr_listener_conf *c, const char *client, uint16_t port)
{
	struct wr_addr a;
	struct wr_ip ip;
	struct wr_route_facts facts = { .client = &ip, .port = port };

	if (wr_addr_parse(&a, wr_str_of(client), 1) < 0)
		abort();
	ip = wr_ip_of(&a.sa, a.len);
	return wr_route_find(c, &facts);
}

static void
the_first_match_in_written_order_wins(void)
{
	struct wr_route_conf routes[] = {
		{ .client = { &lan, 1 },
		    .ports = { high, 2 },
		    .upstream = &up[1] },
		{ .client = { &ten, 1 }, .upstream = &up[2] },
		{ .ports = { high, 2 }, .answer = &answer },
	};
	struct wr_listener_conf c = {
		.routes = routes, .n_routes = 3, .upstream = &up[0]
	};
	struct wr_routed to;

	ok(find(&c, "10.1.2.3", 8080).upstream == &up[1]);
	ok(find(&c, "10.1.2.3", 8099).upstream == &up[1]);
	ok(find(&c, "10.1.2.3", 8100).upstream == &up[2]);
	ok(find(&c, "10.2.2.3", 8080).upstream == &up[2]);
	to = find(&c, "192.0.2.1", 9000);
	ok(to.upstream == NULL && to.answer == &answer);
	ok(to.rules == &routes[2].rules);
	to = find(&c, "192.0.2.1", 9001);
	ok(to.upstream == &up[0] && to.rules == &c.rules);
	/* IPv4 in IPv6 clothes is IPv4. */
	ok(find(&c, "[::ffff:10.1.2.3]", 8080).upstream == &up[1]);
	ok(find(&c, "[::1]", 80).upstream == &up[0]);
	ok(find(&c, "unix:/x", 0).upstream == &up[0]);
}

static void
an_outer_route_without_an_inner_match_is_passed_over(void)
{
	struct wr_route_conf inner[] = {
		{ .ports = { high, 1 }, .upstream = &up[1] },
	};
	struct wr_route_conf routes[] = {
		{ .client = { &ten, 1 }, .routes = inner, .n_routes = 1 },
		{ .client = { &lan, 1 }, .upstream = &up[2] },
	};
	struct wr_listener_conf c = { .routes = routes, .n_routes = 2 };

	ok(find(&c, "10.1.0.1", 8000).upstream == &up[1]);
	ok(find(&c, "10.1.0.1", 9000).upstream == &up[2]);
	ok(find(&c, "10.2.0.1", 9000).upstream == NULL);
}

static void
a_weighted_choice(void)
{
	struct wr_share v[] = { { &up[1], 5 }, { &up[2], 0 }, { &up[3], 95 } };
	struct wr_split split = { v, 3, 100 };
	struct wr_listener_conf c = { .split = &split, .upstream = &up[1] };
	struct wr_ip ip = { .family = AF_INET };
	struct wr_route_facts facts = { .client = &ip };
	static const struct wr_upstream_conf *before[10000];
	unsigned n = 0, moved = 0;

	for (unsigned i = 0; i < 10000; i++) {
		const struct wr_upstream_conf *u;

		facts.chance = (uint64_t)i * (UINT64_MAX / 10000);
		u = wr_route_find(&c, &facts).upstream;
		n += u == &up[1];
		moved += u != &up[1] && u != &up[3];
	}
	ok(n >= 499 && n <= 501);
	is_int(moved, 0);

	/* By client, whatever the chance. */
	c.split_on = WR_SPLIT_CLIENT;
	n = 0;
	for (unsigned i = 0; i < 10000; i++) {
		memcpy(ip.ip, &i, sizeof(i));
		before[i] = wr_route_find(&c, &facts).upstream;
		facts.chance = i * UINT64_C(0x9e3779b97f4a7c15);
		moved += wr_route_find(&c, &facts).upstream != before[i];
		n += before[i] == &up[1];
	}
	is_int(moved, 0);
	diag("%u of 10000 clients for a weight of 5 in 100", n);
	ok(n > 400 && n < 600);

	/* Those who had it keep it when it gets more. */
	v[0].weight = 20;
	v[2].weight = 80;
	n = 0;
	for (unsigned i = 0; i < 10000; i++) {
		const struct wr_upstream_conf *u;

		memcpy(ip.ip, &i, sizeof(i));
		u = wr_route_find(&c, &facts).upstream;
		moved += before[i] == &up[1] && u != &up[1];
		n += u == &up[1];
	}
	is_int(moved, 0);
	ok(n > 1800 && n < 2200);
}

int
main(void)
{
	a_weighted_choice();
	the_first_match_in_written_order_wins();
	an_outer_route_without_an_inner_match_is_passed_over();
	return tap_done();
}
