/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pcre - regular expressions over bytes, with a limit on the work of one
 * match: the only place that knows PCRE2.
 */
#ifndef WR_PCRE_H
#define WR_PCRE_H

#include <stddef.h>

#include "base/base.h"

struct wr_pcre;

/* `^` and `$` match at lines, `.` matches line ends too. */
#define WR_PCRE_LINES  1u
#define WR_PCRE_NOCASE 2u

/* NULL after writing to `why` what is wrong, and where. */
struct wr_pcre *
wr_pcre_new(const char *pattern, unsigned flags, char *why, size_t size);
/* Leaves NULL. */
void wr_pcre_free(struct wr_pcre **re);
/* 1 it matches, 0 it does not, -E2BIG it would take too long to tell,
 * -ENOMEM. */
wr_must_check int
wr_pcre_match(const struct wr_pcre *re, const void *p, size_t len);

#endif
