/* SPDX-License-Identifier: BSD-2-Clause */
/* budget - see budget.h. */
#include "proxy/budget.h"

#include "conf/conf.h"

/* The cell of this second, emptied by who comes first.  Two who meet there
 * may lose a count of each other, which a budget can bear. */
static unsigned
cell(struct wr_budget *b, uint64_t now_ms)
{
	uint64_t second = now_ms / 1000 + 1, old;
	unsigned i = (unsigned)(second % WR_BUDGET_S);

	old = wr_load(&b->second[i]);
	if (old != second &&
	    __atomic_compare_exchange_n(&b->second[i], &old, second, false,
		__ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) {
		wr_store(&b->first[i], 0);
		wr_store(&b->again[i], 0);
	}
	return i;
}

void
wr_budget_first(struct wr_budget *b, uint64_t now_ms)
{
	(void)__atomic_fetch_add(
	    &b->first[cell(b, now_ms)], 1, __ATOMIC_RELAXED);
}

bool
wr_budget_take(
    struct wr_budget *b, const struct wr_retry_conf *c, uint64_t now_ms)
{
	uint64_t second = now_ms / 1000 + 1, first = 0, again = 0, most;
	unsigned here = cell(b, now_ms);

	for (unsigned i = 0; i < WR_BUDGET_S; i++) {
		if (wr_load(&b->second[i]) + WR_BUDGET_S <= second)
			continue;
		first += wr_load(&b->first[i]);
		again += wr_load(&b->again[i]);
	}
	most = first * c->budget_percent / 100 +
	       (uint64_t)c->budget_min * WR_BUDGET_S;
	if (again >= most)
		return false;
	(void)__atomic_fetch_add(&b->again[here], 1, __ATOMIC_RELAXED);
	return true;
}
