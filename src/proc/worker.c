/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * worker - what the master's words mean for the sessions of this process.
 *
 * Everything that happens to a session is below, in proxy/; start reading at
 * proxy/session.h.
 */
#include "proc/worker.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "proc/drop.h"
#include "proc/title.h"
#include "proxy/module.h"
#include "proxy/proxy.h"

/* Descriptors that are not a session's: logs, channel, eventfds, listeners,
 * the kernel's own. */
#define OTHER_FDS    512
#define SESSIONS_MAX 16384
/* Sockets to accept from, beyond the few in OTHER_FDS: a range of ports is a
 * lot of them, and a reload may bring it. */
#define DOORS_MAX 65536

/* How many sessions, of two descriptors each, so many descriptors suffice
 * for. */
static uint32_t
sessions_for(uint64_t descriptors)
{
	uint64_t n = descriptors > 2 * OTHER_FDS ? (descriptors - OTHER_FDS) / 2
						 : descriptors / 4;

	return n < UINT32_MAX ? (uint32_t)n : UINT32_MAX;
}

static void
size(struct wr_frame *f, struct wr_loop_conf *c)
{
	const struct wr_conf *conf = f->run->conf;
	uint32_t most = sessions_for(wr_drop_limit());

	f->sessions_max = conf->events.connections;
	if (f->sessions_max == WR_OFF) {
		f->sessions_max = most < SESSIONS_MAX ? most : SESSIONS_MAX;
	} else if (f->sessions_max > most) {
		wr_notice("events.connections: descriptors suffice for %u, "
			  "not for %u",
		    most, f->sessions_max);
		f->sessions_max = most;
	}
	c->socks_max = 2 * f->sessions_max + OTHER_FDS + DOORS_MAX;
}

/* select holds fewer descriptors than the process may have. */
static void
respect_backend(struct wr_frame *f)
{
	uint32_t limit = wr_loop_limit(f->loop);
	uint32_t most = limit > 64 ? (limit - 64) / 2 : 1;

	if (limit == 0 || f->sessions_max <= most)
		return;
	if (f->run->conf->events.connections != WR_OFF)
		wr_notice("%s serves %u sessions, not %u",
		    wr_loop_backend(f->loop), most, f->sessions_max);
	f->sessions_max = most;
}

static void
on_empty(void *arg)
{
	wr_frame_leave(arg);
}

static int
start(struct wr_frame *f)
{
	struct wr_proxy_opts o = {
		.loop = f->loop,
		.stats = f->birth->shm->stats,
		.slot = f->birth->slot,
		.modules = wr_modules,
		.access_fd = f->access_fd,
	};

	respect_backend(f);
	o.sessions_max = f->sessions_max;
	wr_store(&f->slot->sessions_max, f->sessions_max);
	f->arg = wr_proxy_new(&o, f->run);
	if (f->arg == NULL)
		return -errno;
	wr_debug("ready: %s, at most %u sessions", wr_loop_backend(f->loop),
	    f->sessions_max);
	return 0;
}

static void
use(struct wr_frame *f)
{
	wr_proxy_use(f->arg, f->run);
}

static int
listen_on(struct wr_frame *f, struct wr_gen *g, const struct wr_msg *m, int fd)
{
	return wr_proxy_open(f->arg, g, m->cell, m->text, m->shard, fd,
	    (m->flags & WR_MSG_SHARED) != 0);
}

struct shut {
	struct wr_frame *frame;
	uint32_t shard;
	char text[WR_MSG_TEXT];
};

static void
on_shut(void *arg)
{
	struct shut *s = arg;

	wr_frame_unlistened(s->frame, s->text, s->shard);
	free(s);
}

static void
unlisten(struct wr_frame *f, const struct wr_msg *m)
{
	struct shut *s = calloc(1, sizeof(*s));

	if (s == NULL) {
		wr_error("%s", m->text);
		return;
	}
	s->frame = f;
	s->shard = m->shard;
	(void)snprintf(s->text, sizeof(s->text), "%s", m->text);
	wr_proxy_shut(f->arg, s->text, s->shard, on_shut, s);
}

static void
stay(struct wr_frame *f, const struct wr_msg *m)
{
	wr_proxy_stay(f->arg, m->text, m->shard);
}

static void
pause_accepting(struct wr_frame *f, bool on)
{
	if (on)
		wr_proxy_pause(f->arg);
	else
		wr_proxy_resume(f->arg);
}

static void
drain(struct wr_frame *f)
{
	wr_info("draining %u sessions", wr_proxy_sessions(f->arg));
	wr_proxy_drain(f->arg, on_empty, f);
}

static void
take_name(uint32_t index)
{
	char name[32];

	(void)snprintf(name, sizeof(name), "worker %u", index);
	wr_title_set("weir: %s", name);
	wr_log_name(name);
}

static void
undrain(struct wr_frame *f, uint32_t index)
{
	take_name(index);
	wr_info("back from draining");
	wr_proxy_undrain(f->arg);
}

static void
stop(struct wr_frame *f)
{
	wr_proxy_stop(f->arg, on_empty, f);
}

static void
wake(struct wr_frame *f)
{
	wr_proxy_wake(f->arg);
}

static void
access_log(struct wr_frame *f, int fd)
{
	wr_proxy_access_fd(f->arg, fd);
}

static uint32_t
sessions(struct wr_frame *f)
{
	return wr_proxy_sessions(f->arg);
}

static void
leave(struct wr_frame *f)
{
	struct wr_proxy *px = f->arg;

	wr_proxy_free(&px);
	f->arg = NULL;
}

static const struct wr_verbs worker = {
	.name = "worker",
	.size = size,
	.start = start,
	.use = use,
	.listen = listen_on,
	.unlisten = unlisten,
	.stay = stay,
	.pause = pause_accepting,
	.drain = drain,
	.stop = stop,
	.undrain = undrain,
	.wake = wake,
	.access_log = access_log,
	.sessions = sessions,
	.exit = leave,
};

int
wr_worker_run(const struct wr_birth *b)
{
	take_name(b->index);
	return wr_frame_run(b, &worker);
}
