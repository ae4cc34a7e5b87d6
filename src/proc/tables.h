/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tables - buckets in shared memory for what sticky upstreams remember.
 *
 * A table belongs to an upstream's cell and a size, and is kept as cells are:
 * while a generation names it, or a process has one that does.  Of another
 * size, it begins with what the one before it remembers.  Called by cells.
 */
#ifndef WR_TABLES_H
#define WR_TABLES_H

#include "base/text.h"
#include "proc/shm.h"

struct wr_conf;
struct wr_tables;

/* NULL and errno.  `m` is kept. */
struct wr_tables *wr_tables_new(struct wr_shm *m);
void wr_tables_free(struct wr_tables **t);
/* What stands in the region counts as named by generation `run`. */
void wr_tables_reload(struct wr_tables *t, uint64_t run);

/* Give each sticky upstream of `c`, which have their cells, its buckets.
 * -ENOSPC after a line to `errors`. */
wr_must_check int wr_tables_settle(
    struct wr_tables *t, struct wr_conf *c, struct wr_text *errors);
void wr_tables_commit(struct wr_tables *t, uint64_t generation);
void wr_tables_abort(struct wr_tables *t, uint64_t generation);
void wr_tables_sweep(struct wr_tables *t, uint64_t oldest);

#endif
