/* SPDX-License-Identifier: BSD-2-Clause */
/* check - the engine: groups, keys, levels; see check.h. */
#include "conf/check.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "conf/core.h"
#include "conf/files.h"
#include "conf/scan.h"

#define KNOWN_MAX 128

static void
add_path(struct wr_text *t, const struct wr_node *n)
{
	if (n->parent != NULL)
		add_path(t, n->parent);
	if (n->name == NULL)
		return;
	if (t->len > 0)
		wr_text_putc(t, '.');
	wr_text_puts(t, n->name);
}

/* The message without what it is about, so that no secret can slip in. */
static void
redacted(struct wr_text *t, const char *fmt)
{
	for (; *fmt != '\0'; fmt++) {
		if (*fmt != '%') {
			wr_text_putc(t, *fmt);
			continue;
		}
		fmt += 1 + strspn(fmt + 1, "0123456789.*lhzju-");
		wr_text_puts(t, *fmt == '%' ? "%" : "...");
		if (*fmt == '\0')
			return;
	}
}

static void
format(struct wr_text *t, const struct wr_node *n, const char *fmt, va_list ap)
{
	if (n != NULL && n->secret)
		redacted(t, fmt);
	else
		wr_text_vprintf(t, fmt, ap);
}

static void
add(struct wr_errs *e, const struct wr_node *n, const char *fmt, va_list ap)
{
	struct wr_text path = { 0 }, text = { 0 };

	format(&text, n, fmt, ap);
	if (n != NULL)
		add_path(&path, n);
	wr_errs_add(e, n != NULL ? n->src : NULL, n != NULL ? n->line : 0,
	    "%s%s%s", path.len > 0 ? path.p : "", path.len > 0 ? ": " : "",
	    text.p != NULL ? text.p : "");
	wr_text_fini(&path);
	wr_text_fini(&text);
}

void
wr_check_errorv(
    struct wr_check *c, const struct wr_node *n, const char *fmt, va_list ap)
{
	if (n == NULL || !n->bad)
		add(c->errs, n, fmt, ap);
}

void
wr_check_error(
    struct wr_check *c, const struct wr_node *n, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	wr_check_errorv(c, n, fmt, ap);
	va_end(ap);
}

void
wr_check_notice(
    struct wr_check *c, const struct wr_node *n, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add(c->notices, n, fmt, ap);
	va_end(ap);
}

void
wr_check_wrong(struct wr_check *c, const struct wr_key *key,
    const struct wr_node *n, const char *fmt, ...)
{
	struct wr_text with = { 0 };
	va_list ap;

	/* The format grows, so that what is redacted is seen once. */
	wr_text_puts(&with, fmt);
	if (key->preset != NULL && key->preset[0] != '\0') {
		wr_text_puts(&with, " (default ");
		for (const char *z = key->preset; *z != '\0'; z++)
			wr_text_puts(
			    &with, *z == '%' ? "%%" : (char[]){ *z, '\0' });
		wr_text_putc(&with, ')');
	}
	va_start(ap, fmt);
	wr_check_errorv(c, n, with.p != NULL ? with.p : fmt, ap);
	va_end(ap);
	wr_text_fini(&with);
}

bool
wr_check_failed(const struct wr_check *c)
{
	return c->errs->total > 0;
}

const char *
wr_check_shown(const struct wr_key *key, const struct wr_node *n, char *text)
{
	struct wr_text t;

	if (n->secret || (key != NULL && key->type == WR_SECRET))
		return "...";
	switch ((enum wr_kind)n->kind) {
	case WR_N_GROUP:
		return "a group";
	case WR_N_LIST:
	case WR_N_ARRAY:
		return "a list";
	case WR_N_TEXT:
		wr_text_over(&t, text, WR_SHOWN);
		wr_text_putc(&t, '"');
		wr_text_escape(&t,
		    (struct wr_str){ n->text, strnlen(n->text, WR_SHOWN - 8) });
		wr_text_putc(&t, '"');
		return text;
	default:
		return n->text;
	}
}

static void *
whole(struct wr_check *c, void *p)
{
	if (p == NULL)
		longjmp(c->full, 1);
	return p;
}

void *
wr_check_alloc(struct wr_check *c, size_t size)
{
	return whole(c, wr_arena_alloc(c->arena, size));
}

void *
wr_check_array(struct wr_check *c, size_t n, size_t size)
{
	return whole(c, wr_arena_array(c->arena, n, size));
}

const char *
wr_check_str(struct wr_check *c, struct wr_str s)
{
	return whole(c, wr_arena_str(c->arena, s));
}

void *
wr_check_scratch(struct wr_check *c, size_t size)
{
	return whole(c, wr_arena_alloc(c->scratch, size));
}

const char *
wr_check_text(struct wr_check *c, const struct wr_node *n)
{
	char text[WR_SHOWN];

	if (n->kind == WR_N_TEXT)
		return n->text;
	if (n->kind >= WR_N_INT)
		wr_check_error(c, n, "a string is expected: write \"%s\"",
		    wr_check_shown(NULL, n, text));
	else
		wr_check_error(c, n, "a string is expected, not %s",
		    wr_check_shown(NULL, n, text));
	return NULL;
}

const char *
wr_check_path(struct wr_check *c, const struct wr_node *n, const char *path)
{
	if (n->src == NULL || path[0] == '/')
		return wr_check_str(c, wr_str_of(path));
	return whole(c, wr_path_join(c->arena, n->src->dir, path));
}

/* Sizes are limited by what a generation can hold. */
#define FILE_MAX (64u << 20)

static int
look(struct wr_check *c, const char *dir, const char *path, char **data,
    size_t *len)
{
	const char *full = whole(c, wr_path_join(c->scratch, dir, path));

	return wr_file_read(full, FILE_MAX, data, len, NULL);
}

const void *
wr_check_file(
    struct wr_check *c, const struct wr_node *n, const char *path, size_t *len)
{
	char *data = NULL;
	void *copy;
	int err = look(c, n->src != NULL ? n->src->dir : ".", path, &data, len);

	if (err == -ENOENT && path[0] != '/' && c->load->prefix != NULL)
		err = look(c, c->load->prefix, path, &data, len);
	if (err == -ENOENT && path[0] != '/')
		err = look(c, WR_DATA_DIR, path, &data, len);
	if (err < 0) {
		wr_check_error(
		    c, n, "cannot read \"%s\": %s", path, wr_file_why(err));
		return NULL;
	}
	copy = wr_arena_copy(c->arena, data, *len > 0 ? *len : 1);
	free(data);
	return whole(c, copy);
}

/* A file of lines is shown as one of the configuration is, after those. */
static const struct wr_source *
list_source(struct wr_check *c, const struct wr_node *n, const char *path,
    const char *full)
{
	struct wr_source *src = wr_check_scratch(c, sizeof(*src));
	const char *dir = whole(c, wr_path_dir(c->scratch, n->src->name));

	*src = (struct wr_source){ .name = whole(
				       c, wr_path_join(c->scratch, dir, path)),
		.dir = whole(c, wr_path_dir(c->scratch, full)),
		.order = WR_SCAN_FILES_MAX + c->n_lists++ };
	return src;
}

static void
lines(struct wr_check *c, const struct wr_node *n, const char *path,
    wr_texts_fn *fn, void *arg)
{
	const char *full =
	    whole(c, wr_path_join(c->scratch, n->src->dir, path));
	struct wr_node at = *n;
	struct wr_str line, rest;
	char *data = NULL;
	size_t len = 0;
	int err = wr_file_read(full, FILE_MAX, &data, &len, NULL);

	if (err < 0) {
		wr_check_error(
		    c, n, "cannot read \"%s\": %s", path, wr_file_why(err));
		return;
	}
	/* The callback may leave by longjmp(). */
	rest = (struct wr_str){ wr_arena_copy(c->scratch, data, len + 1), len };
	free(data);
	(void)whole(c, (void *)(uintptr_t)rest.p);
	at.src = list_source(c, n, path, full);
	at.parent = (struct wr_node *)(uintptr_t)n;
	at.name = NULL;
	at.secret = true;
	at.line = 0;
	while (rest.len > 0) {
		(void)wr_str_cut(rest, '\n', &line, &rest);
		at.line++;
		line = wr_str_trim(line);
		if (line.len > 0 && line.p[0] != '#')
			fn(c, &at, line, arg);
	}
}

void
wr_check_texts(
    struct wr_check *c, const struct wr_node *n, wr_texts_fn *fn, void *arg)
{
	const char *text;

	if (wr_node_plural(n)) {
		for (n = n->first; n != NULL; n = n->next)
			wr_check_texts(c, n, fn, arg);
		return;
	}
	text = wr_check_text(c, n);
	if (text == NULL || n->bad)
		return;
	if (strncmp(text, "file:", 5) == 0)
		lines(c, n, text + 5, fn, arg);
	else
		fn(c, n, wr_str_of(text), arg);
}

const struct wr_key *
wr_find_key(const struct wr_key *keys, const char *name)
{
	for (; keys != NULL && keys->name != NULL; keys++)
		if (strcmp(keys->name, name) == 0)
			return keys;
	return NULL;
}

static bool
switchable(const struct wr_key *keys)
{
	return keys[0].type == WR_BOOL && strcmp(keys[0].name, "on") == 0;
}

static void
turn(const struct wr_key *keys, void *base, bool on)
{
	if (switchable(keys))
		*(bool *)((char *)base + keys[0].offset) = on;
}

/* A preset as the node it would be. */
static struct wr_node *
preset_node(struct wr_check *c, const char *preset)
{
	struct wr_node *n = wr_check_scratch(c, sizeof(*n)), *m;
	struct wr_str one, rest = wr_str_of(preset);

	n->kind = WR_N_TEXT;
	n->text = preset;
	if (preset[0] != '[')
		return n;
	n->kind = WR_N_ARRAY;
	rest = wr_str_trim((struct wr_str){ rest.p + 1, rest.len - 2 });
	while (rest.len > 0) {
		(void)wr_str_cut(rest, ',', &one, &rest);
		m = wr_check_scratch(c, sizeof(*m));
		m->kind = WR_N_TEXT;
		m->text = whole(c, wr_arena_str(c->scratch, wr_str_trim(one)));
		m->next = n->first;
		n->first = m;
	}
	/* Pushed to the front. */
	for (m = n->first, n->first = NULL; m != NULL;) {
		struct wr_node *next = m->next;

		m->next = n->first;
		n->first = m;
		m = next;
	}
	return n;
}

static void
preset(struct wr_check *c, const struct wr_key *key, void *field)
{
	if (key->preset != NULL && key->preset[0] != '\0') {
		wr_check_value(c, key, preset_node(c, key->preset), field);
		return;
	}
	switch (key->type) {
	case WR_TEXT:
	case WR_PATH:
	case WR_SECRET:
		*(const char **)field = "";
		break;
	case WR_GROUP:
		wr_check_presets(c, key->keys, field);
		break;
	default:
		break;
	}
}

void
wr_check_presets(struct wr_check *c, const struct wr_key *keys, void *base)
{
	for (; keys->name != NULL; keys++)
		preset(c, keys, (char *)base + keys->offset);
}

/* What its group lacks may be what this was meant to be: say nothing more
 * about the group. */
static void
hush(const struct wr_node *n)
{
	if (n->parent != NULL)
		n->parent->bad = true;
}

static void
unknown(struct wr_check *c, const struct wr_node *n, const struct wr_key *keys,
    unsigned at)
{
	const char *known[KNOWN_MAX];
	struct wr_text t = { 0 };
	size_t n_known = 0;

	for (; keys->name != NULL && n_known < KNOWN_MAX; keys++)
		known[n_known++] = keys->name;
	for (uint32_t i = 0; i < c->n_groups && n_known < KNOWN_MAX; i++)
		if (c->groups[i]->name != NULL && (c->groups[i]->at & at) != 0)
			known[n_known++] = c->groups[i]->name;
	wr_hint(&t, n->name, known, n_known);
	wr_check_error(c, n, "unknown key%s", t.len > 0 ? t.p : "");
	wr_text_fini(&t);
	hush(n);
}

static void
not_built(struct wr_check *c, const struct wr_node *n, const char *why)
{
	wr_check_error(c, n, "not built yet (%s)", why);
	hush(n);
}

static void
member(struct wr_check *c, const struct wr_key *key, const struct wr_node *n,
    void *base)
{
	if (key->later != NULL)
		not_built(c, n, key->later);
	else if (!n->bad)
		wr_check_value(c, key, n, (char *)base + key->offset);
}

void
wr_check_group(struct wr_check *c, const struct wr_key *keys,
    const char *principal, const struct wr_node *n, void *base)
{
	char text[WR_SHOWN];
	const struct wr_key *key;

	if (n->kind == WR_N_GROUP) {
		turn(keys, base, true);
		for (n = n->first; n != NULL; n = n->next) {
			key = wr_find_key(keys, n->name);
			if (key != NULL)
				member(c, key, n, base);
			else
				unknown(c, n, keys, 0);
		}
		return;
	}
	if (n->bad)
		return;
	key = wr_find_key(keys, principal != NULL ? principal : "");
	if (n->kind >= WR_N_TEXT && switchable(keys)) {
		if (strcmp(n->text, "off") == 0 ||
		    strcmp(n->text, "false") == 0) {
			wr_check_presets(c, keys, base);
			turn(keys, base, false);
			return;
		}
		if (strcmp(n->text, "on") == 0 ||
		    strcmp(n->text, "true") == 0) {
			turn(keys, base, true);
			return;
		}
	}
	if (key == NULL) {
		wr_check_error(c, n, "a group { } is expected, not %s",
		    wr_check_shown(NULL, n, text));
		return;
	}
	turn(keys, base, true);
	member(c, key, n, base);
}

static void *
group_copy(struct wr_check *c, const struct wr_group *g, const void *from)
{
	void *p = wr_check_alloc(c, g->size);

	memcpy(p, from, g->size);
	return p;
}

void *const *
wr_check_mods(struct wr_check *c)
{
	void **mod = wr_check_array(c, c->n_groups + 1, sizeof(*mod));

	for (uint32_t i = 0; i < c->n_groups; i++) {
		const struct wr_group *g = c->groups[i];

		if (g->name == NULL)
			continue;
		mod[i] = wr_check_alloc(c, g->size);
		wr_check_presets(c, g->keys, mod[i]);
		if (g->check != NULL)
			g->check(c, NULL, mod[i]);
	}
	return mod;
}

/* The index of the module's group of that name at that level, or -1. */
static int
group_index(const struct wr_check *c, const char *name, unsigned at)
{
	for (uint32_t i = 0; i < c->n_groups; i++) {
		const struct wr_group *g = c->groups[i];

		if (g->name != NULL && (g->at & at) != 0 &&
		    strcmp(g->name, name) == 0)
			return (int)i;
	}
	return -1;
}

/* The value of group `i` for one that may have written it at `n`. */
static void *
merged(struct wr_check *c, uint32_t i, const struct wr_node *n,
    const void *inherited)
{
	const struct wr_group *g = c->groups[i];
	void *v = group_copy(c, g, inherited);

	if (n != NULL)
		wr_check_group(c, g->keys, g->principal, n, v);
	if (g->check != NULL)
		g->check(c, n, v);
	return v;
}

static void
refuse(struct wr_check *c, const struct wr_node *n, const struct wr_key *keys,
    unsigned at)
{
	const char *why = wr_later(n->name, at);

	if (why != NULL)
		not_built(c, n, why);
	else
		unknown(c, n, keys, at);
}

void *const *
wr_check_object(struct wr_check *c, const struct wr_node *n,
    const struct wr_key *keys, void *base, unsigned at, void *const *mod)
{
	const struct wr_node **own =
	    wr_check_scratch(c, (c->n_groups + 1) * sizeof(*own));
	bool any = false;
	void **v;

	for (const struct wr_node *m = n->first; m != NULL; m = m->next) {
		const struct wr_key *key = wr_find_key(keys, m->name);
		int i = key != NULL ? -1 : group_index(c, m->name, at);

		if (key != NULL)
			member(c, key, m, base);
		else if (i < 0)
			refuse(c, m, keys, at);
		else
			own[i] = m;
	}
	for (uint32_t i = 0; i < c->n_groups; i++)
		any |= own[i] != NULL ||
		       (c->groups[i]->own && (c->groups[i]->at & at) != 0);
	if (!any)
		return mod;
	v = wr_check_array(c, c->n_groups + 1, sizeof(*v));
	for (uint32_t i = 0; i < c->n_groups; i++) {
		const struct wr_group *g = c->groups[i];

		v[i] = mod[i];
		if (g->name != NULL && (g->at & at) != 0 &&
		    (own[i] != NULL || g->own))
			v[i] = merged(c, i, own[i], mod[i]);
	}
	return v;
}

const struct wr_upstream_conf *
wr_check_upstream(struct wr_check *c, const struct wr_node *n, const char *name)
{
	const struct wr_upstream_conf *u = wr_names_find(c->upstreams, name);
	const char *known[KNOWN_MAX], *near;
	size_t n_known = 0;

	if (u != NULL)
		return u;
	for (; n_known < c->conf->n_upstreams && n_known < KNOWN_MAX; n_known++)
		known[n_known] = c->conf->upstreams[n_known]->name;
	near = wr_nearest(name, known, n_known);
	if (near != NULL)
		wr_check_error(c, n,
		    "there is no upstream \"%s\": did you mean \"%s\"?", name,
		    near);
	else
		wr_check_error(c, n, "there is no upstream \"%s\"", name);
	return NULL;
}

const struct wr_upstream_conf *
wr_check_owner(const struct wr_check *c)
{
	return c->owner;
}

uint64_t
wr_check_route(const struct wr_check *c)
{
	return c->route;
}
