/* SPDX-License-Identifier: BSD-2-Clause */
/* address - see address.h. */
#include "proc/address.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "io/sock.h"

/* -- Sets of slots ------------------------------------------------------ */

bool
wr_slots_have(const struct wr_slots *s, int slot)
{
	return (s->bits[slot / 64] & UINT64_C(1) << (slot % 64)) != 0;
}

void
wr_slots_set(struct wr_slots *s, int slot, bool on)
{
	uint64_t bit = UINT64_C(1) << (slot % 64);

	assert(slot >= 0 && slot < WR_FLEET_SLOTS);
	if (on)
		s->bits[slot / 64] |= bit;
	else
		s->bits[slot / 64] &= ~bit;
}

bool
wr_slots_empty(const struct wr_slots *s)
{
	for (size_t i = 0; i < WR_COUNT(s->bits); i++)
		if (s->bits[i] != 0)
			return false;
	return true;
}

/* -- Wants -------------------------------------------------------------- */

struct wr_want
wr_want_of(
    const struct wr_listener_conf *listener, const struct wr_listen *listen)
{
	struct wr_want w = { .listener = listener,
		.listen = listen,
		.way = WR_WAY_SHARDED,
		.foreign = -1 };

	if (listen->kind == WR_LISTEN_FD)
		w.foreign = listen->fd;
	if (listen->kind == WR_LISTEN_UNIX)
		w.way = WR_WAY_SHARED;
	if (listener->protocol != WR_TCP)
		w.way = WR_WAY_CONTROL;
	return w;
}

bool
wr_address_is(const struct wr_address *a, const struct wr_want *want)
{
	if (a->kind != want->listen->kind)
		return false;
	if (a->kind == WR_LISTEN_FD)
		return a->foreign == want->foreign;
	return wr_addr_eq(&a->addr, &want->listen->addr);
}

static bool
is_any(const struct wr_addr *a)
{
	if (a->sa.sa_family == AF_INET)
		return a->in.sin_addr.s_addr == htonl(INADDR_ANY);
	return IN6_IS_ADDR_UNSPECIFIED(&a->in6.sin6_addr);
}

bool
wr_address_meets(const struct wr_address *a, const struct wr_want *want)
{
	const struct wr_addr *b = &want->listen->addr;

	if (want->listen->kind != WR_LISTEN_TCP || a->addr.len == 0 ||
	    a->addr.sa.sa_family != b->sa.sa_family)
		return false;
	return wr_addr_port(&a->addr) == wr_addr_port(b) &&
	       (is_any(&a->addr) || is_any(b));
}

bool
wr_address_covers(const struct wr_address *a, const struct wr_address *b)
{
	return a->kind == WR_LISTEN_TCP && b->kind == WR_LISTEN_TCP &&
	       a->addr.sa.sa_family == b->addr.sa.sa_family &&
	       wr_addr_port(&a->addr) == wr_addr_port(&b->addr) &&
	       is_any(&a->addr) && !is_any(&b->addr);
}

/* -- Life --------------------------------------------------------------- */

struct wr_address *
wr_address_new(const struct wr_want *want)
{
	struct wr_address *a = calloc(1, sizeof(*a));

	if (a == NULL)
		return NULL;
	a->text = strdup(want->listen->text);
	if (a->text == NULL) {
		free(a);
		return NULL;
	}
	wr_list_init(&a->link);
	a->kind = want->listen->kind;
	a->way = want->way;
	a->foreign = want->foreign;
	if (a->kind != WR_LISTEN_FD)
		a->addr = want->listen->addr;
	a->want = *want;
	a->mode = want->listener->mode;
	a->uid = want->listener->uid;
	a->gid = want->listener->gid;
	a->backlog = want->listener->backlog;
	a->cell = want->listener->cell;
	return a;
}

void
wr_address_free(struct wr_address **ap)
{
	struct wr_address *a = *ap;

	*ap = NULL;
	if (a == NULL)
		return;
	wr_list_remove(&a->link);
	for (uint32_t i = 0; i < a->n; i++)
		(void)close(a->port[i].fd);
	if (a->gen != NULL)
		wr_gen_put(&a->gen);
	free(a->port);
	free(a->text);
	free(a);
}

int
wr_address_add(struct wr_address *a, int fd, bool listening)
{
	struct wr_port *port = realloc(a->port, (a->n + 1) * sizeof(*a->port));

	if (port == NULL) {
		if (fd != a->foreign)
			(void)close(fd);
		return -ENOMEM;
	}
	a->port = port;
	a->port[a->n++] =
	    (struct wr_port){ .fd = fd, .listening = listening, .fresh = true };
	return 0;
}

/* A descriptor of somebody else becomes the first socket. */
static int
adopt(struct wr_address *a)
{
	int type, err;
	socklen_t len = sizeof(type);

	if (getsockopt(a->foreign, SOL_SOCKET, SO_TYPE, &type, &len) != 0)
		return -errno;
	if (type != SOCK_STREAM)
		return -ESOCKTNOSUPPORT;
	err = wr_sock_name(a->foreign, &a->addr);
	if (err < 0)
		return err;
	err = wr_sock_nonblock(a->foreign, true);
	if (err < 0)
		return err;
	return wr_address_add(a, a->foreign, wr_sock_is_listener(a->foreign));
}

static int
bind_first(struct wr_address *a, bool beside)
{
	int fd, err;

	if (a->kind == WR_LISTEN_FD)
		return adopt(a);
	if (a->kind == WR_LISTEN_UDP) {
		fd = wr_sock_bind_dgram(&a->addr);
		return fd < 0 ? fd : wr_address_add(a, fd, false);
	}
	fd = wr_sock_bind(&a->addr, beside ? WR_BIND_REUSEPORT : 0, a->mode);
	if (fd < 0)
		return fd;
	err = wr_address_add(a, fd, false);
	if (err < 0 || a->kind != WR_LISTEN_UNIX)
		return err;
	if (lstat(a->addr.un.sun_path, &a->file) != 0)
		return -errno;
	if ((a->uid != WR_OFF || a->gid != WR_OFF) &&
	    lchown(a->addr.un.sun_path, a->uid == WR_OFF ? (uid_t)-1 : a->uid,
		a->gid == WR_OFF ? (gid_t)-1 : a->gid) != 0)
		return -errno;
	return 0;
}

/* Another socket on the same address. */
static int
bind_sibling(struct wr_address *a)
{
	int fd = wr_sock_bind(&a->addr, WR_BIND_REUSEPORT, 0);

	return fd < 0 ? fd : wr_address_add(a, fd, false);
}

enum wr_way
wr_address_way(const struct wr_address *a)
{
	if (a->want.way != WR_WAY_SHARDED)
		return a->want.way;
	return a->addr.sa.sa_family == AF_UNIX || (a->dull && a->n == 1)
		   ? WR_WAY_SHARED
		   : WR_WAY_SHARDED;
}

int
wr_address_bind(struct wr_address *a, uint32_t n, bool beside)
{
	int err = a->n == 0 ? bind_first(a, beside) : 0;

	if (err < 0 || a->addr.sa.sa_family == AF_UNIX || a->dull ||
	    a->kind == WR_LISTEN_UDP)
		return err;
	/* Even a single one: another address may come to meet it. */
	err = wr_sock_allow_siblings(a->port[0].fd);
	while (err == 0 && a->want.way == WR_WAY_SHARDED && a->n < n)
		err = bind_sibling(a);
	if (err < 0 && a->kind == WR_LISTEN_FD) {
		/* It has another owner too.  All share it, or, if some have
		 * siblings already, more workers get none. */
		a->dull = true;
		err = 0;
	}
	return err;
}

void
wr_address_unbind(struct wr_address *a)
{
	if (a->n > 0 && a->port[0].fresh)
		wr_address_unlink(a);
	/* What was inherited stays with us: it cannot be had again. */
	while (a->n > 0 && a->port[a->n - 1].fresh)
		if (a->port[--a->n].fd != a->foreign)
			(void)close(a->port[a->n].fd);
}

int
wr_address_listen(struct wr_address *a, uint32_t shard)
{
	int err;

	if (shard >= a->n)
		return 0;
	if (a->kind == WR_LISTEN_UDP) {
		a->port[shard].listening = true;
		return 0;
	}
	err = wr_sock_listen(a->port[shard].fd, (int)a->backlog);
	a->port[shard].listening = err == 0;
	if (err < 0)
		a->unheard = true;
	return err;
}

bool
wr_address_is_busy(const struct wr_address *a)
{
	/* A datagram is no client that was promised anything. */
	if (a->kind == WR_LISTEN_UDP)
		return false;
	for (uint32_t i = 0; i < a->n; i++) {
		struct pollfd p = { .fd = a->port[i].fd, .events = POLLIN };

		if (a->port[i].listening && poll(&p, 1, 0) == 1 &&
		    (p.revents & POLLIN) != 0)
			return true;
	}
	return false;
}

void
wr_address_unlink(const struct wr_address *a)
{
	struct stat st;

	if (a->kind != WR_LISTEN_UNIX || lstat(a->addr.un.sun_path, &st) != 0)
		return;
	if (st.st_dev == a->file.st_dev && st.st_ino == a->file.st_ino)
		(void)unlink(a->addr.un.sun_path);
}

bool
wr_address_is_alone(const struct wr_address *a)
{
	for (uint32_t i = 0; i < a->n; i++)
		if (!wr_slots_empty(&a->port[i].have) ||
		    !wr_slots_empty(&a->port[i].leave))
			return false;
	return true;
}
