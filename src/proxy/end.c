/* SPDX-License-Identifier: BSD-2-Clause */
/* end - see end.h. */
#include "proxy/end.h"

#include <assert.h>

static const struct {
	const char *text, *help;
} ends[WR_ENDS] = {
#define X(name, text, help) [WR_END_##name] = { text, help },
	WR_END_LIST(X)
#undef X
};

const char *
wr_end_text(enum wr_end e)
{
	assert(e < WR_ENDS);
	return ends[e].text;
}

const char *
wr_end_help(enum wr_end e)
{
	assert(e < WR_ENDS);
	return ends[e].help;
}
