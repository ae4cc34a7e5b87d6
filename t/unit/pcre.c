/* SPDX-License-Identifier: BSD-2-Clause */
#include "modules/pcre.h"

#include <errno.h>
#include <string.h>

#include "t/unit/tap.h"

static int
match(const char *pattern, unsigned flags, const char *text, size_t len)
{
	char why[128] = "";
	struct wr_pcre *re = wr_pcre_new(pattern, flags, why, sizeof(why));
	int found;

	if (re == NULL) {
		diag("%s: %s", pattern, why);
		return -1;
	}
	found = wr_pcre_match(re, text, len);
	wr_pcre_free(&re);
	ok(re == NULL);
	return found;
}

static void
lines_begin_and_end_where_they_do(void)
{
	const char *text = "220 a\r\n+PONG\r\n";

	is_int(match("^\\+PONG\\r$", WR_PCRE_LINES, text, strlen(text)), 1);
	is_int(match("^\\+PONG", 0, text, strlen(text)), 0);
	is_int(match("220.*PONG", WR_PCRE_LINES, text, strlen(text)), 1);
	is_int(match("^pong$", WR_PCRE_NOCASE, "PONG", 4), 1);
}

static void
bytes_are_bytes(void)
{
	is_int(match("^\\x00\\xff\\x00$", 0, "\0\xff\0", 3), 1);
	is_int(match("a", 0, "", 0), 0);
}

static void
a_broken_pattern_says_where(void)
{
	char why[128];

	ok(wr_pcre_new("a(b", 0, why, sizeof(why)) == NULL);
	ok(strstr(why, "at character 4") != NULL);
	diag("%s", why);
}

static void
no_text_takes_forever(void)
{
	static char text[16384];

	memset(text, 'a', sizeof(text));
	text[sizeof(text) - 1] = '!';
	is_int(match("^(a+)+$", 0, text, sizeof(text)), -E2BIG);
	is_int(match("^(?:a|aa)+$", 0, text, sizeof(text)), -E2BIG);
}

int
main(void)
{
	lines_begin_and_end_where_they_do();
	bytes_are_bytes();
	a_broken_pattern_says_where();
	no_text_takes_forever();
	return tap_done();
}
