/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fakeconf - a configuration made by hand, and a worker's shared memory, for
 * tests of what follows them.
 */
#ifndef WR_FAKECONF_H
#define WR_FAKECONF_H

#include "conf/conf.h"
#include "proxy/stats.h"

#define FAKE_SERVERS 8

/* One listener "l", one upstream "u" with servers "s0" (10.0.0.1:80), ...;
 * all cells are indices.  Change what you like before it is used. */
struct fake_conf {
	struct wr_gen gen;
	struct wr_conf conf;
	struct wr_listener_conf listener;
	struct wr_listener_conf *listeners[1];
	struct wr_upstream_conf upstream;
	struct wr_upstream_conf *upstreams[1];
	struct wr_server_conf servers[FAKE_SERVERS];
	char names[FAKE_SERVERS][8];
	void *mod[16];
};

void fake_conf_init(struct fake_conf *f, uint32_t n_servers);
/* Without a listener and an upstream. */
void fake_conf_empty(struct fake_conf *f);

/* All zero; lives until the test ends. */
const struct wr_stats *fake_shared(void);

#endif
