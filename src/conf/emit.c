/* SPDX-License-Identifier: BSD-2-Clause */
/* emit - the string for libconfig and its places; see grammar.h. */
#include <stdlib.h>

#include "base/hash.h"
#include "conf/grammar.h"

struct wr_name {
	uint32_t serial; /* of the group; 0: empty */
	uint32_t len;
	const char *name;
	const struct wr_source *src;
	uint32_t line;
};

void
wr_scan_line(struct wr_scan *s, const char *z)
{
	wr_text_puts(&s->out, z);
	wr_text_putc(&s->out, '\n');
	s->out_lines++;
}

struct wr_place *
wr_scan_place(struct wr_in *in, uint32_t line)
{
	static struct wr_place none;
	struct wr_scan *s = in->s;
	uint32_t size = s->places_size > 0 ? s->places_size * 2 : 256;
	struct wr_place *v;

	if (s->n_places == s->places_size) {
		v = realloc(s->places, size * sizeof(*v));
		if (v == NULL) {
			wr_lex_stop(&in->x, line, "out of memory");
			return &none;
		}
		s->places = v;
		s->places_size = size;
	}
	v = &s->places[s->n_places++];
	*v = (struct wr_place){
		.src = in->x.src, .line = line, .out_line = s->out_lines + 1
	};
	return v;
}

void
wr_scan_string(struct wr_scan *s, struct wr_str t)
{
	wr_text_putc(&s->out, '"');
	for (size_t i = 0; i < t.len; i++) {
		unsigned char c = (unsigned char)t.p[i];

		if (c == '"' || c == '\\') {
			wr_text_putc(&s->out, '\\');
			wr_text_putc(&s->out, (char)c);
		} else if (c < 0x20) {
			wr_text_printf(&s->out, "\\x%02x", c);
		} else {
			wr_text_putc(&s->out, (char)c);
		}
	}
	wr_text_putc(&s->out, '"');
}

static struct wr_name *
name_slot(struct wr_name *v, uint32_t size, uint32_t serial, const char *name,
    uint32_t len)
{
	static const struct wr_hash_key key = { { 1, 2 } };
	uint64_t h = wr_hash(&key, name, len) + serial;
	uint32_t i = (uint32_t)wr_hash_u64(h) & (size - 1);

	while (v[i].serial != 0 && (v[i].serial != serial || v[i].len != len ||
				       memcmp(v[i].name, name, len) != 0))
		i = (i + 1) & (size - 1);
	return &v[i];
}

static bool
names_grow(struct wr_scan *s)
{
	uint32_t size = s->names_size > 0 ? s->names_size * 2 : 1024;
	struct wr_name *v = calloc(size, sizeof(*v));

	if (v == NULL)
		return false;
	for (uint32_t i = 0; i < s->names_size; i++) {
		const struct wr_name *n = &s->names[i];

		if (n->serial != 0)
			*name_slot(v, size, n->serial, n->name, n->len) = *n;
	}
	free(s->names);
	s->names = v;
	s->names_size = size;
	return true;
}

/* True if the name is new in its group; if not, that was reported. */
static bool
name_add(struct wr_in *in, const struct wr_open *o, struct wr_str name,
    uint32_t line)
{
	struct wr_scan *s = in->s;
	struct wr_name *n;

	if (s->n_names * 2 >= s->names_size && !names_grow(s)) {
		wr_lex_stop(&in->x, line, "out of memory");
		return false;
	}
	n = name_slot(
	    s->names, s->names_size, o->serial, name.p, (uint32_t)name.len);
	if (n->serial != 0) {
		wr_errs_add(s->errs, in->x.src, line,
		    "\"%.*s\" is written twice; the first is at %s:%u",
		    WR_STR_ARG(name), n->src->name, n->line);
		return false;
	}
	/* The file's text goes when it has been read, names must stay. */
	name.p = wr_arena_str(s->scratch, name);
	if (name.p == NULL) {
		wr_lex_stop(&in->x, line, "out of memory");
		return false;
	}
	*n = (struct wr_name){ o->serial, (uint32_t)name.len, name.p, in->x.src,
		line };
	s->n_names++;
	return true;
}

void
wr_scan_begin(
    struct wr_in *in, struct wr_open *o, struct wr_str name, uint32_t line)
{
	struct wr_scan *s = in->s;

	if (o->members > 0 && o->members % WR_SCAN_GROUP_MAX == 0) {
		if (o->members > WR_SCAN_GROUP_MAX)
			wr_scan_line(s, "};");
		wr_text_printf(&s->out, WR_SCAN_MORE "%u={", o->members);
		wr_scan_line(s, "");
	}
	o->members++;
	if (name_add(in, o, name, line))
		wr_text_printf(&s->out, "%.*s=", WR_STR_ARG(name));
	else
		wr_text_printf(&s->out, WR_SCAN_AGAIN "%u=", ++s->again);
}

void
wr_scan_end(struct wr_in *in, const struct wr_open *o)
{
	if (o->members > WR_SCAN_GROUP_MAX)
		wr_scan_line(in->s, "};");
}
