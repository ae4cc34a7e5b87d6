/* SPDX-License-Identifier: BSD-2-Clause */
/* beat - see beat.h. */
#include "wire/beat.h"

#include <errno.h>

#define NAME_MAX_  64
#define NONCE_MIN  8
#define NONCE_MAX  64
#define WEIGHT_MAX 1000

/* Bits of the fields that were there. */
enum field {
	UPSTREAM = 1,
	NAME = 2,
	ADDRESS = 4,
	WEIGHT = 8,
	LOAD = 16,
	LEAVING = 32,
	TIME = 64,
	NONCE = 128
};

#define NEEDED (UPSTREAM | NAME | ADDRESS | TIME | NONCE)

static const struct {
	const char *name;
	enum field field;
} fields[] = {
	{ "upstream", UPSTREAM },
	{ "name", NAME },
	{ "address", ADDRESS },
	{ "weight", WEIGHT },
	{ "load", LOAD },
	{ "leaving", LEAVING },
	{ "time", TIME },
	{ "nonce", NONCE },
};

static bool
take_hmac(struct wr_beat_line *b, struct wr_str s)
{
	if (s.len != 2 * sizeof(b->hmac))
		return false;
	for (size_t i = 0; i < sizeof(b->hmac); i++) {
		int high = wr_str_hex(s.p[2 * i]);
		int low = wr_str_hex(s.p[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		b->hmac[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

/* Letters, digits, - _ . : and nothing that a log could be fooled by. */
static bool
is_word(struct wr_str s, size_t min, size_t max)
{
	for (size_t i = 0; i < s.len; i++) {
		char c = s.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
			(c >= '0' && c <= '9') || c == '-' || c == '_' ||
			c == '.' || c == ':'))
			return false;
	}
	return s.len >= min && s.len <= max;
}

static bool
number(struct wr_str s, uint64_t min, uint64_t max, uint64_t *out)
{
	return s.len > 0 && wr_str_u64(s, max, out) == 0 && *out >= min;
}

static bool
take(struct wr_beat_line *b, enum field field, struct wr_str v)
{
	uint64_t n = 0;
	bool good = true;

	switch (field) {
	case UPSTREAM:
		b->upstream = v;
		return is_word(v, 1, 127);
	case NAME:
		b->name = v;
		return is_word(v, 1, NAME_MAX_);
	case ADDRESS:
		return !wr_str_starts(v, "unix:") && !wr_str_starts(v, "*") &&
		       wr_addr_parse(&b->address, v, -1) == 0;
	case WEIGHT:
		good = number(v, 1, WEIGHT_MAX, &n);
		b->weight = (uint32_t)n;
		return good;
	case LOAD:
		good = number(v, 0, 100, &n);
		b->load = (uint32_t)n;
		return good;
	case LEAVING:
		good = number(v, 0, 1, &n);
		b->leaving = n == 1;
		return good;
	case TIME:
		return number(v, 1, UINT32_MAX, &b->time_s);
	case NONCE:
		b->nonce = v;
		return is_word(v, NONCE_MIN, NONCE_MAX);
	}
	return false;
}

static bool
take_field(struct wr_beat_line *b, struct wr_str word, unsigned *seen)
{
	struct wr_str name, value;

	if (!wr_str_cut(word, '=', &name, &value))
		return false;
	for (size_t i = 0; i < WR_COUNT(fields); i++) {
		if (!wr_str_is(name, fields[i].name))
			continue;
		if ((*seen & fields[i].field) != 0)
			return false;
		*seen |= fields[i].field;
		return take(b, fields[i].field, value);
	}
	return false;
}

int
wr_beat_parse(struct wr_beat_line *b, struct wr_str line)
{
	static const char mark[] = " hmac=";
	const char *end;
	struct wr_str rest, word;
	unsigned seen = 0;

	*b = (struct wr_beat_line){ .weight = 1 };
	if (line.len == 0 || line.len > WR_BEAT_MAX)
		return -EINVAL;
	end = memmem(line.p, line.len, mark, sizeof(mark) - 1);
	if (end == NULL)
		return -EINVAL;
	b->text = (struct wr_str){ line.p, (size_t)(end - line.p) };
	rest.p = end + sizeof(mark) - 1;
	rest.len = line.len - b->text.len - (sizeof(mark) - 1);
	if (!take_hmac(b, rest))
		return -EINVAL;
	if (wr_str_ends(b->text, " "))
		return -EINVAL;
	for (rest = b->text; rest.len > 0;) {
		(void)wr_str_cut(rest, ' ', &word, &rest);
		if (!take_field(b, word, &seen))
			return -EINVAL;
	}
	return (seen & NEEDED) == NEEDED ? 0 : -EINVAL;
}
