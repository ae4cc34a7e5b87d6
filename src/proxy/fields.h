/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fields - the numbers that are shown of what is counted.
 *
 * One table for each struct of shared memory.  Whoever shows them, as JSON or
 * as metrics, goes through the same table, so that none has more than another.
 */
#ifndef WR_FIELDS_H
#define WR_FIELDS_H

#include <stddef.h>

#include "proxy/stats.h"

enum wr_field_unit {
	WR_UNIT_ONE,
	WR_UNIT_US,    /* shown as metrics: seconds */
	WR_UNIT_SINCE, /* a time in monotonic ms; its age is shown */
};

struct wr_field {
	const char *name; /* in JSON; NULL ends a table */
	/* As a metric, after the prefix of its table: a counter has "_total"
	 * at its end, a gauge has not. */
	const char *metric;
	uint16_t offset;
	uint8_t size; /* 4 or 8 bytes */
	uint8_t unit; /* enum wr_field_unit */
	const char *help;
};

extern const struct wr_field wr_total_fields[];   /* of wr_slot, summed up */
extern const struct wr_field wr_process_fields[]; /* of wr_slot */
extern const struct wr_field wr_loop_fields[];
extern const struct wr_field wr_listener_fields[];
extern const struct wr_field wr_upstream_fields[];
extern const struct wr_field wr_group_fields[]; /* of wr_upstream_state */
extern const struct wr_field wr_server_fields[];
extern const struct wr_field wr_state_fields[]; /* of wr_server_state */

/* Of `row`, a struct of the field's table. */
uint64_t
wr_field_value(const struct wr_field *f, const void *row, uint64_t now_ms);
/* What no single process has: over all that are and were.  Only what the table
 * of totals names, and the ends, is set. */
void wr_fields_total(const struct wr_stats *st, struct wr_slot *sum);

/* Words for the enums of proxy/stats.h; "?" for what is none of them. */
const char *wr_role_text(uint32_t role);
const char *wr_phase_text(uint32_t phase);
const char *wr_health_text(uint32_t health);
const char *wr_want_text(uint32_t want);
const char *wr_ejected_text(uint32_t ejected); /* enum wr_ejected */

#endif
