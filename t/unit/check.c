/* SPDX-License-Identifier: BSD-2-Clause */
#include "conf/check.h"

#include "conf.h"

static void
presets_are_good(void)
{
	struct wr_load ld = { 0 };
	const char *said;
	struct wr_gen *g = conf_load("", &ld, &said);

	is_str(said, "");
	ok(g != NULL);
	is_int(g->conf->reload_timeout_ms, 15000);
	is_int(g->conf->timeouts.ms[WR_T_IDLE], 600000);
	is_int(g->conf->timeouts.ms[WR_T_SEND], 600000);
	is_int(g->conf->events.unsent, 128 * 1024);
	is_str(g->conf->events.backend, "auto");
	ok(g->conf->events.connections == WR_OFF);
	ok(g->conf->workers >= 1);
	wr_gen_put(&g);
}

int
main(void)
{
	conf_begin();
	presets_are_good();
	conf_end();
	return tap_done();
}
