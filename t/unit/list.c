/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/list.h"

#include "tap.h"

struct item {
	char letter;
	struct wr_list link;
};

static struct wr_list head = WR_LIST_INIT(head);
static struct item a = { .letter = 'a' }, b = { .letter = 'b' },
		   c = { .letter = 'c' };

/* The letters of a list, forwards; it must read the same backwards. */
static const char *
letters(struct wr_list *l)
{
	static char text[16];
	size_t n = 0;

	wr_list_each (i, l)
		text[n++] = wr_container_of(i, struct item, link)->letter;
	text[n] = '\0';
	for (struct wr_list *i = l->prev; i != l; i = i->prev) {
		if (wr_container_of(i, struct item, link)->letter != text[--n])
			return "broken";
	}
	return text;
}

static void
setup(void)
{
	wr_list_init(&head);
	wr_list_init(&a.link);
	wr_list_init(&b.link);
	wr_list_init(&c.link);
}

static void
nodes_stay_in_order(void)
{
	ok(wr_list_empty(&head));
	setup();
	ok(wr_list_empty(&head));
	wr_list_push(&head, &b.link);
	wr_list_push(&head, &c.link);
	wr_list_unshift(&head, &a.link);
	ok(!wr_list_empty(&head));
	is_str(letters(&head), "abc");
	ok(wr_list_first(&head) == &a.link);
	ok(wr_list_last(&head) == &c.link);
}

static void
removing_twice_does_no_harm(void)
{
	setup();
	wr_list_push(&head, &a.link);
	wr_list_push(&head, &b.link);
	wr_list_push(&head, &c.link);
	wr_list_remove(&b.link);
	wr_list_remove(&b.link);
	is_str(letters(&head), "ac");
	ok(wr_list_empty(&b.link));
	wr_list_remove(&a.link);
	wr_list_remove(&c.link);
	ok(wr_list_empty(&head));
}

static void
a_walk_may_remove_where_it_stands(void)
{
	setup();
	wr_list_push(&head, &a.link);
	wr_list_push(&head, &b.link);
	wr_list_push(&head, &c.link);
	wr_list_each_safe (i, &head) {
		if (i != &b.link)
			wr_list_remove(i);
	}
	is_str(letters(&head), "b");
}

static void
a_list_moves_as_a_whole(void)
{
	struct wr_list other = WR_LIST_INIT(other);

	setup();
	wr_list_push(&head, &a.link);
	wr_list_splice(&head, &other);
	is_str(letters(&head), "a");
	wr_list_push(&other, &b.link);
	wr_list_push(&other, &c.link);
	wr_list_splice(&head, &other);
	is_str(letters(&head), "abc");
	ok(wr_list_empty(&other));
	wr_list_splice(&other, &head);
	is_str(letters(&other), "abc");
	ok(wr_list_empty(&head));
}

int
main(void)
{
	nodes_stay_in_order();
	removing_twice_does_no_harm();
	a_walk_may_remove_where_it_stands();
	a_list_moves_as_a_whole();
	return tap_done();
}
