/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * log - what the process says: one printable line an event, to a descriptor.
 *
 * The one that decides what to do about an error logs it, once.  wr_warn() and
 * wr_error() add ": " and strerror(errno); all others, and those with an x, say
 * just the text.  errno is left alone.  A line that repeats the one before is
 * held back and counted; the count is written with the next other line or by
 * wr_log_flush(), after which the same text is written anew.  Writing never
 * blocks for long and never fails the caller: lines that cannot be written
 * are counted in wr_log_lost().
 */
#ifndef WR_LOG_H
#define WR_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

enum wr_level {
	WR_DEBUG,
	WR_INFO,
	WR_NOTICE,
	WR_WARN,
	WR_ERROR
};

enum wr_log_format {
	WR_LOG_TEXT,
	WR_LOG_JSON
};

struct wr_log_conf {
	int fd; /* lent; -1: syslog(3) */
	enum wr_level level;
	enum wr_log_format format;
};

/* Text: "2026-11-29T12:00:00.123Z info worker 0[4711]: text". */
void wr_log_init(const struct wr_log_conf *c);
/* "master", "worker 0"; copied. */
void wr_log_name(const char *name);
/* Only one of what wr_log_init() sets. */
void wr_log_fd(int fd);
void wr_log_level(enum wr_level level);
void wr_log_format(enum wr_log_format format);
bool wr_log_on(enum wr_level level);
void wr_log_flush(void);
/* Let go of the descriptor of syslog(3), until something is logged. */
void wr_log_close(void);
uint64_t wr_log_lost(void);
/* The format applies; `fmt` is one line without its end. */
void wr_log(enum wr_level level, const char *fmt, ...) wr_printf(2, 3);

void wr_debug(const char *fmt, ...) wr_printf(1, 2);
void wr_info(const char *fmt, ...) wr_printf(1, 2);
void wr_notice(const char *fmt, ...) wr_printf(1, 2);
void wr_warn(const char *fmt, ...) wr_printf(1, 2);
void wr_warnx(const char *fmt, ...) wr_printf(1, 2);
void wr_error(const char *fmt, ...) wr_printf(1, 2);
void wr_errorx(const char *fmt, ...) wr_printf(1, 2);

#endif
