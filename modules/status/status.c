/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * status - what is going on, by HTTP, from the control process.
 *
 *	listeners = { status = { listen = "127.0.0.1:9090";
 *	    protocol = "status"; }; };
 *
 * /status.json, /metrics and a page at /.  Here are the listeners; who comes
 * in by them is a guest (guest.h).
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/list.h"
#include "base/log.h"
#include "io/sock.h"
#include "modules/access.h"
#include "modules/modules.h"
#include "modules/status/guest.h"

/* When it is full: see who can go. */
#define LOOK_MS 50
#define LEAVE   16 /* so many at a time */
/* When there are no descriptors, try again after that. */
#define ERROR_MS 200

/* A socket that guests come to. */
struct ear {
	struct wr_list link;
	struct wr_sock sock;
	char *text;
	struct wr_gen *gen; /* the last one that has the listener */
	const struct wr_listener_conf *conf;
	bool closing;
};

static struct {
	struct wr_control *ct;
	struct wr_list ears;
	struct wr_timer look, again;
	bool draining;
} self;

static wr_done_fn on_accept;
static wr_timer_fn on_look, on_again;

static void
on_ear_closed(struct wr_loop *l, struct wr_sock *k)
{
	struct ear *e = wr_container_of(k, struct ear, sock);

	(void)l;
	wr_gen_put(&e->gen);
	free(e->text);
	free(e);
}

static void
ear_close(struct ear *e)
{
	wr_list_remove(&e->link);
	wr_close(self.ct->loop, &e->sock, on_ear_closed);
}

static void
arm(struct ear *e)
{
	bool full = wr_guests_full();
	bool accepts = e->sock.in.kind != WR_OP_NONE;
	int err;

	/* Who has been accepted meanwhile is served. */
	if (e->closing && accepts) {
		wr_cancel(self.ct->loop, &e->sock.in);
		return;
	}
	if (e->closing) {
		ear_close(e);
		return;
	}
	if (full && !wr_timer_is_set(&self.look))
		wr_timer_set(self.ct->loop, &self.look, LOOK_MS, on_look);
	if (full || self.draining) {
		wr_cancel(self.ct->loop, &e->sock.in);
	} else if (!accepts && !wr_timer_is_set(&self.again)) {
		/* One at a time: another binary may accept from it too. */
		err = wr_accept(
		    self.ct->loop, &e->sock, WR_SHARED | WR_FEW, on_accept);
		if (err == 0)
			return;
		errno = -err;
		wr_error("%s: cannot accept", e->text);
		wr_timer_set(self.ct->loop, &self.again, ERROR_MS, on_again);
	}
}

static void
arm_ears(void)
{
	wr_list_each_safe (n, &self.ears)
		arm(wr_container_of(n, struct ear, link));
}

static void
on_again(struct wr_loop *l, struct wr_timer *t)
{
	(void)l;
	(void)t;
	arm_ears();
}

static void
on_accept(struct wr_loop *l, struct wr_op *op, const struct wr_done *d)
{
	struct ear *e = wr_container_of(wr_sock_of_in(op), struct ear, sock);
	struct wr_listener_count *n;

	if (d->res >= 0) {
		n = wr_stats_listener(
		    self.ct->stats, self.ct->slot, e->conf->cell);
		wr_count(&n->accepted, 1);
		if (wr_access_lets_in_fd(e->conf, d->res, d)) {
			wr_guest_new(e->conf->cell, d->res);
		} else {
			wr_count(&n->denied, 1);
			(void)close(d->res);
		}
	} else if (d->res != -ECANCELED) {
		errno = -d->res;
		wr_error("accept on %s: no more for a moment", e->text);
		wr_timer_set(l, &self.again, ERROR_MS, on_again);
	}
	arm(e);
}

/* Others may wait, or may not want to say. */
static bool
somebody_waits(void)
{
	wr_list_each (n, &self.ears) {
		struct ear *e = wr_container_of(n, struct ear, link);

		if (wr_sock_queued(e->sock.fd) != 0)
			return true;
	}
	return false;
}

static void
on_look(struct wr_loop *l, struct wr_timer *t)
{
	if (!wr_guests_full())
		return;
	for (int i = 0; i < LEAVE && somebody_waits(); i++)
		if (!wr_guests_make_room())
			break;
	wr_timer_set(l, t, LOOK_MS, on_look);
}

/* -- Sockets ------------------------------------------------------------- */

static bool
control_listen(struct wr_control *ct, struct wr_gen *g,
    const struct wr_listener_conf *c, const char *text, int fd)
{
	struct ear *e;

	if (c->protocol != WR_STATUS)
		return false;
	e = calloc(1, sizeof(*e));
	if (e == NULL)
		return false;
	e->text = strdup(text);
	if (e->text == NULL || wr_sock_init(ct->loop, &e->sock, fd) < 0) {
		free(e->text);
		free(e);
		return false;
	}
	e->gen = wr_gen_get(g);
	e->conf = c;
	wr_list_push(&self.ears, &e->link);
	arm(e);
	return true;
}

static void
control_unlisten(struct wr_control *ct, const char *text)
{
	(void)ct;
	wr_list_each_safe (n, &self.ears) {
		struct ear *e = wr_container_of(n, struct ear, link);

		if (!e->closing && strcmp(e->text, text) == 0) {
			e->closing = true;
			arm(e);
		}
	}
}

/* -- Life of control ----------------------------------------------------- */

static int
control_start(struct wr_control *ct)
{
	self.ct = ct;
	wr_list_init(&self.ears);
	wr_guests_start(ct, arm_ears);
	return 0;
}

/* A listener that is gone serves who still comes as it did. */
static void
renew(struct ear *e, struct wr_control *ct)
{
	const struct wr_listener_conf *c =
	    wr_conf_listener_at(ct->conf, e->conf->cell);

	if (c == NULL)
		return;
	wr_gen_put(&e->gen);
	e->gen = wr_gen_get(ct->gen);
	e->conf = c;
}

static void
control_use(struct wr_control *ct, const struct wr_conf *c)
{
	(void)c;
	wr_list_each (n, &self.ears)
		renew(wr_container_of(n, struct ear, link), ct);
	wr_guests_use();
}

static bool
control_drain(struct wr_control *ct)
{
	bool accepts = false;

	(void)ct;
	self.draining = true;
	arm_ears();
	wr_list_each (n, &self.ears) {
		struct ear *e = wr_container_of(n, struct ear, link);

		accepts |= e->sock.in.kind != WR_OP_NONE;
	}
	return wr_guests() == 0 && !accepts;
}

static void
control_exit(struct wr_control *ct)
{
	wr_list_each_safe (n, &self.ears)
		ear_close(wr_container_of(n, struct ear, link));
	wr_guests_stop();
	wr_timer_stop(ct->loop, &self.look);
	wr_timer_stop(ct->loop, &self.again);
}

const struct wr_module wr_mod_status = {
	.name = "status",
	.control_start = control_start,
	.control_use = control_use,
	.control_exit = control_exit,
	.control_listen = control_listen,
	.control_unlisten = control_unlisten,
	.control_drain = control_drain,
};
