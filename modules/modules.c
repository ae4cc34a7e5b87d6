/* SPDX-License-Identifier: BSD-2-Clause */
/* modules - all that are built in; see proxy/module.h. */
#include "modules/modules.h"

/* Hooks are called in this order: first who may turn a client away. */
const struct wr_module *const wr_modules[] = {
	&wr_mod_access,
	&wr_mod_limit,
	&wr_mod_health,
	&wr_mod_names,
	&wr_mod_announce,
	&wr_mod_status,
	&wr_mod_eject,
	&wr_mod_heartbeat,
	&wr_mod_answer,
	&wr_mod_tcp,
	&wr_mod_accesslog,
	NULL,
};

const struct wr_balancer *const wr_balancers[] = {
	&wr_balance_round_robin,
	&wr_balance_least_conn,
	&wr_balance_random,
	&wr_balance_hash,
	&wr_balance_source,
	&wr_balance_peak_ewma,
	NULL,
};
