/* SPDX-License-Identifier: BSD-2-Clause */
/* names - a table from names to things; see core.h. */
#include "base/hash.h"
#include "conf/core.h"

struct entry {
	const char *name;
	void *thing;
};

struct wr_names {
	struct entry *v;
	uint32_t n, size; /* a power of 2, never more than half full */
	struct wr_check *check;
};

struct wr_names *
wr_names_new(struct wr_check *c, uint32_t n)
{
	struct wr_names *t = wr_check_scratch(c, sizeof(*t));

	t->check = c;
	t->size = 16;
	while (t->size < n * 2)
		t->size *= 2;
	t->v = wr_check_scratch(c, t->size * sizeof(*t->v));
	return t;
}

static uint32_t
slot(const struct wr_names *t, const char *name)
{
	static const struct wr_hash_key key = { { 3, 4 } };
	uint32_t i =
	    (uint32_t)wr_hash(&key, name, strlen(name)) & (t->size - 1);

	while (t->v[i].name != NULL && strcmp(t->v[i].name, name) != 0)
		i = (i + 1) & (t->size - 1);
	return i;
}

void *
wr_names_find(const struct wr_names *t, const char *name)
{
	return t->v[slot(t, name)].thing;
}

static void
grow(struct wr_names *t)
{
	const struct entry *old = t->v;
	uint32_t n = t->size;

	t->size *= 2;
	t->v = wr_check_scratch(t->check, t->size * sizeof(*t->v));
	for (uint32_t i = 0; i < n; i++)
		if (old[i].name != NULL)
			t->v[slot(t, old[i].name)] = old[i];
}

void *
wr_names_add(struct wr_names *t, const char *name, void *thing)
{
	uint32_t i = slot(t, name);

	if (t->v[i].name != NULL)
		return t->v[i].thing;
	if (++t->n * 2 > t->size) {
		grow(t);
		i = slot(t, name);
	}
	t->v[i] = (struct entry){ name, thing };
	return NULL;
}
