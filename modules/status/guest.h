/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * guest - one who asks a status listener: a connection, one request, one
 * answer, the end.
 *
 * Nobody who asks can hold up what control is for.  There are few guests at a
 * time; of a head nothing is kept, of an answer one piece; pieces are written
 * in turn at the end of the loop's turns, for a millisecond of each.
 */
#ifndef WR_GUEST_H
#define WR_GUEST_H

#include "proxy/control.h"

/* `left` is called when there may be room again. */
void wr_guests_start(struct wr_control *ct, void (*left)(void));
/* All go, whatever they are at. */
void wr_guests_stop(void);
/* The configuration is another one.  Who is answered from an older one may
 * finish, but not after many more. */
void wr_guests_use(void);
/* Take over `fd`, which came to the listener of that cell. */
void wr_guest_new(uint32_t listener_cell, int fd);
uint32_t wr_guests(void);
bool wr_guests_full(void);
/* Somebody waits for room: one who has not moved for long goes; false if there
 * is none. */
bool wr_guests_make_room(void);

#endif
