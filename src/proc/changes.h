/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * changes - what a reload changed, in a line for each kind.
 */
#ifndef WR_CHANGES_H
#define WR_CHANGES_H

#include "base/log.h"
#include "base/text.h"

struct wr_conf;

/* Upstreams, servers and workers; listeners are told by proc/listen. */
void wr_changes_of(
    const struct wr_conf *old, const struct wr_conf *now, struct wr_text *out);
/* Log all lines of a text. */
void wr_changes_log(enum wr_level level, const struct wr_text *lines);
/* At start: settings of the kernel that matter for losing nothing. */
void wr_changes_advise(void);

#endif
