/* SPDX-License-Identifier: BSD-2-Clause */
/* ring - an io_uring and its buffers; see ring.h. */
#ifdef WR_HAVE_IO_URING
#include "io/ring.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Newer than Debian's headers. */
#define SETUP_NO_SQARRAY (1U << 16)
#define ENTER_NO_IOWAIT  (1U << 7)
#define FEAT_NO_IOWAIT   (1U << 17)

#define SETUP_ALWAYS                                                           \
	(IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP | IORING_SETUP_SUBMIT_ALL |  \
	    IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN)

/* With fewer, many turns would end before all was told. */
#define COMPLETIONS_MIN 512u

/*
 * io_uring_queue_init_params() of liburing 2.3 writes the index array even if
 * there is none, over the head of the ring; so the three steps are ours.
 * -errno.
 */
static int
ring_open(struct io_uring *ring, unsigned flags, unsigned sq, unsigned cq)
{
	struct io_uring_params p = { .flags = flags, .cq_entries = cq };
	int fd, err;

	if ((fd = io_uring_setup(sq, &p)) < 0)
		return fd;
	memset(ring, 0, sizeof(*ring));
	if ((err = io_uring_queue_mmap(fd, &p, ring)) < 0) {
		(void)close(fd);
		return err;
	}
	ring->features = p.features; /* queue_mmap() leaves it out */
	if (!(p.flags & SETUP_NO_SQARRAY))
		for (unsigned i = 0; i < p.sq_entries; i++)
			ring->sq.array[i] = i;
	return 0;
}

int
wr_ring_init(struct wr_ring *r, unsigned requests, unsigned completions)
{
	/* What helps; without the others we would rather have epoll. */
	static const unsigned extra[] = {
		IORING_SETUP_COOP_TASKRUN | SETUP_NO_SQARRAY,
		IORING_SETUP_COOP_TASKRUN,
		0,
	};
	int err = -EINVAL;

	for (size_t i = 0; i < WR_COUNT(extra) && err == -EINVAL; i++)
		err = ring_open(
		    &r->ring, SETUP_ALWAYS | extra[i], requests, completions);
	/* RLIMIT_MEMLOCK is for all processes of the user together. */
	if (err == -ENOMEM && completions > COMPLETIONS_MIN)
		return wr_ring_init(r, requests, completions / 2);
	if (err < 0)
		return err;
	r->enter_flags = IORING_ENTER_EXT_ARG;
	/* Waiting for the network is not waiting for a disk. */
	if (r->ring.features & FEAT_NO_IOWAIT)
		r->enter_flags |= ENTER_NO_IOWAIT;
	/* Saves looking up the descriptor in each call; not vital. */
	if (io_uring_register_ring_fd(&r->ring) == 1)
		r->enter_flags |= IORING_ENTER_REGISTERED_RING;
	return 0;
}

void
wr_ring_fini(struct wr_ring *r)
{
	io_uring_queue_exit(&r->ring);
}

int
wr_ring_enter(struct wr_ring *r, unsigned wait, int64_t wait_us, unsigned flags)
{
	struct __kernel_timespec ts = {
		.tv_sec = wait_us / 1000000,
		.tv_nsec = wait_us % 1000000 * 1000,
	};
	struct io_uring_getevents_arg arg = {
		.ts = wait_us < 0 ? 0 : (uint64_t)(uintptr_t)&ts,
	};
	struct io_uring_sq *sq = &r->ring.sq;
	unsigned n = sq->sqe_tail - *sq->khead;

	io_uring_smp_store_release(sq->ktail, sq->sqe_tail);
	return io_uring_enter2((unsigned)r->ring.enter_ring_fd, n, wait,
	    r->enter_flags | flags, (sigset_t *)(void *)&arg, sizeof(arg));
}

/* -- Buffers ------------------------------------------------------------- */

static int
bufs_register(struct wr_bufs *b, struct wr_ring *r, int id)
{
	uint32_t entries = 1;
	void *mem;

	while (entries < b->max)
		entries *= 2;
	b->ring_size = entries * sizeof(struct io_uring_buf);
	mem = mmap(NULL, b->ring_size, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (mem == MAP_FAILED)
		return -ENOMEM;
	b->ring = mem;
	/* The kernel pins the pages: a fork must not make us copy them. */
	(void)madvise(mem, b->ring_size, MADV_DONTFORK);
	struct io_uring_buf_reg reg = {
		.ring_addr = (uint64_t)(uintptr_t)mem,
		.ring_entries = entries,
		.bgid = (uint16_t)id,
	};
	return io_uring_register_buf_ring(&r->ring, &reg, 0);
}

int
wr_bufs_init(struct wr_bufs *b, struct wr_ring *r, int id, uint32_t size,
    uint32_t min, uint32_t max)
{
	int err = -ENOMEM;

	assert(max > 0 && max <= 32768);
	memset(b, 0, sizeof(*b));
	b->size = size;
	b->max = max;
	b->min = b->want = min < max ? min : max;
	b->mem = calloc(max, sizeof(*b->mem));
	b->ids = calloc(max, sizeof(*b->ids));
	if (b->mem != NULL && b->ids != NULL)
		err = bufs_register(b, r, id);
	if (err < 0) {
		wr_bufs_fini(b);
		return err;
	}
	for (uint32_t i = 0; i < max; i++)
		b->ids[i] = (uint16_t)i;
	return 0;
}

void
wr_bufs_fini(struct wr_bufs *b)
{
	if (b->ring != NULL)
		(void)munmap(b->ring, b->ring_size);
	free(b->mem);
	free(b->ids);
	memset(b, 0, sizeof(*b));
}

/* The next buffer, or NULL.  Each, and what is left to cut, has a reference
 * that is held. */
static uint8_t *
cut(struct wr_loop *l, struct wr_bufs *b)
{
	struct wr_block *block = b->block;
	uint8_t *mem;

	if (block == NULL) {
		if ((block = wr_block_get(l)) == NULL)
			return NULL;
		wr_block_hold(l, block);
		b->block = block;
		b->cut = 0;
	}
	mem = block->mem + b->cut;
	b->cut += b->size;
	if (b->cut + b->size > block->size) {
		b->block = NULL; /* the last one takes over ours */
	} else {
		block->refs++;
		block->held++;
	}
	return mem;
}

void
wr_bufs_fill(struct wr_loop *l, struct wr_bufs *b)
{
	int mask = (int)(b->ring_size / sizeof(struct io_uring_buf)) - 1;
	int added = 0;
	uint8_t *mem;
	uint16_t id;

	while (b->n < b->want && (mem = cut(l, b)) != NULL) {
		id = b->ids[b->max - ++b->n];
		b->mem[id] = mem;
		io_uring_buf_ring_add(b->ring, mem, b->size, id, mask, added++);
	}
	if (added > 0)
		io_uring_buf_ring_advance(b->ring, added);
}

struct wr_slice
wr_bufs_take(struct wr_loop *l, struct wr_bufs *b, unsigned id, uint32_t len)
{
	struct wr_slice s = { .len = len };

	assert(id < b->max && b->mem[id] != NULL);
	s.mem = b->mem[id];
	s.block = wr_block_of(l, s.mem);
	wr_block_unhold(l, s.block);
	b->mem[id] = NULL;
	b->ids[b->max - b->n--] = (uint16_t)id;
	b->taken++;
	return s;
}

void
wr_bufs_adapt(struct wr_bufs *b)
{
	uint32_t want = b->taken * 2 > b->min ? b->taken * 2 : b->min;

	b->taken = 0;
	if (want < b->want)
		want = b->want - (b->want - want + 31) / 32;
	b->want = want < b->max ? want : b->max;
}

static void
give_home(struct wr_loop *l, struct wr_block *block)
{
	wr_block_unhold(l, block);
	wr_block_put(l, block);
}

void
wr_bufs_drain(struct wr_loop *l, struct wr_bufs *b)
{
	for (uint32_t i = 0; i < b->max; i++)
		if (b->mem[i] != NULL)
			give_home(l, wr_block_of(l, b->mem[i]));
	if (b->block != NULL)
		give_home(l, b->block);
	b->block = NULL;
	b->n = 0;
}

/* -- May we? ------------------------------------------------------------- */

static const char *
why_not(int err)
{
	switch (err) {
	case -EPERM:
	case -EACCES:
		return "not permitted (kernel.io_uring_disabled, or a filter "
		       "of system calls)";
	case -ENOSYS:
		return "this kernel has no io_uring";
	case -EINVAL:
		return "this kernel is older than Linux 6.1";
	case -ENOMEM:
		return "no memory (RLIMIT_MEMLOCK)";
	case -EMFILE:
	case -ENFILE:
		return "no descriptors";
	default:
		return "io_uring_setup() failed";
	}
}

static bool
has_opcodes(struct io_uring *ring)
{
	static const int need[] = { IORING_OP_RECV, IORING_OP_SEND,
		IORING_OP_SENDMSG, IORING_OP_ACCEPT, IORING_OP_CONNECT,
		IORING_OP_POLL_ADD, IORING_OP_ASYNC_CANCEL };
	struct io_uring_probe *p = io_uring_get_probe_ring(ring);
	bool all = p != NULL;

	for (size_t i = 0; i < WR_COUNT(need) && all; i++)
		all = io_uring_opcode_supported(p, need[i]) != 0;
	io_uring_free_probe(p);
	return all;
}

/* Receive one byte as we will receive all. */
static int
try_receive(struct wr_ring *r, struct wr_bufs *b, const int fds[2])
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&r->ring);
	struct io_uring_cq *cq = &r->ring.cq;
	const struct io_uring_cqe *cqe;
	uint8_t mem[16] = { 0 };
	int rc;

	assert(sqe != NULL);
	io_uring_buf_ring_add(b->ring, mem, sizeof(mem), 0, 0, 0);
	io_uring_buf_ring_advance(b->ring, 1);
	io_uring_prep_recv(sqe, fds[0], NULL, 0, 0);
	sqe->flags |= IOSQE_BUFFER_SELECT;
	sqe->ioprio |= IORING_RECVSEND_POLL_FIRST;
	if ((rc = wr_ring_enter(r, 0, 0, IORING_ENTER_GETEVENTS)) < 0)
		return rc;
	if (send(fds[1], "w", 1, MSG_NOSIGNAL) != 1)
		return -errno;
	rc = wr_ring_enter(r, 1, 1000000, IORING_ENTER_GETEVENTS);
	if (io_uring_smp_load_acquire(cq->ktail) == *cq->khead)
		return rc < 0 ? rc : -ETIME;
	cqe = &cq->cqes[*cq->khead & *cq->kring_mask];
	if (cqe->res < 0)
		return cqe->res;
	if (cqe->res != 1 || !(cqe->flags & IORING_CQE_F_BUFFER) ||
	    mem[0] != 'w')
		return -EPROTO;
	return 0;
}

static int
probe_receive(struct wr_ring *r, const char **why)
{
	struct wr_bufs b;
	int fds[2], err;

	*why = "a trial receive failed";
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
		return -errno;
	if ((err = wr_bufs_init(&b, r, 0, 16, 1, 1)) < 0) {
		*why = "this kernel has no rings of buffers";
	} else {
		err = try_receive(r, &b, fds);
		/* Before the memory that the kernel may still name. */
		(void)io_uring_unregister_buf_ring(&r->ring, 0);
		wr_bufs_fini(&b);
	}
	(void)close(fds[0]);
	(void)close(fds[1]);
	return err;
}

int
wr_ring_probe(const char **why)
{
	const unsigned need = IORING_FEAT_NODROP | IORING_FEAT_EXT_ARG |
			      IORING_FEAT_SUBMIT_STABLE | IORING_FEAT_FAST_POLL;
	struct wr_ring r;
	int err;

	if ((err = wr_ring_init(&r, 4, 8)) < 0) {
		*why = why_not(err);
		return err;
	}
	*why = "this kernel's io_uring lacks features or operations";
	err = -ENOTSUP;
	if ((r.ring.features & need) == need && has_opcodes(&r.ring))
		err = probe_receive(&r, why);
	wr_ring_fini(&r);
	return err;
}

#endif
