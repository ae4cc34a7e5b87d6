/* SPDX-License-Identifier: BSD-2-Clause */
/* str - see str.h. */
#include "base/str.h"

#include <errno.h>

#define DISTANCE_MAX 64

static const char WHITE[] = " \t\r\n\v\f";

static bool
white(char c)
{
	return memchr(WHITE, c, sizeof(WHITE) - 1) != NULL;
}

bool
wr_str_eq(struct wr_str a, struct wr_str b)
{
	/* An empty text may have no pointer, which memcmp() must not see. */
	return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
}

bool
wr_str_is(struct wr_str a, const char *z)
{
	return wr_str_eq(a, wr_str_of(z));
}

bool
wr_str_starts(struct wr_str a, const char *z)
{
	struct wr_str head = wr_str_of(z);

	if (a.len < head.len)
		return false;
	return wr_str_eq((struct wr_str){ a.p, head.len }, head);
}

bool
wr_str_ends(struct wr_str a, const char *z)
{
	struct wr_str tail = wr_str_of(z);

	if (tail.len == 0)
		return true;
	if (a.len < tail.len)
		return false;
	return memcmp(a.p + (a.len - tail.len), tail.p, tail.len) == 0;
}

struct wr_str
wr_str_trim(struct wr_str s)
{
	while (s.len > 0 && white(s.p[0])) {
		s.p++;
		s.len--;
	}
	while (s.len > 0 && white(s.p[s.len - 1]))
		s.len--;
	return s;
}

bool
wr_str_cut(struct wr_str s, char c, struct wr_str *head, struct wr_str *tail)
{
	const char *at = s.len > 0 ? memchr(s.p, c, s.len) : NULL;

	*head = s;
	*tail = (struct wr_str){ "", 0 };
	if (at == NULL)
		return false;
	head->len = (size_t)(at - s.p);
	tail->p = at + 1;
	tail->len = s.len - head->len - 1;
	return true;
}

int
wr_str_u64(struct wr_str s, uint64_t max, uint64_t *out)
{
	uint64_t n = 0;
	bool over = false;

	if (s.len == 0)
		return -EINVAL;
	/* To the end even when it is too large: "99x" is no number at all. */
	for (size_t i = 0; i < s.len; i++) {
		unsigned digit = (unsigned)(unsigned char)s.p[i] - '0';

		if (digit > 9)
			return -EINVAL;
		if (n > (UINT64_MAX - digit) / 10)
			over = true;
		else
			n = n * 10 + digit;
	}
	if (over || n > max)
		return -ERANGE;
	*out = n;
	return 0;
}

static unsigned char
lower(char c)
{
	unsigned char u = (unsigned char)c;

	return u >= 'A' && u <= 'Z' ? (unsigned char)(u - 'A' + 'a') : u;
}

int
wr_str_hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static uint8_t
least(unsigned a, unsigned b)
{
	return (uint8_t)(a < b ? a : b);
}

size_t
wr_str_distance(struct wr_str a, struct wr_str b)
{
	/* Of the table of all prefixes only three rows are ever needed. */
	uint8_t rows[3][DISTANCE_MAX + 1];
	uint8_t *before = rows[0], *above = rows[1], *row = rows[2];

	if (a.len > DISTANCE_MAX || b.len > DISTANCE_MAX)
		return SIZE_MAX;
	memset(rows, 0, sizeof(rows));
	for (size_t j = 0; j <= b.len; j++)
		row[j] = (uint8_t)j;
	for (size_t i = 1; i <= a.len; i++) {
		uint8_t *spare = before;

		before = above;
		above = row;
		row = spare;
		row[0] = (uint8_t)i;
		for (size_t j = 1; j <= b.len; j++) {
			unsigned char x = lower(a.p[i - 1]);
			unsigned char y = lower(b.p[j - 1]);

			row[j] = least(above[j] + 1U, row[j - 1] + 1U);
			row[j] =
			    least(row[j], above[j - 1] + (x == y ? 0U : 1U));
			if (i > 1 && j > 1 && x == lower(b.p[j - 2]) &&
			    y == lower(a.p[i - 2]))
				row[j] = least(row[j], before[j - 2] + 1U);
		}
	}
	return row[b.len];
}
