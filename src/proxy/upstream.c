/* SPDX-License-Identifier: BSD-2-Clause */
/* upstream - see upstream.h. */
#include "proxy/upstream.h"

#include <assert.h>
#include <errno.h>

#include "proxy/core.h"
#include "proxy/server.h"

/* So many groups may stand in for one another before we believe in a ring. */
#define FALLBACKS 8

/* What a look at all servers of one kind has found. */
struct look {
	const struct wr_server_conf *best;
	int64_t weight; /* of all that fit */
	bool full, tried, ejected;
};

/* Smooth: each server gains its weight, and the winner pays for all. */
static void
gain(struct wr_proxy *px, const struct wr_server_conf *sv, struct look *k)
{
	struct wr_server_run *run = &px->servers[sv->cell];

	run->turn += sv->weight;
	k->weight += sv->weight;
	if (k->best == NULL || run->turn > px->servers[k->best->cell].turn)
		k->best = sv;
}

static struct look
look_at(struct wr_proxy *px, const struct wr_upstream_conf *u, bool backup,
    uint64_t tried, bool panic)
{
	struct look k = { 0 };

	for (uint32_t i = 0; i < u->n_servers; i++) {
		const struct wr_server_conf *sv = &u->servers[i];
		enum wr_fit fit;

		if (sv->backup != backup)
			continue;
		fit =
		    wr_server_fit(px->stats, sv, wr_loop_now(px->loop), panic);
		if (fit == WR_FIT_NOT)
			continue;
		if (fit == WR_FIT_EJECTED)
			k.ejected = true;
		else if (fit == WR_FIT_WAIT)
			k.full = true;
		else if (tried & wr_server_bit(sv))
			k.tried = true;
		else
			gain(px, sv, &k);
	}
	if (k.best != NULL)
		px->servers[k.best->cell].turn -= k.weight;
	return k;
}

/* A full primary is worth waiting for; one that was tried is not. */
static enum wr_picked
choose(struct wr_proxy *px, const struct wr_upstream_conf *u, uint64_t tried,
    bool panic, const struct wr_server_conf **sv)
{
	struct look primary = look_at(px, u, false, tried, panic), backup;

	*sv = primary.best;
	if (primary.best != NULL)
		return WR_PICKED;
	if (primary.full)
		return WR_PICK_FULL;
	backup = look_at(px, u, true, tried, panic);
	*sv = backup.best;
	if (backup.best != NULL)
		return WR_PICKED;
	if (primary.tried || backup.tried)
		return WR_PICK_TRIED;
	if (backup.full)
		return WR_PICK_FULL;
	return primary.ejected || backup.ejected ? WR_PICK_EJECTED
						 : WR_PICK_NONE;
}

/* Rather an ejected server than none, if the modules think so too. */
static enum wr_picked
panic(struct wr_proxy *px, const struct wr_upstream_conf *u, uint64_t tried,
    const struct wr_server_conf **sv)
{
	for (int i = 0; u != NULL && i < FALLBACKS; i++, u = u->fallback)
		if (choose(px, u, tried, false, sv) == WR_PICK_EJECTED &&
		    wr_hooks_none(px, u))
			return choose(px, u, tried, true, sv);
	return WR_PICK_NONE;
}

enum wr_picked
wr_upstream_pick(struct wr_proxy *px, const struct wr_upstream_conf *first,
    uint64_t tried, const struct wr_server_conf **sv)
{
	const struct wr_upstream_conf *u = first;
	enum wr_picked how;
	bool ejected = false;

	for (int i = 0; u != NULL && i < FALLBACKS; i++, u = u->fallback) {
		how = choose(px, u, tried, false, sv);
		if (how != WR_PICK_EJECTED && how != WR_PICK_NONE)
			return how;
		ejected |= how == WR_PICK_EJECTED;
	}
	return ejected ? panic(px, first, tried, sv) : WR_PICK_NONE;
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
