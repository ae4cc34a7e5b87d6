/* SPDX-License-Identifier: BSD-2-Clause */
/* slice - lent buffers and gather lists; see private.h. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "io/private.h"

#define BLOCK_SIZE  65536u
#define BLOCKS_MIN  4u
#define BLOCKS_MAX  65535u
#define POOL_BYTES  (16u << 20)
#define SPILL_BYTES (64u << 20)

/* Slices of one block start on lines of their own. */
#define LINE 64u

/* How often unused blocks are looked for, and how many may go at once: each
 * takes some microseconds. */
#define TRIM_MS  1000u
#define TRIM_MAX 64u

/* A remainder this small is not worth keeping a block for. */
#define SMALL 4096u

#ifdef MAP_NORESERVE
#define LAZY MAP_NORESERVE
#else
#define LAZY 0
#endif

int
wr_blocks_init(struct wr_loop *l, uint64_t bytes, uint64_t spill_bytes)
{
	struct wr_blocks *p = &l->blocks;
	uint64_t n = (bytes == 0 ? POOL_BYTES : bytes) / BLOCK_SIZE;
	void *mem;

	if (n < BLOCKS_MIN)
		n = BLOCKS_MIN;
	if (n > BLOCKS_MAX)
		n = BLOCKS_MAX;
	p->v = calloc(n, sizeof(*p->v));
	if (p->v == NULL)
		return -ENOMEM;
	mem = mmap(NULL, n * BLOCK_SIZE, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | LAZY, -1, 0);
	if (mem == MAP_FAILED) {
		free(p->v);
		p->v = NULL;
		return -ENOMEM;
	}
	p->mem = mem;
	p->n = p->n_free = (uint32_t)n;
	p->block_size = BLOCK_SIZE;
	p->spill_max = spill_bytes == 0 ? SPILL_BYTES : spill_bytes;
	for (uint32_t i = p->n; i-- > 0;) {
		p->v[i].mem = p->mem + (size_t)i * BLOCK_SIZE;
		p->v[i].size = BLOCK_SIZE;
		p->v[i].id = (uint16_t)i;
		p->v[i].next = p->free;
		p->free = &p->v[i];
	}
	l->stats->buffers = n;
	return 0;
}

void
wr_blocks_fini(struct wr_loop *l)
{
	struct wr_blocks *p = &l->blocks;

	if (p->mem != NULL)
		(void)munmap(p->mem, (size_t)p->n * BLOCK_SIZE);
	free(p->v);
	memset(p, 0, sizeof(*p));
}

struct wr_block *
wr_block_at(struct wr_loop *l, uint16_t id)
{
	assert(id < l->blocks.n);
	return &l->blocks.v[id];
}

struct wr_block *
wr_block_of(struct wr_loop *l, const uint8_t *mem)
{
	assert(mem >= l->blocks.mem);
	return wr_block_at(
	    l, (uint16_t)((size_t)(mem - l->blocks.mem) / BLOCK_SIZE));
}

static struct wr_block *
pop_free(struct wr_blocks *p)
{
	struct wr_block *b = p->free;

	if (b == NULL)
		return NULL;
	p->free = b->next;
	p->n_free--;
	b->used = 0;
	return b;
}

static void
block_ref(struct wr_loop *l, struct wr_block *b)
{
	if (b->refs++ == b->held)
		l->stats->buffers_used++;
	b->warm = 2;
}

void
wr_block_hold(struct wr_loop *l, struct wr_block *b)
{
	assert(b->refs > b->held);
	if (++b->held == b->refs)
		l->stats->buffers_used--;
}

void
wr_block_unhold(struct wr_loop *l, struct wr_block *b)
{
	assert(b->held > 0);
	if (b->held-- == b->refs)
		l->stats->buffers_used++;
	b->warm = 2;
}

struct wr_block *
wr_block_get(struct wr_loop *l)
{
	struct wr_blocks *p = &l->blocks;
	struct wr_block *b = pop_free(p);

	if (b == NULL && p->cur != NULL && p->cur->refs == 0) {
		b = p->cur;
		p->cur = NULL;
	}
	if (b == NULL)
		return NULL;
	b->used = b->size;
	block_ref(l, b);
	return b;
}

void
wr_block_put(struct wr_loop *l, struct wr_block *b)
{
	struct wr_blocks *p = &l->blocks;

	assert(b->refs > b->held);
	if (--b->refs == b->held && !b->heap)
		l->stats->buffers_used--;
	if (b->refs > 0)
		return;
	if (b->heap) {
		l->stats->spill_bytes -= b->size;
		free(b);
		return;
	}
	p->came_home = true;
	if (b == p->cur) {
		b->used = 0;
		return;
	}
	b->next = p->free;
	p->free = b;
	p->n_free++;
}

bool
wr_room_get(struct wr_loop *l, uint32_t max, struct wr_slice *s)
{
	struct wr_blocks *p = &l->blocks;
	uint32_t need = BLOCK_SIZE / 2, room;
	struct wr_block *b;

	if (max != 0 && max < need)
		need = max;
	if (p->cur == NULL || p->cur->size - p->cur->used < need) {
		/* The old one goes home with its last slice. */
		if ((b = pop_free(p)) != NULL)
			p->cur = b;
		else if (p->cur == NULL || p->cur->used == p->cur->size)
			return false;
	}
	b = p->cur;
	room = b->size - b->used;
	s->mem = b->mem + b->used;
	s->len = max != 0 && max < room ? max : room;
	s->block = b;
	return true;
}

void
wr_room_take(struct wr_loop *l, struct wr_slice *s, uint32_t n)
{
	struct wr_block *b = s->block;

	assert(n > 0 && n <= s->len && b == l->blocks.cur);
	b->used += (n + LINE - 1) & ~(LINE - 1);
	if (b->used > b->size)
		b->used = b->size;
	block_ref(l, b);
	s->len = n;
}

bool
wr_room_reserve(struct wr_loop *l, uint32_t len, struct wr_slice *s)
{
	struct wr_blocks *p = &l->blocks;
	struct wr_block *b = p->cur;

	/* Most of the pool is for those who know what they have. */
	if (p->n_free * 2 < p->n)
		return false;
	if (b == NULL || b->size - b->used < len) {
		if ((b = pop_free(p)) == NULL)
			return false;
		p->cur = b;
	}
	*s = (struct wr_slice){ b->mem + b->used, len, b };
	wr_room_take(l, s, len);
	return true;
}

/* -- Slices -------------------------------------------------------------- */

void
wr_slice_put(struct wr_loop *l, struct wr_slice *s)
{
	struct wr_block *b = s->block;

	*s = (struct wr_slice){ 0 };
	if (b != NULL)
		wr_block_put(l, b);
}

struct wr_slice
wr_slice_ref(const struct wr_slice *s)
{
	if (s->block != NULL) {
		assert(s->block->refs > 0);
		s->block->refs++;
	}
	return *s;
}

int
wr_slice_get(struct wr_loop *l, struct wr_slice *s)
{
	struct wr_block *b = wr_block_get(l);

	if (b == NULL)
		return -ENOBUFS;
	*s = (struct wr_slice){ b->mem, b->size, b };
	return 0;
}

struct wr_slice
wr_slice_const(const void *p, uint32_t len)
{
	union {
		const void *in;
		uint8_t *out;
	} cast = { p }; /* the loop only reads what it sends */

	return (struct wr_slice){ cast.out, len, NULL };
}

/* -- Gather lists -------------------------------------------------------- */

struct wr_tx *
wr_tx_get(struct wr_loop *l, const struct wr_slice *v, int n)
{
	struct wr_tx *tx = wr_pool_get(&l->txs);

	assert(n >= 0 && n <= WR_IOV);
	if (tx == NULL)
		return NULL;
	tx->gather = NULL;
	tx->at = 0;
	tx->n = (uint16_t)n;
	tx->left = 0;
	if (n <= 1) {
		tx->v = &tx->one;
	} else {
		tx->gather = wr_pool_get(&l->gathers);
		if (tx->gather == NULL) {
			wr_pool_put(&l->txs, tx);
			return NULL;
		}
		tx->v = tx->gather->v;
	}
	for (int i = 0; i < n; i++) {
		tx->v[i] = v[i];
		tx->left += v[i].len;
	}
	tx->total = tx->left;
	return tx;
}

void
wr_tx_put(struct wr_loop *l, struct wr_tx *tx)
{
	for (unsigned i = tx->at; i < tx->n; i++)
		wr_slice_put(l, &tx->v[i]);
	if (tx->gather != NULL)
		wr_pool_put(&l->gathers, tx->gather);
	wr_pool_put(&l->txs, tx);
}

void
wr_tx_advance(struct wr_loop *l, struct wr_sock *k, uint32_t n)
{
	struct wr_tx *tx = k->out.data;
	struct wr_slice *s;

	assert(n <= tx->left);
	if (n < tx->left)
		k->out.flags |= WR_OPF_SHORT;
	k->sent += n;
	l->stats->send_bytes += n;
	tx->left -= n;
	while (tx->at < tx->n) {
		s = &tx->v[tx->at];
		if (n < s->len) {
			s->mem += n;
			s->len -= n;
			return;
		}
		n -= s->len;
		wr_slice_put(l, s);
		tx->at++;
	}
}

int
wr_tx_iov(const struct wr_tx *tx, struct iovec *iov, uint32_t max)
{
	int n = 0;
	uint32_t len;

	if (max == 0 || max > tx->left)
		max = tx->left;
	for (unsigned i = tx->at; i < tx->n && max > 0; i++) {
		len = tx->v[i].len < max ? tx->v[i].len : max;
		iov[n].iov_base = tx->v[i].mem;
		iov[n++].iov_len = len;
		max -= len;
	}
	return n;
}

int
wr_tx_send(struct wr_loop *l, struct wr_sock *k, uint32_t *asked)
{
	const struct wr_tx *tx = k->out.data;
	const struct wr_slice *s = &tx->v[tx->at];
	int flags = MSG_DONTWAIT | MSG_NOSIGNAL;
	struct iovec iov[WR_IOV];
	struct msghdr msg;
	ssize_t n;

	if (k->out.flags & WR_OPF_MORE)
		flags |= MSG_MORE;
	*asked = tx->left;
	if (l->chop != 0 && *asked > l->chop)
		*asked = l->chop;
	l->stats->syscalls++;
	if (s->len >= *asked) {
		n = send(k->fd, s->mem, *asked, flags);
	} else {
		memset(&msg, 0, sizeof(msg));
		msg.msg_iov = iov;
		msg.msg_iovlen = (size_t)wr_tx_iov(tx, iov, *asked);
		n = sendmsg(k->fd, &msg, flags);
	}
	return n >= 0 ? (int)n : -errno;
}

static bool
holds_pool(const struct wr_tx *tx)
{
	for (unsigned i = tx->at; i < tx->n; i++)
		if (tx->v[i].block != NULL && !tx->v[i].block->heap)
			return true;
	return false;
}

void
wr_tx_spill(struct wr_loop *l, struct wr_tx *tx)
{
	struct wr_blocks *p = &l->blocks;
	struct wr_block *b;
	uint8_t *to;

	if (tx->left > SMALL && p->n_free > p->n / 4)
		return;
	if (l->stats->spill_bytes + tx->left > p->spill_max || !holds_pool(tx))
		return;
	b = malloc(sizeof(*b) + tx->left);
	if (b == NULL)
		return;
	*b = (struct wr_block){ .mem = (uint8_t *)(b + 1),
		.size = tx->left,
		.refs = 1,
		.heap = true };
	l->stats->spill_bytes += b->size;
	to = b->mem;
	for (; tx->at < tx->n; tx->at++) {
		memcpy(to, tx->v[tx->at].mem, tx->v[tx->at].len);
		to += tx->v[tx->at].len;
		wr_slice_put(l, &tx->v[tx->at]);
	}
	tx->at--;
	tx->v[tx->at] = (struct wr_slice){ b->mem, b->size, b };
}

void
wr_loop_on_pressure(
    struct wr_loop *l, void (*fn)(struct wr_loop *l, void *arg), void *arg)
{
	l->pressure = fn;
	l->pressure_arg = arg;
}

bool
wr_blocks_pressed(const struct wr_loop *l)
{
	const struct wr_blocks *p = &l->blocks;

	return l->stalled.head != NULL && p->n_free == 0 && !p->came_home;
}

void
wr_blocks_offer(struct wr_loop *l)
{
	struct wr_blocks *p = &l->blocks;

	if (l->stalled.head != NULL &&
	    (p->n_free > 0 || (p->cur != NULL && p->cur->used < p->cur->size)))
		p->came_home = true;
}

/*
 * A burst must not cost its memory for ever.  What a kernel holds may go too,
 * if all that it wrote there is known: it writes only while we call it.
 */
void
wr_blocks_trim(struct wr_loop *l)
{
	struct wr_blocks *p = &l->blocks;
	unsigned given = 0;

	if (l->now_ms - p->trimmed_ms < TRIM_MS)
		return;
	p->trimmed_ms = l->now_ms;
	for (uint32_t i = 0; i < p->n && given < TRIM_MAX; i++) {
		struct wr_block *b = &p->v[i];

		if (b->warm == 2) {
			b->warm = 1;
		} else if (b->warm == 1 &&
			   b->refs == (p->unread ? 0 : b->held)) {
			(void)madvise(b->mem, b->size, MADV_DONTNEED);
			b->warm = 0;
			given++;
		}
	}
	l->stats->syscalls += given;
}

bool
wr_send_pins(const struct wr_sock *k)
{
	return k->out.kind == WR_OP_SEND && k->out.data != NULL &&
	       holds_pool(k->out.data);
}
