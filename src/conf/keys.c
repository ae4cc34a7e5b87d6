/* SPDX-License-Identifier: BSD-2-Clause */
/* keys - all tables as text, for the manual's test and the editor file. */
#include <stdio.h>

#include "conf/core.h"

static const char *const TYPES[] = {
	[WR_BOOL] = "bool",
	[WR_INT] = "number",
	[WR_TIME] = "time",
	[WR_SIZE] = "size",
	[WR_RATE] = "rate",
	[WR_TEXT] = "string",
	[WR_PATH] = "path",
	[WR_SECRET] = "secret",
	[WR_TEXTS] = "strings",
	[WR_CHOICE] = "choice",
	[WR_CIDRS] = "networks",
	[WR_ADDRS] = "addresses",
	[WR_GROUP] = "group",
	[WR_GROUPS] = "groups",
	[WR_CUSTOM] = "value",
};

const char *
wr_effect_name(enum wr_effect e)
{
	static const char *const NAMES[] = {
		[WR_NEW] = "new",
		[WR_LIVE] = "live",
		[WR_WORKERS] = "workers",
		[WR_UPGRADE] = "upgrade",
	};

	return NAMES[e];
}

/* `later`: so is the group that it is in. */
static void
one(struct wr_text *out, const char *prefix, const struct wr_key *k, bool later)
{
	const char *type = TYPES[k->type];

	if (k->type == WR_CUSTOM &&
	    (k->keys != NULL || k->parse == wr_parse_nothing))
		type = "group";
	wr_text_printf(out, "%s%s\t%s\t%s\t%s\t%s\n", prefix, k->name, type,
	    k->preset != NULL ? k->preset : "",
	    later || k->later != NULL ? "later" : wr_effect_name(k->effect),
	    k->help);
}

/* `at`: only time-outs that may be set there; 0: all keys. */
static void
table(struct wr_text *out, const char *prefix, const struct wr_key *keys,
    unsigned at, bool later)
{
	char inner[256];

	for (const struct wr_key *k = keys; k->name != NULL; k++) {
		if (keys == wr_timeout_keys &&
		    (wr_timeout_at((enum wr_timeout)(k - keys)) & at) == 0)
			continue;
		one(out, prefix, k, later);
		/* Routes nest in routes. */
		if (k->keys == NULL)
			continue;
		(void)snprintf(inner, sizeof(inner), "%s%s.", prefix, k->name);
		table(out, inner, k->keys, (unsigned)k->min,
		    later || k->later != NULL);
	}
}

static const char *
level(unsigned at)
{
	if ((at & WR_AT_TOP) != 0)
		return "";
	if ((at & WR_AT_LISTENER) != 0)
		return "listener.";
	return (at & WR_AT_UPSTREAM) != 0 ? "upstream." : "listener.routes.";
}

static void
group(struct wr_text *out, const struct wr_group *g, unsigned at)
{
	char inner[256];

	wr_text_printf(out, "%s%s\tgroup\t\tnew\t%s\n", level(at), g->name,
	    g->help != NULL ? g->help : "");
	(void)snprintf(inner, sizeof(inner), "%s%s.", level(at), g->name);
	table(out, inner, g->keys, 0, false);
}

void
wr_conf_keys(const struct wr_group *const *groups, struct wr_text *out)
{
	static const unsigned LEVELS[] = { WR_AT_TOP,
		WR_AT_LISTENER | WR_AT_ROUTE, WR_AT_UPSTREAM };

	table(out, "", wr_top_keys, 0, false);
	table(out, "listener.", wr_listener_keys, 0, false);
	table(out, "upstream.", wr_upstream_keys, 0, false);
	for (; groups != NULL && *groups != NULL; groups++)
		for (size_t i = 0; i < WR_COUNT(LEVELS); i++)
			if ((*groups)->name != NULL &&
			    ((*groups)->at & LEVELS[i]) != 0)
				group(out, *groups, (*groups)->at & LEVELS[i]);
}
