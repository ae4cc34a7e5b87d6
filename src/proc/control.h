/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * control - the process that does once what must not be done by every worker:
 * what modules put into their control hooks.
 */
#ifndef WR_CONTROL_PROC_H
#define WR_CONTROL_PROC_H

#include "proc/frame.h"

/* In a child that was just forked: until its end; the exit status. */
int wr_control_run(const struct wr_birth *b);

#endif
