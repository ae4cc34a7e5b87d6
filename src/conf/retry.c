/* SPDX-License-Identifier: BSD-2-Clause */
/* retry - which failures of a connect are worth another try. */
#include "conf/core.h"

#define AT(field) offsetof(struct wr_retry_conf, field)

static const struct {
	const char *name;
	uint32_t bit;
} CLASSES[] = {
	{ "refused", WR_RETRY_REFUSED },
	{ "timeout", WR_RETRY_TIMEOUT },
	{ "reset", WR_RETRY_RESET },
	{ "unreachable", WR_RETRY_UNREACHABLE },
};

static void
one_class(
    struct wr_check *c, const struct wr_node *n, struct wr_str s, void *arg)
{
	uint32_t *on = arg;

	for (size_t i = 0; i < WR_COUNT(CLASSES); i++) {
		if (wr_str_is(s, CLASSES[i].name)) {
			*on |= CLASSES[i].bit;
			return;
		}
	}
	wr_check_error(c, n,
	    "\"%.*s\" is not a failure that can be retried: write \"refused\", "
	    "\"timeout\", \"reset\" or \"unreachable\"",
	    WR_STR_ARG(s));
}

static void
parse_on(struct wr_check *c, const struct wr_key *key, const struct wr_node *n,
    void *field)
{
	uint32_t *on = field;

	(void)key;
	*on = 0;
	wr_check_texts(c, n, one_class, on);
}

const struct wr_key wr_retry_keys[] = {
	{ "tries", WR_INT, AT(tries), "3", "connects at most, with the first",
	    .min = 1, .max = 100 },
	{ "backoff", WR_TIME, AT(backoff_ms), "50ms",
	    "wait before a server is tried again; doubles each time, and is "
	    "shortened by up to half at random",
	    .min = 1, .max = 3600000 },
	{ "max_backoff", WR_TIME, AT(max_backoff_ms), "1s", "the longest wait",
	    .min = 1, .max = 3600000 },
	{ "deadline", WR_TIME, AT(deadline_ms), "10s",
	    "all tries and waits of a session together", .min = 1,
	    .max = 86400000 },
	{ "budget_percent", WR_INT, AT(budget_percent), "20",
	    "retries for so many first tries in 10 seconds, all workers "
	    "together",
	    .max = 10000 },
	{ "budget_min", WR_INT, AT(budget_min), "10",
	    "retries a second that are allowed besides", .max = 1000000 },
	{ "on", WR_CUSTOM, AT(on), "[ refused, timeout, reset, unreachable ]",
	    "failures of a connect that are retried: refused, timeout, reset, "
	    "unreachable",
	    .parse = parse_on },
	{ 0 },
};
