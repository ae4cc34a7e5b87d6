/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * layout - what stands in the shared region beside the counters (private to
 * shm and cells).
 */
#ifndef WR_LAYOUT_H
#define WR_LAYOUT_H

#include "proc/shm.h"
#include "proxy/stats.h"

#define WR_SHM_PARTS 16

struct wr_shm_head {
	uint32_t magic;
	uint32_t layout;
	uint64_t bytes;
	uint64_t start_ms; /* wall clock, of the first master */
	uint32_t binaries; /* that have used the region */
	uint32_t leader;   /* of them: whose master has everything */
	uint32_t slots_high;
	uint32_t high[WR_CELL_KINDS];
	/* Size and count of each part: what must not have changed. */
	uint64_t parts[WR_SHM_PARTS][2];
};

#endif
