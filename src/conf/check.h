/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * check - from the tree of what was written to structs, by tables of keys.
 *
 * Whatever is wrong is reported and passed over, so that one run tells all of
 * it.  Nothing here returns NULL for want of memory: a configuration that is
 * too large ends the load as a whole.
 */
#ifndef WR_CHECK_H
#define WR_CHECK_H

#include "conf/conf.h"
#include "conf/node.h"

struct wr_check;

/* "file:line: path.of.the.key: text".  Silent about what was refused already;
 * `n` NULL: no place to point at. */
void wr_check_error(struct wr_check *c, const struct wr_node *n,
    const char *fmt, ...) wr_printf(3, 4);
/* The same, but the configuration is good all the same. */
void wr_check_notice(struct wr_check *c, const struct wr_node *n,
    const char *fmt, ...) wr_printf(3, 4);
/* Is anything wrong so far? */
bool wr_check_failed(const struct wr_check *c);

/* Zeroed memory of the configuration. */
void *wr_check_alloc(struct wr_check *c, size_t size);
void *wr_check_array(struct wr_check *c, size_t n, size_t size);
const char *wr_check_str(struct wr_check *c, struct wr_str s);
/* Memory that ends with the load. */
void *wr_check_scratch(struct wr_check *c, size_t size);

/* The string at `n`; NULL after reporting that it is none. */
const char *wr_check_text(struct wr_check *c, const struct wr_node *n);
/* An absolute path for one that `n` names. */
const char *
wr_check_path(struct wr_check *c, const struct wr_node *n, const char *path);
/*
 * All of a file that `n` names, in the configuration's memory; NULL after
 * reporting why not.  Besides the folder of the file that names it, a relative
 * path is looked for in the prefix (-p) and in weir's data.
 */
const void *wr_check_file(
    struct wr_check *c, const struct wr_node *n, const char *path, size_t *len);

/* Each string of one or many; "file:PATH" stands for the lines of that file
 * but empty ones and those that begin with #.  `n` of the call is where to
 * report what is wrong with it. */
typedef void wr_texts_fn(
    struct wr_check *c, const struct wr_node *n, struct wr_str text, void *arg);
void wr_check_texts(
    struct wr_check *c, const struct wr_node *n, wr_texts_fn *fn, void *arg);

/* Set all keys of a table to their presets in `base`. */
void
wr_check_presets(struct wr_check *c, const struct wr_key *keys, void *base);
/* One value into `field`. */
void wr_check_value(struct wr_check *c, const struct wr_key *key,
    const struct wr_node *n, void *field);
/* A group into `base`, which holds what it inherits. */
void wr_check_group(struct wr_check *c, const struct wr_key *keys,
    const char *principal, const struct wr_node *n, void *base);

/* The upstream of that name, or NULL after reporting.  Its address is final,
 * its content may not be filled in yet. */
const struct wr_upstream_conf *wr_check_upstream(
    struct wr_check *c, const struct wr_node *n, const char *name);
/* In a group's check(): a number for the route whose value it is, which tells
 * the routes of a listener apart and follows from its place in their list; 0
 * elsewhere. */
uint64_t wr_check_route(const struct wr_check *c);
/* In a group's check(): the upstream whose value it is, complete but for its
 * fallback and the groups after this one; NULL elsewhere. */
const struct wr_upstream_conf *wr_check_owner(const struct wr_check *c);

#endif
