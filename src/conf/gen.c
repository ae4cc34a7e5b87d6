/* SPDX-License-Identifier: BSD-2-Clause */
/* gen - see gen.h and conf.h. */
#include "conf/gen.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static struct {
	char *mem;
	size_t place; /* bytes of one */
	void (*gone)(uint64_t generation, uint32_t place, void *arg);
	void *arg;
} window;

int
wr_gen_reserve(void)
{
	size_t place = WR_GEN_BYTES;
	void *p = MAP_FAILED;

	if (window.mem != NULL)
		return 0;
	/* Addresses only: no memory, and no promise of any. */
	for (; p == MAP_FAILED && place >= WR_GEN_BYTES_MIN; place /= 4) {
		p = mmap(NULL, place * WR_GENERATIONS, PROT_NONE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		window.place = place;
	}
	if (p == MAP_FAILED)
		return -errno;
	window.mem = p;
	return 0;
}

static char *
at(uint32_t place)
{
	assert(window.mem != NULL && place < WR_GENERATIONS);
	return window.mem + window.place * place;
}

/* Back to bare addresses: unmapping would let others move in. */
static void
vacate(uint32_t place)
{
	void *p = mmap(at(place), window.place, PROT_NONE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);

	assert(p != MAP_FAILED);
	(void)p;
}

static int
keep(int err)
{
	errno = -err;
	return err;
}

#ifdef MFD_ALLOW_SEALING

static int
memory(void)
{
	int fd =
	    memfd_create("weir configuration", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	return fd < 0 ? -errno : fd;
}

/* The writable mapping must be gone. */
static int
seal(int fd)
{
	return fcntl(fd, F_ADD_SEALS,
		   F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0
		   ? -errno
		   : 0;
}

#else

/* An unlinked file; what others get is opened read-only. */
static int
memory(void)
{
	char name[64];
	int fd;

	(void)snprintf(name, sizeof(name), "/weir.%ld", (long)getpid());
	fd = shm_open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0400);
	if (fd < 0)
		return -errno;
	(void)shm_unlink(name);
	return fd;
}

static int
seal(int fd)
{
	return fchmod(fd, 0) < 0 ? -errno : 0;
}

#endif

int
wr_build_open(struct wr_build *b, uint32_t place)
{
	int err = wr_gen_reserve();
	void *p;

	*b = (struct wr_build){ .place = place, .fd = -1 };
	if (err < 0)
		return err;
	b->fd = memory();
	if (b->fd < 0)
		return b->fd;
	if (ftruncate(b->fd, (off_t)window.place) < 0) {
		err = -errno;
	} else {
		p = mmap(at(place), window.place, PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_FIXED, b->fd, 0);
		if (p != MAP_FAILED) {
			wr_arena_init(&b->arena, p, window.place);
			return 0;
		}
		err = -errno;
	}
	(void)close(b->fd);
	b->fd = -1;
	return keep(err);
}

void
wr_build_drop(struct wr_build *b)
{
	if (b->fd < 0)
		return;
	vacate(b->place);
	(void)close(b->fd);
	b->fd = -1;
}

/* Read-only, at its place. */
static int
show(int fd, uint32_t place, size_t bytes)
{
	/* Before Linux 6.7 a sealed descriptor cannot be mapped shared; pages
	 * of a private mapping that nobody may write are shared all the same.
	 */
	static const int FLAGS[] = { MAP_SHARED, MAP_PRIVATE };

	for (size_t i = 0; i < WR_COUNT(FLAGS); i++)
		if (mmap(at(place), bytes, PROT_READ, FLAGS[i] | MAP_FIXED, fd,
			0) != MAP_FAILED)
			return 0;
	return -errno;
}

static struct wr_gen *
gen_new(int fd, uint32_t place, uint64_t generation, size_t bytes)
{
	struct wr_gen *g = calloc(1, sizeof(*g));
	int err = g == NULL ? -ENOMEM : show(fd, place, bytes);

	if (err < 0) {
		free(g);
		(void)keep(err);
		return NULL;
	}
	*g = (struct wr_gen){ .conf = (const void *)at(place),
		.generation = generation,
		.place = place,
		.users = 1,
		.fd = fd,
		.bytes = bytes };
	return g;
}

struct wr_gen *
wr_build_seal(struct wr_build *b, uint64_t generation)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t bytes = (b->arena.used + page - 1) / page * page;
	struct wr_gen *g = NULL;
	int err;

	vacate(b->place);
	err = ftruncate(b->fd, (off_t)bytes) < 0 ? -errno : seal(b->fd);
	if (err == 0) {
		g = gen_new(b->fd, b->place, generation, bytes);
		err = g == NULL ? -errno : 0;
	}
	if (g == NULL)
		wr_build_drop(b);
	b->fd = -1;
	(void)keep(err);
	return g;
}

struct wr_gen *
wr_gen_map(int fd, uint32_t place, uint64_t generation, size_t bytes)
{
	struct wr_gen *g;
	int err;

	if (place >= WR_GENERATIONS || bytes > window.place || bytes == 0) {
		(void)close(fd);
		(void)keep(-EINVAL);
		return NULL;
	}
	g = gen_new(fd, place, generation, bytes);
	err = g == NULL ? errno : 0;
	if (g != NULL)
		g->fd = -1;
	(void)close(fd);
	errno = err;
	return g;
}

struct wr_gen *
wr_gen_get(struct wr_gen *g)
{
	assert(g->users > 0);
	g->users++;
	return g;
}

void
wr_gen_put(struct wr_gen **gp)
{
	struct wr_gen *g = *gp;
	uint64_t generation;
	uint32_t place;

	*gp = NULL;
	if (g == NULL)
		return;
	assert(g->users > 0);
	if (--g->users > 0)
		return;
	generation = g->generation;
	place = g->place;
	vacate(place);
	if (g->fd >= 0)
		(void)close(g->fd);
	free(g);
	if (window.gone != NULL)
		window.gone(generation, place, window.arg);
}

void
wr_gen_on_gone(
    void (*fn)(uint64_t generation, uint32_t place, void *arg), void *arg)
{
	window.gone = fn;
	window.arg = arg;
}
