/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * access - who is let in, also where there are no sessions.
 */
#ifndef WR_ACCESS_H
#define WR_ACCESS_H

#include "base/addr.h"

struct wr_done;
struct wr_listener_conf;

/* Does the listener let `client` in? */
bool
wr_access_lets_in(const struct wr_listener_conf *c, const struct wr_ip *client);
/* The same for `fd`, which `d` says was accepted. */
bool wr_access_lets_in_fd(
    const struct wr_listener_conf *c, int fd, const struct wr_done *d);

#endif
