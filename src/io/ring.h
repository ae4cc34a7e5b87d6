/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ring - an io_uring and the buffers that its receives take (private to io/).
 *
 * The only file that includes liburing, with what Debian's version 2.3 lacks.
 */
#ifndef WR_RING_H
#define WR_RING_H

#include <liburing.h>

#include "io/private.h"

struct wr_ring {
	struct io_uring ring;
	unsigned enter_flags;
};

/* -errno.  Made after fork(): only the process that made it may use it. */
wr_must_check int
wr_ring_init(struct wr_ring *r, unsigned requests, unsigned completions);
void wr_ring_fini(struct wr_ring *r);
/*
 * The one system call: submit; with IORING_ENTER_GETEVENTS in `flags` also
 * run what completed, and wait at most so long (-1: for ever) for `wait` of
 * them.  What the kernel did not take stays for the next time.  How many it
 * took, or -errno.
 */
int wr_ring_enter(
    struct wr_ring *r, unsigned wait, int64_t wait_us, unsigned flags);
/* May this process have all we need?  0, or -errno and *why. */
wr_must_check int wr_ring_probe(const char **why);

/*
 * Buffers of one size that the kernel holds until bytes come, named by small
 * numbers: parts of pool blocks, each with a reference of its own.
 */
struct wr_bufs {
	struct io_uring_buf_ring *ring;
	size_t ring_size;
	uint8_t **mem;          /* of each that the kernel holds */
	uint16_t *ids;          /* of those that it does not hold */
	uint32_t size;          /* of one, bytes */
	uint32_t n;             /* the kernel holds so many */
	uint32_t want;          /* it should hold */
	uint32_t min, max;      /* limits of `want` */
	uint32_t taken;         /* came back filled since the last adapt */
	uint32_t cut;           /* bytes of `block` that are gone */
	struct wr_block *block; /* to be cut into more, or NULL */
};

/* Group `id` of the ring; -errno, and then there is nothing to fini. */
wr_must_check int wr_bufs_init(struct wr_bufs *b, struct wr_ring *r, int id,
    uint32_t size, uint32_t min, uint32_t max);
/* The ring is gone. */
void wr_bufs_fini(struct wr_bufs *b);
/* Top up what the kernel holds. */
void wr_bufs_fill(struct wr_loop *l, struct wr_bufs *b);
/* The kernel has put `len` bytes into buffer `id`. */
struct wr_slice
wr_bufs_take(struct wr_loop *l, struct wr_bufs *b, unsigned id, uint32_t len);
/* After a turn: hold twice of what it took, let go slowly. */
void wr_bufs_adapt(struct wr_bufs *b);
/* Before the end: what the kernel holds goes home. */
void wr_bufs_drain(struct wr_loop *l, struct wr_bufs *b);

#endif
