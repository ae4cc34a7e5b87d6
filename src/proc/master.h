/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * master - the process that owns everything and serves nobody.
 *
 * It holds the configuration, the listeners, the shared memory and the
 * children; what to do about an event is decided by the machine in
 * proc/reload, sockets are dealt by proc/listen, and the functions here are
 * their hands.  A child is known everywhere by its slot.
 */
#ifndef WR_MASTER_H
#define WR_MASTER_H

#include <sys/types.h>

#include "conf/conf.h"
#include "io/loop.h"
#include "proc/cells.h"
#include "proc/chan.h"
#include "proc/shm.h"

struct wr_reload;
struct wr_listens;
struct wr_upgrade;
struct wr_watch;
struct wr_ask;
struct wr_master;

/* One process that this master has forked and not yet reaped. */
struct wr_child {
	struct wr_list link; /* in wr_master.children */
	struct wr_master *master;
	uint32_t slot;
	pid_t pid;
	unsigned role;  /* enum wr_role */
	uint32_t index; /* worker 0..N-1 */
	struct wr_chan chan;
	bool talking;    /* the channel is open */
	uint32_t places; /* of the window that it has mapped, a bit each */
};

/* What the command line says. */
struct wr_options {
	const char *conf;   /* -c */
	const char *prefix; /* -p */
	const char *pid;    /* --pid, or NULL */
	bool daemon;        /* -d */
	bool quiet;         /* -q */
	bool beside;        /* --beside: orphans of another master may live */
	int argc;           /* as given, for an upgrade */
	char **argv;
};

struct wr_master {
	const struct wr_options *opts;
	struct wr_loop *loop;
	struct wr_shm *shm;
	struct wr_cells *cells;
	struct wr_gen *gens[WR_GENERATIONS]; /* by place; NULL: none there */
	struct wr_gen *run;                  /* committed, or NULL */
	struct wr_gen *next;                 /* being tried, or NULL */
	uint64_t generation;                 /* last number given */
	struct wr_list children;
	struct wr_child *by_slot[128]; /* WR_SLOTS */
	struct wr_reload *reload;
	struct wr_listens *listens;
	struct wr_upgrade *upgrade;
	struct wr_watch *watch;
	struct wr_ask *ask;
	int error_fd, access_fd; /* -1: none */
	int null_fd;
	pid_t pid;
};

/* Everything, until the end; the exit status. */
int wr_master_run(const struct wr_options *o);

/* -- Hands ------------------------------------------------------------- */

/* Fork a child on the running generation (or `next` if there is none yet).
 * Its slot, or -errno. */
wr_must_check int
wr_master_fork(struct wr_master *m, unsigned role, uint32_t index);
/* Send one message; a child that cannot be told is as good as dead: its
 * channel is closed and it is killed.  The descriptor stays the caller's. */
void wr_master_tell(
    struct wr_master *m, uint32_t slot, const struct wr_msg *msg, int fd);
void wr_master_kill(struct wr_master *m, uint32_t slot, int signo);
/* The child in this slot, or NULL. */
struct wr_child *wr_master_child(struct wr_master *m, uint32_t slot);

#endif
