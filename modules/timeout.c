/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * timeout - the time-outs of a connected session: what its listener or route
 * says was copied when it was routed, now the upstream has its say, and the
 * shorter one holds.
 */
#include "modules/modules.h"
#include "proxy/session.h"

static void
shorten(uint32_t *limit, uint32_t other)
{
	/* "off" is the longest of all. */
	if (other < *limit)
		*limit = other;
}

static enum wr_verdict
merge(struct wr_session *s, const void *conf)
{
	const uint32_t *ms = s->server->upstream->timeouts.ms;
	struct wr_limits *limits = &s->relay.limits;

	(void)conf;
	shorten(&limits->idle, ms[WR_T_IDLE]);
	shorten(&limits->side_idle[WR_CLIENT], ms[WR_T_CLIENT_IDLE]);
	shorten(&limits->side_idle[WR_SERVER], ms[WR_T_SERVER_IDLE]);
	shorten(&limits->send, ms[WR_T_SEND]);
	shorten(&limits->half_close, ms[WR_T_HALF_CLOSE]);
	limits->first_byte = ms[WR_T_FIRST_BYTE];
	return WR_NEXT;
}

const struct wr_module wr_mod_timeout = {
	.name = "timeout",
	.on_connect = merge,
};
