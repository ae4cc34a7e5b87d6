/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * daemon - go to the background, but let the first process wait until it is
 * known how the start went.
 */
#ifndef WR_DAEMON_H
#define WR_DAEMON_H

#include "base/base.h"

/* Returns in the child, in a session of its own: 0 and a descriptor for
 * wr_daemon_up(), or -errno.  The parent never returns: it exits with 0 when
 * told, with 1 when the child is gone without a word. */
wr_must_check int wr_daemon_start(int *fd);
/* All is well: let the parent go. */
void wr_daemon_up(int *fd);
/* Away from the terminal: standard descriptors become `null_fd`, but standard
 * error becomes `error_fd` if that is not -1. */
void wr_daemon_detach(int null_fd, int error_fd);

#endif
