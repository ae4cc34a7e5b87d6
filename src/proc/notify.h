/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * notify - tell systemd what state the service is in (sd_notify(3)).
 *
 * All do nothing if NOTIFY_SOCKET is not set.
 */
#ifndef WR_NOTIFY_H
#define WR_NOTIFY_H

#include <sys/types.h>

void wr_notify_ready(pid_t main_pid);
/* Another process is the service from now on. */
void wr_notify_main(pid_t main_pid);
void wr_notify_reloading(void);
void wr_notify_stopping(void);
/* One line for `systemctl status`. */
void wr_notify_status(const char *text);

#endif
