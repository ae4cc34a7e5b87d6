/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kqueue - BSD's kqueue over Linux's epoll; for tests only.
 *
 * As there: one event for each pair of descriptor and filter, edges with
 * EV_CLEAR, what a descriptor had registered goes when it is closed, and a
 * forked child has no kqueue.  close() is therefore defined here.
 */
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/event.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
	READ,
	WRITE,
	FILTERS
};

struct note {
	void *udata;
	unsigned short flags; /* EV_ADD: there */
	bool off;
	bool always; /* a file is always ready, and epoll refuses it */
};

/* What one descriptor has registered. */
struct file {
	struct note note[FILTERS];
};

static struct queue {
	bool used;
	int epoll;
	struct file *files; /* by descriptor */
	size_t n;
	bool always; /* there may be notes that always are */
} queues[16];

static struct queue *
find(int kq)
{
	for (size_t i = 0; i < sizeof(queues) / sizeof(queues[0]); i++)
		if (queues[i].used && queues[i].epoll == kq)
			return &queues[i];
	return NULL;
}

static void
forget(struct queue *q)
{
	free(q->files);
	*q = (struct queue){ .epoll = -1 };
}

static void
in_child(void)
{
	for (size_t i = 0; i < sizeof(queues) / sizeof(queues[0]); i++)
		if (queues[i].used) {
			(void)syscall(SYS_close, queues[i].epoll);
			forget(&queues[i]);
		}
}

int
kqueue(void)
{
	static bool watching;
	struct queue *q = NULL;

	for (size_t i = 0; i < sizeof(queues) / sizeof(queues[0]); i++)
		if (!queues[i].used)
			q = &queues[i];
	if (q == NULL) {
		errno = EMFILE;
		return -1;
	}
	int fd = epoll_create1(EPOLL_CLOEXEC);
	if (fd < 0)
		return -1;
	if (!watching)
		(void)pthread_atfork(NULL, NULL, in_child);
	watching = true;
	*q = (struct queue){ .used = true, .epoll = fd };
	return fd;
}

/* The kernel calls this knote_fdclose(). */
int
close(int fd)
{
	for (size_t i = 0; i < sizeof(queues) / sizeof(queues[0]); i++) {
		struct queue *q = &queues[i];
		if (!q->used)
			continue;
		if (q->epoll == fd) {
			forget(q);
		} else if (fd >= 0 && (size_t)fd < q->n) {
			struct file *f = &q->files[fd];
			if ((f->note[READ].flags | f->note[WRITE].flags) != 0)
				(void)epoll_ctl(
				    q->epoll, EPOLL_CTL_DEL, fd, NULL);
			memset(f, 0, sizeof(*f));
		}
	}
	return (int)syscall(SYS_close, fd);
}

static struct file *
file_of(struct queue *q, int fd)
{
	if ((size_t)fd >= q->n) {
		size_t n = (size_t)fd * 2 + 64;
		struct file *files = realloc(q->files, n * sizeof(*files));
		if (files == NULL)
			return NULL;
		memset(files + q->n, 0, (n - q->n) * sizeof(*files));
		q->files = files;
		q->n = n;
	}
	return &q->files[fd];
}

static bool
is_on(const struct note *n)
{
	return (n->flags & EV_ADD) != 0 && !n->off;
}

/* Tell epoll what is registered now; it then reports what is true already. */
static int
renew(struct queue *q, int fd, const struct file *f)
{
	struct epoll_event e = { .data.fd = fd };
	bool edge = true;

	if ((f->note[READ].flags | f->note[WRITE].flags) == 0) {
		(void)epoll_ctl(q->epoll, EPOLL_CTL_DEL, fd, NULL);
		return 0;
	}
	for (int i = 0; i < FILTERS; i++) {
		if (!is_on(&f->note[i]))
			continue;
		e.events |=
		    i == READ ? EPOLLIN | EPOLLRDHUP | EPOLLPRI : EPOLLOUT;
		edge = edge && (f->note[i].flags & EV_CLEAR) != 0;
	}
	if (edge) /* also when off: epoll reports errors always */
		e.events |= EPOLLET;
	if (epoll_ctl(q->epoll, EPOLL_CTL_MOD, fd, &e) == 0)
		return 0;
	if (errno == ENOENT && epoll_ctl(q->epoll, EPOLL_CTL_ADD, fd, &e) == 0)
		return 0;
	return errno;
}

/* 0 or an errno. */
static int
change(struct queue *q, const struct kevent *c)
{
	int fd = (int)c->ident, i = c->filter == EVFILT_READ ? READ : WRITE;

	if (c->filter != EVFILT_READ && c->filter != EVFILT_WRITE)
		return EINVAL;
	if (fd < 0)
		return EBADF;
	struct file *f = file_of(q, fd);
	if (f == NULL)
		return ENOMEM;
	struct note *n = &f->note[i];
	if ((c->flags & EV_ADD) == 0 && n->flags == 0)
		return ENOENT;
	if (c->flags & EV_DELETE) {
		memset(n, 0, sizeof(*n));
		return renew(q, fd, f);
	}
	if (c->flags & EV_ADD) {
		n->flags = EV_ADD | (c->flags & (EV_ONESHOT | EV_CLEAR));
		n->udata = c->udata;
	}
	if (c->flags & EV_DISABLE)
		n->off = true;
	if (c->flags & EV_ENABLE)
		n->off = false;
	int err = renew(q, fd, f);
	if (err == EPERM) {
		n->always = q->always = true;
		err = 0;
	}
	if (err != 0)
		memset(n, 0, sizeof(*n));
	return err;
}

/* Linux counts up to an urgent byte, BSD all. */
static int64_t
amount(int fd, int filter, bool urgent)
{
	int n = 0, on = 0;
	socklen_t len = sizeof(on);

	if (filter == WRITE)
		return 1;
	(void)getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &on, &len);
	if (on)
		return 1;
	(void)ioctl(fd, FIONREAD, &n);
	return urgent ? n + 65536 : n;
}

/* Turn what epoll said of one descriptor into events; how many. */
static int
report(struct queue *q, const struct epoll_event *e, struct kevent *to, int max)
{
	int fd = e->data.fd, told = 0;
	uint32_t error = e->events & (EPOLLHUP | EPOLLERR);
	struct file *f = &q->files[fd];
	bool again = false;

	for (int i = 0; i < FILTERS; i++) {
		struct note *n = &f->note[i];
		uint32_t end = error | (i == READ ? e->events & EPOLLRDHUP : 0);
		uint32_t may =
		    e->events & (i == READ ? EPOLLIN | EPOLLPRI : EPOLLOUT);
		if (!is_on(n) || (may | end) == 0)
			continue;
		if (told == max) { /* no room: epoll must say it again */
			again = true;
			continue;
		}
		EV_SET(&to[told++], fd, i == READ ? EVFILT_READ : EVFILT_WRITE,
		    n->flags | (end != 0 ? EV_EOF : 0), 0,
		    amount(fd, i, (e->events & EPOLLPRI) != 0), n->udata);
		if (n->flags & EV_ONESHOT) {
			memset(n, 0, sizeof(*n));
			again = true;
		}
	}
	if (again)
		(void)renew(q, fd, f);
	return told;
}

/* Files, which are always ready; how many events. */
static int
report_always(struct queue *q, struct kevent *to, int max)
{
	static const struct epoll_event both = { EPOLLIN | EPOLLOUT, { 0 } };
	int n = 0;

	for (size_t fd = 0; fd < q->n && q->always; fd++) {
		struct epoll_event e = both;
		struct file *f = &q->files[fd];
		if (!f->note[READ].always && !f->note[WRITE].always)
			continue;
		e.data.fd = (int)fd;
		n += report(q, &e, to + n, max - n);
	}
	if (n == 0)
		q->always = false;
	return n;
}

int
kevent(int kq, const struct kevent *changes, int n_changes,
    struct kevent *events, int n_events, const struct timespec *timeout)
{
	struct queue *q = find(kq);
	struct epoll_event e[64];
	int n = 0;

	if (q == NULL) {
		errno = EBADF;
		return -1;
	}
	for (int i = 0; i < n_changes; i++) {
		int err = change(q, &changes[i]);
		if (err == 0 && (changes[i].flags & EV_RECEIPT) == 0)
			continue;
		if (n == n_events) {
			errno = err;
			return err == 0 ? 0 : -1;
		}
		events[n] = changes[i];
		events[n].flags = EV_ERROR;
		events[n++].data = err;
	}
	if (n > 0 || n_events == 0)
		return n;

	static const struct timespec at_once;
	n = report_always(q, events, n_events);
	if (n > 0)
		timeout = &at_once;
	int got, max;
	do {
		max = (n_events - n) / FILTERS;
		if (max == 0)
			max = 1;
		if (max > 64)
			max = 64;
		got = epoll_pwait2(kq, e, max, timeout, NULL);
		if (got < 0)
			return n > 0 ? n : -1;
		for (int i = 0; i < got; i++)
			n += report(q, &e[i], events + n, n_events - n);
		timeout = &at_once;
	} while (got == max && n < n_events);
	return n;
}
