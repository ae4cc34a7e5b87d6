/* SPDX-License-Identifier: BSD-2-Clause */
/* sock - sockets are what sock.h says they are. */
#include "io/sock.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "t/unit/tap.h"

static struct wr_addr
addr(const char *text)
{
	struct wr_addr a;

	if (wr_addr_parse(&a, wr_str_of(text), -1) != 0)
		abort();
	if (a.sa.sa_family != AF_UNIX)
		wr_addr_set_port(&a, 0);
	return a;
}

static int
option(int fd, int level, int name)
{
	int value = -1;
	socklen_t len = sizeof(value);

	(void)getsockopt(fd, level, name, &value, &len);
	return value;
}

static int
client(const struct wr_addr *a)
{
	int fd = wr_sock_stream(a->sa.sa_family);
	struct pollfd p = { .fd = fd, .events = POLLOUT };

	if (connect(fd, &a->sa, a->len) != 0 && errno == EINPROGRESS)
		(void)poll(&p, 1, 1000);
	return fd;
}

static void
streams(void)
{
	int fd = wr_sock_stream(AF_INET);

	ok(fd >= 0);
	ok(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	ok(fcntl(fd, F_GETFL) & O_NONBLOCK);
	ok(option(fd, IPPROTO_TCP, TCP_NODELAY) != 0);
	ok(!wr_sock_is_listener(fd));
	is_int(wr_sock_nonblock(fd, false), 0);
	ok(!(fcntl(fd, F_GETFL) & O_NONBLOCK));
	is_int(wr_sock_heartbeat(fd, 30, 2, 0, 5000), 0);
	ok(option(fd, SOL_SOCKET, SO_KEEPALIVE) != 0);
	is_int(option(fd, IPPROTO_TCP, TCP_KEEPIDLE), 30);
	is_int(option(fd, IPPROTO_TCP, TCP_KEEPINTVL), 10);
	is_int(option(fd, IPPROTO_TCP, TCP_KEEPCNT), 6);
	is_int(option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), 5000);
	(void)close(fd);
}

/* Whenever it begins, its end is the same, or later by less than a tenth. */
static void
a_heartbeat_ends_when_it_should(void)
{
	static const unsigned cases[][2] = { { 1, 1 }, { 1, 2 }, { 7, 2 },
		{ 10, 2 }, { 29, 3 }, { 30, 1 }, { 30, 2 }, { 30, 100 },
		{ 300, 5 } };
	int fd = wr_sock_stream(AF_INET);

	for (size_t i = 0; i < WR_COUNT(cases); i++) {
		int idle = (int)cases[i][0], misses = (int)cases[i][1];
		int limit = idle * (misses + 1), bad = 0;

		for (int early = 0; early <= (idle < 10 ? 0 : idle / 2);
		     early++) {
			int end;

			if (wr_sock_heartbeat(fd, (unsigned)idle,
				(unsigned)misses, (unsigned)early, 0) != 0)
				bad++;
			end = option(fd, IPPROTO_TCP, TCP_KEEPIDLE) +
			      option(fd, IPPROTO_TCP, TCP_KEEPINTVL) *
				  option(fd, IPPROTO_TCP, TCP_KEEPCNT);
			bad += option(fd, IPPROTO_TCP, TCP_KEEPIDLE) !=
			       idle - early;
			bad += end < limit || end > limit + limit / 10;
		}
		is_int(bad, 0);
	}
	(void)close(fd);
}

static void
other_options_are_set(void)
{
	int fd = wr_sock_stream(AF_INET);

	wr_sock_unsent(fd, 131072);
	is_int(option(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT), 131072);
	(void)close(fd);
	fd = wr_sock_dgram(AF_INET6);
	ok(fd >= 0 && option(fd, SOL_SOCKET, SO_TYPE) == SOCK_DGRAM);
	(void)close(fd);
	ok(wr_sock_stream(12345) < 0);
}

static void
listeners(void)
{
	struct wr_addr a = addr("127.0.0.1:1"), b;
	int fd = wr_sock_bind(&a, 0, 0), c, d;

	ok(fd >= 0);
	ok(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	is_int(wr_sock_name(fd, &a), 0);
	ok(wr_addr_port(&a) != 0);
	ok(!wr_sock_is_listener(fd));
	c = client(&a); /* bound, not listening */
	is_int(option(c, SOL_SOCKET, SO_ERROR), ECONNREFUSED);
	(void)close(c);
	is_int(wr_sock_listen(fd, 8), 0);
	ok(wr_sock_is_listener(fd));
	is_int(wr_sock_queued(fd), 0);
	c = client(&a);
	is_int(wr_sock_queued(fd), 1);
	d = client(&a);
	is_int(wr_sock_queued(fd), 2);
	(void)close(d);
	d = accept(fd, NULL, NULL);
	is_int(wr_sock_queued(fd), 1);
	ok(option(d, IPPROTO_TCP, TCP_NODELAY) != 0); /* inherited */
	is_int(wr_sock_peer(d, &a), 0);
	is_int(wr_sock_name(c, &b), 0);
	ok(wr_addr_eq(&a, &b));
	(void)close(d);
	(void)close(c);
	(void)close(fd);
}

/* The first is bound alone, so a stranger on the port is an error; siblings
 * come later. */
static void
siblings(void)
{
	struct wr_addr a = addr("127.0.0.1:1");
	int first = wr_sock_bind(&a, 0, 0), second;

	is_int(wr_sock_name(first, &a), 0);
	is_int(wr_sock_listen(first, 8), 0);
	is_int(wr_sock_bind(&a, 0, 0), -EADDRINUSE);
	is_int(wr_sock_bind(&a, WR_BIND_REUSEPORT, 0), -EADDRINUSE);
	is_int(wr_sock_allow_siblings(first), 0);
	second = wr_sock_bind(&a, WR_BIND_REUSEPORT, 0);
	ok(second >= 0);
	is_int(wr_sock_listen(second, 8), 0);
	is_int(wr_sock_bind(&a, 0, 0), -EADDRINUSE);
	(void)close(second);
	(void)close(first);
}

static void
both_families_on_one_port(void)
{
	int six = -1, four = -EADDRINUSE;

	/* Any other program may have that port of the other family. */
	for (int i = 0; i < 100 && four == -EADDRINUSE; i++) {
		struct wr_addr a = addr("[::]:1"), b = addr("*:1");

		(void)close(six);
		six = wr_sock_bind(&a, 0, 0);
		if (six == -EAFNOSUPPORT) {
			diag("no IPv6 here");
			return;
		}
		if (wr_sock_name(six, &a) < 0)
			break;
		wr_addr_set_port(&b, wr_addr_port(&a));
		four = wr_sock_bind(&b, 0, 0);
	}
	ok(option(six, IPPROTO_IPV6, IPV6_V6ONLY) != 0);
	ok(four >= 0);
	(void)close(four);
	(void)close(six);
}

static void
unix_listeners(void)
{
	char dir[] = "/tmp/weir-sock-XXXXXX", text[64];
	struct wr_addr a;
	struct stat st;
	int fd, c;

	if (mkdtemp(dir) == NULL)
		abort();
	(void)snprintf(text, sizeof(text), "unix:%s/s", dir);
	a = addr(text);
	fd = wr_sock_bind(&a, 0, 0640);
	ok(fd >= 0);
	ok(stat(a.un.sun_path, &st) == 0 && (st.st_mode & 0777) == 0640);
	is_int(wr_sock_listen(fd, 8), 0);
	is_int(wr_sock_queued(fd), 0);
	is_int(wr_sock_bind(&a, 0, 0640), -EADDRINUSE); /* somebody is there */
	c = client(&a);
	ok(wr_sock_queued(fd) >= 1);
	(void)close(c);
	(void)close(fd);
	/* What a killed process leaves behind. */
	ok(stat(a.un.sun_path, &st) == 0);
	fd = wr_sock_bind(&a, 0, 0666);
	ok(fd >= 0);
	ok(stat(a.un.sun_path, &st) == 0 && (st.st_mode & 0777) == 0666);
	(void)close(fd);
	(void)unlink(a.un.sun_path);
	/* Never a file of another kind. */
	fd = open(a.un.sun_path, O_CREAT | O_WRONLY, 0600);
	(void)close(fd);
	is_int(wr_sock_bind(&a, 0, 0666), -EADDRINUSE);
	ok(stat(a.un.sun_path, &st) == 0 && S_ISREG(st.st_mode));
	(void)unlink(a.un.sun_path);
	(void)rmdir(dir);
}

/* The kernel answers nothing, so a client goes on trying. */
static void
new_clients_are_not_answered(void)
{
	struct wr_addr a = addr("127.0.0.1:1");
	int fd = wr_sock_bind(&a, 0, 0), c, before;
	struct pollfd p = { .events = POLLOUT };

	is_int(wr_sock_listen(fd, 8), 0);
	is_int(wr_sock_name(fd, &a), 0);
	before = client(&a);
	is_int(wr_sock_refuse_new(fd), 0);
	c = wr_sock_stream(AF_INET);
	ok(connect(c, &a.sa, a.len) != 0 && errno == EINPROGRESS);
	p.fd = c;
	is_int(poll(&p, 1, 50), 0);
	is_int(wr_sock_queued(fd), 1);
	(void)close(c);
	is_int(wr_sock_accept_new(fd), 0);
	is_int(wr_sock_accept_new(fd), 0); /* as often as you like */
	c = client(&a);
	is_int(option(c, SOL_SOCKET, SO_ERROR), 0);
	is_int(wr_sock_queued(fd), 2);
	(void)close(c);
	(void)close(before);
	(void)close(fd);
}

static void
own_addresses(void)
{
	struct wr_addr a = addr("127.0.0.1:1"), me = addr("127.0.0.5:1"), got;
	int fd = wr_sock_bind(&a, 0, 0), c = wr_sock_stream(AF_INET), err;
	struct pollfd p = { .fd = c, .events = POLLOUT };

	is_int(wr_sock_listen(fd, 8), 0);
	is_int(wr_sock_name(fd, &a), 0);
	is_int(wr_sock_source(c, &me), 0);
	is_int(wr_sock_name(c, &got), 0);
	is_int(wr_addr_port(&got), 0); /* not chosen yet */
	err = connect(c, &a.sa, a.len);
	ok(err == 0 || errno == EINPROGRESS);
	is_int(poll(&p, 1, 1000), 1);
	is_int(wr_sock_name(c, &got), 0);
	ok(wr_addr_port(&got) != 0);
	is_int(memcmp(&got.in.sin_addr, &me.in.sin_addr, 4), 0);
	wr_sock_reset_on_close(c);
	(void)close(c);
	c = accept(fd, NULL, NULL);
	ok(recv(c, &got, 1, 0) < 0 && errno == ECONNRESET);
	(void)close(c);
	(void)close(fd);
}

static int
open_fds(void)
{
	int n = 0;

	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void
descriptors(void)
{
	int pair[2], fds[WR_FDS], got[WR_FDS], n, before, many[WR_FDS];
	char text[16];

	is_int(wr_sock_pair(pair), 0);
	ok(fcntl(pair[0], F_GETFL) & O_NONBLOCK);
	n = -1;
	is_int(wr_sock_recv_fds(pair[1], text, sizeof(text), got, &n), -EAGAIN);
	is_int(n, 0);
	is_int(wr_sock_send_fds(pair[0], "none", 4, NULL, 0), 0);
	is_int(wr_sock_recv_fds(pair[1], text, sizeof(text), got, &n), 4);
	is_int(n, 0);
	before = open_fds();
	if (pipe(fds) != 0)
		abort();
	is_int(wr_sock_send_fds(pair[0], "two", 3, fds, 2), 0);
	(void)close(fds[0]);
	(void)close(fds[1]);
	is_int(wr_sock_recv_fds(pair[1], text, sizeof(text), got, &n), 3);
	is_int(n, 2);
	ok(memcmp(text, "two", 3) == 0);
	ok(fcntl(got[0], F_GETFD) & FD_CLOEXEC);
	is_int(write(got[1], "through", 7), 7);
	is_int(read(got[0], text, sizeof(text)), 7);
	(void)close(got[0]);
	(void)close(got[1]);
	for (int i = 0; i < WR_FDS; i++)
		many[i] = pair[0];
	is_int(wr_sock_send_fds(pair[0], "many", 4, many, WR_FDS), 0);
	is_int(wr_sock_recv_fds(pair[1], text, sizeof(text), got, &n), 4);
	is_int(n, WR_FDS);
	for (int i = 0; i < n; i++)
		(void)close(got[i]);
	/* Cut: whatever came with it is closed. */
	is_int(wr_sock_send_fds(pair[0], "too long", 8, many, 3), 0);
	is_int(wr_sock_recv_fds(pair[1], text, 4, got, &n), -EMSGSIZE);
	is_int(n, 0);
	is_int(open_fds(), before);
	(void)close(pair[0]);
	is_int(wr_sock_recv_fds(pair[1], text, sizeof(text), got, &n), 0);
	ok(wr_sock_send_fds(pair[1], "x", 1, NULL, 0) < 0);
	(void)close(pair[1]);
}

/* A stranger may send more than we take. */
static void
surplus_descriptors_are_closed(void)
{
	union {
		char mem[CMSG_SPACE(100 * sizeof(int))];
		struct cmsghdr align;
	} c;
	char text[16] = "x";
	struct iovec iov = { text, 1 };
	struct msghdr m = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = c.mem,
		.msg_controllen = sizeof(c.mem) };
	struct cmsghdr *h;
	int pair[2], got[WR_FDS], n = -1, before;

	is_int(wr_sock_pair(pair), 0);
	memset(&c, 0, sizeof(c));
	h = CMSG_FIRSTHDR(&m);
	h->cmsg_level = SOL_SOCKET;
	h->cmsg_type = SCM_RIGHTS;
	h->cmsg_len = CMSG_LEN(100 * sizeof(int));
	for (int i = 0; i < 100; i++)
		memcpy((int *)(void *)CMSG_DATA(h) + i, &pair[0], sizeof(int));
	before = open_fds();
	is_int(sendmsg(pair[0], &m, 0), 1);
	is_int(wr_sock_recv_fds(pair[1], text, sizeof(text), got, &n), -EPROTO);
	is_int(n, 0);
	is_int(open_fds(), before);
	(void)close(pair[0]);
	(void)close(pair[1]);
}

int
main(void)
{
	(void)signal(SIGPIPE, SIG_IGN);
	streams();
	a_heartbeat_ends_when_it_should();
	other_options_are_set();
	listeners();
	siblings();
	both_families_on_one_port();
	unix_listeners();
	new_clients_are_not_answered();
	own_addresses();
	descriptors();
	surplus_descriptors_are_closed();
	return tap_done();
}
