/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * probe - one check of one server, from connect to verdict.
 *
 * However the server behaves, a probe keeps at most WR_PROBE_BYTES of what it
 * says, looks at them a bounded number of times, and is over after `timeout`.
 */
#ifndef WR_PROBE_H
#define WR_PROBE_H

#include "base/text.h"
#include "io/loop.h"
#include "modules/health/health.h"
#include "modules/pcre.h"

struct wr_probe;
struct wr_tls_probe;

/* Compiled patterns of one group. */
struct wr_patterns {
	struct wr_pcre *body;
	struct wr_pcre **steps; /* by step; NULL: none */
	uint32_t n_steps;
};

/* -ENOMEM; patterns were checked before. */
wr_must_check int
wr_patterns_init(struct wr_patterns *t, const struct wr_health_conf *c);
void wr_patterns_fini(struct wr_patterns *t);

enum wr_probed {
	WR_PROBE_MORE, /* not over: wait for more bytes */
	WR_PROBE_GOOD,
	WR_PROBE_BAD,
	WR_PROBE_OURS, /* this machine could not do it: says nothing */
	WR_PROBE_STOPPED,
};

/* What is said once the connection stands. */
struct wr_probe_kind {
	/* Begin: send something, or be satisfied. */
	enum wr_probed (*open)(struct wr_probe *p);
	/* Look at what has come.  `last`: nothing more will, because the
	 * server has ended or there is no room. */
	enum wr_probed (*look)(struct wr_probe *p, bool last);
	/* What was sent has been taken. */
	enum wr_probed (*sent)(struct wr_probe *p);
};

extern const struct wr_probe_kind wr_probe_tcp, wr_probe_http, wr_probe_script;

/* Runs once, with nothing in flight; `p` may be started again there. */
typedef void wr_probe_done_fn(struct wr_probe *p, enum wr_probed how);

struct wr_probe {
	/* Set by the owner, who may change what they point to, as long as it
	 * asks the same, while the probe runs. */
	const struct wr_health_conf *conf;
	const struct wr_patterns *patterns;
	const char *host; /* of the server, for Host */
	wr_probe_done_fn *done;
	/* Cause of the result: one line. */
	char why[192];
	uint32_t took_us;
	/* The probe's own. */
	struct wr_loop *loop;
	const struct wr_probe_kind *kind;
	struct wr_sock sock;
	struct wr_timer limit, later;
	struct wr_tls_probe *tls;
	char doing[32]; /* what a time-out would have interrupted */
	uint8_t *bytes; /* what came; WR_PROBE_BYTES */
	uint32_t len;
	uint32_t looks;
	uint32_t step; /* of the kind: script: which one; http: heads skipped */
	uint64_t start_us;
	enum wr_probed how;
	bool running, ended;
	uint8_t waits; /* of the kind: what for */
};

/* Connect to `to`.  `bytes` is lent until `done`.  -errno: this machine could
 * not do it; `done` does not run then. */
wr_must_check int wr_probe_start(struct wr_probe *p, struct wr_loop *l,
    const struct wr_addr *to, uint8_t *bytes);
/* Give up; `done` still runs, with WR_PROBE_STOPPED. */
void wr_probe_stop(struct wr_probe *p);

/* -- For kinds ----------------------------------------------------------- */

/* Send a copy of so many bytes, at most WR_PROBE_BYTES; forgets what came
 * before.  Nothing may be on its way: MORE, or OURS. */
enum wr_probed wr_probe_send(struct wr_probe *p, const void *bytes, uint32_t n);
bool wr_probe_sending(const struct wr_probe *p);
/* A look at the bytes costs time: true if it may be done now; else the probe
 * will look again by itself a little later. */
bool wr_probe_may_look(struct wr_probe *p, bool last);
/* Set `why`. */
enum wr_probed wr_probe_say(struct wr_probe *p, enum wr_probed how,
    const char *fmt, ...) wr_printf(3, 4);
/* The beginning of what came, printable, for `why`; returns `text`. */
#define WR_PROBE_SHOWN 64
const char *wr_probe_shown(const struct wr_probe *p, char *text);

#endif
