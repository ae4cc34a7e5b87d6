/* SPDX-License-Identifier: BSD-2-Clause */
/* conn - see conn.h. */
#include "proxy/conn.h"

int
wr_conn_init(struct wr_loop *l, struct wr_conn *c, enum wr_side side, int fd)
{
	*c = (struct wr_conn){ .side = (uint8_t)side };
	return wr_sock_init(l, &c->sock, fd);
}

void
wr_conn_close(struct wr_loop *l, struct wr_conn *c, bool reset, wr_close_fn *fn)
{
	if (c->via != NULL)
		c->via->ops->close(l, c, reset, fn);
	else if (reset)
		wr_abort(l, &c->sock, fn);
	else
		wr_close(l, &c->sock, fn);
}
