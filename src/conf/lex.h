/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lex - the words of a configuration file.
 *
 * libconfig's language, read by ourselves so that we can say what is wrong
 * with it, and refuse what libconfig 1.5 would read as something else.
 */
#ifndef WR_LEX_H
#define WR_LEX_H

#include "conf/errs.h"

struct wr_lex {
	const char *p, *end; /* lent; *end is a NUL */
	uint32_t line;
	const struct wr_source *src; /* for messages */
	struct wr_errs *errs;
	struct wr_errs *fatal; /* for syntax errors; the same or another */
	bool stop;             /* one was reported: go no further */
};

/* Report a syntax error; the first one only, and nothing follows it. */
void wr_lex_stop(struct wr_lex *x, uint32_t line, const char *fmt, ...)
    wr_printf(3, 4);

/* Skip white space and comments; the next byte, or 0 at the end or after a
 * syntax error. */
char wr_lex_next(struct wr_lex *x);
/* Here a quote opens a string: its content, escapes resolved.  False after a
 * syntax error; *bad: it has an error that does not hide others. */
wr_must_check bool
wr_lex_string(struct wr_lex *x, struct wr_text *out, bool *bad);
/* A run of bytes that are neither white space nor punctuation; may be empty.
 * A name ends at a colon too. */
struct wr_str wr_lex_word(struct wr_lex *x);
struct wr_str wr_lex_name(struct wr_lex *x);

/* Letters, digits, - and _, a letter first. */
bool wr_name_ok(struct wr_str s);

/* What stands here, for "..., not %s": a piece of text in quotes, or the end
 * of the file.  Written into `text`, which is returned. */
#define WR_LEX_HERE 48
const char *wr_lex_here(const struct wr_lex *x, char *text);

enum wr_word {
	WR_W_BAD, /* none of these */
	WR_W_INT,
	WR_W_FLOAT,
	WR_W_BOOL,
	WR_W_OCTAL, /* begins with a needless 0 */
	WR_W_LARGE, /* beyond 32 bits */
};
/* What a word without quotes is worth; numbers and bools in *num. */
enum wr_word wr_word_value(struct wr_str s, int64_t *num);

#endif
