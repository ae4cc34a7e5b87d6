/* SPDX-License-Identifier: BSD-2-Clause */
/* listen - the set of listening sockets; see listen.h. */
#include "proc/listen.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "io/sock.h"
#include "proc/listens.h"

#define LOOK_MS  50   /* how often those that retire are looked at */
#define QUIET_MS 3000 /* nobody was waiting for so long: close */
/* The same if a wider address takes its clients: those turned away come again
 * after a second, and find that one. */
#define COVERED_MS 500
/* And if we end: whoever has begun a handshake is in by then. */
#define END_MS   200
#define LEAVE_MS 2000 /* for processes to let go */
#define RETRY_MS 1000 /* listen() failed */

static struct wr_address *
address_of(struct wr_list *n)
{
	return wr_container_of(n, struct wr_address, link);
}

struct wr_listens *
wr_listens_new(wr_listen_tell_fn *tell, void *arg)
{
	struct wr_listens *ls = calloc(1, sizeof(*ls));

	if (ls == NULL)
		return NULL;
	ls->tell = tell;
	ls->arg = arg;
	/* Tags of shared sockets are not shards of others. */
	ls->tags = WR_SHARD_CONTROL + 1;
	wr_list_init(&ls->addresses);
	return ls;
}

void
wr_listens_free(struct wr_listens **lsp)
{
	struct wr_listens *ls = *lsp;

	*lsp = NULL;
	if (ls == NULL)
		return;
	wr_list_each_safe (n, &ls->addresses) {
		struct wr_address *a = address_of(n);

		wr_address_free(&a);
	}
	if (ls->gen != NULL)
		wr_gen_put(&ls->gen);
	free(ls);
}

void
wr_listens_unlink(struct wr_listens *ls)
{
	wr_list_each (n, &ls->addresses)
		wr_address_unlink(address_of(n));
}

void
wr_listens_beside(struct wr_listens *ls)
{
	ls->beside = true;
}

void
wr_listens_own(struct wr_listens *ls)
{
	wr_list_each_safe (n, &ls->addresses) {
		struct wr_address *a = address_of(n);

		if (a->state != WR_ADDRESS_STRANGE)
			continue;
		wr_address_unlink(a);
		wr_address_free(&a);
	}
}

/* -- Bind --------------------------------------------------------------- */

static const char *
hint(int err, enum wr_listen_kind kind)
{
	if (err == -EEXIST)
		return " (another entry has the same address)";
	if (kind == WR_LISTEN_FD && err == -ESTALE)
		return " (it was inherited, and closed when its listener was "
		       "removed; who starts weir can pass it again)";
	if (kind == WR_LISTEN_FD)
		return err == -EBADF ? " (no such descriptor was inherited)"
				     : " (the inherited descriptor cannot be "
				       "accepted from)";
	switch (err) {
	case -EADDRINUSE:
		return " (another program has it)";
	case -EADDRNOTAVAIL:
		return " (this machine has no such address)";
	case -EACCES:
	case -EPERM:
		return kind == WR_LISTEN_TCP ? " (ports below 1024 need root "
					       "or CAP_NET_BIND_SERVICE)"
					     : "";
	default:
		return "";
	}
}

static void
complain(struct wr_text *errors, const struct wr_want *w, int err)
{
	wr_text_printf(errors, "%s: listen = \"%s\": %s%s\n", w->listen->where,
	    w->listen->text, strerror(-err), hint(err, w->listen->kind));
}

/* The address that serves this entry already, if any.  The file of a retired
 * unix socket is gone, so nobody new would find it. */
static struct wr_address *
find(struct wr_listens *ls, const struct wr_want *w)
{
	wr_list_each (n, &ls->addresses) {
		struct wr_address *a = address_of(n);

		if (!wr_address_is(a, w) || a->want.listener != NULL)
			continue;
		if (a->state == WR_ADDRESS_CLOSING ||
		    (a->state == WR_ADDRESS_RETIRE &&
			a->kind == WR_LISTEN_UNIX))
			continue;
		return a;
	}
	return NULL;
}

/* Has an earlier entry of the same value this address? */
static bool
is_listed(struct wr_listens *ls, const struct wr_want *w)
{
	wr_list_each (n, &ls->addresses)
		if (wr_address_is(address_of(n), w) &&
		    address_of(n)->want.listener != NULL)
			return true;
	return false;
}

static bool
meets_ours(const struct wr_listens *ls, const struct wr_want *w)
{
	if (ls->beside)
		return true;
	wr_list_each (n, (struct wr_list *)&ls->addresses) {
		const struct wr_address *a = address_of(n);

		if (wr_address_meets(a, w) || wr_address_is(a, w))
			return true;
	}
	return false;
}

static int
bind_one(struct wr_listens *ls, struct wr_want *w, uint32_t shards)
{
	struct wr_address *a;
	bool beside;

	if (w->listen->kind == WR_LISTEN_FD) {
		w->foreign = wr_listens_foreign(ls, w);
		if (w->foreign < 0)
			return w->foreign;
	}
	if (is_listed(ls, w))
		return -EEXIST;
	a = find(ls, w);
	beside = meets_ours(ls, w);
	if (a == NULL) {
		a = wr_address_new(w);
		if (a == NULL)
			return -errno;
		a->tag = ls->tags++;
		wr_list_push(&ls->addresses, &a->link);
	}
	a->want = *w;
	return wr_address_bind(a, shards, beside);
}

int
wr_listens_bind(struct wr_listens *ls, struct wr_gen *g, uint32_t shards,
    struct wr_text *errors)
{
	const struct wr_conf *c = g->conf;
	int bad = 0;

	for (uint32_t i = 0; i < c->n_listeners; i++) {
		const struct wr_listener_conf *l = c->listeners[i];

		for (uint32_t j = 0; j < l->n_listens; j++) {
			struct wr_want w = wr_want_of(l, &l->listens[j]);
			int err = bind_one(ls, &w, shards);

			if (err < 0) {
				complain(errors, &w, err);
				bad++;
			}
		}
	}
	if (bad > 0)
		wr_listens_abort(ls);
	return bad > 0 ? -1 : 0;
}

void
wr_listens_abort(struct wr_listens *ls)
{
	wr_list_each_safe (n, &ls->addresses) {
		struct wr_address *a = address_of(n);

		wr_address_unbind(a);
		a->want = (struct wr_want){ 0 };
		if (a->state == WR_ADDRESS_NEW)
			wr_address_free(&a);
	}
}

/* -- Telling ------------------------------------------------------------ */

uint32_t
wr_listens_shard_of(const struct wr_address *a, uint32_t i)
{
	return a->way == WR_WAY_SHARED ? a->tag : i;
}

/*
 * Who accepts alone may do so in the quickest way.  The second one must not
 * wait in a way in which the kernel wakes one of them: the other may be
 * stopped, or about to go.
 */
static bool
is_shared(const struct wr_address *a, const struct wr_port *p, int slot)
{
	struct wr_slots have = p->have, leave = p->leave;

	wr_slots_set(&have, slot, false);
	wr_slots_set(&leave, slot, false);
	return a->way == WR_WAY_SHARED || p->elder || !wr_slots_empty(&have) ||
	       !wr_slots_empty(&leave);
}

void
wr_listens_tell_open(
    struct wr_listens *ls, struct wr_address *a, uint32_t i, int slot)
{
	struct wr_listen_tell t = { .open = true,
		.fd = a->port[i].fd,
		.text = a->text,
		.cell = a->cell,
		.shard = wr_listens_shard_of(a, i),
		.shared = is_shared(a, &a->port[i], slot),
		.gen = a->gen != NULL ? a->gen : ls->gen };

	if (!a->port[i].listening || wr_slots_have(&a->port[i].have, slot))
		return;
	wr_slots_set(&a->port[i].have, slot, true);
	ls->tell(ls->arg, slot, &t);
}

static void
tell_shut(struct wr_listens *ls, struct wr_address *a, uint32_t i, int slot)
{
	struct wr_listen_tell t = { .fd = -1,
		.text = a->text,
		.cell = a->cell,
		.shard = wr_listens_shard_of(a, i),
		.gen = a->gen != NULL ? a->gen : ls->gen };

	if (!wr_slots_have(&a->port[i].have, slot))
		return;
	wr_slots_set(&a->port[i].have, slot, false);
	wr_slots_set(&a->port[i].leave, slot, true);
	ls->tell(ls->arg, slot, &t);
}

static void
shut_all(struct wr_listens *ls, struct wr_address *a)
{
	for (uint32_t i = 0; i < a->n; i++)
		for (int slot = 0; slot < WR_FLEET_SLOTS; slot++)
			tell_shut(ls, a, i, slot);
}

/* Does this socket belong to what the machine calls `shard`? */
static bool
is_of(const struct wr_address *a, uint32_t i, uint32_t shard)
{
	if (a->state == WR_ADDRESS_NEW || a->state == WR_ADDRESS_CLOSING ||
	    a->state == WR_ADDRESS_STRANGE)
		return false;
	switch (a->way) {
	case WR_WAY_SHARDED:
		return i == shard;
	case WR_WAY_SHARED:
		return shard == WR_SHARD_SHARED;
	default:
		return shard == WR_SHARD_CONTROL;
	}
}

void
wr_listens_open(struct wr_listens *ls, int slot, uint32_t shard)
{
	wr_list_each (n, &ls->addresses) {
		struct wr_address *a = address_of(n);

		for (uint32_t i = 0; i < a->n; i++)
			if (is_of(a, i, shard))
				wr_listens_tell_open(ls, a, i, slot);
	}
}

void
wr_listens_shut(struct wr_listens *ls, int slot, uint32_t shard)
{
	wr_list_each (n, &ls->addresses) {
		struct wr_address *a = address_of(n);

		for (uint32_t i = 0; i < a->n; i++)
			if (is_of(a, i, shard))
				tell_shut(ls, a, i, slot);
	}
}

void
wr_listens_shut_done(
    struct wr_listens *ls, int slot, const char *text, uint32_t shard)
{
	wr_list_each (n, &ls->addresses) {
		struct wr_address *a = address_of(n);

		for (uint32_t i = 0; i < a->n; i++)
			if (wr_listens_shard_of(a, i) == shard &&
			    strcmp(a->text, text) == 0)
				wr_slots_set(&a->port[i].leave, slot, false);
	}
}

void
wr_listens_leave(struct wr_listens *ls, int slot)
{
	wr_list_each (n, &ls->addresses) {
		struct wr_address *a = address_of(n);

		for (uint32_t i = 0; i < a->n; i++) {
			if (!wr_slots_have(&a->port[i].have, slot))
				continue;
			wr_slots_set(&a->port[i].have, slot, false);
			wr_slots_set(&a->port[i].leave, slot, true);
		}
	}
}

void
wr_listens_gone(struct wr_listens *ls, int slot)
{
	wr_list_each (n, &ls->addresses) {
		struct wr_address *a = address_of(n);

		for (uint32_t i = 0; i < a->n; i++) {
			wr_slots_set(&a->port[i].have, slot, false);
			wr_slots_set(&a->port[i].leave, slot, false);
		}
	}
}

/* -- Commit ------------------------------------------------------------- */

static bool
is_live(const struct wr_listens *ls, const struct wr_address *a, uint32_t i)
{
	return a->way != WR_WAY_SHARDED || ls->live[i];
}

static unsigned
hear(struct wr_listens *ls, struct wr_address *a)
{
	a->unheard = false;
	for (uint32_t i = 0; i < a->n; i++) {
		int err;

		if (!is_live(ls, a, i) || a->port[i].listening)
			continue;
		err = wr_address_listen(a, i);
		if (err < 0)
			wr_errorx("cannot listen on %s: %s; it is tried again",
			    a->text, strerror(-err));
	}
	return a->unheard;
}

static void
set_file(const struct wr_address *a, uint32_t mode, uint32_t uid, uint32_t gid)
{
	const char *path = a->addr.un.sun_path;

	if (a->kind != WR_LISTEN_UNIX ||
	    (a->mode == mode && a->uid == uid && a->gid == gid))
		return;
	/* Not of what a link leads to that somebody has put there. */
	if (fchmodat(AT_FDCWD, path, mode, AT_SYMLINK_NOFOLLOW) != 0)
		wr_warn("cannot set the mode of %s", path);
	if ((a->uid != uid || a->gid != gid) &&
	    lchown(path, uid == WR_OFF ? (uid_t)-1 : uid,
		gid == WR_OFF ? (gid_t)-1 : gid) != 0)
		wr_warn("cannot set the owner of %s", path);
}

/* Take what the entry says now.  Processes know a socket by its text and its
 * listener: if one of them is new, they are told anew. */
static void
settle(struct wr_listens *ls, struct wr_address *a)
{
	const struct wr_listener_conf *l = a->want.listener;
	const char *text = a->want.listen->text;
	bool same = a->cell == l->cell && strcmp(a->text, text) == 0 &&
		    a->state == WR_ADDRESS_RUN && a->way == wr_address_way(a);

	if (!same)
		shut_all(ls, a);
	if (strcmp(a->text, text) != 0) {
		char *copy = strdup(text);

		if (copy != NULL) {
			free(a->text);
			a->text = copy;
		}
	}
	a->way = wr_address_way(a);
	set_file(a, l->mode, l->uid, l->gid);
	if (a->backlog != l->backlog)
		for (uint32_t i = 0; i < a->n; i++)
			a->port[i].listening = false;
	a->cell = l->cell;
	a->backlog = l->backlog;
	a->mode = l->mode;
	a->uid = l->uid;
	a->gid = l->gid;
}

static void
keep(struct wr_listens *ls, struct wr_address *a)
{
	for (uint32_t i = 0; i < a->n && a->filtered; i++)
		if (wr_sock_accept_new(a->port[i].fd) < 0)
			wr_warnx("cannot accept on %s again", a->text);
	a->filtered = false;
	settle(ls, a);
	a->state = WR_ADDRESS_RUN;
	a->want = (struct wr_want){ 0 };
	if (a->gen != NULL)
		wr_gen_put(&a->gen);
	for (uint32_t i = 0; i < a->n; i++)
		a->port[i].fresh = false;
}

/* Does a wider address that stays get the clients of this one? */
static bool
is_covered(struct wr_listens *ls, const struct wr_address *a)
{
	wr_list_each (n, &ls->addresses)
		if (address_of(n)->state == WR_ADDRESS_RUN &&
		    wr_address_covers(address_of(n), a))
			return true;
	return false;
}

/* New clients are turned away, those on their way are still accepted. */
static void
retire(struct wr_listens *ls, struct wr_address *a, uint64_t now_ms)
{
	bool refused = a->kind != WR_LISTEN_FD;

	a->filtered = a->kind == WR_LISTEN_TCP;
	a->gen = wr_gen_get(ls->gen);
	a->busy_ms = now_ms;
	a->quiet_ms = is_covered(ls, a) ? COVERED_MS : QUIET_MS;
	wr_address_unlink(a);
	for (uint32_t i = 0; i < a->n && a->filtered; i++)
		refused &= wr_sock_refuse_new(a->port[i].fd) == 0;
	/* Where that cannot be done, and it must not be done to a socket that
	 * others have too, new ones come as long as we let them. */
	a->until_ms = refused ? 0 : now_ms + QUIET_MS;
}

unsigned
wr_listens_commit(struct wr_listens *ls, struct wr_gen *g, uint64_t now_ms,
    struct wr_text *changes)
{
	unsigned unheard = 0;

	wr_list_each (n, &ls->addresses) {
		struct wr_address *a = address_of(n);

		if (a->want.listener != NULL) {
			if (a->state != WR_ADDRESS_RUN && ls->gen != NULL)
				wr_text_printf(changes, "address %s: added\n",
				    a->want.listen->text);
			keep(ls, a);
		} else if (a->state == WR_ADDRESS_RUN) {
			wr_text_printf(
			    changes, "address %s: removed\n", a->text);
			a->state = WR_ADDRESS_RETIRE;
		}
	}
	wr_list_each (n, &ls->addresses)
		if (address_of(n)->state == WR_ADDRESS_RETIRE &&
		    address_of(n)->gen == NULL)
			retire(ls, address_of(n), now_ms);
	if (ls->gen != NULL)
		wr_gen_put(&ls->gen);
	ls->gen = wr_gen_get(g);
	wr_list_each (n, &ls->addresses)
		if (address_of(n)->state == WR_ADDRESS_RUN)
			unheard += hear(ls, address_of(n));
	ls->next_ms = now_ms + (unheard > 0 ? RETRY_MS : LOOK_MS);
	return unheard;
}

void
wr_listens_live(struct wr_listens *ls, uint32_t shard)
{
	assert(shard < WR_WORKERS_MAX);
	ls->live[shard] = true;
	wr_list_each (n, &ls->addresses)
		if (address_of(n)->state == WR_ADDRESS_RUN &&
		    hear(ls, address_of(n)) > 0 && ls->next_ms == 0)
			ls->next_ms = 1;
}

void
wr_listens_retire(struct wr_listens *ls, bool heir, uint64_t now_ms)
{
	wr_list_each (n, &ls->addresses) {
		struct wr_address *a = address_of(n);

		if (a->state == WR_ADDRESS_RUN && (a->ours || !heir)) {
			a->state = WR_ADDRESS_RETIRE;
			retire(ls, a, now_ms);
		}
		if (!heir)
			a->quiet_ms = END_MS;
	}
	ls->next_ms = now_ms + LOOK_MS;
}

bool
wr_listens_closed(const struct wr_listens *ls)
{
	wr_list_each (n, (struct wr_list *)&ls->addresses)
		if (address_of(n)->state != WR_ADDRESS_RUN)
			return false;
	return true;
}

/* -- Retirement --------------------------------------------------------- */

static void
close_one(struct wr_listens *ls, struct wr_address *a)
{
	for (unsigned i = 0; i < ls->n_foreign; i++)
		if (ls->foreign[i].fd == a->foreign)
			ls->foreign[i].closed = true;
	wr_debug("%s is closed", a->text);
	wr_address_free(&a);
}

/* Is there nothing to come back for? */
static bool
look(struct wr_listens *ls, struct wr_address *a, uint64_t now_ms)
{
	if (a->state == WR_ADDRESS_RUN && a->unheard)
		return hear(ls, a) == 0;
	if (a->state == WR_ADDRESS_RETIRE) {
		if (wr_address_is_busy(a))
			a->busy_ms = now_ms;
		if (now_ms < a->busy_ms + a->quiet_ms &&
		    (a->until_ms == 0 || now_ms < a->until_ms))
			return false;
		shut_all(ls, a);
		a->state = WR_ADDRESS_CLOSING;
		a->until_ms = now_ms + LEAVE_MS;
	}
	if (a->state != WR_ADDRESS_CLOSING)
		return true;
	if (!wr_address_is_alone(a) && now_ms < a->until_ms)
		return false;
	close_one(ls, a);
	return true;
}

uint64_t
wr_listens_due(const struct wr_listens *ls)
{
	return ls->next_ms != 0 ? ls->next_ms : UINT64_MAX;
}

void
wr_listens_tick(struct wr_listens *ls, uint64_t now_ms)
{
	bool idle = true;

	if (ls->next_ms == 0 || now_ms < ls->next_ms)
		return;
	wr_list_each_safe (n, &ls->addresses)
		idle &= look(ls, address_of(n), now_ms);
	ls->next_ms = idle ? 0 : now_ms + LOOK_MS;
}
