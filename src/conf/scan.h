/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * scan - our own reading of the configuration's files, before libconfig sees
 * anything.
 *
 * It follows includes, fills in ${...}, refuses what libconfig 1.5 misreads
 * or dies of, and writes one string for libconfig: a list of groups, one a
 * file.  Beside it goes one place per value, in order of writing, that says
 * where the value came from.
 */
#ifndef WR_SCAN_H
#define WR_SCAN_H

#include "base/arena.h"
#include "conf/errs.h"

#define WR_SCAN_FILE_MAX  (16u << 20)
#define WR_SCAN_TOTAL_MAX (64u << 20)
#define WR_SCAN_FILES_MAX 10000u
#define WR_SCAN_DEPTH_MAX 32u

/*
 * Names in the string that are not the user's begin with a star.  libconfig
 * looks for a name in all of its group before it adds it, so a group of many
 * is written as several: "*more1 = { ... }" holds further members.
 */
#define WR_SCAN_FILES     "*files"
#define WR_SCAN_GROUP_MAX 64u
#define WR_SCAN_MORE      "*more"
/* A name that was there before; not to be looked at. */
#define WR_SCAN_AGAIN "*again"

struct wr_place {
	const struct wr_source *src;
	const char *raw; /* a string before ${...} was filled in, or NULL */
	uint32_t line;
	uint32_t out_line; /* in the string */
	bool secret;       /* came from a file */
	bool bad;          /* refused; the value is a stand-in */
};

struct wr_scan {
	struct wr_errs *errs;     /* lent */
	struct wr_errs fatal;     /* a syntax error, told alone */
	struct wr_arena *scratch; /* lent; sources and raw texts live there */
	struct wr_text out;
	uint32_t out_lines;
	struct wr_place *places;
	uint32_t n_places, places_size;
	const struct wr_source **sources;
	uint32_t n_sources, sources_size;
	uint64_t bytes;
	bool failed;   /* nothing may follow */
	bool includes; /* a file names others, which may be none */
	struct wr_name *names;
	uint32_t n_names, names_size;
	uint32_t groups, again, n_files;
	struct wr_text text; /* the string in hand */
};

void
wr_scan_init(struct wr_scan *s, struct wr_errs *errs, struct wr_arena *scratch);
/* Read a file and all that it includes.  False if the result is of no use:
 * there was a syntax error, an unreadable file.  Other errors are in `errs`
 * only. */
wr_must_check bool wr_scan_file(struct wr_scan *s, const char *path);
void wr_scan_fini(struct wr_scan *s);

/*
 * Fill in ${NAME}, ${NAME:-default}, ${file:PATH} in place; $${ becomes ${.
 * 0 if there was nothing to do, 1 if there was, -1 after an error, which was
 * reported.  *secret: something came from a file.
 */
int wr_expand(struct wr_text *t, const struct wr_source *src, uint32_t line,
    struct wr_errs *errs, bool *secret);

#endif
