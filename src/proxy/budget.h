/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * budget - may an upstream be tried once more?  So many retries for so many
 * first tries, over a sliding window, all workers together.
 *
 * A retry is counted when it is decided on, so those that wait for their
 * back-off are in it, and an outage cannot pile them up.
 */
#ifndef WR_BUDGET_H
#define WR_BUDGET_H

#include <stdbool.h>

#include "proxy/stats.h"

struct wr_retry_conf;

void wr_budget_first(struct wr_budget *b, uint64_t now_ms);
/* Count a retry if there is one left: `budget_percent` of the first tries of
 * the last WR_BUDGET_S seconds, and `budget_min` for each of these seconds. */
bool wr_budget_take(
    struct wr_budget *b, const struct wr_retry_conf *c, uint64_t now_ms);

#endif
