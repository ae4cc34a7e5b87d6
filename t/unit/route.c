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

int
main(void)
{
	the_first_match_in_written_order_wins();
	an_outer_route_without_an_inner_match_is_passed_over();
	return tap_done();
}
