/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/arena.h"

#include <errno.h>

#include "tap.h"

static _Alignas(16) char mem[256];

static struct wr_arena
start(size_t size)
{
	struct wr_arena a;

	memset(mem, 0xaa, sizeof(mem));
	wr_arena_init(&a, mem, size);
	return a;
}

static bool
zero(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (p[i] != 0)
			return false;
	}
	return true;
}

static void
memory_is_zero_and_aligned(void)
{
	struct wr_arena a = start(sizeof(mem));
	char *p = wr_arena_alloc(&a, 3), *q = wr_arena_alloc(&a, 20);

	ok(p != NULL && q != NULL);
	ok((uintptr_t)p % 16 == 0 && (uintptr_t)q % 16 == 0);
	ok(zero(p, 3) && zero(q, 20));
	ok(q >= p + 3);
}

static void
a_crooked_start_is_made_straight(void)
{
	struct wr_arena a;
	char *p;

	wr_arena_init(&a, mem + 1, 64);
	p = wr_arena_alloc(&a, 8);
	ok(p == mem + 16);
	/* The padding counts: 15 of 64 bytes are gone. */
	p = wr_arena_alloc(&a, 33);
	ok(p == mem + 32);
	errno = 0;
	p = wr_arena_alloc(&a, 1);
	ok(p == NULL && errno == ENOMEM);
}

static void
a_full_arena_says_so_and_remembers(void)
{
	struct wr_arena a = start(64);
	char *p = wr_arena_alloc(&a, 64);

	ok(p == mem);
	ok(!a.full);
	errno = 0;
	p = wr_arena_alloc(&a, 1);
	ok(p == NULL && errno == ENOMEM);
	ok(a.full);

	a = start(64);
	p = wr_arena_alloc(&a, 65);
	ok(p == NULL && a.full);
	p = wr_arena_alloc(&a, 64);
	ok(p == mem && a.full);
	wr_arena_init(&a, NULL, 0);
	p = wr_arena_alloc(&a, 0);
	ok(p == NULL);
}

static void
sizes_that_overflow_are_refused(void)
{
	struct wr_arena a = start(sizeof(mem));
	char *p;

	p = wr_arena_alloc(&a, SIZE_MAX);
	ok(p == NULL);
	errno = 0;
	p = wr_arena_array(&a, SIZE_MAX / 2, 3);
	ok(p == NULL && errno == ENOMEM);
	p = wr_arena_array(&a, (SIZE_MAX >> 4) + 1, 16);
	ok(p == NULL && a.full);
	p = wr_arena_str(&a, (struct wr_str){ "x", SIZE_MAX });
	ok(p == NULL);
	is_int(a.used, 0);
	p = wr_arena_array(&a, 4, 8);
	ok(p != NULL && zero(p, 32));
	is_int(a.used, 32);
}

static void
nothing_has_an_address_of_its_own(void)
{
	struct wr_arena a = start(64);
	char *p = wr_arena_alloc(&a, 0), *q = wr_arena_array(&a, 0, 8);

	ok(p != NULL && q != NULL && p != q);
}

static void
copies_are_whole(void)
{
	struct wr_arena a = start(64);
	char *p = wr_arena_str(&a, WR_STR("abc"));
	char *q = wr_arena_copy(&a, "xyz", 3);

	is_str(p, "abc");
	ok(q != NULL && memcmp(q, "xyz", 3) == 0);
	p = wr_arena_str(&a, (struct wr_str){ NULL, 0 });
	is_str(p, "");
	q = wr_arena_copy(&a, NULL, 0);
	ok(q != NULL);
	q = wr_arena_copy(&a, mem, 65);
	ok(q == NULL);
	/* Strings lie close together. */
	a = start(4);
	p = wr_arena_str(&a, WR_STR("a"));
	q = wr_arena_str(&a, WR_STR("b"));
	ok(p == mem && q == mem + 2);
	is_str(p, "a");
	is_str(q, "b");
}

int
main(void)
{
	memory_is_zero_and_aligned();
	a_crooked_start_is_made_straight();
	a_full_arena_says_so_and_remembers();
	sizes_that_overflow_are_refused();
	nothing_has_an_address_of_its_own();
	copies_are_whole();
	return tap_done();
}
