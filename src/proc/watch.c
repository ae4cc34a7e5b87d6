/* SPDX-License-Identifier: BSD-2-Clause */
/* watch - look at beats, ask /proc about late ones; see watch.h. */
#include "proc/watch.h"

#include <assert.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "conf/key.h"

/* What a beat may be late on a busy machine before anybody is told. */
#define SLACK_MS 100

struct watched {
	pid_t pid; /* 0: nobody */
	uint64_t since_ms;
	bool late; /* told already */
	bool halted;
	char name[32];
};

struct wr_watch {
	struct wr_loop *loop;
	struct wr_shm *shm;
	wr_watch_fn *fn;
	void *arg;
	struct wr_timer timer;
	uint32_t interval_ms, limit_ms;
	uint64_t looked_ms;
	struct watched child[WR_FLEET_SLOTS];
};

static wr_timer_fn look;

/* -- /proc -------------------------------------------------------------- */

/* The start of a small file, ended by a NUL; false if it is not there. */
static bool
peek(pid_t pid, const char *file, char *mem, size_t size)
{
	char path[64];
	ssize_t n;
	int fd;

	(void)snprintf(path, sizeof(path), "/proc/%ld/%s", (long)pid, file);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = read(fd, mem, size - 1);
	(void)close(fd);
	if (n <= 0)
		return false;
	mem[n] = '\0';
	mem[strcspn(mem, "\n")] = '\0';
	return true;
}

char
wr_watch_state(pid_t pid)
{
	char mem[512];
	const char *p;

	if (!peek(pid, "stat", mem, sizeof(mem)))
		return 0;
	/* The name before it may have any character. */
	p = strrchr(mem, ')');
	return p != NULL && p[1] == ' ' ? p[2] : 0;
}

static const char *
state_name(char state)
{
	switch (state) {
	case 'R':
		return "running";
	case 'S':
		return "sleeping";
	case 'D':
		return "waiting for a device";
	case 'T':
		return "stopped";
	case 't':
		return "traced";
	case 'Z':
		return "dead";
	default:
		return "?";
	}
}

void
wr_watch_describe(pid_t pid, struct wr_text *out)
{
	char mem[128], state = wr_watch_state(pid);

	if (state == 0)
		return;
	wr_text_printf(out, "state %c (%s)", state, state_name(state));
	if (peek(pid, "wchan", mem, sizeof(mem)) && strcmp(mem, "0") != 0)
		wr_text_printf(out, " in %s", mem);
	if (peek(pid, "syscall", mem, sizeof(mem))) {
		mem[strcspn(mem, " ")] = '\0';
		if (mem[0] >= '0' && mem[0] <= '9')
			wr_text_printf(out, ", system call %s", mem);
	}
}

/* -- Looking ------------------------------------------------------------ */

static void
tell_late(struct wr_watch *w, int slot, uint64_t age_ms, char state)
{
	struct watched *c = &w->child[slot];
	char mem[256];
	struct wr_text text;

	wr_text_over(&text, mem, sizeof(mem));
	wr_text_puts(&text, "");
	wr_watch_describe(c->pid, &text);
	wr_warnx("%s[%ld] has not turned for %llu ms%s%s", c->name,
	    (long)c->pid, (unsigned long long)age_ms, text.len > 0 ? ": " : "",
	    text.len > 0 ? mem : "");
	c->late = true;
	/* One that is stopped would answer when it no longer matters. */
	if (state != 'T' && state != 't')
		(void)kill(c->pid, WR_STACK_SIGNAL);
}

static void
set_halted(struct wr_watch *w, int slot, bool halted)
{
	if (w->child[slot].halted == halted)
		return;
	w->child[slot].halted = halted;
	w->fn(w->arg, halted ? WR_EV_HALTED : WR_EV_WENT_ON, slot);
}

static void
look_at(struct wr_watch *w, int slot, uint64_t now, bool trust)
{
	struct watched *c = &w->child[slot];
	uint64_t beat = wr_slot_beat_ms(w->shm, (uint32_t)slot), age;
	char state;

	if (beat < c->since_ms)
		beat = c->since_ms;
	age = now > beat ? now - beat : 0;
	if (age < 2 * (uint64_t)w->interval_ms + SLACK_MS) {
		c->late = false;
		set_halted(w, slot, false);
		return;
	}
	state = wr_watch_state(c->pid);
	if (state == 'Z') {
		w->fn(w->arg, WR_EV_GONE, slot);
		return;
	}
	if (!c->late)
		tell_late(w, slot, age, state);
	set_halted(w, slot, state == 'T' || state == 't');
	/* The call above may have ended it. */
	if (c->pid != 0 && trust && w->limit_ms != WR_OFF && age > w->limit_ms)
		w->fn(w->arg, WR_EV_HUNG, slot);
}

/* If we were late ourselves, the whole machine may have stood still. */
static void
look(struct wr_loop *l, struct wr_timer *t)
{
	struct wr_watch *w = wr_container_of(t, struct wr_watch, timer);
	uint64_t now = wr_loop_now(l);
	bool trust = now < w->looked_ms + 2 * (uint64_t)w->interval_ms;

	w->looked_ms = now;
	for (int slot = 0; slot < WR_FLEET_SLOTS; slot++)
		if (w->child[slot].pid != 0)
			look_at(w, slot, now, trust);
	wr_timer_set(l, &w->timer, w->interval_ms, look);
}

/* -- Life --------------------------------------------------------------- */

struct wr_watch *
wr_watch_new(struct wr_loop *l, struct wr_shm *shm, wr_watch_fn *fn, void *arg)
{
	struct wr_watch *w = calloc(1, sizeof(*w));

	if (w == NULL)
		return NULL;
	w->loop = l;
	w->shm = shm;
	w->fn = fn;
	w->arg = arg;
	return w;
}

void
wr_watch_free(struct wr_watch **wp)
{
	struct wr_watch *w = *wp;

	*wp = NULL;
	if (w == NULL)
		return;
	wr_timer_stop(w->loop, &w->timer);
	free(w);
}

void
wr_watch_conf(struct wr_watch *w, uint32_t interval_ms, uint32_t limit_ms)
{
	assert(interval_ms > 0);
	w->interval_ms = interval_ms;
	w->limit_ms = limit_ms;
	w->looked_ms = wr_loop_now(w->loop);
	wr_timer_set(w->loop, &w->timer, interval_ms, look);
}

void
wr_watch_add(struct wr_watch *w, int slot, pid_t pid, const char *name)
{
	struct watched *c = &w->child[slot];

	assert(slot >= 0 && slot < WR_FLEET_SLOTS && pid > 0);
	*c = (struct watched){ .pid = pid, .since_ms = wr_loop_now(w->loop) };
	(void)snprintf(c->name, sizeof(c->name), "%s", name);
}

void
wr_watch_remove(struct wr_watch *w, int slot)
{
	w->child[slot].pid = 0;
}
