/* SPDX-License-Identifier: BSD-2-Clause */
/* sock - sockets, their options, and passing descriptors; see sock.h. */
#include "io/sock.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#ifdef __linux__
#include <linux/filter.h>
#include <linux/sockios.h>
#endif

static int
set_int(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof(value)) == 0 ? 0
								       : -errno;
}

static int
sock_open(int family, int type)
{
	int fd = socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	return fd >= 0 ? fd : -errno;
}

/* Give up `fd` because of `err`, which is returned. */
static int
undo(int fd, int err)
{
	(void)close(fd);
	return err;
}

int
wr_sock_stream(int family)
{
	int fd = sock_open(family, SOCK_STREAM), err;

	if (fd < 0 || family == AF_UNIX)
		return fd;
	err = set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	return err < 0 ? undo(fd, err) : fd;
}

int
wr_sock_dgram(int family)
{
	return sock_open(family, SOCK_DGRAM);
}

int
wr_sock_bind_dgram(const struct wr_addr *a)
{
	int fd = wr_sock_dgram(a->sa.sa_family), on = 1, err = 0;

	if (fd < 0)
		return fd;
	if (a->sa.sa_family == AF_INET6 &&
	    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) != 0)
		err = -errno;
	if (err == 0 && bind(fd, &a->sa, a->len) != 0)
		err = -errno;
	if (err < 0) {
		(void)close(fd);
		return err;
	}
	return fd;
}

/* -- Listeners ----------------------------------------------------------- */

static int
bind_inet(const struct wr_addr *a, unsigned flags)
{
	int fd = wr_sock_stream(a->sa.sa_family), err;

	if (fd < 0)
		return fd;
	err = set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	if (err == 0 && a->sa.sa_family == AF_INET6)
		err = set_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
	if (err == 0 && flags & WR_BIND_REUSEPORT)
		err = wr_sock_allow_siblings(fd);
	if (err == 0 && bind(fd, &a->sa, a->len) != 0)
		err = -errno;
	return err < 0 ? undo(fd, err) : fd;
}

/* Nobody accepts there any more, so the file only stands in the way. */
static bool
is_stale(const struct wr_addr *a)
{
	struct stat st;
	bool stale;
	int fd;

	if (stat(a->un.sun_path, &st) != 0 || !S_ISSOCK(st.st_mode))
		return false;
	fd = sock_open(AF_UNIX, SOCK_STREAM);
	if (fd < 0)
		return false;
	stale = connect(fd, &a->sa, a->len) != 0 && errno == ECONNREFUSED;
	(void)close(fd);
	return stale;
}

static int
bind_unix(const struct wr_addr *a, unsigned mode)
{
	int fd = sock_open(AF_UNIX, SOCK_STREAM), err = 0;
	mode_t mask;

	if (fd < 0)
		return fd;
	if (a->un.sun_path[0] != '\0' && is_stale(a))
		(void)unlink(a->un.sun_path);
	/* The mode must hold from the first moment on. */
	mask = umask(~mode & 0777);
	if (bind(fd, &a->sa, a->len) != 0)
		err = -errno;
	(void)umask(mask);
	return err < 0 ? undo(fd, err) : fd;
}

int
wr_sock_bind(const struct wr_addr *a, unsigned flags, unsigned mode)
{
	assert(a->len > 0);
	if (a->sa.sa_family == AF_UNIX)
		return bind_unix(a, mode);
	return bind_inet(a, flags);
}

int
wr_sock_allow_siblings(int fd)
{
	return set_int(fd, SOL_SOCKET, SO_REUSEPORT, 1);
}

int
wr_sock_listen(int fd, int backlog)
{
	return listen(fd, backlog) == 0 ? 0 : -errno;
}

#ifdef __linux__

/*
 * Classic BPF on a listener sees the TCP header at offset 0.  A segment with
 * SYN and without ACK is cut to nothing, as if it had been lost on its way.
 */
int
wr_sock_refuse_new(int fd)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 13),
		BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0x12),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x02, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, 0),
		BPF_STMT(BPF_RET | BPF_K, 0xffffffff),
	};
	struct sock_fprog prog = { WR_COUNT(code), code };

	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog)) !=
	    0)
		return -errno;
	return 0;
}

int
wr_sock_accept_new(int fd)
{
	int err = set_int(fd, SOL_SOCKET, SO_DETACH_FILTER, 0);

	return err == -ENOENT ? 0 : err; /* there is none */
}

#else

int
wr_sock_refuse_new(int fd)
{
	(void)fd;
	return -ENOTSUP;
}

int
wr_sock_accept_new(int fd)
{
	(void)fd;
	return 0;
}

#endif

int
wr_sock_queued(int fd)
{
#ifdef __linux__
	struct tcp_info info;
	socklen_t len = sizeof(info);

	/* Of a listener this is the length of its queue. */
	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0)
		return info.tcpi_state == TCP_LISTEN ? (int)info.tcpi_unacked
						     : -EINVAL;
	if (errno != EOPNOTSUPP && errno != ENOPROTOOPT)
		return -errno;
#endif
	/* No more can be known of a unix socket: none, or some. */
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0) >= 0 ? p.revents & POLLIN ? 1 : 0 : -errno;
}

bool
wr_sock_is_listener(int fd)
{
	int type = 0, listens = 0;
	socklen_t type_len = sizeof(type), len = sizeof(listens);

	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &type_len) == 0 &&
	       type == SOCK_STREAM &&
	       getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) == 0 &&
	       listens != 0;
}

/* -- Options ------------------------------------------------------------- */

#if !defined(TCP_KEEPIDLE) && defined(TCP_KEEPALIVE)
#define TCP_KEEPIDLE TCP_KEEPALIVE
#endif

/* How often in an interval is asked who does not answer: not so often that it
 * does not come out even by much, or the kernel cannot count. */
static unsigned
haste(unsigned idle_s, unsigned misses)
{
	unsigned n = idle_s / 10 < 3 ? idle_s / 10 : 3;

	return n > 0 && misses * n <= 127 ? n : 1;
}

int
wr_sock_heartbeat(int fd, unsigned idle_s, unsigned misses, unsigned early_s,
    unsigned user_timeout_ms)
{
	unsigned n = misses * haste(idle_s, misses);
	unsigned every_s = (idle_s * misses + early_s + n - 1) / n;
	int err = set_int(fd, SOL_SOCKET, SO_KEEPALIVE, 1);

	if (err == 0)
		err = set_int(
		    fd, IPPROTO_TCP, TCP_KEEPIDLE, (int)(idle_s - early_s));
	if (err == 0)
		err = set_int(fd, IPPROTO_TCP, TCP_KEEPINTVL, (int)every_s);
	if (err == 0)
		err = set_int(fd, IPPROTO_TCP, TCP_KEEPCNT, (int)n);
#ifdef TCP_USER_TIMEOUT
	if (err == 0 && user_timeout_ms != 0)
		err = set_int(
		    fd, IPPROTO_TCP, TCP_USER_TIMEOUT, (int)user_timeout_ms);
#else
	(void)user_timeout_ms;
#endif
	return err;
}

bool
wr_sock_gone(int fd)
{
	struct pollfd p = { .fd = fd };

	return poll(&p, 1, 0) > 0 && (p.revents & (POLLERR | POLLHUP)) != 0;
}

int
wr_sock_user_timeout(int fd, unsigned ms)
{
#ifdef TCP_USER_TIMEOUT
	return set_int(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, (int)ms);
#else
	(void)fd;
	(void)ms;
	return -ENOTSUP;
#endif
}

enum wr_taken
wr_sock_taken(int fd)
{
#ifdef SIOCOUTQNSD
	int unacked = 0, unsent = 0;

	if (ioctl(fd, SIOCOUTQ, &unacked) < 0 || unacked == 0)
		return WR_TAKEN_ALL;
	if (ioctl(fd, SIOCOUTQNSD, &unsent) == 0 && unsent == unacked)
		return WR_TAKEN_NONE;
	return WR_TAKEN_SLOW;
#else
	(void)fd;
	return WR_TAKEN_ALL;
#endif
}

void
wr_sock_unsent(int fd, uint32_t bytes)
{
#ifdef TCP_NOTSENT_LOWAT
	(void)set_int(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, (int)bytes);
#else
	(void)fd;
	(void)bytes;
#endif
}

void
wr_sock_reset_on_close(int fd)
{
	struct linger now = { .l_onoff = 1, .l_linger = 0 };

	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
}

int
wr_sock_source(int fd, const struct wr_addr *a)
{
	struct wr_addr any_port = *a;

#ifdef IP_BIND_ADDRESS_NO_PORT
	/* connect() knows the other end, so more ports are free to it. */
	(void)set_int(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
#endif
	if (a->sa.sa_family != AF_UNIX)
		wr_addr_set_port(&any_port, 0);
	return bind(fd, &any_port.sa, any_port.len) == 0 ? 0 : -errno;
}

int
wr_sock_name(int fd, struct wr_addr *a)
{
	a->len = sizeof(a->un);
	return getsockname(fd, &a->sa, &a->len) == 0 ? 0 : -errno;
}

int
wr_sock_peer(int fd, struct wr_addr *a)
{
	a->len = sizeof(a->un);
	return getpeername(fd, &a->sa, &a->len) == 0 ? 0 : -errno;
}

int
wr_sock_nonblock(int fd, bool on)
{
	int flags = fcntl(fd, F_GETFL), want;

	if (flags < 0)
		return -errno;
	want = on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
	if (want == flags || fcntl(fd, F_SETFL, want) == 0)
		return 0;
	return -errno;
}

/* -- Descriptors --------------------------------------------------------- */

int
wr_sock_pair(int fds[2])
{
	return socketpair(AF_UNIX,
		   SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) == 0
		   ? 0
		   : -errno;
}

/* Room for as many as the kernel may pass at once (SCM_MAX_FD), so that none
 * is left without an owner. */
#define FDS_MAX 253

union control {
	char mem[CMSG_SPACE(FDS_MAX * sizeof(int))];
	struct cmsghdr align;
};

int
wr_sock_send_fds(
    int sock, const void *msg, size_t len, const int *fds, int n_fds)
{
	union {
		const void *in;
		void *out;
	} cast = { msg };
	struct iovec iov = { .iov_base = cast.out, .iov_len = len };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
	size_t bytes = (size_t)n_fds * sizeof(int);
	union control c;
	struct cmsghdr *h;
	ssize_t n;

	assert(n_fds >= 0 && n_fds <= WR_FDS && len > 0);
	if (n_fds > 0) {
		memset(&c, 0, CMSG_SPACE(bytes));
		m.msg_control = c.mem;
		m.msg_controllen = CMSG_SPACE(bytes);
		h = CMSG_FIRSTHDR(&m);
		h->cmsg_level = SOL_SOCKET;
		h->cmsg_type = SCM_RIGHTS;
		h->cmsg_len = CMSG_LEN(bytes);
		memcpy(CMSG_DATA(h), fds, bytes);
	}
	do {
		n = sendmsg(sock, &m, MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	return (size_t)n == len ? 0 : -EMSGSIZE;
}

/* Keep the first descriptors, close what is more; how many there were. */
static int
take_fds(struct msghdr *m, int *fds, int max)
{
	int n = 0, fd;

	for (struct cmsghdr *h = CMSG_FIRSTHDR(m); h != NULL;
	     h = CMSG_NXTHDR(m, h)) {
		if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t at = CMSG_LEN(0); at + sizeof(fd) <= h->cmsg_len;
		     at += sizeof(fd)) {
			memcpy(&fd, (char *)h + at, sizeof(fd));
			if (n++ < max)
				fds[n - 1] = fd;
			else
				(void)close(fd);
		}
	}
	return n;
}

int
wr_sock_recv_fds(int sock, void *msg, size_t size, int *fds, int *n_fds)
{
	struct iovec iov = { .iov_base = msg, .iov_len = size };
	union control c;
	struct msghdr m = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = c.mem,
		.msg_controllen = sizeof(c.mem) };
	int got, err = 0;
	ssize_t n;

	*n_fds = 0;
	do {
		n = recvmsg(sock, &m, MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	got = take_fds(&m, fds, WR_FDS);
	if (got > WR_FDS || m.msg_flags & MSG_CTRUNC)
		err = -EPROTO;
	else if (m.msg_flags & MSG_TRUNC)
		err = -EMSGSIZE;
	if (err == 0) {
		*n_fds = got;
		return (int)n;
	}
	for (int i = 0; i < got && i < WR_FDS; i++)
		(void)close(fds[i]);
	return err;
}
