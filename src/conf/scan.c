/* SPDX-License-Identifier: BSD-2-Clause */
/* scan - files and includes; see scan.h. */
#include "conf/scan.h"

#include <errno.h>
#include <stdlib.h>

#include "conf/files.h"
#include "conf/grammar.h"

static bool
refuse_file(struct wr_scan *s, const struct wr_source *by, uint32_t line,
    const char *shown, const char *why)
{
	s->failed = true;
	if (by == NULL)
		wr_errs_add(s->errs, NULL, 0, "%s: %s", shown, why);
	else
		wr_errs_add(
		    s->errs, by, line, "include \"%s\": %s", shown, why);
	return false;
}

static bool
loops(const struct wr_source *by, const struct stat *st)
{
	for (; by != NULL; by = by->parent)
		if (by->dev == st->st_dev && by->ino == st->st_ino)
			return true;
	return false;
}

static uint32_t
depth_of(const struct wr_source *src)
{
	uint32_t n = 0;

	for (; src != NULL; src = src->parent)
		n++;
	return n;
}

static struct wr_source *
source_new(struct wr_scan *s, const struct wr_wait *w, const struct stat *st)
{
	uint32_t size = s->sources_size > 0 ? s->sources_size * 2 : 16;
	struct wr_source *src = wr_arena_alloc(s->scratch, sizeof(*src));
	const struct wr_source **v;

	if (s->n_sources == s->sources_size) {
		v = realloc(s->sources, size * sizeof(*v));
		if (v == NULL)
			return NULL;
		s->sources = v;
		s->sources_size = size;
	}
	if (src == NULL)
		return NULL;
	*src = (struct wr_source){ .name = w->shown,
		.dir = wr_path_home(s->scratch, w->path),
		.order = s->n_sources,
		.line = w->line,
		.parent = w->by,
		.dev = st->st_dev,
		.ino = st->st_ino };
	s->sources[s->n_sources++] = src;
	return src->dir != NULL ? src : NULL;
}

/* Read one file for parsing; the text is to be freed. */
static bool
file_open(
    struct wr_scan *s, const struct wr_wait *w, struct wr_in *in, char **data)
{
	struct stat st;
	size_t len = 0;
	const char *nul;
	int err = wr_file_read(w->path, WR_SCAN_FILE_MAX, data, &len, &st);

	if (err < 0)
		return refuse_file(s, w->by, w->line, w->shown,
		    err == -EFBIG ? "it is larger than 16 MiB"
				  : wr_file_why(err));
	s->bytes += len;
	in->x = (struct wr_lex){ .p = *data,
		.end = *data + len,
		.line = 1,
		.errs = s->errs,
		.fatal = &s->fatal };
	in->s = s;
	if (loops(w->by, &st))
		return refuse_file(
		    s, w->by, w->line, w->shown, "it includes itself");
	if (s->bytes > WR_SCAN_TOTAL_MAX || s->n_sources >= WR_SCAN_FILES_MAX ||
	    depth_of(w->by) >= WR_SCAN_DEPTH_MAX)
		return refuse_file(s, w->by, w->line, w->shown,
		    "too much is included (64 MiB, 10000 files, 32 levels)");
	in->x.src = source_new(s, w, &st);
	if (in->x.src == NULL)
		return refuse_file(
		    s, w->by, w->line, w->shown, "out of memory");
	nul = memchr(*data, '\0', len);
	if (nul != NULL) {
		for (const char *p = *data; p < nul; p++)
			in->x.line += *p == '\n';
		wr_lex_stop(&in->x, in->x.line, "the file holds a zero byte");
	}
	/* A byte order mark is no text. */
	if (len >= 3 && memcmp(*data, "\xef\xbb\xbf", 3) == 0)
		in->x.p += 3;
	return true;
}

static struct wr_wait *
wait_new(struct wr_scan *s, const struct wr_wait *w, const char *path,
    const char *shown)
{
	struct wr_wait *one = wr_arena_alloc(s->scratch, sizeof(*one));
	char *dir = wr_path_dir(s->scratch, w->by->name);

	if (one == NULL || dir == NULL)
		return NULL;
	*one = (struct wr_wait){ .by = w->by, .line = w->line };
	one->path = wr_path_join(s->scratch, w->by->dir, path);
	one->shown = wr_path_join(s->scratch, dir, shown);
	return one->path != NULL && one->shown != NULL ? one : NULL;
}

struct matching {
	struct wr_scan *s;
	const struct wr_wait *w;
	struct wr_wait **tail;
};

static int
on_match(const char *path, const char *shown, void *arg)
{
	struct matching *m = arg;

	*m->tail = wait_new(m->s, m->w, path, shown);
	if (*m->tail == NULL)
		return -ENOMEM;
	m->tail = &(*m->tail)->next;
	return 0;
}

/* All files that `w->path`, as written, stands for; in order.  NULL, or why
 * they cannot be had. */
static const char *
matches(struct wr_scan *s, const struct wr_wait *w, struct wr_wait **list)
{
	struct matching m = { s, w, list };

	*list = NULL;
	switch (wr_path_glob(w->by->dir, w->path, on_match, &m)) {
	case 0:
		return NULL;
	case -E2BIG:
		return "its wildcards lead to more than 100000 files: name "
		       "the folder";
	default:
		return "out of memory";
	}
}

/* @include "file": its settings stand here. */
bool
wr_scan_include_here(struct wr_in *in, struct wr_open *o)
{
	struct wr_scan *s = in->s;
	struct wr_wait w = { .by = in->x.src, .line = in->x.line }, *v = NULL;
	char bracket = o->bracket;
	struct wr_str word = wr_lex_word(&in->x);
	const char *why;
	bool bad, secret;

	if (!wr_str_is(word, "@include") || wr_lex_next(&in->x) != '"') {
		wr_lex_stop(&in->x, w.line, "write @include \"FILE\"");
		return false;
	}
	if (!wr_lex_string(&in->x, &s->text, &bad))
		return false;
	if (wr_expand(&s->text, in->x.src, w.line, s->errs, &secret) < 0)
		return true;
	w.path =
	    wr_arena_str(s->scratch, (struct wr_str){ s->text.p, s->text.len });
	why = w.path != NULL ? matches(s, &w, &v) : "out of memory";
	if (why != NULL) {
		wr_lex_stop(&in->x, w.line, "@include \"%s\": %s",
		    w.path != NULL ? w.path : "", why);
		return false;
	}
	s->includes = true;
	o->bracket = '\0';
	for (; v != NULL && !in->x.stop; v = v->next) {
		struct wr_in here = { .tail = in->tail };
		char *data = NULL;

		if (file_open(s, v, &here, &data) && !wr_grammar(&here, o))
			in->x.stop = true;
		in->tail = here.tail;
		free(data);
	}
	o->bracket = bracket;
	return !in->x.stop;
}

/* A file as a group of its own, then all that it includes. */
static bool
file(struct wr_scan *s, const struct wr_wait *w)
{
	struct wr_wait *first = NULL, *v;
	struct wr_in in = { .tail = &first };
	struct wr_open o = { .serial = ++s->groups };
	const char *why;
	char *data = NULL;
	bool fine;

	fine = file_open(s, w, &in, &data);
	if (fine) {
		wr_scan_line(s, s->n_files++ > 0 ? ",{" : "{");
		(void)wr_scan_place(&in, 1);
		fine = wr_grammar(&in, &o);
		wr_scan_end(&in, &o);
		wr_scan_line(s, "}");
	}
	free(data);
	for (; fine && first != NULL; first = first->next) {
		why = matches(s, first, &v);
		if (why != NULL)
			(void)refuse_file(
			    s, first->by, first->line, first->path, why);
		for (; v != NULL && s->fatal.n == 0; v = v->next)
			(void)file(s, v);
	}
	return fine;
}

void
wr_scan_init(struct wr_scan *s, struct wr_errs *errs, struct wr_arena *scratch)
{
	*s = (struct wr_scan){ .errs = errs, .scratch = scratch };
}

bool
wr_scan_file(struct wr_scan *s, const char *path)
{
	struct wr_wait w = { .path = path, .shown = path };

	/* Names of sources outlive the caller's path. */
	w.path = w.shown = wr_arena_str(s->scratch, wr_str_of(path));
	if (w.path == NULL)
		return refuse_file(s, NULL, 0, path, "out of memory");
	wr_scan_line(s, WR_SCAN_FILES "=(");
	(void)file(s, &w);
	wr_scan_line(s, ");");
	/* A syntax error is told alone. */
	if (s->fatal.n > 0) {
		wr_errs_fini(s->errs);
		*s->errs = s->fatal;
		s->fatal = (struct wr_errs){ 0 };
		s->failed = true;
	}
	if (s->out.cut)
		return refuse_file(s, NULL, 0, path, "out of memory");
	return !s->failed;
}

void
wr_scan_fini(struct wr_scan *s)
{
	wr_text_fini(&s->out);
	wr_text_fini(&s->text);
	wr_errs_fini(&s->fatal);
	free(s->places);
	free(s->sources);
	free(s->names);
	*s = (struct wr_scan){ 0 };
}
