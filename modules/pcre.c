/* SPDX-License-Identifier: BSD-2-Clause */
/* pcre - see pcre.h. */
#include "modules/pcre.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

/* Enough for any pattern that means well: some 10 ms of work, and memory that
 * PCRE2 takes from the heap. */
#define STEPS_MAX 1000000
#define HEAP_KB   4096
#define DEPTH_MAX 2000

struct wr_pcre {
	pcre2_code *code;
	pcre2_match_data *data;
	pcre2_match_context *limits;
};

static pcre2_match_context *
limits_new(void)
{
	pcre2_match_context *c = pcre2_match_context_create(NULL);

	if (c == NULL)
		return NULL;
	(void)pcre2_set_match_limit(c, STEPS_MAX);
	(void)pcre2_set_heap_limit(c, HEAP_KB);
	(void)pcre2_set_depth_limit(c, DEPTH_MAX);
	return c;
}

static uint32_t
options(unsigned flags)
{
	uint32_t o = PCRE2_NEVER_BACKSLASH_C;

	if (flags & WR_PCRE_LINES)
		o |= PCRE2_MULTILINE | PCRE2_DOTALL;
	if (flags & WR_PCRE_NOCASE)
		o |= PCRE2_CASELESS;
	return o;
}

struct wr_pcre *
wr_pcre_new(const char *pattern, unsigned flags, char *why, size_t size)
{
	struct wr_pcre *re = calloc(1, sizeof(*re));
	PCRE2_UCHAR text[128];
	PCRE2_SIZE at;
	int err;

	if (re == NULL) {
		(void)snprintf(why, size, "no memory");
		return NULL;
	}
	re->code = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED,
	    options(flags), &err, &at, NULL);
	if (re->code == NULL) {
		(void)pcre2_get_error_message(err, text, sizeof(text));
		(void)snprintf(why, size, "%s (at character %zu)",
		    (const char *)text, (size_t)at + 1);
		free(re);
		return NULL;
	}
	/* One pair: whether it matches is all that is asked. */
	re->data = pcre2_match_data_create(1, NULL);
	re->limits = limits_new();
	if (re->data == NULL || re->limits == NULL) {
		(void)snprintf(why, size, "no memory");
		wr_pcre_free(&re);
	}
	return re;
}

void
wr_pcre_free(struct wr_pcre **re)
{
	struct wr_pcre *r = *re;

	*re = NULL;
	if (r == NULL)
		return;
	pcre2_match_context_free(r->limits);
	pcre2_match_data_free(r->data);
	pcre2_code_free(r->code);
	free(r);
}

int
wr_pcre_match(const struct wr_pcre *re, const void *p, size_t len)
{
	int n = pcre2_match(re->code, p, len, 0, 0, re->data, re->limits);

	if (n >= 0)
		return 1;
	switch (n) {
	case PCRE2_ERROR_NOMATCH:
		return 0;
	case PCRE2_ERROR_NOMEMORY:
		return -ENOMEM;
	default:
		return -E2BIG;
	}
}
