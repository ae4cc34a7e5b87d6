/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hooks - ask the modules, in the order of their array.
 */
#ifndef WR_HOOKS_H
#define WR_HOOKS_H

#include "proxy/module.h"

struct wr_listener_conf;

#define WR_MODULES_MAX 32
#define WR_NO_HOOK     0xff

enum wr_hook_at {
	WR_ON_ACCEPT,
	WR_ON_ROUTE,
	WR_ON_CONNECT,
	WR_HOOK_KINDS
};

/* Find out which modules have which hooks. */
void wr_hooks_init(struct wr_proxy *px);
/* Ask those that were not asked yet (from s->hook on).  WR_DENY: s->end is
 * set.  s->hook is 0 again unless it is WR_WAIT. */
enum wr_verdict wr_hooks_run(struct wr_session *s, enum wr_hook_at at);
/* Offer the session; true if a module has taken it. */
bool wr_hooks_serve(struct wr_session *s);
void wr_hooks_end(struct wr_session *s);
/* News of s->server_cell. */
void wr_hooks_server(struct wr_session *s, enum wr_news news);
/* No server of `u` is usable: may those that are only ejected be used? */
bool wr_hooks_none(struct wr_proxy *px, const struct wr_upstream_conf *u);
/* A listening socket is new, or its listener's configuration is. */
void
wr_hooks_listen(struct wr_proxy *px, const struct wr_listener_conf *c, int fd);

#endif
