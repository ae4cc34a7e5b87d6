/* SPDX-License-Identifier: BSD-2-Clause */
/* roster - see roster.h. */
#include "proxy/roster.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "proxy/control.h"
#include "proxy/module.h"

/* How often an heir looks whether it may, or somebody has let go. */
#define CLAIM_MS 50
#define SWEEP_MS 500
/* That there is no room is said so often at most. */
#define SAY_MS 10000

static wr_timer_fn on_timer;

static struct wr_join *
joins(const struct wr_control *ct)
{
	return ct->stats->joins;
}

struct wr_join *
wr_roster_entry(const struct wr_control *ct, const struct wr_server_conf *sv)
{
	return &joins(ct)[sv->cell - WR_FILE_CELLS];
}

static uint32_t
high(const struct wr_control *ct)
{
	return wr_load(&ct->stats->roll->high);
}

/* -- Publishing ---------------------------------------------------------- */

/* All processes are to look; the version in which it is so. */
static uint64_t
publish(struct wr_control *ct)
{
	struct wr_roll *roll = ct->stats->roll;
	uint64_t version = wr_load(&roll->version) + 1;

	__atomic_store_n(&roll->version, version, __ATOMIC_RELEASE);
	wr_joined_look(&ct->roster.joined);
	__atomic_store_n(
	    &ct->stats->slots[ct->slot].joins_seen, version, __ATOMIC_RELEASE);
	wr_control_tell(ct);
	return version;
}

/* Has every process seen that version? */
static bool
is_seen(const struct wr_control *ct, uint64_t version)
{
	const struct wr_stats *st = ct->stats;

	for (uint32_t i = 0; i < wr_load(st->slots_high); i++) {
		const struct wr_slot *s = &st->slots[i];

		if (wr_load(&s->pid) != 0 &&
		    wr_load(&s->role) != WR_ROLE_NONE &&
		    __atomic_load_n(&s->joins_seen, __ATOMIC_ACQUIRE) < version)
			return false;
	}
	return true;
}

/* Give back what nobody uses.  True if something has to wait. */
static bool
sweep(struct wr_control *ct)
{
	bool waits = false;

	for (uint32_t i = 0; i < high(ct); i++) {
		struct wr_join *x = &joins(ct)[i];

		if (!x->used || x->member)
			continue;
		if (is_seen(ct, x->left) &&
		    wr_stats_server_active(ct->stats, WR_FILE_CELLS + i) == 0)
			__atomic_store_n(&x->used, 0, __ATOMIC_RELEASE);
		else
			waits = true;
	}
	return waits;
}

/* A place that nobody uses, or WR_JOIN_CELLS. */
static uint32_t
free_place(struct wr_control *ct)
{
	uint32_t i = 0, n = high(ct);

	while (i < n && joins(ct)[i].used)
		i++;
	if (i == n && i < WR_JOIN_CELLS)
		wr_store(&ct->stats->roll->high, i + 1);
	return i;
}

/* -- Joining and leaving ------------------------------------------------- */

static uint32_t
size_of(const struct wr_control *ct, const struct wr_upstream_conf *u)
{
	const struct wr_joined *j = &ct->roster.joined;
	const struct wr_server_conf *sv = wr_joined_first(j, u);
	uint32_t n = 0;

	for (; sv != NULL; sv = wr_joined_next(j, sv))
		n++;
	return n;
}

static void
no_room(struct wr_control *ct, const struct wr_upstream_conf *u,
    const struct wr_newcomer *n, uint32_t limit)
{
	uint64_t now_ms = wr_loop_now(ct->loop);

	if (ct->roster.said_ms != 0 && now_ms - ct->roster.said_ms < SAY_MS)
		return;
	ct->roster.said_ms = now_ms;
	if (limit == u->servers_max)
		wr_warnx("server %s cannot join upstream %s: servers_max is %u",
		    n->name, u->name, limit);
	else
		wr_warnx("server %s cannot join upstream %s: shared memory is "
			 "full with %u servers",
		    n->name, u->name, limit);
}

static void
write_entry(struct wr_control *ct, uint32_t place,
    const struct wr_upstream_conf *u, const struct wr_newcomer *n)
{
	struct wr_join *x = &joins(ct)[place];
	struct wr_server_state *state =
	    &ct->stats->states[WR_FILE_CELLS + place];

	wr_store(&x->group, u->cell);
	__atomic_store_n(&x->used, 1, __ATOMIC_RELEASE);
	wr_stats_wipe_server(ct->stats, WR_FILE_CELLS + place);
	wr_store(&state->want, (uint32_t)n->want);
	wr_store(&state->weight, n->weight);
	wr_store(&state->changed_ms, wr_loop_now(ct->loop));
	x->max_conns = n->max_conns;
	x->backup = n->backup;
	x->client_port = n->client_port;
	x->origin = n->origin;
	x->left = 0;
	x->seen_ms = wr_loop_now(ct->loop);
	x->ip = n->ip;
	(void)snprintf(x->name, sizeof(x->name), "%s", n->name);
}

const struct wr_server_conf *
wr_roster_join(struct wr_control *ct, const struct wr_upstream_conf *u,
    const struct wr_newcomer *n)
{
	const struct wr_server_conf *sv;
	uint32_t place;

	if (!ct->roster.owns)
		return NULL;
	if (size_of(ct, u) >= u->servers_max) {
		no_room(ct, u, n, u->servers_max);
		return NULL;
	}
	place = free_place(ct);
	if (place == WR_JOIN_CELLS) {
		no_room(ct, u, n, WR_JOIN_CELLS);
		return NULL;
	}
	write_entry(ct, place, u, n);
	sv = wr_joined_take(&ct->roster.joined, WR_FILE_CELLS + place, u);
	/* Before anybody may pick it: it may have to pass a check first. */
	for (int i = 0; wr_modules[i] != NULL; i++)
		if (wr_modules[i]->control_join != NULL)
			wr_modules[i]->control_join(ct, sv);
	__atomic_store_n(&joins(ct)[place].member, 1, __ATOMIC_RELEASE);
	(void)publish(ct);
	return sv;
}

/* Its cell waits until it is free, by the version that is published next. */
static void
dismiss(struct wr_control *ct, struct wr_join *x)
{
	x->left = wr_load(&ct->stats->roll->version) + 1;
	__atomic_store_n(&x->member, 0, __ATOMIC_RELEASE);
	wr_timer_set(ct->loop, &ct->roster.timer, SWEEP_MS, on_timer);
}

void
wr_roster_leave(struct wr_control *ct, const struct wr_server_conf *sv)
{
	if (!ct->roster.owns)
		return;
	dismiss(ct, wr_roster_entry(ct, sv));
	for (int i = 0; wr_modules[i] != NULL; i++)
		if (wr_modules[i]->control_leave != NULL)
			wr_modules[i]->control_leave(ct, sv);
	(void)publish(ct);
}

void
wr_roster_change(struct wr_control *ct, const struct wr_server_conf *sv,
    uint32_t weight, uint32_t max_conns, bool backup, enum wr_server_want want)
{
	struct wr_join *x = wr_roster_entry(ct, sv);
	struct wr_server_state *state = &ct->stats->states[sv->cell];

	if (!ct->roster.owns ||
	    (wr_load(&state->weight) == weight && x->max_conns == max_conns &&
		(x->backup != 0) == backup &&
		wr_load(&state->want) == (uint32_t)want))
		return;
	wr_store(&state->weight, weight);
	wr_store(&state->want, (uint32_t)want);
	wr_store(&x->max_conns, max_conns);
	wr_store(&x->backup, (uint32_t)backup);
	(void)publish(ct);
}

/* -- Ownership ----------------------------------------------------------- */

/* The control that owns the roll is still there. */
static bool
is_alive(const struct wr_control *ct, uint64_t owner)
{
	uint32_t slot = (uint32_t)owner - 1;
	const struct wr_slot *s;

	if (owner == 0 || slot >= WR_SLOTS)
		return false;
	s = &ct->stats->slots[slot];
	return wr_load(&s->pid) == (uint32_t)(owner >> 32) &&
	       wr_load(&s->role) == WR_ROLE_CONTROL;
}

static bool
claim(struct wr_control *ct)
{
	uint64_t *word = &ct->stats->roll->owner;
	uint64_t owner = wr_load(word);
	uint64_t own = (uint64_t)getpid() << 32 | (ct->slot + 1);

	return !is_alive(ct, owner) &&
	       __atomic_compare_exchange_n(word, &owner, own, false,
		   __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

/* The last one may have been killed at any instruction: what it had begun is
 * given back, what has no group any more leaves. */
static void
inherit(struct wr_control *ct)
{
	uint64_t next = wr_load(&ct->stats->roll->version) + 1;

	for (uint32_t i = 0; i < high(ct); i++) {
		struct wr_join *x = &joins(ct)[i];

		if (!x->used)
			continue;
		if (x->member &&
		    wr_conf_upstream_at(ct->conf, x->group) == NULL)
			__atomic_store_n(&x->member, 0, __ATOMIC_RELEASE);
		if (!x->member)
			x->left = next;
	}
	(void)publish(ct);
}

static void
tell_modules(struct wr_control *ct)
{
	for (int i = 0; wr_modules[i] != NULL; i++)
		if (wr_modules[i]->control_use != NULL)
			wr_modules[i]->control_use(ct, ct->conf);
}

/* Not the owner: do as it says. */
static void
follow(struct wr_control *ct)
{
	struct wr_joined *j = &ct->roster.joined;

	if (!wr_joined_stale(j))
		return;
	wr_joined_look(j);
	__atomic_store_n(
	    &ct->stats->slots[ct->slot].joins_seen, j->seen, __ATOMIC_RELEASE);
	tell_modules(ct);
}

static void
on_timer(struct wr_loop *l, struct wr_timer *t)
{
	struct wr_roster *r = wr_container_of(t, struct wr_roster, timer);
	struct wr_control *ct = wr_container_of(r, struct wr_control, roster);

	if (r->owns) {
		if (sweep(ct))
			wr_timer_set(l, t, SWEEP_MS, on_timer);
		return;
	}
	if (claim(ct)) {
		r->owns = true;
		inherit(ct);
		tell_modules(ct);
		wr_timer_set(l, t, SWEEP_MS, on_timer);
		return;
	}
	follow(ct);
	wr_timer_set(l, t, CLAIM_MS, on_timer);
}

int
wr_roster_start(struct wr_control *ct)
{
	struct wr_roster *r = &ct->roster;
	int err = wr_joined_init(&r->joined, ct->stats);

	if (err < 0)
		return err;
	wr_joined_use(&r->joined, ct->conf);
	r->owns = claim(ct);
	if (r->owns)
		inherit(ct);
	wr_timer_set(
	    ct->loop, &r->timer, r->owns ? SWEEP_MS : CLAIM_MS, on_timer);
	return 0;
}

void
wr_roster_use(struct wr_control *ct)
{
	wr_joined_use(&ct->roster.joined, ct->conf);
	if (ct->roster.owns) {
		inherit(ct);
		wr_timer_set(ct->loop, &ct->roster.timer, SWEEP_MS, on_timer);
	}
}

void
wr_roster_stop(struct wr_control *ct)
{
	wr_timer_stop(ct->loop, &ct->roster.timer);
	wr_joined_fini(&ct->roster.joined);
	ct->roster.owns = false;
}
