/* SPDX-License-Identifier: BSD-2-Clause */
/* arena - see arena.h. */
#include "base/arena.h"

#include <assert.h>
#include <errno.h>
#include <stdint.h>

#define ALIGN 16

void
wr_arena_init(struct wr_arena *a, void *mem, size_t size)
{
	assert(mem != NULL || size == 0);
	*a = (struct wr_arena){ .mem = mem, .size = size };
}

static void *
no_room(struct wr_arena *a)
{
	a->full = true;
	errno = ENOMEM;
	return NULL;
}

/* Without zeroing it. */
static void *
take(struct wr_arena *a, size_t size, size_t align)
{
	uintptr_t at = (uintptr_t)a->mem + a->used;
	size_t pad = (size_t)(-at & (align - 1));
	char *p;

	assert(a->used <= a->size);
	/* Even nothing has an address of its own. */
	if (size == 0)
		size = 1;
	if (pad > a->size - a->used || size > a->size - a->used - pad)
		return no_room(a);
	p = a->mem + a->used + pad;
	a->used += pad + size;
	return p;
}

void *
wr_arena_alloc(struct wr_arena *a, size_t size)
{
	void *p = take(a, size, ALIGN);

	return p != NULL ? memset(p, 0, size) : NULL;
}

void *
wr_arena_array(struct wr_arena *a, size_t n, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(n, size, &bytes))
		return no_room(a);
	return wr_arena_alloc(a, bytes);
}

void *
wr_arena_copy(struct wr_arena *a, const void *p, size_t size)
{
	void *copy = take(a, size, ALIGN);

	if (copy != NULL && size > 0)
		memcpy(copy, p, size);
	return copy;
}

char *
wr_arena_str(struct wr_arena *a, struct wr_str s)
{
	char *copy = s.len < SIZE_MAX ? take(a, s.len + 1, 1) : no_room(a);

	if (copy == NULL)
		return NULL;
	if (s.len > 0)
		memcpy(copy, s.p, s.len);
	copy[s.len] = '\0';
	return copy;
}
