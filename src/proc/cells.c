/* SPDX-License-Identifier: BSD-2-Clause */
/* cells - an index by name over the tables of names in the region. */
#include "proc/cells.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/hash.h"
#include "conf/conf.h"
#include "proc/layout.h"
#include "proc/tables.h"

#define NONE UINT32_MAX

/* What the master knows of one cell beside its name. */
struct known {
	uint32_t next;  /* in its chain, or in the list of free ones */
	uint64_t named; /* youngest generation that names it */
	uint64_t run;   /* the same of those that were committed; 0: none */
};

struct table {
	struct wr_cell *cells; /* in the region */
	struct known *known;
	uint32_t *chains; /* by hash; `max` of them */
	uint32_t *high;   /* in the region */
	uint32_t max;
	uint32_t free; /* first of those that were given back */
};

struct wr_cells {
	struct wr_shm *shm;
	struct table t[WR_CELL_KINDS];
	struct wr_tables *tables;     /* of sticky upstreams */
	uint64_t run;                 /* the committed generation */
	bool kept[WR_UPSTREAM_CELLS]; /* has servers; used by sweep */
};

static const struct {
	uint32_t max;
	const char *what;
} kinds[WR_CELL_KINDS] = {
	[WR_CELL_LISTENER] = { WR_LISTENER_CELLS, "listeners" },
	[WR_CELL_UPSTREAM] = { WR_UPSTREAM_CELLS, "upstreams" },
	[WR_CELL_SERVER] = { WR_FILE_CELLS, "servers" },
};

/* Names are the operator's, nobody attacks this table. */
static uint32_t *
chain_of(const struct table *t, uint32_t parent, const char *name)
{
	static const struct wr_hash_key key = { { 0x77656972, 0x63656c6c } };
	uint64_t h = wr_hash(&key, name, strlen(name)) ^ wr_hash_u64(parent);

	return &t->chains[h % t->max];
}

static uint32_t
find(const struct table *t, uint32_t parent, const char *name)
{
	uint32_t i = *chain_of(t, parent, name);

	while (i != NONE && (t->cells[i].parent != parent ||
				strcmp(t->cells[i].name, name) != 0))
		i = t->known[i].next;
	return i;
}

static void
link_cell(struct table *t, uint32_t i)
{
	uint32_t *chain = chain_of(t, t->cells[i].parent, t->cells[i].name);

	t->known[i].next = *chain;
	*chain = i;
}

static void
release(struct table *t, uint32_t i)
{
	uint32_t *at = chain_of(t, t->cells[i].parent, t->cells[i].name);

	while (*at != i)
		at = &t->known[*at].next;
	*at = t->known[i].next;
	wr_store(&t->cells[i].used, 0);
	t->known[i].next = t->free;
	t->free = i;
}

/* The highest cell that was ever used is not lowered: rows may hold counters
 * of it. */
static uint32_t
take(struct table *t, uint32_t parent, const char *name)
{
	uint32_t i = t->free;

	if (i != NONE)
		t->free = t->known[i].next;
	else if (*t->high < t->max)
		i = *t->high;
	else
		return NONE;
	t->cells[i].parent = parent;
	t->cells[i].file_want = NONE;
	t->cells[i].file_weight = NONE;
	(void)memcpy(t->cells[i].name, name, strlen(name) + 1);
	__atomic_store_n(&t->cells[i].used, 1, __ATOMIC_RELEASE);
	if (i == *t->high)
		wr_store(t->high, i + 1);
	link_cell(t, i);
	return i;
}

/* `run`: all that are there count as named by it. */
static void
index_table(struct table *t, uint64_t run)
{
	t->free = NONE;
	for (uint32_t i = 0; i < t->max; i++)
		t->chains[i] = NONE;
	for (uint32_t i = *t->high; i-- > 0;) {
		if (!t->cells[i].used) {
			t->known[i].next = t->free;
			t->free = i;
			continue;
		}
		t->known[i].named = t->known[i].run = run;
		link_cell(t, i);
	}
}

void
wr_cells_free(struct wr_cells **cp)
{
	struct wr_cells *c = *cp;

	*cp = NULL;
	if (c == NULL)
		return;
	for (int k = 0; k < WR_CELL_KINDS; k++) {
		free(c->t[k].known);
		free(c->t[k].chains);
	}
	wr_tables_free(&c->tables);
	free(c);
}

struct wr_cells *
wr_cells_new(struct wr_shm *m)
{
	struct wr_cells *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return NULL;
	c->shm = m;
	for (int k = 0; k < WR_CELL_KINDS; k++) {
		struct table *t = &c->t[k];

		t->max = kinds[k].max;
		t->cells = m->cells[k];
		t->high = &m->head->high[k];
		t->known = calloc(t->max, sizeof(*t->known));
		t->chains = calloc(t->max, sizeof(*t->chains));
		if (t->known == NULL || t->chains == NULL) {
			wr_cells_free(&c);
			errno = ENOMEM;
			return NULL;
		}
	}
	c->tables = wr_tables_new(m);
	if (c->tables == NULL) {
		wr_cells_free(&c);
		errno = ENOMEM;
		return NULL;
	}
	wr_cells_reload(c);
	return c;
}

void
wr_cells_reload(struct wr_cells *c)
{
	uint64_t run = c->run > 0 ? c->run : 1;

	for (int k = 0; k < WR_CELL_KINDS; k++)
		index_table(&c->t[k], run);
	wr_tables_reload(c->tables, run);
}

/* A new name begins with nothing in any slot; nobody writes these rows. */
static void
wipe(const struct wr_stats *st, enum wr_cell_kind kind, uint32_t i)
{
	uint32_t high = wr_load(st->slots_high);

	if (kind == WR_CELL_SERVER) {
		wr_stats_wipe_server(st, i);
		return;
	}
	for (uint32_t n = 0; n <= high; n++) {
		uint32_t slot = n < high ? n : WR_SLOTS;

		if (kind == WR_CELL_LISTENER)
			*wr_stats_listener(st, slot, i) =
			    (struct wr_listener_count){ 0 };
		else
			*wr_stats_upstream(st, slot, i) =
			    (struct wr_upstream_count){ 0 };
	}
	if (kind == WR_CELL_UPSTREAM)
		st->group_states[i] = (struct wr_upstream_state){ 0 };
}

/* The cell for a name in `generation`; NONE after a line to `errors`. */
static uint32_t
cell_for(struct wr_cells *c, enum wr_cell_kind kind, uint32_t parent,
    const char *name, uint64_t generation, const char *where,
    struct wr_text *errors)
{
	struct table *t = &c->t[kind];
	uint32_t i;

	if (strlen(name) >= WR_NAME_MAX) {
		wr_text_printf(errors, "%s: name of %zu bytes, at most %d\n",
		    where, strlen(name), WR_NAME_MAX - 1);
		return NONE;
	}
	i = find(t, parent, name);
	if (i == NONE) {
		i = take(t, parent, name);
		if (i == NONE) {
			wr_text_printf(errors,
			    "%s: \"%s\" finds no place in shared memory, which "
			    "is full with %u %s\n",
			    where, name, t->max, kinds[kind].what);
			return NONE;
		}
		wipe(c->shm->stats, kind, i);
		t->known[i].run = 0;
	}
	t->known[i].named = generation;
	return i;
}

static int
settle_upstream(struct wr_cells *t, struct wr_upstream_conf *u, uint64_t g,
    struct wr_text *e)
{
	u->cell = cell_for(t, WR_CELL_UPSTREAM, NONE, u->name, g, u->where, e);
	if (u->cell == NONE)
		return -ENOSPC;
	for (uint32_t i = 0; i < u->n_servers; i++) {
		struct wr_server_conf *s = &u->servers[i];

		s->cell = cell_for(
		    t, WR_CELL_SERVER, u->cell, s->name, g, u->where, e);
		if (s->cell == NONE)
			return -ENOSPC;
	}
	return 0;
}

int
wr_cells_settle(struct wr_cells *t, struct wr_conf *c, struct wr_text *errors)
{
	int err = 0;

	for (uint32_t i = 0; err == 0 && i < c->n_upstreams; i++)
		err =
		    settle_upstream(t, c->upstreams[i], c->generation, errors);
	for (uint32_t i = 0; err == 0 && i < c->n_listeners; i++) {
		struct wr_listener_conf *ln = c->listeners[i];

		ln->cell = cell_for(t, WR_CELL_LISTENER, NONE, ln->name,
		    c->generation, ln->where, errors);
		if (ln->cell == NONE)
			err = -ENOSPC;
	}
	if (err == 0)
		err = wr_tables_settle(t->tables, c, errors);
	if (err < 0)
		wr_cells_abort(t, c->generation);
	return err;
}

/*
 * What the file says of a server rules only when the file has changed: what
 * was set at run time survives a reload that is about something else.
 */
static void
commit_server(struct wr_cells *t, const struct wr_server_conf *s, uint64_t now)
{
	struct wr_cell *cell = &t->t[WR_CELL_SERVER].cells[s->cell];
	struct wr_server_state *st = &t->shm->stats->states[s->cell];

	if (cell->file_want == (uint32_t)s->want &&
	    cell->file_weight == s->weight)
		return;
	if (cell->file_want != (uint32_t)s->want)
		wr_store(&st->want, (uint32_t)s->want);
	if (cell->file_weight != s->weight)
		wr_store(&st->weight, s->weight);
	wr_store(&st->changed_ms, now);
	wr_store(&cell->file_want, (uint32_t)s->want);
	wr_store(&cell->file_weight, s->weight);
	(void)__atomic_add_fetch(&st->version, 1, __ATOMIC_RELEASE);
}

void
wr_cells_commit(struct wr_cells *t, const struct wr_conf *c)
{
	struct timespec ts;
	uint64_t now;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	now = (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
	for (uint32_t i = 0; i < c->n_upstreams; i++) {
		const struct wr_upstream_conf *u = c->upstreams[i];

		for (uint32_t k = 0; k < u->n_servers; k++)
			commit_server(t, &u->servers[k], now);
	}
	for (int k = 0; k < WR_CELL_KINDS; k++) {
		struct known *known = t->t[k].known;

		for (uint32_t i = 0; i < *t->t[k].high; i++) {
			if (known[i].named == c->generation)
				known[i].run = c->generation;
		}
	}
	wr_tables_commit(t->tables, c->generation);
	t->run = c->generation;
}

void
wr_cells_abort(struct wr_cells *c, uint64_t generation)
{
	wr_tables_abort(c->tables, generation);
	for (int k = 0; k < WR_CELL_KINDS; k++) {
		struct table *t = &c->t[k];

		for (uint32_t i = 0; i < *t->high; i++) {
			struct known *known = &t->known[i];

			if (!t->cells[i].used || known->named != generation)
				continue;
			known->named = known->run;
			if (known->run == 0)
				release(t, i);
		}
	}
}

/* Nobody has a session on it, in any slot. */
static bool
is_idle(const struct wr_stats *st, int kind, uint32_t cell)
{
	if (kind == WR_CELL_LISTENER)
		return wr_stats_listener_sum(st, cell).active == 0;
	if (kind == WR_CELL_UPSTREAM)
		return wr_stats_upstream_sum(st, cell).waiting == 0;
	return wr_stats_server_active(st, cell) == 0;
}

/* Leave those that the running or a tried generation names, and those that a
 * process may still look at. */
static bool
is_unused(const struct wr_cells *c, int kind, uint32_t i, uint64_t oldest)
{
	const struct table *t = &c->t[kind];
	const struct known *known = &t->known[i];

	return t->cells[i].used && known->named < c->run &&
	       known->named < oldest && is_idle(c->shm->stats, kind, i);
}

/* Groups to which a server has joined, or that it has just left. */
static void
keep_joined(struct wr_cells *c)
{
	const struct wr_stats *st = c->shm->stats;
	uint32_t high = wr_load(&st->roll->high);

	for (uint32_t i = 0; i < high; i++) {
		const struct wr_join *x = &st->joins[i];
		uint32_t group = wr_load(&x->group);

		if (wr_load(&x->used) != 0 && group < WR_UPSTREAM_CELLS)
			c->kept[group] = true;
	}
}

void
wr_cells_sweep(struct wr_cells *c, uint64_t oldest)
{
	/* Servers first: the name of one has its upstream's cell in it. */
	static const int order[WR_CELL_KINDS] = { WR_CELL_SERVER,
		WR_CELL_UPSTREAM, WR_CELL_LISTENER };

	wr_tables_sweep(c->tables, oldest);
	(void)memset(c->kept, 0, sizeof(c->kept));
	keep_joined(c);
	for (int n = 0; n < WR_CELL_KINDS; n++) {
		int kind = order[n];
		struct table *t = &c->t[kind];

		for (uint32_t i = 0; i < *t->high; i++) {
			bool keep = kind == WR_CELL_UPSTREAM && c->kept[i];

			if (!keep && is_unused(c, kind, i, oldest))
				release(t, i);
			else if (kind == WR_CELL_SERVER && t->cells[i].used)
				c->kept[t->cells[i].parent] = true;
		}
	}
}

int64_t
wr_cells_find(const struct wr_cells *t, enum wr_cell_kind kind, uint32_t parent,
    const char *name)
{
	uint32_t i =
	    find(&t->t[kind], kind == WR_CELL_SERVER ? parent : NONE, name);

	return i == NONE ? -1 : (int64_t)i;
}
