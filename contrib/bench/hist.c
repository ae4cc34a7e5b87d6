/* SPDX-License-Identifier: BSD-2-Clause */
/* hist - see hist.h. */
#include "hist.h"

/* Values below HIST_STEPS have a cell each; above, the leading bit chooses a
 * row and the bits behind it a cell. */
static unsigned
cell(uint64_t ns)
{
	if (ns < HIST_STEPS)
		return (unsigned)ns;
	unsigned top = 63 - (unsigned)__builtin_clzll(ns);
	unsigned row = top - 5;
	unsigned i =
	    row * HIST_STEPS + (unsigned)((ns >> (top - 6)) & (HIST_STEPS - 1));
	return i < HIST_SIZE ? i : HIST_SIZE - 1;
}

/* The middle of a cell. */
static uint64_t
value(unsigned i)
{
	if (i < HIST_STEPS)
		return i;
	unsigned top = i / HIST_STEPS + 5;
	uint64_t step = 1ULL << (top - 6);
	return (1ULL << top) + (i % HIST_STEPS) * step + step / 2;
}

void
hist_add(struct hist *h, uint64_t ns)
{
	h->n[cell(ns)]++;
	h->count++;
	if (ns > h->max)
		h->max = ns;
}

uint64_t
hist_quantile(const struct hist *h, double q)
{
	uint64_t seen = 0;

	for (unsigned i = 0; i < HIST_SIZE; i++) {
		seen += h->n[i];
		if (h->n[i] > 0 && (double)seen >= q * (double)h->count)
			return value(i) < h->max ? value(i) : h->max;
	}
	return 0;
}
