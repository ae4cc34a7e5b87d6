/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * private - what the files of io/ know of a loop and nobody else does.
 *
 * An operation is always in exactly one place: with the backend, in one of
 * the three queues of the loop, or nowhere.  `state` says which, and only
 * the functions below and the backend's arm, cancel and run change it.
 */
#ifndef WR_IO_PRIVATE_H
#define WR_IO_PRIVATE_H

#include <sys/uio.h>

#include "base/pool.h"
#include "io/backend.h"
#include "io/loop.h"

/* Where an operation is. */
enum wr_op_state {
	WR_ST_IDLE,    /* nowhere; kind is WR_OP_NONE */
	WR_ST_WAIT,    /* with the backend */
	WR_ST_READY,   /* in `ready`, to be run by the backend */
	WR_ST_DONE,    /* in `ready`, with its result */
	WR_ST_STALLED, /* in `stalled`: a receive without a buffer */
	WR_ST_QUEUED   /* in `sends`: goes out at the end of the turn */
};

/* op->flags */
#define WR_OPF_SHARED 0x01u /* accept: others accept here too */
#define WR_OPF_COLD   0x02u /* receive: do not try before waiting */
#define WR_OPF_FEW    0x02u /* accept: one after the other */
#define WR_OPF_MORE   0x04u /* send: MSG_MORE */
#define WR_OPF_HINT   0x08u /* done: the socket has more */
#define WR_OPF_CANCEL 0x10u /* a cancel was asked for */
#define WR_OPF_OWN    0x60u /* the backend's own */
#define WR_OPF_SHORT  0x80u /* send: not all was taken at once */

/* So many clients are accepted in a turn beside one of each listener: those who
 * are in must not wait long for those who come. */
#define WR_BURST_MAX 16u

/* d->flags, of an accept that is not cancelled meanwhile: run it once more at
 * once.  The callback does not see it. */
#define WR_AGAIN 0x80u

/* k->flags; the others are the backend's own. */
#define WR_KF_RELEASE  0x01u /* leave the descriptor open */
#define WR_KF_ABORT    0x02u /* reset */
#define WR_KF_NONBLOCK 0x04u /* known to be O_NONBLOCK */
#define WR_KF_MUCH     0x08u /* filled the room of a small receive */
#define WR_KF_OWN      0xf0u

/* Operations linked by op->next. */
struct wr_queue {
	struct wr_op *head, **tail;
};

/*
 * A run of memory that slices lie in, one after the other.  A block of the
 * pool has a number by which a kernel can name it; a block of the heap holds
 * exactly what a slow reader has not taken.
 */
struct wr_block {
	struct wr_block *next; /* free blocks */
	uint8_t *mem;
	uint32_t size;
	uint32_t used; /* bytes handed out, from the front */
	uint32_t refs;
	uint32_t held; /* of them: by a kernel that waits for bytes */
	uint16_t id;
	bool heap;
	uint8_t
	    warm; /* 2: in use since the last trim; 1: before; 0: no pages */
};

struct wr_blocks {
	uint8_t *mem; /* block i lies at i * block_size */
	struct wr_block *v;
	struct wr_block *free; /* the hottest first */
	struct wr_block *cur;  /* wr_room_get() carves from it; or NULL */
	uint32_t n, n_free, block_size;
	uint64_t spill_max;
	uint64_t trimmed_ms;
	bool came_home; /* since the last refill */
	bool unread; /* a kernel wrote to what it holds, and we do not know */
};

/* Room for the pieces of a gathered send; msg and iov must stay put until
 * the kernel has read them, so they are here. */
struct wr_gather {
	struct wr_slice v[WR_IOV];
	struct msghdr msg;
	struct iovec iov[WR_IOV];
};

/* What a send still has to deliver: slices v[at] to v[n - 1].  op->data. */
struct wr_tx {
	struct wr_gather *gather; /* NULL: one slice */
	struct wr_slice *v;       /* gather->v or &one */
	uint32_t left, total;     /* bytes */
	uint16_t at, n;
	struct wr_slice one;
};

#define WR_WHEEL_LEVELS 7
#define WR_WHEEL_SLOTS  64

struct wr_wheel {
	uint64_t elapsed; /* ms: everything up to here has fired */
	uint64_t bits[WR_WHEEL_LEVELS]; /* slots that may have timers */
	struct wr_list slot[WR_WHEEL_LEVELS][WR_WHEEL_SLOTS];
	bool running;
};

/* A descriptor that was accepted before its callback can run. */
struct wr_accepted {
	struct wr_op *op;
	int fd;
};

struct wr_loop {
	const struct wr_backend *be;
	void *priv; /* the backend's */
	struct wr_loop_stats *stats;
	struct wr_queue ready, stalled, sends;
	struct wr_queue later; /* ready in the next turn */
	uint64_t sends_bytes;  /* in `sends` */
	struct wr_sock *closing, **closing_tail;
	struct wr_list hooks;
	struct wr_blocks blocks;
	struct wr_pool txs, gathers;
	struct wr_pool addrs; /* of connects a kernel has not yet read */
	struct wr_accepted *accepted; /* ring of accepted_size, a power of 2 */
	uint32_t accepted_size, accepted_head, accepted_tail;
	uint32_t burst_left; /* accepts of this turn beside one a listener */
	uint32_t looks;      /* how often the kernel told all that is ready */
	uint64_t now_us, now_ms;
	uint64_t spent_us; /* on the last turn: it ended so long after now_us */
	uint64_t pressed_us;          /* since when blocks are missing, or 0 */
	unsigned press_n;             /* calls when that is for too long */
	struct sockaddr_storage peer; /* of the last accept */
	struct wr_pipe *pipes;        /* free ones */
	uint32_t pipes_made;
	void (*pressure)(struct wr_loop *l, void *arg);
	void *pressure_arg;
	uint32_t chop, warn_ms, socks_max;
	bool stop, sweep; /* sweep: something in `stalled` was cancelled */
	struct wr_loop_stats own_stats;
	struct wr_wheel wheel;
};

static inline void
wr_queue_init(struct wr_queue *q)
{
	q->head = NULL;
	q->tail = &q->head;
}

static inline void
wr_queue_push(struct wr_queue *q, struct wr_op *op)
{
	op->next = NULL;
	*q->tail = op;
	q->tail = &op->next;
}

static inline struct wr_op *
wr_queue_pop(struct wr_queue *q)
{
	struct wr_op *op = q->head;

	if (op != NULL && (q->head = op->next) == NULL)
		q->tail = &q->head;
	return op;
}

/* Everything that is in `q`, which is then empty. */
static inline struct wr_queue
wr_queue_take(struct wr_queue *q)
{
	struct wr_queue all = *q;

	if (all.head == NULL)
		all.tail = NULL; /* nothing is pushed to it */
	wr_queue_init(q);
	return all;
}

static inline void
wr_queue_append(struct wr_queue *q, struct wr_queue *more)
{
	if (more->head == NULL)
		return;
	*q->tail = more->head;
	q->tail = more->tail;
	wr_queue_init(more);
}

static inline bool
wr_op_is_in(const struct wr_op *op)
{
	return op->kind == WR_OP_ACCEPT || op->kind == WR_OP_RECV ||
	       op->kind == WR_OP_READABLE || op->kind == WR_OP_FILL;
}

/* `op` is in flight. */
static inline struct wr_sock *
wr_op_sock(struct wr_op *op)
{
	return wr_op_is_in(op) ? wr_sock_of_in(op) : wr_sock_of_out(op);
}

/* -- loop.c: what a backend tells -- */

/*
 * The terminal completion of `op`, not a receive with bytes.  Its gather list
 * is freed by the loop.  For a send: 0 is success, the loop knows the count.
 */
void wr_loop_post(struct wr_loop *l, struct wr_op *op, int res);
/* The completion of a receive: `s` lies in the pool; the callback gets the
 * reference.  `hint`: there may be more. */
void wr_loop_post_recv(
    struct wr_loop *l, struct wr_op *op, const struct wr_slice *s, bool hint);
/* The same for one that is in the queue already. */
void wr_loop_store(struct wr_loop *l, struct wr_op *op, int res);
void wr_loop_store_recv(struct wr_op *op, const struct wr_slice *s, bool hint);
/* A descriptor was accepted, and `op` goes on.  The loop closes it if the
 * callback can no longer be called. */
void wr_loop_post_fd(struct wr_loop *l, struct wr_op *op, int fd);
/* Ask the backend's run() for the completion of `op` when its turn comes. */
void wr_loop_ready(struct wr_loop *l, struct wr_op *op);
/* The same in the next turn. */
void wr_loop_ready_later(struct wr_loop *l, struct wr_op *op);
/* A receive found no buffer: made ready again when a block came home. */
void wr_loop_stall(struct wr_loop *l, struct wr_op *op);

/* What settle() had to wait for has ended. */
void wr_loop_settled(struct wr_loop *l, struct wr_sock *k);

/* -- op.c -- */

/* An error (-errno) of one client that went away, or of its network; accept(2)
 * says to go on as if nobody had come.  All others end an accept. */
bool wr_accept_passes(int err);
/* Hand what was sent in this turn to the backend. */
void wr_sends_issue(struct wr_loop *l);

/* -- slice.c -- */

wr_must_check int
wr_blocks_init(struct wr_loop *l, uint64_t bytes, uint64_t spill_bytes);
void wr_blocks_fini(struct wr_loop *l);

/* A whole block with one reference, for a kernel that fills it later or for
 * the caller; NULL: none left. */
wr_must_check struct wr_block *wr_block_get(struct wr_loop *l);
/* One reference less; the last one sends the block home. */
void wr_block_put(struct wr_loop *l, struct wr_block *b);
/* The caller's reference is now held by a kernel until bytes come, or no
 * longer.  A block that has no others does not count as used. */
void wr_block_hold(struct wr_loop *l, struct wr_block *b);
void wr_block_unhold(struct wr_loop *l, struct wr_block *b);
/* The block of that number; the block of the pool that holds `mem`. */
struct wr_block *wr_block_at(struct wr_loop *l, uint16_t id);
struct wr_block *wr_block_of(struct wr_loop *l, const uint8_t *mem);

/*
 * Room to receive into at once: s->mem, s->len (at most `max`; 0: no wish).
 * No reference is taken until wr_room_take() says how many bytes came, with
 * nothing in between.  Small messages share a block, one after the other, so
 * that a turn touches few cache lines.  False: no buffer.
 */
wr_must_check bool
wr_room_get(struct wr_loop *l, uint32_t max, struct wr_slice *s);
void wr_room_take(struct wr_loop *l, struct wr_slice *s, uint32_t n);
/* The same for a receive that is one of many: exactly `len` bytes, with a
 * reference.  False also if buffers are few. */
wr_must_check bool
wr_room_reserve(struct wr_loop *l, uint32_t len, struct wr_slice *s);

/* Takes over the references.  NULL: too many sends at once. */
wr_must_check struct wr_tx *
wr_tx_get(struct wr_loop *l, const struct wr_slice *v, int n);
void wr_tx_put(struct wr_loop *l, struct wr_tx *tx);
/* The kernel took `n` bytes of what k->out sends: counts them and gives
 * blocks back. */
void wr_tx_advance(struct wr_loop *l, struct wr_sock *k, uint32_t n);
/* What is left as vectors, at most `max` bytes of it (0: all); how many. */
int wr_tx_iov(const struct wr_tx *tx, struct iovec *iov, uint32_t max);
/* Send of it as much as goes at once (or the loop's `chop`): bytes or -errno,
 * and how many were asked for. */
int wr_tx_send(struct wr_loop *l, struct wr_sock *k, uint32_t *asked);
/* The reader is slow, and no kernel holds the bytes: move them to the heap if
 * that helps the pool. */
void wr_tx_spill(struct wr_loop *l, struct wr_tx *tx);
/* Somebody waits for a block, and none is free. */
bool wr_blocks_pressed(const struct wr_loop *l);
/* Give the pages of blocks back that nobody used for a second or two.  Only
 * between the completions of a turn and what follows from them. */
void wr_blocks_trim(struct wr_loop *l);
/* Who was given room may have left some of it: is it for those who wait? */
void wr_blocks_offer(struct wr_loop *l);

/* -- timer.c -- */

void wr_wheel_init(struct wr_loop *l);
/* Microseconds until something is due, 0: now, -1: nothing is set. */
int64_t wr_wheel_wait(struct wr_loop *l);
/* Fire what is due. */
void wr_wheel_run(struct wr_loop *l);

/* -- chaos.c -- */

/* Put the wrapper around l->be, which is ready for use.  -ENOMEM. */
wr_must_check int wr_chaos_start(struct wr_loop *l, uint64_t seed);

#endif
