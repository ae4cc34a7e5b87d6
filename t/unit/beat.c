/* SPDX-License-Identifier: BSD-2-Clause */
#include "wire/beat.h"

#include <stdio.h>

#include "tap.h"

#define GOOD "upstream=app name=web-1 address=10.0.0.5:80 time=7 nonce=12345678"
#define HMAC                                                                   \
	" hmac=000102030405060708090a0b0c0d0e0f"                               \
	"101112131415161718191a1B1c1d1e1f"

static struct wr_beat_line b;

static bool
parses(const char *z)
{
	return wr_beat_parse(&b, wr_str_of(z)) == 0;
}

static void
a_line_tells_who_and_how_busy(void)
{
	ok(parses(GOOD HMAC));
	ok(wr_str_is(b.upstream, "app") && wr_str_is(b.name, "web-1"));
	ok(b.weight == 1 && b.load == 0 && !b.leaving && b.time_s == 7);
	ok(wr_addr_port(&b.address) == 80);
	ok(wr_str_is(b.text, GOOD));
	ok(b.hmac[0] == 0 && b.hmac[27] == 0x1b && b.hmac[31] == 0x1f);
	ok(parses(GOOD " weight=3 load=100 leaving=1" HMAC));
	ok(b.weight == 3 && b.load == 100 && b.leaving);
}

static void
what_is_not_quite_a_line_is_none(void)
{
	static const char *const bad[] = { "", " ", "hmac=", HMAC, GOOD,
		GOOD HMAC "0", GOOD HMAC " ", GOOD " " HMAC, " " GOOD HMAC,
		GOOD " time=8" HMAC, GOOD " more=1" HMAC, GOOD " weight" HMAC,
		GOOD " weight=0" HMAC, GOOD " weight=1001" HMAC,
		GOOD " weight=" HMAC, GOOD " load=101" HMAC,
		GOOD " leaving=2" HMAC, GOOD " load=-1" HMAC,
		"name=a address=10.0.0.5:80 time=7 nonce=12345678" HMAC,
		"upstream=app name=a address=10.0.0.5:80 time=7" HMAC,
		"upstream=app name=a address=10.0.0.5 time=7 "
		"nonce=12345678" HMAC,
		"upstream=app name=a address=unix:/x time=7 "
		"nonce=12345678" HMAC,
		"upstream=app name=a/b address=10.0.0.5:80 time=7 "
		"nonce=12345678" HMAC,
		"upstream=app name=a address=10.0.0.5:80 time=99999999999 "
		"nonce=12345678" HMAC };

	for (size_t i = 0; i < WR_COUNT(bad); i++)
		if (parses(bad[i]))
			is_str(bad[i], "refused");
	ok(true);
}

static void
every_cut_of_a_line_is_none(void)
{
	const char *z = GOOD HMAC;

	for (size_t n = 0; n < strlen(z); n++)
		if (wr_beat_parse(&b, (struct wr_str){ z, n }) == 0)
			is_int(n, strlen(z));
	ok(true);
}

int
main(void)
{
	a_line_tells_who_and_how_busy();
	what_is_not_quite_a_line_is_none();
	every_cut_of_a_line_is_none();
	return tap_done();
}
