/*
 * test_histogram.c - the bounded error of the generator's histogram.
 */
#include "bench/load/histogram.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static struct histogram *
histogram_make(void)
{
	struct histogram *h = calloc(1, sizeof(*h));

	assert_non_null(h);
	return h;
}

static void
small_values_are_exact(void **state)
{
	struct histogram *h = histogram_make();

	(void)state;
	for (uint64_t value = 1; value <= 50; value++)
		histogram_add(h, value);
	assert_int_equal(histogram_quantile(h, 0.5), 25);
	assert_int_equal(histogram_quantile(h, 0.9), 45);
	assert_int_equal(histogram_quantile(h, 1), 50);
	assert_int_equal(h->count, 50);
	assert_int_equal(h->sum, 1275);
	free(h);
}

/* Of two values the lower one is the median: it must come back no smaller, and at most 1/64 larger,
 * at every edge of a bucket's row. */
static void
every_value_is_within_a_64th(void **state)
{
	(void)state;
	for (unsigned bit = 0; bit < HISTOGRAM_VALUE_BITS; bit++) {
		for (int beside = -1; beside <= 1; beside++) {
			uint64_t value = (UINT64_C(1) << bit) + (uint64_t)(int64_t)beside, got;
			struct histogram *h = histogram_make();

			histogram_add(h, value);
			histogram_add(h, UINT64_C(1) << (HISTOGRAM_VALUE_BITS - 1));
			histogram_add(h, UINT64_C(1) << (HISTOGRAM_VALUE_BITS - 1));
			got = histogram_quantile(h, 0.3);
			assert_true(got >= value);
			assert_true(got - value <= value / 64);
			free(h);
		}
	}
}

static void
values_beyond_the_range_count_and_keep_the_maximum(void **state)
{
	struct histogram *h = histogram_make();

	(void)state;
	histogram_add(h, 5);
	histogram_add(h, UINT64_MAX);
	assert_int_equal(h->count, 2);
	assert_int_equal(histogram_quantile(h, 0.5), 5);
	assert_true(histogram_quantile(h, 0.99) == UINT64_MAX);
	free(h);
}

static void
an_empty_one_says_zero(void **state)
{
	struct histogram *h = histogram_make();

	(void)state;
	assert_int_equal(histogram_quantile(h, 0.5), 0);
	assert_int_equal(histogram_quantile(h, 1), 0);
	free(h);
}

static void
a_quantile_is_never_above_the_maximum(void **state)
{
	struct histogram *h = histogram_make();

	(void)state;
	for (int i = 0; i < 1000; i++)
		histogram_add(h, 1000001);
	assert_int_equal(histogram_quantile(h, 0.5), 1000001);
	assert_int_equal(histogram_quantile(h, 0.999), 1000001);
	free(h);
}

static void
merging_is_the_same_as_adding(void **state)
{
	struct histogram *all = histogram_make(), *odd = histogram_make(), *even = histogram_make();

	(void)state;
	for (uint64_t value = 1; value < 100000; value += 7) {
		histogram_add(all, value);
		histogram_add(value % 2 == 0 ? even : odd, value);
	}
	histogram_merge(odd, even);
	assert_memory_equal(odd, all, sizeof(*all));
	free(all);
	free(odd);
	free(even);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(small_values_are_exact),
		cmocka_unit_test(every_value_is_within_a_64th),
		cmocka_unit_test(values_beyond_the_range_count_and_keep_the_maximum),
		cmocka_unit_test(an_empty_one_says_zero),
		cmocka_unit_test(a_quantile_is_never_above_the_maximum),
		cmocka_unit_test(merging_is_the_same_as_adding),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
