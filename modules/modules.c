/* SPDX-License-Identifier: BSD-2-Clause */
/* modules - all that are built in; see proxy/module.h. */
#include "modules/modules.h"

/* Hooks are called in this order: first who may turn a client away. */
const struct wr_module *const wr_modules[] = {
	&wr_mod_access,
	&wr_mod_health,
	&wr_mod_eject,
	&wr_mod_heartbeat,
	&wr_mod_answer,
	&wr_mod_tcp,
	&wr_mod_accesslog,
	NULL,
};
