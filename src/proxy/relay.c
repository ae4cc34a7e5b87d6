/* SPDX-License-Identifier: BSD-2-Clause */
/* relay - two pumps; see relay.h. */
#include "proxy/relay.h"

#include <assert.h>
#include <errno.h>

#include "conf/key.h"

/* While a reader is slow, no more than this waits for it in our memory. */
#define SLOW_BYTES 4096u
/* Whoever is sent this much at once is worth a system call of its own. */
#define BULK_BYTES 32768
/* After so many of these in a row it goes through a pipe; and no longer when
 * so many in a row were smaller than this. */
#define FULL      4u
#define FEW_BYTES 16384
/* What came before a reset is here: so long without a byte is enough. */
#define RESET_MS 1000u
/* How often a stalled send is looked at, in parts of its time-out. */
#define LOOKS       8
#define LOOK_MIN_MS 10
/* Timers that are at least so long end in steps of so much. */
#define LONG_MS     2000u
#define TOGETHER_MS 64u

/*
 * Notes are 32 bits of a clock that goes round after 49 days.  So that one
 * that is older never looks young again, it is kept at this age, by a timer
 * that sleeps no longer than that.
 */
#define AGE_MAX_MS   0xe0000000u
#define SLEEP_MAX_MS 0x10000000u
_Static_assert(WR_TIME_MAX < AGE_MAX_MS, "every time-out can be over");
_Static_assert(UINT32_MAX - AGE_MAX_MS > SLEEP_MAX_MS + LONG_MS,
    "none goes round between two looks");

static wr_done_fn on_recv, on_send, on_fill, on_drain;
static wr_timer_fn on_timer;

static inline uint32_t
clock_ms(const struct wr_loop *l)
{
	return (uint32_t)wr_loop_now(l);
}

static inline struct wr_relay *
relay_of(struct wr_conn *c)
{
	return wr_container_of(c - c->side, struct wr_relay, end[0]);
}

static inline struct wr_conn *
other(struct wr_conn *c)
{
	return c->side == WR_CLIENT ? c + 1 : c - 1;
}

/* Seen from now, as one of them may be older than half of the clock's
 * range. */
static inline uint32_t
later(uint32_t now, uint32_t a, uint32_t b)
{
	return now - a < now - b ? a : b;
}

static void
finish(struct wr_loop *l, struct wr_relay *r)
{
	wr_relay_fn *tell = r->tell;

	wr_timer_stop(l, &r->timer);
	r->tell = NULL;
	tell(l, r, WR_RELAY_OVER);
}

/* -- Errors -------------------------------------------------------------- */

static const enum wr_end resets[] = { WR_END_CLIENT_RELAY_RESET,
	WR_END_SERVER_RELAY_RESET };
static const enum wr_end losses[] = { WR_END_CLIENT_RELAY_LOST,
	WR_END_SERVER_RELAY_LOST };
static const enum wr_end ends[] = { WR_END_CLIENT_RELAY_EOF,
	WR_END_SERVER_RELAY_EOF };

static enum wr_end
reason(int err, enum wr_side side)
{
	switch (-err) {
	case ETIMEDOUT:
	case EHOSTUNREACH:
	case EHOSTDOWN:
	case ENETUNREACH:
	case ENETDOWN:
		return losses[side];
	case ENOMEM:
	case ENOBUFS:
		return WR_END_WEIR_ANY_ERROR;
	default:
		return resets[side];
	}
}

/* The first reason is the one that counts. */
static void
blame(struct wr_relay *r, int err, enum wr_side side)
{
	if (r->err != 0)
		return;
	r->err = err;
	r->why = (uint8_t)reason(err, side);
}

/* Nothing more will come from `c`, and what came may not all be here. */
static void
tear(struct wr_loop *l, struct wr_conn *c, int err)
{
	struct wr_relay *r = relay_of(c);

	blame(r, err, c->side);
	r->torn |= (uint8_t)(1u << c->side);
	finish(l, r);
}

/* -- Pumps --------------------------------------------------------------- */

/* False: copy. */
static bool
may_splice(struct wr_loop *l, struct wr_conn *c)
{
	struct wr_relay *r = relay_of(c);

	if (r->pipe[c->side] != NULL)
		return true;
	if (c->via == NULL && other(c)->via == NULL)
		r->pipe[c->side] = wr_pipe_get(l);
	if (r->pipe[c->side] != NULL)
		return true;
	c->full = 0;
	return false;
}

static void
leave_pipe(struct wr_loop *l, struct wr_conn *c)
{
	wr_pipe_put(l, &relay_of(c)->pipe[c->side]);
	c->full = 0;
}

static void
pump_recv(struct wr_loop *l, struct wr_conn *c)
{
	int err;

	if (c->full >= FULL && may_splice(l, c))
		err = wr_fill(l, &c->sock, relay_of(c)->pipe[c->side], on_fill);
	else
		err = wr_conn_recv(l, c, other(c)->slow ? SLOW_BYTES : 0,
		    c->hint ? 0 : WR_COLD, on_recv);

	if (err < 0)
		tear(l, c, err);
}

/* `c` is to be told of the end, but is reset already.  Reading what it said
 * before will show it; if not, nobody waits for long. */
static void
pump_unheard(struct wr_relay *r, struct wr_conn *c, int err)
{
	blame(r, err, c->side);
	if (r->limits.half_close > RESET_MS)
		r->limits.half_close = RESET_MS;
}

/* Pass a clean end on: the other direction may still have work. */
static void
pump_end(struct wr_loop *l, struct wr_conn *c)
{
	struct wr_relay *r = relay_of(c);
	int err;

	c->over = true;
	if (r->why == WR_END_NONE)
		r->why = (uint8_t)ends[c->side];
	if (other(c)->over) {
		finish(l, r);
		return;
	}
	r->half_ms = clock_ms(l);
	err = wr_conn_shutdown(l, other(c));
	if (err < 0)
		pump_unheard(r, other(c), err);
	wr_relay_look(l, r);
}

/*
 * `c` takes no more.  What it said before may still be on its way (an answer
 * that made the rest of the question needless), so its own pump goes on; it
 * cannot go on for long.
 */
static void
pump_refused(struct wr_loop *l, struct wr_conn *c, int err)
{
	struct wr_relay *r = relay_of(c);

	blame(r, err, c->side);
	r->torn |= (uint8_t)(1u << other(c)->side);
	r->deaf |= (uint8_t)(1u << other(c)->side);
	other(c)->over = true;
	if (c->over || r->why != resets[c->side]) {
		finish(l, r);
		return;
	}
	r->half_ms = clock_ms(l);
	wr_relay_look(l, r);
}

/* Something came after a silence in which the timer may have gone to sleep. */
static void
wake(struct wr_loop *l, struct wr_relay *r)
{
	uint64_t due_ms = wr_loop_now(l) + r->nap_ms;

	if (!wr_timer_is_set(&r->timer) || r->timer.due_ms > due_ms)
		wr_timer_set(l, &r->timer, r->nap_ms, on_timer);
}

/* At least SLOW_BYTES came, which is all that was asked for if the other end
 * is slow. */
static void
much(struct wr_loop *l, struct wr_conn *c, int bytes)
{
	struct wr_conn *to = other(c);

	if (bytes < BULK_BYTES && !to->slow) {
		c->full = 0;
		return;
	}
	if (c->full < FULL)
		c->full++;
	if (to->bulk)
		return;
	to->bulk = true;
	relay_of(c)->tell(l, relay_of(c), WR_RELAY_BULK);
}

static void
on_recv(struct wr_loop *l, struct wr_op *op, const struct wr_done *d)
{
	struct wr_conn *c = wr_conn_of_in(op);
	struct wr_conn *to = other(c);
	uint32_t now = clock_ms(l);
	int err;

	if (d->res <= 0) {
		if (d->res == 0)
			pump_end(l, c);
		else
			tear(l, c, d->res);
		return;
	}
	if (now - c->in_ms >= relay_of(c)->nap_ms)
		wake(l, relay_of(c));
	if (c->bytes == 0 && c->side == WR_SERVER)
		relay_of(c)->tell(l, relay_of(c), WR_RELAY_HEARD);
	c->in_ms = now;
	c->hint = d->flags & WR_HINT;
	if ((uint32_t)d->res >= SLOW_BYTES)
		much(l, c, d->res);
	else
		c->full = 0;
	err = wr_conn_send(l, to, &d->in, 1, 0, on_send);
	if (err < 0)
		pump_refused(l, to, err);
}

static void
on_send(struct wr_loop *l, struct wr_op *op, const struct wr_done *d)
{
	struct wr_conn *c = wr_conn_of_out(op);
	struct wr_conn *from = other(c);

	if (d->res < 0) {
		from->bytes += c->sock.sent;
		pump_refused(l, c, d->res);
		return;
	}
	from->bytes += (uint64_t)d->res;
	c->out_ms = clock_ms(l);
	c->slow = d->flags & WR_SHORT;
	pump_recv(l, from);
}

/* -- Through a pipe ------------------------------------------------------ */

static void
filled(struct wr_loop *l, struct wr_conn *c, int bytes)
{
	int err;

	if (clock_ms(l) - c->in_ms >= relay_of(c)->nap_ms)
		wake(l, relay_of(c));
	c->in_ms = clock_ms(l);
	if (bytes >= FEW_BYTES)
		c->full = FULL + FULL - 1;
	else
		c->full--;
	err =
	    wr_drain(l, &other(c)->sock, relay_of(c)->pipe[c->side], on_drain);
	if (err < 0)
		pump_refused(l, other(c), err);
}

static void
on_fill(struct wr_loop *l, struct wr_op *op, const struct wr_done *d)
{
	struct wr_conn *c = wr_conn_of_in(op);

	if (d->res > 0) {
		filled(l, c, d->res);
	} else if (d->res == 0) {
		leave_pipe(l, c);
		pump_end(l, c);
	} else if (d->res == -EINVAL) {
		/* A kind of socket that cannot, or not now. */
		leave_pipe(l, c);
		pump_recv(l, c);
	} else {
		tear(l, c, d->res);
	}
}

static void
on_drain(struct wr_loop *l, struct wr_op *op, const struct wr_done *d)
{
	struct wr_conn *c = wr_conn_of_out(op);
	struct wr_conn *from = other(c);

	from->bytes += c->sock.sent;
	if (d->res < 0) {
		pump_refused(l, c, d->res);
		return;
	}
	c->out_ms = clock_ms(l);
	if (from->full < FULL)
		leave_pipe(l, from);
	pump_recv(l, from);
}

/* -- Time-outs ----------------------------------------------------------- */

/* The time-out that is over first. */
struct first {
	uint32_t now;
	uint32_t left_ms; /* WR_OFF: none */
	enum wr_end why;
};

static void
consider(struct first *f, uint32_t since, uint32_t limit, enum wr_end why)
{
	uint32_t age = f->now - since;
	uint32_t left = age >= limit ? 0 : limit - age;

	if (limit == WR_OFF || left >= f->left_ms)
		return;
	f->left_ms = left;
	f->why = why;
}

/* Since when bytes wait for `c` without one being taken. */
static uint32_t
stalled_since(const struct wr_conn *c, uint32_t now)
{
	const struct wr_conn *from = c->side == WR_CLIENT ? c + 1 : c - 1;

	return later(now, c->out_ms, from->in_ms);
}

uint32_t
wr_relay_stalled_ms(const struct wr_loop *l, const struct wr_conn *c)
{
	uint32_t now = clock_ms(l);

	return wr_conn_owed(c) ? now - stalled_since(c, now) : 0;
}

/*
 * Since when a side that could speak has said nothing.  While what it said
 * before waits for the other end, nobody listens to it: it is not silent, the
 * other one is slow.
 */
static uint32_t
silent_since(struct wr_conn *c, uint32_t now)
{
	const struct wr_conn *to = other(c);

	return wr_conn_owed(to) ? now : later(now, c->in_ms, to->out_ms);
}

static void
consider_side(struct wr_relay *r, struct wr_conn *c, struct first *f)
{
	static const enum wr_end stalls[] = { WR_END_CLIENT_RELAY_SEND,
		WR_END_SERVER_RELAY_SEND };
	static const enum wr_end idles[] = { WR_END_CLIENT_RELAY_IDLE,
		WR_END_SERVER_RELAY_IDLE };

	if (wr_conn_owed(c)) {
		/* A long send moves in steps that nobody tells us of. */
		if (c->sock.sent != c->seen) {
			c->seen = c->sock.sent;
			c->out_ms = f->now;
		}
		consider(f, stalled_since(c, f->now), r->limits.send,
		    stalls[c->side]);
	}
	if (!c->over)
		consider(f, silent_since(c, f->now),
		    r->limits.side_idle[c->side], idles[c->side]);
}

/* When a byte last moved. */
static uint32_t
moved(const struct wr_relay *r, uint32_t now)
{
	return later(now, later(now, r->end[0].in_ms, r->end[0].out_ms),
	    later(now, r->end[1].in_ms, r->end[1].out_ms));
}

static void
consider_all(struct wr_relay *r, struct first *f)
{
	struct wr_conn *client = &r->end[WR_CLIENT];
	struct wr_conn *server = &r->end[WR_SERVER];
	uint32_t moved_ms;

	consider_side(r, client, f);
	consider_side(r, server, f);
	moved_ms = moved(r, f->now);
	if (client->bytes > 0 && server->bytes == 0 && !wr_conn_owed(client) &&
	    !wr_conn_owed(server))
		consider(f, server->out_ms, r->limits.first_byte,
		    WR_END_SERVER_RELAY_FIRST);
	if (client->over || server->over)
		consider(f, later(f->now, r->half_ms, moved_ms),
		    r->limits.half_close,
		    client->over ? WR_END_SERVER_RELAY_HALF
				 : WR_END_CLIENT_RELAY_HALF);
	consider(f, moved_ms, r->limits.idle, WR_END_WEIR_RELAY_IDLE);
	consider(
	    f, r->start_ms, r->limits.lifetime, WR_END_WEIR_RELAY_LIFETIME);
}

static void
set_nap(struct wr_relay *r)
{
	uint32_t nap = WR_OFF;

	if (r->limits.send != WR_OFF) {
		nap = r->limits.send / LOOKS;
		if (nap < LOOK_MIN_MS)
			nap = LOOK_MIN_MS;
	}
	if (r->limits.first_byte < nap)
		nap = r->limits.first_byte;
	r->nap_ms = r->tick_ms != 0 && r->tick_ms < nap ? r->tick_ms : nap;
}

static void
tick(struct wr_loop *l, struct wr_relay *r, uint32_t now)
{
	r->tell(l, r, WR_RELAY_TICK);
	r->tick_at = now;
	set_nap(r);
}

/* A long wait may be a little longer, so that many end in one turn. */
static uint32_t
together(uint32_t now, uint32_t ms)
{
	uint32_t over = (now + ms) % TOGETHER_MS;

	if (ms < LONG_MS || over == 0)
		return ms;
	return ms + TOGETHER_MS - over;
}

static void
hold(uint32_t now, uint32_t *note)
{
	if (now - *note > AGE_MAX_MS)
		*note = now - AGE_MAX_MS;
}

static void
hold_all(struct wr_relay *r, uint32_t now)
{
	for (int i = 0; i < 2; i++) {
		hold(now, &r->end[i].in_ms);
		hold(now, &r->end[i].out_ms);
	}
	hold(now, &r->half_ms);
	hold(now, &r->tick_at);
}

static void
on_timer(struct wr_loop *l, struct wr_timer *t)
{
	struct wr_relay *r = wr_container_of(t, struct wr_relay, timer);
	struct first f = { clock_ms(l), WR_OFF, WR_END_NONE };
	bool awake;

	hold_all(r, f.now);
	if (r->tick_ms != 0 && f.now - r->tick_at >= r->tick_ms)
		tick(l, r, f.now);
	consider_all(r, &f);
	if (f.left_ms == 0) {
		/* An end that was lost is why, if there was one. */
		if (r->err == 0)
			r->why = (uint8_t)f.why;
		finish(l, r);
		return;
	}
	awake = wr_conn_owed(&r->end[0]) || wr_conn_owed(&r->end[1]) ||
		r->restless || f.now - moved(r, f.now) < r->nap_ms;
	if (awake && r->nap_ms < f.left_ms)
		f.left_ms = r->nap_ms;
	if (f.left_ms > SLEEP_MAX_MS)
		f.left_ms = SLEEP_MAX_MS;
	wr_timer_set(l, t, together(f.now, f.left_ms), on_timer);
}

void
wr_relay_look(struct wr_loop *l, struct wr_relay *r)
{
	set_nap(r);
	on_timer(l, &r->timer);
}

/* -- Start --------------------------------------------------------------- */

void
wr_relay_start(struct wr_loop *l, struct wr_relay *r, wr_relay_fn *tell)
{
	uint32_t now = clock_ms(l);

	r->tell = tell;
	r->err = 0;
	r->why = WR_END_NONE;
	r->torn = r->deaf = 0;
	r->tick_at = now;
	for (int i = 0; i < 2; i++) {
		assert(r->end[i].side == i);
		r->end[i].in_ms = r->end[i].out_ms = now;
	}
	/* Most clients have spoken by now, most servers wait for that. */
	r->end[WR_CLIENT].hint = true;
	pump_recv(l, &r->end[WR_CLIENT]);
	if (r->tell != NULL)
		pump_recv(l, &r->end[WR_SERVER]);
	if (r->tell != NULL)
		wr_relay_look(l, r);
}

void
wr_relay_fini(struct wr_loop *l, struct wr_relay *r)
{
	wr_pipe_put(l, &r->pipe[WR_CLIENT]);
	wr_pipe_put(l, &r->pipe[WR_SERVER]);
}
