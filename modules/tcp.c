/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tcp - pass a client on to a server of its upstream, byte for byte.
 */
#include "modules/modules.h"
#include "proxy/session.h"

static bool
serve(struct wr_session *s)
{
	if (s->upstream == NULL)
		return false;
	wr_session_go(s, WR_PICK);
	return true;
}

const struct wr_module wr_mod_tcp = {
	.name = "tcp",
	.on_serve = serve,
};
