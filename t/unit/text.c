/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/text.h"

#include <wchar.h>

#include "tap.h"

/* Under a sanitizer too, memory that cannot be had is NULL. */
const char *__asan_default_options(void);

const char *
__asan_default_options(void)
{
	return "allocator_may_return_null=1";
}

typedef void write_fn(struct wr_text *t, struct wr_str s);

/* What `fn` makes of `s`; valid until the next call. */
static const char *
made(write_fn *fn, struct wr_str s)
{
	static char mem[512];
	struct wr_text t;

	wr_text_over(&t, mem, sizeof(mem));
	fn(&t, s);
	return mem;
}

static void
a_text_grows(void)
{
	struct wr_text t = { 0 };
	size_t n = 0;

	wr_text_puts(&t, "");
	is_str(t.p, "");
	for (int i = 0; i < 1000; i++) {
		wr_text_add(&t, "ab\0d", 4);
		wr_text_putc(&t, 'e');
		n += 5;
	}
	is_int(t.len, n);
	ok(!t.cut && t.p[t.len] == '\0');
	ok(memcmp(t.p + n - 5, "ab\0de", 6) == 0);
	wr_text_reset(&t);
	is_int(t.len, 0);
	is_str(t.p, "");
	wr_text_fini(&t);
	ok(t.p == NULL && t.len == 0);
	wr_text_fini(&t);
	wr_text_reset(&t);
	ok(t.p == NULL);
}

static void
formats_may_need_to_grow(void)
{
	struct wr_text t;

	wr_text_init(&t);
	wr_text_printf(&t, "%s=%d;", "a", 1);
	wr_text_printf(&t, "%0200d", 7);
	is_int(t.len, 4 + 200);
	ok(strncmp(t.p, "a=1;000", 7) == 0);
	ok(t.p[203] == '7' && t.p[204] == '\0');
	wr_text_fini(&t);
}

static void
a_fixed_text_is_cut_once_and_for_all(void)
{
	char mem[8];
	struct wr_text t;

	wr_text_over(&t, mem, sizeof(mem));
	is_str(mem, "");
	wr_text_puts(&t, "1234567");
	ok(!t.cut);
	wr_text_putc(&t, '8');
	ok(t.cut);
	is_str(mem, "1234567");

	wr_text_reset(&t);
	ok(!t.cut);
	wr_text_puts(&t, "12345");
	wr_text_puts(&t, "abcde");
	is_str(mem, "12345ab");
	ok(t.cut && t.len == 7);
	wr_text_reset(&t);
	wr_text_puts(&t, "1234");
	wr_text_printf(&t, "%d", 567890);
	is_str(mem, "1234567");
	wr_text_printf(&t, "%d", 8);
	is_str(mem, "1234567");
	ok(t.cut);
	wr_text_fini(&t);
	is_str(mem, "");
	ok(t.p == mem && !t.cut);

	wr_text_over(&t, mem, 1);
	wr_text_puts(&t, "");
	ok(!t.cut);
	wr_text_puts(&t, "x");
	ok(t.cut && t.len == 0);
	is_str(mem, "");
}

static void
no_memory_is_remembered(void)
{
	struct wr_text t = { 0 };

	/* Sizes nobody has; what they point at is never read. */
	wr_text_add(&t, "x", SIZE_MAX / 2);
	ok(t.cut && t.len == 0);
	wr_text_puts(&t, "y");
	ok(t.len == 0);
	wr_text_printf(&t, "%d", 1);
	ok(t.p == NULL);
	wr_text_reset(&t);
	wr_text_puts(&t, "y");
	is_str(t.p, "y");
	wr_text_add(&t, "x", SIZE_MAX);
	ok(t.cut);
	is_str(t.p, "y");
	wr_text_puts(&t, "z");
	is_str(t.p, "y");
	wr_text_fini(&t);
}

static void
a_format_that_fails_is_remembered(void)
{
	struct wr_text t = { 0 };
	static const wchar_t BAD[] = { 0x7fffffff, 0 };

	wr_text_printf(&t, "%ls", BAD);
	ok(t.cut && t.len == 0);
	wr_text_fini(&t);
}

static void
json_is_always_valid(void)
{
	is_str(made(wr_text_json, WR_STR("")), "\"\"");
	is_str(made(wr_text_json, (struct wr_str){ NULL, 0 }), "\"\"");
	is_str(made(wr_text_json, WR_STR("a \"b\" \\ /")),
	    "\"a \\\"b\\\" \\\\ /\"");
	is_str(made(wr_text_json, WR_STR("\n\r\t\b\f\0\x1f\x7f")),
	    "\"\\n\\r\\t\\u0008\\u000c\\u0000\\u001f\x7f\"");
	is_str(
	    made(wr_text_json, WR_STR("\xc3\xa4\xe2\x82\xac\xf0\x9f\x90\x9f")),
	    "\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x90\x9f\"");
	is_str(made(wr_text_json, WR_STR("a\xff"
					 "b")),
	    "\"a\xef\xbf\xbd"
	    "b\"");
}

/* One that is not UTF-8 is shown byte by byte. */
static void
only_utf8_passes(void)
{
	/* The limits of each length. */
	is_str(made(wr_text_escape, WR_STR("\xc3\x80\xdf\xbf")),
	    "\xc3\x80\xdf\xbf");
	is_str(made(wr_text_escape, WR_STR("\xe0\xa0\x80\xef\xbf\xbf")),
	    "\xe0\xa0\x80\xef\xbf\xbf");
	is_str(made(wr_text_escape, WR_STR("\xf0\x90\x80\x80\xf4\x8f\xbf\xbf")),
	    "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf");
	is_str(made(wr_text_escape, WR_STR("\xed\x9f\xbf\xee\x80\x80")),
	    "\xed\x9f\xbf\xee\x80\x80");
	/* Too long for its value. */
	is_str(made(wr_text_escape, WR_STR("\xc0\xaf")), "\\xc0\\xaf");
	is_str(made(wr_text_escape, WR_STR("\xe0\x9f\xbf")), "\\xe0\\x9f\\xbf");
	is_str(made(wr_text_escape, WR_STR("\xf0\x8f\xbf\xbf")),
	    "\\xf0\\x8f\\xbf\\xbf");
	/* A surrogate, and beyond the end. */
	is_str(made(wr_text_escape, WR_STR("\xed\xa0\x80")), "\\xed\\xa0\\x80");
	is_str(made(wr_text_escape, WR_STR("\xf4\x90\x80\x80")),
	    "\\xf4\\x90\\x80\\x80");
	is_str(made(wr_text_escape, WR_STR("\xf5\xff")), "\\xf5\\xff");
	/* Cut off, or broken in the middle. */
	is_str(made(wr_text_escape, WR_STR("\xe2\x82")), "\\xe2\\x82");
	is_str(made(wr_text_escape, WR_STR("\xe2\x82"
					   "a")),
	    "\\xe2\\x82"
	    "a");
	is_str(made(wr_text_escape, WR_STR("\xf0\x9f\x90"
					   "a")),
	    "\\xf0\\x9f\\x90"
	    "a");
	is_str(made(wr_text_escape, WR_STR("\x80")), "\\x80");
}

static void
escaped_text_is_printable_on_one_line(void)
{
	is_str(made(wr_text_escape, WR_STR("say \"hi\"\\\n\r\t")),
	    "say \\\"hi\\\"\\\\\\n\\r\\t");
	is_str(made(wr_text_escape, WR_STR("\0\x1b[31m\x7f")),
	    "\\x00\\x1b[31m\\x7f");
	/* C1: CSI as one character; but not U+00A0. */
	is_str(made(wr_text_escape, WR_STR("\xc2\x9b"
					   "1m\xc2\xa0")),
	    "\\xc2\\x9b"
	    "1m\xc2\xa0");
	is_str(made(wr_text_oneline, WR_STR("say \"hi\"\\\n\x1b")),
	    "say \"hi\"\\\\n\\x1b");
}

static void
labels_and_html_cannot_be_left(void)
{
	is_str(made(wr_text_label, WR_STR("a\"b\\c\nd<\xc3\xa4>")),
	    "\"a\\\"b\\\\c\\nd<\xc3\xa4>\"");
	is_str(made(wr_text_label, WR_STR("\r\xff\xc2\x9b")),
	    "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
	is_str(made(wr_text_label, WR_STR("")), "\"\"");
	is_str(made(wr_text_html, WR_STR("<a b=\"c\" d='e'>&\xc3\xa4")),
	    "&lt;a b=&quot;c&quot; d=&#39;e&#39;&gt;&amp;\xc3\xa4");
	is_str(made(wr_text_html, WR_STR("\n\xe2\x82")),
	    "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
}

int
main(void)
{
	a_text_grows();
	formats_may_need_to_grow();
	a_fixed_text_is_cut_once_and_for_all();
	no_memory_is_remembered();
	a_format_that_fails_is_remembered();
	json_is_always_valid();
	only_utf8_passes();
	escaped_text_is_printable_on_one_line();
	labels_and_html_cannot_be_left();
	return tap_done();
}
