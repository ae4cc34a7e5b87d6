/* SPDX-License-Identifier: BSD-2-Clause */
/* timeouts - one table for all of them, and where each may be set. */
#include <assert.h>

#include "conf/core.h"

#define MS(t) offsetof(struct wr_timeouts, ms[t])

/* In the order of enum wr_timeout; one without a preset follows `idle`. */
const struct wr_key wr_timeout_keys[] = {
	{ "proxy_protocol", WR_TIME, MS(WR_T_PROXY_PROTOCOL), "5s",
	    "from accepting a client until its PROXY header is complete",
	    .min = 1, .later = "the PROXY protocol" },
	{ "preread", WR_TIME, MS(WR_T_PREREAD), "5s",
	    "until there are enough bytes to choose a route", .min = 1 },
	{ "handshake", WR_TIME, MS(WR_T_HANDSHAKE), "10s",
	    "TLS with the client; TLS with the server", .min = 1,
	    .later = "tls" },
	{ "connect", WR_TIME, MS(WR_T_CONNECT), "3s",
	    "one attempt to connect to a server", .min = 1 },
	{ "queue", WR_TIME, MS(WR_T_QUEUE), "5s",
	    "waiting for a place on a server, or for the first check",
	    .min = 1 },
	{ "wait_up", WR_TIME, MS(WR_T_WAIT_UP), "off",
	    "waiting while no server is up" },
	{ "first_byte", WR_TIME, MS(WR_T_FIRST_BYTE), "off",
	    "from sending to a server until its first byte" },
	{ "idle", WR_TIME, MS(WR_T_IDLE), "10m", "no byte either way" },
	{ "client_idle", WR_TIME, MS(WR_T_CLIENT_IDLE), "off",
	    "no byte from the client, even if the server sends" },
	{ "server_idle", WR_TIME, MS(WR_T_SERVER_IDLE), "off",
	    "no byte from the server, even if the client sends" },
	{ "send", WR_TIME, MS(WR_T_SEND), "",
	    "a peer takes no byte although there are some for it; as idle if "
	    "not set" },
	{ "half_close", WR_TIME, MS(WR_T_HALF_CLOSE), "1m",
	    "one side has ended, the other goes on" },
	{ "lifetime", WR_TIME, MS(WR_T_LIFETIME), "off", "a whole session" },
	{ "linger", WR_TIME, MS(WR_T_LINGER), "2s",
	    "from the end of a session until its sockets are closed" },
	{ "grace", WR_TIME, MS(WR_T_GRACE), "0s",
	    "asked to stop, but still accepting, so that balancers notice",
	    WR_LIVE },
	{ "drain", WR_TIME, MS(WR_T_DRAIN), "10m",
	    "from being asked to stop until sessions are cut", WR_LIVE },
	{ "spread", WR_TIME, MS(WR_T_SPREAD), "0s",
	    "closes that weir decides on are spread over this time", WR_LIVE },
	{ 0 },
};

#define LISTENER (WR_AT_LISTENER | WR_AT_ROUTE)
#define BOTH     (LISTENER | WR_AT_UPSTREAM)

static const unsigned AT[WR_TIMEOUTS] = {
	[WR_T_PROXY_PROTOCOL] = LISTENER,
	[WR_T_PREREAD] = LISTENER,
	[WR_T_HANDSHAKE] = BOTH,
	[WR_T_CONNECT] = WR_AT_UPSTREAM,
	[WR_T_QUEUE] = WR_AT_UPSTREAM,
	[WR_T_WAIT_UP] = WR_AT_UPSTREAM,
	[WR_T_FIRST_BYTE] = WR_AT_UPSTREAM,
	[WR_T_IDLE] = BOTH,
	[WR_T_CLIENT_IDLE] = BOTH,
	[WR_T_SERVER_IDLE] = BOTH,
	[WR_T_SEND] = BOTH,
	[WR_T_HALF_CLOSE] = BOTH,
	[WR_T_LIFETIME] = LISTENER,
	[WR_T_LINGER] = LISTENER,
};

const char *
wr_timeout_name(enum wr_timeout t)
{
	assert(t < WR_TIMEOUTS);
	return wr_timeout_keys[t].name;
}

unsigned
wr_timeout_at(enum wr_timeout t)
{
	return AT[t] | WR_AT_TOP;
}

static bool
says(const struct wr_timeouts *t, unsigned i)
{
	return (t->written >> i & 1) != 0;
}

/* What this side says, by itself or through `idle`. */
static bool
side(const struct wr_timeouts *t, unsigned i)
{
	bool follows = wr_timeout_keys[i].preset[0] == '\0';

	return says(t, i) || (follows && says(t, WR_T_IDLE));
}

uint32_t
wr_timeout_of(
    const struct wr_timeouts *l, const struct wr_timeouts *u, enum wr_timeout t)
{
	assert(t < WR_TIMEOUTS);
	if ((AT[t] & WR_AT_UPSTREAM) == 0)
		return l->ms[t];
	if ((AT[t] & LISTENER) == 0)
		return u->ms[t];
	/* WR_OFF is larger than any time. */
	if (side(l, t) == side(u, t))
		return l->ms[t] < u->ms[t] ? l->ms[t] : u->ms[t];
	return side(l, t) ? l->ms[t] : u->ms[t];
}

/* Zero is "not said" for those that follow another one. */
void
wr_timeouts_settle(struct wr_timeouts *t)
{
	for (unsigned i = 0; i < WR_TIMEOUTS; i++)
		if (wr_timeout_keys[i].preset[0] == '\0' && t->ms[i] == 0)
			t->ms[i] = t->ms[WR_T_IDLE];
}

static const char *
place(unsigned at)
{
	if (at == WR_AT_UPSTREAM)
		return "an upstream";
	return (at & WR_AT_LISTENER) != 0 ? "a listener" : "the top level";
}

/* `at` is where this group is written. */
static void
one(struct wr_check *c, const struct wr_node *n, unsigned at,
    struct wr_timeouts *t)
{
	const char *known[WR_TIMEOUTS];
	struct wr_text hint = { 0 };

	for (unsigned i = 0; i < WR_TIMEOUTS; i++) {
		known[i] = wr_timeout_keys[i].name;
		if (strcmp(known[i], n->name) != 0)
			continue;
		if ((wr_timeout_at((enum wr_timeout)i) & at) == 0) {
			wr_check_error(
			    c, n, "this belongs to %s", place(AT[i]));
			return;
		}
		if (n->bad)
			return;
		if (wr_timeout_keys[i].later != NULL) {
			wr_check_error(c, n, "not built yet (%s)",
			    wr_timeout_keys[i].later);
			return;
		}
		wr_check_value(c, &wr_timeout_keys[i], n, &t->ms[i]);
		if (at != WR_AT_TOP)
			t->written |= 1u << i;
		return;
	}
	wr_hint(&hint, n->name, known, WR_TIMEOUTS);
	wr_check_error(c, n, "unknown key%s", hint.len > 0 ? hint.p : "");
	wr_text_fini(&hint);
}

void
wr_parse_timeouts(struct wr_check *c, const struct wr_key *key,
    const struct wr_node *n, void *field)
{
	char text[WR_SHOWN];

	if (n->kind != WR_N_GROUP) {
		wr_check_error(c, n, "a group { } is expected, not %s",
		    wr_check_shown(NULL, n, text));
		return;
	}
	for (n = n->first; n != NULL; n = n->next)
		one(c, n, (unsigned)key->min, field);
}
