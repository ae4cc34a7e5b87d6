/* SPDX-License-Identifier: BSD-2-Clause */
/* expand - ${NAME}, ${NAME:-default}, ${file:PATH}; see scan.h. */
#include <ctype.h>
#include <stdlib.h>

#include "conf/files.h"
#include "conf/scan.h"

#define VALUE_MAX (1u << 20)

struct expand {
	struct wr_text out;
	const struct wr_source *src;
	uint32_t line;
	struct wr_errs *errs;
	bool secret, failed;
};

static void
fail(struct expand *e, const char *fmt, ...)
{
	va_list ap;

	e->failed = true;
	va_start(ap, fmt);
	wr_errs_vadd(e->errs, e->src, e->line, fmt, ap);
	va_end(ap);
}

static void
file(struct expand *e, struct wr_str path)
{
	char buf[8192];
	struct wr_arena a;
	char *name, *data = NULL;
	size_t len = 0;
	int err;

	e->secret = true;
	wr_arena_init(&a, buf, sizeof(buf));
	name = wr_arena_str(&a, path);
	if (name != NULL && e->src != NULL)
		name = wr_path_join(&a, e->src->dir, name);
	if (name == NULL || path.len == 0) {
		fail(e, "${file:...} wants the path of a file");
		return;
	}
	err = wr_file_read(name, VALUE_MAX, &data, &len, NULL);
	if (err < 0) {
		fail(e, "${file:%.*s}: %s", WR_STR_ARG(path), wr_file_why(err));
		return;
	}
	if (memchr(data, '\0', len) != NULL)
		fail(e, "${file:%.*s}: it holds a zero byte", WR_STR_ARG(path));
	if (len > 0 && data[len - 1] == '\n')
		len--;
	if (len > 0 && data[len - 1] == '\r')
		len--;
	wr_text_add(&e->out, data, len);
	explicit_bzero(data, len);
	free(data);
}

static bool
variable_ok(struct wr_str s)
{
	if (s.len == 0 || isdigit((unsigned char)s.p[0]))
		return false;
	for (size_t i = 0; i < s.len; i++)
		if (!isalnum((unsigned char)s.p[i]) && s.p[i] != '_')
			return false;
	return true;
}

static void
variable(struct expand *e, struct wr_str what)
{
	struct wr_str name, preset;
	bool has_preset = wr_str_cut(what, ':', &name, &preset);
	char z[256];
	const char *value;

	if (!variable_ok(name) || name.len >= sizeof(z) ||
	    (has_preset && !wr_str_starts(preset, "-"))) {
		fail(e,
		    "${%.*s}: write ${NAME}, ${NAME:-default} or "
		    "${file:PATH}; $${ stands for ${ itself",
		    WR_STR_ARG(what));
		return;
	}
	memcpy(z, name.p, name.len);
	z[name.len] = '\0';
	value = getenv(z);
	/* As in the shell: with ":-", empty is as good as unset. */
	if (has_preset && (value == NULL || value[0] == '\0'))
		wr_text_add(&e->out, preset.p + 1, preset.len - 1);
	else if (value != NULL)
		wr_text_puts(&e->out, value);
	else
		fail(e,
		    "${%s}: this variable is not set (${%s:-default} "
		    "gives it a default)",
		    z, z);
}

/* At "${"; what is left after it. */
static struct wr_str
one(struct expand *e, struct wr_str s)
{
	struct wr_str what, rest;

	s = (struct wr_str){ s.p + 2, s.len - 2 };
	if (!wr_str_cut(s, '}', &what, &rest)) {
		fail(e, "\"${\" has no end (\"}\"); $${ stands for ${ itself");
		return rest;
	}
	if (wr_str_starts(what, "file:"))
		file(e, (struct wr_str){ what.p + 5, what.len - 5 });
	else
		variable(e, what);
	return rest;
}

static void
all(struct expand *e, struct wr_str s)
{
	while (s.len > 0) {
		const char *at = memchr(s.p, '$', s.len);
		size_t n = at != NULL ? (size_t)(at - s.p) : s.len;

		wr_text_add(&e->out, s.p, n);
		s = (struct wr_str){ s.p + n, s.len - n };
		if (wr_str_starts(s, "$${")) {
			wr_text_puts(&e->out, "${");
			s = (struct wr_str){ s.p + 3, s.len - 3 };
		} else if (wr_str_starts(s, "${")) {
			s = one(e, s);
		} else if (s.len > 0) {
			wr_text_putc(&e->out, '$');
			s = (struct wr_str){ s.p + 1, s.len - 1 };
		}
	}
}

int
wr_expand(struct wr_text *t, const struct wr_source *src, uint32_t line,
    struct wr_errs *errs, bool *secret)
{
	struct expand e = { .src = src, .line = line, .errs = errs };

	*secret = false;
	if (t->len == 0 || memmem(t->p, t->len, "${", 2) == NULL)
		return 0;
	all(&e, (struct wr_str){ t->p, t->len });
	wr_text_reset(t);
	if (!e.failed)
		wr_text_add(t, e.out.p, e.out.len);
	*secret = e.secret;
	if (e.secret && e.out.len > 0)
		explicit_bzero(e.out.p, e.out.len);
	wr_text_fini(&e.out);
	return e.failed ? -1 : 1;
}
