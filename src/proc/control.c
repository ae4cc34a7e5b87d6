/* SPDX-License-Identifier: BSD-2-Clause */
/* control - a frame around the control hooks of the modules. */
#include "proc/control.h"

#include <errno.h>
#include <unistd.h>

#include "base/log.h"
#include "proc/title.h"
#include "proxy/control.h"
#include "proxy/module.h"

/* Its own descriptors are few: probes, names, pages. */
#define SOCKS_MAX 8192
/* For answers that are on their way.  Also if it has to stop: it is told so
 * when the last worker is gone, whatever the reason. */
#define DRAIN_MS      1000
#define DRAIN_LOOK_MS 20

static struct {
	struct wr_frame *frame;
	struct wr_timer timer;
	uint64_t until_ms;
} drains;

static wr_timer_fn on_drain;

static void
size(struct wr_frame *f, struct wr_loop_conf *c)
{
	(void)f;
	c->socks_max = SOCKS_MAX;
}

static int
start(struct wr_frame *f)
{
	static struct wr_control control;
	struct wr_control *ct = &control;
	int err;

	ct->loop = f->loop;
	ct->stats = f->birth->shm->stats;
	ct->slot = f->birth->slot;
	ct->gen = f->run;
	ct->conf = f->run->conf;
	ct->master = f->birth->master;
	wr_random_seed(
	    &ct->random, wr_loop_now(f->loop) << 20 ^ (uint64_t)getpid());
	f->arg = ct;
	err = wr_roster_start(ct);
	if (err < 0)
		return err;
	for (int i = 0; wr_modules[i] != NULL; i++) {
		const struct wr_module *m = wr_modules[i];

		err = m->control_start != NULL ? m->control_start(ct) : 0;
		if (err < 0) {
			f->why = m->name;
			return err;
		}
	}
	return 0;
}

static void
use(struct wr_frame *f)
{
	struct wr_control *ct = f->arg;

	ct->gen = f->run;
	ct->conf = f->run->conf;
	wr_roster_use(ct);
	for (int i = 0; wr_modules[i] != NULL; i++) {
		if (wr_modules[i]->control_use != NULL)
			wr_modules[i]->control_use(ct, ct->conf);
	}
}

static int
listen_on(struct wr_frame *f, struct wr_gen *g, const struct wr_msg *m, int fd)
{
	const struct wr_listener_conf *c =
	    wr_conf_listener_at(g->conf, m->cell);

	for (int i = 0; c != NULL && wr_modules[i] != NULL; i++) {
		const struct wr_module *mod = wr_modules[i];

		if (mod->control_listen != NULL &&
		    mod->control_listen(f->arg, g, c, m->text, fd))
			return 0;
	}
	(void)close(fd);
	return -EPROTONOSUPPORT;
}

static void
unlisten(struct wr_frame *f, const struct wr_msg *m)
{
	for (int i = 0; wr_modules[i] != NULL; i++) {
		if (wr_modules[i]->control_unlisten != NULL)
			wr_modules[i]->control_unlisten(f->arg, m->text);
	}
	wr_frame_unlistened(f, m->text, m->shard);
}

/* What is being done is finished, if that does not take long. */
static void
on_drain(struct wr_loop *l, struct wr_timer *t)
{
	struct wr_frame *f = drains.frame;
	bool idle = true;

	for (int i = 0; wr_modules[i] != NULL; i++) {
		if (wr_modules[i]->control_drain != NULL)
			idle &= wr_modules[i]->control_drain(f->arg);
	}
	if (idle || wr_loop_now(l) >= drains.until_ms)
		wr_frame_leave(f);
	else
		wr_timer_set(l, t, DRAIN_LOOK_MS, on_drain);
}

static void
drain(struct wr_frame *f)
{
	if (drains.frame != NULL)
		return;
	drains.frame = f;
	drains.until_ms = wr_loop_now(f->loop) + DRAIN_MS;
	on_drain(f->loop, &drains.timer);
}

static void
leave(struct wr_frame *f)
{
	for (int i = 0; wr_modules[i] != NULL; i++) {
		if (wr_modules[i]->control_exit != NULL)
			wr_modules[i]->control_exit(f->arg);
	}
	wr_timer_stop(f->loop, &drains.timer);
	wr_roster_stop(f->arg);
	f->arg = NULL;
}

static const struct wr_verbs control_role = {
	.name = "control",
	.size = size,
	.start = start,
	.use = use,
	.listen = listen_on,
	.unlisten = unlisten,
	.drain = drain,
	.stop = drain,
	.exit = leave,
};

int
wr_control_run(const struct wr_birth *b)
{
	wr_title_set("weir: control");
	wr_log_name("control");
	return wr_frame_run(b, &control_role);
}
