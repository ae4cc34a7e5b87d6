/* SPDX-License-Identifier: BSD-2-Clause */
#include "wire/get.h"

#include "tap.h"

#define HOST "Host: a\r\n"
#define END  "\r\n\r\n"
#define K    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define K4   K K K K K K K K K K K K K K K K

/* Bytes, how they are answered (200: complete), and the path. */
#define CASE(bytes, status, path)                                              \
	{                                                                      \
		bytes, sizeof(bytes) - 1, status, path                         \
	}

static const struct {
	const char *bytes;
	size_t len;
	int status;
	const char *path;
} cases[] = {
	CASE("GET / HTTP/1.1\r\n" HOST "\r\n", 200, "/"),
	CASE("HEAD /metrics HTTP/1.1\r\nhost:a:80" END, 200, "/metrics"),
	CASE("GET /status.json HTTP/1.0" END, 200, "/status.json"),
	CASE("GET /status.json?a=/b?c HTTP/1.0" END, 200, "/status.json"),
	CASE("GET /?x HTTP/1.0" END, 200, "/"),
	CASE("GET /" K " HTTP/1.0" END, 200, ""),
	CASE("GET /" K4 "?" K4 K4 K4 " HTTP/1.0" END, 200, ""),
	CASE("GET / HTTP/1.1\r\nHost:\t [::1]:9090 \t" END, 200, "/"),
	CASE("GET / HTTP/1.1\r\n" HOST "X:\x80\xff\ty \r\n\r\n", 200, "/"),
	CASE("GET / HTTP/1.1\r\n" HOST K ": y\r\nX:" K4 END, 200, "/"),
	CASE("GET / HTTP/1.1\r\n" HOST "Content-Length: 00\r\n\r\n", 200, "/"),
	CASE("GET / HTTP/1.1\r\n" HOST "Transfer_Encoding: chunked" END, 200,
	    "/"),
	/* Lines. */
	CASE("GET /\r\n", 400, NULL),
	CASE("GET / \r\n", 400, NULL),
	CASE("GET / HTTP/1.1\n", 400, NULL),
	CASE("GET / HTTP/1.1\rX", 400, NULL),
	CASE("GET / HTTP/1.1 \r\n", 400, NULL),
	CASE("GET  / HTTP/1.1\r\n", 400, NULL),
	CASE("GET /  HTTP/1.1\r\n", 400, NULL),
	CASE("GET\t/ HTTP/1.1\r\n", 400, NULL),
	CASE(" GET / HTTP/1.1\r\n", 400, NULL),
	CASE("\r\nGET / HTTP/1.1\r\n", 400, NULL),
	CASE("\0", 400, NULL),
	CASE("\x16\x03\x01\x02", 400, NULL),
	CASE("GET /\0 HTTP/1.1\r\n", 400, NULL),
	CASE("GET /\x7f HTTP/1.1\r\n", 400, NULL),
	CASE("GET /\xc3\xa4 HTTP/1.1\r\n", 400, NULL),
	CASE("GET /a#b HTTP/1.1\r\n", 400, NULL),
	CASE("GET / hTTP/1.1\r\n", 400, NULL),
	CASE("GET / HTTP/01.1\r\n", 400, NULL),
	CASE("GET / HTTP/1.1.\r\n", 400, NULL),
	CASE("GET / HTTP/1\r\n", 400, NULL),
	CASE("GET / HTTP/2.0\r\n" HOST "\r\n", 505, NULL),
	CASE("GET / HTTP/1.9\r\n" HOST "\r\n", 505, NULL),
	CASE("GET / HTTP/0.9\r\n" HOST "\r\n", 505, NULL),
	/* Targets and methods. */
	CASE("GET a HTTP/1.0" END, 400, NULL),
	CASE("GET * HTTP/1.0" END, 400, NULL),
	CASE("GET ? HTTP/1.0" END, 400, NULL),
	CASE("GET http://a/ HTTP/1.1\r\n" HOST "\r\n", 400, NULL),
	CASE("CONNECT a:443 HTTP/1.1\r\n" HOST "\r\n", 405, NULL),
	CASE("OPTIONS * HTTP/1.1\r\n" HOST "\r\n", 405, NULL),
	CASE("TRACE / HTTP/1.1\r\n" HOST "\r\n", 405, NULL),
	CASE("get / HTTP/1.1\r\n" HOST "\r\n", 405, NULL),
	CASE("POST / HTTP/1.1\r\n" HOST "Content-Length: 5" END, 405, NULL),
	CASE("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked" END, 405,
	    NULL),
	CASE("VERSION-CONTROL / HTTP/1.1\r\n", 501, NULL),
	CASE("G(T / HTTP/1.1\r\n", 400, NULL),
	CASE("G\xffT / HTTP/1.1\r\n", 400, NULL),
	/* Hosts. */
	CASE("GET / HTTP/1.1" END, 400, NULL),
	CASE("GET / HTTP/1.1\r\n" HOST HOST "\r\n", 400, NULL),
	CASE("GET / HTTP/1.0\r\n" HOST HOST "\r\n", 400, NULL),
	CASE("GET / HTTP/1.1\r\nHost:" END, 400, NULL),
	CASE("GET / HTTP/1.1\r\nHost: a, b" END, 400, NULL),
	CASE("GET / HTTP/1.1\r\nHost: u@a" END, 400, NULL),
	CASE("GET / HTTP/1.1\r\nHost: a/b" END, 400, NULL),
	CASE("GET / HTTP/1.1\r\nHost: [::1" END, 400, NULL),
	CASE("GET / HTTP/1.1\r\nHost: []" END, 400, NULL),
	CASE("GET / HTTP/1.1\r\nHost: [::1]x" END, 400, NULL),
	CASE("GET / HTTP/1.1\r\nHost: a:99999" END, 400, NULL),
	CASE("GET / HTTP/1.1\r\nHost: a:8o" END, 400, NULL),
	CASE("GET / HTTP/1.1\r\nHost: :80" END, 400, NULL),
	CASE("GET / HTTP/1.1\r\nHost: " K K K K END, 400, NULL),
	/* Headers. */
	CASE("GET / HTTP/1.1\r\nHost : a\r\n", 400, NULL),
	CASE("GET / HTTP/1.1\r\n: a\r\n", 400, NULL),
	CASE("GET / HTTP/1.1\r\nX\r\n", 400, NULL),
	CASE("GET / HTTP/1.1\r\n X: y\r\n", 400, NULL),
	CASE("GET / HTTP/1.1\r\n" HOST "X: y\r\n z\r\n", 400, NULL),
	CASE("GET / HTTP/1.1\r\n" HOST "X: y\n", 400, NULL),
	CASE("GET / HTTP/1.1\r\n" HOST "X: y\rZ: a\r\n", 400, NULL),
	CASE("GET / HTTP/1.1\r\n" HOST "X: \0\r\n", 400, NULL),
	CASE("GET / HTTP/1.1\r\n" HOST "X: \x07\r\n", 400, NULL),
	CASE("GET / HTTP/1.1\r\n" HOST "X(: y\r\n", 400, NULL),
	CASE("GET / HTTP/1.1\r\n" HOST "X\xe4: y\r\n", 400, NULL),
	CASE("GET / HTTP/1.1\r\n" HOST "\rX", 400, NULL),
	CASE("GET / HTTP/1.1\r\n" HOST "\n", 400, NULL),
/* A body. */
#define GET "GET / HTTP/1.1\r\n" HOST
	CASE(GET "Content-Length: 5" END, 400, NULL),
	CASE(GET "Content-Length: 0\r\nContent-Length: 0" END, 400, NULL),
	CASE(GET "Content-Length:" END, 400, NULL),
	CASE(GET "Content-Length: 0, 0" END, 400, NULL),
	CASE(GET "Content-Length: +0" END, 400, NULL),
	CASE(GET "Content-Length: -0" END, 400, NULL),
	CASE(GET "Content-Length: 0x0" END, 400, NULL),
	CASE(GET "Content-Length: 0 0" END, 400, NULL),
	CASE(GET "Content-Length: 18446744073709551616" END, 400, NULL),
	CASE(GET "Transfer-Encoding: chunked" END, 501, NULL),
	CASE(GET "transfer-encoding: gzip,\tChunked" END, 501, NULL),
	CASE(GET "Transfer-Encoding: chunked, gzip" END, 400, NULL),
	CASE(GET "Transfer-Encoding: xchunked" END, 400, NULL),
	CASE(GET "Transfer-Encoding: chunked," END, 400, NULL),
	CASE(GET "Transfer-Encoding: identity" END, 400, NULL),
	CASE(GET "Transfer-Encoding: \vchunked" END, 400, NULL),
	CASE(GET "Transfer-Encoding : chunked" END, 400, NULL),
	CASE(GET "Transfer-Encoding: chunked\r\nTransfer-Encoding: x" END, 400,
	    NULL),
	CASE(GET "Content-Length: 0\r\nTransfer-Encoding: chunked" END, 400,
	    NULL),
	CASE("GET / HTTP/1.0\r\nTransfer-Encoding: chunked" END, 400, NULL),
	/* Too much. */
	CASE("GET /" K4 K4 K4 K4 K4 K4 K4 K4 " HTTP/1.0" END, 431, NULL),
	CASE(GET "X: " K4 K4 K4 K4 K4 K4 K4 K4 END, 431, NULL),
	CASE(GET K4 K4 K4 K4 K4 K4 K4 K4 ": x" END, 431, NULL),
	/* Not yet. */
	CASE("", 0, NULL),
	CASE("GET", 0, NULL),
	CASE("GET / HTTP/1.1\r\n", 0, NULL),
	CASE("GET / HTTP/1.1\r\n" HOST "\r", 0, NULL),
};

/* In pieces of `step` bytes: the status, 0 as long as more is needed. */
static int
feed(struct wr_get *g, const char *bytes, size_t len, size_t step)
{
	wr_get_init(g);
	for (size_t at = 0; at < len; at += step) {
		size_t n = len - at < step ? len - at : step;
		int res = wr_get_feed(g, (const uint8_t *)bytes + at, n);

		if (res < 0)
			return g->status;
		if (res > 0)
			return at + (size_t)res == len ? 200 : -1;
	}
	return 0;
}

static void
each_case_is_what_it_should_be(void)
{
	static const size_t steps[] = { WR_GET_MAX * 4, 1, 2, 7 };

	for (size_t i = 0; i < WR_COUNT(cases); i++) {
		struct wr_get g;
		bool good = true;

		for (size_t k = 0; k < WR_COUNT(steps); k++) {
			int got =
			    feed(&g, cases[i].bytes, cases[i].len, steps[k]);

			good &=
			    got == cases[i].status &&
			    (got != 200 || strcmp(g.path, cases[i].path) == 0);
			if (got != cases[i].status)
				diag("case %zu, pieces of %zu: %d, not %d", i,
				    steps[k], got, cases[i].status);
		}
		tap_ok(good, cases[i].len > 0 ? "case" : "nothing", __FILE__,
		    __LINE__);
	}
}

static void
what_it_says_is_kept(void)
{
	struct wr_get g;

	is_int(feed(&g, cases[1].bytes, cases[1].len, 1), 200);
	ok(g.head && g.minor == 1);
	is_int(feed(&g, cases[2].bytes, cases[2].len, 1), 200);
	ok(!g.head && g.minor == 0);
}

static void
the_rest_is_not_eaten(void)
{
	static const char two[] = GET "\r\n" GET "\r\n";
	struct wr_get g;

	wr_get_init(&g);
	is_int(wr_get_feed(&g, (const uint8_t *)two, sizeof(two) - 1),
	    (sizeof(two) - 1) / 2);
}

/* Exactly as long as it may be, and one byte more. */
static void
the_longest_head(void)
{
	static char bytes[WR_GET_MAX + 2];
	static const char begin[] = GET "X: ";
	struct wr_get g;

	for (size_t len = WR_GET_MAX; len <= WR_GET_MAX + 1; len++) {
		(void)memset(bytes, 'x', len);
		(void)memcpy(bytes, begin, sizeof(begin) - 1);
		(void)memcpy(bytes + len - 4, END, 4);
		is_int(feed(&g, bytes, len, 1), len > WR_GET_MAX ? 431 : 200);
	}
}

static uint64_t seed = 88172645463325252u;

static uint64_t
next(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	return seed ^= seed << 17;
}

/* Whatever comes, in whatever pieces: one answer, of those there are. */
static void
noise_is_refused_alike_in_all_pieces(void)
{
	static const int answers[] = { 0, -1, 200, 400, 405, 431, 501, 505 };
	static char bytes[WR_GET_MAX * 2];
	bool same = true, known = true;

	for (int i = 0; i < 20000; i++) {
		size_t pick = next() % WR_COUNT(cases), len = cases[pick].len;
		struct wr_get a, b;
		bool one = false;
		int got;

		(void)memcpy(bytes, cases[pick].bytes, len);
		for (uint64_t n = next() % 4; n > 0 && len > 0; n--)
			bytes[next() % len] =
			    (char)(next() % 3 > 0 ? "\r\n :/,\t0"[next() % 8]
						  : (int)(next() % 256));
		got = feed(&a, bytes, len, len + 1);
		same &= got == feed(&b, bytes, len, 1) &&
			a.status == b.status && strcmp(a.path, b.path) == 0;
		for (size_t k = 0; k < WR_COUNT(answers); k++)
			one |= got == answers[k];
		known &= one;
	}
	ok(same);
	ok(known);
}

int
main(void)
{
	each_case_is_what_it_should_be();
	what_it_says_is_kept();
	the_rest_is_not_eaten();
	the_longest_head();
	noise_is_refused_alike_in_all_pieces();
	return tap_done();
}
