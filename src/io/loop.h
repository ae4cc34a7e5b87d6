/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * loop - the only way to do network I/O: say what you want done, be told,
 * once, when it is done.
 *
 * One loop per process, made after fork().  Callbacks run only from
 * wr_loop_run(); starting, cancelling or closing never calls back.  Every
 * operation that was started completes exactly once, cancelled or not, and a
 * cancel never drops bytes.  After wr_close() only the close callback runs.
 * Of one turn: completions first, then timers, then the turn-end hooks (where
 * sends are issued), then closes.
 */
#ifndef WR_LOOP_H
#define WR_LOOP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/addr.h"
#include "base/list.h"

struct wr_loop;
struct wr_op;
struct wr_sock;
struct wr_block;
struct wr_pipe;

/*
 * A run of received or outgoing bytes in pooled memory.  Whoever holds a
 * slice holds one reference to its block and gives it back with
 * wr_slice_put(), or passes it on to wr_send().
 */
struct wr_slice {
	uint8_t *mem;
	uint32_t len;
	struct wr_block *block;
};

/* More completions of this operation follow (accept only). */
#define WR_MORE 1u
/* The socket seemed to have more bytes when these were taken. */
#define WR_HINT 2u
/* Send: the kernel did not take all of it at once. */
#define WR_SHORT 4u

struct wr_done {
	/*
	 * accept: the new descriptor; connect, watch: 0; receive: bytes, 0 is
	 * the end; send: bytes, all that were asked for.  Or a negative errno;
	 * -ECANCELED after wr_cancel(), unless the real result was first.
	 */
	int res;
	unsigned flags;
	/* Receive, res > 0: lent bytes; the callee owns one reference. */
	struct wr_slice in;
	/* Accept: the peer's address if the kernel told it, else NULL. */
	const struct sockaddr *peer;
	socklen_t peer_len;
};

typedef void
wr_done_fn(struct wr_loop *l, struct wr_op *op, const struct wr_done *d);
typedef void wr_close_fn(struct wr_loop *l, struct wr_sock *k);

enum wr_op_kind {
	WR_OP_NONE,
	WR_OP_ACCEPT,
	WR_OP_CONNECT,
	WR_OP_RECV,
	WR_OP_SEND,
	WR_OP_READABLE,
	WR_OP_WRITABLE,
	WR_OP_FILL,  /* in: into a pipe */
	WR_OP_DRAIN, /* out: of a pipe */
};

/* One direction of a socket.  All fields are the loop's, readable by anybody:
 * `kind` is WR_OP_NONE while nothing is in flight. */
struct wr_op {
	wr_done_fn *fn;
	struct wr_op *next; /* in a queue of the loop */
	void *data;         /* send: its gather list; connect: the address;
			       fill, drain: the pipe */
	uint32_t want;      /* receive: bytes at most; connect: length */
	uint8_t kind, state, flags;
	uint8_t owed; /* kernel completions not yet seen */
};

/* A descriptor the loop works on; embedded in the caller's object and not
 * moved or freed before its close callback ran. */
struct wr_sock {
	struct wr_op in;  /* accept, receive, readable */
	struct wr_op out; /* connect, send, writable */
	wr_close_fn *on_close;
	struct wr_sock *next; /* closing queue */
	int fd;               /* -1: none */
	uint32_t slot;        /* poll, select: place in the set */
	uint8_t ready, want;  /* readiness kernels: cached, registered */
	uint8_t closing, flags;
	uint32_t sent; /* send: bytes the kernel took so far, also on error */
};

/* The socket whose in (out) is `op`. */
static inline struct wr_sock *
wr_sock_of_in(struct wr_op *op)
{
	return wr_container_of(op, struct wr_sock, in);
}

static inline struct wr_sock *
wr_sock_of_out(struct wr_op *op)
{
	return wr_container_of(op, struct wr_sock, out);
}

struct wr_timer;
typedef void wr_timer_fn(struct wr_loop *l, struct wr_timer *t);

/* Node of the timer wheel; all zero is a timer that is not set. */
struct wr_timer {
	struct wr_list link; /* NULL: not set */
	wr_timer_fn *fn;
	uint64_t due_ms;
};

/*
 * What the loop counts, in memory of the caller (shared with readers in
 * other processes; only the loop writes, each word by itself).
 */
struct wr_loop_stats {
	uint64_t turns, completions, syscalls;
	uint64_t accepts, connects, recvs, sends, short_sends, closes;
	uint64_t recv_bytes, send_bytes, splice_bytes;
	uint64_t no_buffers; /* receives that had to wait for a buffer */
	uint64_t rearms, cancels, timers_fired;
	uint64_t turn_max_us; /* longest turn, without the wait */
	uint64_t late_turns;  /* turns longer than warn_ms */
	/* Gauges. */
	uint64_t socks, timers, buffers_used, buffers, spill_bytes;
	uint64_t iowq_threads; /* io_uring: kernel threads made for us; is 0 */
};

struct wr_loop_conf {
	const char *backend;    /* auto io_uring epoll kqueue poll select */
	uint64_t buffers_bytes; /* pool that receives lend from; 0: 16 MiB */
	uint64_t spill_bytes;   /* remainders of short sends; 0: 64 MiB */
	uint32_t socks_max;     /* descriptors at once; 0: 65536 */
	uint32_t warn_ms;       /* turns longer than this are counted; 0: off */
	uint64_t chaos;         /* seed of the test wrapper; 0: off */
	uint32_t chop;          /* tests: receive and send at most so many
				   bytes at a time; 0: off */
	struct wr_loop_stats *stats; /* lent; NULL: the loop's own */
};

/*
 * NULL and errno if the named backend cannot be had here; "auto" probes by
 * doing and falls back to epoll (kqueue, poll).  Both log one line that says
 * why.  `c` is not kept.
 */
struct wr_loop *wr_loop_new(const struct wr_loop_conf *c);
/* Everything must be closed.  Leaves NULL. */
void wr_loop_free(struct wr_loop **l);
/* In a forked child: let go of the parent's loop without touching what the
 * two share.  Leaves NULL. */
void wr_loop_abandon(struct wr_loop **l);
const char *wr_loop_backend(const struct wr_loop *l);
/* How many descriptors this backend can serve; select: FD_SETSIZE. */
uint32_t wr_loop_limit(const struct wr_loop *l);
/* Names of the compiled-in backends, best first, NULL at the end. */
const char *const *wr_loop_backends(void);
const struct wr_loop_stats *wr_loop_stats(const struct wr_loop *l);

/* Turn until wr_loop_stop(). */
void wr_loop_run(struct wr_loop *l);
/* One turn; wait at most so long for something to do (-1: for ever). */
void wr_loop_turn(struct wr_loop *l, int wait_ms);
void wr_loop_stop(struct wr_loop *l);
/* Monotonic clock in milliseconds, read once a turn. */
uint64_t wr_loop_now(const struct wr_loop *l);

/* Another warn_ms. */
void wr_loop_warn(struct wr_loop *l, uint32_t ms);
/* Is every wait dear, because the kernel looks at each of many sockets? */
bool wr_loop_scans(const struct wr_loop *l);

/* A function for the end of every turn, before the sends of the turn are
 * issued; runs as long as the node is linked. */
struct wr_hook {
	struct wr_list link;
	void (*fn)(struct wr_loop *l, struct wr_hook *h);
};
void wr_loop_at_end(struct wr_loop *l, struct wr_hook *h);
void wr_loop_hook_stop(struct wr_hook *h);

/*
 * Buffers have run out, and for some milliseconds none came back although
 * somebody waits for one: readers are slow, and the spill has no room for what
 * they leave.  The owner of sessions can close the one that has been stalled
 * longest, of those whose wr_send_pins().  Called again if that did not help.
 */
void wr_loop_on_pressure(
    struct wr_loop *l, void (*fn)(struct wr_loop *l, void *arg), void *arg);

/* Take over `fd`.  -EMFILE if the backend cannot serve a descriptor of this
 * number; `fd` is then still the caller's.  Receiving and sending work on
 * blocking descriptors too; one to connect comes from wr_sock_stream(). */
wr_must_check int wr_sock_init(struct wr_loop *l, struct wr_sock *k, int fd);

/* The functions below return 0, or -errno and then never call back. */

/* Accept until cancelled; completions say WR_MORE, all but the last.  On
 * -EMFILE, -ENFILE, -ENOBUFS, -ENOMEM accepting ends with that error: wait,
 * then start again.  Errors of one client are not told.  Descriptors are
 * close-on-exec and already as the backend likes them.  WR_SHARED: other
 * processes accept from the same socket, so take few at a time and only when
 * there is something. */
#define WR_SHARED 1u
/* WR_FEW: what is accepted at once must be bounded; without it a kernel may
 * accept all that have come since the last turn: WR_CROWD over all sockets,
 * and one more on each. */
#define WR_FEW   4u
#define WR_CROWD 4096u
wr_must_check int
wr_accept(struct wr_loop *l, struct wr_sock *k, unsigned flags, wr_done_fn *fn);
/* `sa` is copied. */
wr_must_check int wr_connect(struct wr_loop *l, struct wr_sock *k,
    const struct sockaddr *sa, socklen_t len, wr_done_fn *fn);
/* At most `max` bytes (0: as many as a buffer holds).  Memory is taken only
 * when bytes are there.  WR_COLD: nothing is expected soon, do not try
 * before waiting. */
#define WR_COLD 2u
wr_must_check int wr_recv(struct wr_loop *l, struct wr_sock *k, uint32_t max,
    unsigned flags, wr_done_fn *fn);
/* Send up to WR_IOV slices; takes over their references, whatever happens.
 * Issued at the end of the turn; one completion when all was taken or on
 * error.  The bytes may be moved elsewhere while the reader is slow. */
#define WR_IOV       16
#define WR_SEND_MORE 4u /* more follows at once: MSG_MORE */
wr_must_check int wr_send(struct wr_loop *l, struct wr_sock *k,
    const struct wr_slice *v, int n, unsigned flags, wr_done_fn *fn);
/*
 * Bytes can also go through a pipe, which the kernel need not copy (Linux):
 * filled from one socket, drained into another.  NULL: none is to be had, so
 * copy.  A pipe is put back when no operation names it any more; what is in
 * it then is lost.
 */
wr_must_check struct wr_pipe *wr_pipe_get(struct wr_loop *l);
void wr_pipe_put(struct wr_loop *l, struct wr_pipe **p);
/* As wr_recv() into an empty pipe, so that there are no bytes to look at. */
wr_must_check int wr_fill(
    struct wr_loop *l, struct wr_sock *k, struct wr_pipe *p, wr_done_fn *fn);
/* As wr_send() of all that is in the pipe, but issued at once. */
wr_must_check int wr_drain(
    struct wr_loop *l, struct wr_sock *k, struct wr_pipe *p, wr_done_fn *fn);
/* Once, when a foreign descriptor or socket is readable (writable).  -EBUSY
 * also if the kernel has received ahead from a socket that got small messages:
 * receive on, a few KiB, and ask again. */
wr_must_check int wr_watch(
    struct wr_loop *l, struct wr_sock *k, enum wr_op_kind kind, wr_done_fn *fn);
/* No effect on an operation that is not in flight. */
void wr_cancel(struct wr_loop *l, struct wr_op *op);
/* Does what is being sent lie in buffers of the pool? */
bool wr_send_pins(const struct wr_sock *k);
/* shutdown(SHUT_WR); nothing may be in flight outwards. */
wr_must_check int wr_shutdown(struct wr_loop *l, struct wr_sock *k);
/*
 * Cancel what is in flight, wait for it, close the descriptor, call `fn` (may
 * be NULL) at the end of a turn; `k` may be freed there.  wr_abort() resets
 * the connection instead of ending it.  wr_release() does the same but leaves
 * the descriptor open and to the caller, in k->fd; bytes that were received
 * ahead of a chatty socket, or whose completion is on its way, are lost.
 */
void wr_close(struct wr_loop *l, struct wr_sock *k, wr_close_fn *fn);
void wr_abort(struct wr_loop *l, struct wr_sock *k, wr_close_fn *fn);
void wr_release(struct wr_loop *l, struct wr_sock *k, wr_close_fn *fn);

/* Give one reference back.  *s is then empty. */
void wr_slice_put(struct wr_loop *l, struct wr_slice *s);
/* One more reference to the same bytes. */
struct wr_slice wr_slice_ref(const struct wr_slice *s);
/* Memory for bytes that weir itself makes (answers, headers): a whole buffer;
 * s->len is its size.  -ENOBUFS. */
wr_must_check int wr_slice_get(struct wr_loop *l, struct wr_slice *s);
/* Bytes that live longer than any send (static, configuration of a held
 * generation): no reference is counted. */
struct wr_slice wr_slice_const(const void *p, uint32_t len);

/* O(1) all three.  Setting a timer that is set moves it. */
void wr_timer_set(
    struct wr_loop *l, struct wr_timer *t, uint64_t after_ms, wr_timer_fn *fn);
void wr_timer_stop(struct wr_loop *l, struct wr_timer *t);
static inline bool
wr_timer_is_set(const struct wr_timer *t)
{
	return t->link.next != NULL;
}

#endif
