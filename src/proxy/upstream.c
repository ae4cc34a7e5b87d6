/* SPDX-License-Identifier: BSD-2-Clause */
/* upstream - see upstream.h. */
#include "proxy/upstream.h"

#include <assert.h>
#include <errno.h>

#include "base/hash.h"
#include "proxy/balance.h"
#include "proxy/core.h"
#include "proxy/server.h"
#include "proxy/session.h"
#include "proxy/sticky.h"

/* So many groups may stand in for one another before we believe in a ring. */
#define FALLBACKS 8
/* Hundredths of its share that a server begins with. */
#define COLD 10

/* -- What balancers ask -------------------------------------------------- */

const struct wr_server_conf *
wr_pick_first(const struct wr_pick *k)
{
	return wr_servers_first(&k->px->joined, k->u);
}

const struct wr_server_conf *
wr_pick_next(const struct wr_pick *k, const struct wr_server_conf *sv)
{
	return wr_servers_next(&k->px->joined, k->u, sv);
}

/* Hundredths of its share: a server that has come up warms up. */
static uint32_t
warmth(const struct wr_pick *k, const struct wr_server_conf *sv)
{
	uint32_t slow_ms = sv->upstream->slow_start_ms;
	uint64_t since_ms;

	if (slow_ms == WR_OFF || slow_ms == 0)
		return 100;
	since_ms =
	    k->now_ms - wr_load(&k->px->stats->states[sv->cell].changed_ms);
	if (since_ms >= slow_ms)
		return 100;
	return (uint32_t)(COLD + (100 - COLD) * since_ms / slow_ms);
}

uint32_t
wr_pick_weight(const struct wr_pick *k, const struct wr_server_conf *sv)
{
	uint32_t load = wr_load(&k->px->stats->states[sv->cell].load);
	uint32_t weight = sv->weight * warmth(k, sv);

	if (load == 0 || weight == 0)
		return weight;
	weight =
	    (uint32_t)((uint64_t)weight * (load < 100 ? 100 - load : 0) / 100);
	return weight > 0 ? weight : 1;
}

uint64_t
wr_pick_active(const struct wr_pick *k, const struct wr_server_conf *sv)
{
	return wr_stats_server_active(k->px->stats, sv->cell);
}

uint64_t
wr_pick_key(const struct wr_pick *k)
{
	static const struct wr_hash_key fixed = { { 0x77656972, 2 } };
	const struct wr_ip *ip;

	if (k->s == NULL)
		return wr_random_u64(&k->px->random);
	ip = wr_session_client(k->s);
	return wr_hash(&fixed, ip->ip, sizeof(ip->ip));
}

/* A cold server takes fewer sessions at a time, but one at least. */
static bool
has_place(const struct wr_pick *k, const struct wr_server_conf *sv)
{
	uint64_t cap = sv->max_conns;

	if (sv->max_conns == WR_OFF)
		return true;
	cap = cap * warmth(k, sv) / 100;
	return wr_pick_active(k, sv) < (cap > 0 ? cap : 1);
}

bool
wr_pick_fits(struct wr_pick *k, const struct wr_server_conf *sv)
{
	enum wr_fit fit;

	if (sv->backup != k->backup)
		return false;
	fit = wr_server_fit(k->px->stats, sv, k->now_ms, k->despite);
	if (fit == WR_FIT && !has_place(k, sv))
		fit = WR_FIT_WAIT;
	if (fit == WR_FIT_EJECTED)
		k->ejected = true;
	else if (fit == WR_FIT_WAIT)
		k->full = true;
	else if (fit == WR_FIT && (k->tried & wr_server_bit(sv)) != 0)
		k->was_tried = true;
	else
		return fit == WR_FIT;
	return false;
}

/* -- Pick ---------------------------------------------------------------- */

static const struct wr_server_conf *
look_at(struct wr_pick *k, const struct wr_pick *like, bool backup)
{
	*k = *like;
	k->backup = backup;
	return wr_balancers[k->u->balance]->pick(k);
}

/* The client goes where it was before; a backup that sessions are to leave
 * is none of those in whose place it stands. */
static bool
comes_back(const struct wr_sticky *y, const struct wr_pick *k, bool instead)
{
	if (!wr_sticky_fits(y, k) ||
	    (y->server->backup && !instead && k->u->on_up == WR_FATE_CLOSE))
		return false;
	wr_sticky_hit(k);
	return true;
}

/*
 * A reload may have given the cell of a server that is gone to another one,
 * which begins anew.  Looked at when the group is used first, not in the
 * reload: a pick goes over the group anyway.
 */
static void
refresh(struct wr_proxy *px, const struct wr_upstream_conf *u)
{
	if (px->groups_seen[u->cell] == px->uses)
		return;
	px->groups_seen[u->cell] = px->uses;
	for (uint32_t i = 0; i < u->n_servers; i++) {
		uint32_t cell = u->servers[i].cell;
		uint32_t life = wr_load(&px->stats->states[cell].life);

		if (px->servers[cell].life != life)
			px->servers[cell] =
			    (struct wr_server_run){ .life = life };
		px->servers[cell].at = i;
	}
}

/* A full primary is worth waiting for; one that was tried is not. */
static enum wr_picked
choose(const struct wr_pick *like, const struct wr_server_conf **sv)
{
	struct wr_pick primary, backup;
	struct wr_sticky y;

	refresh(like->px, like->u);
	wr_sticky_look(&y, like);
	*sv = y.server;
	if (comes_back(&y, like, false))
		return WR_PICKED;
	*sv = look_at(&primary, like, false);
	if (*sv == NULL && primary.full)
		return WR_PICK_FULL;
	if (*sv == NULL) {
		*sv = y.server;
		if (comes_back(&y, like, true))
			return WR_PICKED;
		*sv = look_at(&backup, like, true);
	}
	if (*sv != NULL) {
		*sv = wr_sticky_choose(&y, like, *sv);
		return WR_PICKED;
	}
	if (primary.was_tried || backup.was_tried)
		return WR_PICK_TRIED;
	if (backup.full)
		return WR_PICK_FULL;
	return primary.ejected || backup.ejected ? WR_PICK_EJECTED
						 : WR_PICK_NONE;
}

/* Rather an ejected server than none, if the modules think so too. */
static enum wr_picked
panic(struct wr_pick *like, const struct wr_upstream_conf *first,
    const struct wr_server_conf **sv)
{
	like->u = first;
	for (int i = 0; like->u != NULL && i < FALLBACKS;
	     i++, like->u = like->u->fallback) {
		like->despite = 0;
		if (choose(like, sv) != WR_PICK_EJECTED ||
		    !wr_hooks_none(like->px, like->u))
			continue;
		like->despite = WR_DESPITE_EJECTED;
		return choose(like, sv);
	}
	return WR_PICK_NONE;
}

enum wr_picked
wr_upstream_pick(struct wr_proxy *px, struct wr_session *s,
    const struct wr_upstream_conf *first, uint64_t tried,
    const struct wr_server_conf **sv)
{
	struct wr_pick like = { .px = px,
		.u = first,
		.s = s,
		.tried = tried,
		.now_ms = wr_loop_now(px->loop) };
	bool ejected = false;

	wr_proxy_joins(px);
	for (int i = 0; like.u != NULL && i < FALLBACKS;
	     i++, like.u = like.u->fallback) {
		enum wr_picked how = choose(&like, sv);

		if (how != WR_PICK_EJECTED && how != WR_PICK_NONE)
			return how;
		ejected |= how == WR_PICK_EJECTED;
	}
	return ejected ? panic(&like, first, sv) : WR_PICK_NONE;
}

void
wr_upstream_took(struct wr_proxy *px, uint32_t server_cell, uint32_t us)
{
	struct wr_server_run *run = &px->servers[server_cell];
	uint64_t now_ms = wr_loop_now(px->loop), age_ms = now_ms - run->ewma_ms;

	if (us >= run->ewma_us || age_ms >= WR_EWMA_MS)
		run->ewma_us = us;
	else
		run->ewma_us -= (uint32_t)((uint64_t)(run->ewma_us - us) *
					   (age_ms + WR_EWMA_MS / 64) /
					   (WR_EWMA_MS + WR_EWMA_MS / 64));
	run->ewma_ms = now_ms;
}

enum wr_trouble
wr_trouble_of(int err)
{
	switch (-err) {
	case ECONNREFUSED:
	case ECONNRESET:
	case ECONNABORTED:
	case ETIMEDOUT:
	case EHOSTUNREACH:
	case EHOSTDOWN:
	case ENETUNREACH:
	case ENETDOWN:
	case EPIPE:
	case EAGAIN: /* unix: its queue is full */
	case ENOENT: /* unix: not there yet */
		return WR_TEMPORARY;
	case EADDRNOTAVAIL:
	case EADDRINUSE:
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case ENOMEM:
		return WR_OURS;
	default:
		return WR_PERMANENT;
	}
}

enum wr_end
wr_trouble_end(int err)
{
	switch (-err) {
	case ECONNREFUSED:
	case EAGAIN:
	case ENOENT:
		return WR_END_SERVER_CONNECT_REFUSED;
	case ETIMEDOUT:
		return WR_END_SERVER_CONNECT_TIMEOUT;
	case ECONNRESET:
	case ECONNABORTED:
	case EPIPE:
		return WR_END_SERVER_CONNECT_RESET;
	case EHOSTUNREACH:
	case EHOSTDOWN:
	case ENETUNREACH:
	case ENETDOWN:
		return WR_END_SERVER_CONNECT_UNREACHABLE;
	default:
		return WR_END_WEIR_CONNECT_FAILED;
	}
}
