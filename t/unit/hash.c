/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/hash.h"

#include "base/base.h"
#include "tap.h"

/*
 * Of the reference implementation: key 00 01 .. 0f, the message of length n
 * is 00 01 .. n-1.  The one of 15 bytes is also appendix A of the paper.
 */
static const struct {
	size_t len;
	uint64_t hash;
} vectors[] = {
	{ 0, 0x726fdb47dd0e0e31 },
	{ 1, 0x74f839c593dc67fd },
	{ 2, 0x0d6c8009d9a94f5a },
	{ 3, 0x85676696d7fb7e2d },
	{ 4, 0xcf2794e0277187b7 },
	{ 5, 0x18765564cd99a68d },
	{ 6, 0xcbc9466e58fee3ce },
	{ 7, 0xab0200f58b01d137 },
	{ 8, 0x93f5f5799a932462 },
	{ 9, 0x9e0082df0ba9e4b0 },
	{ 10, 0x7a5dbbc594ddb9f3 },
	{ 11, 0xf4b32f46226bada7 },
	{ 12, 0x751e8fbc860ee5fb },
	{ 13, 0x14ea5627c0843d90 },
	{ 14, 0xf723ca908e7af2ee },
	{ 15, 0xa129ca6149be45e5 },
	{ 16, 0x3f2acc7f57c29bdb },
	{ 63, 0x958a324ceb064572 },
};

static void
siphash_agrees_with_the_reference(void)
{
	struct wr_hash_key key = { { 0x0706050403020100, 0x0f0e0d0c0b0a0908 } };
	uint8_t message[65];

	for (unsigned i = 0; i < sizeof(message); i++)
		message[i] = (uint8_t)i;
	for (size_t i = 0; i < WR_COUNT(vectors); i++) {
		if (!ok(wr_hash(&key, message, vectors[i].len) ==
			vectors[i].hash))
			diag("length %zu", vectors[i].len);
	}
	/* At an odd address too. */
	memmove(message + 1, message, 15);
	ok(wr_hash(&key, message + 1, 15) == 0xa129ca6149be45e5);
	key.k[1] ^= 1;
	ok(wr_hash(&key, message + 1, 15) != 0xa129ca6149be45e5);
}

/* The first outputs of splitmix64 from 0 are those of its counter, mixed. */
static void
numbers_are_spread(void)
{
	uint64_t seen = 0;

	ok(wr_hash_u64(0x9e3779b97f4a7c15) == 0xe220a8397b1dcdaf);
	ok(wr_hash_u64(2 * 0x9e3779b97f4a7c15) == 0x6e789e6aa1b965f4);
	for (uint64_t i = 0; i < 512; i++)
		seen |= 1ULL << (wr_hash_u64(i) % 64);
	ok(seen == UINT64_MAX);
}

static void
random_numbers_follow_their_seed(void)
{
	struct wr_random a, b;
	int same = 0;

	wr_random_seed(&a, 0);
	wr_random_seed(&b, 0);
	for (int i = 0; i < 100; i++)
		same += wr_random_u64(&a) == wr_random_u64(&b);
	is_int(same, 100);
	wr_random_seed(&b, 1);
	same = 0;
	for (int i = 0; i < 100; i++)
		same += wr_random_u64(&a) == wr_random_u64(&b);
	is_int(same, 0);
}

static void
choices_are_even_and_in_range(void)
{
	struct wr_random r;
	int counts[7] = { 0 }, wrong = 0;

	wr_random_seed(&r, 42);
	for (int i = 0; i < 70000; i++)
		counts[wr_random_below(&r, 7)]++;
	for (int i = 0; i < 7; i++)
		wrong += counts[i] < 9500 || counts[i] > 10500;
	is_int(wrong, 0);
	is_int(wr_random_below(&r, 1), 0);
	wrong = 0;
	for (int i = 0; i < 1000; i++)
		wrong += wr_random_below(&r, UINT32_MAX) == UINT32_MAX;
	is_int(wrong, 0);
}

int
main(void)
{
	siphash_agrees_with_the_reference();
	numbers_are_spread();
	random_numbers_follow_their_seed();
	choices_are_even_and_in_range();
	return tap_done();
}
