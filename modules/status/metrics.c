/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * metrics - every counter and gauge in the text format of Prometheus.
 *
 * All samples of a family come together, so the servers are walked through
 * once for each of their families.  Units are seconds and bytes, counters end
 * in _total, and what stands in the tables of proxy/fields.h is here, too.
 */
#include "conf/conf.h"
#include "modules/status/status.h"
#include "proxy/server.h"

enum rows { /* what a table has one sample for each of */
	ALL,
	PROCESS,
	LOOP,
	LISTENER,
	UPSTREAM,
	GROUP,
	STATE,
	SERVER,
};

static const struct {
	enum rows rows;
	const char *prefix;
	const struct wr_field *fields;
} tables[] = {
	{ ALL, "weir_", wr_total_fields },
	{ PROCESS, "weir_process_", wr_process_fields },
	{ LOOP, "weir_loop_", wr_loop_fields },
	{ LISTENER, "weir_listener_", wr_listener_fields },
	{ UPSTREAM, "weir_upstream_", wr_upstream_fields },
	{ GROUP, "weir_upstream_", wr_group_fields },
	{ STATE, "weir_server_", wr_state_fields },
	{ SERVER, "weir_server_", wr_server_fields },
};

/* -- Lines --------------------------------------------------------------- */

static bool
is_counter(const char *metric)
{
	return wr_str_ends(wr_str_of(metric), "_total");
}

static void
family(
    struct wr_text *t, const char *prefix, const char *metric, const char *help)
{
	wr_text_printf(t, "# HELP %s%s %s\n# TYPE %s%s %s\n", prefix, metric,
	    help, prefix, metric, is_counter(metric) ? "counter" : "gauge");
}

static void
label(struct wr_text *t, const char *name, const char *value)
{
	wr_text_puts(t, name);
	wr_text_putc(t, '=');
	wr_text_label(t, wr_str_of(value));
}

static void
of_process(struct wr_text *t, const struct wr_slot *s, uint32_t slot)
{
	uint32_t role = wr_load(&s->role);

	/* Two of one name may live at a time, two of one slot never. */
	wr_text_printf(t, "{process=\"%s", wr_role_text(role));
	if (role == WR_ROLE_WORKER)
		wr_text_printf(t, " %u", wr_load(&s->index));
	wr_text_printf(t, "\",slot=\"%u\"", slot);
}

static void
of_server(struct wr_text *t, const struct wr_server_conf *sv,
    const struct wr_upstream_conf *u)
{
	label(t, "{upstream", u->name);
	label(t, ",server", sv->name);
	wr_text_puts(t, "} ");
}

static void
ms(struct wr_text *t, uint64_t v)
{
	wr_text_printf(t, "%llu.%03u\n", (unsigned long long)(v / 1000),
	    (unsigned)(v % 1000));
}

static void
value(struct wr_text *t, const struct wr_field *f, uint64_t v)
{
	if (f->unit == WR_UNIT_SINCE)
		ms(t, v);
	else if (f->unit == WR_UNIT_US)
		wr_text_printf(t, "%llu.%06u\n",
		    (unsigned long long)(v / 1000000), (unsigned)(v % 1000000));
	else
		wr_text_printf(t, "%llu\n", (unsigned long long)v);
}

/* -- What stands in no table --------------------------------------------- */

static void
one(struct wr_text *t, const char *metric, const char *help, uint64_t v)
{
	family(t, "weir_", metric, help);
	wr_text_printf(t, "weir_%s %llu\n", metric, (unsigned long long)v);
}

static void
head(const struct wr_status *s, struct wr_text *t)
{
	uint64_t start = wr_load(s->stats->start_ms);
	uint64_t wall = wr_status_wall_ms();

	family(t, "weir_", "info", "Which weir this is.");
	label(t, "weir_info{version", PACKAGE_VERSION);
	label(t, ",backend", s->conf->events.backend);
	wr_text_puts(t, "} 1\n");
	family(t, "weir_", "start_time_seconds",
	    "When the first binary was started, since 1970.");
	wr_text_puts(t, "weir_start_time_seconds ");
	ms(t, start);
	family(t, "weir_", "uptime_seconds", "How long ago that was.");
	wr_text_puts(t, "weir_uptime_seconds ");
	ms(t, wall > start ? wall - start : 0);
	one(t, "binaries_total",
	    "Binaries that have run since then: one more than upgrades.",
	    wr_load(s->stats->binaries));
	one(t, "generation", "The configuration in use, counted from 1.",
	    s->generation);
	one(t, "workers", "Workers that the configuration asks for.",
	    s->conf->workers);
}

static void
ends_of(struct wr_text *t, const struct wr_slot *s, int slot)
{
	for (int i = 1; i < WR_ENDS; i++) {
		uint64_t n = wr_load(&s->ends[i]);

		if (n == 0)
			continue;
		if (slot < 0) {
			wr_text_puts(t, "weir_session_ends_total{");
		} else {
			wr_text_puts(t, "weir_process_session_ends_total");
			of_process(t, s, (uint32_t)slot);
			wr_text_putc(t, ',');
		}
		label(t, "reason", wr_end_text((enum wr_end)i));
		wr_text_printf(t, "} %llu\n", (unsigned long long)n);
	}
}

/* All that is left of processes: who they are, why their sessions ended. */
static void
who(const struct wr_stats *st, struct wr_text *t)
{
	const struct wr_slot *s;
	struct wr_slot sum;

	family(t, "weir_", "process_info", "The processes.");
	for (uint32_t i = 0; (s = wr_status_slot(st, &i)) != NULL; i++) {
		wr_text_puts(t, "weir_process_info");
		of_process(t, s, i);
		wr_text_printf(t, ",pid=\"%u\"", wr_load(&s->pid));
		label(t, ",phase", wr_phase_text(wr_load(&s->phase)));
		label(t, ",backend", s->backend);
		wr_text_puts(t, "} 1\n");
	}
	family(t, "weir_", "session_ends_total",
	    "Sessions that have ended, by reason.");
	wr_fields_total(st, &sum);
	ends_of(t, &sum, -1);
	family(t, "weir_", "process_session_ends_total",
	    "The same, of each process.");
	for (uint32_t i = 0; (s = wr_status_slot(st, &i)) != NULL; i++)
		ends_of(t, s, (int)i);
}

/* -- Clients that are remembered ------------------------------------------ */

/* False: that was the last upstream. */
static bool
next_sticky(
    const struct wr_status *s, struct wr_status_at *at, struct wr_text *t)
{
	const struct wr_upstream_conf *u;
	uint64_t n;

	if (at->row == s->conf->n_upstreams)
		return false;
	u = s->conf->upstreams[at->row];
	if (!wr_status_sticky(s, at, u, &n))
		return true;
	if (at->row++ == 0)
		family(t, "weir_", "upstream_sticky_used",
		    "Clients that are remembered.");
	label(t, "weir_upstream_sticky_used{upstream", u->name);
	wr_text_printf(t, "} %llu\n", (unsigned long long)n);
	return true;
}

/* -- Flags of servers ---------------------------------------------------- */

static bool
is_up(const struct wr_server_state *x)
{
	uint32_t health = wr_load(&x->health);

	return health == WR_HEALTH_UP || health == WR_HEALTH_NONE;
}

static bool
is_wanted(const struct wr_server_state *x)
{
	return wr_load(&x->want) == WR_WANT_UP;
}

static bool
is_ejected(const struct wr_server_state *x)
{
	return wr_server_ejected(x, wr_status_now_ms()) != WR_EJECT_NOT;
}

static const struct {
	const char *metric, *help;
	bool (*is)(const struct wr_server_state *x);
} flags[] = {
	{ "up", "1 if its last checks went well, or none is asked for.",
	    is_up },
	{ "enabled", "1 unless it was told to drain or to be down.",
	    is_wanted },
	{ "ejected", "1 while sessions avoid it because it failed.",
	    is_ejected },
};

static bool
next_flag(const struct wr_status *s, struct wr_status_at *at, struct wr_text *t)
{
	const struct wr_upstream_conf *u;
	const struct wr_server_conf *sv;

	if (at->field == WR_COUNT(flags))
		return false;
	if (at->row++ == 0)
		family(t, "weir_server_", flags[at->field].metric,
		    flags[at->field].help);
	if (at->walk.group == s->conf->n_upstreams) {
		at->field++;
		at->row = 0;
		at->walk = (struct wr_status_walk){ 0 };
		return true;
	}
	u = s->conf->upstreams[at->walk.group];
	sv = wr_status_server(s, &at->walk);
	if (sv == NULL)
		return true;
	wr_text_printf(t, "weir_server_%s", flags[at->field].metric);
	of_server(t, sv, u);
	wr_text_puts(t,
	    flags[at->field].is(&s->stats->states[sv->cell]) ? "1\n" : "0\n");
	return true;
}

/* -- Tables -------------------------------------------------------------- */

/* One word of all slots' rows of a server, and of the base. */
static uint64_t
sum_of(const struct wr_stats *st, uint32_t cell, const struct wr_field *f)
{
	uint32_t high = wr_load(st->slots_high);
	uint64_t n = wr_field_value(f, wr_stats_server(st, WR_SLOTS, cell), 0);

	for (uint32_t i = 0; i < high; i++)
		n += wr_field_value(f, wr_stats_server(st, i, cell), 0);
	return n;
}

static void
sample(struct wr_text *t, const struct wr_status_at *at)
{
	wr_text_puts(t, tables[at->table].prefix);
	wr_text_puts(t, tables[at->table].fields[at->field].metric);
}

/* Each of these writes a sample, or returns false if none is left. */

static bool
next_process(
    const struct wr_status *s, struct wr_status_at *at, struct wr_text *t)
{
	const struct wr_field *f = &tables[at->table].fields[at->field];
	const struct wr_slot *slot = wr_status_slot(s->stats, &at->row);
	bool loop = tables[at->table].rows == LOOP;

	if (slot == NULL)
		return false;
	sample(t, at);
	of_process(t, slot, at->row++);
	wr_text_puts(t, "} ");
	value(t, f,
	    wr_field_value(f, loop ? (const void *)&slot->loop : slot,
		wr_status_now_ms()));
	return true;
}

static bool
next_listener(
    const struct wr_status *s, struct wr_status_at *at, struct wr_text *t)
{
	const struct wr_field *f = &tables[at->table].fields[at->field];
	const struct wr_listener_conf *ln;
	struct wr_listener_count n;

	if (at->row == s->conf->n_listeners)
		return false;
	ln = s->conf->listeners[at->row++];
	n = wr_stats_listener_sum(s->stats, ln->cell);
	sample(t, at);
	label(t, "{listener", ln->name);
	wr_text_puts(t, "} ");
	value(t, f, wr_field_value(f, &n, 0));
	return true;
}

static bool
next_upstream(
    const struct wr_status *s, struct wr_status_at *at, struct wr_text *t)
{
	const struct wr_field *f = &tables[at->table].fields[at->field];
	const struct wr_upstream_conf *u;
	struct wr_upstream_count n;
	const void *row = &n;

	if (at->row == s->conf->n_upstreams)
		return false;
	u = s->conf->upstreams[at->row++];
	if (tables[at->table].rows == UPSTREAM)
		n = wr_stats_upstream_sum(s->stats, u->cell);
	else
		row = &s->stats->group_states[u->cell];
	sample(t, at);
	label(t, "{upstream", u->name);
	wr_text_puts(t, "} ");
	value(t, f, wr_field_value(f, row, 0));
	return true;
}

static bool
next_server(
    const struct wr_status *s, struct wr_status_at *at, struct wr_text *t)
{
	const struct wr_field *f = &tables[at->table].fields[at->field];
	const struct wr_upstream_conf *u;
	const struct wr_server_conf *sv;

	if (at->walk.group == s->conf->n_upstreams)
		return false;
	u = s->conf->upstreams[at->walk.group];
	sv = wr_status_server(s, &at->walk);
	if (sv == NULL)
		return true;
	sample(t, at);
	of_server(t, sv, u);
	if (tables[at->table].rows == SERVER)
		value(t, f, sum_of(s->stats, sv->cell, f));
	else
		value(t, f, wr_field_value(f, &s->stats->states[sv->cell], 0));
	return true;
}

static bool
next_total(
    const struct wr_status *s, struct wr_status_at *at, struct wr_text *t)
{
	const struct wr_field *f = &tables[at->table].fields[at->field];
	struct wr_slot sum;

	if (at->row++ > 0)
		return false;
	wr_fields_total(s->stats, &sum);
	sample(t, at);
	wr_text_putc(t, ' ');
	value(t, f, wr_field_value(f, &sum, 0));
	return true;
}

static bool
next_row(const struct wr_status *s, struct wr_status_at *at, struct wr_text *t)
{
	switch (tables[at->table].rows) {
	case ALL:
		return next_total(s, at, t);
	case PROCESS:
	case LOOP:
		return next_process(s, at, t);
	case LISTENER:
		return next_listener(s, at, t);
	case UPSTREAM:
	case GROUP:
		return next_upstream(s, at, t);
	default:
		return next_server(s, at, t);
	}
}

/* This family is over. */
static void
next_family(struct wr_status_at *at)
{
	at->field++;
	at->row = 0;
	at->walk = (struct wr_status_walk){ 0 };
	if (tables[at->table].fields[at->field].name == NULL) {
		at->table++;
		at->field = 0;
	}
}

enum { /* parts */
	HEAD,
	FAMILY, /* begins */
	ROWS,
	STICKY,
	FLAGS,
};

bool
wr_status_metrics(
    const struct wr_status *s, struct wr_status_at *at, struct wr_text *out)
{
	const struct wr_field *f;

	switch (at->part) {
	case HEAD:
		head(s, out);
		who(s->stats, out);
		at->part = FAMILY;
		return true;
	case FAMILY:
		f = &tables[at->table].fields[at->field];
		family(out, tables[at->table].prefix, f->metric, f->help);
		at->part = ROWS;
		return true;
	case ROWS:
		if (next_row(s, at, out))
			return true;
		next_family(at);
		at->part = at->table < WR_COUNT(tables) ? FAMILY : STICKY;
		return true;
	case STICKY:
		if (next_sticky(s, at, out))
			return true;
		at->row = 0;
		at->part = FLAGS;
		return true;
	default:
		return next_flag(s, at, out);
	}
}
