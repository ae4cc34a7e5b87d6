/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * print - settings as text that can be read back (private to dump.c).
 */
#ifndef WR_PRINT_H
#define WR_PRINT_H

#include "conf/core.h"

struct wr_print {
	const struct wr_check *c;
	struct wr_text *out;
	unsigned depth;
	const char *principal; /* of the group in hand */
	bool switched;         /* it can be off */
	bool comment;          /* values are printed as comments */
};

/* "name = {"; `name` NULL in lists. */
void wr_print_open(struct wr_print *p, const char *name, char bracket);
/* "};", and the same as a member of a list. */
void wr_print_close(struct wr_print *p, char bracket);
void wr_print_close_item(struct wr_print *p, char bracket, bool more);
/* A member of a list. */
void wr_print_item(struct wr_print *p, const struct wr_key *k,
    const struct wr_node *n, bool more);
/* "name = value;  # where, effect".  `n` NULL: the preset. */
void wr_print_key(
    struct wr_print *p, const struct wr_key *k, const struct wr_node *n);
/* A group or list just as it was written. */
void wr_print_written(
    struct wr_print *p, const struct wr_key *k, const struct wr_node *n);
/* A value that is given as text. */
void wr_print_word(struct wr_print *p, const char *name, const char *word,
    const struct wr_node *n, enum wr_effect e);

#endif
