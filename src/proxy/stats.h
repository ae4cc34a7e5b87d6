/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * stats - what all processes of one weir know together, in shared memory.
 *
 * Writers are slots.  A slot belongs to one process from fork until the
 * master has reaped it, so a slot's numbers have one writer and need no
 * locks.  Listeners, upstreams and servers are cells, which they keep over
 * reload and upgrade.  A counter of a cell is the sum over all slots and the
 * base, into which the master folds a slot whose process is gone (its gauges
 * are dropped).  Words that several processes read are written and read with
 * wr_load() and wr_store(); nothing here ever needs a lock, because any
 * process may be killed at any instruction.
 */
#ifndef WR_STATS_H
#define WR_STATS_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/addr.h"
#include "io/loop.h"
#include "proxy/end.h"

#define WR_SLOTS          128
#define WR_LISTENER_CELLS 4096
#define WR_UPSTREAM_CELLS 8192
/* Cells of servers: first those that the master gives to what the file names,
 * then those that control gives to what joins while weir runs. */
#define WR_FILE_CELLS   65536
#define WR_JOIN_CELLS   16384
#define WR_SERVER_CELLS (WR_FILE_CELLS + WR_JOIN_CELLS)
#define WR_NAME_MAX     128

/* Relaxed loads and stores of single words that others may see. */
#define wr_load(p)     __atomic_load_n((p), __ATOMIC_RELAXED)
#define wr_store(p, v) __atomic_store_n((p), (v), __ATOMIC_RELAXED)
/* The owner's increment: one writer, so no atomic read-modify-write. */
#define wr_count(p, n) wr_store((p), *(p) + (n))

enum wr_role {
	WR_ROLE_NONE,
	WR_ROLE_WORKER,
	WR_ROLE_CONTROL
};

enum wr_phase { /* of a process */
	WR_PHASE_START,
	WR_PHASE_READY,
	WR_PHASE_DRAIN,
	WR_PHASE_GONE
};

/* Counters first (folded into the base), gauges after (dropped). */
struct wr_listener_count {
	uint64_t accepted;
	/* Turned away: for want of a session or a descriptor; by `access`. */
	uint64_t refused, denied;
	uint64_t bytes_in, bytes_out;
	/* Turned away by `limit`; would have been but for its dry_run; let in
	 * because a table was full. */
	uint64_t limited, limit_dry, limit_full;
	uint64_t active; /* gauge */
};

struct wr_upstream_count {
	uint64_t picks, retries, no_server, queued, queue_full;
	/* Sessions that went where their client had been before; where the
	 * balancer sent them; clients that were forgotten for others. */
	uint64_t sticky_hits, sticky_misses, sticky_evicted;
	uint64_t waiting;   /* gauge */
	uint64_t oldest_ms; /* gauge: since when the oldest waits */
};

struct wr_server_count {
	uint64_t picks, connects, failures, bytes_in, bytes_out;
	uint64_t connect_us; /* sum over connects */
	uint64_t active;     /* gauge: sessions that count against max_conns */
};

/* The name of a cell.  Written by the master; `used` last when it begins,
 * first when it ends. */
struct wr_cell {
	uint32_t used;
	uint32_t parent;    /* servers: cell of the upstream */
	uint32_t file_want; /* servers: what the file said last */
	uint32_t file_weight;
	char name[WR_NAME_MAX]; /* ends with a NUL whenever it is read */
};

/* One process. */
struct wr_slot {
	/* Written by the master. */
	uint32_t pid;
	uint32_t role;   /* enum wr_role */
	uint32_t index;  /* worker 0..N-1 */
	uint32_t binary; /* counts upgrades */
	uint32_t owner;  /* pid of the master that will reap it */
	uint64_t start_ms;
	/* Written by the process. */
	uint32_t phase;      /* enum wr_phase */
	uint32_t generation; /* the one in use, low bits */
	uint64_t beat_ms;    /* monotonic; once a turn */
	char backend[12];    /* of its loop */
	uint64_t late_beats;
	uint64_t sessions_max;
	uint64_t sessions; /* gauge */
	uint64_t fds;      /* gauge */
	uint64_t accepted;
	uint64_t full;          /* times that no session was free any more */
	uint64_t accept_errors; /* times that accepting had to wait a little */
	uint64_t ends[WR_ENDS];
	uint64_t joins_seen; /* it acts by this version of wr_roll */
	struct wr_loop_stats loop;
};

/* So many failures of a server are remembered, one word each. */
#define WR_FAILURES 64

/*
 * State of a server that all share; one writer a field, but for ejection,
 * where any worker may write and the first one wins.  What a pick reads comes
 * first.
 */
struct wr_server_state {
	uint32_t health;  /* enum wr_health, written by control */
	uint32_t want;    /* enum wr_server_want, by the master */
	uint32_t weight;  /* by the master */
	uint32_t load;    /* percent, by control: lowers the weight */
	uint32_t version; /* changes with every change above */
	uint64_t changed_ms;
	/* Ejected until then (monotonic); 0: never was. */
	uint64_t eject_until_ms;
	/* After that: 0 one session may try it, in the future one is trying
	 * it until then at most, in the past it is back. */
	uint64_t eject_trial_ms;
	/* Ejections that are not forgiven yet, and how long the last is. */
	uint32_t eject_times, eject_ms;
	uint32_t eject_cause; /* enum wr_news */
	uint32_t life;        /* other for each server that has the cell */
	/* By control: what is checked (a hash), how often it was, what came
	 * of it, how many of the last results in a row contradict `health`. */
	uint64_t check, checks, check_failures;
	uint64_t checked_ms; /* when the last one ended; 0: none did */
	uint32_t check_us;   /* how long it took */
	uint32_t check_streak;
	/* Counters of all processes. */
	uint64_t ejections, eject_failures;
	/* When the last failures were, in a ring; whole, as those of a server
	 * that seldom fails may be months old. */
	uint32_t failed_next;
	uint64_t failed_ms[WR_FAILURES];
};

/*
 * First tries and retries of the last seconds, all workers together: a ring
 * of seconds, each with the number of the second that it counts.
 */
#define WR_BUDGET_S 10
struct wr_budget {
	uint64_t second[WR_BUDGET_S];
	uint64_t first[WR_BUDGET_S], again[WR_BUDGET_S];
};

/* State of an upstream that all share. */
struct wr_upstream_state {
	struct wr_budget budget; /* of retries */
	uint64_t budget_spent;   /* retries that were refused by it */
	uint64_t panic_ms;       /* ejected servers were used last; 0: never */
	uint64_t panics;         /* sessions that were sent to one then */
};

/*
 * A server that has joined, by cell after WR_FILE_CELLS.  Control writes it
 * before `member` says that it belongs to the group, and does not change it
 * until the cell is used again; only the words marked so change meanwhile.
 */
struct wr_join {
	uint32_t used;      /* last when it begins, first when it ends */
	uint32_t member;    /* changes: it may be picked */
	uint32_t group;     /* cell of the upstream */
	uint32_t max_conns; /* changes, as backup does */
	uint32_t backup;
	uint32_t client_port;
	uint64_t origin;  /* the name it was found by; 0: it announced itself */
	uint64_t left;    /* version in which it was no member any more */
	uint64_t seen_ms; /* changes: its last beat */
	struct wr_ip ip;
	char name[WR_NAME_MAX];
};

/* Who has joined, as a whole. */
struct wr_roll {
	uint64_t version; /* changes with every change of a member */
	uint64_t owner;   /* pid and slot of the one that writes it */
	uint32_t high;    /* cells that were ever used */
};

/*
 * What `limit` counts.  A key is a hash; it stands in one of WR_LIMIT_WAYS
 * places that follow from it.
 *
 * Sessions: each slot has a table, written by its process alone, of words that
 * are bits of the key above a count; a word whose count is 0 is free.  Who adds
 * one has its turn, one of WR_LIMIT_TURNS by the key: its slot and 1, or 0.
 */
#define WR_LIMIT_WAYS  16
#define WR_LIMIT_CONNS 32768
#define WR_LIMIT_RATES 65536
#define WR_LIMIT_TURNS 64
struct wr_limit_conns {
	uint64_t used; /* not all zero */
	uint64_t v[WR_LIMIT_CONNS];
};

/*
 * Rates: one table for all, of the times at which the next arrival would be
 * exactly on time.  When that is past, nothing is remembered, and the place
 * may be taken over by another key.
 */
struct wr_limit_rates {
	uint64_t seed[2]; /* of the hash, by the master */
	struct wr_limit_rate {
		uint64_t key;
		uint64_t due_ns; /* monotonic */
	} v[WR_LIMIT_RATES];
	uint32_t turns[WR_LIMIT_TURNS]; /* of sessions */
};

struct wr_sticky_head;
struct wr_sticky_bucket;

enum wr_health {
	WR_HEALTH_NONE,
	WR_HEALTH_CHECKING,
	WR_HEALTH_UP,
	WR_HEALTH_DOWN
};

/*
 * The region as one process sees it: pointers into shared memory that are the
 * same in all processes.  Matrices are indexed [slot * cells + cell], with one
 * more row (WR_SLOTS) for the base.
 */
struct wr_stats {
	struct wr_slot *slots; /* WR_SLOTS + 1; the last is the base */
	struct wr_listener_count *listeners;
	struct wr_upstream_count *upstreams;
	struct wr_server_count *servers;
	struct wr_server_state *states;         /* by server cell */
	struct wr_upstream_state *group_states; /* by upstream cell */
	struct wr_join *joins; /* by server cell, after WR_FILE_CELLS */
	struct wr_roll *roll;
	/* Names; servers: of WR_FILE_CELLS, the others have them in joins. */
	struct wr_cell *listener_cells, *upstream_cells, *server_cells;
	struct wr_limit_conns *limit_conns; /* by slot */
	struct wr_limit_rates *limit_rates;
	struct wr_sticky_head *sticky; /* see proxy/sticky.h */
	struct wr_sticky_bucket *sticky_buckets;
	/* Those below were ever used. */
	uint32_t *slots_high;
	uint32_t *listeners_high, *upstreams_high, *servers_high;
	int *wake;                /* eventfd of each slot, or -1 */
	const uint64_t *start_ms; /* wall clock, of the first master */
	const uint32_t *binaries; /* that have used the region */
};

static inline struct wr_listener_count *
wr_stats_listener(const struct wr_stats *st, uint32_t slot, uint32_t cell)
{
	return &st->listeners[(size_t)slot * WR_LISTENER_CELLS + cell];
}

static inline struct wr_upstream_count *
wr_stats_upstream(const struct wr_stats *st, uint32_t slot, uint32_t cell)
{
	return &st->upstreams[(size_t)slot * WR_UPSTREAM_CELLS + cell];
}

static inline struct wr_server_count *
wr_stats_server(const struct wr_stats *st, uint32_t slot, uint32_t cell)
{
	return &st->servers[(size_t)slot * WR_SERVER_CELLS + cell];
}

/* The name of a server, "" if its cell has none. */
static inline const char *
wr_stats_server_name(const struct wr_stats *st, uint32_t cell)
{
	return cell < WR_FILE_CELLS ? st->server_cells[cell].name
				    : st->joins[cell - WR_FILE_CELLS].name;
}

/* Sums over all slots and the base. */
struct wr_listener_count
wr_stats_listener_sum(const struct wr_stats *st, uint32_t cell);
struct wr_upstream_count
wr_stats_upstream_sum(const struct wr_stats *st, uint32_t cell);
struct wr_server_count
wr_stats_server_sum(const struct wr_stats *st, uint32_t cell);
/* Sessions on a server, over all processes. */
uint64_t wr_stats_server_active(const struct wr_stats *st, uint32_t cell);
/* Begin anew with a cell of a server that nobody uses. */
void wr_stats_wipe_server(const struct wr_stats *st, uint32_t cell);
/* Add a dead process's counters to the base and zero its row. */
void wr_stats_fold(const struct wr_stats *st, uint32_t slot);

#endif
