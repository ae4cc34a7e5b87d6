/* SPDX-License-Identifier: BSD-2-Clause */
/* chan - see chan.h; the loop only watches, messages are whole or not there. */
#include "proc/chan.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/sock.h"

/* A reader that is late may have a lot to read; others want their turn. */
#define BATCH 64

/* Until what the kernel is short of may be there. */
#define AGAIN_MS 10

struct queued {
	struct wr_list link;
	struct wr_msg msg;
	int fds[WR_MSG_FDS];
	int n;
};

static const char *const names[WR_MSG_KINDS] = {
	[WR_MSG_NONE] = "none",
	[WR_MSG_PREPARE] = "prepare",
	[WR_MSG_LISTEN] = "listen",
	[WR_MSG_UNLISTEN] = "unlisten",
	[WR_MSG_COMMIT] = "commit",
	[WR_MSG_ABORT] = "abort",
	[WR_MSG_DRAIN] = "drain",
	[WR_MSG_UNDRAIN] = "undrain",
	[WR_MSG_STAY] = "stay",
	[WR_MSG_PAUSE] = "pause",
	[WR_MSG_RESUME] = "resume",
	[WR_MSG_STOP] = "stop",
	[WR_MSG_REOPEN] = "reopen",
	[WR_MSG_READY] = "ready",
	[WR_MSG_FAILED] = "failed",
	[WR_MSG_UNLISTENED] = "unlistened",
	[WR_MSG_PAUSED] = "paused",
	[WR_MSG_CONFIRMED] = "confirmed",
	[WR_MSG_FULL] = "full",
	[WR_MSG_ROOM] = "room",
	[WR_MSG_GONE] = "gone",
};

static wr_done_fn on_readable, on_writable;
static wr_timer_fn on_again;

const char *
wr_msg_name(unsigned kind)
{
	return kind < WR_MSG_KINDS ? names[kind] : "unknown";
}

static void
end(struct wr_chan *ch, int err)
{
	if (!ch->closed)
		ch->on_end(ch, err);
}

static void
watch_in(struct wr_chan *ch)
{
	int err = wr_watch(ch->loop, &ch->sock, WR_OP_READABLE, on_readable);

	if (err < 0)
		end(ch, err);
}

static void
watch_out(struct wr_chan *ch)
{
	int err;

	if (ch->watching)
		return;
	err = wr_watch(ch->loop, &ch->sock, WR_OP_WRITABLE, on_writable);
	if (err < 0)
		end(ch, err);
	else
		ch->watching = true;
}

/* 1: one message was handed out, 0: none there, or -errno. */
static int
read_one(struct wr_chan *ch)
{
	int got[WR_FDS], fds[WR_MSG_FDS], n = 0, len;
	struct wr_msg msg;

	len = wr_sock_recv_fds(ch->sock.fd, &msg, sizeof(msg), got, &n);
	if (len == -EAGAIN || len == -EINTR)
		return 0;
	if (len == 0)
		return -EPIPE;
	if (len > 0 && (len != sizeof(msg) || n > WR_MSG_FDS ||
			   msg.version != WR_MSG_VERSION))
		len = -EPROTO;
	if (len < 0) {
		for (int i = 0; i < n; i++)
			(void)close(got[i]);
		return len;
	}
	for (int i = 0; i < WR_MSG_FDS; i++)
		fds[i] = i < n ? got[i] : -1;
	msg.text[WR_MSG_TEXT - 1] = '\0';
	ch->on_msg(ch, &msg, fds);
	return 1;
}

static void
on_readable(struct wr_loop *l, struct wr_op *op, const struct wr_done *d)
{
	struct wr_chan *ch =
	    wr_container_of(wr_sock_of_in(op), struct wr_chan, sock);
	int err = d->res;

	(void)l;
	if (err == -ECANCELED)
		return;
	for (int i = 0; err >= 0 && i < BATCH; i++) {
		err = read_one(ch);
		if (ch->closed)
			return;
		if (err == 0)
			break;
	}
	if (err < 0)
		end(ch, err);
	else
		watch_in(ch);
}

static void
drop(struct queued *q)
{
	for (int i = 0; i < q->n; i++)
		(void)close(q->fds[i]);
	wr_list_remove(&q->link);
	free(q);
}

/* ETOOMANYREFS: too many descriptors are under way already, maybe in other
 * channels; the socket is writable all the same. */
static bool
is_short(int err)
{
	return err == -ENOBUFS || err == -ENOMEM || err == -ETOOMANYREFS;
}

static void
flush(struct wr_chan *ch)
{
	int err = 0;

	while (err >= 0 && !wr_list_empty(&ch->queue)) {
		struct queued *q = wr_container_of(
		    wr_list_first(&ch->queue), struct queued, link);

		err = wr_sock_send_fds(
		    ch->sock.fd, &q->msg, sizeof(q->msg), q->fds, q->n);
		if (err == -EAGAIN) {
			watch_out(ch);
			return;
		}
		if (is_short(err)) {
			wr_timer_set(ch->loop, &ch->again, AGAIN_MS, on_again);
			return;
		}
		drop(q);
	}
	if (err < 0)
		end(ch, err);
}

static void
on_again(struct wr_loop *l, struct wr_timer *t)
{
	(void)l;
	flush(wr_container_of(t, struct wr_chan, again));
}

static void
on_writable(struct wr_loop *l, struct wr_op *op, const struct wr_done *d)
{
	struct wr_chan *ch =
	    wr_container_of(wr_sock_of_out(op), struct wr_chan, sock);

	(void)l;
	ch->watching = false;
	if (d->res == -ECANCELED)
		return;
	if (d->res < 0)
		end(ch, d->res);
	else
		flush(ch);
}

/* Behind what waits already; descriptors are copied, because the caller may
 * close them any time. */
static int
enqueue(struct wr_chan *ch, const struct wr_msg *msg, const int *fds, int n)
{
	struct queued *q = calloc(1, sizeof(*q));

	if (q == NULL)
		return -ENOMEM;
	q->msg = *msg;
	wr_list_init(&q->link);
	for (; q->n < n; q->n++) {
		q->fds[q->n] = fcntl(fds[q->n], F_DUPFD_CLOEXEC, 0);
		if (q->fds[q->n] < 0) {
			int err = -errno;

			drop(q);
			return err;
		}
	}
	wr_list_push(&ch->queue, &q->link);
	watch_out(ch);
	return 0;
}

int
wr_chan_send(struct wr_chan *ch, const struct wr_msg *m, const int *fds, int n)
{
	struct wr_msg msg = *m;
	int err;

	assert(n >= 0 && n <= WR_MSG_FDS);
	if (ch->closed)
		return -EPIPE;
	msg.version = WR_MSG_VERSION;
	if (!wr_list_empty(&ch->queue))
		return enqueue(ch, &msg, fds, n);
	err = wr_sock_send_fds(ch->sock.fd, &msg, sizeof(msg), fds, n);
	if (err == -EAGAIN || is_short(err))
		return enqueue(ch, &msg, fds, n);
	return err;
}

void
wr_chan_hear(struct wr_chan *ch)
{
	while (!ch->closed && read_one(ch) > 0)
		continue;
}

int
wr_chan_start(struct wr_chan *ch, struct wr_loop *l, int fd, wr_msg_fn *on_msg,
    wr_chan_end_fn *on_end)
{
	int err;

	(void)memset(ch, 0, sizeof(*ch));
	ch->loop = l;
	ch->on_msg = on_msg;
	ch->on_end = on_end;
	wr_list_init(&ch->queue);
	err = wr_sock_init(l, &ch->sock, fd);
	if (err < 0)
		return err;
	/* The loop may like its sockets blocking; we ask until there is none.
	 */
	err = wr_sock_nonblock(fd, true);
	if (err == 0)
		err = wr_watch(l, &ch->sock, WR_OP_READABLE, on_readable);
	return err;
}

void
wr_chan_close(struct wr_chan *ch, wr_close_fn *fn)
{
	assert(!ch->closed);
	ch->closed = true;
	wr_timer_stop(ch->loop, &ch->again);
	while (!wr_list_empty(&ch->queue))
		drop(wr_container_of(
		    wr_list_first(&ch->queue), struct queued, link));
	wr_close(ch->loop, &ch->sock, fn);
}

void
wr_chan_abandon(struct wr_chan *ch)
{
	wr_list_each_safe (n, &ch->queue)
		drop(wr_container_of(n, struct queued, link));
	if (ch->sock.fd >= 0)
		(void)close(ch->sock.fd);
	ch->sock.fd = -1;
}
