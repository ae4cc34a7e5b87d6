/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * door - a listening socket that this worker accepts from.
 *
 * All doors are held together, for want of sessions or descriptors or while
 * a new binary is on probation.  What comes then waits in the kernel, or goes
 * to another worker.
 */
#ifndef WR_DOOR_H
#define WR_DOOR_H

#include "proxy/proxy.h"

/* Why no door accepts; all must be clear. */
#define WR_HOLD_ASKED 1u /* wr_proxy_pause() */
#define WR_HOLD_FULL  2u /* as many sessions as there may be */
#define WR_HOLD_ERROR 4u /* no descriptors: waiting */

struct wr_door {
	struct wr_sock sock;
	struct wr_list link;
	struct wr_proxy *px;
	struct wr_gen *gen; /* the last one that has this listener */
	const struct wr_listener_conf *conf; /* in it */
	uint32_t cell, shard;
	char *text;
	uint16_t port;
	bool shared, shutting;
	bool stays;            /* WR_HOLD_ASKED is not meant for it */
	bool few;              /* it accepts with WR_FEW */
	uint64_t until_ms;     /* shutting: not longer, whoever waits */
	struct wr_timer timer; /* shutting: look whether somebody waits */
	void (*done)(void *arg);
	void *done_arg;
};

/* Why doors are held has changed. */
void wr_doors_hold(struct wr_proxy *px, unsigned why, bool on);
/* A session is gone: there may be room. */
void wr_doors_freed(struct wr_proxy *px);
/* px->gen is another one. */
void wr_doors_use(struct wr_proxy *px);
/* Close all; px is told by wr_proxy_freed() as each is gone. */
void wr_doors_shut(struct wr_proxy *px);

#endif
