/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * answer - answer without a server: `return = { file = "html/index.html"; }`.
 *
 * On a tcp listener this is one fixed HTTP/1.0 response.  The client's request
 * is heard until its head is complete, but not understood.
 */
#include "modules/modules.h"
#include "proxy/session.h"

/* s->scratch: how much of the empty line that ends a head was seen. */
static int
head_complete(struct wr_session *s, const uint8_t *bytes, uint32_t len)
{
	for (uint32_t i = 0; i < len; i++) {
		if (bytes[i] == '\n')
			s->scratch++;
		else if (bytes[i] != '\r')
			s->scratch = 0;
		if (s->scratch == 2)
			return 1;
	}
	return 0;
}

static bool
serve(struct wr_session *s)
{
	if (s->answer == NULL)
		return false;
	s->judge = head_complete;
	wr_session_go(s, WR_PREREAD);
	return true;
}

const struct wr_module wr_mod_answer = {
	.name = "answer",
	.on_serve = serve,
};
