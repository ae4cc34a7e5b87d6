/* SPDX-License-Identifier: BSD-2-Clause */
#include "modules/health/health.h"

#include <errno.h>

#include "t/unit/tap.h"

static const struct wr_health_conf preset = { .on = true,
	.interval_ms = 2000,
	.fast_ms = 500,
	.timeout_ms = 1000,
	.fall = 3,
	.rise = 2 };

static void
the_first_check_decides_alone(void)
{
	uint32_t streak = 7;

	is_int(wr_health_after(&preset, WR_HEALTH_CHECKING, true, &streak),
	    WR_HEALTH_UP);
	is_int(streak, 0);
	is_int(wr_health_after(&preset, WR_HEALTH_CHECKING, false, &streak),
	    WR_HEALTH_DOWN);
	is_int(streak, 0);
}

static void
fall_and_rise_count_in_a_row(void)
{
	uint32_t streak = 0;
	enum wr_health h = WR_HEALTH_UP;
	static const bool good[] = { false, false, true, false, false, false,
		true, false, true, true };
	static const enum wr_health want[] = { WR_HEALTH_UP, WR_HEALTH_UP,
		WR_HEALTH_UP, WR_HEALTH_UP, WR_HEALTH_UP, WR_HEALTH_DOWN,
		WR_HEALTH_DOWN, WR_HEALTH_DOWN, WR_HEALTH_DOWN, WR_HEALTH_UP };

	for (size_t i = 0; i < WR_COUNT(good); i++) {
		h = wr_health_after(&preset, h, good[i], &streak);
		is_int(h, want[i]);
	}
}

static void
doubt_makes_it_fast(void)
{
	struct wr_health_conf c = preset;

	is_int(wr_health_period_ms(&c, WR_HEALTH_UP, 0), 2000);
	is_int(wr_health_period_ms(&c, WR_HEALTH_UP, 1), 500);
	is_int(wr_health_period_ms(&c, WR_HEALTH_DOWN, 1), 500);
	is_int(wr_health_period_ms(&c, WR_HEALTH_CHECKING, 0), 500);
	/* Even with jitter, and the second good check, back in an interval. */
	is_int(wr_health_period_ms(&c, WR_HEALTH_DOWN, 0) * 9 / 8 + 500, 1999);
	c.rise = 1;
	is_int(wr_health_period_ms(&c, WR_HEALTH_DOWN, 0), 1777);
	c.rise = 100;
	is_int(wr_health_period_ms(&c, WR_HEALTH_DOWN, 0), 500);
	c.interval_ms = 100;
	is_int(wr_health_period_ms(&c, WR_HEALTH_UP, 1), 100);
}

/* Play the clock: a check is done at once when it is due. */
static void
one_check_in_each_period(void)
{
	struct wr_random r;
	struct wr_pace p;
	uint64_t now, last;
	unsigned off = 0;

	wr_random_seed(&r, 1);
	now = wr_pace_first(&p, &r, 1000, 10);
	ok(now >= 1000 && now <= 1010);
	last = now;
	now = wr_pace_next(&p, &r, now, 2000, true);
	ok(now > last && now <= last + 2000);
	last = p.grid_ms;
	for (unsigned i = 1; i <= 1000; i++) {
		now = wr_pace_next(&p, &r, now, 2000, true);
		off += now < last + i * 2000 || now > last + i * 2000 + 250;
	}
	is_int(off, 0);
	/* In doubt, the next one comes when it is said to. */
	last = p.grid_ms;
	is_int(wr_pace_next(&p, &r, now, 500, false), last + 500);
	is_int(wr_pace_next(&p, &r, last + 500, 500, false), last + 1000);
}

static void
a_slow_check_delays_and_never_overlaps(void)
{
	struct wr_random r;
	struct wr_pace p = { .grid_ms = 10000, .period_ms = 0 };

	wr_random_seed(&r, 2);
	is_int(wr_pace_next(&p, &r, 11000, 500, false), 11500);
	is_int(wr_pace_next(&p, &r, 20001, 500, false), 20500);
}

static void
servers_that_start_together_leave_each_other(void)
{
	enum {
		N = 1000,
		PARTS = 10
	};
	struct wr_random r;
	unsigned n[PARTS] = { 0 }, most = 0;

	wr_random_seed(&r, 3);
	for (unsigned i = 0; i < N; i++) {
		struct wr_pace p;
		uint64_t at = wr_pace_first(&p, &r, 0, 0);

		at = wr_pace_next(&p, &r, at, 2000, true);
		n[(at - 1) * PARTS / 2000]++;
	}
	for (unsigned i = 0; i < PARTS; i++)
		most = n[i] > most ? n[i] : most;
	diag("at most %u of %u in a tenth of the interval", most, N);
	ok(most < N / PARTS * 2);
}

static void
bytes_are_read_as_written(void)
{
	static const struct {
		const char *text, *bytes;
		int len;
	} t[] = {
		{ "PING\\r\\n", "PING\r\n", 6 },
		{ "a\\x00b\\0\\t\\\\", "a\0b\0\t\\", 6 },
		{ "hex:0a 0B  ff00", "\n\v\xff\0", 4 },
		{ "hex:", "", 0 },
		{ "", "", 0 },
		{ "hex:0", NULL, -EINVAL },
		{ "hex:0 a", NULL, -EINVAL },
		{ "hex:zz", NULL, -EINVAL },
		{ "\\", NULL, -EINVAL },
		{ "\\x0", NULL, -EINVAL },
		{ "\\q", NULL, -EINVAL },
		{ "\\", NULL, -EINVAL },
	};
	uint8_t bytes[64];

	for (size_t i = 0; i < WR_COUNT(t); i++) {
		int n = wr_health_decode(
		    t[i].text, bytes, (uint32_t)strlen(t[i].text));

		is_int(n, t[i].len);
		ok(n < 0 || memcmp(bytes, t[i].bytes, (size_t)n) == 0);
	}
}

static struct wr_addr
addr(const char *text)
{
	struct wr_addr a;

	ok(wr_addr_parse(&a, wr_str_of(text), 1) == 0);
	return a;
}

static const char *
target(const struct wr_health_conf *c)
{
	static char text[WR_ADDR_TEXT];
	struct wr_addr server = addr("10.0.0.5:80");
	struct wr_addr a = wr_health_target(c, &server);

	return wr_addr_text(&a, text, sizeof(text));
}

static void
a_check_may_go_elsewhere(void)
{
	struct wr_health_conf c = preset;

	is_str(target(&c), "10.0.0.5:80");
	c.port = 8008;
	is_str(target(&c), "10.0.0.5:8008");
	c.to = addr("10.9.9.9:1");
	is_str(target(&c), "10.9.9.9:8008");
	c.port = 0;
	is_str(target(&c), "10.9.9.9:80");
	c.to_has_port = true;
	is_str(target(&c), "10.9.9.9:1");
	c.to = addr("unix:/run/x");
	is_str(target(&c), "unix:/run/x");
}

static void
only_another_question_is_another_check(void)
{
	struct wr_health_step ping = { "PING", "PONG", { NULL, 0 },
		{ NULL, 0 } };
	struct wr_health_conf c = preset;
	struct wr_addr server = addr("10.0.0.5:80"),
		       other = addr("10.0.0.6:80");
	uint64_t h;

	c.address = c.host = c.body = "";
	c.method = "GET";
	c.uri = "/";
	h = wr_health_hash(&c, &server);
	c.interval_ms = c.fast_ms = c.timeout_ms = c.rise = c.fall = 99;
	c.uri = "/of/no/meaning/to/tcp";
	ok(wr_health_hash(&c, &server) == h);
	ok(wr_health_hash(&c, &other) != h);
	c.type = WR_CHECK_HTTP;
	ok(wr_health_hash(&c, &server) != h);
	h = wr_health_hash(&c, &server);
	c.uri = "/ready";
	ok(wr_health_hash(&c, &server) != h);
	c.type = WR_CHECK_SCRIPT;
	c.steps = (struct wr_array){ &ping, 1 };
	h = wr_health_hash(&c, &server);
	ping.expect_text = "^PONG";
	ok(wr_health_hash(&c, &server) != h);
}

int
main(void)
{
	the_first_check_decides_alone();
	fall_and_rise_count_in_a_row();
	doubt_makes_it_fast();
	one_check_in_each_period();
	a_slow_check_delays_and_never_overlaps();
	servers_that_start_together_leave_each_other();
	bytes_are_read_as_written();
	a_check_may_go_elsewhere();
	only_another_question_is_another_check();
	return tap_done();
}
