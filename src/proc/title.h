/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * title - what ps(1) shows: "weir: master", "weir: worker 0".
 */
#ifndef WR_TITLE_H
#define WR_TITLE_H

#include "base/base.h"

/* First thing in main(): the strings of argv and of the environment are moved
 * away, so that titles may be written where they were. */
void wr_title_init(int argc, char **argv);
/* No effect if there was no memory for the move. */
void wr_title_set(const char *fmt, ...) wr_printf(1, 2);

#endif
