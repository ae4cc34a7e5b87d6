/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * listen - the listening sockets, all owned by the master.
 *
 * An address is sharded (TCP for workers: one socket for each), shared (unix:
 * and what was inherited from others: one socket, every worker accepts), or
 * control's (status pages, heartbeats: one socket, control accepts).  A
 * socket is bound in a build, listens from the commit on, and is closed only
 * when its address is gone from the configuration, three seconds after the
 * last client has been accepted.  Who accepts on which shard is decided in
 * proc/reload; here is known which process has which socket.
 */
#ifndef WR_LISTEN_H
#define WR_LISTEN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/text.h"
#include "conf/conf.h"

struct wr_listens;

/* What to tell a process about one socket. */
struct wr_listen_tell {
	bool open; /* accept from `fd`; else accept no more */
	bool stay; /* neither: go on, whatever becomes of the others */
	int fd;    /* lent */
	const char *text;
	uint32_t cell;
	uint32_t shard; /* 0..; WR_SHARD_SHARED, WR_SHARD_CONTROL */
	bool shared;    /* others accept from it too, or may */
	/* The generation that knows the listener: the one committed, or, for a
	 * socket that is retired, the last that named it; lent. */
	struct wr_gen *gen;
};
typedef void
wr_listen_tell_fn(void *arg, int slot, const struct wr_listen_tell *t);

/* NULL and errno. */
struct wr_listens *wr_listens_new(wr_listen_tell_fn *tell, void *arg);
/* Closes what is owned (in a child: all; nothing is unlinked).  NULL after. */
void wr_listens_free(struct wr_listens **ls);
/* Sockets of another weir may be on our addresses (`--beside`). */
void wr_listens_beside(struct wr_listens *ls);
/* The last owner goes: unlink unix sockets that are still ours. */
void wr_listens_unlink(struct wr_listens *ls);

/* -- The transaction --------------------------------------------------- */

/*
 * Make what `g` wants and is not there, for `shards` shards, bound but not
 * listening.  -1 after one "file:line: text" each to `errors`; nothing is
 * left of this try then.
 */
wr_must_check int wr_listens_bind(struct wr_listens *ls, struct wr_gen *g,
    uint32_t shards, struct wr_text *errors);
/*
 * `g` (held while needed) is the running value now: shards that are live
 * listen, addresses that it does not name begin to retire, those that came
 * back accept again.  What changed is written to `changes`, a line each.
 * Returns how many sockets could not listen; they are tried again by
 * wr_listens_tick().
 */
unsigned wr_listens_commit(struct wr_listens *ls, struct wr_gen *g,
    uint64_t now_ms, struct wr_text *changes);
/* Close what wr_listens_bind() made. */
void wr_listens_abort(struct wr_listens *ls);
/* The sockets of this shard listen from now on. */
void wr_listens_live(struct wr_listens *ls, uint32_t shard);

/* -- Who has what ------------------------------------------------------ */

/* Tell `slot` to accept on `shard`, for every address that listens or retires
 * and that it has not been told of. */
void wr_listens_open(struct wr_listens *ls, int slot, uint32_t shard);
void wr_listens_shut(struct wr_listens *ls, int slot, uint32_t shard);
/* `slot` has let go of one socket. */
void wr_listens_shut_done(
    struct wr_listens *ls, int slot, const char *text, uint32_t shard);
/* `slot` was told to let go of everything (it drains), and will. */
void wr_listens_leave(struct wr_listens *ls, int slot);
/* It has: it is dead. */
void wr_listens_gone(struct wr_listens *ls, int slot);

/* -- Retirement -------------------------------------------------------- */

/* When to call wr_listens_tick(); UINT64_MAX: nothing to do. */
uint64_t wr_listens_due(const struct wr_listens *ls);
void wr_listens_tick(struct wr_listens *ls, uint64_t now_ms);

/* The end: all addresses retire, and soon.  If there is a new binary only
 * those that it does not name do, in their time. */
void wr_listens_retire(struct wr_listens *ls, bool heir, uint64_t now_ms);
/* Nothing is left, but what a new binary has. */
bool wr_listens_closed(const struct wr_listens *ls);

/* -- Inheritance ------------------------------------------------------- */

/*
 * Before the first descriptor is opened: note the sockets that somebody else
 * has opened for us, so that `listen = "fd:N"` takes no other; and their names
 * from LISTEN_FDS and LISTEN_FDNAMES if LISTEN_PID is ours.  The variables are
 * removed.
 */
void wr_listens_environment(struct wr_listens *ls);

/* Everything as lines for a new binary, and back.  Descriptors are passed by
 * number: they must not be close-on-exec when it starts (wr_listens_pass()).
 * -EPROTO for what we would not write. */
void wr_listens_write(const struct wr_listens *ls, struct wr_text *out);
wr_must_check int wr_listens_read(struct wr_listens *ls, struct wr_str text);
void wr_listens_pass(const struct wr_listens *ls, bool on);
/*
 * What the committed value of the new binary does not name of what was read,
 * as numbers; and back, in the old one, for which these are then the addresses
 * that it alone serves (empty: none is).
 */
void wr_listens_unnamed(const struct wr_listens *ls, struct wr_text *out);
void wr_listens_ours(struct wr_listens *ls, struct wr_str numbers);
/* `slot` is to accept from these although it pauses / from all their sockets,
 * because it is new. */
void wr_listens_stay(struct wr_listens *ls, int slot);
void wr_listens_lend(struct wr_listens *ls, int slot);
/* How many shards were read. */
uint32_t wr_listens_shards(const struct wr_listens *ls);
/* What was read and is not named by the committed value: until now the old
 * master might have come back for it; close it. */
void wr_listens_own(struct wr_listens *ls);

#endif
