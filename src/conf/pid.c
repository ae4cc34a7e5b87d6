/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pid - find `pid = "..."` in a file that may be broken, or in one that it
 * includes, so that weir -s finds the master that runs all the same.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "conf/conf.h"
#include "conf/files.h"
#include "conf/lex.h"
#include "conf/scan.h"

/* In all, so that no loop of includes lasts. */
#define FILES_MAX 1000u

struct hunt {
	char *pid; /* of the caller */
	size_t size;
	uint32_t files, depth;
	bool found;
};

/* One file in hand. */
struct page {
	struct hunt *hunt;
	struct wr_source src;
	struct wr_errs errs;     /* of no interest */
	struct wr_text text;     /* the string in hand */
	struct wr_text includes; /* each ended by a NUL */
};

enum key {
	OTHER,
	PID,
	INCLUDE
};

static bool
expand(struct page *p, uint32_t line)
{
	bool secret;

	return wr_expand(&p->text, &p->src, line, &p->errs, &secret) >= 0 &&
	       p->text.len > 0;
}

static void
take_pid(struct page *p, uint32_t line)
{
	struct hunt *h = p->hunt;
	bool slash;
	int n;

	if (!expand(p, line))
		return;
	slash = p->text.p[0] == '/';
	n = snprintf(h->pid, h->size, "%s%s%s", slash ? "" : p->src.dir,
	    slash ? "" : "/", p->text.p);
	h->found = n > 0 && (size_t)n < h->size;
}

static void
take_include(struct page *p, uint32_t line)
{
	if (expand(p, line))
		wr_text_add(&p->includes, p->text.p, p->text.len + 1);
}

static enum key
key_of(struct wr_str word)
{
	if (wr_str_is(word, "pid"))
		return PID;
	return wr_str_is(word, "include") || wr_str_is(word, "@include")
		   ? INCLUDE
		   : OTHER;
}

/* A string; false: it is the pid file. */
static bool
string(struct page *p, struct wr_lex *x, enum key key, bool equals)
{
	bool bad;

	/* One without an end spoils its line only. */
	if (!wr_lex_string(x, &p->text, &bad))
		x->stop = false;
	else if (equals && key == INCLUDE && !bad)
		take_include(p, x->line);
	else if (equals && key == PID) {
		if (!bad)
			take_pid(p, x->line);
		return false;
	}
	return true;
}

/* Whatever else is there is only counted: brackets. */
static void
look(struct page *p, struct wr_lex *x)
{
	enum key key = OTHER;
	bool equals = false;
	int depth = 0;
	char c;

	while ((c = wr_lex_next(x)) != '\0') {
		struct wr_str word;

		if (c == '"') {
			if (!string(p, x, key, equals))
				return;
			equals = equals && key == INCLUDE;
			continue;
		}
		word = wr_lex_name(x);
		if (word.len > 0) {
			key = depth == 0 ? key_of(word) : OTHER;
			equals = word.p[0] == '@';
			continue;
		}
		x->p++;
		depth += strchr("{([", c) != NULL;
		depth -= strchr("})]", c) != NULL && depth > 0;
		if (c == '=' || c == ':')
			equals = true;
		else if (key != INCLUDE || depth == 0 || c == '{')
			key = OTHER;
	}
}

static bool scan(struct hunt *h, const char *path);

static int
on_file(const char *path, const char *shown, void *arg)
{
	struct page *p = arg;
	char mem[8192];
	struct wr_arena a;
	const char *full;

	(void)shown;
	wr_arena_init(&a, mem, sizeof(mem));
	full = wr_path_join(&a, p->src.dir, path);
	/* The first one that has it is enough. */
	return full != NULL && scan(p->hunt, full) ? -EEXIST : 0;
}

static void
follow(struct page *p)
{
	struct hunt *h = p->hunt;
	const struct wr_text *t = &p->includes;

	if (h->depth >= WR_SCAN_DEPTH_MAX)
		return;
	h->depth++;
	for (size_t i = 0; i < t->len && !h->found; i += strlen(t->p + i) + 1)
		(void)!wr_path_glob(p->src.dir, t->p + i, on_file, p);
	h->depth--;
}

static bool
scan(struct hunt *h, const char *path)
{
	char mem[8192], *data = NULL;
	struct wr_arena a;
	struct page p = { .hunt = h, .src = { .name = path } };
	struct wr_lex x = {
		.line = 1, .src = &p.src, .errs = &p.errs, .fatal = &p.errs
	};
	size_t len = 0;

	wr_arena_init(&a, mem, sizeof(mem));
	p.src.dir = wr_path_home(&a, path);
	if (p.src.dir == NULL || h->files++ >= FILES_MAX ||
	    wr_file_read(path, WR_SCAN_FILE_MAX, &data, &len, NULL) < 0)
		return false;
	x.p = data;
	x.end = data + len;
	look(&p, &x);
	free(data);
	if (!h->found)
		follow(&p);
	wr_text_fini(&p.text);
	wr_text_fini(&p.includes);
	wr_errs_fini(&p.errs);
	return h->found;
}

bool
wr_conf_scan_pid(const char *path, char *pid, size_t size)
{
	struct hunt h = { .pid = pid, .size = size };

	return scan(&h, path);
}
