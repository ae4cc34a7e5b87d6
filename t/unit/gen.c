/* SPDX-License-Identifier: BSD-2-Clause */
#include "conf/gen.h"

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "conf.h"

static const char TEXT[] = "upstreams = { app = { servers = \"10.0.0.1:80\"; "
			   "}; };\n"
			   "listeners = { front = { listen = \"*:8080\"; "
			   "upstream = \"app\"; }; };\n";

static struct wr_gen *
load(uint32_t place, uint64_t generation)
{
	struct wr_load ld = { .place = place, .generation = generation };

	return conf_load(TEXT, &ld, NULL);
}

static void
a_value_has_real_pointers(void)
{
	struct wr_gen *g = load(3, 7);
	const struct wr_conf *c;

	ok(g != NULL && g->place == 3 && g->generation == 7);
	c = g->conf;
	is_int(c->generation, 7);
	is_int(c->n_upstreams, 1);
	ok(c->listeners[0]->upstream == c->upstreams[0]);
	ok(wr_conf_upstream(c, "app") == c->upstreams[0]);
	ok(wr_conf_upstream(c, "apq") == NULL);
	ok(wr_conf_listener(c, "front") == c->listeners[0]);
	is_str(c->listeners[0]->listens[0].text, "0.0.0.0:8080");
	ok((const char *)c->upstreams[0] > (const char *)c &&
	    (const char *)c->upstreams[0] < (const char *)c + g->bytes);
	wr_gen_put(&g);
	ok(g == NULL);
}

/* Cells as they come: the later in the file, the lower. */
static int
give_cells(struct wr_conf *c, struct wr_text *errors, void *arg)
{
	(void)errors;
	(void)arg;
	for (uint32_t i = 0; i < c->n_upstreams; i++)
		c->upstreams[i]->cell = 70 - 10 * i;
	for (uint32_t i = 0; i < c->n_listeners; i++)
		c->listeners[i]->cell = 9 - i;
	return 0;
}

static void
things_are_found_by_cell(void)
{
	struct wr_load ld = { .generation = 1, .settle = give_cells };
	struct wr_gen *g = conf_load("upstreams = {\n"
				     "a = { servers = \"10.0.0.1:1\"; };\n"
				     "b = { servers = \"10.0.0.1:1\";\n"
				     "on_down = \"close\"; };\n"
				     "c = { servers = \"10.0.0.1:1\"; }; };\n"
				     "listeners = {\n"
				     "x = { listen = \":1\"; upstream = "
				     "\"a\"; };\n"
				     "y = { listen = \":2\"; upstream = "
				     "\"b\"; }; };\n",
	    &ld, NULL);
	const struct wr_conf *c;

	ok(g != NULL);
	c = g->conf;
	for (uint32_t i = 0; i < 3; i++)
		ok(wr_conf_upstream_at(c, 70 - 10 * i) == c->upstreams[i]);
	ok(wr_conf_upstream_at(c, 65) == NULL);
	ok(wr_conf_upstream_at(c, 0) == NULL);
	ok(wr_conf_upstream_at(c, WR_OFF) == NULL);
	ok(wr_conf_listener_at(c, 9) == c->listeners[0]);
	ok(wr_conf_listener_at(c, 8) == c->listeners[1]);
	ok(wr_conf_listener_at(c, 7) == NULL);
	is_int(c->n_strict, 1);
	ok(c->strict[0] == c->upstreams[1]);
	wr_gen_put(&g);
}

/* How a child ends that does this to the value. */
static int
child(struct wr_gen *g, void (*deed)(struct wr_gen *g))
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		(void)signal(SIGSEGV, SIG_DFL);
		deed(g);
		_exit(0);
	}
	(void)waitpid(pid, &status, 0);
	return status;
}

static void
write_it(struct wr_gen *g)
{
	*(volatile uint32_t *)(uintptr_t)&g->conf->n_upstreams = 2;
}

static void
allow_it(struct wr_gen *g)
{
	if (mprotect(
		(void *)(uintptr_t)g->conf, 4096, PROT_READ | PROT_WRITE) == 0)
		_exit(1);
}

static void
map_it_writable(struct wr_gen *g)
{
	if (mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, g->fd, 0) !=
	    MAP_FAILED)
		_exit(1);
	if (ftruncate(g->fd, 0) == 0)
		_exit(2);
}

static void
nobody_can_write_it(void)
{
	struct wr_gen *g = load(0, 1);
	int status = child(g, write_it);

	ok(WIFSIGNALED(status) &&
	    (WTERMSIG(status) == SIGSEGV || WEXITSTATUS(status) != 0));
	is_int(child(g, allow_it), 0);
	is_int(child(g, map_it_writable), 0);
	is_int(g->conf->n_upstreams, 1);
	wr_gen_put(&g);
}

static uint32_t gone_place;
static uint64_t gone_generation;

static void
on_gone(uint64_t generation, uint32_t place, void *arg)
{
	gone_generation = generation;
	gone_place = place;
	(*(int *)arg)++;
}

/* A child that was forked before the value was built maps it like this. */
static void
another_process_sees_it_at_the_same_address(void)
{
	struct wr_gen *g = load(1, 2), *mine;
	const struct wr_upstream_conf *u = g->conf->upstreams[0];
	int fd = dup(g->fd), status = 1;
	size_t bytes = g->bytes;
	pid_t pid;

	wr_gen_put(&g);
	pid = fork();
	if (pid == 0) {
		mine = wr_gen_map(fd, 1, 2, bytes);
		_exit(mine == NULL || mine->conf->upstreams[0] != u ||
		      strcmp(u->servers[0].name, "10.0.0.1:80") != 0 ||
		      mine->fd != -1);
	}
	(void)close(fd);
	(void)waitpid(pid, &status, 0);
	is_int(status, 0);
	ok(wr_gen_map(open("/dev/null", O_RDONLY), WR_GENERATIONS, 1, 4096) ==
		NULL &&
	    errno == EINVAL);
}

static void
the_last_user_unmaps_it(void)
{
	int calls = 0;
	struct wr_gen *g = load(2, 9), *other;

	wr_gen_on_gone(on_gone, &calls);
	other = wr_gen_get(g);
	wr_gen_put(&g);
	is_int(calls, 0);
	is_int(other->conf->generation, 9);
	wr_gen_put(&other);
	is_int(calls, 1);
	is_int(gone_place, 2);
	is_int(gone_generation, 9);
	wr_gen_put(&other);
	wr_gen_on_gone(NULL, NULL);
}

static int
refuse(struct wr_conf *c, struct wr_text *errors, void *arg)
{
	(void)arg;
	if (c->upstreams[0]->cell == 0)
		c->upstreams[0]->cell = 5;
	wr_text_puts(errors, "no\n");
	return -ENOSPC;
}

static int
accept_it(struct wr_conf *c, struct wr_text *errors, void *arg)
{
	(void)errors;
	(void)arg;
	c->upstreams[0]->cell = 5;
	return 0;
}

static void
settling_may_write_and_refuse(void)
{
	struct wr_load ld = { .settle = refuse };
	struct wr_gen *g;
	const char *said;

	ok(conf_load(TEXT, &ld, &said) == NULL);
	is_str(said, "no\n");
	is_int(ld.n_errors, 1);
	ld = (struct wr_load){ .settle = accept_it };
	g = conf_load(TEXT, &ld, NULL);
	ok(g != NULL && g->conf->upstreams[0]->cell == 5);
	wr_gen_put(&g);
}

/* Lines of /proc/self/NAME, and bytes of memory in use. */
static int
count(const char *name)
{
	char line[512];
	FILE *f = fopen(name, "re");
	int n = 0;

	while (f != NULL && fgets(line, sizeof(line), f) != NULL)
		n++;
	if (f != NULL)
		(void)fclose(f);
	return n;
}

/* Bytes that are allocated; the sanitizer looks for leaks by itself. */
static size_t
allocated(void)
{
#ifdef __GLIBC__
	return mallinfo2().uordblks;
#else
	return 0;
#endif
}

static void
loads_leak_nothing(void)
{
	struct wr_load ld = { .path = conf_path("t.conf") };
	struct wr_gen *g = load(0, 1);
	int maps, fd;
	size_t bytes;

	for (int i = 0; i < 100; i++) {
		g = (wr_gen_put(&g), wr_conf_load(&ld));
	}
	maps = count("/proc/self/maps");
	bytes = allocated();
	fd = dup(0);
	(void)close(fd);
	for (uint32_t i = 0; i < 10000 && g != NULL; i++) {
		wr_gen_put(&g);
		ld.place = i % WR_GENERATIONS;
		ld.generation = i;
		g = wr_conf_load(&ld);
	}
	ok(g != NULL);
	is_int(dup(0), fd);
	(void)close(fd);
	ok(count("/proc/self/maps") <= maps + 2);
	/* Not exact: what is cached counts. */
	if (!ok(allocated() < bytes + 65536))
		diag("%zu, then %zu", bytes, allocated());
	wr_gen_put(&g);
}

#ifndef __SANITIZE_ADDRESS__ /* which wants all addresses */
/* Where addresses are limited, a small configuration still fits, and one that
 * does not is refused. */
wr_unused static int
with_little_room(void)
{
	struct rlimit little = { (rlim_t)192 << 20, (rlim_t)192 << 20 };
	struct wr_load ld = { 0 };
	struct wr_text t = { 0 };
	const char *said;
	struct wr_gen *g;

	if (setrlimit(RLIMIT_AS, &little) < 0 || wr_gen_reserve() < 0)
		return 1;
	g = conf_load(TEXT, &ld, &said);
	if (g == NULL || g->conf->n_upstreams != 1)
		return 2;
	wr_gen_put(&g);
	wr_text_puts(&t, "upstreams = {\n");
	for (int i = 0; i < 20000; i++)
		wr_text_printf(
		    &t, "a%d = { servers = \"10.0.0.1:80\"; };\n", i);
	wr_text_puts(&t, "};\n");
	if (conf_load(t.p, &ld, &said) != NULL)
		return 3;
	return strstr(said, "too large") != NULL ? 0 : 4;
}
#endif

static void
little_room_is_enough(void)
{
#ifndef __SANITIZE_ADDRESS__
	int status = 1;
	pid_t pid = fork();

	if (pid == 0)
		_exit(with_little_room());
	(void)waitpid(pid, &status, 0);
	is_int(WEXITSTATUS(status), 0);
	ok(WIFEXITED(status));
#endif
}

int
main(void)
{
	conf_begin();
	little_room_is_enough();
	is_int(wr_gen_reserve(), 0);
	is_int(wr_gen_reserve(), 0);
	a_value_has_real_pointers();
	things_are_found_by_cell();
	nobody_can_write_it();
	another_process_sees_it_at_the_same_address();
	the_last_user_unmaps_it();
	settling_may_write_and_refuse();
	loads_leak_nothing();
	conf_end();
	return tap_done();
}
