/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ask - the master's own socket, through which `weir -s` speaks to it.
 *
 * One line goes in: "reload", "reopen", "quit", "stop", "upgrade", "status".
 * One answer comes back: the exit status and the stream to print to in a line
 * of its own, "0 1\n", then the text; then the end.
 */
#ifndef WR_ASK_H
#define WR_ASK_H

#include <stdint.h>

#include "base/text.h"

struct wr_ask;
struct wr_master;

/* NULL and errno.  Nobody can ask yet. */
struct wr_ask *wr_ask_new(struct wr_master *m);
/* Ask no more: the socket's file is removed, whoever still waits is told that
 * the master ends.  Then the loop has to turn until nothing is open. */
void wr_ask_close(struct wr_ask *a);
void wr_ask_free(struct wr_ask **a);
/* Make `<pid path>.sock` and answer there.  -1 after a line to `errors`. */
wr_must_check int
wr_ask_open(struct wr_ask *a, const char *pid_path, struct wr_text *errors);
/* Answer on the socket of the old binary; `fd` is taken over.  -errno. */
wr_must_check int wr_ask_take(struct wr_ask *a, int fd, const char *pid_path);
/* It is the new binary's now: close, without unlinking. */
void wr_ask_leave(struct wr_ask *a);
/* The descriptor, or -1. */
int wr_ask_fd(const struct wr_ask *a);
/* Tell all who wait for this ticket. */
void wr_ask_answer(
    struct wr_ask *a, uint64_t ticket, int status, struct wr_str lines);

/* The other end: say `word` to the master of this pid file, print what it
 * answers; the exit status. */
int wr_ask_say(const char *pid_path, const char *word);

#endif
