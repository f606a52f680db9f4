/*
 * timer.c - a hierarchical timer wheel; see timer.h.
 *
 * A slot of level l spans 64^l ticks.  A timer lies in the lowest level whose span reaches its
 * tick. When the tick count enters a slot of a higher level, that slot's timers are put in anew and
 * so fall one level or more, until they reach level 0, where a slot is one tick.
 */
#include "io/timer.h"

#include "io/base/must.h"

#define SLOT_BITS 6u
#define REACH     ((uint64_t)1 << (SLOT_BITS * TIMER_LEVELS))

void
timers_init(struct timers *w, uint64_t now_ms)
{
	*w = (struct timers){ .now_tick = now_ms / TIMER_TICK_MS };
	for (unsigned level = 0; level < TIMER_LEVELS; level++)
		for (unsigned slot = 0; slot < TIMER_SLOTS; slot++)
			list_init(&w->slots[level][slot]);
}

void
timer_init(struct timer *t, void (*fired)(struct timer *t))
{
	*t = (struct timer){ .fired = fired };
	list_init(&t->item);
}

static unsigned
slot_of(uint64_t tick, unsigned level)
{
	return (unsigned)(tick >> (SLOT_BITS * level)) % TIMER_SLOTS;
}

static void
place(struct timers *w, struct timer *t)
{
	uint64_t distance = t->due_tick - w->now_tick;
	uint64_t tick = t->due_tick;
	unsigned level = 0;
	unsigned slot;

	if (distance >= REACH) { /* as far as the wheel goes; it is placed anew from there */
		distance = REACH - 1;
		tick = w->now_tick + distance;
	}
	while (distance >= (uint64_t)1 << (SLOT_BITS * (level + 1)))
		level++;
	slot = slot_of(tick, level);
	w->occupied[level] |= (uint64_t)1 << slot;
	list_append(&w->slots[level][slot], &t->item);
}

void
timer_arm(struct timers *w, struct timer *t, uint64_t due_ms)
{
	timer_disarm(w, t);
	t->due_tick = (due_ms + TIMER_TICK_MS - 1) / TIMER_TICK_MS;
	if (t->due_tick <= w->now_tick)
		t->due_tick = w->now_tick + 1;
	w->armed++;
	place(w, t);
}

void
timer_disarm(struct timers *w, struct timer *t)
{
	if (!timer_is_armed(t))
		return;
	must(w->armed > 0);
	w->armed--;
	list_remove(&t->item);
}

/* The tick count has entered slot `slot` of `level`: its timers fall to lower levels. */
static void
cascade(struct timers *w, unsigned level, unsigned slot)
{
	struct list moving;
	struct list *item;

	list_init(&moving);
	list_move_all(&w->slots[level][slot], &moving);
	w->occupied[level] &= ~((uint64_t)1 << slot);
	while ((item = list_take_first(&moving)) != NULL)
		place(w, container_of(item, struct timer, item));
}

static void
run_slot(struct timers *w, unsigned slot)
{
	struct list due;
	struct list *item;

	list_init(&due);
	list_move_all(&w->slots[0][slot], &due);
	w->occupied[0] &= ~((uint64_t)1 << slot);
	while ((item = list_take_first(&due)) != NULL) {
		struct timer *t = container_of(item, struct timer, item);

		w->armed--;
		t->fired(t);
	}
}

/* The next tick after now_tick at which a slot of any level is entered that may hold timers. */
static uint64_t
next_busy_tick(const struct timers *w)
{
	uint64_t best = UINT64_MAX;

	for (unsigned level = 0; level < TIMER_LEVELS; level++) {
		uint64_t at = w->now_tick >> (SLOT_BITS * level);
		unsigned from = (unsigned)(at + 1) % TIMER_SLOTS;
		uint64_t bits = w->occupied[level];
		uint64_t turned;
		uint64_t tick;

		if (bits == 0)
			continue;
		turned = from == 0 ? bits : bits >> from | bits << (TIMER_SLOTS - from);
		tick = (at + 1 + (unsigned)__builtin_ctzll(turned)) << (SLOT_BITS * level);
		if (tick < best)
			best = tick;
	}
	return best;
}

void
timers_run(struct timers *w, uint64_t now_ms)
{
	uint64_t target = now_ms / TIMER_TICK_MS;

	while (w->now_tick < target) {
		uint64_t tick = next_busy_tick(w);

		if (tick > target) {
			w->now_tick = target;
			return;
		}
		w->now_tick = tick;
		for (unsigned level = TIMER_LEVELS - 1; level > 0; level--)
			if ((tick & (((uint64_t)1 << (SLOT_BITS * level)) - 1)) == 0)
				cascade(w, level, slot_of(tick, level));
		run_slot(w, slot_of(tick, 0));
	}
}

uint64_t
timers_wait_ms(const struct timers *w, uint64_t now_ms)
{
	uint64_t due_ms;

	if (w->armed == 0)
		return UINT64_MAX;
	due_ms = next_busy_tick(w) * TIMER_TICK_MS;
	return due_ms > now_ms ? due_ms - now_ms : 0;
}
