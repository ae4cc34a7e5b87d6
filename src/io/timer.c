/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * timer - a hierarchical wheel: seven levels of 64 slots, 1 ms to 139 years.
 *
 * A timer lies in the lowest level in which its time and the time of the
 * wheel differ in one digit (to the base of 64) only; when the wheel reaches
 * a slot of a higher level, its timers move down.  Of one slot the first in
 * is the first out, so timers of one millisecond fire in the order in which
 * they were set.
 */
#include <assert.h>

#include "io/private.h"

#define LEVELS WR_WHEEL_LEVELS
#define SLOTS  WR_WHEEL_SLOTS
#define BITS   6

/* Of so many, the first is looked for. */
#define FEW 32

/* So that an absurd time still fits. */
#define FAR_MS (UINT64_C(1) << 36)

void
wr_wheel_init(struct wr_loop *l)
{
	for (int level = 0; level < LEVELS; level++)
		for (int i = 0; i < SLOTS; i++)
			wr_list_init(&l->wheel.slot[level][i]);
	l->wheel.elapsed = l->now_ms;
}

static void
insert(struct wr_wheel *w, struct wr_timer *t)
{
	uint64_t differ = t->due_ms ^ w->elapsed;
	int level = differ < SLOTS ? 0 : (63 - __builtin_clzll(differ)) / BITS;
	unsigned slot = (t->due_ms >> (level * BITS)) & (SLOTS - 1);

	assert(level < LEVELS && t->due_ms >= w->elapsed);
	wr_list_push(&w->slot[level][slot], &t->link);
	w->bits[level] |= UINT64_C(1) << slot;
}

void
wr_timer_set(
    struct wr_loop *l, struct wr_timer *t, uint64_t after_ms, wr_timer_fn *fn)
{
	if (wr_timer_is_set(t))
		wr_list_remove(&t->link);
	else
		l->stats->timers++;
	if (after_ms > FAR_MS)
		after_ms = FAR_MS;
	/* One that is set while timers fire is for another turn. */
	if (after_ms == 0 && l->wheel.running)
		after_ms = 1;
	t->fn = fn;
	t->due_ms = l->now_ms + after_ms;
	insert(&l->wheel, t);
}

void
wr_timer_stop(struct wr_loop *l, struct wr_timer *t)
{
	if (!wr_timer_is_set(t))
		return;
	wr_list_remove(&t->link);
	t->link.next = NULL;
	l->stats->timers--;
}

/* The slot that comes next and when; false: there is none.  Stopping does not
 * tell the bits, so they are corrected here. */
static bool
find_next(struct wr_wheel *w, int *level, unsigned *slot, uint64_t *due_ms)
{
	uint64_t above;

	for (int i = 0; i < LEVELS; i++)
		while (w->bits[i] != 0) {
			*slot = (unsigned)__builtin_ctzll(w->bits[i]);
			if (wr_list_empty(&w->slot[i][*slot])) {
				w->bits[i] &= w->bits[i] - 1;
				continue;
			}
			above = w->elapsed >> ((i + 1) * BITS);
			*level = i;
			*due_ms = (above << BITS | *slot) << (i * BITS);
			return true;
		}
	return false;
}

/* When the first of a few in a slot of a higher level is due; with many, that
 * some of them may be: then they move down. */
static uint64_t
first_of(const struct wr_list *slot, uint64_t begin_ms)
{
	uint64_t first_ms = UINT64_MAX;
	unsigned n = 0;

	wr_list_each (i, slot) {
		const struct wr_timer *t =
		    wr_container_of(i, struct wr_timer, link);

		if (n++ == FEW)
			return begin_ms;
		if (t->due_ms < first_ms)
			first_ms = t->due_ms;
	}
	return first_ms;
}

int64_t
wr_wheel_wait(struct wr_loop *l)
{
	uint64_t due_ms, now_us;
	unsigned slot;
	int level;

	if (!find_next(&l->wheel, &level, &slot, &due_ms))
		return -1;
	if (level > 0)
		due_ms = first_of(&l->wheel.slot[level][slot], due_ms);
	/* The clock was read before the turn. */
	now_us = l->now_us + l->spent_us;
	return due_ms * 1000 <= now_us ? 0 : (int64_t)(due_ms * 1000 - now_us);
}

static void
fire(struct wr_loop *l, struct wr_list *slot)
{
	struct wr_list due;
	struct wr_timer *t;

	/* The slot may be filled again meanwhile; a timer that is stopped
	 * meanwhile leaves this list. */
	wr_list_init(&due);
	wr_list_splice(&due, slot);
	while (!wr_list_empty(&due)) {
		t = wr_container_of(wr_list_first(&due), struct wr_timer, link);
		wr_timer_stop(l, t);
		l->stats->timers_fired++;
		t->fn(l, t);
	}
}

static void
move_down(struct wr_wheel *w, struct wr_list *slot)
{
	struct wr_list *n;

	while (!wr_list_empty(slot)) {
		n = wr_list_first(slot);
		wr_list_remove(n);
		insert(w, wr_container_of(n, struct wr_timer, link));
	}
}

void
wr_wheel_run(struct wr_loop *l)
{
	struct wr_wheel *w = &l->wheel;
	uint64_t due_ms;
	unsigned slot;
	int level;

	w->running = true;
	while (find_next(w, &level, &slot, &due_ms) && due_ms <= l->now_ms) {
		w->elapsed = due_ms;
		w->bits[level] &= ~(UINT64_C(1) << slot);
		if (level == 0)
			fire(l, &w->slot[0][slot]);
		else
			move_down(w, &w->slot[level][slot]);
	}
	w->elapsed = l->now_ms;
	w->running = false;
}
