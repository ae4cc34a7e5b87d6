/* SPDX-License-Identifier: BSD-2-Clause */
/* grammar - see grammar.h. */
#include "conf/grammar.h"

/* Of the members of an array. */
enum kind {
	NONE,
	STRING,
	INTEGER,
	FRACTION,
	TRUTH
};

static bool value(struct wr_in *in, struct wr_open *o, struct wr_str name);

static bool
string(struct wr_in *in)
{
	struct wr_scan *s = in->s;
	uint32_t line = in->x.line;
	struct wr_place *p;
	const char *raw = NULL;
	bool bad = false, secret = false;
	int filled = 0;

	if (!wr_lex_string(&in->x, &s->text, &bad))
		return false;
	if (memmem(s->text.p != NULL ? s->text.p : "", s->text.len, "${", 2) !=
	    NULL) {
		raw = wr_arena_copy(s->scratch, s->text.p, s->text.len + 1);
		filled = wr_expand(&s->text, in->x.src, line, s->errs, &secret);
	}
	p = wr_scan_place(in, line);
	p->raw = raw;
	p->secret = secret;
	p->bad = bad || filled < 0;
	wr_scan_string(s, (struct wr_str){ s->text.p, s->text.len });
	wr_scan_line(s, "");
	if (wr_lex_next(&in->x) == '"')
		wr_lex_stop(&in->x, in->x.line,
		    "two strings beside each other: write them as one, or put "
		    "a comma or a semicolon between them");
	return !in->x.stop;
}

static void
bad_word(struct wr_in *in, struct wr_str word, uint32_t line)
{
	static const struct {
		const char *word, *instead;
	} KNOWN[] = {
		{ "on", "\"on\" or true" },
		{ "yes", "\"on\" or true" },
		{ "off", "\"off\" or false" },
		{ "no", "\"off\" or false" },
	};

	for (size_t i = 0; i < WR_COUNT(KNOWN); i++)
		if (wr_str_is(word, KNOWN[i].word)) {
			wr_lex_stop(&in->x, line, "%s is no value: write %s",
			    KNOWN[i].word, KNOWN[i].instead);
			return;
		}
	wr_lex_stop(&in->x, line, "%.*s is no value: write \"%.*s\"",
	    WR_STR_ARG(word), WR_STR_ARG(word));
}

/* A number or a bool; its kind, or NONE after a syntax error. */
static enum kind
word(struct wr_in *in)
{
	struct wr_scan *s = in->s;
	uint32_t line = in->x.line;
	struct wr_str w = wr_lex_word(&in->x);
	int64_t num;
	enum wr_word kind = wr_word_value(w, &num);
	struct wr_place *p;

	if (kind == WR_W_BAD) {
		bad_word(in, w, line);
		return NONE;
	}
	p = wr_scan_place(in, line);
	if (kind == WR_W_OCTAL || kind == WR_W_LARGE) {
		p->bad = true;
		num = 0;
		wr_errs_add(s->errs, in->x.src, line,
		    kind == WR_W_OCTAL ? "%.*s begins with a 0: write the "
					 "number without it, or a mode as "
					 "\"0660\""
				       : "%.*s does not fit in 32 bits",
		    WR_STR_ARG(w));
	}
	if (kind == WR_W_BOOL)
		wr_text_puts(&s->out, num != 0 ? "true" : "false");
	else if (kind == WR_W_FLOAT)
		wr_text_printf(&s->out, "%.*s", WR_STR_ARG(w));
	else
		wr_text_printf(&s->out, "%lld", (long long)num);
	wr_scan_line(s, "");
	if (kind == WR_W_BOOL)
		return TRUTH;
	return kind == WR_W_FLOAT ? FRACTION : INTEGER;
}

static bool
enter(struct wr_in *in, struct wr_open *o, struct wr_open *up, char bracket)
{
	*o = (struct wr_open){ .line = in->x.line,
		.depth = up->depth + 1,
		.bracket = bracket,
		.serial = ++in->s->groups };
	if (o->depth > WR_SCAN_DEPTH_MAX) {
		wr_lex_stop(&in->x, in->x.line,
		    "groups and lists are nested deeper than %u",
		    WR_SCAN_DEPTH_MAX);
		return false;
	}
	(void)wr_scan_place(in, in->x.line);
	wr_scan_line(in->s, (char[]){ bracket, '\0' });
	in->x.p++;
	return !in->x.stop;
}

static char
partner(char bracket)
{
	return bracket == '{' ? '}' : bracket == '(' ? ')' : ']';
}

/* Something stands where `o` should end. */
static bool
not_closed(struct wr_in *in, const struct wr_open *o, char c)
{
	char here[WR_LEX_HERE];

	if (c == '\0')
		wr_lex_stop(&in->x, in->x.line,
		    "the file ends, but the \"%c\" of line %u is still open",
		    o->bracket, o->line);
	else if (strchr(")]}", c) != NULL)
		wr_lex_stop(&in->x, in->x.line,
		    "\"%c\" cannot close the \"%c\" of line %u", c, o->bracket,
		    o->line);
	else
		wr_lex_stop(&in->x, in->x.line,
		    "a comma or \"%c\" is expected, not %s (the \"%c\" is in "
		    "line %u)",
		    partner(o->bracket), wr_lex_here(&in->x, here), o->bracket,
		    o->line);
	return false;
}

static bool
group(struct wr_in *in, struct wr_open *up)
{
	struct wr_open o;

	if (!enter(in, &o, up, '{') || !wr_grammar(in, &o))
		return false;
	wr_scan_end(in, &o);
	wr_scan_line(in->s, "}");
	in->x.p++;
	return true;
}

/* What an array may hold: one scalar type. */
static bool
same_kind(struct wr_in *in, struct wr_open *o, enum kind kind, uint32_t line)
{
	if (kind == NONE || o->bracket != '[')
		return kind != NONE;
	if (o->kind != NONE && o->kind != kind)
		wr_lex_stop(&in->x, line,
		    "all members of \"[ ]\" have one type: write \"( )\" for a "
		    "mixture");
	o->kind = (uint8_t)kind;
	return !in->x.stop;
}

static bool
element(struct wr_in *in, struct wr_open *o, char c)
{
	struct wr_str none = { NULL, 0 };

	if (o->bracket == '[' && strchr("{([", c) != NULL) {
		wr_lex_stop(&in->x, in->x.line,
		    "\"[ ]\" holds plain values only: write \"( )\"");
		return false;
	}
	return value(in, o, none);
}

static bool
trailing_comma(struct wr_in *in, char close)
{
	wr_lex_stop(
	    &in->x, in->x.line, "no trailing comma before \"%c\"", close);
	return false;
}

static bool
list(struct wr_in *in, struct wr_open *up, char bracket)
{
	struct wr_open o;
	char close = partner(bracket), c;

	if (!enter(in, &o, up, bracket))
		return false;
	for (c = wr_lex_next(&in->x); c != close; c = wr_lex_next(&in->x)) {
		if (c == '\0' || strchr(")]}", c) != NULL)
			return not_closed(in, &o, c);
		if (o.members++ > 0)
			wr_scan_line(in->s, ",");
		if (!element(in, &o, c))
			return false;
		c = wr_lex_next(&in->x);
		if (c == close)
			break;
		if (c != ',')
			return not_closed(in, &o, c);
		in->x.p++;
		if (wr_lex_next(&in->x) == close)
			return trailing_comma(in, close);
	}
	wr_scan_line(in->s, (char[]){ close, '\0' });
	in->x.p++;
	return !in->x.stop;
}

static bool
no_value(struct wr_in *in, struct wr_str name)
{
	char here[WR_LEX_HERE];

	if (name.p != NULL)
		wr_lex_stop(&in->x, in->x.line,
		    "a value is expected after \"%.*s =\", not %s",
		    WR_STR_ARG(name), wr_lex_here(&in->x, here));
	else
		wr_lex_stop(&in->x, in->x.line, "a value is expected, not %s",
		    wr_lex_here(&in->x, here));
	return false;
}

/* `o` is what the value stands in. */
static bool
value(struct wr_in *in, struct wr_open *o, struct wr_str name)
{
	uint32_t line;
	char c = wr_lex_next(&in->x);

	line = in->x.line;
	switch (c) {
	case '{':
		return group(in, o);
	case '(':
	case '[':
		return list(in, o, c);
	case '"':
		return string(in) && same_kind(in, o, STRING, line);
	case '\0':
	case ';':
	case ',':
	case ')':
	case ']':
	case '}':
	case '=':
		return no_value(in, name);
	default:
		return same_kind(in, o, word(in), line);
	}
}

/* A file or pattern for after this file. */
static bool
include_string(struct wr_in *in)
{
	struct wr_scan *s = in->s;
	uint32_t line = in->x.line;
	struct wr_wait *w;
	bool bad, secret;

	if (!wr_lex_string(&in->x, &s->text, &bad))
		return false;
	if (wr_expand(&s->text, in->x.src, line, s->errs, &secret) < 0)
		return true;
	w = wr_arena_alloc(s->scratch, sizeof(*w));
	if (w != NULL)
		w->path = wr_arena_str(
		    s->scratch, (struct wr_str){ s->text.p, s->text.len });
	if (w == NULL || w->path == NULL) {
		wr_lex_stop(&in->x, line, "out of memory");
		return false;
	}
	w->by = in->x.src;
	w->line = line;
	*in->tail = w;
	in->tail = &w->next;
	return true;
}

static bool
include_list(struct wr_in *in, char bracket)
{
	struct wr_open o = { .bracket = bracket, .line = in->x.line };
	char close = partner(bracket), c;

	in->x.p++;
	while ((c = wr_lex_next(&in->x)) == '"') {
		if (!include_string(in))
			return false;
		c = wr_lex_next(&in->x);
		if (c != ',')
			break;
		in->x.p++;
		if (wr_lex_next(&in->x) == close)
			return trailing_comma(in, close);
	}
	if (c != close)
		return not_closed(in, &o, c);
	in->x.p++;
	return true;
}

static bool
include(struct wr_in *in)
{
	char here[WR_LEX_HERE];
	char c = wr_lex_next(&in->x);

	if (c == '(' || c == '[')
		return include_list(in, c);
	if (c == '"')
		return include_string(in);
	wr_lex_stop(&in->x, in->x.line,
	    "include wants a string or a list of strings, not %s",
	    wr_lex_here(&in->x, here));
	return false;
}

static bool
no_name(struct wr_in *in, const struct wr_open *o, char c)
{
	char here[WR_LEX_HERE];
	struct wr_str word =
	    wr_lex_word(&(struct wr_lex){ .p = in->x.p, .end = in->x.end });

	if (c == '\0' || (c == '}' && o->bracket != '\0'))
		return not_closed(in, o, c);
	if (strchr(")]}", c) != NULL && o->bracket == '\0')
		wr_lex_stop(&in->x, in->x.line,
		    "\"%c\" closes nothing: there is no open bracket", c);
	else if (strchr(")]}", c) != NULL)
		return not_closed(in, o, c);
	else if (c == '"')
		wr_lex_stop(&in->x, in->x.line,
		    "a name is expected, not a string: names stand without "
		    "quotes, several values in ( )");
	else if (c == ';' || c == ',')
		wr_lex_stop(&in->x, in->x.line,
		    "a name is expected, not \"%c\": one too many?", c);
	else if (word.len == 0)
		wr_lex_stop(&in->x, in->x.line, "a name is expected, not %s",
		    wr_lex_here(&in->x, here));
	else
		wr_lex_stop(&in->x, in->x.line,
		    "%s is not a name: names are letters, digits, - and _, "
		    "a letter first",
		    wr_lex_here(&in->x, here));
	return false;
}

/* "=" or ":" after a name. */
static bool
equals(struct wr_in *in, struct wr_str name)
{
	char here[WR_LEX_HERE];
	char c = wr_lex_next(&in->x);

	if (c == '=' || c == ':') {
		in->x.p++;
		return true;
	}
	if (c == '{' || c == '(' || c == '[')
		wr_lex_stop(&in->x, in->x.line,
		    "\"=\" is missing: write \"%.*s = %c\"", WR_STR_ARG(name),
		    c);
	else
		wr_lex_stop(&in->x, in->x.line,
		    "\"=\" is expected after \"%.*s\", not %s",
		    WR_STR_ARG(name), wr_lex_here(&in->x, here));
	return false;
}

static bool
setting(struct wr_in *in, struct wr_open *o, char c)
{
	struct wr_lex *x = &in->x;
	char here[WR_LEX_HERE];
	int64_t num;
	uint32_t line = x->line;
	const char *from = x->p;
	struct wr_str name = wr_lex_name(x);

	if (!wr_name_ok(name)) {
		x->p = from;
		return no_name(in, o, c);
	}
	/* To libconfig these are values, wherever they stand. */
	if (wr_word_value(name, &num) == WR_W_BOOL) {
		wr_lex_stop(
		    x, line, "\"%.*s\" cannot be a name", WR_STR_ARG(name));
		return false;
	}
	if (!equals(in, name))
		return false;
	if (o->depth == 0 && wr_str_is(name, "include")) {
		in->s->includes = true;
		if (!include(in))
			return false;
	} else {
		wr_scan_begin(in, o, name, line);
		if (!value(in, o, name))
			return false;
		wr_scan_line(in->s, ";");
	}
	c = wr_lex_next(x);
	if (c == ';' || c == ',')
		x->p++;
	else if (c != '\0' && strchr("\"({[0123456789+-./*", c) != NULL)
		wr_lex_stop(x, x->line,
		    "\";\" is expected after the value of \"%.*s\", not %s",
		    WR_STR_ARG(name), wr_lex_here(x, here));
	return !x->stop;
}

/* Up to the bracket that ends the group, or the end of the file. */
bool
wr_grammar(struct wr_in *in, struct wr_open *o)
{
	for (;;) {
		char c = wr_lex_next(&in->x);

		if (in->x.stop)
			return false;
		if (c == '\0' && in->x.p >= in->x.end && o->bracket == '\0')
			return true;
		if (c == '}' && o->bracket == '{')
			return true;
		if (c == '@' ? !wr_scan_include_here(in, o)
			     : !setting(in, o, c))
			return false;
	}
}
