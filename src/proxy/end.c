/* SPDX-License-Identifier: BSD-2-Clause */
/* end - see end.h. */
#include "proxy/end.h"

#include <assert.h>
#include <stddef.h>

const char *const wr_end_texts[] = {
#define X(name, text, help) [WR_END_##name] = text,
	WR_END_LIST(X)
#undef X
	    [WR_ENDS] = NULL
};

static const char *const helps[] = {
#define X(name, text, help) [WR_END_##name] = help,
	WR_END_LIST(X)
#undef X
};

const char *
wr_end_text(enum wr_end e)
{
	assert(e < WR_ENDS);
	return wr_end_texts[e];
}

const char *
wr_end_help(enum wr_end e)
{
	assert(e < WR_ENDS);
	return helps[e];
}
