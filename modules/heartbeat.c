/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * heartbeat - find peers that are gone without a word: TCP keep-alive.
 *
 *	heartbeat = { interval = "30s"; misses = 2; };
 *
 * A silent peer is probed after `interval` and then every `interval`; it is
 * given up after `misses` probes without an answer.
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

/* Accepted sockets inherit it. */
static void
on_listen(const struct wr_listener_conf *c, int fd, const void *conf)
{
	const struct heartbeat *h = conf;
	int err;

	if (h == NULL || !h->on)
		return;
	err = wr_sock_heartbeat(fd, h->interval_ms / 1000, h->misses, 0);
	/* A unix socket's peer cannot be gone without a word. */
	if (err < 0 && err != -EOPNOTSUPP) {
		errno = -err;
		wr_warn("listener %s: heartbeat", c->name);
	}
}

static enum wr_verdict
on_connect(struct wr_session *s, const void *conf)
{
	const struct heartbeat *h = conf;

	if (h == NULL || !h->on)
		return WR_NEXT;
	s->beat_s = (uint16_t)(h->interval_ms / 1000);
	s->beat_misses = (uint8_t)h->misses;
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
	.on_connect = on_connect,
	.on_listen = on_listen,
};
