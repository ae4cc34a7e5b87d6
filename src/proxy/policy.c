/* SPDX-License-Identifier: BSD-2-Clause */
/* policy - see policy.h. */
#include "proxy/policy.h"

#include <stdlib.h>
#include <string.h>

#include "proxy/balance.h"
#include "proxy/core.h"
#include "proxy/server.h"
#include "proxy/session.h"

/* Between two looks at sessions that are to end. */
#define TICK_MS 20

static wr_timer_fn on_tick;

static uint64_t
spread_ms(const struct wr_proxy *px)
{
	uint32_t ms = px->gen->conf->timeouts.ms[WR_T_SPREAD];

	return ms != WR_OFF ? ms : 0;
}

/* Those after the first for the same reason change nothing. */
static void
doom(struct wr_proxy *px, uint32_t cell, uint32_t after_ms, enum wr_end why)
{
	struct wr_doom *d = &px->dooms[cell];

	if (d->why == why)
		return;
	d->why = why;
	d->from_ms = wr_loop_now(px->loop) + after_ms;
	d->by_ms = d->from_ms + spread_ms(px);
	px->doomed = true;
	if (d->listed)
		return;
	d->listed = true;
	d->next = px->first_doom;
	px->first_doom = cell + 1;
}

static void
spare(struct wr_proxy *px, uint32_t cell, enum wr_end why)
{
	if (px->dooms[cell].why == why)
		px->dooms[cell].why = WR_END_NONE;
}

/* -- The sessions -------------------------------------------------------- */

/* When this one is to be looked at again; 0: never, it has ended or stays. */
static uint64_t
judge(struct wr_session *s, uint64_t now_ms)
{
	const struct wr_doom *d = &s->px->dooms[s->server_cell];
	uint64_t left_ms;

	if (d->why == WR_END_NONE)
		return 0;
	if (now_ms < d->from_ms)
		return d->from_ms;
	left_ms = d->by_ms > now_ms ? d->by_ms - now_ms : 0;
	if (left_ms > TICK_MS &&
	    wr_random_below(&s->px->random, (uint32_t)left_ms) >= TICK_MS)
		return now_ms + TICK_MS;
	wr_session_end(s, (enum wr_end)d->why);
	return 0;
}

static void
look_again(struct wr_proxy *px, uint64_t at_ms)
{
	uint64_t now_ms = wr_loop_now(px->loop);

	if (at_ms != 0)
		wr_timer_set(px->loop, &px->doom_timer,
		    at_ms > now_ms ? at_ms - now_ms : 0, on_tick);
}

static void
judge_all(struct wr_proxy *px)
{
	uint64_t now_ms = wr_loop_now(px->loop), next_ms = 0, its_ms;

	wr_list_each_safe (n, &px->in[WR_RELAY]) {
		its_ms =
		    judge(wr_container_of(n, struct wr_session, link), now_ms);
		if (its_ms != 0 && (next_ms == 0 || its_ms < next_ms))
			next_ms = its_ms;
	}
	look_again(px, next_ms);
}

static void
on_tick(struct wr_loop *l, struct wr_timer *t)
{
	(void)l;
	judge_all(wr_container_of(t, struct wr_proxy, doom_timer));
}

static void
judge_if_doomed(struct wr_proxy *px)
{
	if (!px->doomed)
		return;
	px->doomed = false;
	judge_all(px);
}

void
wr_policy_begin(struct wr_session *s)
{
	struct wr_proxy *px = s->px;

	if (px->dooms[s->server_cell].why != WR_END_NONE &&
	    !wr_timer_is_set(&px->doom_timer))
		look_again(px, wr_loop_now(px->loop) + 1);
}

void
wr_policy_stop(struct wr_proxy *px)
{
	wr_timer_stop(px->loop, &px->doom_timer);
}

/* -- The servers --------------------------------------------------------- */

static bool
is_down(const struct wr_proxy *px, const struct wr_server_conf *sv)
{
	const struct wr_server_state *x = &px->stats->states[sv->cell];

	return sv->want == WR_WANT_DOWN || wr_load(&x->want) == WR_WANT_DOWN ||
	       wr_load(&x->health) == WR_HEALTH_DOWN;
}

static void
close_down(struct wr_proxy *px, const struct wr_upstream_conf *u)
{
	const struct wr_server_conf *sv = wr_servers_first(&px->joined, u);

	for (; sv != NULL; sv = wr_servers_next(&px->joined, u, sv)) {
		if (u->on_down == WR_FATE_CLOSE && is_down(px, sv))
			doom(px, sv->cell, 0, WR_END_WEIR_RELAY_DOWN);
		else
			spare(px, sv->cell, WR_END_WEIR_RELAY_DOWN);
	}
}

static bool
has_primary(const struct wr_proxy *px, const struct wr_upstream_conf *u)
{
	const struct wr_server_conf *sv = wr_servers_first(&px->joined, u);

	for (; sv != NULL; sv = wr_servers_next(&px->joined, u, sv)) {
		if (!sv->backup && wr_server_fit(px->stats, sv,
				       wr_loop_now(px->loop), 0) == WR_FIT)
			return true;
	}
	return false;
}

static void
close_backups(struct wr_proxy *px, const struct wr_upstream_conf *u)
{
	const struct wr_server_conf *sv = wr_servers_first(&px->joined, u);
	bool close = u->on_up == WR_FATE_CLOSE && has_primary(px, u);

	/* It may have been a backup when its sessions were doomed. */
	for (; sv != NULL; sv = wr_servers_next(&px->joined, u, sv)) {
		if (close && sv->backup)
			doom(px, sv->cell, 0, WR_END_WEIR_RELAY_BACKUP);
		else
			spare(px, sv->cell, WR_END_WEIR_RELAY_BACKUP);
	}
}

void
wr_policy_look(struct wr_proxy *px)
{
	const struct wr_conf *c = px->gen->conf;

	for (uint32_t i = 0; i < c->n_strict; i++) {
		close_down(px, c->strict[i]);
		close_backups(px, c->strict[i]);
	}
	judge_if_doomed(px);
}

void
wr_policy_joins(struct wr_proxy *px)
{
	uint32_t high = wr_load(&px->stats->roll->high);

	for (uint32_t i = 0; i < high && i < WR_JOIN_CELLS; i++) {
		const struct wr_joined_server *s = &px->joined.servers[i];
		uint32_t cell = WR_FILE_CELLS + i;

		if (s->here && !s->was) {
			/* Another server may have had the cell. */
			px->dooms[cell].why = WR_END_NONE;
			px->servers[cell] = (struct wr_server_run){ 0 };
		} else if (s->was && !s->here &&
			   s->on_remove == WR_FATE_CLOSE) {
			doom(px, cell, s->on_remove_ms,
			    WR_END_WEIR_RELAY_REMOVED);
		}
	}
	wr_policy_look(px);
}

/* -- Another configuration ----------------------------------------------- */

/* Bits by cell, to find the servers of a group among those of another. */
static uint64_t bits[WR_SERVER_CELLS / 64];

static void
mark(const struct wr_upstream_conf *u, bool on)
{
	for (uint32_t i = 0; u != NULL && i < u->n_servers; i++) {
		uint32_t cell = u->servers[i].cell;

		if (on)
			bits[cell / 64] |= 1ull << (cell % 64);
		else
			bits[cell / 64] = 0;
	}
}

static bool
is_marked(uint32_t cell)
{
	return (bits[cell / 64] & 1ull << (cell % 64)) != 0;
}

/* What the file says now counts, if it still knows the upstream. */
static void
remove_from(struct wr_proxy *px, const struct wr_upstream_conf *was,
    const struct wr_upstream_conf *now)
{
	const struct wr_upstream_conf *u = now != NULL ? now : was;

	if (was == NULL || u->on_remove != WR_FATE_CLOSE)
		return;
	mark(now, true);
	for (uint32_t i = 0; i < was->n_servers; i++) {
		uint32_t cell = was->servers[i].cell;

		if (!is_marked(cell))
			doom(px, cell, u->on_remove_ms,
			    WR_END_WEIR_RELAY_REMOVED);
	}
	mark(now, false);
}

/* The group of this configuration that the server belongs to, or NULL. */
static const struct wr_upstream_conf *
group_of(const struct wr_proxy *px, uint32_t cell)
{
	const struct wr_joined_server *j;

	if (cell < WR_FILE_CELLS)
		return wr_conf_upstream_at(px->gen->conf,
		    wr_load(&px->stats->server_cells[cell].parent));
	j = &px->joined.servers[cell - WR_FILE_CELLS];
	return j->here ? j->conf.upstream : NULL;
}

/* Not for a reason that the configuration no longer has. */
static void
relax(struct wr_proxy *px, uint32_t cell)
{
	struct wr_doom *d = &px->dooms[cell];
	const struct wr_upstream_conf *u = group_of(px, cell);

	if (u == NULL || (cell < WR_FILE_CELLS && !is_marked(cell)))
		return;
	if (d->why == WR_END_WEIR_RELAY_REMOVED ||
	    (d->why == WR_END_WEIR_RELAY_DOWN && u->on_down != WR_FATE_CLOSE) ||
	    (d->why == WR_END_WEIR_RELAY_BACKUP && u->on_up != WR_FATE_CLOSE))
		d->why = WR_END_NONE;
}

/* Which of the doomed are named?  Each of their groups is looked at once. */
static void
mark_groups(struct wr_proxy *px)
{
	for (uint32_t n = px->first_doom; n != 0; n = px->dooms[n - 1].next) {
		const struct wr_upstream_conf *u = group_of(px, n - 1);

		if (u != NULL && u->n_servers > 0 &&
		    !is_marked(u->servers[0].cell))
			mark(u, true);
	}
}

static void
relax_all(struct wr_proxy *px)
{
	uint32_t *at = &px->first_doom;

	if (*at == 0)
		return;
	mark_groups(px);
	while (*at != 0) {
		struct wr_doom *d = &px->dooms[*at - 1];

		relax(px, *at - 1);
		if (d->why == WR_END_NONE) {
			*at = d->next;
			d->listed = false;
		} else {
			at = &d->next;
		}
	}
	memset(bits, 0, sizeof(bits));
}

/* Groups that end nobody's session cost nothing here. */
void
wr_policy_use(struct wr_proxy *px, const struct wr_conf *old)
{
	const struct wr_conf *c = px->gen->conf;

	relax_all(px);
	for (uint32_t i = 0; i < old->n_strict; i++)
		remove_from(px, old->strict[i],
		    wr_conf_upstream_at(c, old->strict[i]->cell));
	for (uint32_t i = 0; i < c->n_strict; i++)
		remove_from(px, wr_conf_upstream_at(old, c->strict[i]->cell),
		    c->strict[i]);
	wr_policy_look(px);
}
