/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * worker - a process that serves: one loop, one struct wr_proxy.
 */
#ifndef WR_WORKER_H
#define WR_WORKER_H

#include "proc/frame.h"

/* In a child that was just forked: until its end; the exit status. */
int wr_worker_run(const struct wr_birth *b);

#endif
