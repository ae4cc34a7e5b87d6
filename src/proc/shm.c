/* SPDX-License-Identifier: BSD-2-Clause */
/* shm - one sparse memfd, a head that tells its layout, and slots. */
#include "proc/shm.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "proc/layout.h"
#include "proc/watch.h"
#include "proxy/sticky.h"

#define MAGIC  0x77656972u /* "weir" */
#define LAYOUT 2           /* changes when the meaning of a field does */

enum { /* parts of the region, in their order */
	HEAD,
	SLOTS,
	LISTENERS,
	UPSTREAMS,
	SERVERS,
	STATES,
	GROUP_STATES,
	LISTENER_CELLS,
	UPSTREAM_CELLS,
	SERVER_CELLS,
	JOINS,
	ROLL,
	LIMIT_CONNS,
	LIMIT_RATES,
	STICKY,
	STICKY_BUCKETS,
	PARTS
};

#define ROWS          (WR_SLOTS + 1) /* the base is the last */
#define MATRIX(cells) ((size_t)ROWS * (cells))

static const size_t parts[PARTS][2] = {
	/* size of one, how many */
	[HEAD] = { sizeof(struct wr_shm_head), 1 },
	[SLOTS] = { sizeof(struct wr_slot), ROWS },
	[LISTENERS] = { sizeof(struct wr_listener_count),
	    MATRIX(WR_LISTENER_CELLS) },
	[UPSTREAMS] = { sizeof(struct wr_upstream_count),
	    MATRIX(WR_UPSTREAM_CELLS) },
	[SERVERS] = { sizeof(struct wr_server_count), MATRIX(WR_SERVER_CELLS) },
	[STATES] = { sizeof(struct wr_server_state), WR_SERVER_CELLS },
	[GROUP_STATES] = { sizeof(struct wr_upstream_state),
	    WR_UPSTREAM_CELLS },
	[LISTENER_CELLS] = { sizeof(struct wr_cell), WR_LISTENER_CELLS },
	[UPSTREAM_CELLS] = { sizeof(struct wr_cell), WR_UPSTREAM_CELLS },
	[SERVER_CELLS] = { sizeof(struct wr_cell), WR_FILE_CELLS },
	[JOINS] = { sizeof(struct wr_join), WR_JOIN_CELLS },
	[ROLL] = { sizeof(struct wr_roll), 1 },
	[LIMIT_CONNS] = { sizeof(struct wr_limit_conns), WR_SLOTS },
	[LIMIT_RATES] = { sizeof(struct wr_limit_rates), 1 },
	[STICKY] = { sizeof(struct wr_sticky_head), 1 },
	[STICKY_BUCKETS] = { sizeof(struct wr_sticky_bucket),
	    WR_STICKY_BUCKETS },
};

_Static_assert(PARTS == WR_SHM_PARTS, "layout.h");

/* Where each part begins; returns the size of all. */
static size_t
plan(size_t at[PARTS])
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), bytes = 0;

	for (size_t i = 0; i < PARTS; i++) {
		at[i] = bytes;
		bytes += parts[i][0] * parts[i][1];
		bytes = (bytes + page - 1) / page * page;
	}
	return bytes;
}

static void
point(struct wr_shm *m, char *mem)
{
	struct wr_stats *st = m->stats;
	size_t at[PARTS];

	(void)plan(at);
	m->head = (void *)(mem + at[HEAD]);
	m->cells[WR_CELL_LISTENER] = (void *)(mem + at[LISTENER_CELLS]);
	m->cells[WR_CELL_UPSTREAM] = (void *)(mem + at[UPSTREAM_CELLS]);
	m->cells[WR_CELL_SERVER] = (void *)(mem + at[SERVER_CELLS]);
	st->slots = (void *)(mem + at[SLOTS]);
	st->listeners = (void *)(mem + at[LISTENERS]);
	st->upstreams = (void *)(mem + at[UPSTREAMS]);
	st->servers = (void *)(mem + at[SERVERS]);
	st->states = (void *)(mem + at[STATES]);
	st->group_states = (void *)(mem + at[GROUP_STATES]);
	st->joins = (void *)(mem + at[JOINS]);
	st->roll = (void *)(mem + at[ROLL]);
	st->listener_cells = m->cells[WR_CELL_LISTENER];
	st->upstream_cells = m->cells[WR_CELL_UPSTREAM];
	st->server_cells = m->cells[WR_CELL_SERVER];
	st->limit_conns = (void *)(mem + at[LIMIT_CONNS]);
	st->limit_rates = (void *)(mem + at[LIMIT_RATES]);
	st->sticky = (void *)(mem + at[STICKY]);
	st->sticky_buckets = (void *)(mem + at[STICKY_BUCKETS]);
	st->slots_high = &m->head->slots_high;
	st->listeners_high = &m->head->high[WR_CELL_LISTENER];
	st->upstreams_high = &m->head->high[WR_CELL_UPSTREAM];
	st->servers_high = &m->head->high[WR_CELL_SERVER];
	st->wake = m->wake;
	st->start_ms = &m->head->start_ms;
	st->binaries = &m->head->binaries;
}

static struct wr_shm *
shm_alloc(void)
{
	struct wr_shm *m = calloc(1, sizeof(*m));

	if (m == NULL)
		return NULL;
	m->fd = -1;
	m->stats = calloc(1, sizeof(*m->stats));
	m->wake = calloc(WR_SLOTS, sizeof(*m->wake));
	if (m->stats == NULL || m->wake == NULL) {
		free(m->stats);
		free(m->wake);
		free(m);
		return NULL;
	}
	for (int i = 0; i < WR_SLOTS; i++)
		m->wake[i] = -1;
	return m;
}

static void
shm_free(struct wr_shm *m)
{
	int err = errno;

	for (int i = 0; i < WR_SLOTS; i++) {
		if (m->wake[i] >= 0)
			(void)close(m->wake[i]);
	}
	if (m->fd >= 0)
		(void)close(m->fd);
	free(m->stats);
	free(m->wake);
	free(m);
	errno = err;
}

/* NULL and errno. */
static char *
map(int fd, size_t bytes)
{
	char *mem = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_NORESERVE, fd, 0);

	return mem == MAP_FAILED ? NULL : mem;
}

static void
write_head(struct wr_shm_head *h, size_t bytes)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_REALTIME, &ts);
	h->layout = LAYOUT;
	h->bytes = bytes;
	h->start_ms =
	    (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
	h->binaries = h->leader = 1;
	for (size_t i = 0; i < PARTS; i++) {
		h->parts[i][0] = parts[i][0];
		h->parts[i][1] = parts[i][1];
	}
	/* Last: a region that was not finished is none. */
	__atomic_store_n(&h->magic, MAGIC, __ATOMIC_RELEASE);
}

static int
make_wake(int *wake)
{
	for (int i = 0; i < WR_SLOTS; i++) {
		wake[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (wake[i] < 0)
			return -errno;
	}
	return 0;
}

/* Strangers must not know which addresses meet in a table. */
static void
make_seed(uint64_t seed[2])
{
	struct timespec ts;

	if (getrandom(seed, 2 * sizeof(*seed), GRND_NONBLOCK) ==
	    2 * (ssize_t)sizeof(*seed))
		return;
	(void)clock_gettime(CLOCK_REALTIME, &ts);
	seed[0] = (uint64_t)ts.tv_nsec;
	seed[1] = (uint64_t)ts.tv_sec ^ (uint64_t)getpid() << 32;
}

struct wr_shm *
wr_shm_new(void)
{
	struct wr_shm *m = shm_alloc();
	size_t at[PARTS];
	char *mem;

	if (m == NULL)
		return NULL;
	m->bytes = plan(at);
	m->fd = memfd_create("weir shared", MFD_CLOEXEC);
	if (m->fd < 0 || ftruncate(m->fd, (off_t)m->bytes) < 0 ||
	    make_wake(m->wake) < 0)
		goto fail;
	mem = map(m->fd, m->bytes);
	if (mem == NULL)
		goto fail;
	point(m, mem);
	make_seed(m->stats->limit_rates->seed);
	make_seed(m->stats->sticky->seed);
	write_head(m->head, m->bytes);
	return m;
fail:
	shm_free(m);
	return NULL;
}

static bool
is_ours(const struct wr_shm_head *h, size_t bytes)
{
	if (h->magic != MAGIC || h->layout != LAYOUT || h->bytes != bytes)
		return false;
	for (size_t i = 0; i < PARTS; i++) {
		if (h->parts[i][0] != parts[i][0] ||
		    h->parts[i][1] != parts[i][1])
			return false;
	}
	return true;
}

/* -errno */
static int
attach(struct wr_shm *m)
{
	size_t at[PARTS];
	struct stat sb;
	char *mem;

	m->bytes = plan(at);
	if (fstat(m->fd, &sb) < 0)
		return -errno;
	if (sb.st_size != (off_t)m->bytes)
		return -EPROTO;
	mem = map(m->fd, m->bytes);
	if (mem == NULL)
		return -errno;
	point(m, mem);
	if (is_ours(m->head, m->bytes))
		return 0;
	(void)munmap(mem, m->bytes);
	return -EPROTO;
}

struct wr_shm *
wr_shm_attach(int fd, const int *wake)
{
	struct wr_shm *m = shm_alloc();
	int err;

	/* Without memory for this much nothing goes on anyway. */
	if (m == NULL)
		return NULL;
	m->fd = fd;
	memcpy(m->wake, wake, WR_SLOTS * sizeof(*wake));
	err = attach(m);
	if (err < 0) {
		shm_free(m);
		errno = -err;
		return NULL;
	}
	m->head->binaries++;
	return m;
}

uint64_t
wr_shm_start_ms(const struct wr_shm *m)
{
	return m->head->start_ms;
}

uint32_t
wr_shm_binary(const struct wr_shm *m)
{
	return wr_load(&m->head->binaries);
}

void
wr_shm_lead(struct wr_shm *m)
{
	wr_store(&m->head->leader, wr_shm_binary(m));
}

bool
wr_slot_superseded(const struct wr_shm *m, uint32_t slot)
{
	return m->stats->slots[slot].binary < wr_load(&m->head->leader);
}

/* Claimed by exchange: the masters of two binaries may both be forking. */
static bool
claim(struct wr_slot *s)
{
	uint32_t nobody = 0;

	return __atomic_compare_exchange_n(&s->pid, &nobody, (uint32_t)getpid(),
	    false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

static void
clear(struct wr_slot *s)
{
	uint32_t pid = s->pid;

	memset(s, 0, sizeof(*s));
	wr_store(&s->pid, pid);
}

int
wr_slot_take(struct wr_shm *m, unsigned role, uint32_t index)
{
	struct timespec ts;
	uint64_t now;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	now = (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
	for (uint32_t i = 0; i < WR_SLOTS; i++) {
		struct wr_slot *s = &m->stats->slots[i];
		uint32_t high = wr_load(&m->head->slots_high);

		if (!claim(s))
			continue;
		clear(s);
		s->role = role;
		s->index = index;
		s->binary = wr_shm_binary(m);
		s->owner = (uint32_t)getpid();
		s->start_ms = now;
		wr_store(&s->beat_ms, now);
		while (high <= i &&
		       !__atomic_compare_exchange_n(&m->head->slots_high, &high,
			   i + 1, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
			continue;
		return (int)i;
	}
	return -ENOSPC;
}

void
wr_slot_born(struct wr_shm *m, uint32_t slot, pid_t pid)
{
	assert(slot < WR_SLOTS && pid > 0);
	wr_store(&m->stats->slots[slot].pid, (uint32_t)pid);
}

void
wr_slot_index(struct wr_shm *m, uint32_t slot, uint32_t index)
{
	wr_store(&m->stats->slots[slot].index, index);
}

void
wr_slot_drop(struct wr_shm *m, uint32_t slot)
{
	struct wr_slot *s = &m->stats->slots[slot];

	assert(slot < WR_SLOTS && s->pid != 0);
	wr_stats_fold(m->stats, slot);
	wr_store(&s->role, (uint32_t)WR_ROLE_NONE);
	wr_store(&s->phase, (uint32_t)WR_PHASE_GONE);
	/* The next owner may claim it from here on. */
	__atomic_store_n(&s->pid, 0, __ATOMIC_RELEASE);
}

static bool
is_gone(uint32_t pid)
{
	return (kill((pid_t)pid, 0) < 0 && errno == ESRCH) ||
	       wr_watch_state((pid_t)pid) == 'Z';
}

unsigned
wr_slot_strays(struct wr_shm *m)
{
	uint32_t me = (uint32_t)getpid();
	unsigned n = 0;

	for (uint32_t i = 0; i < wr_load(&m->head->slots_high); i++) {
		const struct wr_slot *s = &m->stats->slots[i];
		uint32_t pid = wr_load(&s->pid), owner = wr_load(&s->owner);

		if (pid == 0 || owner == me)
			continue;
		if (is_gone(owner) && is_gone(pid))
			wr_slot_drop(m, i);
		else
			n++;
	}
	return n;
}

uint64_t
wr_slot_beat_ms(const struct wr_shm *m, uint32_t slot)
{
	return wr_load(&m->stats->slots[slot].beat_ms);
}

uint64_t
wr_slot_sessions(const struct wr_shm *m, uint32_t slot)
{
	return wr_load(&m->stats->slots[slot].sessions);
}

uint32_t
wr_slot_phase(const struct wr_shm *m, uint32_t slot)
{
	return wr_load(&m->stats->slots[slot].phase);
}

void
wr_slot_wake(const struct wr_shm *m, uint32_t slot)
{
	uint64_t one = 1;

	/* A full counter wakes as well as one more would. */
	if (m->wake[slot] >= 0 && write(m->wake[slot], &one, sizeof(one)) < 0)
		assert(errno == EAGAIN);
}
