/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * chan - messages between the master and one of its children.
 *
 * An AF_UNIX SOCK_SEQPACKET pair carries messages of one size: a version,
 * scalars and a short text, with at most WR_MSG_FDS descriptors beside them.
 * Never a pointer, never a struct of the configuration.  What the kernel does
 * not take at once waits in the channel, with descriptors of its own.
 */
#ifndef WR_CHAN_H
#define WR_CHAN_H

#include "io/loop.h"

#define WR_MSG_VERSION 1
#define WR_MSG_TEXT    200
#define WR_MSG_FDS     2

enum wr_msg_kind {
	WR_MSG_NONE,

	/* Master to child. */

	/* Map this generation and get ready to use it: READY or FAILED.  fd:
	 * the sealed memfd, none if the child was born with the generation. */
	WR_MSG_PREPARE,
	/* fds: accept from this socket of the listener `cell`, entry `text`,
	 * `shard`; at once if `generation` is in use, else when it will be.  A
	 * listener that is retired comes with the memfd of the generation that
	 * knows it, in case it is not mapped any more (place, bytes). */
	WR_MSG_LISTEN,
	/* Accept no more from it, serve what was accepted, close the copy, say
	 * UNLISTENED. */
	WR_MSG_UNLISTEN,
	/* Use the prepared generation from now on / forget it. */
	WR_MSG_COMMIT,
	WR_MSG_ABORT,
	/* Accept no more (descriptors are closed), exit when the last session
	 * is over / be worker number `a` again; sockets follow anew. */
	WR_MSG_DRAIN,
	WR_MSG_UNDRAIN,
	/* Go on accepting on `shard` of `text` until RESUME, whatever PAUSE
	 * says: nobody else will. */
	WR_MSG_STAY,
	/* Stop accepting for now, keep the descriptors: PAUSED / go on. */
	WR_MSG_PAUSE,
	WR_MSG_RESUME,
	/* Your master has outlived its probation: serve on if it dies. */
	WR_MSG_CONFIRMED,
	/* End all sessions and exit. */
	WR_MSG_STOP,
	/* fds: of the error log if `flags` says so, else it is syslog; then of
	 * the access log, if there is a file. */
	WR_MSG_REOPEN,

	/* Child to master. */

	WR_MSG_READY,  /* to use `generation` */
	WR_MSG_FAILED, /* not ready for it: err, text */
	WR_MSG_UNLISTENED,
	WR_MSG_PAUSED,
	WR_MSG_FULL, /* no room for another session / there is again */
	WR_MSG_ROOM,
	WR_MSG_GONE, /* let go of `generation`, at `place` */

	WR_MSG_KINDS
};

#define WR_MSG_SHARED     1u /* LISTEN: other workers accept from it too */
#define WR_MSG_ERROR_LOG  1u /* REOPEN */
#define WR_MSG_ACCESS_LOG 2u

struct wr_msg {
	uint16_t version; /* set by wr_chan_send() */
	uint16_t kind;
	uint32_t flags;
	uint64_t generation;
	uint64_t bytes; /* PREPARE, LISTEN: to map */
	uint32_t place; /* PREPARE, LISTEN, GONE: in the window */
	uint32_t cell;
	uint32_t shard;
	int32_t err;
	uint64_t a;
	char text[WR_MSG_TEXT];
};

struct wr_chan;
/* `fds` are the callee's; those not there are -1. */
typedef void
wr_msg_fn(struct wr_chan *ch, const struct wr_msg *m, int fds[WR_MSG_FDS]);
/* The other end is closed, or speaks another version (err -EPROTO). */
typedef void wr_chan_end_fn(struct wr_chan *ch, int err);

struct wr_chan {
	struct wr_loop *loop;
	struct wr_sock sock;
	struct wr_list queue;  /* what could not be sent yet */
	struct wr_timer again; /* it is tried again */
	wr_msg_fn *on_msg;
	wr_chan_end_fn *on_end;
	bool watching; /* until the socket takes more */
	bool closed;
};

/* The name of a kind, for logs. */
const char *wr_msg_name(unsigned kind);

/* Take over `fd` and begin to read.  -errno; `fd` is the caller's then. */
wr_must_check int wr_chan_start(struct wr_chan *ch, struct wr_loop *l, int fd,
    wr_msg_fn *on_msg, wr_chan_end_fn *on_end);
/* Hand out at once what has come. */
void wr_chan_hear(struct wr_chan *ch);
/* Drop what waits, close; `fn` (or NULL) runs at the end of a turn, then `ch`
 * may be freed.  May be called from on_msg and on_end. */
void wr_chan_close(struct wr_chan *ch, wr_close_fn *fn);
/* `fds` (n of them) stay the caller's.  0, also if the message has to wait;
 * -errno if the channel is broken. */
int
wr_chan_send(struct wr_chan *ch, const struct wr_msg *m, const int *fds, int n);
/* In a forked child: close the descriptor of a channel that is the parent's,
 * without the loop. */
void wr_chan_abandon(struct wr_chan *ch);

#endif
