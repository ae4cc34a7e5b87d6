/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * beat - what a server says of itself: one line of fields.
 *
 *	upstream=app name=web-1 address=10.0.0.5:80 weight=2 load=30
 *	time=1795900000 nonce=6f1d... hmac=9c0e...
 *
 * (one line, one space between fields, in any order but hmac, which is last
 * and signs all before " hmac=").  weight, load (percent) and leaving (0 or 1)
 * may be left out.
 */
#ifndef WR_WIRE_BEAT_H
#define WR_WIRE_BEAT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"

/* Longest line, without its end. */
#define WR_BEAT_MAX 512

struct wr_beat_line {
	struct wr_str upstream, name, nonce; /* in the line */
	struct wr_addr address;
	uint32_t weight, load;
	bool leaving;
	uint64_t time_s;    /* since 1970 */
	struct wr_str text; /* that is signed */
	uint8_t hmac[32];
};

/* 0, or -EINVAL: it is none.  `line` is without its end. */
wr_must_check int wr_beat_parse(struct wr_beat_line *b, struct wr_str line);

#endif
