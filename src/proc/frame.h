/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * frame - what every child of the master does in the same way: take its role,
 * talk with the master, beat, change generations, survive the master, and
 * prove at the end that nothing is left.
 *
 * A role (worker, control) fills in the verbs.
 */
#ifndef WR_FRAME_H
#define WR_FRAME_H

#include <signal.h>

#include "conf/conf.h"
#include "io/keep.h"
#include "proc/chan.h"
#include "proc/shm.h"

struct wr_frame;
struct wr_slot;

/* What a child is born with; memory is its own copy of the master's. */
struct wr_birth {
	unsigned role; /* enum wr_role */
	uint32_t index;
	uint32_t slot;
	int fd;       /* its end of the channel */
	pid_t master; /* who forked it */
	struct wr_shm *shm;
	struct wr_gen *gen; /* the child's only use of it */
	int error_fd, access_fd;
	bool confirmed;         /* serve on if the master dies */
	const sigset_t *signos; /* mask of before the fork */
};

/* All but `start` and `exit` may be NULL: nothing to do then. */
struct wr_verbs {
	const char *name;
	/* How large a loop; sets f->sessions_max. */
	void (*size)(struct wr_frame *f, struct wr_loop_conf *c);
	/* 0, or -errno and f->why. */
	int (*start)(struct wr_frame *f);
	void (*use)(struct wr_frame *f); /* f->run is another one */
	/* `fd` is taken over.  -errno: cannot. */
	int (*listen)(struct wr_frame *f, struct wr_gen *g,
	    const struct wr_msg *m, int fd);
	/* wr_frame_unlistened() follows. */
	void (*unlisten)(struct wr_frame *f, const struct wr_msg *m);
	void (*stay)(struct wr_frame *f, const struct wr_msg *m);
	void (*pause)(struct wr_frame *f, bool on);
	/* wr_frame_leave() follows both, unless `undrain` was faster. */
	void (*drain)(struct wr_frame *f);
	void (*stop)(struct wr_frame *f);
	void (*undrain)(struct wr_frame *f, uint32_t index);
	void (*wake)(struct wr_frame *f);
	void (*access_log)(struct wr_frame *f, int fd);
	uint32_t (*sessions)(struct wr_frame *f);
	/* Let go of everything; nothing is in flight. */
	void (*exit)(struct wr_frame *f);
};

struct wr_frame {
	const struct wr_birth *birth;
	const struct wr_verbs *verbs;
	void *arg; /* the role's own */
	struct wr_loop *loop;
	struct wr_slot *slot; /* in shared memory */
	struct wr_chan chan;
	struct wr_keep wake;
	struct wr_sock master;
	struct wr_timer beat;
	uint32_t beat_more_ms; /* a beat counts for so much longer */
	struct wr_hook turn;
	struct wr_gen *run;                  /* in use */
	struct wr_gen *next;                 /* prepared, or NULL */
	struct wr_gen *gens[WR_GENERATIONS]; /* mapped, by place */
	struct wr_list pending;              /* sockets for `next` */
	uint32_t sessions_max;
	uint64_t late_turns;
	const char *why; /* a start failed */
	int error_fd, access_fd;
	bool confirmed, orphan, full, draining, leaving;
};

/* Never returns to what the master was doing: the exit status. */
int wr_frame_run(const struct wr_birth *b, const struct wr_verbs *verbs);
/* All sessions are over: end the process. */
void wr_frame_leave(struct wr_frame *f);
/* The socket that `unlisten` was about is closed. */
void wr_frame_unlistened(struct wr_frame *f, const char *text, uint32_t shard);

#endif
