/*
 * test_arrivals.c - an open loop's sessions are due when they should be, however late it is asked.
 */
#include "bench/load/arrivals.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const uint64_t start = 5000000000, second = 1000000000;

/* How many are due within `seconds` of the start. */
static unsigned
count_due(struct arrivals a, double share, unsigned seed, double seconds)
{
	unsigned count = 0;
	uint64_t last = start;

	arrivals_start(&a, share, seed, start);
	while (a.next_at < start + (uint64_t)(seconds * (double)second)) {
		assert_true(a.next_at >= last);
		last = a.next_at;
		count++;
		arrivals_advance(&a);
	}
	return count;
}

static void
even_ones_come_evenly(void **state)
{
	struct arrivals a = { .per_s = 500, .evenly = true };

	(void)state;
	arrivals_start(&a, 0, 0, start);
	for (uint64_t n = 0; n < 2000; n++) {
		assert_in_range(a.next_at, start + n * 2000000 - (n > 0), start + n * 2000000 + 1);
		arrivals_advance(&a);
	}
	arrivals_start(&a, 0.5, 0, start);
	assert_int_equal(a.next_at, start + 1000000);
}

/* Exponential gaps: the mean is right, e^-1 of them are longer than it, seeds differ. */
static void
random_ones_come_at_their_rate(void **state)
{
	struct arrivals a = { .per_s = 1000 };
	unsigned longer = 0;
	uint64_t first;

	(void)state;
	assert_in_range(count_due(a, 0, 1, 20), 19400, 20600);
	arrivals_start(&a, 0, 2, start);
	first = a.next_at;
	for (unsigned n = 0; n < 10000; n++) {
		uint64_t before = a.next_at;

		arrivals_advance(&a);
		longer += a.next_at - before > 1000000;
	}
	assert_in_range(longer, 3500, 3860);
	arrivals_start(&a, 0, 3, start);
	assert_int_not_equal(a.next_at, first);
}

/* Half of the full rate on the whole; a quarter of them in the first half of the time. */
static void
a_ramp_rises_to_the_rate(void **state)
{
	struct arrivals a = {
		.per_s = 1000, .evenly = true, .ramps = true, .duration_ns = 10 * second
	};

	(void)state;
	assert_in_range(count_due(a, 0, 0, 10), 4999, 5001);
	assert_in_range(count_due(a, 0, 0, 5), 1249, 1251);
	a.evenly = false;
	assert_in_range(count_due(a, 0, 7, 10), 4700, 5300);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(even_ones_come_evenly),
		cmocka_unit_test(random_ones_come_at_their_rate),
		cmocka_unit_test(a_ramp_rises_to_the_rate),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
