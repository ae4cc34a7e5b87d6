/* SPDX-License-Identifier: BSD-2-Clause */
/* stats - sums over slots, and what stays of a process that is gone. */
#include "proxy/stats.h"

#include <string.h>

/* The structs are words only, counters first; so both loops are one. */
#define WORDS(type)           (sizeof(type) / sizeof(uint64_t))
#define COUNTERS(type, gauge) (offsetof(type, gauge) / sizeof(uint64_t))

_Static_assert(COUNTERS(struct wr_listener_count, active) + 1 ==
		   WORDS(struct wr_listener_count),
    "gauges come last");
_Static_assert(COUNTERS(struct wr_upstream_count, waiting) + 2 ==
		   WORDS(struct wr_upstream_count),
    "gauges come last");
_Static_assert(COUNTERS(struct wr_server_count, active) + 1 ==
		   WORDS(struct wr_server_count),
    "gauges come last");

static void
add(void *to, const void *from, size_t words)
{
	uint64_t *t = to;
	const uint64_t *f = from;

	for (size_t i = 0; i < words; i++)
		t[i] += wr_load(&f[i]);
}

/*
 * Move `counters` words to the base and clear all `words`.  Cleared first: a
 * master that is killed in between loses a number, it never counts twice.
 */
static void
fold(void *base, void *row, size_t counters, size_t words)
{
	uint64_t *to = base, *from = row;

	for (size_t i = 0; i < words; i++) {
		uint64_t v = wr_load(&from[i]);

		if (v == 0)
			continue;
		wr_store(&from[i], 0);
		if (i < counters)
			wr_count(&to[i], v);
	}
}

/* Add up what stands `stride` bytes apart: a row for each slot that was ever
 * used, and the base. */
static void
sum(const struct wr_stats *st, void *to, const void *first, size_t stride,
    size_t words)
{
	uint32_t high = wr_load(st->slots_high);

	for (uint32_t i = 0; i < high; i++)
		add(to, (const char *)first + i * stride, words);
	add(to, (const char *)first + WR_SLOTS * stride, words);
}

struct wr_listener_count
wr_stats_listener_sum(const struct wr_stats *st, uint32_t cell)
{
	struct wr_listener_count n = { 0 };

	sum(st, &n, wr_stats_listener(st, 0, cell),
	    sizeof(n) * WR_LISTENER_CELLS, WORDS(struct wr_listener_count));
	return n;
}

struct wr_upstream_count
wr_stats_upstream_sum(const struct wr_stats *st, uint32_t cell)
{
	struct wr_upstream_count n = { 0 };

	sum(st, &n, wr_stats_upstream(st, 0, cell),
	    sizeof(n) * WR_UPSTREAM_CELLS, WORDS(struct wr_upstream_count));
	return n;
}

struct wr_server_count
wr_stats_server_sum(const struct wr_stats *st, uint32_t cell)
{
	struct wr_server_count n = { 0 };

	sum(st, &n, wr_stats_server(st, 0, cell), sizeof(n) * WR_SERVER_CELLS,
	    WORDS(struct wr_server_count));
	return n;
}

uint64_t
wr_stats_server_active(const struct wr_stats *st, uint32_t cell)
{
	uint32_t high = wr_load(st->slots_high);
	uint64_t n = 0;

	for (uint32_t i = 0; i < high; i++)
		n += wr_load(&wr_stats_server(st, i, cell)->active);
	return n;
}

void
wr_stats_wipe_server(const struct wr_stats *st, uint32_t cell)
{
	uint32_t high = wr_load(st->slots_high);
	uint32_t life = wr_load(&st->states[cell].life) + 1;

	for (uint32_t i = 0; i < high; i++)
		*wr_stats_server(st, i, cell) = (struct wr_server_count){ 0 };
	*wr_stats_server(st, WR_SLOTS, cell) = (struct wr_server_count){ 0 };
	st->states[cell] = (struct wr_server_state){ .life = life };
}

static void
fold_servers(
    const struct wr_stats *st, uint32_t slot, uint32_t first, uint32_t n)
{
	for (uint32_t i = first; i < first + n; i++)
		fold(wr_stats_server(st, WR_SLOTS, i),
		    wr_stats_server(st, slot, i),
		    COUNTERS(struct wr_server_count, active),
		    WORDS(struct wr_server_count));
}

static void
wipe_conns(struct wr_limit_conns *c)
{
	if (wr_load(&c->used) == 0)
		return;
	for (uint32_t i = 0; i < WR_LIMIT_CONNS; i++)
		if (wr_load(&c->v[i]) != 0)
			wr_store(&c->v[i], 0);
	wr_store(&c->used, 0);
}

static void
fold_loop(struct wr_loop_stats *base, struct wr_loop_stats *row)
{
	uint64_t longest = wr_load(&base->turn_max_us);

	if (longest < wr_load(&row->turn_max_us))
		longest = wr_load(&row->turn_max_us);
	fold(base, row, COUNTERS(struct wr_loop_stats, socks),
	    WORDS(struct wr_loop_stats));
	wr_store(&base->turn_max_us, longest);
}

void
wr_stats_fold(const struct wr_stats *st, uint32_t slot)
{
	struct wr_slot *row = &st->slots[slot], *base = &st->slots[WR_SLOTS];

	for (uint32_t i = 0; i < wr_load(st->listeners_high); i++)
		fold(wr_stats_listener(st, WR_SLOTS, i),
		    wr_stats_listener(st, slot, i),
		    COUNTERS(struct wr_listener_count, active),
		    WORDS(struct wr_listener_count));
	for (uint32_t i = 0; i < wr_load(st->upstreams_high); i++)
		fold(wr_stats_upstream(st, WR_SLOTS, i),
		    wr_stats_upstream(st, slot, i),
		    COUNTERS(struct wr_upstream_count, waiting),
		    WORDS(struct wr_upstream_count));
	fold_servers(st, slot, 0, wr_load(st->servers_high));
	fold_servers(st, slot, WR_FILE_CELLS, wr_load(&st->roll->high));
	wipe_conns(&st->limit_conns[slot]);
	fold(&base->late_beats, &row->late_beats, 1, 1);
	fold(&base->accepted, &row->accepted, 1, 1);
	fold(&base->full, &row->full, 1, 1);
	fold(&base->accept_errors, &row->accept_errors, 1, 1);
	fold(base->ends, row->ends, WR_ENDS, WR_ENDS);
	fold_loop(&base->loop, &row->loop);
	wr_store(&row->sessions, 0);
	wr_store(&row->fds, 0);
}
