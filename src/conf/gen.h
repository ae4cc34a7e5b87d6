/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * gen - the window of addresses in which generations lie, and how one is
 * built (private to conf/; the public part is in conf.h).
 */
#ifndef WR_GEN_H
#define WR_GEN_H

#include "conf/conf.h"

/* Room of one generation; less where addresses are limited. */
#define WR_GEN_BYTES     ((size_t)256 << 20)
#define WR_GEN_BYTES_MIN ((size_t)4 << 20)

struct wr_build {
	struct wr_arena arena; /* over the place, writable until sealed */
	uint32_t place;
	int fd;
};

/* Map a new memfd, writable, at `place`.  -errno. */
wr_must_check int wr_build_open(struct wr_build *b, uint32_t place);
/* Seal it, map it read-only; one use belongs to the caller.  The value is at
 * the start of the arena.  NULL and errno: the build is gone then. */
struct wr_gen *wr_build_seal(struct wr_build *b, uint64_t generation);
/* Give up. */
void wr_build_drop(struct wr_build *b);

#endif
