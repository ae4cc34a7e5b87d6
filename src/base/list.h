/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * list - a ring of nodes that live inside the objects they link.
 *
 * A head is a node that belongs to no object.  A node that is in no list
 * points at itself, so removing twice does no harm.
 */
#ifndef WR_LIST_H
#define WR_LIST_H

#include <stdbool.h>

#include "base/base.h"

struct wr_list {
	struct wr_list *next, *prev;
};

#define WR_LIST_INIT(head)                                                     \
	{                                                                      \
		&(head), &(head)                                               \
	}

static inline void
wr_list_init(struct wr_list *n)
{
	n->next = n->prev = n;
}

static inline bool
wr_list_empty(const struct wr_list *head)
{
	return head->next == head;
}

/* Insert at the end. */
static inline void
wr_list_push(struct wr_list *head, struct wr_list *n)
{
	n->next = head;
	n->prev = head->prev;
	head->prev->next = n;
	head->prev = n;
}

/* Insert at the front. */
static inline void
wr_list_unshift(struct wr_list *head, struct wr_list *n)
{
	wr_list_push(head->next, n);
}

static inline void
wr_list_remove(struct wr_list *n)
{
	n->prev->next = n->next;
	n->next->prev = n->prev;
	n->next = n->prev = n;
}

/* Move everything from `from` to the end of `to`; `from` is then empty. */
static inline void
wr_list_splice(struct wr_list *to, struct wr_list *from)
{
	if (wr_list_empty(from))
		return;
	from->next->prev = to->prev;
	to->prev->next = from->next;
	from->prev->next = to;
	to->prev = from->prev;
	wr_list_init(from);
}

/* The first or last node; the list must not be empty. */
static inline struct wr_list *
wr_list_first(struct wr_list *head)
{
	return head->next;
}

static inline struct wr_list *
wr_list_last(struct wr_list *head)
{
	return head->prev;
}

#define wr_list_each(n, head)                                                  \
	for (struct wr_list *n = (head)->next; n != (head); n = n->next)

/* As wr_list_each, but the body may remove `n`. */
#define wr_list_each_safe(n, head)                                             \
	for (struct wr_list *n = (head)->next, *n##_next = n->next;            \
	     n != (head); n = n##_next, n##_next = n->next)

#endif
