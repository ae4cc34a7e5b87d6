/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * drop - what a process gives up: root, descriptors of others; and what it
 * may have: limits.
 */
#ifndef WR_DROP_H
#define WR_DROP_H

#include <stdint.h>
#include <sys/types.h>

#include "base/text.h"

struct wr_conf;

/* Raise the limits: memory for rings, and descriptors to the hard limit, which
 * is returned. */
uint64_t wr_drop_limit(void);
/* Close every descriptor that is not in `keep`, which is sorted here; those
 * that are -1 do not count. */
void wr_drop_fds(int *keep, size_t n);
/* Who a child of root's will be; false if there is no such user. */
wr_must_check bool
wr_drop_who(const struct wr_conf *c, const char **name, uid_t *uid, gid_t *gid);
/* Will it be somebody who is?  Looks without doing.  0, or -1 after a line to
 * `errors`; `notices` gets what is not done as it was perhaps expected. */
wr_must_check int wr_drop_check(
    const struct wr_conf *c, struct wr_text *errors, struct wr_text *notices);
/* Be it, for good: groups, gid, uid, no new privileges.  0, or -errno and
 * what failed in *what. */
wr_must_check int wr_drop_user(const struct wr_conf *c, const char **what);

#endif
