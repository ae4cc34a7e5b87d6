/* SPDX-License-Identifier: BSD-2-Clause */
/* splice - see splice.h. */
#include "io/splice.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#ifdef __linux__

/* What a pipe should hold: less means more system calls, more is not used. */
#define WANT_BYTES (256 << 10)
/* A smaller one is no better than copying.  The kernel gives an unprivileged
 * user no more than two pages once he has many. */
#define LEAST_BYTES (64 << 10)
/* Each takes two descriptors that clients may need. */
#define PIPES_MAX 128

static struct wr_pipe *
new_pipe(void)
{
	struct wr_pipe *p = calloc(1, sizeof(*p));
	int fds[2], size;

	if (p == NULL)
		return NULL;
	if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0) {
		free(p);
		return NULL;
	}
	p->r = fds[0];
	p->w = fds[1];
	(void)fcntl(p->w, F_SETPIPE_SZ, WANT_BYTES);
	size = fcntl(p->w, F_GETPIPE_SZ);
	p->size = size > 0 ? (uint32_t)size : 0;
	return p;
}

static void
free_pipe(struct wr_loop *l, struct wr_pipe *p)
{
	(void)close(p->r);
	(void)close(p->w);
	free(p);
	l->pipes_made--;
}

struct wr_pipe *
wr_pipe_get(struct wr_loop *l)
{
	struct wr_pipe *p = l->pipes;

	if (p != NULL) {
		l->pipes = p->next;
		return p;
	}
	if (l->pipes_made >= PIPES_MAX || (p = new_pipe()) == NULL)
		return NULL;
	l->pipes_made++;
	l->stats->syscalls += 3;
	if (p->size >= LEAST_BYTES)
		return p;
	free_pipe(l, p);
	return NULL;
}

void
wr_pipe_put(struct wr_loop *l, struct wr_pipe **pp)
{
	struct wr_pipe *p = *pp;

	*pp = NULL;
	if (p == NULL)
		return;
	/* What is in there was for somebody who is gone. */
	if (p->held > 0) {
		free_pipe(l, p);
		return;
	}
	p->next = l->pipes;
	l->pipes = p;
}

void
wr_pipes_fini(struct wr_loop *l)
{
	struct wr_pipe *p;

	while ((p = l->pipes) != NULL) {
		l->pipes = p->next;
		free_pipe(l, p);
	}
}

static int
move(struct wr_loop *l, int from, int to, uint32_t n)
{
	ssize_t moved;

	do {
		l->stats->syscalls++;
		moved = splice(
		    from, NULL, to, NULL, n, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
	} while (moved < 0 && errno == EINTR);
	return moved < 0 ? -errno : (int)moved;
}

int
wr_pipe_fill(struct wr_loop *l, struct wr_pipe *p, int fd, uint32_t max)
{
	int n;

	assert(p->held == 0);
	n = move(l, fd, p->w, max == 0 || max > p->size ? p->size : max);
	if (n > 0)
		p->held = (uint32_t)n;
	/* It never goes past an urgent byte, but says only that it would have
	 * to wait, for ever; a receive does. */
	if (n == -EAGAIN && sockatmark(fd) == 1)
		return -EINVAL;
	return n;
}

int
wr_pipe_drain(
    struct wr_loop *l, struct wr_pipe *p, struct wr_sock *k, uint32_t max)
{
	uint32_t piece;
	int n;

	while (p->held > 0) {
		piece = max == 0 || max > p->held ? p->held : max;
		n = move(l, p->r, k->fd, piece);
		if (n < 0)
			return n;
		assert(n > 0);
		p->held -= (uint32_t)n;
		k->sent += (uint32_t)n;
		l->stats->splice_bytes += (uint64_t)n;
		l->stats->send_bytes += (uint64_t)n;
	}
	return (int)k->sent;
}

#else

struct wr_pipe *
wr_pipe_get(struct wr_loop *l)
{
	(void)l;
	return NULL;
}

void
wr_pipe_put(struct wr_loop *l, struct wr_pipe **p)
{
	(void)l;
	assert(*p == NULL);
}

void
wr_pipes_fini(struct wr_loop *l)
{
	(void)l;
}

int
wr_pipe_fill(struct wr_loop *l, struct wr_pipe *p, int fd, uint32_t max)
{
	(void)l;
	(void)p;
	(void)fd;
	(void)max;
	return -ENOSYS;
}

int
wr_pipe_drain(
    struct wr_loop *l, struct wr_pipe *p, struct wr_sock *k, uint32_t max)
{
	(void)l;
	(void)p;
	(void)k;
	(void)max;
	return -ENOSYS;
}

#endif
