/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>

#include "proc/upgrade.h"

#include "tap.h"

static void
what_is_written_is_read(void)
{
	struct wr_manifest m = { .generation = 7,
		.elder = 4711,
		.talk_fd = 5,
		.shm_fd = 6,
		.pid_fd = -1,
		.ask_fd = 8,
		.parent_fd = -1 };
	struct wr_manifest n;
	struct wr_text t = { 0 };

	for (int i = 0; i < WR_MANIFEST_WAKES; i++)
		m.wake_fds[i] = 100 + i;
	wr_text_puts(&m.listens, "address tcp 0 0 0 *:80\nport 9 1\n");
	wr_manifest_write(&m, &t);
	is_int(wr_manifest_read(&n, (struct wr_str){ t.p, t.len }), 0);
	ok(n.generation == 7 && n.elder == 4711);
	ok(n.talk_fd == 5 && n.shm_fd == 6 && n.ask_fd == 8);
	ok(n.pid_fd == -1 && n.parent_fd == -1);
	ok(n.wake_fds[0] == 100 && n.wake_fds[127] == 227);
	is_str(n.listens.p, m.listens.p);
	wr_manifest_fini(&n);

	/* Cut anywhere before the last part, it is not a manifest. */
	for (size_t i = 0; i < t.len - m.listens.len; i++) {
		int err = wr_manifest_read(&n, (struct wr_str){ t.p, i });

		wr_manifest_fini(&n);
		if (err != -EPROTO)
			is_int(i, -1);
	}
	wr_manifest_fini(&m);
	wr_text_fini(&t);
}

static void
what_is_not_ours_is_refused(void)
{
	static const char *const bad[] = { "", "weir manifest 2\nlistens\n",
		"weir manifest 1\nlistens\n",
		"weir manifest 1\ntalk 3\nshm x\nlistens\n",
		"weir manifest 1\ntalk 3\nshm 99999999999\nlistens\n",
		"weir manifest 1\ntalk 3\nshm 4\nnews 5\nlistens\n",
		"weir manifest 1\ntalk 3\nshm 4\n" };

	for (size_t i = 0; i < WR_COUNT(bad); i++) {
		struct wr_manifest m;

		is_int(wr_manifest_read(&m, wr_str_of(bad[i])), -EPROTO);
		wr_manifest_fini(&m);
	}
}

static void
without_an_elder_there_is_none(void)
{
	struct wr_manifest m;

	is_int(wr_manifest_inherit(&m), 0);
}

int
main(void)
{
	what_is_written_is_read();
	what_is_not_ours_is_refused();
	without_an_elder_there_is_none();
	return tap_done();
}
