/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * proxy - what a worker needs of all its sessions: lists by state, clock,
 * pools, listeners.
 *
 * The worker (proc/) drives it: which generation is in use, which sockets to
 * accept from, when to drain.  Nothing here knows the master.
 */
#ifndef WR_PROXY_H
#define WR_PROXY_H

#include "conf/conf.h"
#include "io/loop.h"
#include "proxy/stats.h"

struct wr_proxy;
struct wr_module;

struct wr_proxy_opts {
	struct wr_loop *loop;         /* kept */
	const struct wr_stats *stats; /* kept */
	uint32_t slot;                /* of this process */
	uint32_t sessions_max;
	const struct wr_module *const *modules; /* kept; NULL at the end */
	int access_fd;                          /* access log, lent; -1: none */
};

/* NULL and errno.  `g` is the first generation; one use is taken. */
struct wr_proxy *wr_proxy_new(const struct wr_proxy_opts *o, struct wr_gen *g);
/* Nothing may be left: no session, no socket.  Leaves NULL. */
void wr_proxy_free(struct wr_proxy **px);

/*
 * Switch to another generation.  Established sessions are not touched but by
 * keys that are live; sessions that still decide take it at their next pick.
 */
void wr_proxy_use(struct wr_proxy *px, struct wr_gen *g);

/*
 * Accept from `fd` (taken over) for the entry `text` of the listener with this
 * cell in `g`: the current generation or, if the listener is being retired,
 * the last that names it (a use is taken while sessions may come from it).  A
 * listener that stays is served by each new generation that is used; one that
 * is not named any more goes on with the last that names it.  A worker may
 * have several sockets of one entry (shards that were re-dealt or lent to it),
 * told apart by `shard`.  -errno; `fd` is closed then.
 */
wr_must_check int
wr_proxy_open(struct wr_proxy *px, struct wr_gen *g, uint32_t listener_cell,
    const char *text, uint32_t shard, int fd, bool shared);
/* Stop accepting from that socket, serve what was accepted, close it.  `done`
 * runs at the end of a turn when it is closed, at once if it is not there. */
void wr_proxy_shut(struct wr_proxy *px, const char *text, uint32_t shard,
    void (*done)(void *arg), void *arg);
/* Stop accepting for now / again (probation of an upgrade): descriptors stay
 * open.  Not from a socket that is to stay, until wr_proxy_resume(). */
void wr_proxy_stay(struct wr_proxy *px, const char *text, uint32_t shard);
void wr_proxy_pause(struct wr_proxy *px);
void wr_proxy_resume(struct wr_proxy *px);

/* Stop accepting for good; sessions end by themselves, the rest is cut after
 * the generation's `drain`; `done` runs when none is left.  `grace` is over by
 * then: it is the master's, and of no worker alone. */
void wr_proxy_drain(struct wr_proxy *px, void (*done)(void *arg), void *arg);
/* Back from draining: sockets must be opened anew. */
void wr_proxy_undrain(struct wr_proxy *px);
/* End all sessions now; `done` as above. */
void wr_proxy_stop(struct wr_proxy *px, void (*done)(void *arg), void *arg);
uint32_t wr_proxy_sessions(const struct wr_proxy *px);
/* Another process changed shared state (server up, place free): look. */
void wr_proxy_wake(struct wr_proxy *px);
void wr_proxy_access_fd(struct wr_proxy *px, int fd);

#endif
