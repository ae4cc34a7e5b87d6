/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * listens - the set of addresses behind proc/listen.h, for its own files:
 * listen.c (transaction and deal) and inherit.c (from others, to others).
 */
#ifndef WR_LISTENS_H
#define WR_LISTENS_H

#include "proc/address.h"

/* A descriptor that was open when we started. */
struct wr_foreign {
	int fd;
	bool closed; /* its address was removed */
	char name[64];
};

#define WR_FOREIGN_MAX 256

struct wr_listens {
	wr_listen_tell_fn *tell;
	void *arg;
	struct wr_list addresses;
	struct wr_gen *gen; /* committed, or NULL */
	bool live[WR_WORKERS_MAX];
	bool beside;
	uint32_t tags;
	uint64_t next_ms; /* of a look at those that retire; 0: none */
	struct wr_foreign foreign[WR_FOREIGN_MAX];
	unsigned n_foreign;
};

/* Tell a process to accept from one socket, if it does not already. */
void wr_listens_tell_open(
    struct wr_listens *ls, struct wr_address *a, uint32_t i, int slot);
/* What processes call the shard of this socket. */
uint32_t wr_listens_shard_of(const struct wr_address *a, uint32_t i);
/* The inherited descriptor that is meant; -EBADF, or -ESTALE: it was closed
 * when its listener was removed. */
int wr_listens_foreign(const struct wr_listens *ls, const struct wr_want *w);

#endif
