/* SPDX-License-Identifier: BSD-2-Clause */
/* buf - see buf.h. */
#include "base/buf.h"

#include <assert.h>
#include <string.h>

void
wr_buf_init(struct wr_buf *b, void *mem, uint32_t size)
{
	assert(mem != NULL || size == 0);
	*b = (struct wr_buf){ .mem = mem, .size = size };
}

uint32_t
wr_buf_len(const struct wr_buf *b)
{
	return b->tail - b->head;
}

uint32_t
wr_buf_room(const struct wr_buf *b)
{
	return b->size - b->tail;
}

bool
wr_buf_empty(const struct wr_buf *b)
{
	return b->head == b->tail;
}

uint8_t *
wr_buf_head(const struct wr_buf *b)
{
	return b->mem + b->head;
}

uint8_t *
wr_buf_tail(const struct wr_buf *b)
{
	return b->mem + b->tail;
}

void
wr_buf_fill(struct wr_buf *b, uint32_t n)
{
	assert(n <= wr_buf_room(b));
	b->tail += n;
}

void
wr_buf_drain(struct wr_buf *b, uint32_t n)
{
	assert(n <= wr_buf_len(b));
	b->head += n;
	/* Start over when nothing is left: moving nothing is free. */
	if (b->head == b->tail)
		b->head = b->tail = 0;
}

void
wr_buf_pull(struct wr_buf *b)
{
	uint32_t len = wr_buf_len(b);

	if (b->head == 0)
		return;
	memmove(b->mem, wr_buf_head(b), len);
	b->head = 0;
	b->tail = len;
}
