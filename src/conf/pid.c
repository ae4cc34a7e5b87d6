/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pid - find `pid = "..."` in a file that may be broken, so that weir -s finds
 * the master that runs all the same.  Included files are not looked at.
 */
#include <stdio.h>
#include <stdlib.h>

#include "conf/conf.h"
#include "conf/files.h"
#include "conf/lex.h"
#include "conf/scan.h"

/* The string after `pid =` at the top level, in t; whatever else is there is
 * only counted: brackets. */
static bool
look(struct wr_lex *x, struct wr_text *t)
{
	int depth = 0;
	bool found = false, equals = false, bad;
	char c;

	while ((c = wr_lex_next(x)) != '\0') {
		struct wr_str word;

		if (c == '"') {
			/* A string without an end spoils its line only. */
			if (!wr_lex_string(x, t, &bad))
				x->stop = false;
			else if (found && equals)
				return !bad;
			continue;
		}
		word = wr_lex_name(x);
		if (word.len > 0) {
			found = depth == 0 && wr_str_is(word, "pid");
			equals = false;
			continue;
		}
		x->p++;
		depth += strchr("{([", c) != NULL;
		depth -= strchr("})]", c) != NULL && depth > 0;
		equals = c == '=' || c == ':';
		if (!equals)
			found = false;
	}
	return false;
}

static bool
copy(const struct wr_source *src, const struct wr_text *t, char *pid,
    size_t size)
{
	bool slash = t->len > 0 && t->p[0] == '/';
	int n = snprintf(
	    pid, size, "%s%s%s", slash ? "" : src->dir, slash ? "" : "/", t->p);

	return t->len > 0 && n > 0 && (size_t)n < size;
}

bool
wr_conf_scan_pid(const char *path, char *pid, size_t size)
{
	char mem[16384], *data = NULL;
	struct wr_errs errs = { 0 };
	struct wr_text t = { 0 };
	struct wr_arena a;
	struct wr_source src = { .name = path };
	struct wr_lex x = {
		.line = 1, .src = &src, .errs = &errs, .fatal = &errs
	};
	size_t len = 0;
	bool secret, found;

	wr_arena_init(&a, mem, sizeof(mem));
	src.dir = wr_path_home(&a, path);
	if (src.dir == NULL ||
	    wr_file_read(path, WR_SCAN_FILE_MAX, &data, &len, NULL) < 0)
		return false;
	x.p = data;
	x.end = data + len;
	found = look(&x, &t) &&
		wr_expand(&t, &src, x.line, &errs, &secret) >= 0 &&
		copy(&src, &t, pid, size);
	free(data);
	wr_text_fini(&t);
	wr_errs_fini(&errs);
	return found;
}
