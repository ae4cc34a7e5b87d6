/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/str.h"

#include <errno.h>

#include "tap.h"

static const struct wr_str NONE = { NULL, 0 };

static void
texts_compare_by_content(void)
{
	ok(wr_str_eq(WR_STR("abc"), wr_str_of("abc")));
	ok(!wr_str_eq(WR_STR("abc"), WR_STR("abd")));
	ok(!wr_str_eq(WR_STR("abc"), WR_STR("ab")));
	ok(wr_str_eq(WR_STR("a\0b"), WR_STR("a\0b")));
	ok(!wr_str_eq(WR_STR("a\0b"), WR_STR("a\0c")));
	ok(wr_str_eq(NONE, WR_STR("")));
	ok(wr_str_is(WR_STR("abc"), "abc"));
	ok(!wr_str_is(WR_STR("abc\0"), "abc"));
	ok(wr_str_is(NONE, ""));
}

static void
both_ends_can_be_asked_for(void)
{
	ok(wr_str_starts(WR_STR("unix:/run"), "unix:"));
	ok(!wr_str_starts(WR_STR("uni"), "unix:"));
	ok(wr_str_starts(NONE, ""));
	ok(!wr_str_starts(NONE, "a"));
	ok(wr_str_ends(WR_STR("a.conf"), ".conf"));
	ok(!wr_str_ends(WR_STR("conf"), ".conf"));
	ok(!wr_str_ends(WR_STR("a.conf "), ".conf"));
	ok(wr_str_ends(NONE, ""));
}

static void
white_space_is_trimmed_at_both_ends_only(void)
{
	ok(wr_str_is(wr_str_trim(WR_STR(" \t a b\r\n")), "a b"));
	ok(wr_str_is(wr_str_trim(WR_STR("ab")), "ab"));
	ok(wr_str_trim(WR_STR(" \v\f ")).len == 0);
	ok(wr_str_trim(NONE).len == 0);
	is_int(wr_str_trim(WR_STR(" \0 ")).len, 1);
}

static void
the_first_separator_cuts(void)
{
	struct wr_str head, tail;

	ok(wr_str_cut(WR_STR("a=b=c"), '=', &head, &tail));
	ok(wr_str_is(head, "a"));
	ok(wr_str_is(tail, "b=c"));
	ok(!wr_str_cut(WR_STR("abc"), '=', &head, &tail));
	ok(wr_str_is(head, "abc"));
	ok(wr_str_is(tail, ""));
	ok(wr_str_cut(WR_STR("="), '=', &head, &tail));
	ok(head.len == 0 && tail.len == 0);
	ok(!wr_str_cut(NONE, '=', &head, &tail));
	ok(head.len == 0 && tail.len == 0);

	/* The output may be the input. */
	head = WR_STR("x y z");
	ok(wr_str_cut(head, ' ', &tail, &head));
	ok(wr_str_is(tail, "x") && wr_str_is(head, "y z"));
}

static void
numbers_are_digits_within_their_range(void)
{
	uint64_t n = 7;

	is_int(wr_str_u64(WR_STR("0"), 10, &n), 0);
	is_int(n, 0);
	is_int(wr_str_u64(WR_STR("10"), 10, &n), 0);
	is_int(n, 10);
	is_int(wr_str_u64(WR_STR("11"), 10, &n), -ERANGE);
	is_int(n, 10);
	is_int(wr_str_u64(WR_STR(""), 10, &n), -EINVAL);
	is_int(wr_str_u64(WR_STR("-1"), 10, &n), -EINVAL);
	is_int(wr_str_u64(WR_STR("+1"), 10, &n), -EINVAL);
	is_int(wr_str_u64(WR_STR(" 1"), 10, &n), -EINVAL);
	is_int(wr_str_u64(WR_STR("1x"), 10, &n), -EINVAL);
	is_int(wr_str_u64(WR_STR("0x1"), 10, &n), -EINVAL);
	is_int(wr_str_u64(WR_STR("1\0"), 10, &n), -EINVAL);
	is_int(wr_str_u64(WR_STR("18446744073709551615"), UINT64_MAX, &n), 0);
	ok(n == UINT64_MAX);
	is_int(wr_str_u64(WR_STR("18446744073709551616"), UINT64_MAX, &n),
	    -ERANGE);
	is_int(wr_str_u64(WR_STR("99999999999999999999999"), UINT64_MAX, &n),
	    -ERANGE);
	is_int(wr_str_u64(WR_STR("99999999999999999999999x"), 1, &n), -EINVAL);
}

static void
hexadecimal_digits_have_values(void)
{
	static const char digits[] = "0123456789abcdef";

	for (int i = 0; i < 16; i++)
		is_int(wr_str_hex(digits[i]), i);
	is_int(wr_str_hex('A'), 10);
	is_int(wr_str_hex('F'), 15);
	is_int(wr_str_hex('g'), -1);
	is_int(wr_str_hex('/'), -1);
	is_int(wr_str_hex(':'), -1);
	is_int(wr_str_hex('@'), -1);
	is_int(wr_str_hex('`'), -1);
	is_int(wr_str_hex('\0'), -1);
	is_int(wr_str_hex((char)0xe1), -1);
}

static void
distance_counts_single_edits(void)
{
	struct wr_str longest, over;
	char mem[65];

	is_int(wr_str_distance(WR_STR("idle"), WR_STR("idle")), 0);
	is_int(wr_str_distance(WR_STR("Idle"), WR_STR("iDLE")), 0);
	is_int(wr_str_distance(WR_STR("idl"), WR_STR("idle")), 1);
	is_int(wr_str_distance(WR_STR("iddle"), WR_STR("idle")), 1);
	is_int(wr_str_distance(WR_STR("idlx"), WR_STR("idle")), 1);
	is_int(wr_str_distance(WR_STR("idel"), WR_STR("idle")), 1);
	is_int(wr_str_distance(WR_STR("ca"), WR_STR("abc")), 3);
	is_int(wr_str_distance(WR_STR("kitten"), WR_STR("sitting")), 3);
	is_int(wr_str_distance(WR_STR(""), WR_STR("abc")), 3);
	is_int(wr_str_distance(WR_STR("abc"), NONE), 3);
	is_int(wr_str_distance(NONE, NONE), 0);
	is_int(wr_str_distance(WR_STR("[@`{"), WR_STR("{`@[")), 3);

	memset(mem, 'x', sizeof(mem));
	longest = (struct wr_str){ mem, 64 };
	over = (struct wr_str){ mem, 65 };
	is_int(wr_str_distance(longest, NONE), 64);
	is_int(wr_str_distance(longest, longest), 0);
	ok(wr_str_distance(over, over) == SIZE_MAX);
	ok(wr_str_distance(NONE, over) == SIZE_MAX);
}

int
main(void)
{
	texts_compare_by_content();
	both_ends_can_be_asked_for();
	white_space_is_trimmed_at_both_ends_only();
	the_first_separator_cuts();
	numbers_are_digits_within_their_range();
	hexadecimal_digits_have_values();
	distance_counts_single_edits();
	return tap_done();
}
