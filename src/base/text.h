/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * text - a string under construction.
 *
 * Either it grows on the heap, or it fills memory of the caller and is cut
 * at its end.  What did not fit, or could not be allocated, is remembered in
 * `cut`, so that a writer checks once, at the end.
 */
#ifndef WR_TEXT_H
#define WR_TEXT_H

#include <stdarg.h>
#include <stdbool.h>

#include "base/str.h"

struct wr_text {
	char *p; /* always ended by a NUL once something was added */
	size_t len, size;
	bool fixed, cut;
};

/* All zero is a valid, empty, growing text. */
void wr_text_init(struct wr_text *t);
/* Fill `mem`, lent until the text is no longer used; size > 0. */
void wr_text_over(struct wr_text *t, char *mem, size_t size);
/* Frees what grew; a fixed text is only emptied. */
void wr_text_fini(struct wr_text *t);
void wr_text_reset(struct wr_text *t);

void wr_text_add(struct wr_text *t, const void *p, size_t len);
void wr_text_puts(struct wr_text *t, const char *z);
void wr_text_putc(struct wr_text *t, char c);
void wr_text_printf(struct wr_text *t, const char *fmt, ...) wr_printf(2, 3);
void
wr_text_vprintf(struct wr_text *t, const char *fmt, va_list ap) wr_printf(2, 0);

/* Quoted as a JSON string (RFC 8259 section 7); bytes that are not UTF-8
 * become U+FFFD, so the result is always valid. */
void wr_text_json(struct wr_text *t, struct wr_str s);

/* Quoted as the value of a label in the text format of Prometheus (0.0.4);
 * what is not UTF-8, and control characters but \n, become U+FFFD. */
void wr_text_label(struct wr_text *t, struct wr_str s);
/* As text or the quoted value of an attribute in HTML; the same becomes
 * U+FFFD, \n too. */
void wr_text_html(struct wr_text *t, struct wr_str s);

/* Printable on one line: control characters, quotes, backslash and bytes that
 * are not UTF-8 as \n, \r, \t, \", \\ or \xNN. */
void wr_text_escape(struct wr_text *t, struct wr_str s);
/* The same, but quotes and backslashes stay: for prose that quotes. */
void wr_text_oneline(struct wr_text *t, struct wr_str s);

#endif
