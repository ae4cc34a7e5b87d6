/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hist - a latency histogram: constant relative error, constant memory.
 *
 * Values are nanoseconds.  Each power of two has 64 steps, so a quantile is
 * off by less than 1.6 %.
 */
#ifndef WR_HIST_H
#define WR_HIST_H

#include <stdint.h>

#define HIST_STEPS 64
#define HIST_SIZE  (HIST_STEPS * 60)

struct hist {
	uint64_t n[HIST_SIZE];
	uint64_t count, max;
};

void hist_add(struct hist *h, uint64_t ns);
/* The value below which the share `q` (0..1) of all lies; 0 if empty. */
uint64_t hist_quantile(const struct hist *h, double q);

#endif
