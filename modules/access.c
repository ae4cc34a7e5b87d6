/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * access - turn clients away by address.
 *
 *	access = { deny = [ "10.1.2.3" ]; allow = [ "10.0.0.0/8" ]; };
 *
 * Whoever is denied is refused; if some are allowed, so are all others.
 */
#include "modules/access.h"

#include "io/sock.h"
#include "modules/modules.h"
#include "proxy/core.h"

struct access {
	struct wr_cidrs allow;
	struct wr_cidrs deny;
};

static const struct wr_key keys[] = {
	{ "allow", WR_CIDRS, offsetof(struct access, allow), "",
	    .help = "networks that are let in; if any is given, no others" },
	{ "deny", WR_CIDRS, offsetof(struct access, deny), "",
	    .help = "networks that are turned away, looked at first" },
	{ 0 },
};

static bool
lets_in(const struct access *a, const struct wr_ip *client)
{
	return a == NULL ||
	       (!wr_cidrs_have(&a->deny, client) &&
		   (a->allow.n == 0 || wr_cidrs_have(&a->allow, client)));
}

bool
wr_access_lets_in(const struct wr_listener_conf *c, const struct wr_ip *client)
{
	int i = 0;

	while (wr_modules[i] != &wr_mod_access)
		i++;
	return c->rules.mod == NULL || lets_in(c->rules.mod[i], client);
}

bool
wr_access_lets_in_fd(
    const struct wr_listener_conf *c, int fd, const struct wr_done *d)
{
	struct wr_ip ip = { .family = AF_UNIX };
	struct wr_addr a;

	if (d->peer != NULL)
		ip = wr_ip_of(d->peer, d->peer_len);
	else if (wr_sock_peer(fd, &a) == 0)
		ip = wr_ip_of(&a.sa, a.len);
	return wr_access_lets_in(c, &ip);
}

static enum wr_verdict
check(struct wr_session *s, const void *conf)
{
	const struct access *a = conf;

	/* To know the client may cost a system call. */
	if (a == NULL || (a->allow.n == 0 && a->deny.n == 0) ||
	    lets_in(a, wr_session_client(s)))
		return WR_NEXT;
	wr_count(&wr_count_listener(s->px, s->listener_cell)->denied, 1);
	s->end = WR_END_CLIENT_ACCEPT_DENIED;
	s->answer = NULL;
	return WR_DENY;
}

const struct wr_module wr_mod_access = {
	.name = "access",
	.conf = { .name = "access",
	    .keys = keys,
	    .size = sizeof(struct access),
	    .at = WR_AT_TOP | WR_AT_LISTENER | WR_AT_ROUTE,
	    .help = "which clients are let in, by address" },
	.on_accept = check,
	.on_route = check,
};
