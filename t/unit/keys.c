/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Prints all keys as lines that begin with "# key:", for t/99-docs.t; and
 * sees to it that the tables are in order.
 */
#include "conf.h"
#include "proxy/module.h"

#define GROUPS_MAX 64

/* What a module's table must have to be shown, checked and explained. */
static bool
complete(const struct wr_key *k)
{
	bool good = true;

	for (; k->name != NULL; k++) {
		if (k->help == NULL || k->help[0] == '\0' ||
		    (k->type == WR_CHOICE && k->choices == NULL) ||
		    (k->type == WR_GROUP && k->keys == NULL) ||
		    (k->type == WR_GROUPS && (k->keys == NULL || !k->size)) ||
		    (k->type == WR_CUSTOM && k->parse == NULL)) {
			diag("%s is not complete", k->name);
			good = false;
		}
		if (k->keys != NULL)
			good &= complete(k->keys);
	}
	return good;
}

int
main(void)
{
	const struct wr_group *groups[GROUPS_MAX + 1] = { NULL };
	struct wr_load ld = { .groups = groups };
	struct wr_text t = { 0 };
	struct wr_gen *g;
	const char *said;
	size_t n = 0;

	for (; wr_modules[n] != NULL && n < GROUPS_MAX; n++) {
		groups[n] = &wr_modules[n]->conf;
		if (groups[n]->name == NULL)
			continue;
		ok(complete(groups[n]->keys));
		diag("group:\t%s", groups[n]->name);
	}
	wr_conf_keys(groups, &t);
	for (char *line = t.p, *end; line != NULL && *line != '\0';
	     line = end + 1) {
		end = strchr(line, '\n');
		*end = '\0';
		diag("key:\t%s", line);
	}
	wr_text_fini(&t);
	/* All presets are good. */
	conf_begin();
	g = conf_load(
	    "upstreams = { a = { servers = \"10.0.0.5:80\"; }; };", &ld, &said);
	is_str(said, "");
	ok(g != NULL);
	wr_gen_put(&g);
	conf_end();
	return tap_done();
}
