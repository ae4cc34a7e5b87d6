/* SPDX-License-Identifier: BSD-2-Clause */
/* version - see version.h. */
#include "proc/version.h"

#include "io/loop.h"
#include "proxy/session.h"

void
wr_version_print(FILE *out, bool all)
{
	const char *const *names = wr_loop_backends();

	(void)fprintf(out, "weir %s\n", PACKAGE_VERSION);
	if (!all)
		return;
	(void)fputs("backends:", out);
	for (int i = 0; names[i] != NULL; i++)
		(void)fprintf(out, " %s", names[i]);
	(void)fprintf(out, "\nlibraries: %s\n", WR_LIBRARIES);
	(void)fprintf(out, "configuration: %s\n", WR_CONF_FILE);
	(void)fprintf(out, "pid file: %s/weir.pid\n", WR_RUN_DIR);
	(void)fprintf(out, "pages: %s/html\n", WR_DATA_DIR);
	(void)fprintf(
	    out, "memory per session: %zu bytes\n", sizeof(struct wr_session));
	(void)fprintf(out, "compiler: %s\n", __VERSION__);
}
