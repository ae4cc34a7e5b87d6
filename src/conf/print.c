/* SPDX-License-Identifier: BSD-2-Clause */
/* print - see print.h. */
#include "conf/print.h"

#include <unistd.h>

#include "conf/files.h"

#define COLUMN 40

static void
indent(struct wr_print *p)
{
	for (unsigned i = 0; i < p->depth; i++)
		wr_text_puts(p->out, "  ");
}

static void
quoted(struct wr_text *out, const char *z)
{
	wr_text_putc(out, '"');
	for (; *z != '\0'; z++) {
		unsigned char c = (unsigned char)*z;

		if (c == '"' || c == '\\')
			wr_text_printf(out, "\\%c", c);
		else if (c == '\n')
			wr_text_puts(out, "\\n");
		else if (c == '\r')
			wr_text_puts(out, "\\r");
		else if (c == '\t')
			wr_text_puts(out, "\\t");
		else if (c < ' ' || c == 0x7f)
			wr_text_printf(out, "\\x%02x", c);
		else if (c == '$' && z[1] == '{')
			wr_text_puts(out, "$$");
		else
			wr_text_putc(out, (char)c);
	}
	wr_text_putc(out, '"');
}

static bool
is_word(const char *z)
{
	static const char *const WORDS[] = { "", "stderr", "stdout", "syslog",
		"off", "on" };

	for (size_t i = 0; i < WR_COUNT(WORDS); i++)
		if (strcmp(z, WORDS[i]) == 0)
			return true;
	return false;
}

/* How much of `z` says what kind of name follows: "file:", "unix:". */
static size_t
scheme(const struct wr_key *k, const char *z)
{
	bool list =
	    k != NULL && (k->type == WR_TEXTS || k->type == WR_CIDRS ||
			     k->type == WR_ADDRS || k->type == WR_CUSTOM);

	if (list &&
	    (strncmp(z, "file:", 5) == 0 || strncmp(z, "unix:", 5) == 0))
		return 5;
	return 0;
}

/* Where a file is found, as wr_check_file() looks for it. */
static const char *
folder(
    const struct wr_print *p, const struct wr_key *k, const struct wr_node *n)
{
	const char *dirs[] = { n->src->dir, p->c->load->prefix, WR_DATA_DIR };
	struct wr_text t = { 0 };
	const char *found = n->src->dir;

	if (k->type != WR_TEXT)
		return found;
	for (size_t i = 0; i < WR_COUNT(dirs); i++) {
		if (dirs[i] == NULL)
			continue;
		wr_text_reset(&t);
		wr_text_printf(&t, "%s/%s", dirs[i], n->text);
		if (t.p != NULL && access(t.p, F_OK) == 0) {
			found = dirs[i];
			break;
		}
	}
	wr_text_fini(&t);
	return found;
}

/* A relative path belongs to the file that names it, which this is not. */
static void
text(struct wr_print *p, const struct wr_key *k, const struct wr_node *n)
{
	size_t skip = scheme(k, n->text);
	const char *rest = n->text + skip;
	bool path = skip > 0 || (k != NULL && (k->type == WR_PATH || k->path) &&
				    !is_word(n->text));
	struct wr_text t = { 0 };

	if (!path || rest[0] == '/' || n->src == NULL) {
		quoted(p->out, n->text);
		return;
	}
	wr_text_add(&t, n->text, skip);
	wr_text_printf(
	    &t, "%s/%s", k != NULL ? folder(p, k, n) : n->src->dir, rest);
	quoted(p->out, t.p != NULL ? t.p : "");
	wr_text_fini(&t);
}

/* As it was written, but for the folder of ${file:...}. */
static void
raw(struct wr_print *p, const struct wr_node *n)
{
	struct wr_text t = { 0 };
	const char *z = n->raw, *at;

	while ((at = strstr(z, "${file:")) != NULL) {
		wr_text_add(&t, z, (size_t)(at - z) + 7);
		z = at + 7;
		if (*z != '/')
			wr_text_printf(&t, "%s/", n->src->dir);
	}
	wr_text_puts(&t, z);
	wr_text_putc(p->out, '"');
	for (z = t.p != NULL ? t.p : ""; *z != '\0'; z++) {
		if (*z == '"' || *z == '\\')
			wr_text_putc(p->out, '\\');
		if (*z == '\n')
			wr_text_puts(p->out, "\\n");
		else
			wr_text_putc(p->out, *z);
	}
	wr_text_putc(p->out, '"');
	wr_text_fini(&t);
}

static void
value(struct wr_print *p, const struct wr_key *k, const struct wr_node *n)
{
	static const char OPEN[] = "{([", CLOSE[] = "})]";
	const char *gap = "";

	if (n->kind >= WR_N_TEXT) {
		if (n->secret && n->raw != NULL)
			raw(p, n);
		else if (k != NULL && k->type == WR_SECRET)
			wr_text_puts(p->out, "\"(not shown)\"");
		else if (n->kind == WR_N_TEXT)
			text(p, k, n);
		else
			wr_text_puts(p->out, n->text);
		return;
	}
	wr_text_putc(p->out, OPEN[n->kind]);
	for (const struct wr_node *m = n->first; m != NULL; m = m->next) {
		wr_text_printf(p->out, "%s ", gap);
		gap = n->kind == WR_N_GROUP ? "" : ",";
		if (m->name != NULL)
			wr_text_printf(p->out, "%s = ", m->name);
		value(p, m->name != NULL ? NULL : k, m);
		if (m->name != NULL)
			wr_text_putc(p->out, ';');
	}
	wr_text_printf(p->out, " %c", CLOSE[n->kind]);
}

static void
preset(struct wr_print *p, const struct wr_key *k)
{
	const char *z = k->preset != NULL ? k->preset : "";
	bool off = strcmp(z, "off") == 0 || strcmp(z, "false") == 0;
	struct wr_str one, rest;

	if (k->type == WR_BOOL) {
		wr_text_puts(p->out, off || z[0] == '\0' ? "false" : "true");
	} else if (k->type == WR_INT && !off) {
		wr_text_puts(p->out, z[0] != '\0' ? z : "0");
	} else if (z[0] == '[') {
		rest = wr_str_trim((struct wr_str){ z + 1, strlen(z) - 2 });
		wr_text_puts(p->out, "[ ");
		while (rest.len > 0) {
			(void)wr_str_cut(rest, ',', &one, &rest);
			one = wr_str_trim(one);
			wr_text_printf(p->out, "\"%.*s\"%s ", WR_STR_ARG(one),
			    rest.len > 0 ? "," : "");
		}
		wr_text_putc(p->out, ']');
	} else if (z[0] == '\0' &&
		   (k->type == WR_TEXTS || k->type == WR_CIDRS ||
		       k->type == WR_ADDRS)) {
		wr_text_puts(p->out, "[ ]");
	} else {
		quoted(p->out, z);
	}
}

/* Behind a value that began at `from`. */
static void
where(
    struct wr_print *p, size_t from, const struct wr_node *n, enum wr_effect e)
{
	wr_text_putc(p->out, ' ');
	while (p->out->len - from < COLUMN && !p->out->cut)
		wr_text_putc(p->out, ' ');
	if (n != NULL && n->src != NULL)
		wr_text_printf(p->out, "# %s:%u, %s\n", n->src->name, n->line,
		    wr_effect_name(e));
	else
		wr_text_printf(p->out, "# default, %s\n", wr_effect_name(e));
}

void
wr_print_open(struct wr_print *p, const char *name, char bracket)
{
	indent(p);
	if (name != NULL)
		wr_text_printf(p->out, "%s = ", name);
	wr_text_printf(p->out, "%c\n", bracket);
	p->depth++;
}

void
wr_print_close(struct wr_print *p, char bracket)
{
	p->depth--;
	indent(p);
	wr_text_printf(p->out, "%c;\n", bracket);
}

void
wr_print_close_item(struct wr_print *p, char bracket, bool more)
{
	p->depth--;
	indent(p);
	wr_text_printf(p->out, "%c%s\n", bracket, more ? "," : "");
}

void
wr_print_item(struct wr_print *p, const struct wr_key *k,
    const struct wr_node *n, bool more)
{
	size_t from = p->out->len;

	indent(p);
	value(p, k, n);
	if (more)
		wr_text_putc(p->out, ',');
	where(p, from, n, k->effect);
}

void
wr_print_word(struct wr_print *p, const char *name, const char *word,
    const struct wr_node *n, enum wr_effect e)
{
	size_t from = p->out->len;

	indent(p);
	wr_text_printf(p->out, "%s = %s;", name, word);
	where(p, from, n, e);
}

void
wr_print_key(
    struct wr_print *p, const struct wr_key *k, const struct wr_node *n)
{
	size_t from = p->out->len;

	indent(p);
	if (p->comment)
		wr_text_puts(p->out, "# ");
	wr_text_printf(p->out, "%s = ", k->name);
	if (n != NULL)
		value(p, k, n);
	else
		preset(p, k);
	wr_text_putc(p->out, ';');
	where(p, from, n, k->effect);
}

void
wr_print_written(
    struct wr_print *p, const struct wr_key *k, const struct wr_node *n)
{
	if (n->kind != WR_N_GROUP) {
		wr_print_key(p, k, n);
		return;
	}
	wr_print_open(p, k->name, '{');
	for (n = n->first; n != NULL; n = n->next) {
		/* Names that are free to choose have weights. */
		const struct wr_key any = { n->name, WR_INT };
		const struct wr_key *one =
		    k->keys != NULL ? wr_find_key(k->keys, n->name) : &any;

		if (one != NULL)
			wr_print_written(p, one, n);
	}
	wr_print_close(p, '}');
}
