/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * world - masters and processes as the machine in proc/reload sees them, made
 * up and seeded.
 */
#ifndef WR_SIM_WORLD_H
#define WR_SIM_WORLD_H

#include "base/hash.h"
#include "proc/reload.h"

#define MASTERS 64  /* upgrades in one schedule, and one */
#define INBOX   256 /* messages a process may have waiting */
#define EVENTS  8192
#define TICKETS 4096

struct proc {
	bool alive, halted, mute; /* mute: lives and does nothing */
	bool started;             /* has said READY for what it was born on */
	bool draining, paused, confirmed, full;
	uint32_t life; /* counts those who had this slot */
	uint32_t role, index;
	uint64_t generation, prepared;   /* in use; waiting, 0 none */
	uint64_t quiet_ms;               /* halted or mute since */
	bool open[WR_SHARD_CONTROL + 1]; /* as it has been told, at the end */
	struct wr_act inbox[INBOX];
	unsigned head, tail;
	bool pumping;
};

struct master {
	bool born, exited, killed;
	bool inherited; /* from its elder, all */
	bool silent;    /* started, and never says a word */
	int parent;     /* elder, or -1 */
	int heir;       /* that runs, or -1 */
	struct wr_reload r;
	struct proc proc[WR_FLEET_SLOTS];
	bool bad; /* the candidate is one that processes refuse */
	bool bound[WR_WORKERS_MAX];
	uint64_t generation; /* the last COMMIT */
	uint64_t candidate;
	uint64_t unserved_ms[WR_WORKERS_MAX]; /* since; 0: is served */
	struct wr_plan plan;
	uint32_t most; /* largest worker count planned since the last rest */
	bool asked[TICKETS];
	unsigned answers[TICKETS];
};

enum wev_kind {
	W_PUMP,   /* process takes a message */
	W_SAY,    /* process says: what, generation */
	W_DIE,    /* process ends */
	W_ANSWER, /* of BUILD, BIND: what */
	W_TALK,   /* other master says: what */
	W_GO_ON,  /* a stopped process goes on */
	W_LOOK,   /* of the watchdog */
};

struct wev {
	uint64_t at, seq;
	enum wev_kind kind;
	int master, slot;
	uint32_t life;
	enum wr_event_kind what;
	uint64_t generation;
};

struct world {
	uint64_t now, seq, seed;
	struct wr_random random;
	struct wev heap[EVENTS];
	unsigned n;
	struct master master[MASTERS];
	int masters;
	bool loud, calm;
	bool clean;         /* nobody misbehaves, nobody who drains ends */
	bool deadly;        /* the operator may end everything */
	const char *failed; /* the promise that was broken first */
	uint64_t failed_ms;
	uint64_t commits, aborts, forks, heirs, upgrades; /* over schedules */
};

void world_open(struct world *w, uint64_t seed, bool loud);
/* Let time pass. */
void world_until(struct world *w, uint64_t ms);
/* 0 <= result < n */
uint32_t world_dice(struct world *w, uint32_t n);
void world_check(struct world *w, bool kept, const char *promise);
/* Carry out what the machine says, then check what must always be true. */
void world_act(struct world *w, struct master *m);
void world_feed(
    struct world *w, struct master *m, enum wr_event_kind kind, int slot);
void world_tell(struct world *w, struct master *m, const struct wr_event *e);
/* The newest master that lives and has not ended, or NULL. */
struct master *world_boss(struct world *w);

void world_die(struct world *w, struct master *m, int slot);
void world_go_on(struct world *w, struct master *m, int slot, uint64_t ms);
/* The other master will hear of it. */
void world_talk(struct world *w, struct master *to, enum wr_event_kind what);
/* A master is killed; its workers serve on only if they were confirmed. */
void world_forsake(struct master *m);
void world_promises(struct world *w);

/* Fate. */
void world_hurt(struct world *w, struct master *m);
void world_fill(struct world *w, struct master *m);
void world_kill_heir(struct world *w);
/* The new one of two masters is told to quit or stop. */
void world_quit_heir(struct world *w);
/* From now on everybody is well; those who are not are replaced. */
void world_heal(struct world *w);

#endif
