/* SPDX-License-Identifier: BSD-2-Clause */
/* hash - see hash.h; Aumasson and Bernstein, "SipHash", 2012. */
#include "base/hash.h"

#include <assert.h>

struct sip {
	uint64_t a, b, c, d;
};

static uint64_t
rotl(uint64_t x, unsigned n)
{
	return x << n | x >> (64 - n);
}

static void
rounds(struct sip *s, int n)
{
	while (n-- > 0) {
		s->a += s->b;
		s->c += s->d;
		s->b = rotl(s->b, 13) ^ s->a;
		s->d = rotl(s->d, 16) ^ s->c;
		s->a = rotl(s->a, 32);
		s->c += s->b;
		s->a += s->d;
		s->b = rotl(s->b, 17) ^ s->c;
		s->d = rotl(s->d, 21) ^ s->a;
		s->c = rotl(s->c, 32);
	}
}

static void
word(struct sip *s, uint64_t m)
{
	s->d ^= m;
	rounds(s, 2);
	s->a ^= m;
}

/* The first `n` bytes, at most 8, little-endian on any machine. */
static uint64_t
load(const uint8_t *p, size_t n)
{
	uint64_t m = 0;

	for (size_t i = 0; i < n; i++)
		m |= (uint64_t)p[i] << (8 * i);
	return m;
}

uint64_t
wr_hash(const struct wr_hash_key *key, const void *p, size_t len)
{
	const uint8_t *at = p;
	size_t left = len;
	struct sip s = {
		key->k[0] ^ 0x736f6d6570736575,
		key->k[1] ^ 0x646f72616e646f6d,
		key->k[0] ^ 0x6c7967656e657261,
		key->k[1] ^ 0x7465646279746573,
	};

	for (; left >= 8; left -= 8, at += 8)
		word(&s, load(at, 8));
	word(&s, load(at, left) | (uint64_t)len << 56);
	s.c ^= 0xff;
	rounds(&s, 4);
	return s.a ^ s.b ^ s.c ^ s.d;
}

/* The finalizer of splitmix64 (Steele, Lea, Flood, 2014): a bijection. */
uint64_t
wr_hash_u64(uint64_t x)
{
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
	x = (x ^ x >> 27) * 0x94d049bb133111eb;
	return x ^ x >> 31;
}

void
wr_random_seed(struct wr_random *r, uint64_t seed)
{
	/* Two outputs of splitmix64: never both 0, where xorshift sticks. */
	r->s[0] = wr_hash_u64(seed + 0x9e3779b97f4a7c15);
	r->s[1] = wr_hash_u64(seed + 2 * 0x9e3779b97f4a7c15);
}

/* xorshift128+ (Vigna, 2017). */
uint64_t
wr_random_u64(struct wr_random *r)
{
	uint64_t x = r->s[0], y = r->s[1];

	assert((x | y) != 0);
	r->s[0] = y;
	x ^= x << 23;
	r->s[1] = x ^ y ^ x >> 18 ^ y >> 5;
	return r->s[1] + y;
}

uint32_t
wr_random_below(struct wr_random *r, uint32_t n)
{
	assert(n > 0);
	/* The high half is the better one; the bias is below n / 2^32. */
	return (uint32_t)((wr_random_u64(r) >> 32) * n >> 32);
}
