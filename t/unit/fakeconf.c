/* SPDX-License-Identifier: BSD-2-Clause */
/* fakeconf - see fakeconf.h. */
#include "fakeconf.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/log.h"
#include "proxy/sticky.h"

void
fake_conf_empty(struct fake_conf *f)
{
	memset(f, 0, sizeof(*f));
	f->gen.conf = &f->conf;
	f->gen.generation = 1;
	f->conf.generation = 1;
	f->conf.access_log.line.format = WR_LOG_TEXT;
	memset(&f->conf.timeouts, 0xff, sizeof(f->conf.timeouts));
}

static void
add_server(struct fake_conf *f, uint32_t i)
{
	struct wr_server_conf *sv = &f->servers[i];
	char text[32];

	(void)snprintf(f->names[i], sizeof(f->names[i]), "s%u", i);
	(void)snprintf(text, sizeof(text), "10.0.0.%u:80", i + 1);
	if (wr_addr_parse(&sv->addr, wr_str_of(text), -1) < 0)
		abort();
	sv->name = sv->address = f->names[i];
	sv->weight = 1;
	sv->max_conns = WR_OFF;
	sv->cell = i;
	sv->upstream = &f->upstream;
}

void
fake_conf_init(struct fake_conf *f, uint32_t n_servers)
{
	assert(n_servers <= FAKE_SERVERS);
	fake_conf_empty(f);
	f->listener.name = "l";
	f->listener.rules.mod = f->mod;
	f->listener.rules.access_log = true;
	f->listener.line = &f->conf.access_log.line;
	memset(&f->listener.rules.timeouts, 0xff, sizeof(struct wr_timeouts));
	f->listener.upstream = &f->upstream;
	f->listeners[0] = &f->listener;
	f->conf.listeners = f->listeners;
	f->conf.n_listeners = 1;

	f->upstream.name = "u";
	f->upstream.servers = f->servers;
	f->upstream.n_servers = n_servers;
	f->upstream.mod = f->mod;
	f->upstream.queue_max = 1000;
	f->upstream.slow_start_ms = WR_OFF;
	f->upstream.retry = (struct wr_retry_conf){ .tries = 3,
		.backoff_ms = 50,
		.max_backoff_ms = 1000,
		.deadline_ms = 10000,
		.budget_percent = 20,
		.budget_min = 10,
		.on = WR_RETRY_REFUSED | WR_RETRY_TIMEOUT | WR_RETRY_RESET |
		      WR_RETRY_UNREACHABLE };
	memset(&f->upstream.timeouts, 0xff, sizeof(struct wr_timeouts));
	f->upstreams[0] = &f->upstream;
	f->conf.upstreams = f->upstreams;
	f->conf.n_upstreams = 1;
	for (uint32_t i = 0; i < n_servers; i++)
		add_server(f, i);
}

static void *
zeros(size_t n, size_t size)
{
	void *p = mmap(NULL, n * size, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	assert(p != MAP_FAILED);
	return p;
}

const struct wr_stats *
fake_shared(void)
{
	static struct wr_stats st;
	static uint32_t high = 1;
	static int wake[WR_SLOTS];

	st.slots = zeros(WR_SLOTS + 1, sizeof(*st.slots));
	st.listeners =
	    zeros((WR_SLOTS + 1) * WR_LISTENER_CELLS, sizeof(*st.listeners));
	st.upstreams =
	    zeros((WR_SLOTS + 1) * WR_UPSTREAM_CELLS, sizeof(*st.upstreams));
	st.servers =
	    zeros((WR_SLOTS + 1) * WR_SERVER_CELLS, sizeof(*st.servers));
	st.states = zeros(WR_SERVER_CELLS, sizeof(*st.states));
	st.group_states = zeros(WR_UPSTREAM_CELLS, sizeof(*st.group_states));
	st.joins = zeros(WR_JOIN_CELLS, sizeof(*st.joins));
	st.roll = zeros(1, sizeof(*st.roll));
	st.listener_cells =
	    zeros(WR_LISTENER_CELLS, sizeof(*st.listener_cells));
	st.upstream_cells =
	    zeros(WR_UPSTREAM_CELLS, sizeof(*st.upstream_cells));
	st.server_cells = zeros(WR_FILE_CELLS, sizeof(*st.server_cells));
	st.limit_conns = zeros(WR_SLOTS, sizeof(*st.limit_conns));
	st.limit_rates = zeros(1, sizeof(*st.limit_rates));
	st.sticky = zeros(1, sizeof(*st.sticky));
	st.sticky_buckets =
	    zeros(WR_STICKY_BUCKETS, sizeof(*st.sticky_buckets));
	st.slots_high = st.listeners_high = st.upstreams_high =
	    st.servers_high = &high;
	st.wake = wake;
	return &st;
}

/* -- conf/conf.h, without files ------------------------------------------ */

struct wr_gen *
wr_gen_get(struct wr_gen *g)
{
	g->users++;
	return g;
}

void
wr_gen_put(struct wr_gen **g)
{
	assert((*g)->users > 0);
	(*g)->users--;
	*g = NULL;
}

const struct wr_upstream_conf *
wr_conf_upstream(const struct wr_conf *c, const char *name)
{
	for (uint32_t i = 0; i < c->n_upstreams; i++)
		if (strcmp(c->upstreams[i]->name, name) == 0)
			return c->upstreams[i];
	return NULL;
}

const struct wr_upstream_conf *
wr_conf_upstream_at(const struct wr_conf *c, uint32_t cell)
{
	for (uint32_t i = 0; i < c->n_upstreams; i++)
		if (c->upstreams[i]->cell == cell)
			return c->upstreams[i];
	return NULL;
}

const struct wr_listener_conf *
wr_conf_listener_at(const struct wr_conf *c, uint32_t cell)
{
	for (uint32_t i = 0; i < c->n_listeners; i++)
		if (c->listeners[i]->cell == cell)
			return c->listeners[i];
	return NULL;
}

uint32_t
wr_timeout_of(
    const struct wr_timeouts *l, const struct wr_timeouts *u, enum wr_timeout t)
{
	return l->ms[t] < u->ms[t] ? l->ms[t] : u->ms[t];
}
