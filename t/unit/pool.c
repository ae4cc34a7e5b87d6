/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/pool.h"

#include <errno.h>

#include "tap.h"

struct thing {
	void *chain;
	int a, b;
};

static void
the_last_one_freed_is_the_first_one_out(void)
{
	struct wr_pool p;
	struct thing *x, *y, *z;

	is_int(wr_pool_init(&p, sizeof(*x), _Alignof(struct thing), 3), 0);
	x = wr_pool_get(&p);
	y = wr_pool_get(&p);
	ok(x != NULL && y != NULL && x != y);
	is_int(p.used, 2);
	wr_pool_put(&p, x);
	wr_pool_put(&p, y);
	z = wr_pool_get(&p);
	ok(z == y);
	z = wr_pool_get(&p);
	ok(z == x);
	wr_pool_put(&p, x);
	wr_pool_put(&p, y);
	wr_pool_fini(&p);
	ok(p.mem == NULL);
	wr_pool_fini(&p);
}

static void
an_empty_pool_says_so(void)
{
	struct wr_pool p;
	struct thing *x, *y, *none;

	is_int(wr_pool_init(&p, sizeof(*x), _Alignof(struct thing), 2), 0);
	x = wr_pool_get(&p);
	y = wr_pool_get(&p);
	errno = 0;
	none = wr_pool_get(&p);
	ok(none == NULL && errno == ENOMEM);
	is_int(p.used, 2);
	is_int(wr_pool_index(&p, x), 0);
	is_int(wr_pool_index(&p, y), 1);
	wr_pool_put(&p, y);
	none = wr_pool_get(&p);
	ok(none == y);
	wr_pool_put(&p, x);
	wr_pool_put(&p, y);
	wr_pool_fini(&p);
}

static void
objects_are_zero_first_and_keep_their_contents_later(void)
{
	struct wr_pool p;
	struct thing *x;

	is_int(wr_pool_init(&p, sizeof(*x), _Alignof(struct thing), 2), 0);
	x = wr_pool_get(&p);
	ok(x->chain == NULL && x->a == 0 && x->b == 0);
	x->a = 1;
	x->b = 2;
	wr_pool_put(&p, x);
	is_int(x->b, 2); /* a stale pointer meets the same type */
	x = wr_pool_get(&p);
	ok(x->a == 1 && x->b == 2);
	wr_pool_put(&p, x);
	wr_pool_fini(&p);
}

static void
sizes_are_rounded_up_to_the_alignment(void)
{
	struct wr_pool p;
	char *x, *y;

	is_int(wr_pool_init(&p, 1, 1, 2), 0);
	is_int(p.size, sizeof(void *));
	wr_pool_fini(&p);
	is_int(wr_pool_init(&p, 65, 64, 2), 0);
	is_int(p.size, 128);
	x = wr_pool_get(&p);
	y = wr_pool_get(&p);
	ok((uintptr_t)x % 64 == 0);
	ok(y == x + 128);
	wr_pool_put(&p, y);
	wr_pool_put(&p, x);
	wr_pool_fini(&p);
}

static void
a_large_pool_costs_nothing_until_it_is_used(void)
{
	struct wr_pool p;
	char *x;

	/* 64 GiB. */
	if (wr_pool_init(&p, 65536, 64, 1U << 20) == -ENOMEM) {
		diag("no address space for this here");
		return;
	}
	x = wr_pool_get(&p);
	ok(x != NULL && x[65535] == 0);
	wr_pool_put(&p, x);
	wr_pool_fini(&p);
}

static void
what_cannot_be_mapped_is_refused(void)
{
	struct wr_pool p;

	is_int(wr_pool_init(&p, SIZE_MAX, 64, 1), -ENOMEM);
	is_int(wr_pool_init(&p, SIZE_MAX / 2, 8, 8), -ENOMEM);
	is_int(wr_pool_init(&p, SIZE_MAX / 4, 8, 1), -ENOMEM);
}

int
main(void)
{
	the_last_one_freed_is_the_first_one_out();
	an_empty_pool_says_so();
	objects_are_zero_first_and_keep_their_contents_later();
	sizes_are_rounded_up_to_the_alignment();
	a_large_pool_costs_nothing_until_it_is_used();
	what_cannot_be_mapped_is_refused();
	return tap_done();
}
