/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * address - one address that is listened on, and its sockets.
 *
 * The parts of proc/listen: what a configuration wants (pure), how sockets
 * are made, and which process has which.
 */
#ifndef WR_ADDRESS_H
#define WR_ADDRESS_H

#include <sys/stat.h>

#include "base/list.h"
#include "conf/conf.h"
#include "proc/listen.h"
#include "proc/reload.h"

enum wr_way {
	WR_WAY_SHARDED, /* a socket for each shard */
	WR_WAY_SHARED,  /* one for all workers */
	WR_WAY_CONTROL, /* all for control */
};

/* One address of a configuration; lent from it. */
struct wr_want {
	const struct wr_listener_conf *listener;
	const struct wr_listen *listen;
	enum wr_way way;
	int foreign; /* WR_LISTEN_FD: the inherited descriptor */
};

struct wr_slots {
	uint64_t bits[WR_FLEET_SLOTS / 64];
};

struct wr_port {
	int fd;
	bool listening;
	bool fresh;            /* made for a value that is only tried */
	struct wr_slots have;  /* who accepts from it */
	struct wr_slots leave; /* who was told not to, and has not let go */
	bool elder; /* processes of an older binary may accept from it too */
};

enum wr_address_state {
	WR_ADDRESS_NEW, /* for a value that is only tried */
	WR_ADDRESS_RUN,
	WR_ADDRESS_RETIRE,  /* serves who is waiting */
	WR_ADDRESS_CLOSING, /* who has it lets go */
	WR_ADDRESS_STRANGE, /* inherited; our value does not name it */
};

struct wr_address {
	struct wr_list link;
	enum wr_address_state state;
	enum wr_listen_kind kind;
	enum wr_way way;
	struct wr_addr addr;
	int foreign;  /* number of the inherited descriptor, or -1 */
	bool dull;    /* has no siblings and never will */
	char *text;   /* as processes know it */
	uint32_t tag; /* the "shard" of a shared one: unique */
	uint32_t cell, backlog, mode, uid, gid;
	struct stat file;    /* of a unix socket, when it was made */
	struct wr_want want; /* of the value that is tried; listener may be
				NULL */
	struct wr_gen *gen;  /* RETIRE: the last that named it */
	uint64_t busy_ms;    /* somebody was waiting */
	uint64_t quiet_ms;   /* RETIRE: nobody was for so long: close */
	uint64_t until_ms;   /* RETIRE, cannot refuse: give up; CLOSING: do not
				wait longer */
	bool filtered;       /* new clients are turned away */
	bool unheard;        /* listen() failed */
	bool ours; /* the new binary does not name it: we go on serving it */
	uint32_t n;
	struct wr_port *port; /* n of them */
};

bool wr_slots_have(const struct wr_slots *s, int slot);
void wr_slots_set(struct wr_slots *s, int slot, bool on);
bool wr_slots_empty(const struct wr_slots *s);

/* What an entry means. */
struct wr_want wr_want_of(
    const struct wr_listener_conf *listener, const struct wr_listen *listen);
/* The same address, however it is written and whoever has it. */
bool wr_address_is(const struct wr_address *a, const struct wr_want *want);
/* Both can be bound only if they share the port. */
bool wr_address_meets(const struct wr_address *a, const struct wr_want *want);

/* Whoever finds `b` gone finds `a`. */
bool wr_address_covers(const struct wr_address *a, const struct wr_address *b);

/* NULL and errno. */
struct wr_address *wr_address_new(const struct wr_want *want);
/* Closes what is open.  Leaves NULL. */
void wr_address_free(struct wr_address **a);
/*
 * Make the missing ones of `n` sockets, bound and not listening.  `beside`:
 * another of us may be bound.  -errno; what was made then stays fresh.
 */
wr_must_check int
wr_address_bind(struct wr_address *a, uint32_t n, bool beside);
/* What it becomes if the value that is tried is committed. */
enum wr_way wr_address_way(const struct wr_address *a);
/* Put a socket that exists at the end; taken over, closed on failure. */
wr_must_check int wr_address_add(struct wr_address *a, int fd, bool listening);
/* Close what is fresh. */
void wr_address_unbind(struct wr_address *a);
/* 0 or -errno. */
wr_must_check int wr_address_listen(struct wr_address *a, uint32_t shard);
/* Is anybody waiting to be accepted? */
bool wr_address_is_busy(const struct wr_address *a);
/* Remove the file of a unix socket, if it is still ours. */
void wr_address_unlink(const struct wr_address *a);
/* Nobody has any of its sockets, or is about to let go. */
bool wr_address_is_alone(const struct wr_address *a);

#endif
