/* SPDX-License-Identifier: BSD-2-Clause */
/* keep - see keep.h. */
#include "io/keep.h"

#include <errno.h>

#include "base/log.h"

#define AGAIN_MS 100

static wr_done_fn on_readable;
static wr_timer_fn on_again;

/* Said once: it comes back by itself, and may fail many times before. */
static void
fail(struct wr_loop *l, struct wr_keep *k, int err)
{
	errno = -err;
	if (!k->deaf)
		wr_warn("%s: cannot wait for it, trying again", k->what);
	k->deaf = true;
	wr_timer_set(l, &k->again, AGAIN_MS, on_again);
}

static void
watch(struct wr_loop *l, struct wr_keep *k)
{
	int err = wr_watch(l, &k->sock, WR_OP_READABLE, on_readable);

	if (err < 0)
		fail(l, k, err);
}

static void
on_again(struct wr_loop *l, struct wr_timer *t)
{
	watch(l, wr_container_of(t, struct wr_keep, again));
}

static void
on_readable(struct wr_loop *l, struct wr_op *op, const struct wr_done *d)
{
	struct wr_keep *k =
	    wr_container_of(wr_sock_of_in(op), struct wr_keep, sock);

	if (!k->on)
		return;
	if (d->res < 0) {
		fail(l, k, d->res);
		return;
	}
	k->deaf = false;
	k->fn(l, k);
	if (k->on)
		watch(l, k);
}

int
wr_keep_start(struct wr_loop *l, struct wr_keep *k, int fd, const char *what,
    wr_keep_fn *fn)
{
	int err = wr_sock_init(l, &k->sock, fd);

	if (err < 0)
		return err;
	k->again = (struct wr_timer){ 0 };
	k->fn = fn;
	k->what = what;
	k->on = true;
	k->deaf = false;
	watch(l, k);
	return 0;
}

void
wr_keep_stop(struct wr_loop *l, struct wr_keep *k)
{
	k->on = false;
	wr_timer_stop(l, &k->again);
}
