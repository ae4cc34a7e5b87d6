/* SPDX-License-Identifier: BSD-2-Clause */
/* remains - see remains.h. */
#include "proc/remains.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/log.h"
#include "proc/drop.h"
#include "proc/frame.h"
#include "proxy/stats.h"

/* How long the kernel may take to give back what is in flight. */
#define PATIENCE_MS 2000
#define FDS_MAX     65536

void
wr_remains_count(struct wr_remains *r)
{
	uint64_t max = wr_drop_limit();

	r->fds = 0;
	for (int fd = 0; fd < FDS_MAX && (uint64_t)fd < max; fd++)
		r->fds += fcntl(fd, F_GETFD) >= 0;
}

static bool
gauge(const char *what, uint64_t n)
{
	if (n > 0)
		wr_errorx("leak: %llu %s left", (unsigned long long)n, what);
	return n == 0;
}

static bool
check_cells(const struct wr_stats *st, uint32_t slot)
{
	uint64_t listeners = 0, upstreams = 0, servers = 0;
	bool good;

	for (uint32_t i = 0; i < wr_load(st->listeners_high); i++)
		listeners += wr_stats_listener(st, slot, i)->active;
	for (uint32_t i = 0; i < wr_load(st->upstreams_high); i++)
		upstreams += wr_stats_upstream(st, slot, i)->waiting;
	for (uint32_t i = 0; i < wr_load(st->servers_high); i++)
		servers += wr_stats_server(st, slot, i)->active;
	good = gauge("sessions of listeners", listeners);
	good &= gauge("sessions that wait for a server", upstreams);
	return gauge("sessions of servers", servers) && good;
}

/* How many of these are descriptors of their own. */
static uint32_t
logs(int error_fd, int access_fd)
{
	return (uint32_t)(error_fd > STDERR_FILENO) +
	       (uint32_t)(access_fd > STDERR_FILENO);
}

bool
wr_remains_check(struct wr_frame *f, const struct wr_remains *before)
{
	const struct wr_loop_stats *st = &f->slot->loop;
	uint64_t end = wr_loop_now(f->loop) + PATIENCE_MS;
	struct wr_remains now;
	uint32_t fds, before_fds;
	bool good;

	while (st->socks > 0 && wr_loop_now(f->loop) < end)
		wr_loop_turn(f->loop, 10);
	good = gauge("sockets in the loop", st->socks);
	good &= gauge("timers", st->timers);
	good &= gauge("buffers", st->buffers_used);
	good &= gauge("bytes of spilled buffers", st->spill_bytes);
	good &= check_cells(f->birth->shm->stats, f->birth->slot);
	/* A loop with something in it must not be freed. */
	if (!good)
		return false;
	wr_loop_free(&f->loop);
	wr_log_close();
	wr_remains_count(&now);
	/* Ours of the channel is closed by now; logs may have moved. */
	fds = now.fds + 1 + logs(f->birth->error_fd, f->birth->access_fd);
	before_fds = before->fds + logs(f->error_fd, f->access_fd);
	return gauge("descriptors", fds > before_fds ? fds - before_fds : 0);
}
