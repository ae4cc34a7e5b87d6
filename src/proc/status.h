/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * status - what `weir -s status` prints, read from shared memory.
 */
#ifndef WR_STATUS_H
#define WR_STATUS_H

#include "base/text.h"

struct wr_master;

/* One JSON object and a line's end. */
void wr_status_write(struct wr_master *m, struct wr_text *out);

#endif
