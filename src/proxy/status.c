/* SPDX-License-Identifier: BSD-2-Clause */
/* status - what all texts need, and JSON; later keys are only added. */
#include "proxy/status.h"

#include <string.h>
#include <time.h>

#include "conf/conf.h"
#include "proxy/server.h"
#include "proxy/sticky.h"

/* A megabyte. */
#define BUCKETS 4096

static uint64_t
clock_ms(clockid_t id)
{
	struct timespec ts;

	(void)clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

uint64_t
wr_status_now_ms(void)
{
	return clock_ms(CLOCK_MONOTONIC);
}

uint64_t
wr_status_wall_ms(void)
{
	return clock_ms(CLOCK_REALTIME);
}

const struct wr_slot *
wr_status_slot(const struct wr_stats *st, uint32_t *slot)
{
	for (; *slot < wr_load(st->slots_high); ++*slot)
		if (wr_load(&st->slots[*slot].pid) != 0)
			return &st->slots[*slot];
	return NULL;
}

/* Lists that were built anew may lead elsewhere; in all of them cells only
 * grow, so the place is found again. */
static const struct wr_server_conf *
next_joined(const struct wr_joined *j, const struct wr_upstream_conf *u,
    struct wr_status_walk *w)
{
	const struct wr_server_conf *sv;

	if (w->last != NULL && w->build == j->builds) {
		sv = wr_joined_next(j, w->last);
	} else {
		sv = wr_joined_first(j, u);
		while (sv != NULL && sv->cell <= w->cell)
			sv = wr_joined_next(j, sv);
	}
	w->last = sv;
	w->build = j->builds;
	w->cell = sv != NULL ? sv->cell : 0;
	return sv;
}

const struct wr_server_conf *
wr_status_server(const struct wr_status *s, struct wr_status_walk *w)
{
	const struct wr_upstream_conf *u = s->conf->upstreams[w->group];
	const struct wr_server_conf *sv;

	if (w->server < u->n_servers)
		return &u->servers[w->server++];
	sv = next_joined(s->joined, u, w);
	if (sv == NULL)
		*w = (struct wr_status_walk){ .group = w->group + 1 };
	return sv;
}

bool
wr_status_sticky(const struct wr_status *s, struct wr_status_at *at,
    const struct wr_upstream_conf *u, uint64_t *n)
{
	struct wr_sticky_table t =
	    wr_sticky_table_of(s->stats, &u->sticky, wr_status_now_ms());

	/* It may have become another one meanwhile. */
	if (at->counted < t.n) {
		t.v += at->counted;
		t.n -= at->counted;
		if (t.n > BUCKETS)
			t.n = BUCKETS;
		at->clients += wr_sticky_used(&t);
		at->counted += BUCKETS;
		return false;
	}
	*n = at->clients;
	at->counted = 0;
	at->clients = 0;
	return true;
}

/* -- JSON ---------------------------------------------------------------- */

/* Pieces put the comma between them themselves; what stands before a piece may
 * be nothing, or a line of somebody else. */
static void
key(struct wr_text *t, const char *name)
{
	char last = t->len > 0 ? t->p[t->len - 1] : '\n';

	if (strchr("{[,\n", last) == NULL)
		wr_text_putc(t, ',');
	if (name != NULL) {
		wr_text_json(t, wr_str_of(name));
		wr_text_putc(t, ':');
	}
}

static void
number(struct wr_text *t, const char *name, uint64_t n)
{
	key(t, name);
	wr_text_printf(t, "%llu", (unsigned long long)n);
}

static void
text(struct wr_text *t, const char *name, const char *value)
{
	key(t, name);
	wr_text_json(t, wr_str_of(value));
}

static void
begin(struct wr_text *t, const char *name, char bracket)
{
	key(t, name);
	wr_text_putc(t, bracket);
}

static void
fields(struct wr_text *t, const struct wr_field *f, const void *row,
    uint64_t now_ms)
{
	for (; f->name != NULL; f++)
		number(t, f->name, wr_field_value(f, row, now_ms));
}

static void
ends(struct wr_text *t, const uint64_t *n)
{
	begin(t, "ends", '{');
	for (int i = 1; i < WR_ENDS; i++) {
		if (wr_load(&n[i]) > 0)
			number(t, wr_end_text((enum wr_end)i), wr_load(&n[i]));
	}
	wr_text_putc(t, '}');
}

static void
head(struct wr_text *t, const struct wr_status *s)
{
	uint64_t start = wr_load(s->stats->start_ms);
	uint64_t wall = wr_status_wall_ms();

	wr_text_putc(t, '{');
	text(t, "version", PACKAGE_VERSION);
	number(t, "pid", (uint64_t)s->master);
	number(t, "start_ms", start);
	number(t, "uptime_ms", wall > start ? wall - start : 0);
	number(t, "binaries", wr_load(s->stats->binaries));
	number(t, "generation", s->generation);
	if (s->conf != NULL) {
		text(t, "config", s->conf->path);
		text(t, "backend", s->conf->events.backend);
		number(t, "workers", s->conf->workers);
	}
	begin(t, "processes", '[');
}

static void
process(struct wr_text *t, const struct wr_slot *s, uint32_t slot)
{
	uint64_t now = wr_status_now_ms();

	wr_text_putc(t, '{');
	number(t, "slot", slot);
	number(t, "pid", wr_load(&s->pid));
	text(t, "role", wr_role_text(wr_load(&s->role)));
	number(t, "index", wr_load(&s->index));
	text(t, "phase", wr_phase_text(wr_load(&s->phase)));
	text(t, "backend", s->backend);
	fields(t, wr_process_fields, s, now);
	ends(t, s->ends);
	begin(t, "loop", '{');
	fields(t, wr_loop_fields, &s->loop, now);
	wr_text_puts(t, "}}");
}

static void
total(struct wr_text *t, const struct wr_stats *st)
{
	struct wr_slot sum;

	wr_fields_total(st, &sum);
	wr_text_puts(t, "],\"total\":{");
	fields(t, wr_total_fields, &sum, 0);
	ends(t, sum.ends);
	wr_text_putc(t, '}');
}

static void
listener(struct wr_text *t, const struct wr_stats *st,
    const struct wr_listener_conf *ln)
{
	struct wr_listener_count n = wr_stats_listener_sum(st, ln->cell);

	begin(t, ln->name, '{');
	begin(t, "listen", '[');
	for (uint32_t k = 0; k < ln->n_listens; k++) {
		key(t, NULL);
		wr_text_json(t, wr_str_of(ln->listens[k].text));
	}
	wr_text_putc(t, ']');
	fields(t, wr_listener_fields, &n, 0);
	wr_text_putc(t, '}');
}

static void
server(struct wr_text *t, const struct wr_stats *st,
    const struct wr_server_conf *s)
{
	const struct wr_server_state *x = &st->states[s->cell];
	struct wr_server_count n = wr_stats_server_sum(st, s->cell);
	uint64_t now = wr_status_now_ms();

	begin(t, s->name, '{');
	text(t, "address", s->address);
	text(t, "health", wr_health_text(wr_load(&x->health)));
	text(t, "want", wr_want_text(wr_load(&x->want)));
	text(
	    t, "ejected", wr_ejected_text((uint32_t)wr_server_ejected(x, now)));
	fields(t, wr_state_fields, x, now);
	fields(t, wr_server_fields, &n, now);
	wr_text_putc(t, '}');
}

static void
upstream(struct wr_text *t, const struct wr_stats *st,
    const struct wr_upstream_conf *u, uint64_t clients)
{
	struct wr_upstream_count n = wr_stats_upstream_sum(st, u->cell);

	begin(t, u->name, '{');
	fields(t, wr_upstream_fields, &n, 0);
	number(t, "sticky_used", clients);
	fields(t, wr_group_fields, &st->group_states[u->cell], 0);
	begin(t, "servers", '{');
}

enum { /* parts of the object */
	HEAD,
	PROCESSES,
	TOTAL,
	LISTENERS,
	UPSTREAM, /* its beginning */
	SERVERS,
	END,
};

/* `row` of a part counts what was written of it. */
static void
go(struct wr_status_at *at, uint32_t part)
{
	at->part = part;
	at->row = 0;
}

static void
comma(struct wr_text *t, uint32_t before)
{
	if (before > 0)
		wr_text_putc(t, ',');
}

static void
next_process(
    struct wr_text *t, const struct wr_stats *st, struct wr_status_at *at)
{
	const struct wr_slot *slot = wr_status_slot(st, &at->table);

	if (slot == NULL) {
		go(at, TOTAL);
		return;
	}
	comma(t, at->row++);
	process(t, slot, at->table++);
}

static void
next_listener(
    struct wr_text *t, const struct wr_status *s, struct wr_status_at *at)
{
	if (at->row < s->conf->n_listeners) {
		comma(t, at->row);
		listener(t, s->stats, s->conf->listeners[at->row++]);
		return;
	}
	wr_text_puts(t, "},\"upstreams\":{");
	go(at, UPSTREAM);
}

static void
next_upstream(
    struct wr_text *t, const struct wr_status *s, struct wr_status_at *at)
{
	const struct wr_upstream_conf *u;
	uint64_t clients;

	if (at->walk.group == s->conf->n_upstreams) {
		wr_text_putc(t, '}');
		go(at, END);
		return;
	}
	u = s->conf->upstreams[at->walk.group];
	if (!wr_status_sticky(s, at, u, &clients))
		return;
	comma(t, at->walk.group);
	upstream(t, s->stats, u, clients);
	go(at, SERVERS);
}

static void
next_server(
    struct wr_text *t, const struct wr_status *s, struct wr_status_at *at)
{
	const struct wr_server_conf *sv = wr_status_server(s, &at->walk);

	if (sv != NULL) {
		comma(t, at->row++);
		server(t, s->stats, sv);
		return;
	}
	wr_text_puts(t, "}}");
	go(at, UPSTREAM);
}

bool
wr_status_json(
    const struct wr_status *s, struct wr_status_at *at, struct wr_text *out)
{
	switch (at->part) {
	case HEAD:
		head(out, s);
		go(at, PROCESSES);
		return true;
	case PROCESSES:
		next_process(out, s->stats, at);
		return true;
	case TOTAL:
		total(out, s->stats);
		go(at, s->conf != NULL ? LISTENERS : END);
		if (s->conf != NULL)
			wr_text_puts(out, ",\"listeners\":{");
		return true;
	case LISTENERS:
		next_listener(out, s, at);
		return true;
	case UPSTREAM:
		next_upstream(out, s, at);
		return true;
	case SERVERS:
		next_server(out, s, at);
		return true;
	default:
		wr_text_puts(out, "}\n");
		return false;
	}
}
