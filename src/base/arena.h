/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * arena - memory that is handed out piece by piece and freed as a whole.
 *
 * It lies over one given run of memory (a mapping, a block) and never grows:
 * a full arena answers NULL with ENOMEM, and remembers it in `full`.
 */
#ifndef WR_ARENA_H
#define WR_ARENA_H

#include <stdbool.h>

#include "base/str.h"

struct wr_arena {
	char *mem; /* lent */
	size_t used, size;
	bool full; /* something did not fit */
};

void wr_arena_init(struct wr_arena *a, void *mem, size_t size);

/* Zeroed memory, aligned to 16 bytes. */
wr_must_check void *wr_arena_alloc(struct wr_arena *a, size_t size);
/* n objects of `size` bytes; a product that overflows is ENOMEM. */
wr_must_check void *wr_arena_array(struct wr_arena *a, size_t n, size_t size);
wr_must_check void *
wr_arena_copy(struct wr_arena *a, const void *p, size_t size);
/* A copy ended by a NUL. */
wr_must_check char *wr_arena_str(struct wr_arena *a, struct wr_str s);

#endif
