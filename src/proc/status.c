/* SPDX-License-Identifier: BSD-2-Clause */
/* status - the master has nothing better to do: all of it at once. */
#include "proc/status.h"

#include "conf/conf.h"
#include "proc/master.h"
#include "proxy/status.h"

void
wr_status_write(struct wr_master *m, struct wr_text *out)
{
	struct wr_joined j = { 0 };
	struct wr_status s = { .stats = m->shm->stats,
		.joined = &j,
		.generation = m->run != NULL ? m->run->generation : 0,
		.conf = m->run != NULL ? m->run->conf : NULL,
		.master = m->pid };
	struct wr_status_at at = { 0 };

	/* Without memory for it, those of the file are shown. */
	if (s.conf != NULL && wr_joined_init(&j, s.stats) == 0)
		wr_joined_use(&j, s.conf);
	while (wr_status_json(&s, &at, out))
		continue;
	wr_joined_fini(&j);
}
