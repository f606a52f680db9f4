/*
 * test_timer.c - the timer wheel against a model that looks at every timer.
 *
 * Promises: a timer fires once, at or after its time and at most one tick late (when the wheel is
 * run so often), never when disarmed; timers_wait_ms() never sleeps over one.
 */
#include "io/timer.h"

#include "io/base/must.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#define TIMERS   300u
#define HOUR_MS  3600000u
#define START_MS 123456789u
#define REACH_MS ((uint64_t)TIMER_TICK_MS << 24) /* of the wheel */

struct watched {
	struct timer timer;
	uint64_t due_ms; /* 0: not armed */
	unsigned fired;
};

static uint64_t now_ms;
static uint64_t earlier_ms; /* when the wheel was run before */

static void
watched_fired(struct timer *t)
{
	struct watched *w = container_of(t, struct watched, timer);

	assert_true(w->due_ms != 0);
	assert_true(now_ms >= w->due_ms);
	/* not due a tick before the last run, or that one should have had it */
	assert_true(earlier_ms < w->due_ms + TIMER_TICK_MS);
	w->due_ms = 0;
	w->fired++;
}

static void
run_at(struct timers *wheel, uint64_t ms)
{
	earlier_ms = now_ms;
	now_ms = ms;
	timers_run(wheel, ms);
}

static uint64_t
random_distance(void)
{
	static const uint64_t spans[] = { 1, 20, 1100, 70000, 4500000, 300 * (uint64_t)HOUR_MS };
	uint64_t span = spans[(size_t)rand() % array_count(spans)];

	return ((uint64_t)rand() * 65536 + (uint64_t)rand()) % span;
}

/* Nothing that is due may still be armed, and the wheel must wake for the next. */
static void
check_against_model(const struct timers *wheel, struct watched *all)
{
	uint64_t next = UINT64_MAX;
	unsigned armed = 0;

	for (unsigned i = 0; i < TIMERS; i++) {
		assert_true(timer_is_armed(&all[i].timer) == (all[i].due_ms != 0));
		if (all[i].due_ms == 0)
			continue;
		armed++;
		assert_true(all[i].due_ms + TIMER_TICK_MS > now_ms);
		if (all[i].due_ms < next)
			next = all[i].due_ms;
	}
	assert_int_equal(wheel->armed, armed);
	if (armed == 0)
		assert_true(timers_wait_ms(wheel, now_ms) == UINT64_MAX);
	else
		assert_true(now_ms + timers_wait_ms(wheel, now_ms) <= next + TIMER_TICK_MS);
}

static void
random_life(unsigned seed)
{
	static struct timers wheel;
	static struct watched all[TIMERS];

	srand(seed);
	now_ms = earlier_ms = START_MS + seed * 977;
	timers_init(&wheel, now_ms);
	for (unsigned i = 0; i < TIMERS; i++) {
		all[i] = (struct watched){ 0 };
		timer_init(&all[i].timer, watched_fired);
	}
	for (unsigned step = 0; step < 3000; step++) {
		struct watched *w = &all[(unsigned)rand() % TIMERS];

		switch (rand() % 4) {
		case 0:
		case 1:
			w->due_ms = now_ms + 1 + random_distance();
			timer_arm(&wheel, &w->timer, w->due_ms);
			break;
		case 2:
			w->due_ms = 0;
			timer_disarm(&wheel, &w->timer);
			break;
		default:
			run_at(&wheel, now_ms + random_distance() / (1u + (unsigned)rand() % 50));
			break;
		}
		check_against_model(&wheel, all);
	}
	for (unsigned i = 0; i < TIMERS; i++)
		timer_disarm(&wheel, &all[i].timer);
	assert_int_equal(wheel.armed, 0);
}

static void
any_life_agrees_with_the_model(void **state)
{
	(void)state;
	for (unsigned seed = 1; seed <= 60; seed++)
		random_life(seed);
}

static void
a_sleeper_who_trusts_the_wheel_is_never_late(void **state)
{
	static struct timers wheel;
	struct watched w = { 0 };

	(void)state;
	timer_init(&w.timer, watched_fired);
	now_ms = earlier_ms = START_MS;
	timers_init(&wheel, now_ms);
	for (uint64_t distance = 1; distance < 3 * REACH_MS; distance = distance * 3 + 1) {
		unsigned wakes = 0;

		w.fired = 0;
		w.due_ms = now_ms + distance;
		timer_arm(&wheel, &w.timer, w.due_ms);
		while (w.fired == 0) {
			uint64_t wait = timers_wait_ms(&wheel, now_ms);

			assert_true(wait != UINT64_MAX);
			run_at(&wheel, now_ms + (wait == 0 ? 1 : wait));
			assert_true(++wakes < 2000);
		}
		assert_int_equal(w.fired, 1);
	}
}

static void
far_timers_fall_through_all_levels(void **state)
{
	static struct timers wheel;
	struct watched w = { 0 };
	uint64_t due = START_MS + REACH_MS + 5 * (uint64_t)HOUR_MS;

	(void)state;
	timer_init(&w.timer, watched_fired);
	now_ms = earlier_ms = START_MS;
	timers_init(&wheel, now_ms);
	w.due_ms = due;
	timer_arm(&wheel, &w.timer, due);
	for (uint64_t ms = START_MS; ms < due; ms += HOUR_MS / 7)
		run_at(&wheel, ms);
	assert_int_equal(w.fired, 0);
	run_at(&wheel, due - 1);
	assert_int_equal(w.fired, 0);
	earlier_ms = now_ms = due;
	run_at(&wheel, due + TIMER_TICK_MS);
	assert_int_equal(w.fired, 1);
}

static struct timers shared_wheel;
static struct watched second;

static void
disarms_the_other(struct timer *t)
{
	(void)t;
	second.due_ms = 0;
	timer_disarm(&shared_wheel, &second.timer);
}

static void
a_timer_may_disarm_one_of_the_same_tick(void **state)
{
	struct timer first;

	(void)state;
	now_ms = earlier_ms = START_MS;
	timers_init(&shared_wheel, now_ms);
	timer_init(&first, disarms_the_other);
	second = (struct watched){ .due_ms = now_ms + 100 };
	timer_init(&second.timer, watched_fired);
	timer_arm(&shared_wheel, &first, now_ms + 100);
	timer_arm(&shared_wheel, &second.timer, now_ms + 100);
	run_at(&shared_wheel, now_ms + 200);
	assert_int_equal(second.fired, 0);
	assert_int_equal(shared_wheel.armed, 0);
}

static unsigned periods;

static void
arms_itself_again(struct timer *t)
{
	periods++;
	timer_arm(&shared_wheel, t, now_ms + 50);
}

static void
a_timer_may_arm_itself_again(void **state)
{
	struct timer t;

	(void)state;
	periods = 0;
	now_ms = START_MS;
	timers_init(&shared_wheel, now_ms);
	timer_init(&t, arms_itself_again);
	timer_arm(&shared_wheel, &t, now_ms + 50);
	for (unsigned i = 0; i < 100; i++)
		run_at(&shared_wheel, now_ms + 10);
	assert_in_range(periods, 14, 20);
	timer_disarm(&shared_wheel, &t);
}

static void
what_is_past_fires_at_the_next_tick(void **state)
{
	static struct timers wheel;
	struct watched w = { .due_ms = 1 };

	(void)state;
	timer_init(&w.timer, watched_fired);
	timers_init(&wheel, START_MS);
	timer_arm(&wheel, &w.timer, 1);
	now_ms = START_MS;
	earlier_ms = 0;
	run_at(&wheel, START_MS);
	assert_int_equal(w.fired, 0);
	earlier_ms = 0;
	now_ms = 0;
	run_at(&wheel, START_MS + TIMER_TICK_MS);
	assert_int_equal(w.fired, 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_life_agrees_with_the_model),
		cmocka_unit_test(a_sleeper_who_trusts_the_wheel_is_never_late),
		cmocka_unit_test(far_timers_fall_through_all_levels),
		cmocka_unit_test(a_timer_may_disarm_one_of_the_same_tick),
		cmocka_unit_test(a_timer_may_arm_itself_again),
		cmocka_unit_test(what_is_past_fires_at_the_next_tick),
	};

	return cmocka_run_group_tests_name("timer", tests, NULL, NULL);
}
