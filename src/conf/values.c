/* SPDX-License-Identifier: BSD-2-Clause */
/* values - one value of each type; see check.h. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>

#include "conf/core.h"

struct unit {
	const char *name;
	uint64_t factor;
};

static const struct unit TIMES[] = {
	{ "ms", 1 },
	{ "s", 1000 },
	{ "m", 60 * 1000 },
	{ "h", 60 * 60 * 1000 },
	{ "d", 24 * 60 * 60 * 1000 },
};

static const struct unit SIZES[] = {
	{ "b", 1 },
	{ "k", 1024 },
	{ "m", 1024 * 1024 },
	{ "g", 1024 * 1024 * 1024 },
};

static const struct unit RATES[] = {
	{ "/s", 1000 },
	{ "/m", 60 * 1000 },
	{ "/h", 60 * 60 * 1000 },
};

/* "10" and "ms"; 0, or -EINVAL for what is no number with a unit, -ERANGE for
 * a number that is too large. */
static int
split(struct wr_str s, const struct unit *units, size_t n_units, uint64_t *n,
    uint64_t *factor)
{
	struct wr_str head = s;
	int err;

	while (head.len > 0 &&
	       (unsigned)(unsigned char)head.p[head.len - 1] - '0' > 9)
		head.len--;
	s = (struct wr_str){ s.p + head.len, s.len - head.len };
	err = wr_str_u64(head, UINT32_MAX, n);
	if (err < 0)
		return err;
	for (size_t i = 0; i < n_units; i++)
		if (wr_str_is(s, units[i].name)) {
			*factor = units[i].factor;
			return 0;
		}
	return -EINVAL;
}

static bool
is_off(const struct wr_node *n)
{
	return n->kind == WR_N_TEXT && strcmp(n->text, "off") == 0;
}

/* A number where a unit is needed? */
static bool
bare_number(const struct wr_node *n)
{
	uint64_t num;
	int err;

	if (n->kind == WR_N_BOOL || n->kind < WR_N_TEXT)
		return false;
	err = wr_str_u64(wr_str_of(n->text), UINT64_MAX, &num);
	return err == 0 || err == -ERANGE;
}

/* The largest unit that leaves a whole number. */
static const char *
with_unit(uint64_t num, const struct unit *units, size_t n_units, char *text,
    size_t size)
{
	size_t i = n_units - 1;

	while (i > 0 && num % units[i].factor != 0)
		i--;
	(void)snprintf(text, size, "%llu%s",
	    (unsigned long long)(num / units[i].factor), units[i].name);
	return text;
}

#define TIME_WORDS "\"250ms\", \"30s\", \"2m\", \"1h\""

static void
no_time(struct wr_check *c, const struct wr_key *key, const struct wr_node *n)
{
	char text[WR_SHOWN];

	if (bare_number(n))
		wr_check_wrong(c, key, n,
		    "%s has no unit: write \"%s%s\" or the like", n->text,
		    n->text,
		    key->preset != NULL &&
			    wr_str_ends(wr_str_of(key->preset), "ms")
			? "ms"
			: "s");
	else if (key->min > 0)
		wr_check_wrong(c, key, n,
		    "%s is no time: write " TIME_WORDS " or \"1d\"",
		    wr_check_shown(key, n, text));
	else
		wr_check_wrong(c, key, n,
		    "%s is no time: write " TIME_WORDS ", \"1d\" or \"off\"",
		    wr_check_shown(key, n, text));
}

static void
time_ms(struct wr_check *c, const struct wr_key *key, const struct wr_node *n,
    uint32_t *ms)
{
	uint64_t num = 0, factor = 0, max = WR_TIME_MAX;
	char text[WR_SHOWN], limit[32];
	int err;

	if (key->max > 0 && (uint64_t)key->max < max)
		max = (uint64_t)key->max;
	if (is_off(n) && key->min <= 0) {
		*ms = WR_OFF;
		return;
	}
	err = n->kind == WR_N_TEXT ? split(wr_str_of(n->text), TIMES,
					 WR_COUNT(TIMES), &num, &factor)
				   : -EINVAL;
	if (is_off(n)) {
		wr_check_wrong(c, key, n, "it cannot be off");
	} else if (err == -EINVAL) {
		no_time(c, key, n);
	} else if (err < 0 || num * factor > max) {
		wr_check_wrong(c, key, n, "%s is too long: at most %s",
		    wr_check_shown(key, n, text),
		    with_unit(
			max, TIMES, WR_COUNT(TIMES), limit, sizeof(limit)));
	} else if (key->min > 0 && num * factor < (uint64_t)key->min) {
		wr_check_wrong(c, key, n, "%s is too short: at least %s",
		    wr_check_shown(key, n, text),
		    with_unit((uint64_t)key->min, TIMES, WR_COUNT(TIMES), limit,
			sizeof(limit)));
	} else {
		*ms = (uint32_t)(num * factor);
	}
}

static void
size_bytes(struct wr_check *c, const struct wr_key *key,
    const struct wr_node *n, uint64_t *bytes)
{
	uint64_t num = 0, factor = 0, size, max, min;
	char text[WR_SHOWN], limit[32];
	int err;

	max = key->max > 0 ? (uint64_t)key->max : UINT64_MAX;
	min = key->min > 0 ? (uint64_t)key->min : 0;
	if (is_off(n) && key->may_be_off) {
		*bytes = UINT64_MAX;
		return;
	}
	err = n->kind == WR_N_TEXT ? split(wr_str_of(n->text), SIZES,
					 WR_COUNT(SIZES), &num, &factor)
				   : -EINVAL;
	size = num * factor;
	if (err == -EINVAL && bare_number(n))
		wr_check_wrong(c, key, n,
		    "%s has no unit: write \"16k\", \"4m\", or \"%sb\" for "
		    "bytes",
		    n->text, n->text);
	else if (err == -EINVAL)
		wr_check_wrong(c, key, n,
		    "%s is no size: write \"512b\", \"16k\", \"4m\" or "
		    "\"1g\"",
		    wr_check_shown(key, n, text));
	else if (err < 0 || size > max)
		wr_check_wrong(c, key, n, "%s is too large: at most %s",
		    wr_check_shown(key, n, text),
		    with_unit(
			max, SIZES, WR_COUNT(SIZES), limit, sizeof(limit)));
	else if (size < min)
		wr_check_wrong(c, key, n, "%s is too small: at least %s",
		    wr_check_shown(key, n, text),
		    with_unit(
			min, SIZES, WR_COUNT(SIZES), limit, sizeof(limit)));
	else
		*bytes = size;
}

static void
rate(struct wr_check *c, const struct wr_key *key, const struct wr_node *n,
    struct wr_rate *r)
{
	char text[WR_SHOWN];
	uint64_t num = 0, factor = 0;
	int err;

	if (is_off(n) || (n->kind == WR_N_TEXT && n->text[0] == '\0')) {
		*r = (struct wr_rate){ 0 };
		return;
	}
	err = n->kind == WR_N_TEXT ? split(wr_str_of(n->text), RATES,
					 WR_COUNT(RATES), &num, &factor)
				   : -EINVAL;
	if (err == -EINVAL && bare_number(n))
		wr_check_wrong(c, key, n,
		    "%s has no unit: write \"%s/s\" or the like", n->text,
		    n->text);
	else if (err == -EINVAL)
		wr_check_wrong(c, key, n,
		    "%s is no rate: write \"20/s\", \"30/m\", \"100/h\" or "
		    "\"off\"",
		    wr_check_shown(key, n, text));
	else if (err < 0)
		wr_check_wrong(c, key, n, "%s is out of range",
		    wr_check_shown(key, n, text));
	else if (num == 0)
		wr_check_wrong(c, key, n,
		    "%s would let nobody in: \"off\" is no limit",
		    wr_check_shown(key, n, text));
	else
		*r = (struct wr_rate){ (uint32_t)num, (uint32_t)factor };
}

static void
boolean(struct wr_check *c, const struct wr_key *key, const struct wr_node *n,
    bool *b)
{
	char text[WR_SHOWN];

	if (n->kind == WR_N_BOOL)
		*b = n->num != 0;
	else if (n->kind == WR_N_TEXT &&
		 (strcmp(n->text, "on") == 0 || strcmp(n->text, "true") == 0))
		*b = true;
	else if (n->kind == WR_N_TEXT &&
		 (strcmp(n->text, "off") == 0 || strcmp(n->text, "false") == 0))
		*b = false;
	else
		wr_check_wrong(c, key, n,
		    "%s is neither true nor false (\"on\" and \"off\" will do)",
		    wr_check_shown(key, n, text));
}

/* A number, or a string that is one. */
static int
whole_number(const struct wr_node *n, int64_t *num)
{
	uint64_t u;
	int err;

	if (n->kind == WR_N_INT) {
		*num = n->num;
		return 0;
	}
	if (n->kind != WR_N_TEXT)
		return -EINVAL;
	err = wr_str_u64(wr_str_of(n->text), UINT32_MAX - 1, &u);
	*num = err == 0 ? (int64_t)u : 0;
	return err;
}

static void
integer(struct wr_check *c, const struct wr_key *key, const struct wr_node *n,
    uint32_t *i)
{
	bool any = key->min == 0 && key->max == 0;
	char text[WR_SHOWN];
	int64_t num;
	int err;

	if (is_off(n) && key->may_be_off) {
		*i = WR_OFF;
		return;
	}
	err = whole_number(n, &num);
	if (err == -EINVAL) {
		wr_check_wrong(c, key, n,
		    key->may_be_off ? "a number or \"off\" is expected, not %s"
				    : "a number is expected, not %s",
		    wr_check_shown(key, n, text));
	} else if (err < 0 || (any ? num < 0 : num < key->min) ||
		   (key->max > 0 && num > key->max)) {
		if (key->max > 0)
			wr_check_wrong(c, key, n,
			    "%s is out of range: it may be %lld to %lld",
			    wr_check_shown(key, n, text), (long long)key->min,
			    (long long)key->max);
		else
			wr_check_wrong(c, key, n, "%s is out of range",
			    wr_check_shown(key, n, text));
	} else {
		*i = (uint32_t)num;
	}
}

static void
choice(struct wr_check *c, const struct wr_key *key, const struct wr_node *n,
    uint32_t *which)
{
	struct wr_text t = { 0 };
	char text[WR_SHOWN];
	/* "off" may have been written as the bool that it also is. */
	const char *z = n->kind == WR_N_BOOL   ? (n->num != 0 ? "on" : "off")
			: n->kind >= WR_N_TEXT ? n->text
					       : "";

	for (uint32_t i = 0; key->choices[i] != NULL; i++) {
		if (strcmp(key->choices[i], z) == 0) {
			*which = i;
			wr_text_fini(&t);
			return;
		}
		wr_text_printf(&t, "%s\"%s\"",
		    i == 0                        ? ""
		    : key->choices[i + 1] == NULL ? " or "
						  : ", ",
		    key->choices[i]);
	}
	wr_check_wrong(c, key, n, "%s is not one of its values: write %s",
	    wr_check_shown(key, n, text), t.p);
	wr_text_fini(&t);
}

static void
text_value(struct wr_check *c, const struct wr_key *key,
    const struct wr_node *n, const char **field)
{
	const char *z;

	if (key->type == WR_SECRET)
		((struct wr_node *)(uintptr_t)n)->secret = true;
	z = wr_check_text(c, n);
	if (z == NULL)
		return;
	if (key->type == WR_PATH && z[0] != '\0')
		*field = wr_check_path(c, n, z);
	else
		*field = wr_check_str(c, wr_str_of(z));
}

/* Grows in scratch memory, so that one pass is enough. */
struct vec {
	char *v;
	size_t each;
	uint32_t n, size;
};

static void *
push(struct wr_check *c, struct vec *vec)
{
	uint32_t size = vec->size > 0 ? vec->size * 2 : 8;
	char *v;

	if (vec->n == vec->size) {
		v = wr_check_scratch(c, size * vec->each);
		if (vec->n > 0)
			memcpy(v, vec->v, vec->n * vec->each);
		vec->v = v;
		vec->size = size;
	}
	return vec->v + vec->each * vec->n++;
}

/* For good. */
static void *
settled(struct wr_check *c, const struct vec *vec)
{
	void *v;

	if (vec->n == 0)
		return NULL;
	v = wr_check_array(c, vec->n, vec->each);
	memcpy(v, vec->v, vec->n * vec->each);
	return v;
}

static const char *
shown_text(const struct wr_node *n, struct wr_str s, char *text)
{
	struct wr_node copy = *n;

	copy.text = s.p;
	copy.kind = WR_N_TEXT;
	return wr_check_shown(NULL, &copy, text);
}

static void
one_text(
    struct wr_check *c, const struct wr_node *n, struct wr_str s, void *arg)
{
	(void)n;
	*(const char **)push(c, arg) = wr_check_str(c, s);
}

static void
one_cidr(
    struct wr_check *c, const struct wr_node *n, struct wr_str s, void *arg)
{
	struct vec *vec = arg;
	struct wr_cidr cidr;
	char text[WR_SHOWN];
	int err = wr_cidr_parse(&cidr, s);

	if (err == 0)
		memcpy(push(c, vec), &cidr, sizeof(cidr));
	else if (err == -EDOM)
		wr_check_error(c, n,
		    "%s has bits set beyond its mask: which network is meant?",
		    shown_text(n, s, text));
	else
		wr_check_error(c, n,
		    "%s is no network: write \"10.0.0.0/8\", "
		    "\"2001:db8::/32\", "
		    "an address, or \"all\"",
		    shown_text(n, s, text));
}

static void
one_addr(
    struct wr_check *c, const struct wr_node *n, struct wr_str s, void *arg)
{
	struct vec *vec = arg;
	struct wr_addr addr;
	char text[WR_SHOWN];

	if (wr_addr_parse(&addr, s, 0) == 0)
		memcpy(push(c, vec), &addr, sizeof(addr));
	else
		wr_check_error(c, n,
		    "%s is no address: write \"10.0.0.5\" or \"[2001:db8::1]\"",
		    shown_text(n, s, text));
}

static void
texts(struct wr_check *c, const struct wr_node *n, struct wr_texts *out)
{
	struct vec vec = { .each = sizeof(const char *) };

	wr_check_texts(c, n, one_text, &vec);
	out->v = settled(c, &vec);
	out->n = vec.n;
}

static void
cidrs(struct wr_check *c, const struct wr_node *n, struct wr_cidrs *out)
{
	struct vec vec = { .each = sizeof(struct wr_cidr) };

	wr_check_texts(c, n, one_cidr, &vec);
	wr_cidrs_build(out, settled(c, &vec), vec.n);
}

static void
addrs(struct wr_check *c, const struct wr_node *n, struct wr_addrs *out)
{
	struct vec vec = { .each = sizeof(struct wr_addr) };

	wr_check_texts(c, n, one_addr, &vec);
	out->v = settled(c, &vec);
	out->n = vec.n;
}

static void
groups(struct wr_check *c, const struct wr_key *key, const struct wr_node *n,
    struct wr_array *out)
{
	const struct wr_node *first = wr_node_plural(n) ? n->first : n;
	uint32_t count = wr_node_plural(n) ? n->n : 1, i = 0;
	char *v = wr_check_array(c, count, key->size);

	*out = (struct wr_array){ v, count };
	if (count > 0)
		wr_check_presets(c, key->keys, v);
	for (i = 1; i < count; i++)
		memcpy(v + i * key->size, v, key->size);
	for (n = first, i = 0; i < count; n = n->next, i++)
		wr_check_group(
		    c, key->keys, key->principal, n, v + i * key->size);
}

void
wr_check_value(struct wr_check *c, const struct wr_key *key,
    const struct wr_node *n, void *field)
{
	switch (key->type) {
	case WR_BOOL:
		boolean(c, key, n, field);
		break;
	case WR_INT:
		integer(c, key, n, field);
		break;
	case WR_TIME:
		time_ms(c, key, n, field);
		break;
	case WR_SIZE:
		size_bytes(c, key, n, field);
		break;
	case WR_RATE:
		rate(c, key, n, field);
		break;
	case WR_TEXT:
	case WR_PATH:
	case WR_SECRET:
		text_value(c, key, n, field);
		break;
	case WR_TEXTS:
		texts(c, n, field);
		break;
	case WR_CHOICE:
		choice(c, key, n, field);
		break;
	case WR_CIDRS:
		cidrs(c, n, field);
		break;
	case WR_ADDRS:
		addrs(c, n, field);
		break;
	case WR_GROUP:
		wr_check_group(c, key->keys, key->principal, n, field);
		break;
	case WR_GROUPS:
		groups(c, key, n, field);
		break;
	case WR_CUSTOM:
		assert(key->parse != NULL);
		key->parse(c, key, n, field);
		break;
	}
}
