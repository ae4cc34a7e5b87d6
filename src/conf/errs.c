/* SPDX-License-Identifier: BSD-2-Clause */
/* errs - see errs.h. */
#include "conf/errs.h"

#include <stdlib.h>

static struct wr_err *
more(struct wr_errs *e)
{
	uint32_t size = e->size > 0 ? e->size * 2 : 16;
	struct wr_err *v;

	if (e->n < e->size)
		return &e->v[e->n++];
	v = realloc(e->v, size * sizeof(*v));
	if (v == NULL)
		return NULL;
	e->v = v;
	e->size = size;
	return &e->v[e->n++];
}

void
wr_errs_vadd(struct wr_errs *e, const struct wr_source *src, uint32_t line,
    const char *fmt, va_list ap)
{
	struct wr_text text = { 0 }, shown = { 0 };
	struct wr_err *err;

	e->total++;
	if (e->n >= WR_ERRS_MAX)
		return;
	err = more(e);
	if (err == NULL)
		return;
	wr_text_vprintf(&text, fmt, ap);
	/* What is quoted may be any bytes; a terminal would obey some. */
	wr_text_oneline(&shown, (struct wr_str){ text.p, text.len });
	wr_text_fini(&text);
	*err = (struct wr_err){ src, line, e->total, shown.p };
}

void
wr_errs_add(struct wr_errs *e, const struct wr_source *src, uint32_t line,
    const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	wr_errs_vadd(e, src, line, fmt, ap);
	va_end(ap);
}

static int
by_place(const void *pa, const void *pb)
{
	const struct wr_err *a = pa, *b = pb;
	uint32_t oa = a->src != NULL ? a->src->order : 0;
	uint32_t ob = b->src != NULL ? b->src->order : 0;

	if (oa != ob)
		return oa < ob ? -1 : 1;
	if (a->line != b->line)
		return a->line < b->line ? -1 : 1;
	return a->seq < b->seq ? -1 : a->seq > b->seq;
}

void
wr_errs_write(struct wr_errs *e, struct wr_text *out)
{
	if (e->n > 0)
		qsort(e->v, e->n, sizeof(*e->v), by_place);
	for (uint32_t i = 0; i < e->n; i++) {
		const struct wr_err *err = &e->v[i];

		if (err->src != NULL && err->line > 0)
			wr_text_printf(
			    out, "%s:%u: ", err->src->name, err->line);
		else if (err->src != NULL)
			wr_text_printf(out, "%s: ", err->src->name);
		wr_text_puts(out, err->text != NULL ? err->text : "?");
		wr_text_putc(out, '\n');
	}
	if (e->total > e->n)
		wr_text_printf(
		    out, "and %u more errors\n", (unsigned)(e->total - e->n));
}

void
wr_errs_fini(struct wr_errs *e)
{
	for (uint32_t i = 0; i < e->n; i++)
		free(e->v[i].text);
	free(e->v);
	*e = (struct wr_errs){ 0 };
}
