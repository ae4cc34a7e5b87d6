/* SPDX-License-Identifier: BSD-2-Clause */
/* conf - loading; see conf.h. */
#include "conf/conf.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "conf/core.h"
#include "conf/gen.h"
#include "conf/read.h"

/* Nodes and all that only the load needs. */
#define SCRATCH_MAX ((size_t)1 << 30)
#define SCRATCH_MIN ((size_t)8 << 20)

/* All that a load holds, so that it can be left from anywhere. */
struct loading {
	struct wr_load *ld;
	struct wr_errs errs, notices;
	struct wr_arena scratch;
	struct wr_scan scan;
	struct wr_build build;
	struct wr_check check;
	bool built;
};

static int
scratch_open(struct wr_arena *a)
{
	size_t size = SCRATCH_MAX;
	void *p;

	/* Addresses are free, unless there is a limit on them. */
	do {
		p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (p != MAP_FAILED) {
			wr_arena_init(a, p, size);
			return 0;
		}
		size /= 2;
	} while (size >= SCRATCH_MIN);
	return -errno;
}

static void
fini(struct loading *l)
{
	struct wr_load *ld = l->ld;

	ld->n_errors += l->errs.total;
	wr_errs_write(&l->errs, &ld->errors);
	wr_errs_write(&l->notices, &ld->notices);
	wr_errs_fini(&l->errs);
	wr_errs_fini(&l->notices);
	wr_scan_fini(&l->scan);
	if (l->built)
		wr_build_drop(&l->build);
	if (l->scratch.mem != NULL)
		(void)munmap(l->scratch.mem, l->scratch.size);
}

static void
check_init(struct loading *l)
{
	struct wr_load *ld = l->ld;
	struct wr_check *c = &l->check;

	c->load = ld;
	c->arena = &l->build.arena;
	c->scratch = &l->scratch;
	c->errs = &l->errs;
	c->notices = &l->notices;
	c->groups = ld->groups;
	while (ld->groups != NULL && ld->groups[c->n_groups] != NULL)
		c->n_groups++;
}

static void
name_files(struct wr_check *c, const struct wr_scan *s)
{
	const char **v = wr_check_array(c, s->n_sources, sizeof(*v));

	for (uint32_t i = 0; i < s->n_sources; i++)
		v[i] = wr_check_str(c, wr_str_of(s->sources[i]->name));
	c->conf->files = (struct wr_texts){ v, s->n_sources };
}

/* Leaves by longjmp() if memory runs out. */
static void
check(struct loading *l, struct wr_node *files)
{
	struct wr_check *c = &l->check;
	struct wr_conf *conf = wr_check_alloc(c, sizeof(*conf));

	c->conf = conf;
	conf->generation = l->ld->generation;
	conf->path = wr_check_str(c, wr_str_of(l->ld->path));
	conf->user = "";
	c->root = wr_merge(c, files);
	/* One that is being written, or could not be for want of room, must
	 * not take all listeners away. */
	if (c->root->n == 0 && !l->scan.includes)
		wr_check_error(c, NULL,
		    "%s: nothing is in it: write \"listeners = { };\" if there "
		    "are to be none",
		    conf->path);
	wr_check_all(c);
	name_files(c, &l->scan);
}

/* Everything up to a checked value that can still be written. */
static bool
load(struct loading *l)
{
	struct wr_node *files;
	int err = scratch_open(&l->scratch);

	if (err == 0)
		err = wr_build_open(&l->build, l->ld->place);
	if (err < 0) {
		wr_errs_add(&l->errs, NULL, 0, "%s: no memory to load it: %s",
		    l->ld->path, strerror(-err));
		return false;
	}
	l->built = true;
	wr_scan_init(&l->scan, &l->errs, &l->scratch);
	if (!wr_scan_file(&l->scan, l->ld->path))
		return false;
	files = wr_read(&l->scan);
	if (files == NULL)
		return false;
	check_init(l);
	if (setjmp(l->check.full) == 0)
		check(l, files);
	else
		wr_errs_add(&l->errs, NULL, 0,
		    "%s: the configuration is too large", l->ld->path);
	return l->errs.total == 0;
}

static int
by_cell(uint32_t a, uint32_t b)
{
	return (a > b) - (a < b);
}

static int
upstream_order(const void *a, const void *b)
{
	return by_cell((*(const struct wr_upstream_conf *const *)a)->cell,
	    (*(const struct wr_upstream_conf *const *)b)->cell);
}

static int
listener_order(const void *a, const void *b)
{
	return by_cell((*(const struct wr_listener_conf *const *)a)->cell,
	    (*(const struct wr_listener_conf *const *)b)->cell);
}

static bool
settle(struct loading *l)
{
	struct wr_load *ld = l->ld;
	struct wr_conf *c = l->check.conf;

	if (ld->settle == NULL)
		return true;
	if (ld->settle(c, &ld->errors, ld->arg) < 0) {
		ld->n_errors++;
		return false;
	}
	if (c->n_upstreams > 0)
		qsort(c->upstreams_by_cell, c->n_upstreams,
		    sizeof(*c->upstreams_by_cell), upstream_order);
	if (c->n_listeners > 0)
		qsort(c->listeners_by_cell, c->n_listeners,
		    sizeof(*c->listeners_by_cell), listener_order);
	return true;
}

struct wr_gen *
wr_conf_load(struct wr_load *ld)
{
	struct loading l = { .ld = ld };
	struct wr_gen *g = NULL;

	if (load(&l) && settle(&l)) {
		l.check.conf->bytes = l.build.arena.used;
		g = wr_build_seal(&l.build, ld->generation);
		l.built = false;
		if (g == NULL)
			wr_errs_add(&l.errs, NULL, 0, "%s: cannot seal it: %s",
			    ld->path, strerror(errno));
	}
	fini(&l);
	return g;
}

int
wr_conf_dump(struct wr_load *ld, struct wr_text *out)
{
	struct loading l = { .ld = ld };
	bool good = load(&l);

	if (good)
		wr_dump(&l.check, out);
	fini(&l);
	return good ? 0 : -1;
}

const struct wr_upstream_conf *
wr_conf_upstream(const struct wr_conf *c, const char *name)
{
	uint32_t low = 0, high = c->n_upstreams;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;
		const struct wr_upstream_conf *u =
		    c->upstreams[c->upstreams_by_name[mid]];
		int order = strcmp(name, u->name);

		if (order == 0)
			return u;
		if (order < 0)
			high = mid;
		else
			low = mid + 1;
	}
	return NULL;
}

const struct wr_listener_conf *
wr_conf_listener(const struct wr_conf *c, const char *name)
{
	uint32_t low = 0, high = c->n_listeners;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;
		const struct wr_listener_conf *l =
		    c->listeners[c->listeners_by_name[mid]];
		int order = strcmp(name, l->name);

		if (order == 0)
			return l;
		if (order < 0)
			high = mid;
		else
			low = mid + 1;
	}
	return NULL;
}

const struct wr_upstream_conf *
wr_conf_upstream_at(const struct wr_conf *c, uint32_t cell)
{
	uint32_t low = 0, high = c->n_upstreams;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;

		if (c->upstreams_by_cell[mid]->cell == cell)
			return c->upstreams_by_cell[mid];
		if (cell < c->upstreams_by_cell[mid]->cell)
			high = mid;
		else
			low = mid + 1;
	}
	return NULL;
}

const struct wr_listener_conf *
wr_conf_listener_at(const struct wr_conf *c, uint32_t cell)
{
	uint32_t low = 0, high = c->n_listeners;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;

		if (c->listeners_by_cell[mid]->cell == cell)
			return c->listeners_by_cell[mid];
		if (cell < c->listeners_by_cell[mid]->cell)
			high = mid;
		else
			low = mid + 1;
	}
	return NULL;
}
