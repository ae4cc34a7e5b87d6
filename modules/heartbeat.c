/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * heartbeat - find peers that are gone without a word.
 *
 *	heartbeat = { interval = "30s"; misses = 2; };
 *
 * A silent peer is probed every `interval` or sooner (TCP keep-alive), and more
 * often when it does not answer.  It is given up when it did not, or nothing
 * was acknowledged, for interval * (misses + 1).  How, is in proxy/beat.h.
 */
#include <errno.h>

#include "base/log.h"
#include "io/sock.h"
#include "modules/modules.h"
#include "proxy/session.h"

struct heartbeat {
	bool on;
	uint32_t interval_ms;
	uint32_t misses;
};

static const struct wr_key keys[] = {
	{ "on", WR_BOOL, offsetof(struct heartbeat, on), "true",
	    .help = "probe connections that are silent" },
	{ "interval", WR_TIME, offsetof(struct heartbeat, interval_ms), "30s",
	    .help = "silence before a probe, in whole seconds", .min = 1000,
	    .max = 32767000 },
	{ "misses", WR_INT, offsetof(struct heartbeat, misses), "2",
	    .help = "probes without an answer before the peer is given up",
	    .min = 1, .max = 100 },
	{ 0 },
};

static unsigned
seconds(const struct heartbeat *h)
{
	return h != NULL && h->on ? h->interval_ms / 1000 : 0;
}

/* Accepted sockets inherit it. */
static void
on_listen(const struct wr_listener_conf *c, int fd, const void *conf)
{
	const struct heartbeat *h = conf;
	unsigned interval_s = seconds(h);
	int err;

	if (interval_s == 0)
		return;
	err = wr_sock_heartbeat(fd, interval_s, h->misses, 0,
	    wr_beat_limit_ms(interval_s, h->misses));
	/* A unix socket's peer cannot be gone without a word. */
	if (err < 0 && err != -EOPNOTSUPP) {
		errno = -err;
		wr_warn("listener %s: heartbeat", c->name);
	}
}

static void
note(struct wr_beat *b, const struct heartbeat *h)
{
	b->interval_s = (uint16_t)seconds(h);
	b->misses = (uint8_t)(h != NULL ? h->misses : 0);
}

static enum wr_verdict
on_accept(struct wr_session *s, const void *conf)
{
	/* No port: it came to a unix socket. */
	if (s->port != 0)
		note(&s->beat[WR_CLIENT], conf);
	return WR_NEXT;
}

static enum wr_verdict
on_connect(struct wr_session *s, const void *conf)
{
	if (s->server->addr.sa.sa_family != AF_UNIX)
		note(&s->beat[WR_SERVER], conf);
	return WR_NEXT;
}

const struct wr_module wr_mod_heartbeat = {
	.name = "heartbeat",
	.conf = { .name = "heartbeat",
	    .keys = keys,
	    .size = sizeof(struct heartbeat),
	    .at = WR_AT_TOP | WR_AT_LISTENER | WR_AT_UPSTREAM,
	    .principal = "interval",
	    .help = "find peers that are gone without a word" },
	.on_accept = on_accept,
	.on_connect = on_connect,
	.on_listen = on_listen,
};
