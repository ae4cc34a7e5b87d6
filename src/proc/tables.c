/* SPDX-License-Identifier: BSD-2-Clause */
/* tables - runs of buckets, the first that fits. */
#include "proc/tables.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "conf/conf.h"
#include "proxy/sticky.h"

#define NONE UINT32_MAX

struct known {
	uint64_t named; /* youngest generation that names it */
	uint64_t run;   /* the same of those that were committed; 0: none */
};

struct wr_tables {
	const struct wr_stats *st;
	struct wr_sticky_extent *v; /* in the region */
	struct known known[WR_STICKY_TABLES];
	uint64_t run;  /* the committed generation */
	uint32_t unit; /* buckets of a page */
	uint32_t next; /* where to look for room first */
};

/* A table has its pages for itself. */
static uint32_t
room_of(const struct wr_tables *t, uint32_t n)
{
	return (n + t->unit - 1) / t->unit * t->unit;
}

/* Nobody looks at them; they cost no memory until they are used again. */
static void
clear(const struct wr_tables *t, const struct wr_sticky_extent *x)
{
	struct wr_sticky_bucket *b = &t->st->sticky_buckets[x->first];
	size_t bytes = (size_t)room_of(t, x->n) * sizeof(*b);

#ifdef MADV_REMOVE
	if (madvise(b, bytes, MADV_REMOVE) == 0)
		return;
#endif
	memset(b, 0, bytes);
}

static void
release(struct wr_tables *t, uint32_t i)
{
	wr_store(&t->v[i].used, 0);
	clear(t, &t->v[i]);
}

struct wr_tables *
wr_tables_new(struct wr_shm *m)
{
	struct wr_tables *t = calloc(1, sizeof(*t));
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	if (t == NULL)
		return NULL;
	t->st = m->stats;
	t->v = m->stats->sticky->v;
	t->unit = 1;
	if (page > sizeof(struct wr_sticky_bucket))
		t->unit = (uint32_t)(page / sizeof(struct wr_sticky_bucket));
	return t;
}

void
wr_tables_free(struct wr_tables **t)
{
	free(*t);
	*t = NULL;
}

void
wr_tables_reload(struct wr_tables *t, uint64_t run)
{
	for (uint32_t i = 0; i < WR_STICKY_TABLES; i++)
		if (t->v[i].used)
			t->known[i] = (struct known){ run, run };
	t->run = run;
}

/* The first room from `from` on, or NONE. */
static uint32_t
room_from(const struct wr_tables *t, uint32_t from, uint32_t n)
{
	for (uint32_t i = 0; i < WR_STICKY_TABLES; i++) {
		const struct wr_sticky_extent *x = &t->v[i];

		if (!x->used || from >= x->first + room_of(t, x->n) ||
		    from + n <= x->first)
			continue;
		from = x->first + room_of(t, x->n);
		if (n > WR_STICKY_BUCKETS - from)
			return NONE;
		i = NONE; /* once more, from the first */
	}
	return n <= WR_STICKY_BUCKETS - from ? from : NONE;
}

static uint32_t
take(struct wr_tables *t, uint32_t owner, uint32_t n)
{
	struct wr_sticky_extent *x;
	uint32_t i = 0, first = room_from(t, t->next, room_of(t, n));

	while (i < WR_STICKY_TABLES && t->v[i].used)
		i++;
	if (first == NONE)
		first = room_from(t, 0, room_of(t, n));
	if (i == WR_STICKY_TABLES || first == NONE)
		return NONE;
	x = &t->v[i];
	x->owner = owner;
	x->first = first;
	x->n = n;
	__atomic_store_n(&x->used, 1, __ATOMIC_RELEASE);
	t->known[i] = (struct known){ 0, 0 };
	t->next = first + room_of(t, n);
	/* The last master may have been killed before it cleared them. */
	clear(t, x);
	return i;
}

/* Of that owner, and of that size unless it is 0: the one in use, else any. */
static uint32_t
find(const struct wr_tables *t, uint32_t owner, uint32_t n)
{
	uint32_t found = NONE;

	for (uint32_t i = 0; i < WR_STICKY_TABLES; i++) {
		const struct wr_sticky_extent *x = &t->v[i];

		if (!x->used || x->owner != owner || (n != 0 && x->n != n))
			continue;
		if (found == NONE || t->known[i].run > t->known[found].run)
			found = i;
	}
	return found;
}

static struct wr_sticky_table
table(const struct wr_tables *t, uint32_t i, const struct wr_sticky_conf *c)
{
	struct wr_sticky_conf at = *c;
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	at.first = t->v[i].first;
	at.buckets = t->v[i].n;
	return wr_sticky_table_of(t->st, &at, (uint64_t)ts.tv_sec * 1000);
}

static void
copy(struct wr_tables *t, uint32_t to, uint32_t from,
    const struct wr_sticky_conf *c)
{
	struct wr_sticky_table a = table(t, to, c), b = table(t, from, c);

	wr_sticky_copy(&a, &b);
}

static int
settle(struct wr_tables *t, struct wr_upstream_conf *u, uint64_t generation,
    struct wr_text *errors)
{
	struct wr_sticky_conf *c = &u->sticky;
	uint32_t n = wr_sticky_buckets(c->size), i = find(t, u->cell, n);
	uint32_t last = find(t, u->cell, 0);
	bool fresh = i == NONE;

	if (fresh)
		i = take(t, u->cell, n);
	if (i == NONE) {
		wr_text_printf(errors,
		    "%s: sticky.size = %u finds no place in shared memory, "
		    "which has room for %u clients in %u upstreams\n",
		    u->where, c->size,
		    WR_STICKY_BUCKETS / 3 * 2 * WR_STICKY_WAYS,
		    WR_STICKY_TABLES);
		return -ENOSPC;
	}
	/* One that was in use before the last one knows old news. */
	if (last != NONE && last != i) {
		if (!fresh)
			clear(t, &t->v[i]);
		copy(t, i, last, c);
	}
	t->known[i].named = generation;
	c->first = t->v[i].first;
	c->buckets = n;
	return 0;
}

int
wr_tables_settle(struct wr_tables *t, struct wr_conf *c, struct wr_text *errors)
{
	int err = 0;

	for (uint32_t i = 0; err == 0 && i < c->n_upstreams; i++)
		if (c->upstreams[i]->sticky.on != WR_STICKY_OFF)
			err = settle(t, c->upstreams[i], c->generation, errors);
	return err;
}

void
wr_tables_commit(struct wr_tables *t, uint64_t generation)
{
	for (uint32_t i = 0; i < WR_STICKY_TABLES; i++)
		if (t->known[i].named == generation)
			t->known[i].run = generation;
	t->run = generation;
}

void
wr_tables_abort(struct wr_tables *t, uint64_t generation)
{
	for (uint32_t i = 0; i < WR_STICKY_TABLES; i++) {
		struct known *known = &t->known[i];

		if (!t->v[i].used || known->named != generation)
			continue;
		known->named = known->run;
		if (known->run == 0)
			release(t, i);
	}
}

void
wr_tables_sweep(struct wr_tables *t, uint64_t oldest)
{
	for (uint32_t i = 0; i < WR_STICKY_TABLES; i++)
		if (t->v[i].used && t->known[i].named < t->run &&
		    t->known[i].named < oldest)
			release(t, i);
}
