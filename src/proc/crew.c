/* SPDX-License-Identifier: BSD-2-Clause */
/* crew - the master's children: born, told, heard, buried; see master.h. */
#include <assert.h>
#include <errno.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "io/signals.h"
#include "io/sock.h"
#include "proc/control.h"
#include "proc/daemon.h"
#include "proc/listen.h"
#include "proc/master.h"
#include "proc/pidfile.h"
#include "proc/watch.h"
#include "proc/worker.h"
#include "proxy/stats.h"

/* How often it is looked whether children of another master are gone. */
#define STRAYS_MS 1000

static wr_msg_fn on_msg;
static wr_chan_end_fn on_chan_end;
static wr_timer_fn on_strays;

struct wr_child *
wr_crew_get(struct wr_master *m, int slot)
{
	return slot >= 0 && slot < WR_FLEET_SLOTS ? m->by_slot[slot] : NULL;
}

/* -- Born ---------------------------------------------------------------- */

/*
 * What a large configuration has left in the master's heap is the child's too,
 * and would be its own as soon as the master uses it for the next one.
 */
static void
let_go_of_memory(struct wr_master *m)
{
	wr_cells_free(&m->cells);
	wr_text_fini(&m->errors);
#ifdef __GLIBC__
	(void)malloc_trim(0);
#endif
}

/*
 * The child has copies of all that the master has.  What is bound to a
 * descriptor goes with it (wr_drop_fds); mappings of other generations are
 * undone here, so that their addresses can be used again.
 */
static void
forget(struct wr_master *m, struct wr_gen *mine)
{
	wr_gen_on_gone(NULL, NULL);
	for (int i = 0; i < WR_GENERATIONS; i++) {
		struct wr_gen *g = m->gens[i];

		if (g == NULL)
			continue;
		g->fd = -1;
		for (uint32_t n = g->users - (g == mine); n > 0; n--) {
			struct wr_gen *one = g;

			wr_gen_put(&one);
		}
	}
	wr_loop_abandon(&m->loop);
	let_go_of_memory(m);
}

wr_noreturn static void
live(struct wr_master *m, struct wr_birth *b)
{
	int status;

	if (m->opts->daemon)
		wr_daemon_detach(m->null_fd, b->error_fd);
	forget(m, b->gen);
	status =
	    b->role == WR_ROLE_CONTROL ? wr_control_run(b) : wr_worker_run(b);
	wr_log_flush();
	exit(status);
}

static struct wr_child *
child_new(struct wr_master *m, unsigned role, uint32_t index, int slot)
{
	struct wr_child *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return NULL;
	wr_list_init(&c->link);
	wr_list_push(&m->limbo, &c->link);
	c->master = m;
	c->slot = (uint32_t)slot;
	c->role = role;
	c->index = index;
	if (role == WR_ROLE_CONTROL)
		(void)snprintf(c->name, sizeof(c->name), "control");
	else
		(void)snprintf(c->name, sizeof(c->name), "worker %u", index);
	return c;
}

static void
child_free(struct wr_child *c)
{
	wr_list_remove(&c->link);
	free(c);
}

/* The process, with all signals blocked: none must run the master's handlers
 * in the child, which would write to a pipe that both have. */
static pid_t
fork_child(struct wr_master *m, struct wr_birth *b, int master_end)
{
	sigset_t all, before;
	pid_t pid;

	(void)sigfillset(&all);
	(void)sigprocmask(SIG_SETMASK, &all, &before);
	wr_log_flush();
	pid = fork();
	if (pid == 0) {
		(void)close(master_end);
		b->signos = &before;
		live(m, b);
	}
	(void)sigprocmask(SIG_SETMASK, &before, NULL);
	return pid;
}

int
wr_crew_fork(
    struct wr_master *m, unsigned role, uint32_t index, struct wr_gen *g)
{
	struct wr_birth b = { .role = role,
		.index = index,
		.master = m->pid,
		.shm = m->shm,
		.gen = g,
		.error_fd = m->logs.error_fd,
		.access_fd = m->logs.access_fd,
		.confirmed = !m->elder };
	int slot = wr_slot_take(m->shm, role, index), pair[2], err;
	struct wr_child *c;

	if (slot < 0)
		return slot;
	b.slot = (uint32_t)slot;
	c = child_new(m, role, index, slot);
	err = c != NULL ? wr_sock_pair(pair) : -ENOMEM;
	if (err < 0) {
		if (c != NULL)
			child_free(c);
		wr_slot_drop(m->shm, b.slot);
		return err;
	}
	b.fd = pair[1];
	c->pid = fork_child(m, &b, pair[0]);
	err = c->pid < 0 ? -errno : 0;
	(void)close(pair[1]);
	if (err == 0)
		err = wr_chan_start(
		    &c->chan, m->loop, pair[0], on_msg, on_chan_end);
	if (err < 0) {
		(void)close(pair[0]);
		if (c->pid > 0) {
			(void)kill(c->pid, SIGKILL);
			(void)waitpid(c->pid, NULL, 0);
		}
		child_free(c);
		wr_slot_drop(m->shm, b.slot);
		return err;
	}
	wr_slot_born(m->shm, b.slot, c->pid);
	c->places = 1u << g->place;
	wr_list_remove(&c->link);
	wr_list_push(&m->children, &c->link);
	m->by_slot[slot] = c;
	wr_watch_add(m->watch, slot, c->pid, c->name);
	if (m->pid_path[0] != '\0')
		wr_pidfile_add(m->pid_path, c->pid, c->name);
	return slot;
}

/* -- Told ---------------------------------------------------------------- */

void
wr_crew_kill(struct wr_master *m, int slot, int signo)
{
	const struct wr_child *c = wr_crew_get(m, slot);

	if (c != NULL && !c->reaped)
		(void)kill(c->pid, signo);
}

void
wr_crew_tell(struct wr_master *m, int slot, const struct wr_msg *msg,
    const int *fds, int n)
{
	struct wr_child *c = wr_crew_get(m, slot);
	int err;

	if (c == NULL || c->chan.closed)
		return;
	err = wr_chan_send(&c->chan, msg, fds, n);
	if (err == 0)
		return;
	/* It is dead, or about to end. */
	if (err == -EPIPE || err == -ECONNRESET)
		return;
	/* It has lost a message, and would never be right again. */
	wr_errorx("%s cannot be told to %s: %s", c->name,
	    wr_msg_name(msg->kind), strerror(-err));
	wr_crew_kill(m, slot, SIGKILL);
}

/* -- Heard --------------------------------------------------------------- */

static void
event(struct wr_child *c, enum wr_event_kind kind, uint64_t generation)
{
	struct wr_event e = {
		.kind = kind, .slot = (int)c->slot, .generation = generation
	};

	wr_master_feed(c->master, &e);
}

static void
refused(struct wr_child *c, const struct wr_msg *msg)
{
	struct wr_master *m = c->master;

	/* While nobody waits for an answer, nobody prints m->errors. */
	if (m->up && m->reload.state == WR_RELOAD_IDLE)
		wr_errorx("%s[%ld]: %s", c->name, (long)c->pid, msg->text);
	else
		wr_text_printf(&m->errors, "%s[%ld]: %s\n", c->name,
		    (long)c->pid, msg->text);
	event(c, WR_EV_REFUSED, msg->generation);
}

static void
on_msg(struct wr_chan *ch, const struct wr_msg *msg, int fds[WR_MSG_FDS])
{
	struct wr_child *c = wr_container_of(ch, struct wr_child, chan);
	struct wr_master *m = c->master;

	/* Children pass on no descriptors. */
	for (int i = 0; i < WR_MSG_FDS; i++) {
		if (fds[i] >= 0)
			(void)close(fds[i]);
	}
	switch (msg->kind) {
	case WR_MSG_READY:
		event(c, WR_EV_READY, msg->generation);
		/* Nothing is dealt now; but what no new binary serves. */
		if (c->role == WR_ROLE_WORKER &&
		    (m->reload.heir == WR_HEIR_PROBATION ||
			m->reload.heir == WR_HEIR_DONE))
			wr_listens_lend(m->listens, (int)c->slot);
		break;
	case WR_MSG_FAILED:
		refused(c, msg);
		break;
	case WR_MSG_UNLISTENED:
		wr_listens_shut_done(
		    m->listens, (int)c->slot, msg->text, msg->shard);
		wr_master_act(m);
		break;
	case WR_MSG_FULL:
		event(c, WR_EV_FULL, 0);
		break;
	case WR_MSG_ROOM:
		event(c, WR_EV_ROOM, 0);
		break;
	case WR_MSG_GONE:
		c->places &= ~(1u << (msg->place % WR_GENERATIONS));
		wr_hands_sweep(m);
		break;
	case WR_MSG_PAUSED:
		break;
	default:
		wr_warnx("%s says \"%s\"", c->name, wr_msg_name(msg->kind));
	}
}

static void
on_closed(struct wr_loop *l, struct wr_sock *k)
{
	struct wr_chan *ch = wr_container_of(k, struct wr_chan, sock);
	struct wr_child *c = wr_container_of(ch, struct wr_child, chan);

	(void)l;
	c->silent = true;
	if (c->reaped)
		child_free(c);
}

/* The end of the channel says nothing about the process; SIGCHLD does.  But
 * one that lives and cannot be talked to is of no use. */
static void
on_chan_end(struct wr_chan *ch, int err)
{
	struct wr_child *c = wr_container_of(ch, struct wr_child, chan);

	if (err != -EPIPE && err != -ECONNRESET) {
		wr_errorx("%s[%ld] cannot be talked to: %s", c->name,
		    (long)c->pid,
		    err == -EPROTO ? "it speaks another language"
				   : strerror(-err));
		wr_crew_kill(c->master, (int)c->slot, SIGKILL);
	}
	wr_chan_close(ch, on_closed);
}

/* -- Buried -------------------------------------------------------------- */

static void
say_how(struct wr_child *c, int status)
{
	uint64_t sessions = wr_slot_sessions(c->master->shm, c->slot);

	if (WIFSIGNALED(status)) {
		wr_errorx("%s[%ld] died of signal %d (%s) with %llu sessions",
		    c->name, (long)c->pid, WTERMSIG(status),
		    strsignal(WTERMSIG(status)), (unsigned long long)sessions);
		return;
	}
	if (WEXITSTATUS(status) == 0) {
		wr_info("%s[%ld] ended", c->name, (long)c->pid);
		return;
	}
	wr_errorx("%s[%ld] ended with status %d", c->name, (long)c->pid,
	    WEXITSTATUS(status));
	if (WEXITSTATUS(status) == 3)
		c->master->unsound = true;
}

static void
bury(struct wr_child *c, int status)
{
	struct wr_master *m = c->master;
	int slot = (int)c->slot;

	c->reaped = true;
	/* Its last words may say why. */
	wr_chan_hear(&c->chan);
	say_how(c, status);
	wr_watch_remove(m->watch, slot);
	wr_listens_gone(m->listens, slot);
	wr_slot_drop(m->shm, c->slot);
	if (m->pid_path[0] != '\0')
		wr_pidfile_drop(m->pid_path, c->pid);
	m->by_slot[slot] = NULL;
	wr_list_remove(&c->link);
	wr_list_push(&m->limbo, &c->link);
	if (c->silent)
		child_free(c);
	else if (!c->chan.closed)
		wr_chan_close(&c->chan, on_closed);
	wr_hands_sweep(m);
	wr_master_event(m, WR_EV_GONE, slot);
}

void
wr_crew_reap(struct wr_master *m)
{
	pid_t heir = wr_upgrade_heir(m->upgrade);
	int status;

	if (heir > 0 && waitpid(heir, &status, WNOHANG) == heir)
		(void)wr_upgrade_reaped(m->upgrade, heir, status);
	wr_list_each_safe (link, &m->children) {
		struct wr_child *c =
		    wr_container_of(link, struct wr_child, link);

		if (waitpid(c->pid, &status, WNOHANG) == c->pid)
			bury(c, status);
	}
	/* As process 1 of a container we are everybody's parent. */
	if (m->pid == 1) {
		while (waitpid(-1, &status, WNOHANG) > 0)
			continue;
	}
}

/* While two masters are at work, each buries its own. */
static void
on_strays(struct wr_loop *l, struct wr_timer *t)
{
	struct wr_master *m = wr_container_of(t, struct wr_master, strays);

	if (m->reload.heir != WR_HEIR_NONE || wr_slot_strays(m->shm) > 0)
		wr_timer_set(l, t, STRAYS_MS, on_strays);
}

void
wr_crew_strays(struct wr_master *m)
{
	wr_timer_set(m->loop, &m->strays, STRAYS_MS, on_strays);
}
