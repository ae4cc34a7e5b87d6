/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * modules - the names of the built-in modules, for the array in modules.c.
 */
#ifndef WR_MODULES_H
#define WR_MODULES_H

#include "proxy/balance.h"
#include "proxy/module.h"

extern const struct wr_module wr_mod_access;
extern const struct wr_module wr_mod_accesslog;
extern const struct wr_module wr_mod_announce;
extern const struct wr_module wr_mod_answer;
extern const struct wr_module wr_mod_eject;
extern const struct wr_module wr_mod_health;
extern const struct wr_module wr_mod_heartbeat;
extern const struct wr_module wr_mod_limit;
extern const struct wr_module wr_mod_names;
extern const struct wr_module wr_mod_status;
extern const struct wr_module wr_mod_tcp;

/* What a line of the access log may hold, NULL at the end. */
extern const char *const wr_access_fields[];

extern const struct wr_balancer wr_balance_hash;
extern const struct wr_balancer wr_balance_least_conn;
extern const struct wr_balancer wr_balance_peak_ewma;
extern const struct wr_balancer wr_balance_random;
extern const struct wr_balancer wr_balance_round_robin;
extern const struct wr_balancer wr_balance_source;

#endif
