/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * shm - the region of memory that all processes of one weir share.
 *
 * One memfd, made by the first master, reserved large and touched lazily,
 * mapped before any fork and so at the same address in all children.  A new
 * binary inherits the descriptor and maps it where it likes; it may do so
 * only if the layout in the head of the region is its own.
 *
 * A slot belongs to one process from just before its fork until its parent
 * has reaped it.  Two masters may live at the same time (upgrade), so slots
 * are claimed by an atomic exchange.
 */
#ifndef WR_SHM_H
#define WR_SHM_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/base.h"

struct wr_stats;
struct wr_cell;
struct wr_shm_head;

enum wr_cell_kind {
	WR_CELL_LISTENER,
	WR_CELL_UPSTREAM,
	WR_CELL_SERVER,
	WR_CELL_KINDS
};

struct wr_shm {
	int fd;
	size_t bytes;
	struct wr_shm_head *head;
	struct wr_stats *stats; /* pointers into the region */
	struct wr_cell *cells[WR_CELL_KINDS];
	int *wake; /* eventfd of each slot, in this process */
};

/* NULL and errno. */
struct wr_shm *wr_shm_new(void);
/* The region of an older binary: `fd` and the eventfds (WR_SLOTS of them) are
 * taken over.  NULL and errno, EPROTO if its layout is not ours; they are
 * closed then. */
struct wr_shm *wr_shm_attach(int fd, const int *wake);
/* When the first master of this region was started, wall clock; how many
 * binaries have used it, this one included. */
uint64_t wr_shm_start_ms(const struct wr_shm *m);
uint32_t wr_shm_binary(const struct wr_shm *m);
/* The master of the newest binary has everything from now on. */
void wr_shm_lead(struct wr_shm *m);
/* That of a newer binary than this process's has. */
bool wr_slot_superseded(const struct wr_shm *m, uint32_t slot);

/* A slot for a process that is about to be forked; it is cleared, its pid is
 * that of the master until wr_slot_born().  -ENOSPC. */
wr_must_check int wr_slot_take(struct wr_shm *m, unsigned role, uint32_t index);
void wr_slot_born(struct wr_shm *m, uint32_t slot, pid_t pid);
/* A worker has got another number. */
void wr_slot_index(struct wr_shm *m, uint32_t slot, uint32_t index);
/* The process is gone (reaped, or was never forked): fold and free. */
void wr_slot_drop(struct wr_shm *m, uint32_t slot);
/* The same for processes that nobody can reap: both they and their master, of
 * an older binary, are gone.  How many slots other masters still have.  To be
 * called by one master only. */
unsigned wr_slot_strays(struct wr_shm *m);

/* What watchers read. */
uint64_t wr_slot_beat_ms(const struct wr_shm *m, uint32_t slot);
uint64_t wr_slot_sessions(const struct wr_shm *m, uint32_t slot);
/* enum wr_phase */
uint32_t wr_slot_phase(const struct wr_shm *m, uint32_t slot);

/* Wake the process in that slot; one bit of news, lost by nobody. */
void wr_slot_wake(const struct wr_shm *m, uint32_t slot);

#endif
