/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * logs - where they go, and what a line of the access log holds.
 *
 * The names of fields and of reasons belong to upper floors (struct wr_words);
 * here they become indices and bits, so that nobody looks at a name again.
 */
#include "conf/core.h"

#define ERR(field) offsetof(struct wr_logs_conf, field)
#define ACC(field) offsetof(struct wr_access_conf, field)
/* Indices of fields are bytes. */
#define FIELDS_MAX 64

static wr_parse_fn parse_to, parse_access_to, parse_fields, parse_skip;

static const char *const LEVELS[] = { "debug", "info", "notice", "warn",
	"error", NULL };
static const char *const FORMATS[] = { "text", "json", NULL };

const struct wr_key wr_error_log_keys[] = {
	{ "to", WR_CUSTOM, ERR(at), "stderr",
	    "a file, \"stderr\", \"stdout\" or \"syslog\"", WR_LIVE,
	    .parse = parse_to, .path = true },
	{ "level", WR_CHOICE, ERR(level), "info",
	    "debug, info, notice, warn or error", WR_LIVE, .choices = LEVELS },
	{ "format", WR_CHOICE, ERR(format), "text", "text or json", WR_LIVE,
	    .choices = FORMATS },
	{ 0 },
};

/* What begins with `format` is a listener's too, see wr_line_keys. */
const struct wr_key wr_access_log_keys[] = {
	{ "to", WR_CUSTOM, ACC(at), "stdout",
	    "a file, \"stdout\", \"stderr\" or \"off\"", WR_LIVE,
	    .parse = parse_access_to, .path = true },
	{ "format", WR_CHOICE, ACC(line.format), "text", "text or json",
	    WR_LIVE, .choices = FORMATS },
	{ "fields", WR_CUSTOM, ACC(line.fields), "",
	    "what a line holds, in this order; if not set, the usual fields",
	    WR_LIVE, .parse = parse_fields },
	{ "skip", WR_CUSTOM, ACC(line.skip), "",
	    "reasons of ends that are counted, but not logged", WR_LIVE,
	    .parse = parse_skip },
	{ 0 },
};

_Static_assert(ACC(line) == 0, "offsets of a line are the same in both");
const struct wr_key *const wr_line_keys = &wr_access_log_keys[1];

/* A log of that name is hardly meant. */
static bool
slip(struct wr_check *c, const struct wr_node *n)
{
	static const char *const TRUTHS[] = { "on", "true", "yes", "false",
		"no" };

	for (size_t i = 0; i < WR_COUNT(TRUTHS); i++)
		if (strcmp(n->text, TRUTHS[i]) == 0) {
			wr_check_error(c, n,
			    "\"%s\" does not say where: write a file, "
			    "\"stdout\", \"stderr\" or \"off\"",
			    n->text);
			return true;
		}
	for (size_t i = 0; LEVELS[i] != NULL; i++)
		if (strcmp(n->text, LEVELS[i]) == 0) {
			wr_check_error(c, n,
			    "\"%s\" is a level, not a place: write "
			    "error_log = { level = \"%s\"; }",
			    n->text, n->text);
			return true;
		}
	return false;
}

/* Files are paths, the rest are words. */
static void
parse_to(struct wr_check *c, const struct wr_key *key, const struct wr_node *n,
    void *field)
{
	static const char *const WORDS[] = { "stderr", "stdout", "syslog",
		"off" };
	struct wr_log_place *at = field;
	struct wr_key path = *key;

	at->where = wr_check_where(c, n);
	for (size_t i = 0; i < WR_COUNT(WORDS); i++)
		if (n->kind == WR_N_TEXT && strcmp(n->text, WORDS[i]) == 0) {
			at->to = WORDS[i];
			return;
		}
	path.type = WR_PATH;
	if (n->kind == WR_N_TEXT && n->text[0] == '\0')
		wr_check_wrong(c, key, n, "\"\" is no place to write to");
	else if (n->kind < WR_N_TEXT || !slip(c, n))
		wr_check_value(c, &path, n, &at->to);
}

static void
parse_access_to(struct wr_check *c, const struct wr_key *key,
    const struct wr_node *n, void *field)
{
	if (n->kind == WR_N_TEXT && strcmp(n->text, "syslog") == 0)
		wr_check_error(c, n,
		    "\"syslog\" is not built yet for the access log: write a "
		    "file, \"stdout\", \"stderr\" or \"off\"");
	else
		parse_to(c, key, n, field);
}

/* -- Names --------------------------------------------------------------- */

/* What nginx and HAProxy call it. */
static const struct {
	const char *theirs, *ours;
} ALIASES[] = {
	{ "B", "down" },
	{ "Tc", "connect_ms" },
	{ "Tt", "total_ms" },
	{ "Tw", "wait_ms" },
	{ "U", "up" },
	{ "b", "upstream" },
	{ "bytes_received", "up" },
	{ "bytes_sent", "down" },
	{ "ci", "client_ip" },
	{ "cp", "client_port" },
	{ "f", "listener" },
	{ "ft", "listener" },
	{ "msec", "epoch" },
	{ "rc", "tries" },
	{ "remote_addr", "client_ip" },
	{ "remote_port", "client_port" },
	{ "s", "server" },
	{ "server_port", "port" },
	{ "session_time", "total_ms" },
	{ "si", "server" },
	{ "status", "end" },
	{ "t", "start" },
	{ "time_iso8601", "time" },
	{ "time_local", "time" },
	{ "ts", "end" },
	{ "upstream_addr", "server" },
	{ "upstream_bytes_received", "down" },
	{ "upstream_bytes_sent", "up" },
	{ "upstream_connect_time", "connect_ms" },
};

/* Without the sign of a variable. */
static const char *
alias(const char *name)
{
	name += strspn(name, "$%");
	for (size_t i = 0; i < WR_COUNT(ALIASES); i++)
		if (strcmp(ALIASES[i].theirs, name) == 0)
			return ALIASES[i].ours;
	return NULL;
}

static uint32_t
count(const char *const *words)
{
	uint32_t n = 0;

	while (words != NULL && words[n] != NULL)
		n++;
	return n;
}

/* The index of a name, or -1. */
static int
index_of(const char *const *words, struct wr_str name)
{
	for (uint32_t i = 0; i < count(words); i++)
		if (wr_str_is(name, words[i]))
			return (int)i;
	return -1;
}

/* `what` is it that there is not, of those that are known. */
static void
unknown(struct wr_check *c, const struct wr_node *n, const char *what,
    struct wr_str name, const char *const *known)
{
	struct wr_text hint = { 0 }, shown = { 0 };
	char *z = wr_check_scratch(c, name.len + 1);
	const char *other, *near;

	memcpy(z, name.p, name.len);
	other = alias(z);
	near = wr_nearest(z + strspn(z, "$%"), known, count(known));
	wr_text_escape(&shown, name);
	if (other != NULL && index_of(known, wr_str_of(other)) >= 0) {
		wr_text_printf(&hint, ": weir's word is \"%s\"", other);
	} else if (near != NULL) {
		wr_text_printf(&hint, ": did you mean \"%s\"?", near);
	} else {
		wr_text_puts(&hint, ": known are ");
		for (uint32_t i = 0; i < count(known); i++)
			wr_text_printf(
			    &hint, "%s%s", i > 0 ? ", " : "", known[i]);
	}
	wr_check_error(c, n, "there is no %s \"%s\"%s", what,
	    shown.p != NULL ? shown.p : "", hint.p != NULL ? hint.p : "");
	wr_text_fini(&hint);
	wr_text_fini(&shown);
}

/* -- Fields -------------------------------------------------------------- */

struct list {
	uint8_t v[FIELDS_MAX];
	uint32_t n;
};

static void
one_field(struct wr_check *c, const struct wr_node *n, struct wr_str name,
    struct list *list)
{
	const char *const *known = c->load->words.fields;
	int i = index_of(known, name);

	if (i < 0) {
		unknown(c, n, "field", name, known);
		return;
	}
	for (uint32_t k = 0; k < list->n; k++)
		if (list->v[k] == i) {
			wr_check_error(
			    c, n, "the field \"%s\" is named twice", known[i]);
			return;
		}
	if (list->n < FIELDS_MAX)
		list->v[list->n++] = (uint8_t)i;
}

/* Names in one string may be parted by spaces or commas. */
static void
some_fields(
    struct wr_check *c, const struct wr_node *n, struct wr_str s, void *arg)
{
	size_t len;

	for (; s.len > 0; s.p += len, s.len -= len) {
		len = 0;
		while (len < s.len && strchr(" ,\t", s.p[len]) == NULL)
			len++;
		if (len > 0)
			one_field(c, n, (struct wr_str){ s.p, len }, arg);
		else
			len = 1;
	}
}

static void
parse_fields(struct wr_check *c, const struct wr_key *key,
    const struct wr_node *n, void *field)
{
	struct wr_line_conf *line =
	    wr_container_of(field, struct wr_line_conf, fields);
	struct list list = { .n = 0 };
	uint8_t *v;

	(void)key;
	wr_check_texts(c, n, some_fields, &list);
	v = wr_check_array(c, list.n > 0 ? list.n : 1, sizeof(*v));
	memcpy(v, list.v, list.n);
	line->fields = v;
	line->n_fields = list.n;
}

/* -- Reasons ------------------------------------------------------------- */

static void
one_end(
    struct wr_check *c, const struct wr_node *n, struct wr_str name, void *arg)
{
	const char *const *known = c->load->words.ends;
	int i = index_of(known, name);
	uint64_t *skip = arg;

	if (i < 0)
		unknown(c, n, "reason", name, known);
	else if (i < WR_SKIP_BITS)
		skip[i / 64] |= 1ull << i % 64;
}

static void
parse_skip(struct wr_check *c, const struct wr_key *key,
    const struct wr_node *n, void *field)
{
	(void)key;
	memset(field, 0, WR_SKIP_BITS / 8);
	wr_check_texts(c, n, one_end, field);
}

/* -- Of a listener ------------------------------------------------------- */

/* On, off, or on with lines of its own. */
void
wr_parse_listener_log(struct wr_check *c, const struct wr_key *key,
    const struct wr_node *n, void *field)
{
	struct wr_listener_conf *l =
	    wr_container_of(field, struct wr_listener_conf, rules.access_log);
	struct wr_line_conf *line;

	if (n->kind != WR_N_GROUP) {
		wr_parse_on_off(c, key, n, field);
		return;
	}
	line = wr_check_alloc(c, sizeof(*line));
	*line = *l->line;
	wr_check_group(c, wr_line_keys, NULL, n, line);
	l->line = line;
	l->rules.access_log = true;
}
