/*
 * timer.h - one timer wheel for each shard.
 *
 * Four levels of 64 slots over ticks of 16 ms: arming, moving and disarming cost the same few
 * instructions for one timer and for a million, and a timer reaches up to 74 hours.  Timers fire at
 * or after their time, never before it, at most one tick late.
 *
 * A deadline that moves with every command need not be armed anew each time: let the old one fire,
 * look at the clock, arm again (conn.c does so).
 *
 * Ownership: the timer is a field of its owner and must be disarmed before its owner goes.
 */
#ifndef IO_TIMER_H
#define IO_TIMER_H

#include "io/base/list.h"

#include <stdbool.h>
#include <stdint.h>

#define TIMER_TICK_MS 16u
#define TIMER_LEVELS  4u
#define TIMER_SLOTS   64u

struct timer {
	struct list item;
	uint64_t due_tick;
	void (*fired)(struct timer *t);
};

struct timers {
	uint64_t now_tick; /* all ticks up to this one have been run */
	uint32_t armed;
	uint64_t occupied[TIMER_LEVELS]; /* a bit for each slot that may hold timers */
	struct list slots[TIMER_LEVELS][TIMER_SLOTS];
};

void timers_init(struct timers *w, uint64_t now_ms);

void timer_init(struct timer *t, void (*fired)(struct timer *t));
/* (Re-)arm for a time; one that has passed fires at the next tick. */
void timer_arm(struct timers *w, struct timer *t, uint64_t due_ms);
void timer_disarm(struct timers *w, struct timer *t);

static inline bool
timer_is_armed(const struct timer *t)
{
	return !list_is_empty(&t->item);
}

/* Run all timers that are due at `now_ms`. */
void timers_run(struct timers *w, uint64_t now_ms);

/* Milliseconds from `now_ms` until timers_run() has something to do; UINT64_MAX: no timer. */
uint64_t timers_wait_ms(const struct timers *w, uint64_t now_ms);

#endif
