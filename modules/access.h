/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * access - who is let in, also where there are no sessions.
 */
#ifndef WR_ACCESS_H
#define WR_ACCESS_H

#include "base/addr.h"

/* `conf` is the module's value of the listener or route, or NULL. */
bool wr_access_lets_in(const void *conf, const struct wr_ip *client);

#endif
