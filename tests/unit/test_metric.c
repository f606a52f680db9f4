/*
 * test_metric.c - counts, and how they are told.
 */
#include "io/base/metric.h"
#include "io/base/must.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct thing {
	struct count good, bad, now;
};

static const struct metric rows[] = {
	{ "x_total", "how=\"good\"", METRIC_COUNTER, "What was tried.",
		offsetof(struct thing, good) },
	{ "x_total", "how=\"bad\"", METRIC_COUNTER, NULL, offsetof(struct thing, bad) },
	{ "x_now", NULL, METRIC_GAUGE, "What is there.", offsetof(struct thing, now) },
};

/* What is written about these instances, for free(). */
static char *
text_of(const struct metric_instance *instances, size_t count)
{
	char *text;
	size_t octets;
	FILE *to = open_memstream(&text, &octets);

	metrics_write(rows, array_count(rows), instances, count, to);
	fclose(to);
	return text;
}

static void
a_count_goes_up_and_a_gauge_down(void **state)
{
	struct count c = { 0 };

	(void)state;
	count_add(&c, 5);
	count_add(&c, 0);
	count_subtract(&c, 2);
	assert_int_equal(count_read(&c), 3);
}

static void
instances_are_summed(void **state)
{
	struct thing a = { 0 }, b = { 0 };
	const struct metric_instance both[] = { { &a, NULL }, { &b, NULL } };
	char *text;

	(void)state;
	count_add(&a.good, 2);
	count_add(&b.good, UINT32_MAX);
	count_add(&b.bad, 1);
	count_add(&b.now, 7); /* left from one, entered at the other */
	count_subtract(&a.now, 3);
	text = text_of(both, 2);
	assert_string_equal(text,
		"# HELP x_total What was tried.\n"
		"# TYPE x_total counter\n"
		"x_total{how=\"good\"} 4294967297\n"
		"x_total{how=\"bad\"} 1\n"
		"# HELP x_now What is there.\n"
		"# TYPE x_now gauge\n"
		"x_now 4\n");
	free(text);
}

static void
instances_with_labels_stand_apart(void **state)
{
	struct thing a = { 0 }, b = { 0 }, c = { 0 };
	const struct metric_instance three[] = { { &a, "at=\"1\"" }, { &b, "at=\"1\"" },
		{ &c, "at=\"2\"" } };
	char *text;

	(void)state;
	count_add(&a.good, 1);
	count_add(&b.good, 2);
	count_add(&c.good, 4);
	text = text_of(three, 3);
	assert_non_null(strstr(text, "\nx_total{at=\"1\",how=\"good\"} 3\n"));
	assert_non_null(strstr(text, "\nx_total{at=\"2\",how=\"good\"} 4\n"));
	assert_non_null(strstr(text, "\nx_now{at=\"2\"} 0\n"));
	free(text);
}

static void
values_of_labels_are_escaped(void **state)
{
	char *text;
	size_t octets;
	FILE *to = open_memstream(&text, &octets);

	(void)state;
	metric_write_escaped("a\"b\\c\nd", to);
	fclose(to);
	assert_string_equal(text, "a\\\"b\\\\c\\nd");
	free(text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_count_goes_up_and_a_gauge_down),
		cmocka_unit_test(instances_are_summed),
		cmocka_unit_test(instances_with_labels_stand_apart),
		cmocka_unit_test(values_of_labels_are_escaped),
	};

	return cmocka_run_group_tests_name("metric", tests, NULL, NULL);
}
