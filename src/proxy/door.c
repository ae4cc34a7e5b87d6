/* SPDX-License-Identifier: BSD-2-Clause */
/* door - see door.h. */
#include "proxy/door.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "io/sock.h"
#include "proxy/core.h"

/* How long to wait for a descriptor if none of ours comes back before. */
#define ERROR_MS 200
/* Nor does a single place wait longer for others to be free. */
#define ROOM_MS 20

/* A door that shuts serves who has come in already, but not for ever. */
#define WAITING_MS 1000
/* That all sessions are in use is said so often at most. */
#define FULL_MS 10000
#define LOOK_MS 10

static wr_done_fn on_accept;
static wr_timer_fn on_hold_over, on_look;
static wr_close_fn on_closed;

/* Why this one does not accept. */
static unsigned
held(const struct wr_door *door)
{
	return door->stays ? door->px->hold & ~WR_HOLD_ASKED : door->px->hold;
}

/* Somebody the kernel has let in is still to be accepted. */
static bool
is_awaited(struct wr_door *door)
{
	struct wr_proxy *px = door->px;

	if (held(door) != 0 || px->drain == WR_DRAIN_CUT ||
	    wr_loop_now(px->loop) >= door->until_ms ||
	    wr_sock_queued(door->sock.fd) <= 0)
		return false;
	wr_timer_set(px->loop, &door->timer, LOOK_MS, on_look);
	return true;
}

/*
 * All who wait behind all doors may be accepted in one turn, before we can say
 * that we are full.  With less room than for two such crowds it has to be a
 * few at a time.
 */
static bool
is_tight(const struct wr_proxy *px)
{
	uint64_t room = px->sessions_max - px->sessions.used;
	uint64_t crowds =
	    2 * (px->backlogs < WR_CROWD ? px->backlogs : WR_CROWD);

	if (px->sessions.used >= px->sessions_max)
		return true;
	/* Not to and fro. */
	return room < (px->few ? crowds + crowds / 8 : crowds);
}

/* There is another number of sessions or doors: all doors must know if that
 * changes how they accept, not only the one that was used. */
static void
note_room(struct wr_proxy *px)
{
	bool few = is_tight(px);

	if (few == px->few)
		return;
	px->few = few;
	wr_list_each (n, &px->doors) {
		struct wr_door *door = wr_container_of(n, struct wr_door, link);

		/* It starts anew when this is done. */
		if (!door->shutting && door->few != few)
			wr_cancel(px->loop, &door->sock.in);
	}
}

static void
hold_a_while(struct wr_proxy *px)
{
	wr_count(&px->slot->accept_errors, 1);
	wr_doors_hold(px, WR_HOLD_ERROR, true);
}

/* Accept, stop accepting, or close: as things are. */
static void
arm(struct wr_door *door)
{
	struct wr_proxy *px = door->px;
	bool accepts = door->sock.in.kind != WR_OP_NONE;
	int err;

	if (door->sock.closing ||
	    (door->shutting && accepts && is_awaited(door)))
		return;
	if (door->shutting && !accepts) {
		wr_close(px->loop, &door->sock, on_closed);
	} else if (door->shutting || held(door) != 0) {
		/* What was accepted meanwhile is served. */
		wr_cancel(px->loop, &door->sock.in);
	} else if (!accepts) {
		door->few = px->few;
		err = wr_accept(px->loop, &door->sock,
		    (door->shared ? WR_SHARED : 0) | (door->few ? WR_FEW : 0),
		    on_accept);
		if (err < 0) {
			errno = -err;
			wr_error("accept on %s", door->text);
			hold_a_while(px);
		}
	}
}

static void
on_look(struct wr_loop *l, struct wr_timer *t)
{
	(void)l;
	arm(wr_container_of(t, struct wr_door, timer));
}

/* It stays for those who wait. */
static void
shut(struct wr_door *door)
{
	if (door->shutting)
		return;
	door->shutting = true;
	door->until_ms = wr_loop_now(door->px->loop) + WAITING_MS;
	arm(door);
}

static void
arm_all(struct wr_proxy *px)
{
	wr_list_each_safe (n, &px->doors)
		arm(wr_container_of(n, struct wr_door, link));
}

void
wr_doors_hold(struct wr_proxy *px, unsigned why, bool on)
{
	unsigned before = px->hold;

	if (on)
		px->hold |= why;
	else
		px->hold &= ~why;
	if (on && why == WR_HOLD_ERROR)
		wr_timer_set(px->loop, &px->hold_timer, ERROR_MS, on_hold_over);
	if (before != px->hold)
		arm_all(px);
}

static void
on_hold_over(struct wr_loop *l, struct wr_timer *t)
{
	struct wr_proxy *px = wr_container_of(t, struct wr_proxy, hold_timer);

	(void)l;
	wr_doors_hold(px, WR_HOLD_ERROR, false);
	if (px->sessions.used < px->sessions_max)
		wr_doors_hold(px, WR_HOLD_FULL, false);
}

void
wr_doors_freed(struct wr_proxy *px)
{
	/* Not for every single one when there are many. */
	uint32_t low = px->sessions_max - px->sessions_max / 64;

	if (px->hold & WR_HOLD_ERROR)
		wr_doors_hold(px, WR_HOLD_ERROR, false);
	if (!(px->hold & WR_HOLD_FULL) || px->sessions.used >= px->sessions_max)
		return;
	if (px->sessions.used < low)
		wr_doors_hold(px, WR_HOLD_FULL, false);
	else if (!wr_timer_is_set(&px->hold_timer))
		wr_timer_set(px->loop, &px->hold_timer, ROOM_MS, on_hold_over);
}

/* From now on clients wait, until somebody leaves. */
static void
be_full(struct wr_proxy *px)
{
	uint64_t now_ms = wr_loop_now(px->loop);

	if (px->hold & WR_HOLD_FULL)
		return;
	wr_count(&px->slot->full, 1);
	wr_doors_hold(px, WR_HOLD_FULL, true);
	if (now_ms < px->full_until_ms)
		return;
	px->full_until_ms = now_ms + FULL_MS;
	wr_warnx("all %u sessions are in use: clients wait for one of them to "
		 "end (events.connections)",
	    px->sessions_max);
}

static void
on_accept(struct wr_loop *l, struct wr_op *op, const struct wr_done *d)
{
	struct wr_door *door =
	    wr_container_of(wr_sock_of_in(op), struct wr_door, sock);
	struct wr_proxy *px = door->px;

	(void)l;
	if (d->res >= 0) {
		wr_session_accept(px, door, d->res, d->peer, d->peer_len);
		if (px->sessions.used >= px->sessions_max)
			be_full(px);
		note_room(px);
	} else if (d->res != -ECANCELED) {
		errno = -d->res;
		wr_error("accept on %s: no more for a moment", door->text);
		hold_a_while(px);
	}
	if (!(d->flags & WR_MORE))
		arm(door);
}

/* -- Open and close ------------------------------------------------------ */

static void
on_closed(struct wr_loop *l, struct wr_sock *k)
{
	struct wr_door *door = wr_container_of(k, struct wr_door, sock);
	struct wr_proxy *px = door->px;
	void (*done)(void *arg) = door->done;
	void *arg = door->done_arg;

	wr_list_remove(&door->link);
	px->backlogs -= door->conf->backlog;
	wr_timer_stop(l, &door->timer);
	wr_gen_put(&door->gen);
	free(door->text);
	free(door);
	if (done != NULL)
		done(arg);
	wr_proxy_freed(px);
}

static uint16_t
port_of(int fd)
{
	struct wr_addr a;

	return wr_sock_name(fd, &a) == 0 ? wr_addr_port(&a) : 0;
}

/* What sockets inherit from the one that accepted them. */
static void
set_options(struct wr_door *door)
{
	struct wr_proxy *px = door->px;
	uint64_t unsent = px->gen->conf->events.unsent;

	if (unsent > 0)
		wr_sock_unsent(door->sock.fd, (uint32_t)unsent);
	wr_hooks_listen(px, door->conf, door->sock.fd);
}

int
wr_proxy_open(struct wr_proxy *px, struct wr_gen *g, uint32_t listener_cell,
    const char *text, uint32_t shard, int fd, bool shared)
{
	const struct wr_listener_conf *c =
	    wr_conf_listener_at(g->conf, listener_cell);
	struct wr_door *door = c != NULL ? calloc(1, sizeof(*door)) : NULL;
	int err = c != NULL ? -ENOMEM : -ENOENT;

	if (door != NULL && (door->text = strdup(text)) != NULL)
		err = wr_sock_init(px->loop, &door->sock, fd);
	if (err < 0) {
		if (door != NULL)
			free(door->text);
		free(door);
		(void)close(fd);
		return err;
	}
	door->px = px;
	door->gen = wr_gen_get(g);
	door->conf = c;
	door->cell = listener_cell;
	door->shard = shard;
	door->port = port_of(fd);
	door->shared = shared;
	wr_list_push(&px->doors, &door->link);
	px->backlogs += c->backlog;
	note_room(px);
	set_options(door);
	arm(door);
	return 0;
}

void
wr_proxy_shut(struct wr_proxy *px, const char *text, uint32_t shard,
    void (*done)(void *arg), void *arg)
{
	wr_list_each (n, &px->doors) {
		struct wr_door *door = wr_container_of(n, struct wr_door, link);

		if (door->shutting || door->shard != shard ||
		    strcmp(door->text, text) != 0)
			continue;
		door->done = done;
		door->done_arg = arg;
		shut(door);
		return;
	}
	if (done != NULL)
		done(arg);
}

void
wr_doors_shut(struct wr_proxy *px)
{
	wr_list_each_safe (n, &px->doors) {
		shut(wr_container_of(n, struct wr_door, link));
	}
}

void
wr_doors_use(struct wr_proxy *px)
{
	wr_list_each (n, &px->doors) {
		struct wr_door *door = wr_container_of(n, struct wr_door, link);
		const struct wr_listener_conf *c =
		    wr_conf_listener_at(px->gen->conf, door->cell);

		/* Gone: what still comes is served as it was until it is shut.
		 */
		if (c == NULL || door->sock.closing)
			continue;
		px->backlogs += c->backlog - (uint64_t)door->conf->backlog;
		wr_gen_put(&door->gen);
		door->gen = wr_gen_get(px->gen);
		door->conf = c;
		set_options(door);
	}
	note_room(px);
}

void
wr_proxy_stay(struct wr_proxy *px, const char *text, uint32_t shard)
{
	wr_list_each (n, &px->doors) {
		struct wr_door *door = wr_container_of(n, struct wr_door, link);

		if (door->shard == shard && strcmp(door->text, text) == 0)
			door->stays = true;
	}
}

void
wr_proxy_pause(struct wr_proxy *px)
{
	wr_doors_hold(px, WR_HOLD_ASKED, true);
}

void
wr_proxy_resume(struct wr_proxy *px)
{
	wr_list_each (n, &px->doors)
		wr_container_of(n, struct wr_door, link)->stays = false;
	wr_doors_hold(px, WR_HOLD_ASKED, false);
}
