/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * grammar - one file of the configuration, word by word, and what is written
 * of it for libconfig (private to scan.c).
 */
#ifndef WR_GRAMMAR_H
#define WR_GRAMMAR_H

#include "conf/lex.h"
#include "conf/scan.h"

/* A file or pattern that is still to be read, in the order it was named. */
struct wr_wait {
	struct wr_wait *next;
	const char *path, *shown;
	const struct wr_source *by; /* that names it */
	uint32_t line;
};

/* What a bracket opened; the file itself has none. */
struct wr_open {
	uint32_t line;
	uint32_t serial;  /* of the group, for its names */
	uint32_t members; /* written so far */
	uint32_t depth;
	char bracket;
	uint8_t kind; /* of the members of an array */
};

/* One file in hand. */
struct wr_in {
	struct wr_lex x;
	struct wr_scan *s;
	struct wr_wait **tail; /* of the files to be read after this one */
};

/* Settings up to the bracket that ends the group, or the end of the file.
 * False after a syntax error. */
wr_must_check bool wr_grammar(struct wr_in *in, struct wr_open *o);
/* At @include: the settings of that file stand here. */
wr_must_check bool wr_scan_include_here(struct wr_in *in, struct wr_open *o);

void wr_scan_line(struct wr_scan *s, const char *z);
/* A value begins here. */
struct wr_place *wr_scan_place(struct wr_in *in, uint32_t line);
void wr_scan_string(struct wr_scan *s, struct wr_str t);
/* The name of a member, and what ends a group. */
void wr_scan_begin(
    struct wr_in *in, struct wr_open *o, struct wr_str name, uint32_t line);
void wr_scan_end(struct wr_in *in, const struct wr_open *o);

#endif
