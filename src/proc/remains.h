/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * remains - at the end of a child nothing may be left: every gauge back to
 * zero, every descriptor closed.
 */
#ifndef WR_REMAINS_H
#define WR_REMAINS_H

#include <stdbool.h>
#include <stdint.h>

struct wr_frame;

struct wr_remains {
	uint32_t fds; /* open */
};

/* What is there before anything is made. */
void wr_remains_count(struct wr_remains *r);
/* Turn until the loop has closed all, free it, compare.  False after a line
 * "weir: leak: ..." to the log for everything that is left. */
bool wr_remains_check(struct wr_frame *f, const struct wr_remains *before);

#endif
