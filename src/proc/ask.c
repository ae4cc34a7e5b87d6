/* SPDX-License-Identifier: BSD-2-Clause */
/* ask - one line in, one text out, over the master's loop. */
#include "proc/ask.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "io/sock.h"
#include "proc/master.h"
#include "proc/status.h"

#define LINE_MAX_BYTES 64
/* How long somebody may take to say what they want. */
#define PATIENCE_MS 5000
/* Until there may be a descriptor again. */
#define ERROR_MS 200

struct wr_ask {
	struct wr_master *master;
	struct wr_sock sock;   /* listening */
	struct wr_timer again; /* accepting has failed */
	bool open;
	bool leave; /* do not unlink */
	char path[WR_ADDR_TEXT];
	struct wr_list guests;
};

/* One who asks. */
struct guest {
	struct wr_list link;
	struct wr_ask *ask;
	struct wr_sock sock;
	struct wr_timer timer;
	uint64_t ticket; /* of what they wait for, or 0 */
	char line[LINE_MAX_BYTES];
	size_t len;
	struct wr_text answer;
};

static wr_done_fn on_accept, on_line, on_sent;
static wr_timer_fn on_late, on_again;
static wr_close_fn on_closed;

static void
on_closed(struct wr_loop *l, struct wr_sock *k)
{
	struct guest *g = wr_container_of(k, struct guest, sock);

	(void)l;
	wr_text_fini(&g->answer);
	free(g);
}

static void
dismiss(struct guest *g)
{
	struct wr_loop *l = g->ask->master->loop;

	wr_list_remove(&g->link);
	wr_timer_stop(l, &g->timer);
	wr_close(l, &g->sock, on_closed);
}

static void
on_sent(struct wr_loop *l, struct wr_op *op, const struct wr_done *d)
{
	(void)l;
	(void)d;
	dismiss(wr_container_of(wr_sock_of_out(op), struct guest, sock));
}

static void
answer(struct guest *g, int status, int stream, struct wr_str text)
{
	struct wr_slice s;

	g->ticket = 0;
	wr_text_printf(&g->answer, "%d %d\n", status, stream);
	wr_text_add(&g->answer, text.p, text.len);
	if (g->answer.cut) {
		dismiss(g);
		return;
	}
	s = wr_slice_const(g->answer.p, (uint32_t)g->answer.len);
	if (wr_send(g->ask->master->loop, &g->sock, &s, 1, 0, on_sent) < 0)
		dismiss(g);
}

static void
do_status(struct guest *g)
{
	struct wr_text t = { 0 };

	wr_status_write(g->ask->master, &t);
	answer(g, 0, STDOUT_FILENO, (struct wr_str){ t.p, t.len });
	wr_text_fini(&t);
}

static void
do_reopen(struct guest *g)
{
	struct wr_text t = { 0 };
	int err = wr_master_reopen(g->ask->master, &t);

	answer(
	    g, err < 0 ? 1 : 0, STDERR_FILENO, (struct wr_str){ t.p, t.len });
	wr_text_fini(&t);
}

/* The word is out before the process ends, if it is at once. */
static void
do_end(struct guest *g, enum wr_event_kind kind)
{
	struct wr_master *m = g->ask->master;

	answer(g, 0, STDERR_FILENO, (struct wr_str){ 0 });
	wr_master_event(m, kind, -1);
}

static void
obey(struct guest *g, struct wr_str word)
{
	struct wr_master *m = g->ask->master;

	wr_timer_stop(m->loop, &g->timer);
	if (!wr_str_is(word, "status"))
		wr_info("told to %.*s", WR_STR_ARG(word));
	if (wr_str_is(word, "status")) {
		do_status(g);
	} else if (wr_str_is(word, "reopen")) {
		do_reopen(g);
	} else if (wr_str_is(word, "quit")) {
		do_end(g, WR_EV_QUIT);
	} else if (wr_str_is(word, "stop")) {
		do_end(g, WR_EV_STOP);
	} else if (wr_str_is(word, "reload")) {
		g->ticket = wr_master_reload(m);
		wr_master_act(m);
	} else if (wr_str_is(word, "upgrade")) {
		g->ticket = wr_master_upgrade(m);
		wr_master_act(m);
	} else {
		answer(g, 2, STDERR_FILENO, WR_STR("no such word\n"));
	}
}

static void
hear(struct guest *g)
{
	struct wr_loop *l = g->ask->master->loop;

	if (wr_recv(l, &g->sock, (uint32_t)(sizeof(g->line) - g->len), 0,
		on_line) < 0)
		dismiss(g);
}

static void
on_line(struct wr_loop *l, struct wr_op *op, const struct wr_done *d)
{
	struct guest *g =
	    wr_container_of(wr_sock_of_in(op), struct guest, sock);
	struct wr_str word, rest;
	struct wr_slice in = d->in;

	if (d->res <= 0) {
		if (d->res != -ECANCELED)
			dismiss(g);
		return;
	}
	(void)memcpy(g->line + g->len, in.mem, (size_t)d->res);
	g->len += (size_t)d->res;
	wr_slice_put(l, &in);
	if (wr_str_cut((struct wr_str){ g->line, g->len }, '\n', &word, &rest))
		obey(g, word);
	else if (g->len == sizeof(g->line))
		answer(g, 2, STDERR_FILENO, WR_STR("no such word\n"));
	else
		hear(g);
}

static void
on_late(struct wr_loop *l, struct wr_timer *t)
{
	(void)l;
	dismiss(wr_container_of(t, struct guest, timer));
}

static void
on_accept(struct wr_loop *l, struct wr_op *op, const struct wr_done *d)
{
	struct wr_ask *a =
	    wr_container_of(wr_sock_of_in(op), struct wr_ask, sock);
	struct guest *g;

	if (d->res < 0) {
		if (d->res == -ECANCELED)
			return;
		wr_errorx("weir -s: cannot accept: %s", strerror(-d->res));
		wr_timer_set(l, &a->again, ERROR_MS, on_again);
		return;
	}
	g = calloc(1, sizeof(*g));
	if (g == NULL || wr_sock_init(l, &g->sock, d->res) < 0) {
		free(g);
		(void)close(d->res);
		return;
	}
	g->ask = a;
	wr_list_init(&g->link);
	wr_list_push(&a->guests, &g->link);
	wr_timer_set(l, &g->timer, PATIENCE_MS, on_late);
	hear(g);
}

static void
on_again(struct wr_loop *l, struct wr_timer *t)
{
	struct wr_ask *a = wr_container_of(t, struct wr_ask, again);

	if (wr_accept(l, &a->sock, 0, on_accept) < 0)
		wr_timer_set(l, t, ERROR_MS, on_again);
}

void
wr_ask_answer(
    struct wr_ask *a, uint64_t ticket, int status, struct wr_str lines)
{
	wr_list_each_safe (link, &a->guests) {
		struct guest *g = wr_container_of(link, struct guest, link);

		if (g->ticket == ticket)
			answer(g, status, STDERR_FILENO, lines);
	}
}

struct wr_ask *
wr_ask_new(struct wr_master *m)
{
	struct wr_ask *a = calloc(1, sizeof(*a));

	if (a == NULL)
		return NULL;
	a->master = m;
	a->sock.fd = -1;
	wr_list_init(&a->guests);
	return a;
}

static int
begin(struct wr_ask *a, int fd)
{
	int err = wr_sock_init(a->master->loop, &a->sock, fd);

	if (err == 0)
		err = wr_accept(a->master->loop, &a->sock, 0, on_accept);
	a->open = err == 0;
	return err;
}

int
wr_ask_open(struct wr_ask *a, const char *pid_path, struct wr_text *errors)
{
	struct wr_addr addr;
	int fd, err;

	(void)snprintf(a->path, sizeof(a->path), "unix:%s.sock", pid_path);
	fd = wr_addr_parse(&addr, wr_str_of(a->path), 0);
	if (fd == 0)
		fd = wr_sock_bind(&addr, 0, 0600);
	err = fd;
	if (fd >= 0) {
		err = wr_sock_listen(fd, 16);
		if (err == 0)
			err = begin(a, fd);
		if (err < 0)
			(void)close(fd);
	}
	if (err < 0)
		wr_text_printf(errors,
		    "%s.sock: %s; weir -s will not reach "
		    "this process\n",
		    pid_path, strerror(-err));
	return err < 0 ? -1 : 0;
}

int
wr_ask_take(struct wr_ask *a, int fd, const char *pid_path)
{
	int err;

	(void)snprintf(a->path, sizeof(a->path), "unix:%s.sock", pid_path);
	err = begin(a, fd);
	if (err < 0)
		(void)close(fd);
	return err;
}

static void
shut(struct wr_ask *a, bool unlink_it)
{
	if (!a->open)
		return;
	a->open = false;
	wr_timer_stop(a->master->loop, &a->again);
	if (unlink_it)
		(void)unlink(a->path + strlen("unix:"));
	wr_close(a->master->loop, &a->sock, NULL);
}

void
wr_ask_leave(struct wr_ask *a)
{
	shut(a, false);
}

int
wr_ask_fd(const struct wr_ask *a)
{
	return a->open ? a->sock.fd : -1;
}

void
wr_ask_close(struct wr_ask *a)
{
	shut(a, true);
	wr_list_each_safe (link, &a->guests) {
		struct guest *g = wr_container_of(link, struct guest, link);

		if (g->ticket != 0)
			answer(g, 1, STDERR_FILENO,
			    WR_STR("weir has ended meanwhile\n"));
		else if (g->sock.out.kind == WR_OP_NONE)
			dismiss(g);
	}
}

void
wr_ask_free(struct wr_ask **a)
{
	free(*a);
	*a = NULL;
}
