/* SPDX-License-Identifier: BSD-2-Clause */
/* master - start, signals, timers, end; see master.h. */
#include "proc/master.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "io/signals.h"
#include "proc/ask.h"
#include "proc/crash.h"
#include "proc/daemon.h"
#include "proc/drop.h"
#include "proc/listen.h"
#include "proc/logs.h"
#include "proc/notify.h"
#include "proc/pidfile.h"
#include "proc/title.h"
#include "proc/watch.h"

static wr_timer_fn on_due, on_tick;

/* Inherited channels, eventfds of the loop: few.  poll() is everywhere, needs
 * no descriptor of its own and nothing to be undone in a child. */
static const struct wr_loop_conf loop_conf = {
	.backend = "poll",
	.buffers_bytes = 1 << 20,
	.spill_bytes = 1 << 20,
	.socks_max = 4096,
};

/* -- The machine --------------------------------------------------------- */

static uint64_t
later(uint64_t at, uint64_t now)
{
	return at > now ? at - now : 0;
}

static void
set_timers(struct wr_master *m)
{
	uint64_t now = wr_loop_now(m->loop);
	uint64_t due = wr_reload_due(&m->reload);
	uint64_t tick = wr_listens_due(m->listens);

	if (due == UINT64_MAX)
		wr_timer_stop(m->loop, &m->due);
	else
		wr_timer_set(m->loop, &m->due, later(due, now), on_due);
	if (tick == UINT64_MAX)
		wr_timer_stop(m->loop, &m->tick);
	else
		wr_timer_set(m->loop, &m->tick, later(tick, now), on_tick);
}

/* What comes of an action is fed while it is carried out; only the outermost
 * call carries out. */
void
wr_master_act(struct wr_master *m)
{
	struct wr_act a;

	if (m->feeding)
		return;
	m->feeding = true;
	while (wr_reload_next(&m->reload, &a))
		wr_hands_do(m, &a);
	m->feeding = false;
	set_timers(m);
}

void
wr_master_feed(struct wr_master *m, const struct wr_event *e)
{
	wr_reload_feed(&m->reload, wr_loop_now(m->loop), e);
	wr_master_act(m);
}

void
wr_master_event(struct wr_master *m, enum wr_event_kind kind, int slot)
{
	struct wr_event e = { .kind = kind, .slot = slot };

	wr_master_feed(m, &e);
}

uint64_t
wr_master_reload(struct wr_master *m)
{
	return wr_reload_ask(&m->reload, wr_loop_now(m->loop));
}

uint64_t
wr_master_upgrade(struct wr_master *m)
{
	return wr_reload_ask_upgrade(&m->reload, wr_loop_now(m->loop));
}

static void
on_due(struct wr_loop *l, struct wr_timer *t)
{
	struct wr_master *m = wr_container_of(t, struct wr_master, due);

	(void)l;
	wr_master_event(m, WR_EV_TICK, -1);
}

static void
on_tick(struct wr_loop *l, struct wr_timer *t)
{
	struct wr_master *m = wr_container_of(t, struct wr_master, tick);

	wr_listens_tick(m->listens, wr_loop_now(l));
	if (m->reload.end == WR_END_CLOSE && wr_listens_closed(m->listens))
		wr_master_event(m, WR_EV_CLOSED, -1);
	set_timers(m);
}

static void
on_watch(void *arg, enum wr_event_kind kind, int slot)
{
	if (kind == WR_EV_GONE)
		wr_crew_reap(arg);
	else
		wr_master_event(arg, kind, slot);
}

static void
on_unnamed(void *arg, struct wr_str numbers)
{
	struct wr_master *m = arg;

	wr_listens_ours(m->listens, numbers);
}

static void
on_upgrade(void *arg, enum wr_event_kind kind)
{
	wr_master_event(arg, kind, -1);
}

static void
on_listen_tell(void *arg, int slot, const struct wr_listen_tell *t)
{
	struct wr_master *m = arg;
	struct wr_msg msg = {
		.kind = t->stay   ? WR_MSG_STAY
			: t->open ? WR_MSG_LISTEN
				  : WR_MSG_UNLISTEN,
		.flags = t->shared ? WR_MSG_SHARED : 0,
		.generation = t->gen->generation,
		.bytes = t->gen->bytes,
		.place = t->gen->place,
		.cell = t->cell,
		.shard = t->shard,
	};
	struct wr_child *c = wr_crew_get(m, slot);
	int fds[2] = { t->fd, t->gen->fd }, n = 0;

	if (c == NULL)
		return;
	(void)snprintf(msg.text, sizeof(msg.text), "%s", t->text);
	if (t->open) {
		/* One that is retired may not be mapped there any more. */
		n = t->gen != m->run && t->gen->fd >= 0 ? 2 : 1;
		c->places |= 1u << t->gen->place;
	}
	wr_crew_tell(m, slot, &msg, fds, n);
}

/* -- Signals ------------------------------------------------------------- */

/* A terminal sends WINCH whenever its window changes. */
static bool
has_terminal(void)
{
	int fd = open("/dev/tty", O_RDONLY | O_CLOEXEC | O_NOCTTY);

	if (fd >= 0)
		(void)close(fd);
	return fd >= 0;
}

static void
reopen(struct wr_master *m)
{
	struct wr_text errors = { 0 };

	if (wr_master_reopen(m, &errors) < 0)
		wr_master_complain(m, (struct wr_str){ errors.p, errors.len });
	wr_text_fini(&errors);
}

static void
on_signal(struct wr_loop *l, int signo, void *arg)
{
	struct wr_master *m = arg;

	(void)l;
	switch (signo) {
	case SIGCHLD:
		wr_crew_reap(m);
		break;
	case SIGHUP:
		wr_info("HUP: reload");
		(void)wr_master_reload(m);
		wr_master_act(m);
		break;
	case SIGUSR1:
		reopen(m);
		break;
	case SIGUSR2:
		wr_info("USR2: upgrade");
		(void)wr_master_upgrade(m);
		wr_master_act(m);
		break;
	case SIGWINCH:
		if (!has_terminal())
			wr_master_event(m, WR_EV_WINCH, -1);
		break;
	case SIGQUIT:
		wr_info("QUIT: stop gracefully");
		wr_master_event(m, WR_EV_QUIT, -1);
		break;
	default:
		wr_info("%s: stop", signo == SIGTERM ? "TERM" : "INT");
		wr_master_event(m, WR_EV_STOP, -1);
	}
}

/* -- Logs ---------------------------------------------------------------- */

void
wr_master_complain(struct wr_master *m, struct wr_str lines)
{
	struct wr_str line;

	while (lines.len > 0) {
		(void)wr_str_cut(lines, '\n', &line, &lines);
		if (line.len == 0)
			continue;
		if (!m->up && !m->elder)
			(void)dprintf(
			    STDERR_FILENO, "%.*s\n", WR_STR_ARG(line));
		if (m->up || m->elder || m->logs.error_fd != STDERR_FILENO)
			wr_errorx("%.*s", WR_STR_ARG(line));
	}
}

int
wr_master_reopen(struct wr_master *m, struct wr_text *errors)
{
	struct wr_logs logs;

	if (m->run == NULL) {
		wr_text_puts(errors, "logs: weir is not up yet\n");
		return -1;
	}
	if (wr_logs_open(&logs, m->run->conf, m->opts->daemon, errors) < 0)
		return -1;
	wr_logs_use(m, &logs, m->run->conf);
	wr_notice("log files are open again");
	return 0;
}

/* -- Start --------------------------------------------------------------- */

/* Standard descriptors are there, so that nothing else takes their place. */
static int
open_null(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR | O_NOCTTY);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		(void)fcntl(fd, F_SETFD, FD_CLOEXEC);
	return fd;
}

static int
take_over(struct wr_master *m)
{
	const struct wr_manifest *mf = &m->manifest;
	struct wr_str lines = { mf->listens.p, mf->listens.len };

	m->pid_fd = mf->pid_fd;
	m->parent_fd = mf->parent_fd;
	m->shm = wr_shm_attach(mf->shm_fd, mf->wake_fds);
	if (m->shm == NULL) {
		wr_warn("shared memory of the old binary cannot be used, "
			"counters begin anew");
		m->shm = wr_shm_new();
		if (m->shm == NULL)
			return -errno;
	}
	return wr_listens_read(m->listens, lines);
}

/* `what` is the part that could not be made. */
static int
make_parts(struct wr_master *m, const char **what)
{
	int err;

	*what = "room for configurations (ulimit -v)";
	err = wr_gen_reserve();
	if (err < 0)
		return err;
	wr_gen_on_gone(wr_hands_gone, m);
	*what = "event loop";
	m->loop = wr_loop_new(&loop_conf);
	m->listens = wr_listens_new(on_listen_tell, m);
	if (m->loop == NULL || m->listens == NULL)
		return -errno;
	*what = "shared memory (ulimit -v)";
	if (m->elder) {
		err = take_over(m);
		if (err < 0)
			return err;
	} else {
		wr_listens_environment(m->listens);
		if (m->opts->beside)
			wr_listens_beside(m->listens);
		m->shm = wr_shm_new();
		if (m->shm == NULL)
			return -errno;
	}
	*what = "memory";
	m->cells = wr_cells_new(m->shm);
	m->watch = wr_watch_new(m->loop, m->shm, on_watch, m);
	m->upgrade =
	    wr_upgrade_new(m->loop, m->opts->argv, on_upgrade, on_unnamed, m);
	m->ask = wr_ask_new(m);
	if (m->cells == NULL || m->watch == NULL || m->upgrade == NULL ||
	    m->ask == NULL)
		return -errno;
	if (m->elder)
		return wr_upgrade_join(m->upgrade, &m->manifest);
	return 0;
}

static int
start(struct wr_master *m, const char **what)
{
	static const int signos[] = { SIGCHLD, SIGHUP, SIGUSR1, SIGUSR2,
		SIGWINCH, SIGQUIT, SIGTERM, SIGINT, 0 };
	int err;

	err = make_parts(m, what);
	if (err < 0)
		return err;
	*what = "signals";
	err = wr_crash_init("master", STDERR_FILENO);
	if (err < 0)
		return err;
	err = wr_signals_start(m->loop, signos, on_signal, m);
	if (err < 0)
		return err;
	wr_reload_init(&m->reload, m->elder ? m->manifest.generation : 0,
	    wr_listens_shards(m->listens), m->elder);
	return 0;
}

/* -- End ----------------------------------------------------------------- */

static void
finish(struct wr_master *m)
{
	wr_ask_close(m->ask);
	wr_watch_free(&m->watch);
	wr_upgrade_free(&m->upgrade);
	wr_timer_stop(m->loop, &m->due);
	wr_timer_stop(m->loop, &m->tick);
	wr_timer_stop(m->loop, &m->strays);
	wr_signals_stop(m->loop);
	for (int i = 0; i < 100 && wr_loop_stats(m->loop)->socks > 0; i++)
		wr_loop_turn(m->loop, 10);
	wr_ask_free(&m->ask);
	/* The elder's goes on being the elder's. */
	if (m->pid_fd >= 0 && m->elder)
		(void)close(m->pid_fd);
	else if (m->pid_fd >= 0)
		wr_pidfile_remove(m->pid_path, m->pid_fd);
	wr_listens_free(&m->listens);
	wr_log_flush();
}

int
wr_master_run(const struct wr_options *o)
{
	static struct wr_master master;
	struct wr_master *m = &master;
	const char *what = "";
	int err;

	m->opts = o;
	m->pid_fd = m->parent_fd = -1;
	m->logs.error_fd = STDERR_FILENO;
	m->logs.access_fd = -1;
	wr_list_init(&m->children);
	wr_list_init(&m->limbo);
	m->null_fd = open_null();
	/* Until the configuration says what to log. */
	if (o->quiet)
		wr_log_level(WR_ERROR);
	err = wr_manifest_inherit(&m->manifest);
	m->elder = err > 0;
	if (err < 0) {
		wr_errorx("the old binary speaks another language");
		return 1;
	}
	if (o->daemon && !m->elder) {
		err = wr_daemon_start(&m->parent_fd);
		if (err < 0) {
			wr_error("cannot go to the background");
			return 1;
		}
	}
	m->pid = getpid();
	wr_title_set("weir: master");
	wr_log_name("master");
	(void)wr_drop_limit();
	err = start(m, &what);
	if (err < 0) {
		wr_errorx("cannot start: %s: %s", what, strerror(-err));
		return 1;
	}
	wr_master_event(m, WR_EV_START, -1);
	/* A value that is refused ends it before the first turn. */
	if (!m->reload.gone)
		wr_loop_run(m->loop);
	finish(m);
	return m->status == 0 && m->unsound ? 3 : m->status;
}
