/* SPDX-License-Identifier: BSD-2-Clause */
/* sticky - see sticky.h. */
#include "proxy/sticky.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/hash.h"
#include "proxy/balance.h"
#include "proxy/core.h"
#include "proxy/server.h"

/*
 * The word of a place, from its low bits: cell, life, second of the last use,
 * a claim, bits of the key.  0 is nobody.  A claim says that a process is about
 * to give the place to another key; the rest is as it will be.
 */
#define CELL_BITS  17
#define LIFE_BITS  9
#define STAMP_BITS 25
#define TAG_BITS   12
#define ID_BITS    (CELL_BITS + LIFE_BITS)
#define TAG_AT     (ID_BITS + STAMP_BITS + 1)
#define CLAIM      (UINT64_C(1) << (TAG_AT - 1))
#define MASK(bits) ((1u << (bits)) - 1)

_Static_assert(TAG_AT + TAG_BITS == 64, "all of the word");
_Static_assert(WR_SERVER_CELLS <= 1 << CELL_BITS, "a cell fits");

/* Clocks of processes may differ by so much, and be read late. */
#define LATE_S 60
/* So long after it was claimed, a place belongs to a dead process. */
#define DEAD_S 2
/* So often another process may be faster before we go without. */
#define TRIES 4

/* -- Words --------------------------------------------------------------- */

static uint32_t
tag_of(uint64_t key)
{
	return (uint32_t)key & MASK(TAG_BITS);
}

static uint64_t
word_of(uint64_t key, uint32_t id, uint32_t now_s)
{
	return (uint64_t)tag_of(key) << TAG_AT |
	       (uint64_t)(now_s & MASK(STAMP_BITS)) << ID_BITS | id;
}

static uint32_t
id_of(uint64_t word)
{
	return (uint32_t)word & MASK(ID_BITS);
}

static bool
is_claim(uint64_t word)
{
	return (word & CLAIM) != 0;
}

static uint32_t
age_s(uint64_t word, uint32_t now_s)
{
	uint32_t age = (now_s - (uint32_t)(word >> ID_BITS)) & MASK(STAMP_BITS);

	return age > MASK(STAMP_BITS) - LATE_S ? 0 : age;
}

static bool
is_live(const struct wr_sticky_table *t, uint64_t word)
{
	return word != 0 && !is_claim(word) &&
	       age_s(word, t->now_s) < t->expire_s;
}

static bool
swap(uint64_t *p, uint64_t old, uint64_t new)
{
	return __atomic_compare_exchange_n(
	    p, &old, new, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
}

uint32_t
wr_sticky_id(const struct wr_stats *st, uint32_t server_cell)
{
	uint32_t life = wr_load(&st->states[server_cell].life);

	return (life & MASK(LIFE_BITS)) << CELL_BITS | server_cell;
}

/* -- Places -------------------------------------------------------------- */

static struct wr_sticky_bucket *
bucket_of(const struct wr_sticky_table *t, uint64_t key)
{
	return &t->v[(key >> 32) * t->n >> 32];
}

/* The word if the place is the key's, else 0. */
static uint64_t
word_at(const struct wr_sticky_place *p, uint64_t key)
{
	uint64_t word;

	if (wr_load(&p->key) != key)
		return 0;
	word = __atomic_load_n(&p->word, __ATOMIC_SEQ_CST);
	/* Has it been given to another key in between? */
	if (word == 0 || is_claim(word) || word >> TAG_AT != tag_of(key) ||
	    __atomic_load_n(&p->key, __ATOMIC_ACQUIRE) != key)
		return 0;
	return word;
}

/* The key's place among the first `n`, or NULL. */
static struct wr_sticky_place *
find(struct wr_sticky_bucket *b, uint32_t n, uint64_t key, uint64_t *word)
{
	for (uint32_t i = 0; i < n; i++) {
		*word = word_at(&b->v[i], key);
		if (*word != 0)
			return &b->v[i];
	}
	return NULL;
}

uint32_t
wr_sticky_get(const struct wr_sticky_table *t, uint64_t key)
{
	uint64_t word;
	struct wr_sticky_place *p =
	    find(bucket_of(t, key), WR_STICKY_WAYS, key, &word);

	if (p == NULL || !is_live(t, word))
		return WR_STICKY_NOBODY;
	/* If somebody else has changed it, that is as young. */
	if (age_s(word, t->now_s) > 0)
		(void)swap(&p->word, word, word_of(key, id_of(word), t->now_s));
	return id_of(word);
}

/* Another process is about to put what is most probably this key into one of
 * the first `n`: its word, or 0. */
static uint64_t
claim_of(const struct wr_sticky_table *t, const struct wr_sticky_bucket *b,
    uint32_t n, uint64_t key)
{
	for (uint32_t i = 0; i < n; i++) {
		uint64_t word =
		    __atomic_load_n(&b->v[i].word, __ATOMIC_SEQ_CST);

		if (is_claim(word) && word >> TAG_AT == tag_of(key) &&
		    age_s(word, t->now_s) < DEAD_S)
			return word;
	}
	return 0;
}

/* The place that is missed least, of those that are not just being taken. */
static struct wr_sticky_place *
spare(
    const struct wr_sticky_table *t, struct wr_sticky_bucket *b, uint64_t *word)
{
	struct wr_sticky_place *best = NULL;
	uint32_t best_s = 0;

	for (uint32_t i = 0; i < WR_STICKY_WAYS; i++) {
		uint64_t w = wr_load(&b->v[i].word);
		uint32_t age = age_s(w, t->now_s);

		if (is_claim(w) ? age < DEAD_S : best != NULL && age <= best_s)
			continue;
		best = &b->v[i];
		best_s = age;
		*word = w;
		if (!is_live(t, w))
			break;
	}
	return best;
}

/* Two processes may both have given the key a place: the first one counts, and
 * it counts as soon as it is claimed.  Claims become words, so they are looked
 * at before them. */
static uint32_t
only_one(const struct wr_sticky_table *t, struct wr_sticky_bucket *b,
    struct wr_sticky_place *p, uint64_t key, uint64_t word)
{
	uint32_t n = (uint32_t)(p - b->v);
	uint64_t other = claim_of(t, b, n, key);

	if (other == 0 && find(b, n, key, &other) == NULL)
		return id_of(word);
	(void)swap(&p->word, word, 0);
	return id_of(other);
}

/* Give the key a place; false if another process was faster there. */
static bool
settle(const struct wr_sticky_table *t, struct wr_sticky_bucket *b,
    uint64_t key, uint32_t *id, bool *evicted)
{
	uint64_t new = word_of(key, *id, t->now_s), old = 0;
	struct wr_sticky_place *p = spare(t, b, &old);

	if (p == NULL || !swap(&p->word, old, new | CLAIM))
		return false;
	*evicted = is_live(t, old);
	wr_store(&p->key, key);
	if (!swap(&p->word, new | CLAIM, new))
		return false;
	*id = only_one(t, b, p, key, new);
	return true;
}

uint32_t
wr_sticky_put(const struct wr_sticky_table *t, uint64_t key, uint32_t was,
    uint32_t id, bool *evicted)
{
	struct wr_sticky_bucket *b = bucket_of(t, key);
	uint64_t old;

	*evicted = false;
	for (int tries = 0; tries < TRIES; tries++) {
		struct wr_sticky_place *p = find(b, WR_STICKY_WAYS, key, &old);

		if (p == NULL) {
			old = claim_of(t, b, WR_STICKY_WAYS, key);
			if (old != 0)
				return id_of(old);
			if (settle(t, b, key, &id, evicted))
				return id;
			continue;
		}
		if (is_live(t, old) && id_of(old) != was)
			return id_of(old);
		if (swap(&p->word, old, word_of(key, id, t->now_s)))
			return id;
	}
	return id;
}

/* -- All of a table ------------------------------------------------------ */

/* Looking at a page that was never used would make one. */
static bool
is_there(const void *page, size_t size)
{
	unsigned char there = 1;

	(void)mincore((void *)(uintptr_t)page, size, (void *)&there);
	return (there & 1) != 0;
}

static uint32_t
live_in(const struct wr_sticky_table *t, uint32_t first, uint32_t n)
{
	uint32_t used = 0;

	for (uint32_t i = first; i < first + n; i++)
		for (uint32_t k = 0; k < WR_STICKY_WAYS; k++)
			used += is_live(t, wr_load(&t->v[i].v[k].word));
	return used;
}

static uint32_t
min(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

/* Buckets of a page, at least one. */
static uint32_t
stride(size_t page)
{
	return page > sizeof(struct wr_sticky_bucket)
		   ? (uint32_t)(page / sizeof(struct wr_sticky_bucket))
		   : 1;
}

uint32_t
wr_sticky_used(const struct wr_sticky_table *t)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	uint32_t step = stride(page), used = 0;

	for (uint32_t i = 0; i < t->n; i += step)
		if (is_there(&t->v[i], page))
			used += live_in(t, i, min(step, t->n - i));
	return used;
}

static void
copy_place(const struct wr_sticky_table *to, const struct wr_sticky_place *p)
{
	struct wr_sticky_bucket *b;
	struct wr_sticky_place *at;
	uint64_t key = wr_load(&p->key), word = word_at(p, key), old;

	if (!is_live(to, word))
		return;
	b = bucket_of(to, key);
	at = spare(to, b, &old);
	/* Nobody else knows the table yet. */
	if (at == NULL ||
	    (old != 0 && age_s(old, to->now_s) < age_s(word, to->now_s)))
		return;
	wr_store(&at->key, key);
	wr_store(&at->word, word);
}

void
wr_sticky_copy(
    const struct wr_sticky_table *to, const struct wr_sticky_table *from)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	uint32_t step = stride(page);

	for (uint32_t i = 0; i < from->n; i++) {
		if (i % step == 0 && !is_there(&from->v[i], page)) {
			i += step - 1;
			continue;
		}
		for (uint32_t k = 0; k < WR_STICKY_WAYS; k++)
			copy_place(to, &from->v[i].v[k]);
	}
}

struct wr_sticky_table
wr_sticky_table_of(
    const struct wr_stats *st, const struct wr_sticky_conf *c, uint64_t now_ms)
{
	return (struct wr_sticky_table){ .v = &st->sticky_buckets[c->first],
		.n = c->on != WR_STICKY_OFF ? c->buckets : 0,
		.now_s = (uint32_t)(now_ms / 1000) + 1,
		.expire_s = (c->expire_ms + 999) / 1000 };
}

/* -- A pick -------------------------------------------------------------- */

static uint64_t
key_of(const struct wr_stats *st, const struct wr_ip *client)
{
	struct wr_hash_key seed = { { st->sticky->seed[0],
	    st->sticky->seed[1] } };
	struct {
		uint8_t ip[16];
		uint32_t scope, family;
	} of = { .scope = client->scope, .family = client->family };

	memcpy(of.ip, client->ip, sizeof(of.ip));
	return wr_hash(&seed, &of, sizeof(of));
}

/* The server of the group that has the cell, or NULL. */
static const struct wr_server_conf *
member_of(const struct wr_pick *k, uint32_t cell)
{
	const struct wr_joined_server *j;
	uint32_t at;

	if (cell < WR_FILE_CELLS) {
		at = k->px->servers[cell].at;
		return at < k->u->n_servers && k->u->servers[at].cell == cell
			   ? &k->u->servers[at]
			   : NULL;
	}
	if (cell >= WR_SERVER_CELLS || k->px->joined.servers == NULL)
		return NULL;
	j = &k->px->joined.servers[cell - WR_FILE_CELLS];
	return j->here && j->conf.upstream == k->u ? &j->conf : NULL;
}

/* The server of the group that is meant, or NULL; without a look at all of
 * them, as this is asked for every session. */
static const struct wr_server_conf *
server_of(const struct wr_pick *k, uint32_t id)
{
	uint32_t cell = id & MASK(CELL_BITS);
	const struct wr_server_conf *sv;

	if (id == WR_STICKY_NOBODY)
		return NULL;
	sv = member_of(k, cell);
	return sv != NULL && wr_sticky_id(k->px->stats, cell) == id ? sv : NULL;
}

void
wr_sticky_look(struct wr_sticky *y, const struct wr_pick *k)
{
	const struct wr_stats *st = k->px->stats;
	const struct wr_ip *client;

	y->table.n = 0;
	y->server = NULL;
	if (k->u->sticky.on == WR_STICKY_OFF || k->s == NULL)
		return;
	client = wr_session_client(k->s);
	/* Clients of a unix socket are all the same. */
	if (client->family != AF_INET && client->family != AF_INET6)
		return;
	y->table = wr_sticky_table_of(st, &k->u->sticky, k->now_ms);
	y->key = key_of(st, client);
	y->was = wr_sticky_get(&y->table, y->key);
	y->server = server_of(k, y->was);
}

static bool
fits(const struct wr_pick *like, const struct wr_server_conf *sv)
{
	struct wr_pick k = *like;

	/* Who is there already may stay until it is done. */
	k.despite |= WR_DESPITE_DRAIN;
	k.backup = sv->backup;
	return wr_pick_fits(&k, sv);
}

bool
wr_sticky_fits(const struct wr_sticky *y, const struct wr_pick *k)
{
	return y->server != NULL && fits(k, y->server);
}

void
wr_sticky_hit(const struct wr_pick *k)
{
	wr_count(&wr_count_upstream(k->px, k->u->cell)->sticky_hits, 1);
}

const struct wr_server_conf *
wr_sticky_choose(struct wr_sticky *y, const struct wr_pick *k,
    const struct wr_server_conf *sv)
{
	struct wr_upstream_count *n = wr_count_upstream(k->px, k->u->cell);
	uint32_t id = wr_sticky_id(k->px->stats, sv->cell), now;
	const struct wr_server_conf *other;
	bool evicted;

	if (y->table.n == 0)
		return sv;
	for (int tries = 0; tries < TRIES; tries++) {
		now = wr_sticky_put(&y->table, y->key, y->was, id, &evicted);
		if (evicted)
			wr_count(&n->sticky_evicted, 1);
		if (now == id)
			break;
		other = server_of(k, now);
		if (other != NULL && fits(k, other)) {
			wr_sticky_hit(k);
			return other;
		}
		y->was = now;
	}
	wr_count(&n->sticky_misses, 1);
	return sv;
}
