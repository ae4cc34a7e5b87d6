/* SPDX-License-Identifier: BSD-2-Clause */
/* guest - from the connection to its end; see guest.h. */
#include "modules/status/guest.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/list.h"
#include "modules/status/status.h"
#include "wire/get.h"

#define GUESTS_MAX 64
/* From the connection to the end of the head. */
#define HEAD_MS 5000
/* Without a byte taken; for the whole answer. */
#define TAKE_MS   10000
#define ANSWER_MS 60000
/* After the answer: what the client still says is read, so that it is not
 * reset before it has read. */
#define LINGER_MS    2000
#define LINGER_BYTES 65536
/* Who has not moved for so long makes room for those who wait. */
#define IDLE_MS 500
/* A piece is sent when it has so many bytes. */
#define PIECE 32768
/* Of a turn, for writing. */
#define WRITE_US 1000
/* Reloads during one answer. */
#define RELOADS_MAX 4

enum stage {
	HEAR,
	ANSWER,
	LINGER,
};

struct guest {
	struct wr_list link; /* who moved last comes last */
	struct wr_list turn; /* in the queue of those who get a piece */
	struct wr_sock sock;
	struct wr_timer timer;
	uint64_t moved_ms, began_ms;
	uint32_t cell; /* of the listener */
	enum stage stage;
	struct wr_get get;
	struct wr_text text; /* what is sent: one piece */
	wr_status_fn *write;
	struct wr_status_at at;
	struct wr_gen *gen; /* while it is answered from it */
	uint32_t reloads, lingered;
	uint32_t seen; /* bytes sent when it was looked at last */
	bool more;     /* pieces follow */
};

static struct {
	struct wr_control *ct;
	void (*left)(void);
	struct wr_list guests, queue;
	uint32_t n;
	struct wr_hook turn_end;
	struct wr_timer nudge;
} self;

static wr_done_fn on_head, on_sent, on_rest;
static wr_timer_fn on_late, on_nudge;

static struct wr_listener_count *
count(uint32_t cell)
{
	return wr_stats_listener(self.ct->stats, self.ct->slot, cell);
}

/* -- Guests -------------------------------------------------------------- */

static void
on_guest_closed(struct wr_loop *l, struct wr_sock *k)
{
	struct guest *g = wr_container_of(k, struct guest, sock);

	(void)l;
	wr_count(&count(g->cell)->active, (uint64_t)-1);
	wr_text_fini(&g->text);
	free(g);
	self.n--;
	self.left();
}

static void
drop(struct guest *g)
{
	struct wr_loop *l = self.ct->loop;
	bool cut = g->stage == ANSWER;

	wr_timer_stop(l, &g->timer);
	wr_list_remove(&g->link);
	wr_list_remove(&g->turn);
	if (g->gen != NULL)
		wr_gen_put(&g->gen);
	/* Without a reset, who asked by HTTP/1.0 takes a part for all. */
	if (cut)
		wr_abort(l, &g->sock, on_guest_closed);
	else
		wr_close(l, &g->sock, on_guest_closed);
}

static void
moved(struct guest *g, enum stage stage, uint64_t wait_ms)
{
	g->stage = stage;
	g->moved_ms = wr_loop_now(self.ct->loop);
	wr_list_remove(&g->link);
	wr_list_push(&self.guests, &g->link);
	wr_timer_set(self.ct->loop, &g->timer, wait_ms, on_late);
}

static void
send_text(struct guest *g)
{
	struct wr_slice s = wr_slice_const(g->text.p, (uint32_t)g->text.len);

	if (g->text.cut ||
	    wr_send(self.ct->loop, &g->sock, &s, 1, 0, on_sent) < 0)
		drop(g);
}

/* -- Answers ------------------------------------------------------------- */

static const char *
reason(unsigned status)
{
	static const struct {
		unsigned status;
		const char *reason;
	} list[] = {
		{ 200, "OK" },
		{ 400, "Bad Request" },
		{ 404, "Not Found" },
		{ 405, "Method Not Allowed" },
		{ 408, "Request Timeout" },
		{ 431, "Request Header Fields Too Large" },
		{ 501, "Not Implemented" },
		{ 505, "HTTP Version Not Supported" },
	};

	for (size_t i = 0; i < WR_COUNT(list); i++)
		if (list[i].status == status)
			return list[i].reason;
	return "";
}

static void
head(struct wr_text *t, unsigned status, const char *type)
{
	time_t now = time(NULL);
	char date[40] = "";
	struct tm tm;

	if (gmtime_r(&now, &tm) != NULL)
		(void)strftime(
		    date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", &tm);
	wr_text_printf(t,
	    "HTTP/1.1 %u %s\r\nDate: %s\r\nContent-Type: %s\r\n"
	    "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
	    "Content-Security-Policy: default-src 'none'; "
	    "style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
	    "frame-ancestors 'none'\r\n"
	    "X-Frame-Options: DENY\r\nReferrer-Policy: no-referrer\r\n"
	    "Connection: close\r\n",
	    status, reason(status), date, type);
	if (status == 405)
		wr_text_puts(t, "Allow: GET, HEAD\r\n");
}

/* All of it at once. */
static void
answer_short(struct guest *g, unsigned status)
{
	struct wr_text *t = &g->text;

	moved(g, ANSWER, TAKE_MS);
	head(t, status, "text/plain; charset=utf-8");
	wr_text_printf(
	    t, "Content-Length: %zu\r\n\r\n", strlen(reason(status)) + 5);
	if (!g->get.head)
		wr_text_printf(t, "%u %s\n", status, reason(status));
	send_text(g);
}

static const struct page {
	const char *path, *type;
	wr_status_fn *write;
} pages[] = {
	{ "/", "text/html; charset=utf-8", wr_status_page },
	{ "/metrics", "text/plain; version=0.0.4; charset=utf-8",
	    wr_status_metrics },
	{ "/status.json", "application/json", wr_status_json },
};

/* The pieces come when it is its turn. */
static void
answer(struct guest *g)
{
	const struct page *p = NULL;

	for (size_t i = 0; i < WR_COUNT(pages); i++)
		if (strcmp(pages[i].path, g->get.path) == 0)
			p = &pages[i];
	if (p == NULL) {
		answer_short(g, 404);
		return;
	}
	moved(g, ANSWER, TAKE_MS);
	head(&g->text, 200, p->type);
	if (g->get.minor > 0)
		wr_text_puts(&g->text, "Transfer-Encoding: chunked\r\n");
	wr_text_puts(&g->text, "\r\n");
	if (g->get.head) {
		send_text(g);
		return;
	}
	g->write = p->write;
	g->gen = wr_gen_get(self.ct->gen);
	g->more = true;
	wr_list_push(&self.queue, &g->turn);
}

static uint64_t
now_us(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

/* One more piece, behind what is in the text already; as much of it as can be
 * written by then. */
static void
write_piece(struct guest *g, uint64_t until_us)
{
	struct wr_status s = { .stats = self.ct->stats,
		.conf = g->gen->conf,
		.joined = &self.ct->roster.joined,
		.generation = g->gen->generation,
		.master = self.ct->master };
	struct wr_text *t = &g->text;
	bool chunked = g->get.minor > 0;
	char size[9];
	size_t at = t->len, first;

	if (chunked)
		wr_text_puts(t, "00000000\r\n");
	first = t->len;
	do {
		g->more = g->write(&s, &g->at, t);
	} while (g->more && t->len < PIECE && now_us() < until_us);
	if (t->len == first) {
		t->len = at; /* an empty chunk would be the last */
	} else if (chunked && !t->cut) {
		(void)snprintf(
		    size, sizeof(size), "%08x", (uint32_t)(t->len - first));
		(void)memcpy(t->p + at, size, 8);
		wr_text_puts(t, "\r\n");
	}
	if (chunked && !g->more)
		wr_text_puts(t, "0\r\n\r\n");
	if (!g->more)
		wr_gen_put(&g->gen);
	if (g->more && t->len == 0)
		wr_list_push(&self.queue, &g->turn);
	else
		send_text(g);
}

/* The end of a turn: whoever waits gets a piece, as long as there is time. */
static void
on_turn_end(struct wr_loop *l, struct wr_hook *h)
{
	uint64_t until_us;

	(void)h;
	if (wr_list_empty(&self.queue))
		return;
	until_us = now_us() + WRITE_US;
	do {
		struct guest *g = wr_container_of(
		    wr_list_first(&self.queue), struct guest, turn);

		wr_list_remove(&g->turn);
		write_piece(g, until_us);
	} while (!wr_list_empty(&self.queue) && now_us() < until_us);
	if (!wr_list_empty(&self.queue))
		wr_timer_set(l, &self.nudge, 1, on_nudge);
}

/* There is another turn, that is all. */
static void
on_nudge(struct wr_loop *l, struct wr_timer *t)
{
	(void)l;
	(void)t;
}

static void
on_sent(struct wr_loop *l, struct wr_op *op, const struct wr_done *d)
{
	struct guest *g =
	    wr_container_of(wr_sock_of_out(op), struct guest, sock);

	wr_count(&count(g->cell)->bytes_out, g->sock.sent);
	wr_text_reset(&g->text);
	if (d->res < 0 ||
	    (g->more && wr_loop_now(l) - g->began_ms > ANSWER_MS)) {
		drop(g);
	} else if (g->more) {
		moved(g, ANSWER, TAKE_MS);
		wr_list_push(&self.queue, &g->turn);
	} else {
		moved(g, LINGER, LINGER_MS);
		if (wr_shutdown(l, &g->sock) < 0 ||
		    wr_recv(l, &g->sock, 0, 0, on_rest) < 0)
			drop(g);
	}
}

/* -- Requests ------------------------------------------------------------ */

static void
on_rest(struct wr_loop *l, struct wr_op *op, const struct wr_done *d)
{
	struct guest *g =
	    wr_container_of(wr_sock_of_in(op), struct guest, sock);
	struct wr_slice in = d->in;

	if (d->res <= 0) {
		drop(g);
		return;
	}
	g->lingered += in.len;
	wr_slice_put(l, &in);
	if (g->lingered > LINGER_BYTES ||
	    wr_recv(l, &g->sock, 0, 0, on_rest) < 0)
		drop(g);
}

static void
on_head(struct wr_loop *l, struct wr_op *op, const struct wr_done *d)
{
	struct guest *g =
	    wr_container_of(wr_sock_of_in(op), struct guest, sock);
	struct wr_slice in = d->in;
	int res;

	if (g->stage != HEAR) {
		/* It was too late for that. */
		if (d->res > 0)
			wr_slice_put(l, &in);
		return;
	}
	if (d->res <= 0) {
		drop(g);
		return;
	}
	wr_count(&count(g->cell)->bytes_in, in.len);
	res = wr_get_feed(&g->get, in.mem, in.len);
	wr_slice_put(l, &in);
	if (res < 0)
		answer_short(g, g->get.status);
	else if (res > 0)
		answer(g);
	else if (wr_recv(l, &g->sock, 0, 0, on_head) < 0)
		drop(g);
}

/* Has it moved after all?  Pieces are large, and some readers slow. */
static bool
has_taken(struct guest *g)
{
	uint32_t sent = g->sock.sent;

	if (g->stage != ANSWER || sent == g->seen)
		return false;
	g->seen = sent;
	g->moved_ms = wr_loop_now(self.ct->loop);
	wr_list_remove(&g->link);
	wr_list_push(&self.guests, &g->link);
	return true;
}

static void
on_late(struct wr_loop *l, struct wr_timer *t)
{
	struct guest *g = wr_container_of(t, struct guest, timer);

	if (has_taken(g) && wr_loop_now(l) - g->began_ms <= ANSWER_MS) {
		wr_timer_set(l, t, TAKE_MS, on_late);
		return;
	}
	/* Whoever has said nothing at all is not answered. */
	if (g->stage != HEAR || g->get.len == 0) {
		drop(g);
		return;
	}
	wr_cancel(l, &g->sock.in);
	answer_short(g, 408);
}

void
wr_guest_new(uint32_t listener_cell, int fd)
{
	struct guest *g = calloc(1, sizeof(*g));

	if (g == NULL || wr_sock_init(self.ct->loop, &g->sock, fd) < 0) {
		wr_count(&count(listener_cell)->refused, 1);
		(void)close(fd);
		free(g);
		return;
	}
	g->cell = listener_cell;
	g->began_ms = wr_loop_now(self.ct->loop);
	wr_get_init(&g->get);
	wr_list_init(&g->link);
	wr_list_init(&g->turn);
	self.n++;
	wr_count(&count(g->cell)->active, 1);
	moved(g, HEAR, HEAD_MS);
	if (wr_recv(self.ct->loop, &g->sock, 0, 0, on_head) < 0)
		drop(g);
}

/* -- All of them --------------------------------------------------------- */

uint32_t
wr_guests(void)
{
	return self.n;
}

bool
wr_guests_full(void)
{
	return self.n >= GUESTS_MAX;
}

bool
wr_guests_make_room(void)
{
	uint64_t now_ms = wr_loop_now(self.ct->loop);
	struct guest *g;

	do {
		if (wr_list_empty(&self.guests))
			return false;
		g = wr_container_of(
		    wr_list_first(&self.guests), struct guest, link);
	} while (now_ms - g->moved_ms >= IDLE_MS && has_taken(g));
	if (now_ms - g->moved_ms < IDLE_MS)
		return false;
	drop(g);
	return true;
}

void
wr_guests_use(void)
{
	wr_list_each_safe (n, &self.guests) {
		struct guest *g = wr_container_of(n, struct guest, link);

		/* There is not room for many generations at a time. */
		if (g->gen != NULL && ++g->reloads > RELOADS_MAX)
			drop(g);
	}
}

void
wr_guests_start(struct wr_control *ct, void (*left)(void))
{
	self.ct = ct;
	self.left = left;
	wr_list_init(&self.guests);
	wr_list_init(&self.queue);
	self.turn_end.fn = on_turn_end;
	wr_loop_at_end(ct->loop, &self.turn_end);
}

void
wr_guests_stop(void)
{
	wr_loop_hook_stop(&self.turn_end);
	wr_timer_stop(self.ct->loop, &self.nudge);
	wr_list_each_safe (n, &self.guests)
		drop(wr_container_of(n, struct guest, link));
}
