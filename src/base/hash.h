/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hash - SipHash-2-4: a keyed hash that a stranger cannot collide.
 */
#ifndef WR_HASH_H
#define WR_HASH_H

#include <stdint.h>

#include "base/base.h"

struct wr_hash_key {
	uint64_t k[2];
};

uint64_t wr_hash(const struct wr_hash_key *key, const void *p, size_t len);
/* Spread the bits of one number (for tables that are not under attack). */
uint64_t wr_hash_u64(uint64_t x);

/* Random numbers for jitter and choices, not for secrets (xorshift). */
struct wr_random {
	uint64_t s[2];
};
void wr_random_seed(struct wr_random *r, uint64_t seed);
uint64_t wr_random_u64(struct wr_random *r);
/* 0 <= result < n; n > 0. */
uint32_t wr_random_below(struct wr_random *r, uint32_t n);

#endif
