/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * buf - a run of bytes in memory of the caller: filled at the end, drained at
 * the front.
 */
#ifndef WR_BUF_H
#define WR_BUF_H

#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"

struct wr_buf {
	uint8_t *mem;  /* lent */
	uint32_t size; /* of mem */
	uint32_t head, tail;
};

void wr_buf_init(struct wr_buf *b, void *mem, uint32_t size);
uint32_t wr_buf_len(const struct wr_buf *b);
/* Room at the end; wr_buf_pull() moves the bytes to the front first. */
uint32_t wr_buf_room(const struct wr_buf *b);
bool wr_buf_empty(const struct wr_buf *b);
uint8_t *wr_buf_head(const struct wr_buf *b);
uint8_t *wr_buf_tail(const struct wr_buf *b);
/* `n` bytes were written at the tail; n <= room. */
void wr_buf_fill(struct wr_buf *b, uint32_t n);
/* `n` bytes were taken from the head; n <= len. */
void wr_buf_drain(struct wr_buf *b, uint32_t n);
void wr_buf_pull(struct wr_buf *b);

#endif
