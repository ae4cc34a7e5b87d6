/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dial - from an upstream to a connected server: pick, wait, connect, and try
 * again.
 *
 * These are the session's states pick, queue and connect; `late` is what they
 * do when their time is over.
 */
#ifndef WR_DIAL_H
#define WR_DIAL_H

struct wr_proxy;
struct wr_session;

void wr_dial_pick(struct wr_session *s);
void wr_dial_queue(struct wr_session *s);
void wr_dial_queue_late(struct wr_session *s);
void wr_dial_connect(struct wr_session *s);
void wr_dial_connect_late(struct wr_session *s);

/* The server's end is closed: try again, or give up. */
void wr_dial_closed(struct wr_session *s);
/* Give the place on the server, or in the queue, back. */
void wr_dial_leave(struct wr_session *s);
/* Places may be free: let those in, oldest first, who can now have one. */
void wr_dial_admit(struct wr_proxy *px);

#endif
