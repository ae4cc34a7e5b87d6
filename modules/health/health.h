/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * health - what an upstream's `health` group says, and when a check follows
 * another (for the files of this folder).
 */
#ifndef WR_HEALTH_H
#define WR_HEALTH_H

#include "base/hash.h"
#include "conf/conf.h"
#include "proxy/stats.h"

/* What is kept of an answer, and the most that a step can send. */
#define WR_PROBE_BYTES 16384

enum wr_health_type {
	WR_CHECK_TCP,
	WR_CHECK_TLS,
	WR_CHECK_HTTP,
	WR_CHECK_SCRIPT
};

struct wr_health_bytes {
	const uint8_t *p; /* NULL: none */
	uint32_t len;
};

struct wr_health_step {
	const char *send_text, *expect_text; /* as written; "": none */
	struct wr_health_bytes send;
	struct wr_health_bytes exact; /* to expect; else the text is a regex */
};

struct wr_health_range {
	uint16_t first, last;
};

struct wr_health_conf {
	bool on;
	uint32_t type; /* enum wr_health_type */
	uint32_t interval_ms, fast_ms, timeout_ms;
	uint32_t fall, rise;
	const char *address;
	uint32_t port; /* 0: the server's */
	const char *method, *uri, *host;
	struct wr_texts status;
	const char *body;
	struct wr_array steps; /* of struct wr_health_step */
	/* Derived. */
	struct wr_addr to; /* of `address`; len 0: the server's */
	bool to_has_port;
	const struct wr_health_range *ranges; /* of `status` */
	uint32_t n_ranges;
};

extern const struct wr_key wr_health_keys[];
void wr_health_check(struct wr_check *c, const struct wr_node *n, void *value);

/* "hex:0a 0b", or text with \r \n \t \0 \\ \xNN.  Bytes, at most `size` (as
 * many as the text is always enough), or -EINVAL. */
wr_must_check int
wr_health_decode(const char *text, uint8_t *bytes, uint32_t size);
/* All that makes two checks of a server ask the same question; never 0. */
uint64_t
wr_health_hash(const struct wr_health_conf *c, const struct wr_addr *server);
/* Where to go to check the server at `server`. */
struct wr_addr
wr_health_target(const struct wr_health_conf *c, const struct wr_addr *server);

/* -- The verdict --------------------------------------------------------- */

/*
 * What a server is after one more check.  `streak` counts the results in a row
 * that contradict what it was.  The first check of all decides alone.
 */
enum wr_health wr_health_after(const struct wr_health_conf *c,
    enum wr_health was, bool good, uint32_t *streak);
/*
 * From the start of one check to that of the next: `interval`; `fast` while
 * results contradict the verdict; and a server that is down is asked so often
 * that it is found up within one `interval`.
 */
uint32_t wr_health_period_ms(
    const struct wr_health_conf *c, enum wr_health is, uint32_t streak);

/*
 * When checks are due: one in each period of a grid whose origin is the
 * server's own, at a random place in the period's first eighth, so that checks
 * of many servers do not come together.
 */
struct wr_pace {
	uint64_t grid_ms; /* where the current period began */
	uint32_t period_ms;
};

/* The first check is due within `spread_ms`. */
uint64_t wr_pace_first(struct wr_pace *p, struct wr_random *r, uint64_t now_ms,
    uint32_t spread_ms);
/* A check is over: when is the next one due?  `regular` says whether the
 * period is the usual one; if it is not, the next one is due at its end. */
uint64_t wr_pace_next(struct wr_pace *p, struct wr_random *r, uint64_t now_ms,
    uint32_t period_ms, bool regular);

#endif
