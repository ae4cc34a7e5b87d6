/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * str - text as pointer and length, never owned, not ended by a NUL.
 */
#ifndef WR_STR_H
#define WR_STR_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/base.h"

struct wr_str {
	const char *p;
	size_t len;
};

/* For printf: ("%.*s", WR_STR_ARG(s)). */
#define WR_STR_ARG(s) (int)(s).len, (s).p
#define WR_STR(lit)   ((struct wr_str){ (lit), sizeof(lit) - 1 })

static inline struct wr_str
wr_str_of(const char *z)
{
	return (struct wr_str){ z, strlen(z) };
}

bool wr_str_eq(struct wr_str a, struct wr_str b);
bool wr_str_is(struct wr_str a, const char *z);
bool wr_str_starts(struct wr_str a, const char *z);
bool wr_str_ends(struct wr_str a, const char *z);

/* Without white space at both ends. */
struct wr_str wr_str_trim(struct wr_str s);

/* Cut at the first `c`: *head is what stands before it, *tail what follows.
 * False, and all is head, if there is none. */
bool
wr_str_cut(struct wr_str s, char c, struct wr_str *head, struct wr_str *tail);

/* All of `s` as a decimal number; -EINVAL for anything but digits, -ERANGE
 * above `max`. */
wr_must_check int wr_str_u64(struct wr_str s, uint64_t max, uint64_t *out);

/* The value of a hexadecimal digit, or -1. */
int wr_str_hex(char c);

/*
 * How many single-letter edits (insert, drop, change, swap neighbours) lead
 * from `a` to `b`; letters that differ only in case count as equal.  Texts
 * longer than 64 bytes are infinitely far apart (SIZE_MAX).
 */
size_t wr_str_distance(struct wr_str a, struct wr_str b);

#endif
