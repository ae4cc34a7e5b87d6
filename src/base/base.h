/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * base - what every file may assume of the compiler.
 *
 * Everything that can fail is wr_must_check: 0 or a count is success, a
 * failure is a negative errno, a pointer fails with NULL and errno.
 */
#ifndef WR_BASE_H
#define WR_BASE_H

#include <stddef.h>

#define wr_must_check   __attribute__((warn_unused_result))
#define wr_printf(f, a) __attribute__((format(printf, f, a)))
#define wr_noreturn     __attribute__((noreturn))
#define wr_unused       __attribute__((unused))

#define WR_COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* The object whose `member` is at `ptr`. */
#define wr_container_of(ptr, type, member)                                     \
	((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#endif
