/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * crash - a process that dies of a fault writes where it was, then dies of it.
 *
 * The same handler writes the stack of a living process on SIGUSR2, which is
 * how the master learns where a late worker is.
 */
#ifndef WR_CRASH_H
#define WR_CRASH_H

#include "base/base.h"

/* Install the handlers, on a stack of their own; `fd` (lent) is where the
 * lines go.  `who` is kept.  0 or -errno. */
wr_must_check int wr_crash_init(const char *who, int fd);
void wr_crash_fd(int fd);
/* Answer SIGUSR2 with the stack. */
wr_must_check int wr_crash_on_demand(void);

#endif
