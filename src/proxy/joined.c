/* SPDX-License-Identifier: BSD-2-Clause */
/* joined - see joined.h. */
#include "proxy/joined.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int
wr_joined_init(struct wr_joined *j, const struct wr_stats *st)
{
	*j = (struct wr_joined){ .stats = st };
	j->servers = calloc(WR_JOIN_CELLS, sizeof(*j->servers));
	j->first = calloc(WR_UPSTREAM_CELLS, sizeof(*j->first));
	if (j->servers != NULL && j->first != NULL)
		return 0;
	wr_joined_fini(j);
	return -ENOMEM;
}

void
wr_joined_fini(struct wr_joined *j)
{
	free(j->servers);
	free(j->first);
	*j = (struct wr_joined){ 0 };
}

const struct wr_server_conf *
wr_joined_take(
    struct wr_joined *j, uint32_t cell, const struct wr_upstream_conf *u)
{
	const struct wr_join *x = &j->stats->joins[cell - WR_FILE_CELLS];
	struct wr_joined_server *s = &j->servers[cell - WR_FILE_CELLS];
	struct wr_server_conf *sv = &s->conf;

	s->on_remove = u->on_remove;
	s->on_remove_ms = u->on_remove_ms;
	sv->name = sv->address = x->name;
	sv->kind = WR_SERVER_ADDR;
	sv->want = WR_WANT_UP;
	sv->addr = wr_addr_of_ip(&x->ip);
	sv->port = x->ip.port;
	sv->client_port = x->client_port != 0;
	sv->backup = wr_load(&x->backup) != 0;
	sv->max_conns = wr_load(&x->max_conns);
	sv->weight = wr_load(&j->stats->states[cell].weight);
	sv->cell = cell;
	sv->upstream = u;
	return sv;
}

/* From the last to the first, so that the lists are in order. */
static void
build(struct wr_joined *j)
{
	uint32_t high =
	    __atomic_load_n(&j->stats->roll->high, __ATOMIC_ACQUIRE);

	if (high == 0)
		return; /* nobody ever has */
	j->builds++;
	(void)memset(j->first, 0, WR_UPSTREAM_CELLS * sizeof(*j->first));
	for (uint32_t i = high < WR_JOIN_CELLS ? high : WR_JOIN_CELLS;
	     i-- > 0;) {
		const struct wr_join *x = &j->stats->joins[i];
		struct wr_joined_server *s = &j->servers[i];
		const struct wr_upstream_conf *u;

		s->was = s->here;
		s->here = false;
		if (__atomic_load_n(&x->member, __ATOMIC_ACQUIRE) == 0)
			continue;
		u = wr_conf_upstream_at(j->conf, x->group);
		if (u == NULL)
			continue;
		(void)wr_joined_take(j, WR_FILE_CELLS + i, u);
		s->here = true;
		s->next = j->first[u->cell];
		j->first[u->cell] = i + 1;
	}
}

void
wr_joined_look(struct wr_joined *j)
{
	uint64_t version =
	    __atomic_load_n(&j->stats->roll->version, __ATOMIC_ACQUIRE);

	build(j);
	j->seen = version;
}

void
wr_joined_use(struct wr_joined *j, const struct wr_conf *c)
{
	j->conf = c;
	wr_joined_look(j);
}
