/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/log.h"
#include "fakeconf.h"
#include "fakeloop.h"
#include "modules/modules.h"
#include "proxy/core.h"
#include "tap.h"

static const struct wr_module *const m = &wr_mod_accesslog;
static struct fake_conf f;
static struct wr_proxy px;
static struct wr_session s;
static struct wr_cell names[] = { { .name = "web" },
	{ .name = "it's \"me\"" } };
static const struct wr_stats stats = {
	.listener_cells = names, .upstream_cells = names, .server_cells = names
};
static int fds[2];
static struct wr_slot slot;

static void
start(void)
{
	struct wr_addr a;

	if (pipe2(fds, O_NONBLOCK) < 0 ||
	    wr_addr_parse(&a, WR_STR("192.0.2.7:4000"), -1) < 0)
		abort();
	fake_conf_empty(&f);
	memset(&px, 0, sizeof(px));
	px.loop = fake_new();
	px.gen = &f.gen;
	px.access_fd = fds[1];
	px.stats = &stats;
	px.slot = &slot;
	slot.index = 3;

	memset(&s, 0, sizeof(s));
	s.px = &px;
	s.client_ip = wr_ip_of(&a.sa, a.len);
	s.upstream_cell = 0;
	s.server_cell = 1;
	s.relay.start_ms = wr_proxy_now(&px) - 1500;
	s.relay.end[WR_CLIENT].bytes = 10;
	s.relay.end[WR_SERVER].bytes = 5000000000;
	s.connect_us = 1234;
	s.connected = true;
	s.dial_ms = 3;
	s.tries = 2;
	s.end = WR_END_CLIENT_RELAY_EOF;
	s.log = true;
	is_int(m->worker_start(&px), 0);
}

static void
finish(void)
{
	m->worker_exit(&px);
	is_int(fake_left(px.loop), 0);
	fake_free(&px.loop);
	close(fds[0]);
	close(fds[1]);
}

/* What was written since the last time, with the time of day cut off. */
static const char *
written(void)
{
	static char text[1 << 20];
	ssize_t n;

	fake_turn(px.loop);
	n = read(fds[0], text, sizeof(text) - 1);
	text[n > 0 ? n : 0] = '\0';
	return text;
}

static void
a_line_says_who_where_how_much_and_why(void)
{
	const char *line;

	start();
	m->on_end(&s);
	line = written();
	ok(strlen(line) > 25 && line[10] == 'T' && line[23] == 'Z');
	is_str(line + 24,
	    " web 192.0.2.7:4000 web/it's \"me\" up=10 down=5000000000 wait=3 "
	    "connect=1.234 total=1500 tries=2 client.relay.eof\n");

	/* A session that came nowhere. */
	s.upstream_cell = s.server_cell = WR_OFF;
	s.connected = false;
	s.end = WR_END_CLIENT_ACCEPT_DENIED;
	m->on_end(&s);
	is_str(written() + 24,
	    " web 192.0.2.7:4000 -/- up=10 down=5000000000 wait=3 "
	    "connect=0.000 total=1500 tries=2 client.accept.denied\n");
	finish();
}

static void
json_is_json(void)
{
	const char *line;

	start();
	f.conf.access_log.line.format = WR_LOG_JSON;
	m->worker_use(&px, &f.conf);
	m->on_end(&s);
	line = written();
	ok(strncmp(line, "{\"time\":\"20", 11) == 0);
	is_str(strstr(line, ",\"listener\""),
	    ",\"listener\":\"web\",\"client\":\"192.0.2.7:4000\","
	    "\"upstream\":\"web\",\"server\":\"it's \\\"me\\\"\",\"up\":10,"
	    "\"down\":5000000000,\"wait_ms\":3,\"connect_ms\":1.234,"
	    "\"total_ms\":1500,\"tries\":2,\"end\":\"client.relay.eof\"}\n");
	finish();
}

/* By name; as the configuration has them. */
static void
choose(struct wr_line_conf *line, const char *const *want)
{
	static uint8_t mem[128];
	static uint32_t used;

	line->fields = mem + used;
	for (line->n_fields = 0; want[line->n_fields] != NULL;) {
		uint8_t i = 0;

		while (strcmp(wr_access_fields[i], want[line->n_fields]) != 0)
			i++;
		mem[used++] = i;
		line->n_fields++;
	}
}

static void
fields_can_be_chosen(void)
{
	static const char *const some[] = { "end", "total_ms", "client", NULL };
	static const char *const names_[] = { "server", "upstream", NULL };
	static const char *const more[] = { "port", "client_ip", "client_port",
		"worker", NULL };

	start();
	choose(&f.conf.access_log.line, some);
	m->worker_use(&px, &f.conf);
	m->on_end(&s);
	is_str(written(),
	    "end=client.relay.eof total_ms=1500 client=192.0.2.7:4000\n");
	f.conf.access_log.line.format = WR_LOG_JSON;
	m->on_end(&s);
	is_str(written(), "{\"end\":\"client.relay.eof\",\"total_ms\":1500,"
			  "\"client\":\"192.0.2.7:4000\"}\n");
	/* What is no word is quoted. */
	f.conf.access_log.line.format = WR_LOG_TEXT;
	choose(&f.conf.access_log.line, names_);
	m->on_end(&s);
	is_str(written(), "server=\"it's \\\"me\\\"\" upstream=web\n");
	choose(&f.conf.access_log.line, more);
	s.port = 443;
	m->on_end(&s);
	is_str(written(), "port=443 client_ip=192.0.2.7 client_port=4000 "
			  "worker=3\n");
	finish();
}

/* Every field there is has a value of one word, and is valid JSON. */
static void
all_fields_have_values(void)
{
	struct wr_line_conf *line = &f.conf.access_log.line;
	const char *text;
	uint32_t n = 0;

	start();
	choose(line, wr_access_fields);
	while (wr_access_fields[n] != NULL)
		n++;
	ok(n >= 19 && line->n_fields == n);
	m->worker_use(&px, &f.conf);
	m->on_end(&s);
	text = written();
	for (uint32_t i = 0; i < n; i++) {
		char name[64];

		(void)snprintf(name, sizeof(name), "%s%s=", i > 0 ? " " : "",
		    wr_access_fields[i]);
		text = strstr(text, name);
		ok(text != NULL && text[strlen(name)] > ' ');
	}
	line->format = WR_LOG_JSON;
	m->on_end(&s);
	text = written();
	ok(text[0] == '{' && text[strlen(text) - 2] == '}');
	finish();
}

/* A listener may have lines of its own; one that is gone, or has none, has
 * those of the top. */
static void
a_listener_has_its_own_line(void)
{
	static const char *const top[] = { "end", NULL };
	static const char *const own[] = { "listener", NULL };
	static struct wr_line_conf line;

	start();
	fake_conf_init(&f, 1);
	choose(&f.conf.access_log.line, top);
	choose(&line, own);
	line.skip[WR_END_WEIR_RELAY_IDLE / 64] |=
	    1ull << WR_END_WEIR_RELAY_IDLE % 64;
	f.listener.line = &line;
	f.listener.cell = 1;
	m->worker_use(&px, &f.conf);
	m->on_end(&s);
	is_str(written(), "end=client.relay.eof\n");
	s.listener_cell = 1;
	m->on_end(&s);
	is_str(written(), "listener=\"it's \\\"me\\\"\"\n");
	s.end = WR_END_WEIR_RELAY_IDLE;
	m->on_end(&s);
	is_str(written(), "");
	/* Gone. */
	f.conf.n_listeners = 0;
	m->worker_use(&px, &f.conf);
	m->on_end(&s);
	is_str(written(), "end=weir.relay.idle\n");
	finish();
}

/* Whatever a name is, it stays one line. */
static void
no_name_makes_a_second_line(void)
{
	struct wr_cell bad[] = { { .name = "a\nb\x1b[1m" } };
	struct wr_stats st = stats;

	start();
	st.listener_cells = bad;
	px.stats = &st;
	m->on_end(&s);
	is_int(strncmp(written() + 24, " a\\nb\\x1b[1m 192", 16), 0);
	finish();
}

static void
some_lines_are_not_wanted(void)
{
	start();
	f.conf.access_log.line.skip[WR_END_CLIENT_RELAY_EOF / 64] |=
	    1ull << WR_END_CLIENT_RELAY_EOF % 64;
	m->worker_use(&px, &f.conf);
	m->on_end(&s);
	is_str(written(), "");
	s.end = WR_END_SERVER_RELAY_EOF;
	s.log = false;
	m->on_end(&s);
	is_str(written(), "");
	s.log = true;
	m->on_end(&s);
	ok(written()[0] != '\0');
	px.access_fd = -1;
	m->on_end(&s);
	is_str(written(), "");
	finish();
}

/* Nobody reads the pipe; sessions end all the same. */
static void
a_slow_log_loses_lines_and_nothing_else(void)
{
	char text[65536];
	unsigned lines = 0, whole = 1;
	ssize_t n;

	start();
	for (int i = 0; i < 10000; i++) {
		m->on_end(&s);
		fake_turn(px.loop);
	}
	do {
		n = read(fds[0], text, sizeof(text));
		for (ssize_t i = 0; i < n; i++)
			lines += text[i] == '\n';
		if (n > 0)
			whole = text[n - 1] == '\n';
		fake_pass(px.loop, 60); /* tried again without a session */
	} while (n > 0);
	diag("%u lines came", lines);
	ok(lines > 1000 && lines < 10000);
	ok(whole);
	/* And it is well again. */
	m->on_end(&s);
	ok(written()[0] != '\0');
	finish();
}

/* The clock of a session has 32 bits, its line has more. */
static void
a_session_may_last_for_years(void)
{
	static const char *const some[] = { "total_ms", NULL };
	uint64_t now_ms, start_ms;

	start();
	choose(&f.conf.access_log.line, some);
	m->worker_use(&px, &f.conf);
	for (int i = 0; i < 4; i++) {
		start_ms = wr_loop_now(px.loop) - 1500;
		s.relay.start_ms = (uint32_t)start_ms;
		s.relay.start_laps = (uint16_t)(start_ms >> 32);
		fake_pass(px.loop, UINT64_C(300) * 24 * 3600 * 1000);
		m->on_end(&s);
		is_str(written(), "total_ms=25920001500\n");
	}
	now_ms = wr_loop_now(px.loop);
	ok(now_ms >> 32 > 20);
	finish();
}

static void
at_number(int to, int flags, const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | flags, 0600);

	if (fd < 0 || dup2(fd, to) < 0)
		abort();
	(void)close(fd);
	(void)unlink(path);
}

/* A log that is opened again may get the number of the old one. */
static void
another_file_at_the_same_number(void)
{
	char path[] = "/tmp/weir-unit-log-XXXXXX";
	int fd = mkstemp(path), p[2];

	start();
	if (fd < 0 || pipe(p) < 0)
		abort();
	(void)close(fd);
	at_number(fds[1], 0, path);
	m->on_end(&s);
	fake_turn(px.loop);
	/* That was a file; now it is a pipe that blocks, and nobody reads. */
	if (dup2(p[1], fds[1]) < 0)
		abort();
	wr_proxy_access_fd(&px, fds[1]);
	for (int i = 0; i < 3000; i++) {
		m->on_end(&s);
		fake_turn(px.loop);
	}
	ok(true);
	(void)close(p[0]);
	(void)close(p[1]);
	at_number(fds[1], 0, path);
	wr_proxy_access_fd(&px, fds[1]);
	finish();
}

/* Half of a line went to the old one: the other half is no line of the new
 * one. */
static void
the_rest_of_a_line_is_not_written_elsewhere(void)
{
	char path[] = "/tmp/weir-unit-log-XXXXXX", text[4096];
	struct rlimit before, small;
	int fd = mkstemp(path), p[2];
	ssize_t n;

	start();
	if (fd < 0 || pipe2(p, O_NONBLOCK) < 0 ||
	    getrlimit(RLIMIT_FSIZE, &before) < 0)
		abort();
	(void)close(fd);
	small = before;
	small.rlim_cur = 50;
	(void)signal(SIGXFSZ, SIG_IGN);
	at_number(fds[1], 0, path);
	m->on_end(&s);
	m->on_end(&s);
	if (setrlimit(RLIMIT_FSIZE, &small) < 0)
		abort();
	fake_turn(px.loop);
	if (setrlimit(RLIMIT_FSIZE, &before) < 0 || dup2(p[1], fds[1]) < 0)
		abort();
	wr_proxy_access_fd(&px, fds[1]);
	fake_pass(px.loop, 100);
	n = read(p[0], text, sizeof(text) - 1);
	text[n > 0 ? n : 0] = '\0';
	ok(n > 30 && text[10] == 'T' && text[23] == 'Z');
	ok(n > 30 && strchr(text, '\n') == text + n - 1);
	(void)close(p[0]);
	(void)close(p[1]);
	finish();
}

int
main(void)
{
	a_line_says_who_where_how_much_and_why();
	json_is_json();
	fields_can_be_chosen();
	all_fields_have_values();
	a_listener_has_its_own_line();
	no_name_makes_a_second_line();
	some_lines_are_not_wanted();
	a_session_may_last_for_years();
	another_file_at_the_same_number();
	the_rest_of_a_line_is_not_written_elsewhere();
	a_slow_log_loses_lines_and_nothing_else();
	return tap_done();
}
