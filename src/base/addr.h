/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * addr - addresses of sockets, and sets of networks.
 *
 * `wr_addr` is what system calls want; `wr_ip` is the same in 24 bytes for
 * what is kept per session, without the path of a unix socket.
 */
#ifndef WR_ADDR_H
#define WR_ADDR_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/str.h"

struct wr_addr {
	union {
		struct sockaddr sa;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
		struct sockaddr_un un;
	};
	socklen_t len; /* 0: none */
};

struct wr_ip {
	uint8_t ip[16]; /* network order; IPv4 in the first four */
	uint32_t scope;
	uint16_t port;  /* host order */
	uint8_t family; /* AF_INET, AF_INET6, AF_UNIX (no more known), 0 none */
	uint8_t unused;
};

/* Longest text of an address: "unix:" and a full path. */
#define WR_ADDR_TEXT 120

/*
 * Parse "10.0.0.5:80", "[::1]:80", "[fe80::1%eth0]:80", "*:80" (IPv4),
 * "unix:/path".  `port` is used when the text has none; -EDESTADDRREQ if both
 * lack it (port < 0).  -EINVAL not an address (it may be a name), -ERANGE bad
 * port (0 too), -ENODEV no such interface, -ENAMETOOLONG path.
 */
wr_must_check int wr_addr_parse(struct wr_addr *a, struct wr_str s, int port);
/* "10.0.0.5:80", "unix:/path" escaped, "-" for none; cut at `size`; returns
 * `text`. */
char *wr_addr_text(const struct wr_addr *a, char *text, size_t size);
bool wr_addr_eq(const struct wr_addr *a, const struct wr_addr *b);
/* Host order; 0 for unix sockets. */
uint16_t wr_addr_port(const struct wr_addr *a);
void wr_addr_set_port(struct wr_addr *a, uint16_t port);

/* `sa` may be NULL (family 0).  An IPv4-mapped IPv6 address becomes IPv4. */
struct wr_ip wr_ip_of(const struct sockaddr *sa, socklen_t len);
struct wr_addr wr_addr_of_ip(const struct wr_ip *ip);
/* "10.0.0.5:80", "[::1]:80", "unix:", "-"; returns `text`. */
char *wr_ip_text(const struct wr_ip *ip, char *text, size_t size);
/* The same without a port: "10.0.0.5", "::1". */
char *wr_ip_host(const struct wr_ip *ip, char *text, size_t size);
bool wr_ip_same_host(const struct wr_ip *a, const struct wr_ip *b);

/* A network: the first `bits` bits of `ip` count. */
struct wr_cidr {
	uint8_t ip[16];
	uint8_t family; /* AF_INET, AF_INET6; 0 is "all" */
	uint8_t bits;
};

/* Sorted and without members that others cover, so that a search is O(log n).
 * Part of a configuration: plain memory, no owner of its own. */
struct wr_cidrs {
	struct wr_cidr *v;
	uint32_t n;
};

/* "10.0.0.0/8", "::1", "all"; a network of IPv4-mapped addresses becomes IPv4,
 * as addresses do.  -EINVAL; -EDOM if bits of the host are set. */
wr_must_check int wr_cidr_parse(struct wr_cidr *c, struct wr_str s);
/* Sorts `v` in place and drops what others cover. */
void wr_cidrs_build(struct wr_cidrs *set, struct wr_cidr *v, uint32_t n);
bool wr_cidrs_have(const struct wr_cidrs *set, const struct wr_ip *ip);

#endif
