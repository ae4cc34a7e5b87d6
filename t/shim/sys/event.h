/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * event - the part of BSD's <sys/event.h> that the kqueue backend uses, so
 * that it is compiled and run where there is no kqueue.  For tests only.
 */
#ifndef WR_SHIM_EVENT_H
#define WR_SHIM_EVENT_H

#include <stdint.h>
#include <time.h>

#define EVFILT_READ  (-1)
#define EVFILT_WRITE (-2)

/* Actions. */
#define EV_ADD     0x0001
#define EV_DELETE  0x0002
#define EV_ENABLE  0x0004
#define EV_DISABLE 0x0008
/* Flags. */
#define EV_ONESHOT 0x0010
#define EV_CLEAR   0x0020
#define EV_RECEIPT 0x0040
/* Told by the kernel. */
#define EV_EOF   0x8000
#define EV_ERROR 0x4000

struct kevent {
	uintptr_t ident;
	short filter;
	unsigned short flags;
	unsigned int fflags;
	int64_t data;
	void *udata;
};

#define EV_SET(kev, id, filt, fl, ffl, dat, ud)                                \
	do {                                                                   \
		struct kevent *ev_set_ = (kev);                                \
		ev_set_->ident = (uintptr_t)(id);                              \
		ev_set_->filter = (short)(filt);                               \
		ev_set_->flags = (unsigned short)(fl);                         \
		ev_set_->fflags = (ffl);                                       \
		ev_set_->data = (dat);                                         \
		ev_set_->udata = (ud);                                         \
	} while (0)

int kqueue(void);
int kevent(int kq, const struct kevent *changes, int n_changes,
    struct kevent *events, int n_events, const struct timespec *timeout);

#endif
