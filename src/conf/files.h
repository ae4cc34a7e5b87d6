/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * files - reading what a configuration names, without being trapped by it:
 * regular files only, never waiting, bounded.
 */
#ifndef WR_FILES_H
#define WR_FILES_H

#include <stdint.h>
#include <sys/stat.h>

#include "base/arena.h"

/*
 * All of a regular file, on the heap, followed by a NUL that is not counted.
 * -EISDIR, -ESPIPE (neither file nor directory), -EFBIG (more than `max`), or
 * what open or read says.  `st` may be NULL.
 */
wr_must_check int wr_file_read(
    const char *path, size_t max, char **data, size_t *len, struct stat *st);
/* Why not, in words. */
const char *wr_file_why(int err);

/* So many names are looked at for one pattern. */
#define WR_GLOB_LOOKS 100000u
/* `path`, and what of it comes after `dir` of the call; 0 to go on. */
typedef int wr_glob_fn(const char *path, const char *shown, void *arg);
/* Each file that a pattern stands for, in order; what is none stands for
 * itself.  What the function returned last, -ENOMEM, or -E2BIG before it was
 * called: wildcards lead too far. */
wr_must_check int
wr_path_glob(const char *dir, const char *pattern, wr_glob_fn *fn, void *arg);

/* `path` if it is absolute, else `dir`/`path`; in the arena, NULL if full. */
wr_must_check char *
wr_path_join(struct wr_arena *a, const char *dir, const char *path);
/* All before the last slash; "." if there is none. */
wr_must_check char *wr_path_dir(struct wr_arena *a, const char *path);
/* The same for a path that starts in the current directory, absolute. */
wr_must_check char *wr_path_home(struct wr_arena *a, const char *path);

#endif
