/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * reply - talk to a client without a server: hear it, answer it, let it read.
 *
 * These are the session's states preread, answer and linger; `late` is what
 * they do when their time is over.
 */
#ifndef WR_REPLY_H
#define WR_REPLY_H

struct wr_session;

void wr_reply_read(struct wr_session *s);
void wr_reply_read_late(struct wr_session *s);
void wr_reply_answer(struct wr_session *s);
void wr_reply_answer_late(struct wr_session *s);
void wr_reply_linger(struct wr_session *s);
void wr_reply_linger_late(struct wr_session *s);

#endif
