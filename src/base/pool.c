/* SPDX-License-Identifier: BSD-2-Clause */
/* pool - see pool.h. */
#include "base/pool.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

/* A mapping is aligned to a page, of which this is the smallest there is. */
#define ALIGN_MAX 4096

/* Where the system has it: do not count what may never be touched. */
#ifdef MAP_NORESERVE
#define LAZY MAP_NORESERVE
#else
#define LAZY 0
#endif

int
wr_pool_init(struct wr_pool *p, size_t size, size_t align, uint32_t max)
{
	size_t bytes;
	void *mem;

	assert(max > 0);
	assert(align > 0 && align <= ALIGN_MAX && (align & (align - 1)) == 0);
	if (align < sizeof(void *))
		align = sizeof(void *);
	/* A free object holds the chain. */
	if (size < sizeof(void *))
		size = sizeof(void *);
	if (__builtin_add_overflow(size, align - 1, &size))
		return -ENOMEM;
	size &= ~(align - 1);
	if (__builtin_mul_overflow(size, (size_t)max, &bytes))
		return -ENOMEM;
	mem = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | LAZY, -1, 0);
	if (mem == MAP_FAILED)
		return -ENOMEM;
	*p = (struct wr_pool){ .mem = mem, .size = size, .max = max };
	return 0;
}

void
wr_pool_fini(struct wr_pool *p)
{
	assert(p->used == 0);
	if (p->mem != NULL)
		(void)munmap(p->mem, p->size * p->max);
	memset(p, 0, sizeof(*p));
}

void *
wr_pool_get(struct wr_pool *p)
{
	void *object = p->free;

	if (object != NULL) {
		memcpy(&p->free, object, sizeof(p->free));
	} else if (p->virgin < p->max) {
		object = p->mem + p->size * p->virgin++;
	} else {
		errno = ENOMEM;
		return NULL;
	}
	p->used++;
	return object;
}

void
wr_pool_put(struct wr_pool *p, void *object)
{
	assert(p->used > 0);
	assert(wr_pool_index(p, object) < p->virgin);
	memcpy(object, &p->free, sizeof(p->free));
	p->free = object;
	p->used--;
}

uint32_t
wr_pool_index(const struct wr_pool *p, const void *object)
{
	size_t at = (size_t)((const char *)object - p->mem);

	assert((const char *)object >= p->mem && at % p->size == 0);
	assert(at / p->size < p->max);
	return (uint32_t)(at / p->size);
}
