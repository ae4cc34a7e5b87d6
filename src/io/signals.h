/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * signals - signals as events of a loop.
 *
 * The handler writes one byte to a pipe; the loop reads it and calls `fn`
 * from its turn.  A signal that comes twice before the turn is told once.
 * SIGPIPE is ignored.
 */
#ifndef WR_SIGNALS_H
#define WR_SIGNALS_H

#include "io/loop.h"

typedef void wr_signal_fn(struct wr_loop *l, int signo, void *arg);

/* `signos` ends with 0.  One set per process.  -errno. */
wr_must_check int wr_signals_start(
    struct wr_loop *l, const int *signos, wr_signal_fn *fn, void *arg);
/* The process is about to exit: what comes now is ignored, or a second signal
 * would decide how it ends. */
void wr_signals_stop(struct wr_loop *l);
/* In a forked child, before its own loop exists: forget the parent's pipe and
 * restore default handling of all signals. */
void wr_signals_abandon(void);

#endif
