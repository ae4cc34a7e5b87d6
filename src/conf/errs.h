/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * errs - everything that is wrong with a configuration, told at once, in the
 * order of its files and lines.
 */
#ifndef WR_ERRS_H
#define WR_ERRS_H

#include <stdint.h>
#include <sys/types.h>

#include "base/text.h"

/* A file of the configuration. */
struct wr_source {
	const char *name; /* as shown in messages */
	const char *dir;  /* absolute; relative paths in the file start here */
	uint32_t order;   /* of reading */
	uint32_t line;    /* where `parent` names it */
	const struct wr_source *parent;
	dev_t dev;
	ino_t ino;
};

struct wr_err {
	const struct wr_source *src;
	uint32_t line, seq;
	char *text;
};

/* All zero is a valid, empty set. */
struct wr_errs {
	struct wr_err *v;
	uint32_t n, size;
	uint32_t total; /* also those beyond WR_ERRS_MAX, which are not kept */
};

#define WR_ERRS_MAX 200

/* `src` is kept by reference; NULL: no file to point at.  The text is one
 * line, without its end; it is copied. */
void wr_errs_add(struct wr_errs *e, const struct wr_source *src, uint32_t line,
    const char *fmt, ...) wr_printf(4, 5);
void wr_errs_vadd(struct wr_errs *e, const struct wr_source *src, uint32_t line,
    const char *fmt, va_list ap) wr_printf(4, 0);
/* "file:line: text\n" each, sorted. */
void wr_errs_write(struct wr_errs *e, struct wr_text *out);
void wr_errs_fini(struct wr_errs *e);

#endif
