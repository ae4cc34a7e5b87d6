/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * control - what modules see of the control process: one for all workers, for
 * what must not be done by each of them.
 */
#ifndef WR_CONTROL_H
#define WR_CONTROL_H

#include "base/hash.h"
#include "conf/conf.h"
#include "io/loop.h"
#include "proxy/roster.h"
#include "proxy/stats.h"

struct wr_control {
	struct wr_loop *loop;
	const struct wr_stats *stats;
	uint32_t slot;              /* of this process */
	struct wr_gen *gen;         /* in use; changed before control_use */
	const struct wr_conf *conf; /* the same */
	pid_t master;
	struct wr_random random; /* seeded before control_start */
	struct wr_roster roster; /* servers that join and leave */
};

/* Shared state has changed that workers may wait for: wake all of them. */
void wr_control_tell(const struct wr_control *ct);
/* Publish the health of a server that has changed; tells the workers. */
void wr_control_health(
    const struct wr_control *ct, uint32_t server_cell, enum wr_health h);

#endif
