/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * modules - the names of the built-in modules, for the array in modules.c.
 */
#ifndef WR_MODULES_H
#define WR_MODULES_H

#include "proxy/module.h"

extern const struct wr_module wr_mod_access;
extern const struct wr_module wr_mod_accesslog;
extern const struct wr_module wr_mod_answer;
extern const struct wr_module wr_mod_eject;
extern const struct wr_module wr_mod_health;
extern const struct wr_module wr_mod_heartbeat;
extern const struct wr_module wr_mod_tcp;

#endif
