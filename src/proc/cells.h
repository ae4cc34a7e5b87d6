/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cells - places in shared memory by name of listener, upstream, server.
 *
 * The table of names lies in the region, so that a new binary finds them; the
 * index over it is the master's own.  Only the one confirmed master calls
 * this.  A cell is named by generations: it is given back when the running
 * generation no longer names it, no process has an older one that does, and
 * no slot has a session on it.
 */
#ifndef WR_CELLS_H
#define WR_CELLS_H

#include <stdbool.h>

#include "base/text.h"
#include "proc/shm.h"

struct wr_conf;
struct wr_cells;

/* NULL and errno.  Reads what the region already names; `m` is kept. */
struct wr_cells *wr_cells_new(struct wr_shm *m);
/* The region stays as it is.  Leaves NULL. */
void wr_cells_free(struct wr_cells **t);
/* Another master may have changed the table: read it anew. */
void wr_cells_reload(struct wr_cells *t);

/* Give every listener, upstream and server of `c` its cell.  -ENOSPC after a
 * line to `errors` that names the key that is too much. */
wr_must_check int
wr_cells_settle(struct wr_cells *t, struct wr_conf *c, struct wr_text *errors);
/* The outcome of a settled generation.  Committed: cells that only older ones
 * name begin to leave; shared state of servers takes what the file says.
 * Refused: cells that only it names are free again. */
void wr_cells_commit(struct wr_cells *t, const struct wr_conf *c);
void wr_cells_abort(struct wr_cells *t, uint64_t generation);
/* Free what nobody uses any more; `oldest` is the oldest generation that any
 * process still has. */
void wr_cells_sweep(struct wr_cells *t, uint64_t oldest);

/* The cell of a name, or -1; `parent` is the upstream's cell of a server. */
int64_t wr_cells_find(const struct wr_cells *t, enum wr_cell_kind kind,
    uint32_t parent, const char *name);

#endif
