/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * watch - do the children still turn?
 *
 * Each beats in shared memory once a turn and at least every `interval`.  A
 * beat that is late is told in the log with what the kernel knows (state,
 * place it waits in, system call) and answered by the child's own stack; one
 * older than `limit` is told to the machine in proc/reload, which decides.  One
 * that is dead is told too: a debugger of the master can lose its SIGCHLD.
 */
#ifndef WR_WATCH_H
#define WR_WATCH_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/text.h"
#include "io/loop.h"
#include "proc/reload.h"
#include "proc/shm.h"

/* Asks a child to write its stack (proc/crash). */
#define WR_STACK_SIGNAL SIGUSR2

struct wr_watch;
/* WR_EV_HUNG, WR_EV_HALTED, WR_EV_WENT_ON, or WR_EV_GONE: it can be waited for,
 * and may be removed at once. */
typedef void wr_watch_fn(void *arg, enum wr_event_kind kind, int slot);

/* NULL and errno.  Both are kept. */
struct wr_watch *
wr_watch_new(struct wr_loop *l, struct wr_shm *shm, wr_watch_fn *fn, void *arg);
void wr_watch_free(struct wr_watch **w);
/* At start and after every commit.  limit_ms may be WR_OFF. */
void wr_watch_conf(struct wr_watch *w, uint32_t interval_ms, uint32_t limit_ms);
/* `name` ("worker 0") is copied. */
void wr_watch_add(struct wr_watch *w, int slot, pid_t pid, const char *name);
void wr_watch_remove(struct wr_watch *w, int slot);

/* "state S (sleeping) in ep_poll, system call 232" of /proc; "" elsewhere. */
void wr_watch_describe(pid_t pid, struct wr_text *out);
/* The letter of the state in /proc/PID/stat, or 0. */
char wr_watch_state(pid_t pid);

#endif
