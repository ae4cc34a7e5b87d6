/* SPDX-License-Identifier: BSD-2-Clause */
/* lex - see lex.h. */
#include "conf/lex.h"

#include <ctype.h>
#include <stdlib.h>

static const char PUNCTUATION[] = " \t\r\n\v\f;,{}()[]\"=#";

void
wr_lex_stop(struct wr_lex *x, uint32_t line, const char *fmt, ...)
{
	va_list ap;

	if (x->stop)
		return;
	x->stop = true;
	va_start(ap, fmt);
	wr_errs_vadd(x->fatal, x->src, line, fmt, ap);
	va_end(ap);
}

/* Past the end of a comment; libconfig would take all that follows for it. */
static bool
skip_comment(struct wr_lex *x)
{
	uint32_t line = x->line;

	for (x->p += 2; x->p < x->end; x->p++) {
		if (*x->p == '\n')
			x->line++;
		if (x->p[0] == '*' && x->p[1] == '/') {
			x->p += 2;
			return true;
		}
	}
	wr_lex_stop(
	    x, line, "the comment that begins here has no end (\"*/\")");
	return false;
}

static void
skip_line(struct wr_lex *x)
{
	while (x->p < x->end && *x->p != '\n')
		x->p++;
}

char
wr_lex_next(struct wr_lex *x)
{
	while (!x->stop && x->p < x->end) {
		char c = *x->p;

		if (c == '#' || (c == '/' && x->p[1] == '/')) {
			skip_line(x);
		} else if (c == '/' && x->p[1] == '*') {
			if (!skip_comment(x))
				return '\0';
		} else if (c == '\n') {
			x->line++;
			x->p++;
		} else if (memchr(" \t\r\f\v", c, 5) != NULL) {
			x->p++;
		} else {
			return c;
		}
	}
	return '\0';
}

/* Complain about an escape, and go on. */
static void
bad_escape(struct wr_lex *x, bool *bad, const char *what, const char *hint)
{
	*bad = true;
	wr_errs_add(
	    x->errs, x->src, x->line, "\"%s\" in a string %s", what, hint);
}

static void
hex_escape(struct wr_lex *x, struct wr_text *out, bool *bad)
{
	int a = wr_str_hex(x->p[1]), b = a >= 0 ? wr_str_hex(x->p[2]) : -1;

	if (b < 0) {
		bad_escape(x, bad, "\\x", "wants two hexadecimal digits");
		x->p++;
	} else if (a == 0 && b == 0) {
		bad_escape(x, bad, "\\x00", "would end it: no byte may be 0");
		x->p += 3;
	} else {
		wr_text_putc(out, (char)(a << 4 | b));
		x->p += 3;
	}
}

/* At the byte after a backslash. */
static void
escape(struct wr_lex *x, struct wr_text *out, bool *bad)
{
	char c = *x->p;

	switch (c) {
	case 'x':
	case 'X':
		hex_escape(x, out, bad);
		return;
	case 'a':
		bad_escape(x, bad, "\\a", "is not a bell here: write \\x07");
		break;
	case 'b':
		bad_escape(x, bad, "\\b",
		    "is not a backspace here: write \\x08, or \\\\b in a "
		    "regular expression");
		break;
	case 'v':
		bad_escape(x, bad, "\\v", "is not a tab here: write \\x0b");
		break;
	case 'n':
		wr_text_putc(out, '\n');
		break;
	case 'r':
		wr_text_putc(out, '\r');
		break;
	case 't':
		wr_text_putc(out, '\t');
		break;
	case 'f':
		wr_text_putc(out, '\f');
		break;
	case '\\':
	case '"':
		wr_text_putc(out, c);
		break;
	default:
		/* As libconfig has it: "\." is a backslash and a dot. */
		wr_text_putc(out, '\\');
		return;
	}
	x->p++;
}

bool
wr_lex_string(struct wr_lex *x, struct wr_text *out, bool *bad)
{
	const char *start = x->p;
	size_t n;

	wr_text_reset(out);
	*bad = false;
	for (x->p++;;) {
		const char *from = x->p;

		while (x->p < x->end && *x->p != '"' && *x->p != '\\' &&
		       *x->p != '\n')
			x->p++;
		wr_text_add(out, from, (size_t)(x->p - from));
		if (x->p < x->end && *x->p == '"') {
			x->p++;
			return true;
		}
		if (x->p >= x->end || *x->p == '\n' || x->p[1] == '\n')
			break;
		x->p++;
		escape(x, out, bad);
	}
	n = (size_t)(x->p - start);
	wr_lex_stop(x, x->line,
	    "the string %.*s%s has no end on this line (\\n stands for a new "
	    "line)",
	    (int)(n > 40 ? 40 : n), start, n > 40 ? "..." : "");
	return false;
}

struct wr_str
wr_lex_word(struct wr_lex *x)
{
	const char *from = x->p;

	/* "//" begins a comment, but not in http://. */
	while (x->p < x->end && strchr(PUNCTUATION, *x->p) == NULL &&
	       !(x->p[0] == '/' &&
		   (x->p[1] == '*' ||
		       (x->p[1] == '/' && (x->p == from || x->p[-1] != ':')))))
		x->p++;
	return (struct wr_str){ from, (size_t)(x->p - from) };
}

struct wr_str
wr_lex_name(struct wr_lex *x)
{
	const char *from = x->p;

	while (
	    x->p < x->end && *x->p != ':' && strchr(PUNCTUATION, *x->p) == NULL)
		x->p++;
	return (struct wr_str){ from, (size_t)(x->p - from) };
}

bool
wr_name_ok(struct wr_str s)
{
	if (s.len == 0 || !isalpha((unsigned char)s.p[0]))
		return false;
	for (size_t i = 1; i < s.len; i++)
		if (!isalnum((unsigned char)s.p[i]) && s.p[i] != '-' &&
		    s.p[i] != '_')
			return false;
	return true;
}

const char *
wr_lex_here(const struct wr_lex *x, char *text)
{
	struct wr_lex copy = *x;
	struct wr_str word;
	struct wr_text t;

	if (x->p >= x->end)
		return "the end of the file";
	word = wr_lex_word(&copy);
	if (word.len == 0)
		word = (struct wr_str){ x->p, 1 };
	wr_text_over(&t, text, WR_LEX_HERE);
	wr_text_putc(&t, '"');
	wr_text_escape(
	    &t, (struct wr_str){ word.p, word.len > 32 ? 32 : word.len });
	wr_text_puts(&t, word.len > 32 ? "...\"" : "\"");
	return text;
}

static size_t
digits(const char *p, size_t n)
{
	size_t i = 0;

	while (i < n && isdigit((unsigned char)p[i]))
		i++;
	return i;
}

static enum wr_word
whole(struct wr_str s, size_t sign, int64_t *num)
{
	uint64_t n = 0, max = INT32_MAX;
	bool minus = sign > 0 && s.p[0] == '-';

	s = (struct wr_str){ s.p + sign, s.len - sign };
	if (s.len > 1 && s.p[0] == '0')
		return WR_W_OCTAL;
	if (wr_str_u64(s, minus ? max + 1 : max, &n) < 0)
		return WR_W_LARGE;
	*num = minus ? -(int64_t)n : (int64_t)n;
	return WR_W_INT;
}

static enum wr_word
hexadecimal(struct wr_str s, int64_t *num)
{
	uint64_t n = 0;

	for (size_t i = 2; i < s.len; i++) {
		int d = wr_str_hex(s.p[i]);

		if (d < 0)
			return WR_W_BAD;
		if (n <= INT32_MAX)
			n = n << 4 | (uint64_t)d;
	}
	*num = (int64_t)n;
	return n > INT32_MAX ? WR_W_LARGE : WR_W_INT;
}

static bool
spells(struct wr_str s, const char *word)
{
	return s.len == strlen(word) && strncasecmp(s.p, word, s.len) == 0;
}

enum wr_word
wr_word_value(struct wr_str s, int64_t *num)
{
	size_t sign = s.len > 0 && (s.p[0] == '-' || s.p[0] == '+');
	size_t n = digits(s.p + sign, s.len - sign), m = 0;

	*num = 0;
	if (spells(s, "true") || spells(s, "false")) {
		*num = spells(s, "true");
		return WR_W_BOOL;
	}
	if (n > 0 && sign + n == s.len)
		return whole(s, sign, num);
	if (s.len > 2 && s.p[0] == '0' && (s.p[1] | 0x20) == 'x')
		return hexadecimal(s, num);
	/* 1.5, .5 and 5.; nothing of ours is a fraction, so no exponents. */
	n += sign;
	if (n < s.len && s.p[n] == '.') {
		m = digits(s.p + n + 1, s.len - n - 1);
		if (n + 1 + m == s.len && n - sign + m > 0)
			return WR_W_FLOAT;
	}
	return WR_W_BAD;
}
