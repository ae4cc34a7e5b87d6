/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * upgrade - hand everything to a new binary, and take it back if it fails.
 *
 * The old master (elder) starts the new one (heir) as a child with one
 * variable, WEIR_MANIFEST=FD: a descriptor of lines that name the others.
 * The two then speak over a pair of sockets in single words.  When to do what
 * is decided in proc/reload; these are its hands.
 */
#ifndef WR_UPGRADE_H
#define WR_UPGRADE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/text.h"
#include "io/loop.h"
#include "proc/reload.h"

#define WR_MANIFEST_WAKES 128 /* WR_SLOTS */

/* What is handed over.  Descriptors are numbers that both processes use; -1:
 * none.  All are lent. */
struct wr_manifest {
	uint64_t generation; /* last number given */
	pid_t elder;
	int talk_fd; /* set by wr_upgrade_exec() */
	int shm_fd;
	int wake_fds[WR_MANIFEST_WAKES];
	int pid_fd;    /* the pid file, locked */
	int ask_fd;    /* the socket of `weir -s` */
	int parent_fd; /* -d: tells the first parent how the start went */
	struct wr_text listens; /* lines of wr_listens_write() */
};

/* Pure.  -EPROTO for what the other would not write. */
void wr_manifest_write(const struct wr_manifest *m, struct wr_text *out);
wr_must_check int wr_manifest_read(struct wr_manifest *m, struct wr_str text);
void wr_manifest_fini(struct wr_manifest *m);

/*
 * In a new master, first of all: 1 and the manifest if an elder has started
 * us, 0 if not, -EPROTO if we do not understand it.  The variable is removed,
 * all descriptors are close-on-exec then.
 */
wr_must_check int wr_manifest_inherit(struct wr_manifest *m);

struct wr_upgrade;
/* What the other side said or did: one of WR_EV_HEIR_*, WR_EV_ELDER_*. */
typedef void wr_upgrade_fn(void *arg, enum wr_event_kind kind);

/* The new binary has no use for these listeners, numbers of
 * wr_listens_unnamed(); said before it is ready. */
typedef void wr_unnamed_fn(void *arg, struct wr_str numbers);

/* NULL and errno.  `argv` is that of the start and kept: the new binary is
 * whatever has that name then. */
struct wr_upgrade *wr_upgrade_new(struct wr_loop *l, char *const *argv,
    wr_upgrade_fn *fn, wr_unnamed_fn *unnamed, void *arg);
void wr_upgrade_free(struct wr_upgrade **u);
/* -- The elder --------------------------------------------------------- */

/* Start the new binary; its pid, or -errno.  The listeners' descriptors are
 * not close-on-exec just now. */
wr_must_check pid_t wr_upgrade_exec(
    struct wr_upgrade *u, struct wr_manifest *m);
/* The heir's pid, or 0. */
pid_t wr_upgrade_heir(const struct wr_upgrade *u);
/* A child was reaped: true if it was the heir (the event is fed). */
bool wr_upgrade_reaped(struct wr_upgrade *u, pid_t pid, int status);
void wr_upgrade_go(struct wr_upgrade *u);
void wr_upgrade_kill(struct wr_upgrade *u);

/* -- The heir ---------------------------------------------------------- */

/* Talk to the elder over m->talk_fd, which is taken over. */
wr_must_check int
wr_upgrade_join(struct wr_upgrade *u, const struct wr_manifest *m);
void wr_upgrade_unnamed(struct wr_upgrade *u, struct wr_str numbers);
/* WR_ACT_ELDER_READY, _CONFIRM or _FAILED. */
void wr_upgrade_say(struct wr_upgrade *u, enum wr_act_kind what);

#endif
