/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pool - equal objects out of one reserved mapping.
 *
 * The mapping is as large as the maximum and touched lazily, so an unused
 * object costs nothing.  Memory is type-stable: what was an object of this
 * pool stays one, so a stale pointer never meets a stranger.  The object
 * freed last is handed out first.
 */
#ifndef WR_POOL_H
#define WR_POOL_H

#include <stdint.h>

#include "base/base.h"

struct wr_pool {
	char *mem;
	void *free;      /* chain through the first word of free objects */
	size_t size;     /* of one object, rounded up to its alignment */
	uint32_t max;    /* objects at most */
	uint32_t used;   /* handed out now */
	uint32_t virgin; /* objects from here on were never handed out */
};

/* -ENOMEM if the address space cannot be had.  `align` is a power of two. */
wr_must_check int
wr_pool_init(struct wr_pool *p, size_t size, size_t align, uint32_t max);
/* All objects must be back. */
void wr_pool_fini(struct wr_pool *p);
/* NULL with ENOMEM if all are out.  Contents are those of the last use, zero
 * at first, but for the first word. */
wr_must_check void *wr_pool_get(struct wr_pool *p);
void wr_pool_put(struct wr_pool *p, void *object);
uint32_t wr_pool_index(const struct wr_pool *p, const void *object);

#endif
