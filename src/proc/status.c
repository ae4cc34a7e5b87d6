/* SPDX-License-Identifier: BSD-2-Clause */
/* status - tables of counters as JSON; later ones are only added. */
#include "proc/status.h"

#include <string.h>
#include <time.h>

#include "conf/conf.h"
#include "proc/master.h"
#include "proxy/joined.h"
#include "proxy/server.h"
#include "proxy/sticky.h"

struct field {
	const char *name;
	size_t offset;
};

#define FIELD(type, name)                                                      \
	{                                                                      \
#name, offsetof(struct type, name)                             \
	}

static const struct field loop_fields[] = {
	FIELD(wr_loop_stats, turns),
	FIELD(wr_loop_stats, completions),
	FIELD(wr_loop_stats, syscalls),
	FIELD(wr_loop_stats, accepts),
	FIELD(wr_loop_stats, connects),
	FIELD(wr_loop_stats, recvs),
	FIELD(wr_loop_stats, sends),
	FIELD(wr_loop_stats, short_sends),
	FIELD(wr_loop_stats, closes),
	FIELD(wr_loop_stats, recv_bytes),
	FIELD(wr_loop_stats, send_bytes),
	FIELD(wr_loop_stats, splice_bytes),
	FIELD(wr_loop_stats, no_buffers),
	FIELD(wr_loop_stats, rearms),
	FIELD(wr_loop_stats, cancels),
	FIELD(wr_loop_stats, timers_fired),
	FIELD(wr_loop_stats, turn_max_us),
	FIELD(wr_loop_stats, late_turns),
	FIELD(wr_loop_stats, socks),
	FIELD(wr_loop_stats, timers),
	FIELD(wr_loop_stats, buffers_used),
	FIELD(wr_loop_stats, buffers),
	FIELD(wr_loop_stats, spill_bytes),
	FIELD(wr_loop_stats, iowq_threads),
};

static const struct field listener_fields[] = {
	FIELD(wr_listener_count, accepted),
	FIELD(wr_listener_count, refused),
	FIELD(wr_listener_count, denied),
	FIELD(wr_listener_count, bytes_in),
	FIELD(wr_listener_count, bytes_out),
	FIELD(wr_listener_count, limited),
	FIELD(wr_listener_count, limit_dry),
	FIELD(wr_listener_count, limit_full),
	FIELD(wr_listener_count, active),
};

static const struct field upstream_fields[] = {
	FIELD(wr_upstream_count, picks),
	FIELD(wr_upstream_count, retries),
	FIELD(wr_upstream_count, no_server),
	FIELD(wr_upstream_count, queued),
	FIELD(wr_upstream_count, queue_full),
	FIELD(wr_upstream_count, waiting),
	FIELD(wr_upstream_count, sticky_hits),
	FIELD(wr_upstream_count, sticky_misses),
	FIELD(wr_upstream_count, sticky_evicted),
};

static const struct field server_fields[] = {
	FIELD(wr_server_count, picks),
	FIELD(wr_server_count, connects),
	FIELD(wr_server_count, failures),
	FIELD(wr_server_count, bytes_in),
	FIELD(wr_server_count, bytes_out),
	FIELD(wr_server_count, connect_us),
	FIELD(wr_server_count, active),
};

static const char *const roles[] = { "none", "worker", "control" };
static const char *const phases[] = { "start", "ready", "drain", "gone" };
/* By enum wr_ejected. */
static const char *const ejecteds[] = { "no", "yes", "open", "tried" };
static const char *const healths[] = { "none", "checking", "up", "down" };
static const char *const wants[] = { "up", "drain", "down" };

/* Another process writes these words; one out of range is shown as such. */
static const char *
word(const char *const *list, size_t n, uint32_t i)
{
	return i < n ? list[i] : "?";
}

/* -- JSON ---------------------------------------------------------------- */

static void
key(struct wr_text *t, const char *name)
{
	char last = t->len > 0 ? t->p[t->len - 1] : '{';

	if (last != '{' && last != '[')
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
fields(struct wr_text *t, const void *row, const struct field *f, size_t n)
{
	for (size_t i = 0; i < n; i++)
		number(t, f[i].name,
		    wr_load((const uint64_t *)(const void *)((const char *)row +
							     f[i].offset)));
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

/* -- Parts --------------------------------------------------------------- */

static void
process(struct wr_text *t, const struct wr_slot *s, uint32_t slot, uint64_t now)
{
	uint64_t beat = wr_load(&s->beat_ms);

	begin(t, NULL, '{');
	number(t, "slot", slot);
	number(t, "pid", wr_load(&s->pid));
	text(t, "role", word(roles, WR_COUNT(roles), wr_load(&s->role)));
	number(t, "index", wr_load(&s->index));
	text(t, "phase", word(phases, WR_COUNT(phases), wr_load(&s->phase)));
	number(t, "binary", wr_load(&s->binary));
	number(t, "generation", wr_load(&s->generation));
	text(t, "backend", s->backend);
	number(t, "age_ms", now - wr_load(&s->start_ms));
	number(t, "beat_age_ms", now > beat ? now - beat : 0);
	number(t, "late_beats", wr_load(&s->late_beats));
	number(t, "sessions", wr_load(&s->sessions));
	number(t, "sessions_max", wr_load(&s->sessions_max));
	number(t, "fds", wr_load(&s->fds));
	number(t, "accepted", wr_load(&s->accepted));
	number(t, "full", wr_load(&s->full));
	number(t, "accept_errors", wr_load(&s->accept_errors));
	ends(t, s->ends);
	begin(t, "loop", '{');
	fields(t, &s->loop, loop_fields, WR_COUNT(loop_fields));
	wr_text_puts(t, "}}");
}

static void
processes(struct wr_text *t, const struct wr_stats *st, uint64_t now)
{
	begin(t, "processes", '[');
	for (uint32_t i = 0; i < wr_load(st->slots_high); i++) {
		if (wr_load(&st->slots[i].pid) != 0)
			process(t, &st->slots[i], i, now);
	}
	wr_text_putc(t, ']');
}

/* Over all processes that are and were. */
static void
total(struct wr_text *t, const struct wr_stats *st)
{
	uint64_t sum[WR_ENDS] = { 0 }, accepted = 0, sessions = 0, fds = 0;
	uint64_t late = 0, full = 0;
	uint32_t high = wr_load(st->slots_high);

	for (uint32_t n = 0; n <= high; n++) {
		const struct wr_slot *s = &st->slots[n < high ? n : WR_SLOTS];

		accepted += wr_load(&s->accepted);
		full += wr_load(&s->full);
		sessions += wr_load(&s->sessions);
		fds += wr_load(&s->fds);
		late += wr_load(&s->late_beats);
		for (int i = 0; i < WR_ENDS; i++)
			sum[i] += wr_load(&s->ends[i]);
	}
	begin(t, "total", '{');
	number(t, "accepted", accepted);
	number(t, "full", full);
	number(t, "sessions", sessions);
	number(t, "fds", fds);
	number(t, "late_beats", late);
	ends(t, sum);
	wr_text_putc(t, '}');
}

static void
listeners(struct wr_text *t, const struct wr_stats *st, const struct wr_conf *c)
{
	begin(t, "listeners", '{');
	for (uint32_t i = 0; i < c->n_listeners; i++) {
		const struct wr_listener_conf *ln = c->listeners[i];
		struct wr_listener_count n =
		    wr_stats_listener_sum(st, ln->cell);

		begin(t, ln->name, '{');
		begin(t, "listen", '[');
		for (uint32_t k = 0; k < ln->n_listens; k++) {
			key(t, NULL);
			wr_text_json(t, wr_str_of(ln->listens[k].text));
		}
		wr_text_putc(t, ']');
		fields(t, &n, listener_fields, WR_COUNT(listener_fields));
		wr_text_putc(t, '}');
	}
	wr_text_putc(t, '}');
}

static void
server(struct wr_text *t, const struct wr_stats *st,
    const struct wr_server_conf *s, uint64_t now_ms)
{
	const struct wr_server_state *state = &st->states[s->cell];
	struct wr_server_count n = wr_stats_server_sum(st, s->cell);

	begin(t, s->name, '{');
	text(t, "address", s->address);
	text(t, "health",
	    word(healths, WR_COUNT(healths), wr_load(&state->health)));
	text(t, "want", word(wants, WR_COUNT(wants), wr_load(&state->want)));
	number(t, "weight", wr_load(&state->weight));
	number(t, "checks", wr_load(&state->checks));
	number(t, "check_failures", wr_load(&state->check_failures));
	number(t, "check_us", wr_load(&state->check_us));
	text(t, "ejected",
	    word(ejecteds, WR_COUNT(ejecteds),
		(uint32_t)wr_server_ejected(state, now_ms)));
	number(t, "ejections", wr_load(&state->ejections));
	fields(t, &n, server_fields, WR_COUNT(server_fields));
	wr_text_putc(t, '}');
}

static void
upstreams(struct wr_text *t, const struct wr_stats *st, const struct wr_conf *c,
    uint64_t now_ms)
{
	struct wr_joined j = { 0 };

	/* Without memory for it, those of the file are shown. */
	if (wr_joined_init(&j, st) == 0)
		wr_joined_use(&j, c);
	begin(t, "upstreams", '{');
	for (uint32_t i = 0; i < c->n_upstreams; i++) {
		const struct wr_upstream_conf *u = c->upstreams[i];
		struct wr_upstream_count n = wr_stats_upstream_sum(st, u->cell);
		const struct wr_server_conf *sv = wr_servers_first(&j, u);
		struct wr_sticky_table sticky =
		    wr_sticky_table_of(st, &u->sticky, now_ms);

		begin(t, u->name, '{');
		fields(t, &n, upstream_fields, WR_COUNT(upstream_fields));
		number(t, "sticky_used", wr_sticky_used(&sticky));
		number(t, "panics", wr_load(&st->group_states[u->cell].panics));
		begin(t, "servers", '{');
		for (; sv != NULL; sv = wr_servers_next(&j, u, sv))
			server(t, st, sv, now_ms);
		wr_text_puts(t, "}}");
	}
	wr_text_putc(t, '}');
	wr_joined_fini(&j);
}

void
wr_status_json(struct wr_master *m, struct wr_text *t)
{
	const struct wr_stats *st = m->shm->stats;
	uint64_t start = wr_shm_start_ms(m->shm);
	struct timespec mono, wall;
	uint64_t now, wall_ms;

	(void)clock_gettime(CLOCK_MONOTONIC, &mono);
	(void)clock_gettime(CLOCK_REALTIME, &wall);
	now = (uint64_t)mono.tv_sec * 1000 + (uint64_t)mono.tv_nsec / 1000000;
	wall_ms =
	    (uint64_t)wall.tv_sec * 1000 + (uint64_t)wall.tv_nsec / 1000000;
	begin(t, NULL, '{');
	text(t, "version", PACKAGE_VERSION);
	number(t, "pid", (uint64_t)m->pid);
	number(t, "start_ms", start);
	number(t, "uptime_ms", wall_ms > start ? wall_ms - start : 0);
	number(t, "binaries", wr_shm_binary(m->shm));
	number(t, "generation", m->run != NULL ? m->run->generation : 0);
	if (m->run != NULL) {
		const struct wr_conf *c = m->run->conf;

		text(t, "config", c->path);
		text(t, "backend", c->events.backend);
		number(t, "workers", c->workers);
	}
	processes(t, st, now);
	total(t, st);
	if (m->run != NULL) {
		listeners(t, st, m->run->conf);
		upstreams(t, st, m->run->conf, now);
	}
	wr_text_puts(t, "}\n");
}
