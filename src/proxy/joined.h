/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * joined - the servers that have joined while weir runs, as one process sees
 * them.
 *
 * What control publishes in shared memory becomes structs like those of the
 * configuration, in memory that stays where it is: whoever has a session on
 * such a server may look at it, whatever has become of it.  Its `upstream` is
 * that of the generation in use, and only good for a pick.
 */
#ifndef WR_JOINED_H
#define WR_JOINED_H

#include "conf/conf.h"
#include "proxy/stats.h"

struct wr_joined_server {
	struct wr_server_conf conf;
	uint32_t next;  /* of its group: place + 1 */
	bool here, was; /* in a group, now and before the last look */
	/* What its group said of sessions when it was in one. */
	uint32_t on_remove, on_remove_ms;
};

/* All zero: nobody ever joins. */
struct wr_joined {
	const struct wr_stats *stats;
	uint64_t seen;                    /* version of the roll */
	uint64_t builds;                  /* of the lists */
	struct wr_joined_server *servers; /* by place: cell - WR_FILE_CELLS */
	uint32_t *first;                  /* by upstream cell: place + 1 */
	const struct wr_conf *conf;       /* in use */
};

wr_must_check int
wr_joined_init(struct wr_joined *j, const struct wr_stats *st);
void wr_joined_fini(struct wr_joined *j);
/* `c` is in use from now on. */
void wr_joined_use(struct wr_joined *j, const struct wr_conf *c);
/* Something has changed since the last look. */
static inline bool
wr_joined_stale(const struct wr_joined *j)
{
	return j->servers != NULL && __atomic_load_n(&j->stats->roll->version,
					 __ATOMIC_ACQUIRE) != j->seen;
}
/* Take over what has changed. */
void wr_joined_look(struct wr_joined *j);
/* The same for one server whose cell was not known before; `u` is its group.
 * It is in no list before the next look. */
const struct wr_server_conf *wr_joined_take(
    struct wr_joined *j, uint32_t cell, const struct wr_upstream_conf *u);

/* Those of one group, one after the other; NULL at the end. */
static inline const struct wr_server_conf *
wr_joined_first(const struct wr_joined *j, const struct wr_upstream_conf *u)
{
	uint32_t i = j->servers != NULL ? j->first[u->cell] : 0;

	return i > 0 ? &j->servers[i - 1].conf : NULL;
}

static inline const struct wr_server_conf *
wr_joined_next(const struct wr_joined *j, const struct wr_server_conf *sv)
{
	uint32_t i = j->servers[sv->cell - WR_FILE_CELLS].next;

	return i > 0 ? &j->servers[i - 1].conf : NULL;
}

/* The same, but first those that the file names. */
static inline const struct wr_server_conf *
wr_servers_first(const struct wr_joined *j, const struct wr_upstream_conf *u)
{
	return u->n_servers > 0 ? u->servers : wr_joined_first(j, u);
}

static inline const struct wr_server_conf *
wr_servers_next(const struct wr_joined *j, const struct wr_upstream_conf *u,
    const struct wr_server_conf *sv)
{
	if (sv < u->servers || sv >= u->servers + u->n_servers)
		return wr_joined_next(j, sv);
	return sv + 1 < u->servers + u->n_servers ? sv + 1
						  : wr_joined_first(j, u);
}

#endif
