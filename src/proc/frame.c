/* SPDX-License-Identifier: BSD-2-Clause */
/* frame - the life of a child, from fork to exit; see frame.h. */
#include "proc/frame.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"
#include "io/signals.h"
#include "io/sock.h"
#include "proc/crash.h"
#include "proc/drop.h"
#include "proc/remains.h"
#include "proc/title.h"
#include "proxy/stats.h"

/* A socket that is to be accepted from when `next` is in use. */
struct pending {
	struct wr_list link;
	struct wr_msg msg;
	int fd;
};

static wr_msg_fn on_msg;
static wr_done_fn on_master_gone;
static wr_keep_fn on_wake;
static wr_timer_fn on_beat;

/* Before there is a channel, and after, there is nobody to tell. */
static void
tell(struct wr_frame *f, struct wr_msg m)
{
	if (!f->chan.closed && f->chan.loop != NULL)
		(void)wr_chan_send(&f->chan, &m, NULL, 0);
}

void
wr_frame_leave(struct wr_frame *f)
{
	f->leaving = true;
	wr_loop_stop(f->loop);
}

/* -- Generations --------------------------------------------------------- */

static void
on_gone(uint64_t generation, uint32_t place, void *arg)
{
	struct wr_frame *f = arg;

	f->gens[place] = NULL;
	tell(f, (struct wr_msg){ .kind = WR_MSG_GONE,
		    .generation = generation,
		    .place = place });
}

/* One more use of the generation that a message names, mapped now if it has
 * to be and can be.  NULL and errno. */
static struct wr_gen *
find_gen(struct wr_frame *f, const struct wr_msg *m, int fd)
{
	struct wr_gen *g;

	if (m->place >= WR_GENERATIONS) {
		errno = EPROTO;
		return NULL;
	}
	g = f->gens[m->place];
	if (g != NULL && g->generation == m->generation)
		return wr_gen_get(g);
	if (g != NULL || fd < 0) {
		errno = ESTALE;
		return NULL;
	}
	fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return NULL;
	g = wr_gen_map(fd, m->place, m->generation, (size_t)m->bytes);
	f->gens[m->place] = g;
	return g;
}

static void
let_go(struct wr_frame *f, bool open)
{
	wr_list_each_safe (n, &f->pending) {
		struct pending *p = wr_container_of(n, struct pending, link);

		wr_list_remove(&p->link);
		if (!open || f->verbs->listen(f, f->run, &p->msg, p->fd) < 0) {
			if (!open)
				(void)close(p->fd);
			wr_frame_unlistened(f, p->msg.text, p->msg.shard);
		}
		free(p);
	}
}

static void
prepare(struct wr_frame *f, const struct wr_msg *m, int fd)
{
	struct wr_gen *g = find_gen(f, m, fd);
	struct wr_msg answer = { .kind = WR_MSG_READY,
		.generation = m->generation };

	if (g == NULL) {
		answer.kind = WR_MSG_FAILED;
		answer.err = -errno;
		(void)snprintf(answer.text, sizeof(answer.text),
		    "cannot map the configuration: %s", strerror(errno));
	} else {
		if (f->next != NULL) {
			let_go(f, false);
			wr_gen_put(&f->next);
		}
		f->next = g;
	}
	tell(f, answer);
}

static void
abort_next(struct wr_frame *f, const struct wr_msg *m)
{
	if (f->next == NULL || f->next->generation != m->generation)
		return;
	let_go(f, false);
	wr_gen_put(&f->next);
}

static void
use(struct wr_frame *f)
{
	const struct wr_conf *c = f->run->conf;

	wr_store(&f->slot->generation, (uint32_t)f->run->generation);
	wr_log_level((enum wr_level)c->error_log.level);
	wr_log_format((enum wr_log_format)c->error_log.format);
	wr_loop_warn(f->loop, c->watchdog.warn_ms);
	wr_timer_set(f->loop, &f->beat, c->watchdog.interval_ms, on_beat);
}

static void
commit(struct wr_frame *f, const struct wr_msg *m)
{
	struct wr_gen *old = f->run;

	if (f->next == NULL || f->next->generation != m->generation)
		return;
	f->run = f->next;
	f->next = NULL;
	use(f);
	if (f->verbs->use != NULL)
		f->verbs->use(f);
	let_go(f, true);
	wr_gen_put(&old);
}

/* -- Sockets ------------------------------------------------------------- */

void
wr_frame_unlistened(struct wr_frame *f, const char *text, uint32_t shard)
{
	struct wr_msg m = { .kind = WR_MSG_UNLISTENED, .shard = shard };

	(void)snprintf(m.text, sizeof(m.text), "%s", text);
	tell(f, m);
}

static void
listen_later(struct wr_frame *f, const struct wr_msg *m, int fd)
{
	struct pending *p = calloc(1, sizeof(*p));

	if (p == NULL) {
		wr_error("%s", m->text);
		(void)close(fd);
		wr_frame_unlistened(f, m->text, m->shard);
		return;
	}
	p->msg = *m;
	p->fd = fd;
	wr_list_push(&f->pending, &p->link);
}

static void
listen_on(struct wr_frame *f, const struct wr_msg *m, int fd, int gen_fd)
{
	struct wr_gen *g = find_gen(f, m, gen_fd);
	int err = g == NULL ? -errno : 0;

	if (g != NULL && g == f->next && g != f->run) {
		listen_later(f, m, fd);
		wr_gen_put(&g);
		return;
	}
	if (err == 0 && f->verbs->listen != NULL && !f->draining)
		err = f->verbs->listen(f, g, m, fd);
	else
		(void)close(fd);
	if (g != NULL)
		wr_gen_put(&g);
	if (err < 0)
		wr_warnx("%s: cannot accept: %s", m->text, strerror(-err));
	if (err < 0 || f->verbs->listen == NULL || f->draining)
		wr_frame_unlistened(f, m->text, m->shard);
}

/* -- Words of the master ------------------------------------------------- */

static void
drain(struct wr_frame *f)
{
	if (f->draining)
		return;
	f->draining = true;
	wr_store(&f->slot->phase, (uint32_t)WR_PHASE_DRAIN);
	if (f->verbs->drain != NULL)
		f->verbs->drain(f);
	else
		wr_frame_leave(f);
}

static void
undrain(struct wr_frame *f, const struct wr_msg *m)
{
	if (!f->draining || f->leaving)
		return;
	f->draining = false;
	wr_store(&f->slot->phase, (uint32_t)WR_PHASE_READY);
	if (f->verbs->undrain != NULL)
		f->verbs->undrain(f, (uint32_t)m->a);
}

static void
stop(struct wr_frame *f)
{
	f->draining = true;
	wr_store(&f->slot->phase, (uint32_t)WR_PHASE_DRAIN);
	if (f->verbs->stop != NULL)
		f->verbs->stop(f);
	else
		wr_frame_leave(f);
}

static void
pause_accepting(struct wr_frame *f, bool on)
{
	if (f->verbs->pause != NULL)
		f->verbs->pause(f, on);
	if (on)
		tell(f, (struct wr_msg){ .kind = WR_MSG_PAUSED });
}

/* The old descriptors stay open until nobody can use them any more, which is
 * at once: one process, one thread. */
static void
reopen(struct wr_frame *f, const struct wr_msg *m, int fds[WR_MSG_FDS])
{
	int i = 0, old = f->error_fd;

	f->error_fd = -1;
	if ((m->flags & WR_MSG_ERROR_LOG) != 0) {
		f->error_fd = fds[i];
		fds[i++] = -1;
	}
	wr_log_fd(f->error_fd);
	wr_crash_fd(f->error_fd >= 0 ? f->error_fd : STDERR_FILENO);
	if (old > STDERR_FILENO)
		(void)close(old);
	if ((m->flags & WR_MSG_ACCESS_LOG) != 0) {
		old = f->access_fd;
		f->access_fd = fds[i];
		fds[i] = -1;
		if (f->verbs->access_log != NULL)
			f->verbs->access_log(f, f->access_fd);
		if (old > STDERR_FILENO)
			(void)close(old);
	}
}

static void
on_msg(struct wr_chan *ch, const struct wr_msg *m, int fds[WR_MSG_FDS])
{
	struct wr_frame *f = wr_container_of(ch, struct wr_frame, chan);

	switch (m->kind) {
	case WR_MSG_PREPARE:
		prepare(f, m, fds[0]);
		break;
	case WR_MSG_LISTEN:
		if (fds[0] >= 0)
			listen_on(f, m, fds[0], fds[1]);
		fds[0] = -1;
		break;
	case WR_MSG_UNLISTEN:
		if (f->verbs->unlisten != NULL)
			f->verbs->unlisten(f, m);
		break;
	case WR_MSG_COMMIT:
		commit(f, m);
		break;
	case WR_MSG_ABORT:
		abort_next(f, m);
		break;
	case WR_MSG_DRAIN:
		drain(f);
		break;
	case WR_MSG_UNDRAIN:
		undrain(f, m);
		break;
	case WR_MSG_STOP:
		stop(f);
		break;
	case WR_MSG_STAY:
		if (f->verbs->stay != NULL)
			f->verbs->stay(f, m);
		break;
	case WR_MSG_PAUSE:
	case WR_MSG_RESUME:
		pause_accepting(f, m->kind == WR_MSG_PAUSE);
		break;
	case WR_MSG_CONFIRMED:
		f->confirmed = true;
		break;
	case WR_MSG_REOPEN:
		reopen(f, m, fds);
		break;
	default:
		wr_warnx("the master says \"%s\"", wr_msg_name(m->kind));
	}
	for (int i = 0; i < WR_MSG_FDS; i++) {
		if (fds[i] >= 0)
			(void)close(fds[i]);
	}
}

static void
on_chan_end(struct wr_chan *ch, int err)
{
	if (err == -EPROTO)
		wr_errorx("the master speaks another language");
	wr_chan_close(ch, NULL);
}

/* -- Events -------------------------------------------------------------- */

/* End of every turn: what others look at. */
static void
on_turn(struct wr_loop *l, struct wr_hook *h)
{
	struct wr_frame *f = wr_container_of(h, struct wr_frame, turn);
	const struct wr_loop_stats *st = wr_loop_stats(l);
	uint32_t n = f->verbs->sessions != NULL ? f->verbs->sessions(f) : 0;

	wr_store(&f->slot->beat_ms, wr_loop_now(l) + f->beat_more_ms);
	wr_store(&f->slot->sessions, n);
	wr_store(&f->slot->fds, st->socks);
	if (f->sessions_max > 0 && f->full != (n >= f->sessions_max)) {
		f->full = !f->full;
		tell(f, (struct wr_msg){
			    .kind = f->full ? WR_MSG_FULL : WR_MSG_ROOM });
	}
	if (st->late_turns != f->late_turns) {
		wr_store(&f->slot->late_beats,
		    f->slot->late_beats + st->late_turns - f->late_turns);
		f->late_turns = st->late_turns;
		wr_warnx("a turn took longer than %u ms (the longest so far: "
			 "%llu ms)",
		    f->run->conf->watchdog.warn_ms,
		    (unsigned long long)st->turn_max_us / 1000);
	}
}

/* The master is gone, as every beat finds again: an older binary ends as soon
 * as a newer one has everything. */
static void
orphaned(struct wr_frame *f)
{
	bool known = f->orphan;

	f->orphan = true;
	if (!f->chan.closed)
		wr_chan_close(&f->chan, NULL);
	if (wr_slot_superseded(f->birth->shm, f->birth->slot)) {
		drain(f);
	} else if (!known && f->confirmed) {
		wr_warnx("the master is gone; serving on, send QUIT or TERM "
			 "to end this process");
	} else if (!known) {
		wr_warnx("the new master is gone before it was confirmed; "
			 "ending");
		drain(f);
	}
}

/* Where a beat is dear it comes seldom, and counts for longer. */
static uint32_t
beat_more_ms(const struct wr_frame *f)
{
	const struct wr_conf *c = f->run->conf;
	uint32_t most = c->watchdog.limit_ms / 2, every;

	if (!wr_loop_scans(f->loop))
		return 0;
	every = 8 * c->watchdog.interval_ms;
	if (every > most)
		every = most;
	return every > c->watchdog.interval_ms ? every - c->watchdog.interval_ms
					       : 0;
}

/* Nothing but a turn's end is needed; where there is no pidfd, a look at the
 * parent too. */
static void
on_beat(struct wr_loop *l, struct wr_timer *t)
{
	struct wr_frame *f = wr_container_of(t, struct wr_frame, beat);

	if (getppid() != f->birth->master)
		orphaned(f);
	f->beat_more_ms = beat_more_ms(f);
	wr_timer_set(l, t, f->run->conf->watchdog.interval_ms + f->beat_more_ms,
	    on_beat);
}

static void
on_master_gone(struct wr_loop *l, struct wr_op *op, const struct wr_done *d)
{
	struct wr_frame *f =
	    wr_container_of(wr_sock_of_in(op), struct wr_frame, master);

	(void)l;
	if (d->res >= 0)
		orphaned(f);
}

static void
on_wake(struct wr_loop *l, struct wr_keep *k)
{
	struct wr_frame *f = wr_container_of(k, struct wr_frame, wake);
	uint64_t news;

	(void)l;
	if (read(k->sock.fd, &news, sizeof(news)) > 0 && f->verbs->wake != NULL)
		f->verbs->wake(f);
}

/*
 * INT and QUIT come from a terminal to all of its processes; they are the
 * master's as long as there is one.  It would go on to count on a process that
 * drains of its own accord, and whose clients would wait.
 */
static void
on_signal(struct wr_loop *l, int signo, void *arg)
{
	struct wr_frame *f = arg;

	(void)l;
	if (getppid() != f->birth->master)
		orphaned(f);
	if (signo == SIGTERM || (signo == SIGINT && f->orphan))
		stop(f);
	else if (f->orphan)
		drain(f);
}

/* -- Birth --------------------------------------------------------------- */

/* What was the master's: its loop's traps, its other generations, every
 * descriptor that is not ours. */
static void
separate(struct wr_frame *f)
{
	const struct wr_birth *b = f->birth;
	int keep[WR_SLOTS + 6], n = 0;

	wr_signals_abandon();
	keep[n++] = STDIN_FILENO;
	keep[n++] = STDOUT_FILENO;
	keep[n++] = STDERR_FILENO;
	keep[n++] = b->fd;
	keep[n++] = b->error_fd;
	keep[n++] = b->access_fd;
	for (int i = 0; i < WR_SLOTS; i++)
		keep[n++] = b->shm->wake[i];
	wr_drop_fds(keep, (size_t)n);
}

static void
ignore_signals(void)
{
	static const int signos[] = { SIGHUP, SIGUSR1, SIGWINCH };

	for (size_t i = 0; i < WR_COUNT(signos); i++)
		(void)signal(signos[i], SIG_IGN);
}

static int
make_loop(struct wr_frame *f)
{
	const struct wr_conf *c = f->run->conf;
	struct wr_loop_conf lc = {
		.backend = c->events.backend,
		.buffers_bytes = c->events.buffers,
		.spill_bytes = c->events.spill,
		.warn_ms = c->watchdog.warn_ms,
		.stats = &f->slot->loop,
	};
	const char *env = getenv("WEIR_EVENTS");

	/* For tests only; see contrib/HACKING.md. */
	if (env != NULL && env[0] != '\0' && strcmp(lc.backend, "auto") == 0)
		lc.backend = env;
	env = getenv("WEIR_CHOP");
	lc.chop = env != NULL ? (uint32_t)strtoul(env, NULL, 10) : 0;
	env = getenv("WEIR_CHAOS");
	lc.chaos = env != NULL ? strtoull(env, NULL, 10) : 0;
	if (f->verbs->size != NULL)
		f->verbs->size(f, &lc);
	f->loop = wr_loop_new(&lc);
	if (f->loop == NULL)
		return -errno;
	(void)snprintf(f->slot->backend, sizeof(f->slot->backend), "%s",
	    wr_loop_backend(f->loop));
	return 0;
}

/* Without pidfd_open(), the beat looks after the parent. */
static int
watch_master(struct wr_frame *f)
{
	int fd = -1, err;

#ifdef SYS_pidfd_open
	fd = (int)syscall(SYS_pidfd_open, f->birth->master, 0);
#endif
	f->master.fd = -1;
	if (fd < 0)
		return 0;
	(void)fcntl(fd, F_SETFD, FD_CLOEXEC);
	/* Another process may have got the pid if ours died before. */
	if (getppid() != f->birth->master) {
		(void)close(fd);
		return 0;
	}
	err = wr_sock_init(f->loop, &f->master, fd);
	if (err < 0) {
		(void)close(fd);
		return err;
	}
	return wr_watch(f->loop, &f->master, WR_OP_READABLE, on_master_gone);
}

static int
start_events(struct wr_frame *f)
{
	static const int signos[] = { SIGQUIT, SIGTERM, SIGINT, 0 };
	int err;

	f->why = "signals";
	err = wr_signals_start(f->loop, signos, on_signal, f);
	if (err < 0)
		return err;
	/* Blocked since before the fork: what has come meanwhile, to all of us
	 * or as a question of the watchdog, finds its handler. */
	(void)sigprocmask(SIG_SETMASK, f->birth->signos, NULL);
	f->why = "channel";
	err =
	    wr_chan_start(&f->chan, f->loop, f->birth->fd, on_msg, on_chan_end);
	if (err < 0)
		return err;
	f->why = "eventfd";
	err = wr_keep_start(f->loop, &f->wake,
	    f->birth->shm->wake[f->birth->slot], "news of other processes",
	    on_wake);
	if (err < 0)
		return err;
	f->why = "pidfd";
	err = watch_master(f);
	if (err < 0)
		return err;
	f->turn.fn = on_turn;
	wr_loop_at_end(f->loop, &f->turn);
	return 0;
}

static int
start(struct wr_frame *f)
{
	int err;

	f->why = "user";
	err = wr_drop_user(f->run->conf, &f->why);
	if (err < 0)
		return err;
	f->why = "stack for signals";
	err = wr_crash_init(f->verbs->name, f->error_fd);
	if (err == 0)
		err = wr_crash_on_demand();
	if (err < 0)
		return err;
	f->why = "events.backend";
	err = make_loop(f);
	if (err < 0)
		return err;
	err = start_events(f);
	if (err < 0)
		return err;
	f->why = f->verbs->name;
	return f->verbs->start(f);
}

/* The loop may not be there: one message, by hand. */
static void
tell_failure(struct wr_frame *f, int err)
{
	struct wr_msg m = { .version = WR_MSG_VERSION,
		.kind = WR_MSG_FAILED,
		.generation = f->run->generation,
		.err = err };

	(void)snprintf(m.text, sizeof(m.text), "cannot start: %s: %s", f->why,
	    strerror(-err));
	if (wr_sock_send_fds(f->birth->fd, &m, sizeof(m), NULL, 0) < 0)
		wr_errorx("%s", m.text);
}

/* -- End ----------------------------------------------------------------- */

static void
end(struct wr_frame *f)
{
	f->verbs->exit(f);
	if (f->next != NULL) {
		let_go(f, false);
		wr_gen_put(&f->next);
	}
	wr_gen_put(&f->run);
	wr_loop_hook_stop(&f->turn);
	wr_timer_stop(f->loop, &f->beat);
	if (!f->chan.closed)
		wr_chan_close(&f->chan, NULL);
	wr_keep_stop(f->loop, &f->wake);
	wr_release(f->loop, &f->wake.sock, NULL);
	if (f->master.fd >= 0)
		wr_close(f->loop, &f->master, NULL);
	wr_signals_stop(f->loop);
	/* Who is told twice is ending already. */
	(void)signal(SIGTERM, SIG_IGN);
	(void)signal(SIGQUIT, SIG_IGN);
	(void)signal(SIGINT, SIG_IGN);
}

int
wr_frame_run(const struct wr_birth *b, const struct wr_verbs *verbs)
{
	struct wr_frame f = { .birth = b,
		.verbs = verbs,
		.run = b->gen,
		.slot = &b->shm->stats->slots[b->slot],
		.error_fd = b->error_fd,
		.access_fd = b->access_fd,
		.confirmed = b->confirmed };
	struct wr_remains before;
	int err;

	wr_list_init(&f.pending);
	f.gens[f.run->place] = f.run;
	separate(&f);
	ignore_signals();
	wr_remains_count(&before);
	err = start(&f);
	if (err < 0) {
		tell_failure(&f, err);
		return 1;
	}
	wr_gen_on_gone(on_gone, &f);
	use(&f);
	wr_store(&f.slot->phase, (uint32_t)WR_PHASE_READY);
	tell(&f, (struct wr_msg){
		     .kind = WR_MSG_READY, .generation = f.run->generation });
	wr_loop_run(f.loop);
	end(&f);
	return wr_remains_check(&f, &before) ? 0 : 3;
}
