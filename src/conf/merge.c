/* SPDX-License-Identifier: BSD-2-Clause */
/* merge - all files as one tree; see core.h. */
#include "conf/core.h"

static void
append(struct wr_node *up, struct wr_node *n)
{
	n->parent = up;
	n->next = NULL;
	if (up->last != NULL)
		up->last->next = n;
	else
		up->first = n;
	up->last = n;
	up->n++;
}

static struct wr_node *
get(const struct wr_node *g, const char *name)
{
	return (struct wr_node *)(uintptr_t)wr_node_get(g, name);
}

static void
twice(struct wr_check *c, const struct wr_node *n, const struct wr_node *first)
{
	wr_check_error(c, n, "it is written twice; the first is at %s:%u",
	    first->src->name, first->line);
}

/* `n` has no `listen`: its routes belong to `l`. */
static void
add_routes(struct wr_check *c, struct wr_node *l, struct wr_node *n)
{
	struct wr_node *from = NULL, *to = get(l, "routes"), *next;

	for (struct wr_node *m = n->first; m != NULL; m = m->next) {
		if (strcmp(m->name, "routes") == 0)
			from = m;
		else
			wr_check_error(c, m,
			    "only routes can be added to a listener that is "
			    "written elsewhere (at %s:%u)",
			    l->src->name, l->line);
	}
	if (from == NULL)
		return;
	if (to == NULL) {
		append(l, from);
		return;
	}
	if (to->kind != WR_N_LIST || from->kind != WR_N_LIST) {
		wr_check_error(c, from->kind != WR_N_LIST ? from : to,
		    "routes that are added to each other are lists ( )");
		return;
	}
	for (struct wr_node *m = from->first; m != NULL; m = next) {
		next = m->next;
		append(to, m);
	}
}

/* Entries of one name: one has `listen`, the others add routes to it. */
static void
fold_listeners(struct wr_check *c, struct wr_node *all)
{
	struct wr_names *names = wr_names_new(c, all->n);
	struct wr_node *n, *next, *first;

	for (n = all->first; n != NULL; n = n->next)
		if (get(n, "listen") != NULL) {
			first = wr_names_add(names, n->name, n);
			if (first != NULL)
				twice(c, n, first);
		}
	n = all->first;
	all->first = all->last = NULL;
	all->n = 0;
	for (; n != NULL; n = next) {
		next = n->next;
		first = wr_names_find(names, n->name);
		if (first == NULL || first == n)
			append(all, n);
		else if (get(n, "listen") == NULL && n->kind == WR_N_GROUP)
			add_routes(c, first, n);
		/* What listens twice was reported, and is dropped. */
	}
}

static void
fold_upstreams(struct wr_check *c, const struct wr_node *all)
{
	struct wr_names *names = wr_names_new(c, all->n);
	struct wr_node *first;

	for (struct wr_node *n = all->first; n != NULL; n = n->next) {
		first = wr_names_add(names, n->name, n);
		if (first != NULL)
			twice(c, n, first);
	}
}

static bool
mergeable(const struct wr_node *a, const struct wr_node *b)
{
	return (strcmp(a->name, "upstreams") == 0 ||
		   strcmp(a->name, "listeners") == 0) &&
	       a->kind == b->kind &&
	       (a->kind == WR_N_GROUP || a->kind == WR_N_LIST);
}

static void
take(struct wr_check *c, struct wr_node *root, struct wr_node *n)
{
	struct wr_node *there = get(root, n->name), *next;

	if (there == NULL) {
		append(root, n);
	} else if (!mergeable(there, n)) {
		twice(c, n, there);
	} else {
		for (struct wr_node *m = n->first; m != NULL; m = next) {
			next = m->next;
			append(there, m);
		}
	}
}

const struct wr_node *
wr_merge(struct wr_check *c, struct wr_node *files)
{
	struct wr_node *root = wr_check_scratch(c, sizeof(*root));
	struct wr_node *all, *next;

	root->kind = WR_N_GROUP;
	root->src = files->first->src;
	root->line = 1;
	for (struct wr_node *f = files->first; f != NULL; f = f->next)
		for (struct wr_node *n = f->first; n != NULL; n = next) {
			next = n->next;
			take(c, root, n);
		}
	/* Within one file names are unique: the scan saw to that. */
	if (files->n == 1)
		return root;
	all = get(root, "upstreams");
	if (all != NULL && all->kind == WR_N_GROUP)
		fold_upstreams(c, all);
	all = get(root, "listeners");
	if (all != NULL && all->kind == WR_N_GROUP)
		fold_listeners(c, all);
	return root;
}
