/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sock - make sockets, set their options, pass descriptors.
 *
 * Plain system calls with one convention: a descriptor or 0, or a negative
 * errno.  Everything is close-on-exec.
 */
#ifndef WR_SOCK_H
#define WR_SOCK_H

#include "base/addr.h"
#include "base/base.h"

/* A stream socket of the address's family, not connected, non-blocking.
 * TCP_NODELAY set for TCP. */
wr_must_check int wr_sock_stream(int family);
wr_must_check int wr_sock_dgram(int family);
/* The same, bound; IPv6 only. */
wr_must_check int wr_sock_bind_dgram(const struct wr_addr *a);

/*
 * Bind a listener, non-blocking, without listening.  IPv6 sockets are IPv6
 * only.  TCP: SO_REUSEADDR and TCP_NODELAY (inherited by accepted sockets);
 * REUSEPORT as asked.  unix: `mode` is set before anybody can connect; a stale
 * file is removed only if connecting says refused.
 */
#define WR_BIND_REUSEPORT 1u
wr_must_check int
wr_sock_bind(const struct wr_addr *a, unsigned flags, unsigned mode);
/* Let siblings bind the same address from now on. */
wr_must_check int wr_sock_allow_siblings(int fd);
wr_must_check int wr_sock_listen(int fd, int backlog);
/* Drop SYN without ACK: new clients are not answered, handshakes under way
 * complete.  Linux; elsewhere -ENOTSUP. */
wr_must_check int wr_sock_refuse_new(int fd);
wr_must_check int wr_sock_accept_new(int fd);
/* Connections waiting to be accepted, or -errno. */
int wr_sock_queued(int fd);

/* Keep-alive after idle_s, or early_s before; who does not answer is asked
 * more often then, and given up when `misses` times idle_s are over, too.  And
 * the time after which unacknowledged data ends the connection, 0 to leave it
 * alone. */
wr_must_check int wr_sock_heartbeat(int fd, unsigned idle_s, unsigned misses,
    unsigned early_s, unsigned user_timeout_ms);
/* Only the latter; 0 is the system's. */
wr_must_check int wr_sock_user_timeout(int fd, unsigned ms);
/* The peer has reset the connection, or both directions have ended. */
bool wr_sock_gone(int fd);
/* How the peer takes what was sent; where it cannot be told, all is taken. */
enum wr_taken {
	WR_TAKEN_ALL,  /* nothing is on its way */
	WR_TAKEN_SLOW, /* something is */
	WR_TAKEN_NONE, /* bytes wait, but its window is closed */
};
enum wr_taken wr_sock_taken(int fd);
/* TCP_NOTSENT_LOWAT, where there is one. */
void wr_sock_unsent(int fd, uint32_t bytes);
/* The next close resets. */
void wr_sock_reset_on_close(int fd);
/* Bind to an own address without choosing a port yet. */
wr_must_check int wr_sock_source(int fd, const struct wr_addr *a);
wr_must_check int wr_sock_name(int fd, struct wr_addr *a);
wr_must_check int wr_sock_peer(int fd, struct wr_addr *a);
/* SO_TYPE is a stream socket that listens. */
bool wr_sock_is_listener(int fd);
wr_must_check int wr_sock_nonblock(int fd, bool on);

/* An AF_UNIX SOCK_SEQPACKET pair, non-blocking. */
wr_must_check int wr_sock_pair(int fds[2]);
/*
 * One message with descriptors (n_fds <= WR_FDS).  Send: 0 or -errno, all or
 * nothing.  Receive: bytes, 0 at the end; descriptors are stored and counted,
 * surplus ones closed and -EPROTO returned; -EMSGSIZE if cut.
 */
#define WR_FDS 64
wr_must_check int wr_sock_send_fds(
    int sock, const void *msg, size_t len, const int *fds, int n_fds);
wr_must_check int
wr_sock_recv_fds(int sock, void *msg, size_t size, int *fds, int *n_fds);

#endif
