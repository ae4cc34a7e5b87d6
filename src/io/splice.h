/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * splice - pipes through which bytes pass from socket to socket without being
 * copied (Linux; private to io/, see wr_fill() in loop.h).
 */
#ifndef WR_SPLICE_H
#define WR_SPLICE_H

#include "io/private.h"

struct wr_pipe {
	int r, w;
	uint32_t size; /* what the kernel granted */
	uint32_t held; /* bytes in it */
	struct wr_pipe *next;
};

/* Close the pipes of the pool. */
void wr_pipes_fini(struct wr_loop *l);

/*
 * Socket to empty pipe, at most `max` bytes (0: as many as it holds): bytes,
 * 0 at the end, -EAGAIN if there are none now, -EINVAL if only a receive gets
 * on: not from this kind of socket, or not past an urgent byte.
 */
wr_must_check int
wr_pipe_fill(struct wr_loop *l, struct wr_pipe *p, int fd, uint32_t max);
/* Pipe to socket, all that is in it, counted in k->sent, which is returned;
 * -EAGAIN if it takes no more now.  Pieces of `max` bytes at most (0: any). */
wr_must_check int wr_pipe_drain(
    struct wr_loop *l, struct wr_pipe *p, struct wr_sock *k, uint32_t max);

#endif
