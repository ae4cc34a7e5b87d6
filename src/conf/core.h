/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * core - what the files that make a value share (private to conf/).
 */
#ifndef WR_CORE_H
#define WR_CORE_H

#include <setjmp.h>

#include "conf/check.h"

struct wr_names;

struct wr_check {
	struct wr_load *load;
	struct wr_arena *arena;   /* of the value */
	struct wr_arena *scratch; /* of the load */
	struct wr_errs *errs, *notices;
	jmp_buf full; /* out of memory */
	struct wr_conf *conf;
	const struct wr_node *root; /* all files as one group */
	const struct wr_group *const *groups;
	uint32_t n_groups;
	struct wr_names *upstreams, *listens;
	const struct wr_upstream_conf *owner;
	uint64_t route;   /* see wr_check_route() */
	uint32_t n_lists; /* files that lists came from */
};

/* Engine: check.c and values.c. */

void wr_check_errorv(struct wr_check *c, const struct wr_node *n,
    const char *fmt, va_list ap) wr_printf(3, 0);
/* Wrong value of a key: adds the default. */
void wr_check_wrong(struct wr_check *c, const struct wr_key *key,
    const struct wr_node *n, const char *fmt, ...) wr_printf(4, 5);
/* How a value is shown in messages. */
#define WR_SHOWN 80
const char *
wr_check_shown(const struct wr_key *key, const struct wr_node *n, char *text);

/*
 * The members of a written object: core keys into `base`, groups of modules
 * that belong `at` this level into a new array of values (or `mod` itself if
 * none is written), all else refused.
 */
void *const *wr_check_object(struct wr_check *c, const struct wr_node *n,
    const struct wr_key *keys, void *base, unsigned at, void *const *mod);
const struct wr_key *wr_find_key(const struct wr_key *keys, const char *name);
/* Presets of all groups. */
void *const *wr_check_mods(struct wr_check *c);

/* Nearest known name, what others call it, or all that is known. */
void wr_hint(struct wr_text *out, const char *name, const char *const *known,
    size_t n_known);
/* The one that is meant, or NULL. */
const char *
wr_nearest(const char *name, const char *const *known, size_t n_known);

/* Names to things, in no order: names.c. */

struct wr_names *wr_names_new(struct wr_check *c, uint32_t n);
/* What is there already, or NULL after adding it. */
void *wr_names_add(struct wr_names *t, const char *name, void *thing);
void *wr_names_find(const struct wr_names *t, const char *name);

/* Tables and their parsers. */

extern const struct wr_key wr_top_keys[];
extern const struct wr_key wr_upstream_keys[];
extern const struct wr_key wr_server_keys[];
extern const struct wr_key wr_retry_keys[]; /* of struct wr_retry_conf */
extern const struct wr_key wr_listener_keys[];
extern const struct wr_key wr_route_keys[];
extern const struct wr_key wr_timeout_keys[];
extern const struct wr_key wr_answer_keys[];
extern const struct wr_key wr_error_log_keys[], wr_access_log_keys[];
extern const struct wr_key *const wr_line_keys; /* of struct wr_line_conf */

/* A key of the language that no module supplies yet; or NULL. */
const char *wr_later(const char *name, unsigned at);

/* Slots of shared memory must be enough for those that drain and for a new
 * binary. */
#define WR_WORKERS_LIMIT 60

wr_parse_fn wr_parse_nothing;
wr_parse_fn wr_parse_user, wr_parse_owner, wr_parse_gid, wr_parse_mode;
wr_parse_fn wr_parse_timeouts; /* key->min: the level, WR_AT_... */
wr_parse_fn wr_parse_answer, wr_parse_servers, wr_parse_listener_log;
/* Where a time-out may be set. */
unsigned wr_timeout_at(enum wr_timeout t);
/* Those that follow another one. */
void wr_timeouts_settle(struct wr_timeouts *t);

void wr_check_all(struct wr_check *c);
void wr_check_upstreams(struct wr_check *c, const struct wr_node *all,
    const struct wr_node *defaults);
/* `all` is a group, a list or NULL. */
void wr_check_listeners(struct wr_check *c, const struct wr_node *all,
    const struct wr_node *defaults);
/* Notices about an upstream that needs more ports than there are. */
void wr_check_ports(struct wr_check *c, const struct wr_node *n,
    const struct wr_upstream_conf *u);
/* "unix:PATH" with an absolute path; -errno, not reported. */
wr_must_check int wr_check_unix(struct wr_check *c, const struct wr_node *n,
    struct wr_str s, struct wr_addr *a);
void wr_check_bad_path(
    struct wr_check *c, const struct wr_node *n, struct wr_str s, int err);
/* "file:line", for the value; the file, if `n` is a preset. */
const char *wr_check_where(struct wr_check *c, const struct wr_node *n);
void wr_check_routes(struct wr_check *c, const struct wr_node *n,
    const struct wr_rules *outer, const struct wr_route_conf **routes,
    uint32_t *n_routes);
/* The same addresses for UDP too. */
void wr_listen_on_udp(struct wr_check *c, struct wr_listener_conf *l);
wr_parse_fn wr_parse_listen, wr_parse_on_off;
/* One upstream, or a weighted choice of them (else `split` is NULL). */
void wr_check_to(struct wr_check *c, const struct wr_node *n,
    const struct wr_upstream_conf **upstream, const struct wr_split **split);
extern const char *const wr_splits[]; /* by enum wr_split_on */
/* Why a key would do nothing there, or NULL. */
const char *wr_split_moot(const struct wr_split *split, const char *key);
const char *wr_listener_moot(const struct wr_listener_conf *l, const char *key);
/* Name, length, characters; reported. */
bool wr_check_name(struct wr_check *c, const struct wr_node *n);
/* Keys that have no place in `defaults`: NULL at the end. */
void wr_check_not_here(struct wr_check *c, const struct wr_node *defaults,
    const char *const *names);
/* The indices of names, sorted. */
const uint32_t *wr_check_by_name(struct wr_check *c,
    const char *(*name)(const void *all, uint32_t i), const void *all,
    uint32_t n);

/* The effective configuration (dump.c). */
void wr_dump(struct wr_check *c, struct wr_text *out);
/* Files as one tree; errors are reported. */
const struct wr_node *wr_merge(struct wr_check *c, struct wr_node *files);

#endif
