/* SPDX-License-Identifier: BSD-2-Clause */
/* addr - see addr.h. */
#include "base/addr.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <net/if.h>
#include <stdlib.h>

#include "base/text.h"

#define PATH_AT offsetof(struct sockaddr_un, sun_path)

/* inet_pton() and if_nametoindex() want texts ended by a NUL. */
static bool
terminated(struct wr_str s, char *text, size_t size)
{
	if (s.len == 0 || s.len >= size || memchr(s.p, '\0', s.len) != NULL)
		return false;
	memcpy(text, s.p, s.len);
	text[s.len] = '\0';
	return true;
}

static int
parse_unix(struct wr_addr *a, struct wr_str path)
{
	if (path.len >= sizeof(a->un.sun_path))
		return -ENAMETOOLONG;
	if (!terminated(path, a->un.sun_path, sizeof(a->un.sun_path)))
		return -EINVAL;
	a->un.sun_family = AF_UNIX;
	a->len = (socklen_t)(PATH_AT + path.len + 1);
	return 0;
}

/* The index of an interface, given by name or number; 0 if there is none. */
static uint32_t
scope_of(struct wr_str zone)
{
	char name[IF_NAMESIZE];
	uint64_t n;

	if (wr_str_u64(zone, UINT32_MAX, &n) == 0)
		return (uint32_t)n;
	return terminated(zone, name, sizeof(name)) ? if_nametoindex(name) : 0;
}

static int
parse_in6(struct wr_addr *a, struct wr_str host)
{
	char text[INET6_ADDRSTRLEN];
	struct wr_str ip, zone;
	bool zoned = wr_str_cut(host, '%', &ip, &zone);

	if (!terminated(ip, text, sizeof(text)) ||
	    inet_pton(AF_INET6, text, &a->in6.sin6_addr) != 1)
		return -EINVAL;
	if (zoned) {
		a->in6.sin6_scope_id = scope_of(zone);
		if (a->in6.sin6_scope_id == 0)
			return -ENODEV;
	}
	a->in6.sin6_family = AF_INET6;
	a->len = sizeof(a->in6);
	return 0;
}

static int
parse_in(struct wr_addr *a, struct wr_str host)
{
	char text[INET_ADDRSTRLEN];

	if (wr_str_is(host, "*"))
		a->in.sin_addr.s_addr = htonl(INADDR_ANY);
	else if (!terminated(host, text, sizeof(text)) ||
		 inet_pton(AF_INET, text, &a->in.sin_addr) != 1)
		return -EINVAL;
	a->in.sin_family = AF_INET;
	a->len = sizeof(a->in);
	return 0;
}

int
wr_addr_parse(struct wr_addr *a, struct wr_str s, int port)
{
	struct wr_str host, rest;
	uint64_t n = 0;
	bool given;
	int err;

	assert(port <= UINT16_MAX);
	memset(a, 0, sizeof(*a));
	if (wr_str_starts(s, "unix:"))
		return parse_unix(a, (struct wr_str){ s.p + 5, s.len - 5 });
	if (wr_str_starts(s, "[")) {
		s = (struct wr_str){ s.p + 1, s.len - 1 };
		if (!wr_str_cut(s, ']', &host, &rest))
			return -EINVAL;
		given = wr_str_starts(rest, ":");
		if (!given && rest.len > 0)
			return -EINVAL;
		if (given)
			rest = (struct wr_str){ rest.p + 1, rest.len - 1 };
		err = parse_in6(a, host);
	} else {
		given = wr_str_cut(s, ':', &host, &rest);
		err = parse_in(a, host);
	}
	if (err == 0 && !given && port < 0)
		err = -EDESTADDRREQ;
	if (err == 0 && given &&
	    (wr_str_u64(rest, UINT16_MAX, &n) < 0 || n == 0))
		err = -ERANGE;
	if (err < 0) {
		memset(a, 0, sizeof(*a));
		return err;
	}
	wr_addr_set_port(a, given ? (uint16_t)n : (uint16_t)port);
	return 0;
}

static char *
unix_text(const struct wr_addr *a, char *text, size_t size)
{
	struct wr_text t;
	struct wr_str path = { a->un.sun_path, 0 };

	/* What the kernel names is not always ended by a NUL. */
	if (a->len > PATH_AT)
		path.len = a->len - PATH_AT;
	wr_text_over(&t, text, size);
	wr_text_puts(&t, "unix:");
	if (path.len > 0 && path.p[0] == '\0') {
		/* Linux's abstract names; by custom the NUL is shown as @. */
		wr_text_putc(&t, '@');
		path = (struct wr_str){ path.p + 1, path.len - 1 };
	} else {
		path.len = strnlen(path.p, path.len);
	}
	wr_text_escape(&t, path);
	return text;
}

char *
wr_addr_text(const struct wr_addr *a, char *text, size_t size)
{
	struct wr_ip ip;

	if (a->len > 0 && a->sa.sa_family == AF_UNIX)
		return unix_text(a, text, size);
	/* Not wr_ip_of(): a mapped address is to be shown as it is. */
	memset(&ip, 0, sizeof(ip));
	if (a->len > 0 && a->sa.sa_family == AF_INET) {
		ip.family = AF_INET;
		memcpy(ip.ip, &a->in.sin_addr, 4);
	} else if (a->len > 0 && a->sa.sa_family == AF_INET6) {
		ip.family = AF_INET6;
		memcpy(ip.ip, &a->in6.sin6_addr, 16);
		ip.scope = a->in6.sin6_scope_id;
	}
	ip.port = wr_addr_port(a);
	return wr_ip_text(&ip, text, size);
}

bool
wr_addr_eq(const struct wr_addr *a, const struct wr_addr *b)
{
	if (a->len == 0 || b->len == 0)
		return a->len == b->len;
	if (a->sa.sa_family != b->sa.sa_family)
		return false;
	switch (a->sa.sa_family) {
	case AF_INET:
		return a->in.sin_port == b->in.sin_port &&
		       a->in.sin_addr.s_addr == b->in.sin_addr.s_addr;
	case AF_INET6:
		return a->in6.sin6_port == b->in6.sin6_port &&
		       a->in6.sin6_scope_id == b->in6.sin6_scope_id &&
		       memcmp(&a->in6.sin6_addr, &b->in6.sin6_addr, 16) == 0;
	default:
		return a->len == b->len && memcmp(&a->un, &b->un, a->len) == 0;
	}
}

uint16_t
wr_addr_port(const struct wr_addr *a)
{
	if (a->len == 0)
		return 0;
	switch (a->sa.sa_family) {
	case AF_INET:
		return ntohs(a->in.sin_port);
	case AF_INET6:
		return ntohs(a->in6.sin6_port);
	default:
		return 0;
	}
}

void
wr_addr_set_port(struct wr_addr *a, uint16_t port)
{
	assert(a->sa.sa_family == AF_INET || a->sa.sa_family == AF_INET6);
	if (a->sa.sa_family == AF_INET)
		a->in.sin_port = htons(port);
	else
		a->in6.sin6_port = htons(port);
}

struct wr_ip
wr_ip_of(const struct sockaddr *sa, socklen_t len)
{
	struct wr_ip ip = { .family = 0 };
	struct sockaddr_in in;
	struct sockaddr_in6 in6;

	/* Copied out: the caller's bytes may be aligned to nothing. */
	if (sa == NULL || len < (socklen_t)sizeof(sa_family_t))
		return ip;
	if (sa->sa_family == AF_UNIX) {
		ip.family = AF_UNIX;
	} else if (sa->sa_family == AF_INET && len >= sizeof(in)) {
		memcpy(&in, sa, sizeof(in));
		ip.family = AF_INET;
		ip.port = ntohs(in.sin_port);
		memcpy(ip.ip, &in.sin_addr, 4);
	} else if (sa->sa_family == AF_INET6 && len >= sizeof(in6)) {
		memcpy(&in6, sa, sizeof(in6));
		ip.family = AF_INET6;
		ip.port = ntohs(in6.sin6_port);
		if (IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr)) {
			ip.family = AF_INET;
			memcpy(ip.ip, in6.sin6_addr.s6_addr + 12, 4);
		} else {
			ip.scope = in6.sin6_scope_id;
			memcpy(ip.ip, &in6.sin6_addr, 16);
		}
	}
	return ip;
}

struct wr_addr
wr_addr_of_ip(const struct wr_ip *ip)
{
	struct wr_addr a;

	memset(&a, 0, sizeof(a));
	a.sa.sa_family = ip->family;
	if (ip->family == AF_INET) {
		a.len = sizeof(a.in);
		a.in.sin_port = htons(ip->port);
		memcpy(&a.in.sin_addr, ip->ip, 4);
	} else if (ip->family == AF_INET6) {
		a.len = sizeof(a.in6);
		a.in6.sin6_port = htons(ip->port);
		a.in6.sin6_scope_id = ip->scope;
		memcpy(&a.in6.sin6_addr, ip->ip, 16);
	} else if (ip->family == AF_UNIX) {
		a.len = PATH_AT;
	}
	return a;
}

static void
put_host(struct wr_text *t, const struct wr_ip *ip)
{
	char host[INET6_ADDRSTRLEN], zone[IF_NAMESIZE];

	if (ip->family != AF_INET && ip->family != AF_INET6) {
		wr_text_puts(t, ip->family == AF_UNIX ? "unix:" : "-");
		return;
	}
	wr_text_puts(t, inet_ntop(ip->family, ip->ip, host, sizeof(host)));
	if (ip->family == AF_INET || ip->scope == 0)
		return;
	if (if_indextoname(ip->scope, zone) != NULL)
		wr_text_printf(t, "%%%s", zone);
	else
		wr_text_printf(t, "%%%u", ip->scope);
}

char *
wr_ip_host(const struct wr_ip *ip, char *text, size_t size)
{
	struct wr_text t;

	wr_text_over(&t, text, size);
	put_host(&t, ip);
	return text;
}

char *
wr_ip_text(const struct wr_ip *ip, char *text, size_t size)
{
	struct wr_text t;

	wr_text_over(&t, text, size);
	if (ip->family == AF_INET6)
		wr_text_putc(&t, '[');
	put_host(&t, ip);
	if (ip->family == AF_INET6)
		wr_text_putc(&t, ']');
	if (ip->family == AF_INET || ip->family == AF_INET6)
		wr_text_printf(&t, ":%u", ip->port);
	return text;
}

bool
wr_ip_same_host(const struct wr_ip *a, const struct wr_ip *b)
{
	return a->family == b->family && a->scope == b->scope &&
	       memcmp(a->ip, b->ip, sizeof(a->ip)) == 0;
}

/* Do the first `bits` bits agree? */
static bool
same_prefix(const uint8_t *a, const uint8_t *b, unsigned bits)
{
	unsigned rest = bits % 8;

	if (memcmp(a, b, bits / 8) != 0)
		return false;
	return rest == 0 || (a[bits / 8] ^ b[bits / 8]) >> (8 - rest) == 0;
}

/* As wr_ip_of() reads addresses: ::ffff:10.0.0.0/104 is 10.0.0.0/8. */
static void
unmap(struct wr_cidr *c)
{
	static const uint8_t MAPPED[12] = { [10] = 0xff, [11] = 0xff };

	if (c->bits < 96 || memcmp(c->ip, MAPPED, sizeof(MAPPED)) != 0)
		return;
	c->family = AF_INET;
	c->bits = (uint8_t)(c->bits - 96);
	memmove(c->ip, c->ip + 12, 4);
	memset(c->ip + 4, 0, 12);
}

int
wr_cidr_parse(struct wr_cidr *c, struct wr_str s)
{
	static const uint8_t ZERO[16];
	char text[INET6_ADDRSTRLEN];
	struct wr_str ip, mask;
	uint64_t bits;
	unsigned at;
	bool masked = wr_str_cut(s, '/', &ip, &mask);

	memset(c, 0, sizeof(*c));
	if (wr_str_is(s, "all"))
		return 0;
	if (!terminated(ip, text, sizeof(text)))
		return -EINVAL;
	if (inet_pton(AF_INET, text, c->ip) == 1)
		c->family = AF_INET;
	else if (inet_pton(AF_INET6, text, c->ip) == 1)
		c->family = AF_INET6;
	else
		return -EINVAL;
	bits = c->family == AF_INET ? 32 : 128;
	if (masked && wr_str_u64(mask, bits, &bits) < 0)
		return -EINVAL;
	c->bits = (uint8_t)bits;
	at = c->bits / 8;
	if (c->bits % 8 != 0 && (c->ip[at++] & (0xff >> c->bits % 8)) != 0)
		return -EDOM;
	if (memcmp(c->ip + at, ZERO, 16 - at) != 0)
		return -EDOM;
	if (c->family == AF_INET6)
		unmap(c);
	return 0;
}

static bool
covers(const struct wr_cidr *c, uint8_t family, const uint8_t *ip)
{
	if (c->family == 0)
		return true;
	return c->family == family && same_prefix(c->ip, ip, c->bits);
}

/* Where `family` and `ip` stand, seen from the start of a network. */
static int
order(uint8_t family, const uint8_t *ip, const struct wr_cidr *c)
{
	if (family != c->family)
		return family < c->family ? -1 : 1;
	return memcmp(ip, c->ip, sizeof(c->ip));
}

/* A network comes before those it covers. */
static int
compare(const void *a, const void *b)
{
	const struct wr_cidr *x = a, *y = b;
	int diff = order(x->family, x->ip, y);

	return diff != 0 ? diff : (int)x->bits - (int)y->bits;
}

void
wr_cidrs_build(struct wr_cidrs *set, struct wr_cidr *v, uint32_t n)
{
	uint32_t kept = 0;

	if (n > 1)
		qsort(v, n, sizeof(*v), compare);
	for (uint32_t i = 0; i < n; i++) {
		if (kept > 0 && covers(&v[kept - 1], v[i].family, v[i].ip))
			continue;
		v[kept++] = v[i];
	}
	*set = (struct wr_cidrs){ .v = v, .n = kept };
}

bool
wr_cidrs_have(const struct wr_cidrs *set, const struct wr_ip *ip)
{
	uint32_t low = 0, high = set->n;

	/* Only the last network that starts at or before `ip` can cover it,
	 * as no network of the set is within another. */
	while (low < high) {
		uint32_t mid = low + (high - low) / 2;

		if (order(ip->family, ip->ip, &set->v[mid]) < 0)
			high = mid;
		else
			low = mid + 1;
	}
	return low > 0 && covers(&set->v[low - 1], ip->family, ip->ip);
}
