/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * module - the contract between weir and what plugs in.
 *
 * A module is one const struct: its configuration group, hooks along a
 * session, and, where it needs them, hooks in the life of a process.  Hooks
 * that are NULL are not called.  Modules are listed in modules/modules.c.
 */
#ifndef WR_MODULE_H
#define WR_MODULE_H

#include "conf/conf.h"
#include "proxy/end.h"
#include "proxy/stats.h"

struct wr_proxy;
struct wr_session;
struct wr_control;
struct wr_server_conf;

enum wr_verdict {
	WR_NEXT, /* go on with the next module */
	WR_DENY, /* end the session; the hook has set s->end and, in on_accept
		  * and on_route, s->answer: what is said first, or NULL */
	WR_WAIT, /* the module will call wr_session_resume() */
};

/* What a session has learned of a server. */
enum wr_news {
	WR_NEWS_CONNECTED,
	WR_NEWS_ANSWERED, /* its first byte has come */
	/* It did not connect, for one of these reasons. */
	WR_NEWS_REFUSED,
	WR_NEWS_TIMEOUT,
	WR_NEWS_RESET,
	WR_NEWS_UNREACHABLE,
	/* It did, and then said nothing in time; or reset instead. */
	WR_NEWS_MUTE,
	WR_NEWS_EARLY_RESET,
};

struct wr_module {
	const char *name;
	struct wr_group conf; /* conf.name NULL: no group */
	/* `conf`: the module's value of the listener or route in force.  What
	 * is routed by the listener's own rules is asked about again only if
	 * on_accept has set s->ask_route. */
	enum wr_verdict (*on_accept)(struct wr_session *s, const void *conf);
	enum wr_verdict (*on_route)(struct wr_session *s, const void *conf);
	/* It has a route: true if this module takes it over.  The first one
	 * that does so handles it. */
	bool (*on_serve)(struct wr_session *s);
	/* Connected to a server, before the first byte; `conf` is the
	 * upstream's. */
	enum wr_verdict (*on_connect)(struct wr_session *s, const void *conf);
	/* The session is over; called once, for all modules.  Its generation
	 * may be gone. */
	void (*on_end)(struct wr_session *s);
	/* A listening socket is new, or its listener `c` has another
	 * configuration. */
	void (*on_listen)(
	    const struct wr_listener_conf *c, int fd, const void *conf);
	/* A worker has started, has a new generation, is about to exit. */
	int (*worker_start)(struct wr_proxy *px);
	void (*worker_use)(struct wr_proxy *px, const struct wr_conf *c);
	void (*worker_exit)(struct wr_proxy *px);
	/* Servers have joined or left. */
	void (*worker_joins)(struct wr_proxy *px);
	/* The same in the control process. */
	int (*control_start)(struct wr_control *ct);
	void (*control_use)(struct wr_control *ct, const struct wr_conf *c);
	void (*control_exit)(struct wr_control *ct);
	/* A listener of control's, `c` of `g`, has a socket: `fd` is taken
	 * over if true is returned.  `text` names it for control_unlisten(),
	 * which closes it at the end of the turn. */
	bool (*control_listen)(struct wr_control *ct, struct wr_gen *g,
	    const struct wr_listener_conf *c, const char *text, int fd);
	void (*control_unlisten)(struct wr_control *ct, const char *text);
	/* The process will end: begin nothing new.  True if nothing is left
	 * to be done; asked again until it is, but not for long. */
	bool (*control_drain)(struct wr_control *ct);
	/* A server joins, and no worker knows it yet; or has left. */
	void (*control_join)(
	    struct wr_control *ct, const struct wr_server_conf *sv);
	void (*control_leave)(
	    struct wr_control *ct, const struct wr_server_conf *sv);
	/* News of s->server_cell in s->upstream_cell.  Errors of our own
	 * machine are none. */
	void (*on_server)(struct wr_session *s, enum wr_news news);
	/* No server of `u` is usable for a session: true if those that are
	 * only ejected may be used.  `conf` is the upstream's. */
	bool (*on_none)(struct wr_proxy *px, const struct wr_upstream_conf *u,
	    const void *conf);
};

/* All that are built in, NULL at the end; index = index of its group's value
 * in the `mod` arrays. */
extern const struct wr_module *const wr_modules[];

#endif
