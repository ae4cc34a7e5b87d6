/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pidfile - the pid of the master in a file that is locked as long as it
 * lives, and a folder beside it that names its children.
 *
 * The lock says who is the one weir of this file; the folder lets another
 * process find the children when their master was killed.
 */
#ifndef WR_PIDFILE_H
#define WR_PIDFILE_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/text.h"

/* Open and lock; what stands in the file is left, but only its owner may read
 * it, and so lock it.  `where` ("file:line") says who named it.  The
 * descriptor, or -errno after a line to `errors`: -EWOULDBLOCK if another weir
 * holds it. */
wr_must_check int
wr_pidfile_take(const char *path, const char *where, struct wr_text *errors);
wr_must_check int wr_pidfile_write(int fd, pid_t pid);
/* Remove the file (if it is still this one) and the folder, close. */
void wr_pidfile_remove(const char *path, int fd);
/* What stands in it, or 0. */
pid_t wr_pidfile_read(const char *path);

/* -- Children ------------------------------------------------------------ */

/* `role` is "worker 0"; it and the start time of the process are kept. */
void wr_pidfile_add(const char *path, pid_t child, const char *role);
void wr_pidfile_drop(const char *path, pid_t child);
/* Call `fn` for every child that is named and still lives; entries of others
 * are removed.  How many there were. */
unsigned wr_pidfile_each(const char *path,
    void (*fn)(void *arg, pid_t pid, const char *role), void *arg);

#endif
