/* SPDX-License-Identifier: BSD-2-Clause */
#include "modules/health/probe.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>

#include "io/sock.h"
#include "t/unit/tap.h"

/* A time-out that no test waits for. */
#define LONG_MS  20000
#define QUICK_US 10000000

static struct wr_loop *l;
static uint8_t place[WR_PROBE_BYTES];
static enum wr_probed how;
static bool over;

/* What a server does with its one client. */
typedef void serve_fn(int fd, const void *arg);

static void
write_all(int fd, const void *p, size_t len)
{
	const char *z = p;

	while (len > 0) {
		ssize_t n = write(fd, z, len);

		if (n <= 0)
			_exit(0);
		z += n;
		len -= (size_t)n;
	}
}

static void
read_until(int fd, const char *end)
{
	char got[4096] = "";
	size_t len = 0;

	while (strstr(got, end) == NULL && len < sizeof(got) - 1) {
		ssize_t n = read(fd, got + len, 1);

		if (n <= 0)
			_exit(0);
		got[++len] = '\0';
	}
}

static void
nap_ms(long ms)
{
	struct timespec ts = { 0, ms * 1000000 };

	(void)nanosleep(&ts, NULL);
}

/* Say `arg` to a question that ends with an empty line, and end. */
static void
says(int fd, const void *arg)
{
	read_until(fd, "\r\n\r\n");
	write_all(fd, arg, strlen(arg));
}

static void
greets(int fd, const void *arg)
{
	write_all(fd, arg, strlen(arg));
	read_until(fd, "QUIT\r\n");
	write_all(fd, "221 bye\r\n", 9);
}

static void
byte_by_byte(int fd, const void *arg)
{
	const char *z = arg;

	read_until(fd, "\r\n\r\n");
	for (; *z != '\0'; z++) {
		write_all(fd, z, 1);
		nap_ms(1);
	}
}

static void
endless(int fd, const void *arg)
{
	for (;;)
		write_all(fd, arg, strlen(arg));
}

static void
mute(int fd, const void *arg)
{
	char c;

	(void)arg;
	while (read(fd, &c, 1) > 0)
		;
}

static void
resets(int fd, const void *arg)
{
	(void)arg;
	read_until(fd, "\r\n\r\n");
	wr_sock_reset_on_close(fd);
}

/* Has something to say, and ends; whatever it was asked. */
static void
leaves(int fd, const void *arg)
{
	write_all(fd, arg, strlen(arg));
}

static void
resets_at_once(int fd, const void *arg)
{
	write_all(fd, arg, strlen(arg));
	wr_sock_reset_on_close(fd);
}

static void
on_done(struct wr_probe *p, enum wr_probed h)
{
	(void)p;
	how = h;
	over = true;
}

static pid_t
server(int lsn, serve_fn *fn, const void *arg)
{
	pid_t pid = fork();
	int fd;

	if (pid != 0)
		return pid;
	(void)alarm(10);
	(void)signal(SIGPIPE, SIG_IGN);
	(void)!wr_sock_nonblock(lsn, false);
	fd = accept(lsn, NULL, NULL);
	if (fd >= 0)
		fn(fd, arg);
	_exit(0);
}

static struct wr_addr
local(int *lsn)
{
	struct wr_addr a;

	(void)!wr_addr_parse(&a, WR_STR("127.0.0.1"), 1);
	wr_addr_set_port(&a, 0);
	*lsn = wr_sock_bind(&a, 0, 0);
	if (*lsn < 0 || wr_sock_listen(*lsn, 8) < 0 ||
	    wr_sock_name(*lsn, &a) < 0)
		abort();
	return a;
}

static struct wr_probe probe;

/* Check a server that behaves so; the cause. */
static const char *
check(struct wr_health_conf c, serve_fn *fn, const void *arg)
{
	struct wr_patterns patterns;
	int lsn;
	struct wr_addr to = local(&lsn);
	pid_t pid = server(lsn, fn, arg);

	(void)close(lsn);
	probe = (struct wr_probe){ .conf = &c,
		.patterns = &patterns,
		.host = "test",
		.done = on_done };
	over = false;
	if (wr_patterns_init(&patterns, &c) < 0 ||
	    wr_probe_start(&probe, l, &to, place) < 0)
		abort();
	while (!over)
		wr_loop_turn(l, -1);
	wr_patterns_fini(&patterns);
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, NULL, 0);
	return probe.why;
}

/* -- HTTP ---------------------------------------------------------------- */

static const struct wr_health_range good_range = { 200, 399 };

static struct wr_health_conf
http(const char *body)
{
	return (struct wr_health_conf){ .type = WR_CHECK_HTTP,
		.timeout_ms = 2000,
		.method = "GET",
		.uri = "/",
		.host = "",
		.body = body,
		.ranges = &good_range,
		.n_ranges = 1 };
}

static void
a_status_is_enough(void)
{
	is_str(
	    check(http(""), says, "HTTP/1.1 204 No Content\r\n"), "status 204");
	is_int(how, WR_PROBE_GOOD);
	is_str(check(http(""), says, "HTTP/1.0 503 No\r\n\r\n"), "status 503");
	is_int(how, WR_PROBE_BAD);
	is_str(check(http(""), says,
		   "HTTP/1.1 103 Early\r\nlink: x\r\n\r\n"
		   "HTTP/1.1 200 OK\r\n\r\n"),
	    "status 200");
	is_int(how, WR_PROBE_GOOD);
}

static void
what_is_not_http_fails(void)
{
	is_str(check(http(""), says, "SSH-2.0-x\r\n"),
	    "not an HTTP answer: \"SSH-2.0-x\\r\\n\"");
	is_int(how, WR_PROBE_BAD);
	(void)check(http(""), says, "HTTP/1.1 2000 OK\r\n\r\n");
	is_int(how, WR_PROBE_BAD);
	(void)check(http(""), says, "HTTP/1.1  200 OK\r\n\r\n");
	is_int(how, WR_PROBE_BAD);
	is_str(check(http(""), says, ""), "closed without an answer");
	is_int(how, WR_PROBE_BAD);
	(void)check(http(""), resets, NULL);
	is_int(how, WR_PROBE_BAD);
	diag("%s", probe.why);
}

static void
a_body_is_looked_at(void)
{
	(void)check(
	    http("^ready$"), says, "HTTP/1.1 200 OK\r\nA: b\r\n\r\nready");
	is_int(how, WR_PROBE_GOOD);
	is_str(check(http("^ready$"), says,
		   "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nnot read"),
	    "status 200, the body does not match");
	is_int(how, WR_PROBE_BAD);
	(void)check(http("^ready$"), says,
	    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	    "2;x=y\r\nre\r\n3\r\nady\r\n0\r\n\r\n");
	is_int(how, WR_PROBE_GOOD);
	(void)check(http("ready"), says,
	    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	    "fffffffff\r\nrea");
	is_int(how, WR_PROBE_BAD);
}

static void
bytes_may_be_slow(void)
{
	(void)check(http("lazy dog$"), byte_by_byte,
	    "HTTP/1.1 200 OK\r\nContent-Length: 44\r\n\r\n"
	    "The quick brown fox jumps over the lazy dog");
	is_int(how, WR_PROBE_GOOD);
	diag("%u looks", probe.looks);
	ok(probe.looks < 64);
}

/* The limit of time is the one that counts. */
static void
a_hostile_server_costs_little(void)
{
	struct wr_health_conf c = http("never");
	static char head[20000] = "HTTP/1.1 200 OK\r\n\r\n";
	struct timespec before, after;
	long ms;

	memset(head + 19, 'x', sizeof(head) - 20);
	(void)check(c, says, head);
	is_int(how, WR_PROBE_BAD);
	diag("%s", probe.why);
	c.timeout_ms = 300;
	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
	(void)check(c, endless, "HTTP/1.1 100 Continue\r\n\r\n");
	is_str(probe.why, "nothing but status 100");
	(void)check(c, endless, "x: y\r\n");
	is_int(how, WR_PROBE_BAD);
	(void)check(c, endless, "HTTP/1.1 200 OK\r\nx: y\r\n");
	is_int(how, WR_PROBE_BAD);
	head[150] = '!';
	(void)check(http("^(x+)+$"), says, head);
	is_str(probe.why, "the regex for the body takes too long");
	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
	ms = (after.tv_sec - before.tv_sec) * 1000 +
	     (after.tv_nsec - before.tv_nsec) / 1000000;
	diag("%ld ms of CPU", ms);
	ok(ms < 1000);
	is_str(check(c, mute, NULL),
	    "time-out after 300 ms: waiting for a status");
	is_int(how, WR_PROBE_BAD);
}

/* -- Script -------------------------------------------------------------- */

#define BYTES(z)                                                               \
	{                                                                      \
		(const uint8_t *)(z), sizeof(z) - 1                            \
	}

static struct wr_health_conf
script(struct wr_health_step *steps, uint32_t n)
{
	return (struct wr_health_conf){ .type = WR_CHECK_SCRIPT,
		.timeout_ms = 300,
		.steps = { steps, n } };
}

static void
steps_follow_one_another(void)
{
	struct wr_health_step v[] = {
		{ "", "^220 .* ESMTP", { NULL, 0 }, { NULL, 0 } },
		{ "", "hex:32 32 30", { NULL, 0 }, BYTES("220") },
		{ "x", "", BYTES("NOOP\r\n"), { NULL, 0 } },
		{ "x", "^221", BYTES("QUIT\r\n"), { NULL, 0 } },
	};

	is_str(
	    check(script(v, 4), greets, "220 mx ESMTP\r\n"), "script passed");
	is_int(how, WR_PROBE_GOOD);
	is_str(check(script(v, 4), greets, "554 no\r\n"),
	    "time-out after 300 ms: step 1 of 4, after \"554 no\\r\\n\"");
	is_int(how, WR_PROBE_BAD);
	is_str(check(script(v, 4), mute, NULL),
	    "time-out after 300 ms: step 1 of 4");
	is_int(how, WR_PROBE_BAD);
	/* What was said before the send is forgotten. */
	v[3].expect_text = "220 mx";
	(void)check(script(v, 4), greets, "220 mx ESMTP\r\n");
	is_int(how, WR_PROBE_BAD);
	diag("%s", probe.why);
}

static void
a_flood_without_a_match_fails(void)
{
	struct wr_health_step v[] = { { "", "y", { NULL, 0 }, { NULL, 0 } } };

	struct wr_health_conf c = script(v, 1);

	c.timeout_ms = LONG_MS;
	(void)check(c, endless, "xxxxxxxxxxxxx\r\n");
	is_int(how, WR_PROBE_BAD);
	ok(probe.took_us < QUICK_US);
	is_str(probe.why, "step 1 of 1: no match in the first 16k, which begin "
			  "\"xxxxxxxxxxxxx\\r\\nxxxxxxxxxxxxx\\r\\nxx\"");
	v[0] = (struct wr_health_step){ "", "hex:79", { NULL, 0 }, BYTES("y") };
	(void)check(c, endless, "xxxxxxxxxxxxx\r\n");
	is_int(how, WR_PROBE_BAD);
	ok(probe.took_us < QUICK_US);
}

/* What cannot come any more is not waited for. */
static void
a_server_that_ends_fails_at_once(void)
{
	struct wr_health_step v[] = {
		{ "", "^220", { NULL, 0 }, { NULL, 0 } },
		{ "x", "", BYTES("NOOP\r\n"), { NULL, 0 } },
		{ "x", "^250", BYTES("EHLO\r\n"), { NULL, 0 } },
	};
	struct wr_health_conf c = script(v, 3);

	c.timeout_ms = LONG_MS;
	is_str(check(c, leaves, "554 go away\x01\r\n"),
	    "step 1 of 3: the server ended, after \"554 go away\\x01\\r\\n\"");
	is_int(how, WR_PROBE_BAD);
	is_str(check(c, leaves, ""), "step 1 of 3: the server ended");
	/* In whatever order we hear that it did. */
	for (int i = 0; i < 20; i++) {
		(void)check(c, leaves, "220 hello\r\n");
		is_int(how, WR_PROBE_BAD);
		ok(probe.took_us < QUICK_US);
		(void)check(script(&v[1], 1), resets_at_once, "");
		ok(probe.took_us < QUICK_US);
		(void)check(c, resets_at_once, "220 hello\r\n");
		is_int(how, WR_PROBE_BAD);
		ok(probe.took_us < QUICK_US);
	}
	diag("%s", probe.why);
}

/* -- Others -------------------------------------------------------------- */

static void
to_connect_is_enough_for_tcp(void)
{
	struct wr_health_conf c = { .type = WR_CHECK_TCP, .timeout_ms = 300 };
	int lsn;
	struct wr_addr to = local(&lsn);

	is_str(check(c, mute, NULL), "connected");
	is_int(how, WR_PROBE_GOOD);
	/* The port is free again and refuses. */
	(void)close(lsn);
	over = false;
	probe.conf = &c;
	ok(wr_probe_start(&probe, l, &to, place) == 0);
	while (!over)
		wr_loop_turn(l, -1);
	is_str(probe.why, "connect: Connection refused");
	is_int(how, WR_PROBE_BAD);
}

static void
who_does_not_speak_tls_fails(void)
{
	struct wr_health_conf c = {
		.type = WR_CHECK_TLS, .timeout_ms = 300, .host = "test"
	};

	(void)check(c, endless, "220 hello, this is no TLS\r\n");
	is_int(how, WR_PROBE_BAD);
	diag("%s", probe.why);
	is_str(check(c, mute, NULL), "time-out after 300 ms: TLS handshake");
	is_int(how, WR_PROBE_BAD);
}

static void
a_stopped_probe_ends_once(void)
{
	struct wr_health_conf c = { .type = WR_CHECK_SCRIPT,
		.timeout_ms = 300 };
	int lsn;
	struct wr_addr to = local(&lsn);

	probe.conf = &c;
	over = false;
	ok(wr_probe_start(&probe, l, &to, place) == 0);
	wr_probe_stop(&probe);
	wr_probe_stop(&probe);
	ok(!over);
	while (!over)
		wr_loop_turn(l, -1);
	is_int(how, WR_PROBE_STOPPED);
	(void)close(lsn);
}

int
main(void)
{
	struct wr_loop_conf c = { .backend = "auto", .socks_max = 64 };

	l = wr_loop_new(&c);
	if (l == NULL)
		abort();
	a_status_is_enough();
	what_is_not_http_fails();
	a_body_is_looked_at();
	bytes_may_be_slow();
	a_hostile_server_costs_little();
	steps_follow_one_another();
	a_flood_without_a_match_fails();
	a_server_that_ends_fails_at_once();
	to_connect_is_enough_for_tcp();
	who_does_not_speak_tls_fails();
	a_stopped_probe_ends_once();
	wr_loop_free(&l);
	ok(l == NULL);
	return tap_done();
}
