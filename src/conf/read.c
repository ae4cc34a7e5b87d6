/* SPDX-License-Identifier: BSD-2-Clause */
/* read - see read.h. */
#include "conf/read.h"

#include <libconfig.h>

/* Places are in the order in which values were written, and so are the
 * values that libconfig found: both are walked together. */
struct walk {
	struct wr_scan *s;
	struct wr_node *nodes;
	uint32_t next; /* place and node */
	struct wr_arena texts;
	bool lost; /* the two do not agree */
};

static const struct {
	short type;
	uint8_t kind;
} KINDS[] = {
	{ CONFIG_TYPE_GROUP, WR_N_GROUP },
	{ CONFIG_TYPE_LIST, WR_N_LIST },
	{ CONFIG_TYPE_ARRAY, WR_N_ARRAY },
	{ CONFIG_TYPE_STRING, WR_N_TEXT },
	{ CONFIG_TYPE_INT, WR_N_INT },
	{ CONFIG_TYPE_BOOL, WR_N_BOOL },
	{ CONFIG_TYPE_FLOAT, WR_N_FLOAT },
};

static bool
marked(const config_setting_t *cs, const char *mark)
{
	const char *name = config_setting_name(cs);

	return name != NULL && name[0] == '*' &&
	       strncmp(name, mark, strlen(mark)) == 0;
}

static const char *
copy(struct walk *w, const char *z)
{
	size_t n = strlen(z) + 1;
	char *p = w->texts.mem + w->texts.used;

	/* Not wr_arena_str(), which would align every name. */
	if (n > w->texts.size - w->texts.used) {
		w->lost = true;
		return "";
	}
	memcpy(p, z, n);
	w->texts.used += n;
	return p;
}

static const char *
number(struct walk *w, const struct wr_node *n, const config_setting_t *cs)
{
	char text[32];

	if (n->kind == WR_N_FLOAT)
		(void)snprintf(
		    text, sizeof(text), "%g", config_setting_get_float(cs));
	else if (n->kind == WR_N_BOOL)
		return n->num != 0 ? "true" : "false";
	else
		(void)snprintf(text, sizeof(text), "%lld", (long long)n->num);
	return copy(w, text);
}

static struct wr_node *
node(struct walk *w, const config_setting_t *cs)
{
	const struct wr_place *at;
	struct wr_node *n;

	if (w->next >= w->s->n_places) {
		w->lost = true;
		return NULL;
	}
	at = &w->s->places[w->next];
	n = &w->nodes[w->next++];
	*n = (struct wr_node){ .src = at->src,
		.line = at->line,
		.secret = at->secret,
		.bad = at->bad,
		.raw = at->raw };
	if (config_setting_name(cs) != NULL)
		n->name = copy(w, config_setting_name(cs));
	for (size_t i = 0; i < WR_COUNT(KINDS); i++)
		if (KINDS[i].type == config_setting_type(cs))
			n->kind = KINDS[i].kind;
	if (n->kind == WR_N_TEXT) {
		n->text = copy(w, config_setting_get_string(cs));
	} else if (n->kind >= WR_N_INT) {
		if (n->kind == WR_N_BOOL)
			n->num = config_setting_get_bool(cs);
		else
			n->num = config_setting_get_int(cs);
		n->text = number(w, n, cs);
	}
	return n;
}

static void
append(struct wr_node *up, struct wr_node *n)
{
	n->parent = up;
	if (up->last != NULL)
		up->last->next = n;
	else
		up->first = n;
	up->last = n;
	up->n++;
}

/* Recursion is bounded: the scan refuses deeper nesting. */
static void
children(struct walk *w, struct wr_node *up, const config_setting_t *cs)
{
	int n = config_setting_length(cs);

	for (int i = 0; i < n && !w->lost; i++) {
		const config_setting_t *c = config_setting_get_elem(
		    (config_setting_t *)cs, (unsigned)i);
		struct wr_node *child;

		if (marked(c, WR_SCAN_MORE)) {
			children(w, up, c);
			continue;
		}
		child = node(w, c);
		if (child == NULL)
			return;
		if (child->kind <= WR_N_ARRAY)
			children(w, child, c);
		if (!marked(c, WR_SCAN_AGAIN))
			append(up, child);
	}
}

static struct wr_node *
fail(struct wr_scan *s, const char *what)
{
	wr_errs_add(
	    s->errs, s->n_sources > 0 ? s->sources[0] : NULL, 0, "%s", what);
	return NULL;
}

/* The scan should have found it; at least say where. */
static struct wr_node *
refused(struct wr_scan *s, const config_t *c)
{
	const struct wr_place *at = s->places;
	const char *why = config_error_text(c);

	for (uint32_t i = 0; i < s->n_places; i++)
		if ((int)s->places[i].out_line <= config_error_line(c))
			at = &s->places[i];
	wr_errs_add(s->errs, at != NULL ? at->src : NULL,
	    at != NULL ? at->line : 0, "libconfig: %s",
	    why != NULL ? why : "unknown error");
	return NULL;
}

static struct wr_node *
tree(struct wr_scan *s, const config_t *c)
{
	struct walk w = { .s = s };
	struct wr_node *root = wr_arena_alloc(s->scratch, sizeof(*root));
	char *texts;

	w.nodes = wr_arena_array(s->scratch, s->n_places, sizeof(*w.nodes));
	/* Every name and text is in the string, and numbers take no more
	 * than 16 bytes beyond what they take there. */
	texts =
	    wr_arena_alloc(s->scratch, s->out.len + 16 * (size_t)s->n_places);
	if (root == NULL || w.nodes == NULL || texts == NULL)
		return fail(s, "the configuration is too large");
	wr_arena_init(&w.texts, texts, s->out.len + 16 * (size_t)s->n_places);
	root->kind = WR_N_LIST;
	children(&w, root, config_lookup(c, WR_SCAN_FILES));
	if (w.lost || w.next != s->n_places)
		return fail(s, "libconfig reads this file otherwise than weir");
	return root;
}

struct wr_node *
wr_read(struct wr_scan *s)
{
	struct wr_node *root;
	config_t c;

	config_init(&c);
	if (config_read_string(&c, s->out.p) != CONFIG_TRUE)
		root = refused(s, &c);
	else
		root = tree(s, &c);
	config_destroy(&c);
	return root;
}
