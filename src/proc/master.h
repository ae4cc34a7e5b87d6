/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * master - the process that owns everything and serves nobody.
 *
 * It holds the configuration, the listeners, the shared memory and the
 * children.  What to do about an event is decided by the machine in
 * proc/reload, sockets are dealt by proc/listen; proc/hands carries out what
 * the machine says, proc/crew has the children.  A child is known everywhere
 * by its slot.
 */
#ifndef WR_MASTER_H
#define WR_MASTER_H

#include <sys/types.h>

#include "conf/conf.h"
#include "io/loop.h"
#include "proc/cells.h"
#include "proc/chan.h"
#include "proc/reload.h"
#include "proc/shm.h"
#include "proc/upgrade.h"

struct wr_listens;
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
	char name[32];  /* "worker 0" */
	struct wr_chan chan;
	uint32_t places; /* of the window that it has mapped, a bit each */
	bool reaped;     /* the process is gone */
	bool silent;     /* the channel is */
};

/* What the command line says. */
struct wr_options {
	const char *conf;   /* -c */
	const char *prefix; /* -p, or NULL */
	const char *pid;    /* --pid, or NULL */
	bool daemon;        /* -d */
	bool quiet;         /* -q */
	bool beside;        /* --beside: orphans of another master may live */
	char **argv;        /* as given, for an upgrade */
	const struct wr_group *const *groups; /* of modules */
	struct wr_words words;                /* that a value may name */
};

/* Where logs go, in the running value. */
struct wr_logs {
	int error_fd, access_fd; /* -1: syslog; none */
	char error[256], access[256];
};

struct wr_master {
	const struct wr_options *opts;
	struct wr_loop *loop;
	struct wr_shm *shm;
	struct wr_cells *cells;
	struct wr_gen *gens[WR_GENERATIONS]; /* by place; NULL: none there */
	struct wr_gen *run;                  /* committed, or NULL */
	struct wr_gen *next;                 /* being tried, or NULL */
	struct wr_plan plan;                 /* of `next` */
	struct wr_list children;
	struct wr_list limbo; /* not yet forked, or reaped and not yet freed */
	struct wr_child *by_slot[WR_FLEET_SLOTS];
	struct wr_reload reload;
	struct wr_timer due;    /* of the machine */
	struct wr_timer tick;   /* of the listeners */
	struct wr_timer strays; /* slots of another master's children */
	bool feeding;           /* actions are being carried out */
	struct wr_listens *listens;
	struct wr_upgrade *upgrade;
	struct wr_watch *watch;
	struct wr_ask *ask;
	struct wr_text errors; /* of the transaction that runs */
	struct wr_logs logs, new_logs;
	struct wr_manifest manifest; /* from the elder */
	bool elder;                  /* there is one */
	bool up;                     /* the first value was committed */
	int null_fd;
	int pid_fd;    /* the pid file, locked, or -1 */
	int parent_fd; /* -d: who waits for the start, or -1 */
	char pid_path[256];
	uint64_t begun_ms; /* the transaction that runs */
	pid_t pid;
	int status;   /* to exit with */
	bool unsound; /* a child found something left at its end */
};

/* Everything, until the end; the exit status. */
int wr_master_run(const struct wr_options *o);

/* -- master.c ----------------------------------------------------------- */

/* Tell the machine, carry out what it answers, set its timer. */
void wr_master_feed(struct wr_master *m, const struct wr_event *e);
void wr_master_event(struct wr_master *m, enum wr_event_kind kind, int slot);
/* Ask for a reload or an upgrade: the ticket that will be answered.  Nothing
 * happens before wr_master_act(), so that the ticket can be noted first. */
uint64_t wr_master_reload(struct wr_master *m);
uint64_t wr_master_upgrade(struct wr_master *m);
void wr_master_act(struct wr_master *m);
/* Open the log files again and pass them on.  0, or -1 and errors. */
wr_must_check int wr_master_reopen(struct wr_master *m, struct wr_text *errors);
/* Say it to whoever watches: while starting to standard error, then to the
 * log.  Lines, each ended. */
void wr_master_complain(struct wr_master *m, struct wr_str lines);

/* -- hands.c ------------------------------------------------------------ */

void wr_hands_do(struct wr_master *m, const struct wr_act *a);
void wr_hands_gone(uint64_t generation, uint32_t place, void *arg);
/* Give back cells of names that nobody uses any more. */
void wr_hands_sweep(struct wr_master *m);

/* -- crew.c ------------------------------------------------------------- */

/* Fork a child on a generation; its slot, or -errno. */
wr_must_check int wr_crew_fork(
    struct wr_master *m, unsigned role, uint32_t index, struct wr_gen *g);
/* Send one message; a child that cannot be told is as good as dead: it is
 * killed.  Descriptors stay the caller's. */
void wr_crew_tell(struct wr_master *m, int slot, const struct wr_msg *msg,
    const int *fds, int n);
void wr_crew_kill(struct wr_master *m, int slot, int signo);
/* SIGCHLD: take the dead one by one. */
void wr_crew_reap(struct wr_master *m);
/* All is ours: look after the slots of those whose master ends before them. */
void wr_crew_strays(struct wr_master *m);
/* The child in this slot, or NULL. */
struct wr_child *wr_crew_get(struct wr_master *m, int slot);

#endif
