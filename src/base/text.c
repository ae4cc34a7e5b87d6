/* SPDX-License-Identifier: BSD-2-Clause */
/* text - see text.h. */
#include "base/text.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#define GROW_MIN 64

void
wr_text_init(struct wr_text *t)
{
	memset(t, 0, sizeof(*t));
}

void
wr_text_over(struct wr_text *t, char *mem, size_t size)
{
	assert(size > 0);
	*t = (struct wr_text){ .p = mem, .size = size, .fixed = true };
	mem[0] = '\0';
}

void
wr_text_fini(struct wr_text *t)
{
	if (t->fixed) {
		wr_text_reset(t);
		return;
	}
	free(t->p);
	wr_text_init(t);
}

void
wr_text_reset(struct wr_text *t)
{
	t->len = 0;
	t->cut = false;
	if (t->p != NULL)
		t->p[0] = '\0';
}

/* How many of `len` more bytes fit, beside the NUL. */
static size_t
make_room(struct wr_text *t, size_t len)
{
	size_t need, size;
	char *p;

	/* What follows a cut would join what never stood together. */
	if (t->cut)
		return 0;
	if (t->size > 0 && len <= t->size - t->len - 1)
		return len;
	if (!t->fixed && !__builtin_add_overflow(t->len + 1, len, &need)) {
		size = t->size < GROW_MIN ? GROW_MIN : t->size;
		while (size < need && size <= SIZE_MAX / 2)
			size *= 2;
		if (size < need)
			size = need;
		p = realloc(t->p, size);
		if (p != NULL) {
			t->p = p;
			t->size = size;
			return len;
		}
	}
	t->cut = true;
	return t->fixed ? t->size - t->len - 1 : 0;
}

void
wr_text_add(struct wr_text *t, const void *p, size_t len)
{
	size_t n = make_room(t, len);

	if (t->p == NULL)
		return;
	if (n > 0)
		memcpy(t->p + t->len, p, n);
	t->len += n;
	t->p[t->len] = '\0';
}

void
wr_text_puts(struct wr_text *t, const char *z)
{
	wr_text_add(t, z, strlen(z));
}

void
wr_text_putc(struct wr_text *t, char c)
{
	wr_text_add(t, &c, 1);
}

void
wr_text_printf(struct wr_text *t, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	wr_text_vprintf(t, fmt, ap);
	va_end(ap);
}

void
wr_text_vprintf(struct wr_text *t, const char *fmt, va_list ap)
{
	char none[1];
	size_t room;
	va_list again;
	int n;

	va_copy(again, ap);
	n = vsnprintf(none, sizeof(none), fmt, ap);
	if (n < 0) {
		t->cut = true;
	} else {
		room = make_room(t, (size_t)n);
		if (t->p != NULL) {
			(void)vsnprintf(t->p + t->len, room + 1, fmt, again);
			t->len += room;
		}
	}
	va_end(again);
}

/* Bytes of the UTF-8 character at the front of `s` (RFC 3629); 0 if it is
 * none, too long for its value, a surrogate, or beyond U+10FFFF. */
static size_t
utf8(struct wr_str s)
{
	const unsigned char *p = (const unsigned char *)s.p;
	unsigned char low = 0x80, high = 0xbf;
	size_t n;

	if (p[0] < 0x80)
		return 1;
	if (p[0] < 0xc2 || p[0] > 0xf4)
		return 0;
	n = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
	/* Only the second byte can be out of bounds for its first. */
	if (p[0] == 0xe0)
		low = 0xa0;
	else if (p[0] == 0xed)
		high = 0x9f;
	else if (p[0] == 0xf0)
		low = 0x90;
	else if (p[0] == 0xf4)
		high = 0x8f;
	if (s.len < n || p[1] < low || p[1] > high)
		return 0;
	for (size_t i = 2; i < n; i++) {
		if (p[i] < 0x80 || p[i] > 0xbf)
			return 0;
	}
	return n;
}

/* The letter after the backslash; 0 if `c` has none. */
static char
short_escape(char c)
{
	switch (c) {
	case '\n':
		return 'n';
	case '\r':
		return 'r';
	case '\t':
		return 't';
	case '"':
	case '\\':
		return c;
	default:
		return 0;
	}
}

void
wr_text_json(struct wr_text *t, struct wr_str s)
{
	wr_text_putc(t, '"');
	while (s.len > 0) {
		size_t n = utf8(s);

		if (n == 0)
			wr_text_puts(t, "\xef\xbf\xbd");
		else if (n == 1 && short_escape(s.p[0]) != 0)
			wr_text_printf(t, "\\%c", short_escape(s.p[0]));
		else if ((unsigned char)s.p[0] < 0x20)
			wr_text_printf(t, "\\u%04x", (unsigned)s.p[0]);
		else
			wr_text_add(t, s.p, n);
		if (n == 0)
			n = 1;
		s.p += n;
		s.len -= n;
	}
	wr_text_putc(t, '"');
}

/* C0, DEL, and C1, which some terminals obey even as UTF-8. */
static bool
control(struct wr_str s, size_t n)
{
	unsigned char c = (unsigned char)s.p[0];

	if (n == 1)
		return c < 0x20 || c == 0x7f;
	return c == 0xc2 && (unsigned char)s.p[1] < 0xa0;
}

/* Character by character; what has an escape, as that. */
static void
replace(struct wr_text *t, struct wr_str s, const char *(*escape)(char c))
{
	const char *as;

	for (size_t n; s.len > 0; s.p += n, s.len -= n) {
		n = utf8(s);
		as = n == 1 ? escape(s.p[0]) : NULL;
		if (as != NULL)
			wr_text_puts(t, as);
		else if (n > 0 && !control(s, n))
			wr_text_add(t, s.p, n);
		else
			wr_text_puts(t, "\xef\xbf\xbd");
		if (n == 0)
			n = 1;
	}
}

static const char *
label_escape(char c)
{
	switch (c) {
	case '\n':
		return "\\n";
	case '"':
		return "\\\"";
	case '\\':
		return "\\\\";
	default:
		return NULL;
	}
}

static const char *
html_escape(char c)
{
	switch (c) {
	case '&':
		return "&amp;";
	case '<':
		return "&lt;";
	case '>':
		return "&gt;";
	case '"':
		return "&quot;";
	case '\'':
		return "&#39;";
	default:
		return NULL;
	}
}

void
wr_text_label(struct wr_text *t, struct wr_str s)
{
	wr_text_putc(t, '"');
	replace(t, s, label_escape);
	wr_text_putc(t, '"');
}

void
wr_text_html(struct wr_text *t, struct wr_str s)
{
	replace(t, s, html_escape);
}

/* So many bytes in front need no look at what they are. */
static size_t
plain(struct wr_str s)
{
	size_t n = 0;

	while (n < s.len && s.p[n] >= ' ' && s.p[n] <= '~' && s.p[n] != '"' &&
	       s.p[n] != '\\')
		n++;
	return n;
}

static void
printable(struct wr_text *t, struct wr_str s, bool quotes)
{
	size_t front = plain(s);

	if (front > 0) {
		wr_text_add(t, s.p, front);
		s = (struct wr_str){ s.p + front, s.len - front };
	}
	while (s.len > 0) {
		size_t n = utf8(s);
		char letter = n == 1 ? short_escape(s.p[0]) : 0;

		if (!quotes && (letter == '"' || letter == '\\'))
			letter = 0;
		if (letter != 0) {
			wr_text_printf(t, "\\%c", letter);
		} else if (n > 0 && !control(s, n)) {
			wr_text_add(t, s.p, n);
		} else {
			wr_text_printf(t, "\\x%02x", (unsigned char)s.p[0]);
			n = 1;
		}
		s.p += n;
		s.len -= n;
	}
}

void
wr_text_escape(struct wr_text *t, struct wr_str s)
{
	printable(t, s, true);
}

void
wr_text_oneline(struct wr_text *t, struct wr_str s)
{
	printable(t, s, false);
}
