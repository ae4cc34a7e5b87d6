/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * key - tables that describe groups of the configuration.
 *
 * A table is the only truth about its keys: parsing, checking, defaults,
 * hints, -T, the manual and the editor file all come from it.
 */
#ifndef WR_KEY_H
#define WR_KEY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"

/* "off" for times, sizes and counts; 0 never means off. */
#define WR_OFF UINT32_MAX
/* The longest time that can be written, 40 days: clocks of 32 bits go round
 * after 49. */
#define WR_TIME_MAX 3456000000u

enum wr_type {     /* what the struct holds at `offset` */
	WR_BOOL,   /* bool */
	WR_INT,    /* uint32_t, within min and max */
	WR_TIME,   /* uint32_t milliseconds, or WR_OFF */
	WR_SIZE,   /* uint64_t bytes, or UINT64_MAX if off */
	WR_RATE,   /* struct wr_rate */
	WR_TEXT,   /* const char *, "" if unset */
	WR_PATH,   /* the same; relative to the file that names it */
	WR_SECRET, /* the same, never printed */
	WR_TEXTS,  /* struct wr_texts; one or many */
	WR_CHOICE, /* uint32_t, index into `choices` */
	WR_CIDRS,  /* struct wr_cidrs; one or many */
	WR_ADDRS,  /* struct wr_addrs; one or many */
	WR_GROUP,  /* a struct at `offset`, described by `keys` */
	WR_GROUPS, /* struct wr_array of structs; one or many, by `keys` */
	WR_CUSTOM, /* parsed by `parse` (see conf/check.h) */
};

enum wr_effect {
	WR_NEW,     /* new sessions */
	WR_LIVE,    /* running sessions too */
	WR_WORKERS, /* workers are replaced, one at a time */
	WR_UPGRADE, /* only by a new master */
};

struct wr_rate {
	uint32_t n;
	uint32_t per_ms;
};

struct wr_texts {
	const char *const *v;
	uint32_t n;
};

struct wr_addrs {
	const struct wr_addr *v;
	uint32_t n;
};

struct wr_array {
	void *v;
	uint32_t n;
};

struct wr_check; /* conf/check.h */
struct wr_node;
struct wr_key;

/* Parse one value in a way of its own; reports errors itself. */
typedef void wr_parse_fn(struct wr_check *c, const struct wr_key *key,
    const struct wr_node *n, void *field);

struct wr_key {
	const char *name; /* NULL ends a table */
	enum wr_type type;
	size_t offset;
	/* Default, as it would be written, without quotes; "" is none (all
	 * zero).  Of a list: "[ a, b ]". */
	const char *preset;
	const char *help; /* one line */
	enum wr_effect effect;
	/* WR_INT, WR_SIZE, WR_TIME (ms); both 0: any that is not negative.  A
	 * time with a minimum above 0 cannot be "off". */
	int64_t min, max;
	const char *const *choices; /* WR_CHOICE, NULL at the end */
	const struct wr_key *keys;  /* WR_GROUP, WR_GROUPS */
	size_t size;                /* WR_GROUPS: of one struct */
	wr_parse_fn *parse;
	const char *later; /* "tls", "http", "udp": refused, not built yet */
	bool may_be_off;   /* WR_INT, WR_SIZE: "off" is a value */
	/* WR_GROUP, WR_GROUPS: key that a plain value stands for, or NULL. */
	const char *principal;
	bool path; /* WR_TEXT, WR_CUSTOM: names a file, unless it is a word */
};

/* "new", "live", ... */
const char *wr_effect_name(enum wr_effect e);

/* Where a module's group may be written. */
#define WR_AT_TOP      1u
#define WR_AT_LISTENER 2u
#define WR_AT_ROUTE    4u
#define WR_AT_UPSTREAM 8u

/*
 * The configuration group of a module.  Its value is a struct of `size`
 * bytes in the configuration's arena; levels are merged key by key
 * (built-in < top < defaults < listener < route; built-in < top < defaults <
 * upstream), lists are replaced.  A group that is written nowhere has all
 * presets.  If the table begins with a bool named on, then writing the group
 * sets it, "off" clears it and all that was inherited, and "on" is a value.
 */
struct wr_group {
	const char *name;
	const struct wr_key *keys;
	size_t size;
	unsigned at;
	const char *principal; /* key that a plain value stands for, or NULL */
	const char *help;
	/* After merging: look at the whole value, report what is wrong, build
	 * what is derived from it.  `n` is NULL if it is written nowhere. */
	void (*check)(struct wr_check *c, const struct wr_node *n, void *value);
	/* Values are shared by all that do not write the group, unless each
	 * listener, route or upstream is to have its own. */
	bool own;
};

#endif
