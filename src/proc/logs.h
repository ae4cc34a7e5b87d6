/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * logs - the master opens what is written to, so that nobody else needs the
 * right to.
 */
#ifndef WR_LOGS_H
#define WR_LOGS_H

#include "base/text.h"

struct wr_conf;
struct wr_logs;
struct wr_master;

/* Open both logs of a configuration.  -1 after a line to `errors` for each
 * that cannot be had; nothing is open then. */
wr_must_check int wr_logs_open(struct wr_logs *logs, const struct wr_conf *c,
    bool daemon, struct wr_text *errors);
void wr_logs_close(struct wr_logs *logs);
/* Write there from now on, in this process and in all children; what was used
 * before is closed.  The descriptors are taken over: `logs` has none then. */
void
wr_logs_use(struct wr_master *m, struct wr_logs *logs, const struct wr_conf *c);

#endif
