/* SPDX-License-Identifier: BSD-2-Clause */
/* control - see control.h. */
#include "proxy/control.h"

#include <unistd.h>

void
wr_control_tell(const struct wr_control *ct)
{
	static const uint64_t one = 1;
	const struct wr_stats *st = ct->stats;
	uint32_t high = wr_load(st->slots_high);

	for (uint32_t i = 0; i < high; i++) {
		if (i == ct->slot || st->wake[i] < 0 ||
		    wr_load(&st->slots[i].role) != WR_ROLE_WORKER)
			continue;
		/* It can only fail if a wake-up is pending anyway. */
		(void)!write(st->wake[i], &one, sizeof(one));
	}
}

void
wr_control_health(
    const struct wr_control *ct, uint32_t server_cell, enum wr_health h)
{
	struct wr_server_state *x = &ct->stats->states[server_cell];

	wr_store(&x->health, (uint32_t)h);
	wr_store(&x->changed_ms, wr_loop_now(ct->loop));
	/* The master counts too. */
	(void)__atomic_add_fetch(&x->version, 1, __ATOMIC_RELEASE);
	wr_control_tell(ct);
}
