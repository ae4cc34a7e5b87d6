/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * conf - the configuration as one immutable value.
 *
 * The master builds a value in a memfd that lies at a fixed address inside a
 * window reserved before the first fork, seals it, and hands the descriptor
 * to the other processes, which map it read-only at the same address.  So it
 * has real pointers, is shared by all, and cannot be written by anybody.
 */
#ifndef WR_CONF_H
#define WR_CONF_H

#include "base/addr.h"
#include "base/arena.h"
#include "base/text.h"
#include "conf/key.h"

enum wr_timeout {
	WR_T_PROXY_PROTOCOL,
	WR_T_PREREAD,
	WR_T_HANDSHAKE,
	WR_T_CONNECT,
	WR_T_QUEUE,
	WR_T_WAIT_UP,
	WR_T_FIRST_BYTE,
	WR_T_IDLE,
	WR_T_CLIENT_IDLE,
	WR_T_SERVER_IDLE,
	WR_T_SEND,
	WR_T_HALF_CLOSE,
	WR_T_LIFETIME,
	WR_T_LINGER,
	WR_T_GRACE,
	WR_T_DRAIN,
	WR_T_SPREAD,
	WR_TIMEOUTS
};

/*
 * Written: a bit for each that this side, listener (or route) or upstream,
 * says itself, in its own group or in defaults.  Those that follow another
 * one (client_idle, server_idle and send follow idle) are filled in.
 */
struct wr_timeouts {
	uint32_t ms[WR_TIMEOUTS]; /* or WR_OFF */
	uint32_t written;
};

/* The name of one, as in the configuration. */
const char *wr_timeout_name(enum wr_timeout t);
/*
 * The one that counts for a session between a listener and an upstream: the
 * smaller if both sides say it, else that of the side which does.
 */
uint32_t wr_timeout_of(const struct wr_timeouts *listener,
    const struct wr_timeouts *upstream, enum wr_timeout t);

enum wr_server_kind {
	WR_SERVER_ADDR, /* addr is all */
	WR_SERVER_NAME, /* host and port, to be resolved */
	WR_SERVER_SRV,  /* host is the name of the service */
};

enum wr_server_want {
	WR_WANT_UP,
	WR_WANT_DRAIN,
	WR_WANT_DOWN
};

struct wr_server_conf {
	const char *name;    /* unique in the upstream */
	const char *address; /* as written */
	enum wr_server_kind kind;
	enum wr_server_want want;
	struct wr_addr addr;
	const char *host;
	uint16_t port;
	bool client_port; /* no port written: the one the client came to */
	bool backup;
	uint32_t weight;    /* 0: drain */
	uint32_t max_conns; /* WR_OFF: no limit */
	uint32_t cell;      /* in shared memory */
	const struct wr_upstream_conf *upstream;
};

/* What becomes of sessions when their server goes, or a better one comes. */
enum wr_fate {
	WR_FATE_KEEP,
	WR_FATE_CLOSE
};

/* Which failures of a connect are worth another try. */
#define WR_RETRY_REFUSED     1u
#define WR_RETRY_TIMEOUT     2u
#define WR_RETRY_RESET       4u
#define WR_RETRY_UNREACHABLE 8u

struct wr_retry_conf {
	uint32_t tries; /* with the first */
	uint32_t backoff_ms, max_backoff_ms, deadline_ms;
	uint32_t budget_percent, budget_min;
	uint32_t on; /* WR_RETRY_... */
};

/* Clients that are remembered, by which word of theirs. */
enum wr_sticky_on {
	WR_STICKY_OFF,
	WR_STICKY_CLIENT
};

struct wr_sticky_conf {
	uint32_t on; /* enum wr_sticky_on */
	uint32_t expire_ms, size;
	uint32_t first, buckets; /* in shared memory */
};

struct wr_upstream_conf {
	const char *name, *label;
	struct wr_server_conf *servers; /* in written order */
	uint32_t n_servers;
	uint32_t cell;
	uint32_t balance; /* index into wr_balances */
	const char *hash_on;
	uint32_t on_down, on_remove, on_up; /* enum wr_fate */
	uint32_t on_remove_ms;              /* WR_FATE_CLOSE: after that time */
	uint32_t queue_max;
	uint32_t slow_start_ms; /* WR_OFF: none */
	uint32_t servers_max;   /* run-time servers */
	struct wr_addrs source; /* own addresses to connect from */
	struct wr_retry_conf retry;
	struct wr_sticky_conf sticky;
	struct wr_timeouts timeouts;
	const struct wr_upstream_conf *fallback; /* or NULL */
	void *const *mod;  /* values of module groups, by group index */
	const char *where; /* "file:line" */
};

extern const char *const wr_balances[]; /* "round_robin", ..., NULL */

/* What an answer without a server is: a whole HTTP/1.0 response, or bare bytes
 * (status 0). */
struct wr_answer {
	const uint8_t *bytes;
	uint32_t len;
	uint32_t status;
};

/* What a session follows once it is chosen: a listener's or a route's. */
struct wr_rules {
	struct wr_timeouts timeouts;
	bool access_log;
	void *const *mod; /* values of module groups, by group index */
};

/* A weighted choice of upstreams, in written order. */
struct wr_split {
	const struct wr_share {
		const struct wr_upstream_conf *upstream;
		uint32_t weight;
	} * v;
	uint32_t n;
	uint64_t sum; /* of the weights, more than 0 */
};

enum wr_split_on {
	WR_SPLIT_RANDOM,
	WR_SPLIT_CLIENT /* the same client, the same upstream */
};

struct wr_route_conf {
	/* Conditions; empty ones always hold. */
	struct wr_cidrs client;
	struct wr_ports {
		const uint16_t (*v)[2]; /* first, last */
		uint32_t n;
	} ports;
	/* One action; `routes` is nested. */
	const struct wr_upstream_conf *upstream; /* of a split: the first */
	const struct wr_split *split;            /* or NULL */
	uint32_t split_on;                       /* enum wr_split_on */
	const struct wr_answer *answer;
	const struct wr_route_conf *routes;
	uint32_t n_routes;
	struct wr_rules rules;
	const char *where;
};

enum wr_protocol {
	WR_TCP,
	WR_STATUS,
	WR_HEARTBEAT
};

enum wr_listen_kind {
	WR_LISTEN_TCP,
	WR_LISTEN_UNIX,
	WR_LISTEN_FD,
	WR_LISTEN_UDP, /* beside TCP, if the protocol has both */
};

/* One address of a listener; ranges and ":80" are several. */
struct wr_listen {
	enum wr_listen_kind kind;
	struct wr_addr addr;
	int fd; /* WR_LISTEN_FD: inherited; -1: by name, in text */
	/* Key, unique in the configuration and the same however the address
	 * is written: wr_addr_text() of it, or "fd:3", "fd:NAME" (fd -1),
	 * "udp:" and the address. */
	const char *text;
	const char *where;
};

struct wr_listener_conf {
	const char *name, *label;
	struct wr_listen *listens;
	uint32_t n_listens;
	enum wr_protocol protocol;
	uint32_t backlog, mode;
	uint32_t uid, gid; /* of unix sockets; WR_OFF: leave alone */
	uint32_t cell;
	const struct wr_route_conf *routes;
	uint32_t n_routes;
	/* When no route matches; both NULL: the session is closed. */
	const struct wr_upstream_conf *upstream; /* of a split: the first */
	const struct wr_split *split;            /* or NULL */
	uint32_t split_on;                       /* enum wr_split_on */
	const struct wr_answer *answer;
	struct wr_rules rules;
	const struct wr_line_conf *line; /* of the access log */
	const char *where;
};

struct wr_log_place {
	const char *to;    /* path, "stderr", "stdout", "syslog", "off" */
	const char *where; /* "file:line"; the file, if it is not written */
};

struct wr_logs_conf {
	struct wr_log_place at;
	uint32_t level;  /* enum wr_level */
	uint32_t format; /* enum wr_log_format */
};

/* Reasons of ends that can be told apart. */
#define WR_SKIP_BITS 128

/* A line of the access log. */
struct wr_line_conf {
	uint32_t format;       /* enum wr_log_format */
	uint32_t n_fields;     /* 0: the usual ones */
	const uint8_t *fields; /* by index, see struct wr_words; in order */
	/* A bit of each reason that is not logged. */
	uint64_t skip[WR_SKIP_BITS / 64];
};

struct wr_access_conf {
	struct wr_line_conf line;
	struct wr_log_place at;
};

struct wr_control_conf {
	struct wr_listen listen;
	uint32_t mode, uid, gid; /* WR_OFF: leave alone */
	uint32_t level;          /* enum wr_control_level */
};

enum wr_control_level {
	WR_CONTROL_USER, /* may look */
	WR_CONTROL_OPERATOR,
	WR_CONTROL_ADMIN
};

struct wr_resolver_conf {
	struct wr_addrs servers; /* none: those of resolv.conf */
	uint32_t ttl_min_ms, ttl_max_ms, timeout_ms, hold_ms;
	uint32_t family; /* 0 any, 1 IPv4, 2 IPv6 */
};

struct wr_conf {
	uint64_t generation;
	uint64_t bytes; /* of the arena */
	const char *path;
	uint32_t workers;
	const char *user;            /* "" if not written */
	uint32_t uid, gid;           /* WR_OFF: not to be changed */
	const char *pid, *pid_where; /* as `where` of wr_log_place */
	bool pid_written;
	struct {
		const char *backend;
		uint32_t connections; /* WR_OFF: auto */
		uint64_t buffers, spill, unsent;
	} events;
	struct {
		uint32_t interval_ms, warn_ms, limit_ms;
	} watchdog;
	struct wr_logs_conf error_log;
	struct wr_access_conf access_log;
	struct wr_array control; /* of struct wr_control_conf */
	struct wr_resolver_conf resolver;
	uint32_t reload_timeout_ms;
	struct wr_timeouts timeouts;
	struct wr_upstream_conf *const *upstreams; /* in written order */
	uint32_t n_upstreams;
	struct wr_listener_conf *const *listeners;
	uint32_t n_listeners;
	void *const *mod; /* values of module groups at top level */
	uint32_t n_mod;
	struct wr_texts files; /* all that were read */
	/* Indices into the arrays above, sorted by name. */
	const uint32_t *upstreams_by_name, *listeners_by_name;
	/* The same things, sorted by cell. */
	const struct wr_upstream_conf **upstreams_by_cell;
	const struct wr_listener_conf **listeners_by_cell;
	/* Those which may end running sessions: on_down, on_remove, on_up. */
	const struct wr_upstream_conf *const *strict;
	uint32_t n_strict;
};

const struct wr_upstream_conf *
wr_conf_upstream(const struct wr_conf *c, const char *name);
const struct wr_listener_conf *
wr_conf_listener(const struct wr_conf *c, const char *name);
/* The one with this cell, or NULL. */
const struct wr_upstream_conf *
wr_conf_upstream_at(const struct wr_conf *c, uint32_t cell);
const struct wr_listener_conf *
wr_conf_listener_at(const struct wr_conf *c, uint32_t cell);

/*
 * A generation as one process has it: a mapping and a count of users.  The
 * window has room for WR_GENERATIONS at a time.
 */
#define WR_GENERATIONS 16

struct wr_gen {
	const struct wr_conf *conf;
	uint64_t generation;
	uint32_t place; /* in the window */
	uint32_t users;
	int fd;       /* the sealed memfd; -1 once a child has mapped it */
	size_t bytes; /* mapped */
};

/* Reserve the window: in the first master, before any fork. */
wr_must_check int wr_gen_reserve(void);
/* Map a generation that another process built; takes over `fd` (closed in
 * any case).  NULL and errno. */
struct wr_gen *
wr_gen_map(int fd, uint32_t place, uint64_t generation, size_t bytes);
struct wr_gen *wr_gen_get(struct wr_gen *g);
/* The last put unmaps and calls the function set below.  Leaves NULL. */
void wr_gen_put(struct wr_gen **g);
/* Told when this process has let go of a generation (its place). */
void wr_gen_on_gone(
    void (*fn)(uint64_t generation, uint32_t place, void *arg), void *arg);

/* What upper floors know and a value may name; NULL at the end of each. */
struct wr_words {
	const char *const *fields; /* of a line of the access log */
	const char *const *ends;   /* why sessions end, by enum wr_end */
};

/* What the master wants to load. */
struct wr_load {
	const char *path;
	const char *prefix; /* -p: relative paths of built-in defaults */
	const struct wr_group *const *groups; /* of modules, NULL at the end */
	struct wr_words words;
	uint64_t generation;
	uint32_t place; /* in the window, free everywhere */
	/* Give cells (and what else lies outside) to a checked value before it
	 * is sealed; may be NULL.  0, or -errno after reporting to errors. */
	int (*settle)(struct wr_conf *c, struct wr_text *errors, void *arg);
	void *arg;
	/* Result: "file:line: text\n" each; and notices (not fatal). */
	struct wr_text errors, notices;
	unsigned n_errors;
};

/* NULL if refused; all that is wrong is in ld->errors then.  No side effects
 * but the generation itself: nothing is bound, made or resolved. */
struct wr_gen *wr_conf_load(struct wr_load *ld);
/* The effective configuration with all defaults, where each value came from
 * and when it takes effect (-T).  0 or -1 with errors as above. */
wr_must_check int wr_conf_dump(struct wr_load *ld, struct wr_text *out);
/* `pid =` of a file that may be broken, or of one that it includes; false if
 * it is not there. */
bool wr_conf_scan_pid(const char *path, char *pid, size_t size);

/* All tables of keys, for -T, the manual's test and the editor file: prints
 * one line a key: "path<TAB>type<TAB>default<TAB>effect<TAB>help". */
void wr_conf_keys(const struct wr_group *const *groups, struct wr_text *out);

#endif
