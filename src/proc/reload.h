/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * reload - what happens next, as a pure machine: the transaction of a reload,
 * the fleet of workers, upgrade and end.
 *
 * Events go in with the time they happened, actions come out in the order in
 * which they are to be carried out.  No descriptor, no clock, no memory of
 * its own: the same events give the same actions, so a simulation can play
 * any schedule (t/sim/reload_sim.c).
 *
 * The caller (proc/master) owns one timer, set to wr_reload_due(), and does
 *
 *	wr_reload_feed(r, now, &event);
 *	while (wr_reload_next(r, &act))
 *		carry it out;		(it may feed what came of it)
 *
 * A process is known by its slot in shared memory from FORKED to GONE.  A
 * shard is a column: the i-th socket of every sharded address.  The machine
 * says who accepts on which shard and never knows an address; proc/listen
 * knows all addresses and never decides.
 */
#ifndef WR_RELOAD_H
#define WR_RELOAD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"

#define WR_WORKERS_MAX 60  /* two binaries and those that drain fit in slots */
#define WR_FLEET_SLOTS 128 /* WR_SLOTS */
/* "Shards" of the listeners that all workers share, and that control has. */
#define WR_SHARD_SHARED  WR_WORKERS_MAX
#define WR_SHARD_CONTROL (WR_WORKERS_MAX + 1)

enum wr_event_kind {
	/* Asked for. */
	WR_EV_START,
	WR_EV_QUIT,  /* end gracefully */
	WR_EV_STOP,  /* end now */
	WR_EV_WINCH, /* end the workers gracefully; a reload brings them back */

	/* What came of an action; fed while it is carried out, or later. */
	WR_EV_BUILT,   /* of BUILD: plan is set */
	WR_EV_BOUND,   /* of BIND */
	WR_EV_FAILED,  /* of BUILD, BIND: no; errors are with the caller */
	WR_EV_FORKED,  /* of FORK: slot, role, index; slot -1: could not */
	WR_EV_READY,   /* slot is ready to use `generation` */
	WR_EV_REFUSED, /* slot will not use `generation` and said why */
	WR_EV_GONE,    /* the process of this slot was reaped */
	WR_EV_CLOSED,  /* of RETIRE: no socket of ours listens any more */

	/* What processes do. */
	WR_EV_HALTED, /* slot was stopped (T) */
	WR_EV_WENT_ON,
	WR_EV_FULL, /* slot cannot accept more for now */
	WR_EV_ROOM,
	WR_EV_HUNG, /* slot's last beat is older than the limit; told again
		       with every later look at it */

	/* The new binary, seen from the old master. */
	WR_EV_HEIR_READY,
	WR_EV_HEIR_CONFIRM, /* it lasted its probation and wants all */
	WR_EV_HEIR_FAILED,  /* it gave up, exited, or could not be started */

	/* The old master, seen from the new one. */
	WR_EV_ELDER_GO, /* all is ours */
	WR_EV_ELDER_GONE,

	WR_EV_TICK, /* wr_reload_due() has come */
	WR_EVENTS
};

/* What a configuration means for the machine. */
struct wr_plan {
	uint32_t workers;    /* 1..WR_WORKERS_MAX */
	uint32_t timeout_ms; /* reload_timeout */
	uint32_t limit_ms;   /* watchdog.limit or WR_OFF */
	uint32_t grace_ms;   /* timeouts.grace */
	uint32_t drain_ms;   /* timeouts.drain or WR_OFF */
	bool replace;        /* keys changed that only new workers take */
};

struct wr_event {
	enum wr_event_kind kind;
	int slot;
	uint32_t role; /* FORKED: enum wr_role */
	uint32_t index;
	uint64_t generation;
	const struct wr_plan *plan; /* lent */
};

enum wr_act_kind {
	/* Build `generation`: BUILT or FAILED. */
	WR_ACT_BUILD,
	/* Make every socket that `generation` wants and that is not there, for
	 * `shards` shards, bound but not listening: BOUND or FAILED. */
	WR_ACT_BIND,
	/* The moment.  The caller's running value is now `generation`: listen
	 * on the new sockets of live shards, begin to retire removed ones. */
	WR_ACT_COMMIT,
	/* Forget `generation` and what was bound for it. */
	WR_ACT_ABORT,
	/* Shard `shard` becomes live: listen on it for all addresses. */
	WR_ACT_LISTEN,
	/* The end: all addresses retire, as if they had been removed: CLOSED
	 * when who was waiting has been served. */
	WR_ACT_RETIRE,

	/* Fork role, index on `generation`: FORKED, then READY. */
	WR_ACT_FORK,
	/* Tell `slot`. */
	WR_ACT_TELL_PREPARE, /* generation: READY or REFUSED */
	WR_ACT_TELL_COMMIT,  /* generation */
	WR_ACT_TELL_ABORT,   /* generation */
	/* Accept on `shard`: all addresses; `added`: only those that came with
	 * the generation just committed. */
	WR_ACT_TELL_OPEN,
	WR_ACT_TELL_SHUT, /* accept no longer on `shard` */
	WR_ACT_TELL_PAUSE,
	WR_ACT_TELL_RESUME,
	WR_ACT_TELL_CONFIRMED, /* your master is now the only one */
	WR_ACT_TELL_DRAIN,
	WR_ACT_TELL_UNDRAIN, /* be worker `index` again */
	WR_ACT_TELL_STOP,
	WR_ACT_KILL, /* send `signo` */

	/* Answer all who wait for `ticket`; `why` is WR_NO_NONE for success;
	 * `seat`: whose fault it was, a worker's number or WR_SEAT_CONTROL,
	 * or -1. */
	WR_ACT_ANSWER,
	/* Started: everybody accepts (tell the parent, the service manager). */
	WR_ACT_UP,

	/* Old master: start the new binary; HEIR_READY or HEIR_FAILED. */
	WR_ACT_EXEC,
	WR_ACT_HEIR_GO,   /* it has all; let go of the pid file */
	WR_ACT_HEIR_KILL, /* end it; HEIR_FAILED is not awaited */
	/* New master. */
	WR_ACT_ELDER_READY,
	WR_ACT_ELDER_CONFIRM,
	WR_ACT_ELDER_FAILED, /* go on without us */
	WR_ACT_INHERIT,      /* take pid file, lock, control; MAINPID= */

	WR_ACT_EXIT, /* no process is left; `status` */
	WR_ACTS
};

/* Why a reload or an upgrade did not come about. */
enum wr_no {
	WR_NO_NONE,
	WR_NO_BUILD,    /* the caller has the errors */
	WR_NO_BIND,     /* the caller has the errors */
	WR_NO_PROCESS,  /* a process said why not */
	WR_NO_DIED,     /* one died twice while asked */
	WR_NO_SILENT,   /* one did not answer in time */
	WR_NO_FORK,     /* the first processes could not be forked */
	WR_NO_UPGRADE,  /* not while an upgrade runs */
	WR_NO_STOPPING, /* weir is about to end */
	WR_NO_HEIR,     /* the new binary gave up or died */
	WR_NO_HEIR_SILENT
};

struct wr_act {
	enum wr_act_kind kind;
	int slot;
	int seat;
	uint32_t role;
	uint32_t index;
	uint32_t shard; /* or WR_SHARD_SHARED, WR_SHARD_CONTROL */
	uint32_t shards;
	uint64_t generation;
	uint64_t ticket;
	enum wr_no why;
	int signo;
	int status;
	bool added;
	bool upgrade; /* ANSWER: it was not a reload */
};

enum wr_reload_state {
	WR_RELOAD_IDLE,
	WR_RELOAD_BUILD,
	WR_RELOAD_BIND,
	WR_RELOAD_PREPARE,
};

enum wr_heir_state {
	WR_HEIR_NONE,
	WR_HEIR_EXEC,      /* old: started, not ready */
	WR_HEIR_PROBATION, /* old: it serves, we wait */
	WR_HEIR_DONE,      /* old: it has all, we drain */
	WR_ELDER_START,    /* new: not yet serving */
	WR_ELDER_TRIAL,    /* new: serving, not yet confirmed */
	WR_ELDER_ASKED,    /* new: waiting for the old one's word */
};

enum wr_end_state {
	WR_END_NO,
	WR_END_GRACE, /* still accepting, for timeouts.grace */
	WR_END_CLOSE, /* accepting who is on the way */
	WR_END_DRAIN,
	WR_END_STOP,
};

enum wr_crew_state { /* of a process, as the machine sees it */
	WR_CREW_FREE,
	WR_CREW_START, /* forked, not ready */
	WR_CREW_READY,
	WR_CREW_DRAIN, /* told to drain */
	WR_CREW_STOP,  /* told to stop, or killed */
};

/* Everything below is the machine's; others may look. */

struct wr_crew {
	enum wr_crew_state state;
	uint32_t role, index;
	uint64_t generation; /* in use, as far as told */
	uint64_t asked;      /* PREPARE sent and not answered, else 0 */
	uint64_t prepared;   /* said READY for this one and waits, else 0 */
	uint64_t since_ms;   /* START: of the fork; READY: since then */
	uint64_t asked_ms;
	uint64_t halted_ms; /* stopped since; 0: is not */
	uint64_t full_ms;   /* full since; 0: is not */
	uint64_t kill_ms;   /* then SIGKILL; 0: no */
	uint64_t stop_ms;   /* DRAIN: then TELL_STOP; 0: no */
	uint32_t epoch;     /* of keys that only new workers take */
	bool open;          /* has the shared sockets (control: its own) */
	bool paused;
};

struct wr_seat {          /* worker 0..N-1, and control */
	int slot;         /* who sits there, or -1 */
	int next;         /* who will take over when ready, or -1 */
	bool forking;     /* FORK is out */
	bool must;        /* died while asked: the one after it must answer */
	uint32_t deaths;  /* of those asked in this transaction */
	uint32_t fails;   /* deaths that count for the back-off */
	uint64_t fork_ms; /* not before; who is missing is then forked */
};

#define WR_SEAT_CONTROL WR_WORKERS_MAX
#define WR_SEATS        (WR_WORKERS_MAX + 1)
#define WR_ACTS_MAX     4096

struct wr_reload {
	uint64_t now;
	struct wr_crew crew[WR_FLEET_SLOTS];
	struct wr_seat seat[WR_SEATS];
	struct wr_plan plan, next; /* running, candidate */
	uint64_t generation;       /* committed; 0: none yet */
	uint64_t candidate;        /* 0: none */
	uint64_t last;             /* highest number given */
	enum wr_reload_state state;
	uint64_t prepare_ms; /* since when processes are asked */
	uint64_t ticket;     /* of the transaction that runs, else 0 */
	uint64_t queued;     /* of the one after it, else 0 */
	uint64_t tickets;    /* given so far */
	uint32_t epoch;      /* counts commits that replace workers */
	uint32_t shards;     /* bound: largest worker count ever */
	bool live[WR_WORKERS_MAX];
	int holder[WR_WORKERS_MAX]; /* slot that accepts on a shard, or -1 */
	uint64_t bare_ms[WR_WORKERS_MAX]; /* since when nobody does */
	bool winched;
	enum wr_end_state end;
	int status;
	uint64_t end_ms; /* of grace; of patience with the queue */
	bool gone;       /* EXIT was said */
	enum wr_heir_state heir;
	uint64_t heir_ticket; /* of the upgrade that runs or waits */
	uint64_t heir_ms;     /* patience */
	uint64_t killed_ms;   /* last kill of a hung process */
	uint32_t head, tail;  /* of the ring of actions */
	struct wr_act acts[WR_ACTS_MAX];
};

/* -- Use --------------------------------------------------------------- */

/*
 * `generation` is the last number used before (0); `shards` how many shards
 * are inherited and live (0); `elder`: an old master waits for our READY.
 */
void wr_reload_init(
    struct wr_reload *r, uint64_t generation, uint32_t shards, bool elder);

/* `now` in milliseconds never goes back.  Actions are appended. */
void
wr_reload_feed(struct wr_reload *r, uint64_t now, const struct wr_event *e);
/* Ask for a reload or an upgrade.  All who get the same ticket share one
 * ANSWER, which may already stand in the queue of actions. */
uint64_t wr_reload_ask(struct wr_reload *r, uint64_t now);
uint64_t wr_reload_ask_upgrade(struct wr_reload *r, uint64_t now);

/* The next action, or false.  The caller carries it out before it asks for
 * the one after. */
bool wr_reload_next(struct wr_reload *r, struct wr_act *a);
/* When to feed TICK, or UINT64_MAX. */
uint64_t wr_reload_due(const struct wr_reload *r);

/* For logs and answers. */
const char *wr_no_text(enum wr_no why);
const char *wr_act_name(enum wr_act_kind kind);
const char *wr_event_name(enum wr_event_kind kind);

#endif
