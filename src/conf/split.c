/* SPDX-License-Identifier: BSD-2-Clause */
/* split - one upstream, or a weighted choice: { green = 5; blue = 95; }. */
#include "conf/core.h"

#define WEIGHT_MAX 1000000

const char *const wr_splits[] = { "random", "client", NULL };

const char *
wr_split_moot(const struct wr_split *split, const char *key)
{
	return split == NULL && strcmp(key, "split_on") == 0
		   ? "there is nothing to decide: write upstream = { a = 1; "
		     "b = 2; } beside it"
		   : NULL;
}

void
wr_check_to(struct wr_check *c, const struct wr_node *n,
    const struct wr_upstream_conf **upstream, const struct wr_split **split)
{
	static const struct wr_key weight = { "weight", WR_INT, 0, "", "",
		.max = WEIGHT_MAX };
	const char *z;
	struct wr_split *s;
	struct wr_share *v;
	uint32_t i = 0, errors = c->errs->total;

	*split = NULL;
	if (n->kind != WR_N_GROUP) {
		z = wr_check_text(c, n);
		if (z != NULL)
			*upstream = wr_check_upstream(c, n, z);
		return;
	}
	s = wr_check_alloc(c, sizeof(*s));
	/* A broken choice is one, too. */
	*split = s;
	v = wr_check_array(c, n->n, sizeof(*v));
	for (const struct wr_node *m = n->first; m != NULL; m = m->next) {
		v[i].upstream = wr_check_upstream(c, m, m->name);
		wr_check_value(c, &weight, m, &v[i].weight);
		s->sum += v[i++].weight;
	}
	if (c->errs->total > errors)
		return;
	if (s->sum == 0) {
		wr_check_error(c, n, "no upstream has a weight above 0");
		return;
	}
	s->v = v;
	s->n = i;
	*upstream = v[0].upstream;
}
