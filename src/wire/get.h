/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * get - the head of an HTTP/1 request that has no body.
 *
 * For pages that weir itself answers with, one request a connection: strict,
 * and nothing is kept but what is asked for.  Bytes go in as they come, one by
 * one or all at once, with the same result.
 */
#ifndef WR_WIRE_GET_H
#define WR_WIRE_GET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/base.h"

/* Longest head, with the empty line at its end. */
#define WR_GET_MAX 8192

struct wr_get {
	/* When it is complete: the path without the query, as it was written;
	 * "" if it is longer than any that could be meant. */
	char path[32];
	bool head;     /* HEAD, not GET */
	uint8_t minor; /* of the version: 1.0 or 1.1 */
	/* When it is refused: the status to answer with. */
	uint16_t status;

	/* Its own. */
	uint8_t state, major, n_host, n_length, n_coding;
	bool body, coded; /* a body is announced; its coding is known */
	bool origin;      /* the target begins with a slash */
	bool query, over; /* of the path */
	uint16_t n;       /* bytes of the word that is read */
	uint16_t len;     /* of the head so far */
	char method[12], name[20], value[256];
};

void wr_get_init(struct wr_get *g);
/*
 * Take more bytes.  > 0: the head is complete with so many of them; 0: more
 * are needed; -EPROTO: refused, see `status`.  After that, nothing more.
 */
wr_must_check int
wr_get_feed(struct wr_get *g, const uint8_t *bytes, size_t len);

#endif
