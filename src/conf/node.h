/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * node - the configuration as a tree of what was written, before anybody
 * knows what it means.
 *
 * Nodes live as long as one load.  Texts are ended by a NUL and hold no other.
 */
#ifndef WR_NODE_H
#define WR_NODE_H

#include <stdbool.h>
#include <stdint.h>

#include "conf/errs.h"

enum wr_kind {
	WR_N_GROUP, /* { } */
	WR_N_LIST,  /* ( ) */
	WR_N_ARRAY, /* [ ] */
	WR_N_TEXT,
	WR_N_INT,
	WR_N_BOOL,
	WR_N_FLOAT
};

struct wr_node {
	const char *name; /* NULL: a member of a list */
	const struct wr_source *src;
	uint32_t line;
	uint8_t kind;     /* enum wr_kind */
	bool secret;      /* came from a file: never shown */
	bool bad;         /* refused already: be silent */
	bool seen;        /* looked at (routes added by other files) */
	const char *text; /* of a scalar; numbers as written */
	const char *raw;  /* a text before ${...} was filled in, or NULL */
	int64_t num;      /* of a number or bool */
	struct wr_node *parent;
	struct wr_node *first, *last, *next;
	uint32_t n; /* children */
};

/* The child of that name, or NULL. */
static inline const struct wr_node *
wr_node_get(const struct wr_node *g, const char *name)
{
	if (g == NULL || g->kind != WR_N_GROUP)
		return NULL;
	for (const struct wr_node *n = g->first; n != NULL; n = n->next)
		if (strcmp(n->name, name) == 0)
			return n;
	return NULL;
}

static inline bool
wr_node_plural(const struct wr_node *n)
{
	return n->kind == WR_N_LIST || n->kind == WR_N_ARRAY;
}

#endif
