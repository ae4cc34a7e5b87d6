/* SPDX-License-Identifier: BSD-2-Clause */
/* hands - what the machine says is done here, one action a function. */
#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "proc/ask.h"
#include "proc/changes.h"
#include "proc/daemon.h"
#include "proc/drop.h"
#include "proc/listen.h"
#include "proc/logs.h"
#include "proc/master.h"
#include "proc/notify.h"
#include "proc/pidfile.h"
#include "proc/watch.h"

/* The loop's clock stands still while a configuration is built. */
static uint64_t
now_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void
result(struct wr_master *m, enum wr_event_kind kind, uint64_t generation)
{
	struct wr_event e = { .kind = kind,
		.slot = -1,
		.generation = generation,
		.plan = &m->plan };

	wr_master_feed(m, &e);
}

/* -- Generations --------------------------------------------------------- */

void
wr_hands_gone(uint64_t generation, uint32_t place, void *arg)
{
	struct wr_master *m = arg;

	(void)generation;
	m->gens[place] = NULL;
}

/* A place in the window that no process has mapped, or -1. */
static int
free_place(struct wr_master *m)
{
	uint32_t taken = 0;

	for (int i = 0; i < WR_GENERATIONS; i++)
		taken |= m->gens[i] != NULL ? 1u << i : 0;
	wr_list_each (link, &m->children)
		taken |= wr_container_of(link, struct wr_child, link)->places;
	for (int i = 0; i < WR_GENERATIONS; i++) {
		if ((taken & 1u << i) == 0)
			return i;
	}
	return -1;
}

/* The oldest generation that this or another process still has. */
static uint64_t
oldest(struct wr_master *m)
{
	uint32_t taken = 0;
	uint64_t min = m->run->generation;

	wr_list_each (link, &m->children)
		taken |= wr_container_of(link, struct wr_child, link)->places;
	for (int i = 0; i < WR_GENERATIONS; i++) {
		/* One that only children have is known by nothing but its
		 * place; it may be as old as can be. */
		if (m->gens[i] == NULL && (taken & 1u << i) != 0)
			return 0;
		if (m->gens[i] != NULL && m->gens[i]->generation < min)
			min = m->gens[i]->generation;
	}
	return min;
}

void
wr_hands_sweep(struct wr_master *m)
{
	/* Processes of the other binary have generations of their own. */
	if (m->run != NULL && !m->elder && m->reload.heir == WR_HEIR_NONE)
		wr_cells_sweep(m->cells, oldest(m));
}

/* -- Build --------------------------------------------------------------- */

/* What only a new master, or nobody, can change. */
static int
check_reload(
    struct wr_master *m, const struct wr_conf *c, struct wr_text *errors)
{
	if (m->run == NULL || strcmp(c->pid, m->run->conf->pid) == 0)
		return 0;
	wr_text_printf(errors,
	    "%s: pid = \"%s\": was \"%s\", and takes effect only with an "
	    "upgrade (weir -s upgrade)\n",
	    c->pid_where, c->pid, m->run->conf->pid);
	return -EINVAL;
}

static int
settle(struct wr_conf *c, struct wr_text *errors, void *arg)
{
	struct wr_master *m = arg;
	struct wr_text notices = { 0 };
	int err = check_reload(m, c, errors);

	if (c->workers > WR_WORKERS_MAX) {
		wr_text_printf(errors, "%s: workers = %u: at most %u\n",
		    c->path, c->workers, WR_WORKERS_MAX);
		err = -EINVAL;
	}
	if (wr_drop_check(c, errors, &notices) < 0)
		err = -EINVAL;
	if (m->run == NULL)
		wr_changes_log(WR_NOTICE, &notices);
	wr_text_fini(&notices);
	return err < 0 ? err : wr_cells_settle(m->cells, c, errors);
}

/* Keys that a worker takes only when it starts. */
static bool
needs_new_workers(const struct wr_conf *a, const struct wr_conf *b)
{
	return strcmp(a->events.backend, b->events.backend) != 0 ||
	       a->events.connections != b->events.connections ||
	       a->events.buffers != b->events.buffers ||
	       a->events.spill != b->events.spill ||
	       a->events.unsent != b->events.unsent || a->uid != b->uid ||
	       a->gid != b->gid || strcmp(a->user, b->user) != 0;
}

static struct wr_plan
plan_of(struct wr_master *m, const struct wr_conf *c)
{
	return (struct wr_plan){
		.workers = c->workers,
		.timeout_ms = c->reload_timeout_ms,
		.limit_ms = c->watchdog.limit_ms,
		.grace_ms = c->timeouts.ms[WR_T_GRACE] != WR_OFF
				? c->timeouts.ms[WR_T_GRACE]
				: 0,
		.drain_ms = c->timeouts.ms[WR_T_DRAIN],
		.replace = m->run != NULL && needs_new_workers(m->run->conf, c),
	};
}

static void
build(struct wr_master *m, const struct wr_act *a)
{
	int place = free_place(m);
	struct wr_load ld = { .path = m->opts->conf,
		.prefix = m->opts->prefix,
		.groups = m->opts->groups,
		.words = m->opts->words,
		.generation = a->generation,
		.place = (uint32_t)place,
		.settle = settle,
		.arg = m };

	m->begun_ms = now_ms();
	wr_text_reset(&m->errors);
	if (m->up)
		wr_notify_reloading();
	if (place < 0) {
		wr_text_printf(&m->errors,
		    "%d configurations are in use by sessions that still "
		    "decide; try again\n",
		    WR_GENERATIONS);
		result(m, WR_EV_FAILED, a->generation);
		return;
	}
	m->next = wr_conf_load(&ld);
	if (!m->up || m->next != NULL)
		wr_changes_log(WR_NOTICE, &ld.notices);
	wr_text_add(&m->errors, ld.errors.p, ld.errors.len);
	wr_text_fini(&ld.errors);
	wr_text_fini(&ld.notices);
	if (m->next == NULL) {
		result(m, WR_EV_FAILED, a->generation);
		return;
	}
	m->gens[place] = m->next;
	m->plan = plan_of(m, m->next->conf);
	result(m, WR_EV_BUILT, a->generation);
}

/* -- Bind ---------------------------------------------------------------- */

static void
list_orphan(void *arg, pid_t pid, const char *role)
{
	wr_text_printf(arg, " %ld (%s)", (long)pid, role);
}

/* The first thing that is made: whoever holds the pid file is the one. */
static int
take_pid(struct wr_master *m, const struct wr_conf *c)
{
	struct wr_text errors = { 0 }, orphans = { 0 };
	int fd = wr_pidfile_take(c->pid, c->pid_where, &errors);
	bool fatal = fd == -EWOULDBLOCK || c->pid_written;

	m->pid_fd = fd;
	if (fd >= 0)
		(void)snprintf(m->pid_path, sizeof(m->pid_path), "%s", c->pid);
	if (fd >= 0 && !m->opts->beside &&
	    wr_pidfile_each(c->pid, list_orphan, &orphans) > 0) {
		wr_text_printf(&errors,
		    "processes of a weir whose master is gone still serve:"
		    "%s; end them (weir -s quit) or start with --beside\n",
		    orphans.p);
		fd = -EBUSY;
		fatal = true;
	}
	if (fd < 0 && !fatal)
		wr_changes_log(WR_NOTICE, &errors);
	else
		wr_text_add(&m->errors, errors.p, errors.len);
	wr_text_fini(&errors);
	wr_text_fini(&orphans);
	return fd < 0 && fatal ? -1 : 0;
}

static void
bind_all(struct wr_master *m, const struct wr_act *a)
{
	const struct wr_conf *c = m->next->conf;
	bool good = true;

	if (!m->up && m->elder)
		(void)snprintf(m->pid_path, sizeof(m->pid_path), "%s", c->pid);
	else if (!m->up)
		good = take_pid(m, c) == 0;
	if (good)
		good = wr_listens_bind(
			   m->listens, m->next, a->shards, &m->errors) == 0;
	if (good) {
		good = wr_logs_open(
			   &m->new_logs, c, m->opts->daemon, &m->errors) == 0;
		if (!good)
			wr_listens_abort(m->listens);
	}
	/* The first children need their logs before there is a commit. */
	if (good && !m->up)
		wr_logs_use(m, &m->new_logs, c);
	result(m, good ? WR_EV_BOUND : WR_EV_FAILED, a->generation);
}

/* -- Commit and abort ---------------------------------------------------- */

static void
commit(struct wr_master *m, const struct wr_act *a)
{
	struct wr_gen *old = m->run;
	struct wr_text changes = { 0 };
	const struct wr_conf *c = m->next->conf;

	assert(m->next->generation == a->generation);
	m->run = m->next;
	m->next = NULL;
	(void)wr_listens_commit(
	    m->listens, m->run, wr_loop_now(m->loop), &changes);
	wr_cells_commit(m->cells, c);
	wr_watch_conf(m->watch, c->watchdog.interval_ms, c->watchdog.limit_ms);
	if (m->up)
		wr_logs_use(m, &m->new_logs, c);
	if (old != NULL) {
		wr_changes_of(old->conf, c, &changes);
		wr_changes_log(WR_INFO, &changes);
		wr_gen_put(&old);
	}
	wr_text_fini(&changes);
	wr_hands_sweep(m);
}

static void
abort_next(struct wr_master *m, const struct wr_act *a)
{
	wr_cells_abort(m->cells, a->generation);
	if (m->next == NULL)
		return;
	wr_listens_abort(m->listens);
	wr_logs_close(&m->new_logs);
	wr_gen_put(&m->next);
}

/* -- Children ------------------------------------------------------------ */

static void
fork_child(struct wr_master *m, const struct wr_act *a)
{
	struct wr_gen *g = m->run != NULL ? m->run : m->next;
	struct wr_event e = { .kind = WR_EV_FORKED,
		.role = a->role,
		.index = a->index,
		.generation = g->generation };

	e.slot = wr_crew_fork(m, a->role, a->index, g);
	if (e.slot < 0) {
		wr_text_printf(
		    &m->errors, "cannot fork: %s\n", strerror(-e.slot));
		if (m->up)
			wr_errorx("cannot fork: %s", strerror(-e.slot));
		e.slot = -1;
	}
	wr_master_feed(m, &e);
}

static void
tell(struct wr_master *m, const struct wr_act *a, enum wr_msg_kind kind)
{
	struct wr_msg msg = { .kind = (uint16_t)kind,
		.generation = a->generation };

	wr_crew_tell(m, a->slot, &msg, NULL, 0);
}

static void
tell_prepare(struct wr_master *m, const struct wr_act *a)
{
	struct wr_gen *g = m->next;
	struct wr_child *c = wr_crew_get(m, a->slot);
	struct wr_msg msg = { .kind = WR_MSG_PREPARE,
		.generation = a->generation };

	if (g == NULL || g->generation != a->generation)
		g = m->run;
	assert(g->generation == a->generation);
	if (c == NULL)
		return;
	c->places |= 1u << g->place;
	msg.place = g->place;
	msg.bytes = g->bytes;
	wr_crew_tell(m, a->slot, &msg, &g->fd, 1);
}

static void
tell_drain(struct wr_master *m, const struct wr_act *a)
{
	tell(m, a, WR_MSG_DRAIN);
	wr_listens_leave(m->listens, a->slot);
}

static void
tell_undrain(struct wr_master *m, const struct wr_act *a)
{
	struct wr_child *c = wr_crew_get(m, a->slot);
	struct wr_msg msg = { .kind = WR_MSG_UNDRAIN, .a = a->index };

	if (c == NULL)
		return;
	c->index = a->index;
	wr_slot_index(m->shm, c->slot, a->index);
	(void)snprintf(c->name, sizeof(c->name), "worker %u", a->index);
	wr_watch_add(m->watch, a->slot, c->pid, c->name);
	wr_crew_tell(m, a->slot, &msg, NULL, 0);
}

/* -- Outcome ------------------------------------------------------------- */

static void
answer(struct wr_master *m, const struct wr_act *a)
{
	struct wr_text lines = { 0 };
	uint64_t ms = now_ms() - m->begun_ms;

	if (m->up && !m->elder)
		wr_notify_ready(m->pid);
	if (a->why == WR_NO_NONE) {
		if (m->up && !a->upgrade)
			wr_notice("generation %llu is in use after %llu ms",
			    (unsigned long long)m->run->generation,
			    (unsigned long long)ms);
		wr_ask_answer(m->ask, a->ticket, 0, (struct wr_str){ 0 });
		return;
	}
	if (a->why <= WR_NO_FORK)
		wr_text_add(&lines, m->errors.p, m->errors.len);
	if (a->seat == WR_SEAT_CONTROL)
		wr_text_puts(&lines, "control: ");
	else if (a->seat >= 0)
		wr_text_printf(&lines, "worker %d: ", a->seat);
	if (a->why != WR_NO_BUILD && a->why != WR_NO_BIND)
		wr_text_printf(&lines, "%s\n", wr_no_text(a->why));
	wr_text_puts(&lines, m->up ? "nothing was changed\n" : "");
	wr_master_complain(m, (struct wr_str){ lines.p, lines.len });
	wr_ask_answer(
	    m->ask, a->ticket, 1, (struct wr_str){ lines.p, lines.len });
	wr_text_fini(&lines);
}

/* Everybody accepts. */
static void
up(struct wr_master *m)
{
	struct wr_text errors = { 0 };
	int err = 0;

	m->up = true;
	wr_notice("weir %s is up: %u workers, generation %llu", PACKAGE_VERSION,
	    m->run->conf->workers, (unsigned long long)m->run->generation);
	wr_changes_advise();
	if (!m->elder && m->pid_fd >= 0) {
		err = wr_pidfile_write(m->pid_fd, m->pid);
		if (err < 0)
			wr_warnx("%s: %s", m->pid_path, strerror(-err));
		if (wr_ask_open(m->ask, m->pid_path, &errors) < 0)
			wr_changes_log(WR_WARN, &errors);
	}
	wr_text_fini(&errors);
	if (m->opts->daemon)
		wr_daemon_detach(m->null_fd, m->logs.error_fd);
	wr_daemon_up(&m->parent_fd);
	if (!m->elder)
		wr_notify_ready(m->pid);
}

/* -- Upgrade ------------------------------------------------------------- */

static void
exec_heir(struct wr_master *m)
{
	struct wr_manifest mf = { .generation = m->reload.last,
		.elder = m->pid,
		.talk_fd = -1,
		.shm_fd = m->shm->fd,
		.pid_fd = m->pid_fd,
		.ask_fd = wr_ask_fd(m->ask),
		.parent_fd = -1 };
	pid_t pid = -EPERM;

	wr_listens_ours(m->listens, (struct wr_str){ 0 });
	memcpy(mf.wake_fds, m->shm->wake, sizeof(mf.wake_fds));
	wr_listens_write(m->listens, &mf.listens);
	wr_listens_pass(m->listens, true);
	/* Process 1 cannot be left by its descendants. */
	if (m->pid != 1)
		pid = wr_upgrade_exec(m->upgrade, &mf);
	wr_listens_pass(m->listens, false);
	wr_manifest_fini(&mf);
	if (pid < 0) {
		wr_errorx("cannot start the new binary: %s",
		    m->pid == 1 ? "process 1 stays" : strerror((int)-pid));
		wr_master_event(m, WR_EV_HEIR_FAILED, -1);
		return;
	}
	wr_notice("the new binary is process %ld", (long)pid);
}

/* Who is waiting where the new value no longer listens is the old one's. */
static void
elder_ready(struct wr_master *m)
{
	struct wr_text numbers = { 0 };

	wr_listens_unnamed(m->listens, &numbers);
	wr_upgrade_unnamed(
	    m->upgrade, (struct wr_str){ numbers.p, numbers.len });
	wr_text_fini(&numbers);
	wr_upgrade_say(m->upgrade, WR_ACT_ELDER_READY);
}

/* The other one has the pid file, its lock and the socket of `-s` now. */
static void
heir_go(struct wr_master *m)
{
	pid_t heir = wr_upgrade_heir(m->upgrade);

	wr_upgrade_go(m->upgrade);
	/* Who is told that it is done looks there next. */
	if (m->pid_fd >= 0 && heir > 0 && wr_pidfile_write(m->pid_fd, heir) < 0)
		wr_warn("%s", m->pid_path);
	/* systemd believes only the process that is the main one so far. */
	wr_notify_main(heir);
	if (m->pid_fd >= 0)
		(void)close(m->pid_fd);
	m->pid_fd = -1;
	wr_ask_leave(m->ask);
	wr_notice("the new binary has everything; draining");
}

static void
inherit(struct wr_master *m)
{
	m->elder = false;
	wr_shm_lead(m->shm);
	if (m->pid_fd >= 0 && wr_pidfile_write(m->pid_fd, m->pid) < 0)
		wr_warn("%s", m->pid_path);
	if (m->manifest.ask_fd >= 0 &&
	    wr_ask_take(m->ask, m->manifest.ask_fd, m->pid_path) < 0)
		wr_warnx("weir -s cannot reach this process");
	wr_listens_own(m->listens);
	wr_crew_strays(m);
	wr_notify_ready(m->pid);
	wr_notice("all is ours");
}

/* -- Which function ------------------------------------------------------ */

static bool
do_child(struct wr_master *m, const struct wr_act *a)
{
	switch (a->kind) {
	case WR_ACT_FORK:
		fork_child(m, a);
		return true;
	case WR_ACT_TELL_PREPARE:
		tell_prepare(m, a);
		return true;
	case WR_ACT_TELL_COMMIT:
		tell(m, a, WR_MSG_COMMIT);
		return true;
	case WR_ACT_TELL_ABORT:
		tell(m, a, WR_MSG_ABORT);
		return true;
	case WR_ACT_TELL_OPEN:
		wr_listens_open(m->listens, a->slot, a->shard);
		return true;
	case WR_ACT_TELL_SHUT:
		wr_listens_shut(m->listens, a->slot, a->shard);
		return true;
	case WR_ACT_TELL_PAUSE:
		wr_listens_stay(m->listens, a->slot);
		tell(m, a, WR_MSG_PAUSE);
		return true;
	case WR_ACT_TELL_RESUME:
		tell(m, a, WR_MSG_RESUME);
		return true;
	case WR_ACT_TELL_CONFIRMED:
		tell(m, a, WR_MSG_CONFIRMED);
		return true;
	case WR_ACT_TELL_DRAIN:
		tell_drain(m, a);
		return true;
	case WR_ACT_TELL_UNDRAIN:
		tell_undrain(m, a);
		return true;
	case WR_ACT_TELL_STOP:
		tell(m, a, WR_MSG_STOP);
		return true;
	case WR_ACT_KILL:
		wr_crew_kill(m, a->slot, a->signo);
		return true;
	default:
		return false;
	}
}

static void
leave(struct wr_master *m, const struct wr_act *a)
{
	m->status = a->status;
	/* The files of unix sockets go with the last owner. */
	if (!m->elder && m->reload.heir == WR_HEIR_NONE)
		wr_listens_unlink(m->listens);
	wr_loop_stop(m->loop);
}

void
wr_hands_do(struct wr_master *m, const struct wr_act *a)
{
	wr_debug("machine: %s, slot %d", wr_act_name(a->kind), a->slot);
	if (do_child(m, a))
		return;
	switch (a->kind) {
	case WR_ACT_BUILD:
		build(m, a);
		break;
	case WR_ACT_BIND:
		bind_all(m, a);
		break;
	case WR_ACT_COMMIT:
		commit(m, a);
		break;
	case WR_ACT_ABORT:
		abort_next(m, a);
		break;
	case WR_ACT_LISTEN:
		wr_listens_live(m->listens, a->shard);
		break;
	case WR_ACT_RETIRE:
		if (m->reload.heir == WR_HEIR_NONE)
			wr_notify_stopping();
		wr_listens_retire(m->listens, m->reload.heir != WR_HEIR_NONE,
		    wr_loop_now(m->loop));
		break;
	case WR_ACT_ANSWER:
		answer(m, a);
		break;
	case WR_ACT_UP:
		up(m);
		break;
	case WR_ACT_EXEC:
		exec_heir(m);
		break;
	case WR_ACT_HEIR_GO:
		heir_go(m);
		break;
	case WR_ACT_HEIR_KILL:
		wr_upgrade_kill(m->upgrade);
		break;
	case WR_ACT_INHERIT:
		inherit(m);
		break;
	case WR_ACT_ELDER_READY:
		elder_ready(m);
		break;
	case WR_ACT_ELDER_CONFIRM:
	case WR_ACT_ELDER_FAILED:
		wr_upgrade_say(m->upgrade, a->kind);
		break;
	default:
		assert(a->kind == WR_ACT_EXIT);
		leave(m, a);
	}
}
