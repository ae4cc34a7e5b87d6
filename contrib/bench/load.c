/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * load - load and servers for measuring a TCP proxy, on weir's own loop.
 *
 *	load serve PORT            echo; PORT + 1: sink; PORT + 2: source
 *	load ping ADDR ...         each connection sends SIZE bytes, waits for
 *	                           as many, and again
 *	load short ADDR ...        connect, SIZE bytes both ways, close
 *	load up ADDR ...           TOTAL bytes to a sink
 *	load down ADDR ...         TOTAL bytes from a source
 *	load idle ADDR ...         one message on each connection, then hold
 *	                           them until standard input ends
 *
 * Options: -c connections, -s size, -t seconds, -n units, -b total bytes,
 * -w seconds of warm-up, -r units per second over all connections, -H prints
 * the cells of the histogram, so that several loads can be added up.
 *
 * With -r a unit's latency counts from the moment at which it was due, not
 * from the moment at which the connection was free to send it, so that a
 * proxy that stalls cannot hide it (no coordinated omission).
 *
 * The result is one JSON line.  `load` prints "ready" first, and "start" when
 * the warm-up is over, so that a script knows when to read clocks.
 *
 * A warm-up of pings lasts until each connection has had an answer as well, a
 * minute at most: a proxy that forgets new clients over old ones has fewer to
 * serve, and looks quick.  How long it took is "all_ms"; 0: longer.
 */
#include <assert.h>
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/addr.h"
#include "hist.h"
#include "io/loop.h"
#include "io/sock.h"

enum mode {
	PING,
	SHORT,
	UP,
	DOWN,
	IDLE
};

#define WARM_MAX_NS UINT64_C(60000000000)

/* One connection of a client, reused for the next after a short one. */
struct conn {
	struct wr_sock sock;
	struct wr_timer timer;
	uint64_t due_ns;  /* when the unit is to begin */
	uint64_t from_ns; /* when it did, or should have if that was before */
	uint64_t left;    /* bytes still to be sent (up) or received */
	uint32_t unsent;  /* bytes of the message not yet handed out */
	bool open, answered, served;
};

/* One connection of a server. */
struct peer {
	struct wr_sock sock;
	int kind; /* 0 echo, 1 sink, 2 source */
};

static struct {
	struct wr_loop *loop;
	enum mode mode;
	struct wr_addr to;
	uint32_t conns, size;
	uint64_t units_max, total;
	double seconds, warm, rate;
	struct conn *conn;
	uint32_t open, connected, served; /* served: had an answer */
	uint64_t units, warm_units, errors, bytes, start_ns, end_ns;
	uint64_t dialled_ns;
	uint64_t all_ns; /* how long until all had their first answer */
	bool counting, over, cells;
	struct hist hist;
	uint8_t *junk;
} g;

static wr_done_fn on_connect, on_sent, on_recv;

static uint64_t
now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static wr_noreturn void
die(const char *what, int err)
{
	fprintf(stderr, "load: %s: %s\n", what, strerror(-err));
	exit(1);
}

static void
finish(void)
{
	if (g.over)
		return;
	g.over = true;
	g.end_ns = now_ns();
	wr_loop_stop(g.loop);
}

static void
on_closed(struct wr_loop *l, struct wr_sock *k)
{
	struct conn *c = wr_container_of(k, struct conn, sock);

	(void)l;
	c->open = false;
	g.open--;
}

static void dial(struct conn *c);

static void
on_closed_again(struct wr_loop *l, struct wr_sock *k)
{
	struct conn *c = wr_container_of(k, struct conn, sock);

	on_closed(l, k);
	if (!g.over)
		dial(c);
}

static void
fail(struct conn *c, const char *what, int err)
{
	if (g.errors++ == 0)
		fprintf(stderr, "load: %s: %s\n", what,
		    err == 0 ? "connection ended" : strerror(-err));
	wr_close(
	    g.loop, &c->sock, g.mode == SHORT ? on_closed_again : on_closed);
	if (g.mode != SHORT && g.errors >= g.conns)
		finish();
}

/* The bytes of a message are always the same, in memory that stays. */
static void
push(struct conn *c)
{
	struct wr_slice v[WR_IOV];
	int n = 0;

	for (; n < WR_IOV && c->unsent > 0; n++) {
		uint32_t len = c->unsent < 65536 ? c->unsent : 65536;
		v[n] = wr_slice_const(g.junk, len);
		c->unsent -= len;
	}
	int r = wr_send(g.loop, &c->sock, v, n, 0, on_sent);
	if (r < 0)
		fail(c, "send", r);
}

static void
send_unit(struct conn *c)
{
	uint64_t now = now_ns();

	c->from_ns = c->due_ns < now ? c->due_ns : now;
	c->left = g.size;
	c->unsent = g.size;
	/* The answer may be told before the end of the send that it answers. */
	if (c->sock.out.kind == WR_OP_NONE)
		push(c);
}

static void
on_due(struct wr_loop *l, struct wr_timer *t)
{
	struct conn *c = wr_container_of(t, struct conn, timer);

	(void)l;
	send_unit(c);
}

/* The next message: at once, or when its turn has come. */
static void
next_unit(struct conn *c)
{
	uint64_t now = now_ns();

	if (g.rate <= 0) {
		c->due_ns = now;
		send_unit(c);
		return;
	}
	c->due_ns += (uint64_t)(1e9 * g.conns / g.rate);
	if (c->due_ns <= now + 500000)
		send_unit(c);
	else
		wr_timer_set(
		    g.loop, &c->timer, (c->due_ns - now) / 1000000, on_due);
}

static void
note_served(struct conn *c)
{
	if (c->served || g.mode != PING)
		return;
	c->served = true;
	if (++g.served == g.conns)
		g.all_ns = now_ns() - g.dialled_ns;
}

static void
unit_done(struct conn *c)
{
	note_served(c);
	if (g.counting) {
		g.units++;
		hist_add(&g.hist, now_ns() - c->from_ns);
	} else {
		g.warm_units++;
	}
	if (g.units_max > 0 && g.units >= g.units_max) {
		finish();
		return;
	}
	/* The answer may be told before the end of the send. */
	if (g.mode == PING && c->sock.out.kind != WR_OP_NONE)
		c->answered = true;
	else if (g.mode == PING)
		next_unit(c);
	else if (g.mode == SHORT)
		wr_close(g.loop, &c->sock, on_closed_again);
	else if (++g.units == g.conns)
		printf("idle\n"), fflush(stdout);
}

static void
on_recv(struct wr_loop *l, struct wr_op *op, const struct wr_done *d)
{
	struct conn *c = wr_container_of(op, struct conn, sock.in);
	struct wr_slice in = d->in;

	if (d->res <= 0) {
		if (g.mode == UP && d->res == 0) {
			wr_close(l, &c->sock, on_closed);
			if (g.open == 1)
				finish();
			return;
		}
		fail(c, "receive", d->res);
		return;
	}
	wr_slice_put(l, &in);
	if (g.mode == DOWN) {
		g.bytes += (uint64_t)d->res;
		if (g.bytes >= g.total) {
			finish();
			return;
		}
	} else {
		c->left -=
		    c->left < (uint64_t)d->res ? c->left : (uint64_t)d->res;
		if (c->left == 0)
			unit_done(c);
	}
	if (g.over || c->sock.closing || !c->open)
		return;
	int r = wr_recv(l, &c->sock, 0, WR_COLD, on_recv);
	if (r < 0)
		fail(c, "receive", r);
}

static void
on_sent(struct wr_loop *l, struct wr_op *op, const struct wr_done *d)
{
	struct conn *c = wr_container_of(op, struct conn, sock.out);

	if (d->res < 0) {
		fail(c, "send", d->res);
		return;
	}
	if (c->unsent > 0) {
		push(c);
	} else if (c->answered) {
		c->answered = false;
		next_unit(c);
	} else if (g.mode == UP) {
		g.bytes += (uint64_t)d->res;
		if (g.bytes < g.total) {
			c->unsent = 512 * 1024;
			push(c);
		} else if (wr_shutdown(l, &c->sock) < 0) {
			fail(c, "shutdown", -errno);
		}
	}
}

static void
on_connect(struct wr_loop *l, struct wr_op *op, const struct wr_done *d)
{
	struct conn *c = wr_container_of(op, struct conn, sock.out);

	if (d->res < 0) {
		fail(c, "connect", d->res);
		return;
	}
	int r = wr_recv(l, &c->sock, 0, WR_COLD, on_recv);
	if (r < 0) {
		fail(c, "receive", r);
		return;
	}
	g.connected++;
	if (g.mode == UP) {
		c->unsent = 512 * 1024;
		push(c);
	} else if (g.mode != DOWN) {
		if (g.mode == PING)
			c->due_ns = now_ns();
		send_unit(c);
	}
}

static void
dial(struct conn *c)
{
	int fd = wr_sock_stream(g.to.sa.sa_family);
	int r;

	if (fd < 0)
		die("socket", fd);
	if ((r = wr_sock_init(g.loop, &c->sock, fd)) < 0)
		die("socket", r);
	c->open = true;
	g.open++;
	c->due_ns = now_ns();
	r = wr_connect(g.loop, &c->sock, &g.to.sa, g.to.len, on_connect);
	if (r < 0)
		fail(c, "connect", r);
}

static void
on_over(struct wr_loop *l, struct wr_timer *t)
{
	(void)l;
	(void)t;
	finish();
}

static void
on_warm(struct wr_loop *l, struct wr_timer *t)
{
	if (g.mode == PING && g.served < g.conns && g.errors == 0 &&
	    now_ns() - g.dialled_ns < WARM_MAX_NS) {
		wr_timer_set(l, t, 10, on_warm);
		return;
	}
	printf("start\n");
	fflush(stdout);
	g.counting = true;
	g.start_ns = now_ns();
	if (g.seconds > 0)
		wr_timer_set(g.loop, t, (uint64_t)(g.seconds * 1000), on_over);
}

static void
on_stdin(struct wr_loop *l, struct wr_op *op, const struct wr_done *d)
{
	(void)l;
	(void)op;
	(void)d;
	finish();
}

static void
report(void)
{
	double s = (double)(g.end_ns - g.start_ns) / 1e9;

	printf("{\"units\":%llu,\"warm\":%llu,\"all_ms\":%.1f,"
	       "\"seconds\":%.3f,\"per_second\":%.1f,"
	       "\"bytes\":%llu,\"errors\":%llu,\"p50_us\":%.1f,"
	       "\"p99_us\":%.1f,\"p999_us\":%.1f,\"max_us\":%.1f",
	    (unsigned long long)g.units, (unsigned long long)g.warm_units,
	    (double)g.all_ns / 1e6, s, (double)g.units / s,
	    (unsigned long long)g.bytes, (unsigned long long)g.errors,
	    (double)hist_quantile(&g.hist, 0.5) / 1e3,
	    (double)hist_quantile(&g.hist, 0.99) / 1e3,
	    (double)hist_quantile(&g.hist, 0.999) / 1e3,
	    (double)g.hist.max / 1e3);
	if (g.cells) {
		printf(",\"cells\":{\"0\":0");
		for (unsigned i = 1; i < HIST_SIZE; i++)
			if (g.hist.n[i] > 0)
				printf(",\"%u\":%llu", i,
				    (unsigned long long)g.hist.n[i]);
		printf("}");
	}
	printf("}\n");
	fflush(stdout);
}

static void
client(void)
{
	struct wr_timer t = { 0 };
	static struct wr_sock in;

	g.conn = calloc(g.conns, sizeof(*g.conn));
	if (g.conn == NULL)
		die("memory", -errno);
	printf("ready\n");
	fflush(stdout);
	g.start_ns = now_ns();
	for (uint32_t i = 0; i < g.conns; i++) {
		dial(&g.conn[i]);
		/* A burst larger than a backlog would measure SYN retries. */
		if (i % 64 == 63)
			wr_loop_turn(g.loop, 5);
	}
	/* Who measures messages does not want to measure connects. */
	while (g.mode == PING && g.connected < g.conns && g.errors == 0)
		wr_loop_turn(g.loop, 5);
	g.dialled_ns = now_ns();
	if (g.mode == IDLE) {
		if (wr_sock_init(g.loop, &in, 0) < 0 ||
		    wr_watch(g.loop, &in, WR_OP_READABLE, on_stdin) < 0)
			die("standard input", -errno);
	} else if (g.warm > 0) {
		wr_timer_set(g.loop, &t, (uint64_t)(g.warm * 1000), on_warm);
	} else {
		on_warm(g.loop, &t);
	}
	wr_loop_run(g.loop);
	report();
}

/* Servers. */

static wr_done_fn peer_recv, peer_sent;

static void
peer_free(struct wr_loop *l, struct wr_sock *k)
{
	(void)l;
	free(wr_container_of(k, struct peer, sock));
}

static void
peer_end(struct peer *p)
{
	wr_close(g.loop, &p->sock, peer_free);
}

static void
peer_flood(struct peer *p)
{
	struct wr_slice v[8];

	for (int i = 0; i < 8; i++)
		v[i] = wr_slice_const(g.junk, 65536);
	if (wr_send(g.loop, &p->sock, v, 8, 0, peer_sent) < 0)
		peer_end(p);
}

static void
peer_sent(struct wr_loop *l, struct wr_op *op, const struct wr_done *d)
{
	struct peer *p = wr_container_of(op, struct peer, sock.out);

	if (d->res < 0) {
		if (p->kind == 2)
			peer_end(p);
		return; /* an echo notices when it receives */
	}
	if (p->kind == 2)
		peer_flood(p);
	else if (wr_recv(l, &p->sock, 0, WR_COLD, peer_recv) < 0)
		peer_end(p);
}

static void
peer_recv(struct wr_loop *l, struct wr_op *op, const struct wr_done *d)
{
	struct peer *p = wr_container_of(op, struct peer, sock.in);
	struct wr_slice in = d->in;

	if (d->res <= 0) {
		peer_end(p);
		return;
	}
	if (p->kind == 0) {
		if (wr_send(l, &p->sock, &in, 1, 0, peer_sent) < 0)
			peer_end(p);
		return;
	}
	wr_slice_put(l, &in);
	if (wr_recv(l, &p->sock, 0, 0, peer_recv) < 0)
		peer_end(p);
}

struct port {
	struct wr_sock sock;
	int kind;
};

static void
on_accept(struct wr_loop *l, struct wr_op *op, const struct wr_done *d)
{
	struct port *o = wr_container_of(op, struct port, sock.in);

	if (d->res < 0)
		die("accept", d->res);
	struct peer *p = calloc(1, sizeof(*p));
	if (p == NULL)
		die("memory", -errno);
	p->kind = o->kind;
	if (wr_sock_init(l, &p->sock, d->res) < 0)
		die("accept", -EMFILE);
	if (p->kind == 2)
		peer_flood(p);
	if (wr_recv(l, &p->sock, 0, 0, peer_recv) < 0)
		peer_end(p);
}

static void
serve(int port)
{
	static struct port ports[3];
	char text[32];

	for (int i = 0; i < 3; i++) {
		struct wr_addr a;
		snprintf(text, sizeof(text), "127.0.0.1:%d", port + i);
		int r = wr_addr_parse(&a, wr_str_of(text), -1);
		int fd = r < 0 ? r : wr_sock_bind(&a, 0, 0);
		ports[i].kind = i;
		if (fd < 0 || (r = wr_sock_listen(fd, 4096)) < 0 ||
		    (r = wr_sock_init(g.loop, &ports[i].sock, fd)) < 0 ||
		    (r = wr_accept(g.loop, &ports[i].sock, 0, on_accept)) < 0)
			die(text, fd < 0 ? fd : r);
	}
	printf("ready\n");
	fflush(stdout);
	wr_loop_run(g.loop);
}

static int
usage(void)
{
	fprintf(stderr,
	    "usage: load serve PORT\n"
	    "       load ping|short|up|down|idle ADDRESS:PORT [-c conns]\n"
	    "            [-s size] [-t seconds] [-n units] [-b bytes]\n"
	    "            [-w warm-up] [-r rate] [-e backend]\n");
	return 2;
}

int
main(int argc, char **argv)
{
	static const char *const modes[] = { "ping", "short", "up", "down",
		"idle" };
	struct wr_loop_conf lc = { .backend = "epoll",
		.buffers_bytes = 64 << 20 };
	int o, mode = -1;

	if (argc < 3)
		return usage();
	for (int i = 0; i < (int)WR_COUNT(modes); i++)
		if (strcmp(argv[1], modes[i]) == 0)
			mode = i;
	if (mode < 0 && strcmp(argv[1], "serve") != 0)
		return usage();
	g.conns = 1, g.size = 64, g.total = 1 << 30;
	optind = 3;
	while ((o = getopt(argc, argv, "c:s:t:n:b:w:r:e:H")) != -1) {
		double v = optarg != NULL ? strtod(optarg, NULL) : 0;
		switch (o) {
		case 'c':
			g.conns = (uint32_t)v;
			break;
		case 's':
			g.size = (uint32_t)v;
			break;
		case 't':
			g.seconds = v;
			break;
		case 'n':
			g.units_max = (uint64_t)v;
			break;
		case 'b':
			g.total = (uint64_t)v;
			break;
		case 'w':
			g.warm = v;
			break;
		case 'r':
			g.rate = v;
			break;
		case 'e':
			lc.backend = optarg;
			break;
		case 'H':
			g.cells = true;
			break;
		default:
			return usage();
		}
	}
	(void)signal(SIGPIPE, SIG_IGN);
	g.junk = calloc(1, 65536);
	g.loop = wr_loop_new(&lc);
	if (g.loop == NULL || g.junk == NULL)
		die("loop", -errno);
	if (mode < 0) {
		serve((int)strtol(argv[2], NULL, 10));
		return 0;
	}
	g.mode = (enum mode)mode;
	int r = wr_addr_parse(&g.to, wr_str_of(argv[2]), -1);
	if (r < 0)
		die(argv[2], r);
	client();
	return g.errors > 0 && g.units == 0 && g.bytes == 0;
}
