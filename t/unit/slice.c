/* SPDX-License-Identifier: BSD-2-Clause */
/* slice - blocks are shared, counted, and come home. */
#include <errno.h>
#include <stdlib.h>

#include "io/private.h"
#include "t/unit/tap.h"

static struct wr_loop *
pool(uint64_t bytes, uint64_t spill_bytes)
{
	struct wr_loop *l = calloc(1, sizeof(*l));

	if (l == NULL)
		abort();
	l->stats = &l->own_stats;
	if (wr_blocks_init(l, bytes, spill_bytes) != 0 ||
	    wr_pool_init(&l->txs, sizeof(struct wr_tx), 16, 16) != 0 ||
	    wr_pool_init(&l->gathers, sizeof(struct wr_gather), 16, 16) != 0)
		abort();
	wr_queue_init(&l->stalled);
	return l;
}

static void
pool_free(struct wr_loop *l)
{
	is_int(l->stats->buffers_used, 0);
	is_int(l->stats->spill_bytes, 0);
	wr_blocks_fini(l);
	wr_pool_fini(&l->txs);
	wr_pool_fini(&l->gathers);
	free(l);
}

/* `n` bytes as if they had been received. */
static struct wr_slice
received(struct wr_loop *l, uint32_t max, uint32_t n)
{
	struct wr_slice s = { 0 };

	if (!wr_room_get(l, max, &s) || s.len < n)
		abort();
	memset(s.mem, 'a' + (int)(n % 26), n);
	wr_room_take(l, &s, n);
	return s;
}

static void
small_messages_share_a_block(void)
{
	struct wr_loop *l = pool(0, 0);
	struct wr_slice v[100], s;

	is_int(l->stats->buffers, 256);
	for (int i = 0; i < 100; i++)
		v[i] = received(l, 0, 64);
	is_int(l->stats->buffers_used, 1);
	ok(v[1].mem == v[0].mem + 64 && v[99].block == v[0].block);
	s = received(l, 0, 50000); /* there is still much room */
	ok(s.block == v[0].block);
	wr_slice_put(l, &s);
	s = received(l, 0, 60000); /* no longer */
	ok(s.block != v[0].block);
	wr_slice_put(l, &s);
	ok(s.mem == NULL && s.len == 0 && s.block == NULL);
	for (int i = 0; i < 100; i++)
		wr_slice_put(l, &v[i]);
	is_int(l->blocks.n_free + 1, 256); /* one is kept at hand */
	s = received(l, 0, 1);
	wr_slice_put(l, &s);
	pool_free(l);
}

static void
the_hottest_first(void)
{
	struct wr_loop *l = pool(0, 0);
	struct wr_slice a, b;
	uint8_t *mem;

	is_int(wr_slice_get(l, &a), 0);
	is_int(wr_slice_get(l, &b), 0);
	is_int(a.len, 65536);
	mem = a.mem;
	wr_slice_put(l, &a);
	is_int(wr_slice_get(l, &a), 0);
	ok(a.mem == mem);
	ok(wr_block_of(l, a.mem + 65535) == a.block);
	ok(wr_block_at(l, a.block->id) == a.block);
	wr_slice_put(l, &a);
	wr_slice_put(l, &b);
	pool_free(l);
}

static void
all_are_out(void)
{
	struct wr_loop *l = pool(1, 0); /* there are always four */
	struct wr_slice v[4], s;
	unsigned n = 0;

	while (n < 4 && wr_slice_get(l, &v[n]) == 0)
		n++;
	is_int(n, 4);
	is_int(wr_slice_get(l, &s), -ENOBUFS);
	ok(!wr_room_get(l, 0, &s));
	l->blocks.came_home = false;
	s = wr_slice_ref(&v[2]);
	wr_slice_put(l, &v[2]);
	ok(!l->blocks.came_home);
	wr_slice_put(l, &s);
	ok(l->blocks.came_home);
	/* The last block serves many small ones, to the last bit of it. */
	v[2] = received(l, 0, 65000);
	ok(wr_room_get(l, 0, &s) && s.len > 400);
	s = received(l, 100, 100);
	wr_slice_put(l, &s);
	for (unsigned i = 0; i < 4; i++)
		wr_slice_put(l, &v[i]);
	pool_free(l);
}

static void
sends_advance_slice_by_slice(void)
{
	struct wr_loop *l = pool(0, 0);
	struct wr_sock k = { 0 };
	struct iovec iov[WR_IOV];
	struct wr_slice v[3];
	struct wr_tx *tx;

	v[0] = received(l, 0, 100);
	v[1] = wr_slice_const("constant", 8);
	v[2] = received(l, 0, 50000);
	k.out.data = tx = wr_tx_get(l, v, 3);
	is_int(tx->left, 50108);
	is_int(wr_tx_iov(tx, iov, 0), 3);
	is_int(iov[2].iov_len, 50000);
	is_int(wr_tx_iov(tx, iov, 104), 2);
	is_int(iov[1].iov_len, 4);
	wr_tx_advance(l, &k, 30);
	is_int(wr_tx_iov(tx, iov, 0), 3);
	ok(iov[0].iov_base == v[0].mem + 30 && iov[0].iov_len == 70);
	wr_tx_advance(l, &k, 74);
	is_int(wr_tx_iov(tx, iov, 0), 2);
	ok(memcmp(iov[0].iov_base, "tant", 4) == 0 && iov[0].iov_len == 4);
	wr_tx_advance(l, &k, 4);
	is_int(wr_tx_iov(tx, iov, 0), 1);
	is_int(k.sent, 108);
	is_int(l->stats->send_bytes, 108);
	wr_tx_advance(l, &k, 50000);
	is_int(tx->left, 0);
	is_int(wr_tx_iov(tx, iov, 0), 0);
	wr_tx_put(l, tx);
	pool_free(l);
}

static struct wr_tx *
sending(struct wr_loop *l, uint32_t n)
{
	struct wr_slice s = received(l, 0, n);

	return wr_tx_get(l, &s, 1);
}

static void
remainders_leave_the_pool(void)
{
	struct wr_loop *l = pool(0, 100000);
	struct wr_slice held[192], v[2];
	struct wr_tx *small = sending(l, 4096), *large = sending(l, 50000), *t;
	unsigned n = 0;

	/* A small one always, a large one when blocks are few. */
	wr_tx_spill(l, small);
	is_int(l->stats->spill_bytes, 4096);
	ok(small->v[0].block->heap);
	is_int(small->v[0].mem[4095], 'a' + 4096 % 26);
	wr_tx_spill(l, small); /* once */
	is_int(l->stats->spill_bytes, 4096);
	wr_tx_spill(l, large);
	ok(!large->v[0].block->heap);
	while (l->blocks.n_free > 64)
		if (wr_slice_get(l, &held[n++]) != 0)
			abort();
	wr_tx_spill(l, large);
	ok(large->v[0].block->heap);
	is_int(large->v[0].mem[49999], 'a' + 50000 % 26);
	is_int(l->stats->spill_bytes, 54096);
	/* Several slices become one. */
	v[0] = received(l, 0, 1000);
	v[1] = received(l, 0, 2000);
	t = wr_tx_get(l, v, 2);
	wr_tx_spill(l, t);
	is_int(t->left, 3000);
	is_int(t->n - t->at, 1);
	is_int(t->v[t->at].len, 3000);
	is_int(t->v[t->at].mem[999], 'a' + 1000 % 26);
	is_int(t->v[t->at].mem[1000], 'a' + 2000 % 26);
	wr_tx_put(l, t);
	is_int(l->stats->spill_bytes, 54096);
	/* No room: it stays where it is. */
	t = sending(l, 50000);
	wr_tx_spill(l, t);
	ok(!t->v[0].block->heap);
	ok(!wr_blocks_pressed(l));
	wr_tx_put(l, t);
	wr_tx_put(l, small);
	wr_tx_put(l, large);
	while (n > 0)
		wr_slice_put(l, &held[--n]);
	pool_free(l);
}

/* A second or two later. */
static void
time_goes_by(struct wr_loop *l)
{
	for (int i = 0; i < 2; i++) {
		l->now_ms += 1000;
		wr_blocks_trim(l);
	}
}

static void
what_a_burst_took_goes_back(void)
{
	struct wr_loop *l = pool(0, 0);
	struct wr_block *used = wr_block_get(l), *home = wr_block_get(l),
			*held = wr_block_get(l);

	wr_block_hold(l, held);
	used->mem[7] = home->mem[7] = held->mem[7] = 'x';
	wr_block_put(l, home);
	l->now_ms += 1000;
	wr_blocks_trim(l);
	is_int(home->mem[7], 'x'); /* it may be needed in a moment */
	l->now_ms += 999;
	wr_blocks_trim(l);
	is_int(home->mem[7], 'x');
	l->blocks.unread = true;
	l->now_ms += 1;
	wr_blocks_trim(l);
	is_int(home->mem[7], 0);
	is_int(held->mem[7], 'x'); /* nobody knows what is in it */
	l->blocks.unread = false;
	time_goes_by(l);
	is_int(held->mem[7], 0);
	is_int(used->mem[7], 'x');
	/* What came into it now is young again. */
	held->mem[7] = 'y';
	wr_block_unhold(l, held);
	time_goes_by(l);
	is_int(held->mem[7], 'y');
	wr_block_put(l, held);
	wr_block_put(l, used);
	time_goes_by(l);
	is_int(used->mem[7], 0);
	pool_free(l);
}

int
main(void)
{
	small_messages_share_a_block();
	the_hottest_first();
	all_are_out();
	sends_advance_slice_by_slice();
	remainders_leave_the_pool();
	what_a_burst_took_goes_back();
	return tap_done();
}
