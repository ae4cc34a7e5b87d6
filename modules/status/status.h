/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * status - the texts of a status listener beside JSON; see proxy/status.h.
 *
 * The rooms: status.c has the listeners, guest.c those who ask and their
 * answers, metrics.c and page.c write what they get.
 */
#ifndef WR_MOD_STATUS_H
#define WR_MOD_STATUS_H

#include "proxy/status.h"

/* The text format of Prometheus, 0.0.4: family by family. */
wr_status_fn wr_status_metrics;
/* A page for people, without scripts; its style needs `style-src
 * 'unsafe-inline'`. */
wr_status_fn wr_status_page;

#endif
