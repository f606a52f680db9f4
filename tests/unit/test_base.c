/*
 * test_base.c - spans, checksums, slabs, reply segments, lists and log lines.
 */
#include "io/base/crc32c.c" /* both ways of it, whatever this processor chooses */
#include "io/base/list.h"
#include "io/base/log.h"
#include "io/base/must.h"
#include "io/base/segments.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* ---- span ---------------------------------------------------------------------------------- */

static void
numbers_are_digits_and_nothing_else(void **state)
{
	static const char *const wrong[] = { "", "-1", "+1", " 1", "1 ", "1x", "x", "0x1", "1.0",
		"18446744073709551616", "99999999999999999999", "100000000000000000000000" };
	uint64_t value = 77;

	(void)state;
	for (size_t i = 0; i < array_count(wrong); i++)
		assert_false(span_to_u64(span_of_string(wrong[i]), UINT64_MAX, &value));
	assert_int_equal(value, 77);
	assert_true(span_to_u64(SPAN("0"), 0, &value));
	assert_int_equal(value, 0);
	assert_true(span_to_u64(SPAN("00000000000000000007"), 7, &value));
	assert_int_equal(value, 7);
	assert_true(span_to_u64(SPAN("18446744073709551615"), UINT64_MAX, &value));
	assert_true(value == UINT64_MAX);
	assert_true(span_to_u64(SPAN("4294967295"), UINT32_MAX, &value));
	assert_false(span_to_u64(SPAN("4294967296"), UINT32_MAX, &value));
}

static void
octets_may_end_with_a_unit(void **state)
{
	static const char *const wrong[] = { "", "K", "1k", "1KB", "1 K", "K1", "1.5G", "-1K",
		"16777216T", "18014398509481984K" };
	uint64_t value = 77;

	(void)state;
	for (size_t i = 0; i < array_count(wrong); i++)
		assert_false(span_to_octets(span_of_string(wrong[i]), UINT64_MAX, &value));
	assert_int_equal(value, 77);
	assert_true(span_to_octets(SPAN("20480"), UINT64_MAX, &value));
	assert_int_equal(value, 20480);
	assert_true(span_to_octets(SPAN("20K"), 20480, &value));
	assert_int_equal(value, 20480);
	assert_false(span_to_octets(SPAN("20K"), 20479, &value));
	assert_true(span_to_octets(SPAN("0G"), 0, &value));
	assert_int_equal(value, 0);
	assert_true(span_to_octets(SPAN("16777215T"), UINT64_MAX, &value));
	assert_true(value == UINT64_MAX - (1ull << 40) + 1);
}

static void
spans_compare_and_advance(void **state)
{
	(void)state;
	assert_true(span_equals(SPAN("a\0b"), span_of("a\0b", 3)));
	assert_false(span_equals(SPAN("abc"), SPAN("abd")));
	assert_false(span_equals(SPAN("abc"), SPAN("ab")));
	assert_true(span_equals_nocase(SPAN("ReTr"), SPAN("rEtR")));
	assert_false(span_equals_nocase(SPAN("RETR"), SPAN("RET")));
	assert_true(span_equals(span_after(SPAN("abc"), 1), SPAN("bc")));
	assert_int_equal(span_after(SPAN("abc"), 3).length, 0);
	assert_int_equal(span_after(SPAN("abc"), 9).length, 0);
}

/* ---- crc32c -------------------------------------------------------------------------------- */

static uint32_t
by_table(uint32_t crc, const void *octets, size_t length)
{
	return ~crc32c_by_table(~crc, octets, length);
}

/* RFC 3720, appendix B.4, and the check value of the polynomial. */
static void
crc32c_has_the_known_values(void **state)
{
	unsigned char octets[32];

	(void)state;
	assert_int_equal(crc32c(0, "123456789", 9), 0xE3069283);
	assert_int_equal(by_table(0, "123456789", 9), 0xE3069283);
	memset(octets, 0, sizeof(octets));
	assert_int_equal(crc32c(0, octets, 32), 0x8A9136AA);
	assert_int_equal(by_table(0, octets, 32), 0x8A9136AA);
	memset(octets, 0xFF, sizeof(octets));
	assert_int_equal(crc32c(0, octets, 32), 0x62A8AB43);
	for (unsigned i = 0; i < 32; i++)
		octets[i] = (unsigned char)i;
	assert_int_equal(crc32c(0, octets, 32), 0x46DD794E);
	assert_int_equal(by_table(0, octets, 32), 0x46DD794E);
	assert_int_equal(crc32c(0, "", 0), 0);
}

static void
crc32c_goes_on_over_pieces_of_any_size_and_place(void **state)
{
	unsigned char octets[600];

	(void)state;
	srand(7);
	for (size_t i = 0; i < sizeof(octets); i++)
		octets[i] = (unsigned char)rand();
	for (size_t from = 0; from < 16; from++) {
		for (size_t length = 0; length < 70; length++) {
			uint32_t whole = crc32c(0, octets + from, length);
			size_t cut = length == 0 ? 0 : (size_t)rand() % length;
			uint32_t first = crc32c(0, octets + from, cut);

			assert_int_equal(whole, by_table(0, octets + from, length));
			assert_int_equal(whole, crc32c(first, octets + from + cut, length - cut));
		}
	}
	assert_int_equal(crc32c(0, octets, 600), by_table(0, octets, 600));
}

/* Long enough to be done in parts side by side, once and more often, with a rest of any size. */
static void
crc32c_of_long_runs_is_the_same(void **state)
{
	static unsigned char octets[20000];

	(void)state;
	srand(8);
	for (size_t i = 0; i < sizeof(octets); i++)
		octets[i] = (unsigned char)rand();
	for (size_t length = 3000; length < sizeof(octets) - 16; length += 1 + length / 40) {
		uint32_t seed = (uint32_t)rand();

		assert_int_equal(crc32c(seed, octets + length % 16, length),
			by_table(seed, octets + length % 16, length));
	}
}

/* ---- slab ---------------------------------------------------------------------------------- */

static void
slab_blocks_are_apart_aligned_and_few(void **state)
{
	enum {
		MAX = 5000
	};
	struct slab s;
	unsigned char *blocks[MAX];

	(void)state;
	slab_init(&s, 40, MAX);
	for (unsigned i = 0; i < MAX; i++) {
		blocks[i] = slab_take(&s);
		assert_non_null(blocks[i]);
		assert_int_equal((uintptr_t)blocks[i] % 16, 0);
		memset(blocks[i], (int)(i % 251), 40);
	}
	assert_null(slab_take(&s));
	assert_int_equal(s.blocks_taken, MAX);
	for (unsigned i = 0; i < MAX; i++)
		for (unsigned k = 0; k < 40; k++)
			assert_int_equal(blocks[i][k], i % 251);
	slab_give(&s, blocks[3]);
	assert_ptr_equal(slab_take(&s), blocks[3]); /* the last one back is the next one out */
	for (unsigned i = 0; i < MAX; i++)
		slab_give(&s, blocks[i]);
	assert_int_equal(s.blocks_taken, 0);
	assert_int_equal(s.blocks_made, MAX);
	slab_destroy(&s);
}

static void
slab_takes_blocks_larger_than_its_pages(void **state)
{
	struct slab s;
	char *block;

	(void)state;
	slab_init(&s, 300000, 3);
	for (unsigned i = 0; i < 2; i++) {
		block = slab_take(&s);
		assert_non_null(block);
		memset(block, 1, 300000);
		slab_give(&s, block);
	}
	slab_destroy(&s);
}

/* ---- segments ------------------------------------------------------------------------------ */

static void
octets_come_out_as_they_went_in(void **state)
{
	struct segments_pool pool;
	struct segments s;
	char expected[60000];
	size_t put = 0;
	size_t got = 0;

	(void)state;
	srand(3);
	segments_pool_init(&pool, 100);
	segments_init(&s, &pool);
	while (put < sizeof(expected) - 300) {
		size_t length = (size_t)rand() % 300;

		for (size_t i = 0; i < length; i++)
			expected[put + i] = (char)rand();
		segments_put(&s, span_of(expected + put, length));
		put += length;
	}
	assert_int_equal(s.length, put);
	while (!segments_is_empty(&s)) {
		struct span there = segment_octets(s.first);
		size_t taken = 1 + (size_t)rand() % there.length;

		assert_memory_equal(there.at, expected + got, there.length);
		segments_advance(&s, taken);
		got += taken;
		assert_int_equal(s.length, put - got);
	}
	assert_int_equal(got, put);
	assert_int_equal(pool.blocks.blocks_taken + pool.long_blocks.blocks_taken, 0);
	segments_pool_destroy(&pool);
}

static void
neighbouring_file_spans_are_one_segment(void **state)
{
	struct segments_pool pool;
	struct segments s;

	(void)state;
	segments_pool_init(&pool, 10);
	segments_init(&s, &pool);
	segments_put_file(&s, 5, 100, 50);
	segments_put_file(&s, 5, 150, 25);
	assert_ptr_equal(s.first, s.last);
	assert_int_equal(s.first->end - s.first->offset, 75);
	segments_put_file(&s, 5, 175, 0); /* nothing */
	assert_ptr_equal(s.first, s.last);
	segments_put_file(&s, 5, 176, 1); /* a hole between them */
	segments_put_file(&s, 6, 177, 1); /* another file */
	segments_put_file(&s, 6, 177, 1); /* the same once more */
	segments_put(&s, SPAN("x"));
	segments_put_file(&s, 6, 178, 1); /* octets between them */
	assert_int_equal(pool.files.blocks_taken, 5);
	assert_int_equal(s.length, 75 + 3 + 1 + 1);
	segments_advance(&s, 60);
	assert_int_equal(s.first->offset, 160);
	segments_advance(&s, 15);
	assert_int_equal(s.first->offset, 176);
	segments_clear(&s);
	assert_int_equal(s.length, 0);
	segments_pool_destroy(&pool);
}

static void
a_span_joins_one_that_is_partly_sent(void **state)
{
	struct segments_pool pool;
	struct segments s;

	(void)state;
	segments_pool_init(&pool, 10);
	segments_init(&s, &pool);
	segments_put_file(&s, 5, 0, 10);
	segments_advance(&s, 4);
	segments_put_file(&s, 5, 10, 10);
	assert_ptr_equal(s.first, s.last);
	assert_int_equal(s.length, 16);
	segments_advance(&s, 16);
	assert_true(segments_is_empty(&s));
	segments_pool_destroy(&pool);
}

static void
without_memory_nothing_more_is_taken_in(void **state)
{
	static const char octets[SEGMENT_BLOCK_OCTETS + 2 * SEGMENT_LONG_BLOCK_OCTETS];
	struct segments_pool pool;
	struct segments s;

	(void)state;
	segments_pool_init(&pool, 1);
	segments_init(&s, &pool);
	segments_put(&s, span_of(octets, sizeof(octets)));
	assert_true(s.failed);
	segments_put(&s, SPAN("more"));
	segments_put_file(&s, 5, 0, 10);
	assert_true(s.length < sizeof(octets));
	assert_int_equal(pool.files.blocks_taken, 0);
	segments_clear(&s);
	segments_pool_destroy(&pool);
}

static void
numbers_are_put_in_decimal(void **state)
{
	struct segments_pool pool;
	struct segments s;

	(void)state;
	segments_pool_init(&pool, 10);
	segments_init(&s, &pool);
	segments_put_u64(&s, 0);
	segments_put(&s, SPAN(" "));
	segments_put_u64(&s, 1234567890);
	segments_put(&s, SPAN(" "));
	segments_put_u64(&s, UINT64_MAX);
	assert_true(
		span_equals(segment_octets(s.first), SPAN("0 1234567890 18446744073709551615")));
	segments_clear(&s);
	segments_pool_destroy(&pool);
}

/* ---- list ---------------------------------------------------------------------------------- */

static void
lists_keep_order_and_bear_a_second_removal(void **state)
{
	struct list head;
	struct list other;
	struct list items[4];

	(void)state;
	list_init(&head);
	list_init(&other);
	assert_true(list_is_empty(&head));
	assert_null(list_take_first(&head));
	for (unsigned i = 0; i < 4; i++) {
		list_init(&items[i]);
		list_append(&head, &items[i]);
	}
	list_remove(&items[1]);
	list_remove(&items[1]);
	list_append(&other, &items[1]);
	list_move_all(&head, &other);
	list_move_all(&head, &other);
	assert_true(list_is_empty(&head));
	assert_ptr_equal(list_take_first(&other), &items[1]);
	assert_ptr_equal(list_take_first(&other), &items[0]);
	assert_ptr_equal(list_take_first(&other), &items[2]);
	assert_ptr_equal(list_take_first(&other), &items[3]);
	assert_null(list_take_first(&other));
}

/* ---- log ----------------------------------------------------------------------------------- */

static const struct log_kind EVENT_TEST = { "test", LOG_WARNING };

static void
assert_line(const struct kv *fields, size_t count, const char *expected)
{
	char line[LOG_LINE_OCTETS_MAX];
	size_t length = log_format(&EVENT_TEST, fields, count, line);

	assert_int_equal(length, strlen(expected));
	assert_memory_equal(line, expected, length);
}

static void
log_fields_are_escaped(void **state)
{
	const struct kv fields[] = {
		kv_u64("n", UINT64_MAX),
		kv_word("why", "quit"),
		kv_span("name", SPAN("a\"b\\c\r\n\t\0\x7f\xc3\xa4 ~")),
		kv_str("empty", ""),
	};

	(void)state;
	assert_line(NULL, 0, "event=test level=warning\n");
	assert_line(fields, array_count(fields),
		"event=test level=warning n=18446744073709551615 why=quit "
		"name=\"a\\x22b\\x5cc\\x0d\\x0a\\x09\\x00\\x7f\\xc3\\xa4 ~\" empty=\"\"\n");
}

static void
long_log_lines_are_cut_and_say_so(void **state)
{
	static char text[5000];
	char line[LOG_LINE_OCTETS_MAX];
	const char *cut = " cut=yes\n";

	(void)state;
	memset(text, 'x', sizeof(text));
	for (size_t length = 1900; length < 2100; length++) {
		const struct kv field = kv_span("text", span_of(text, length));
		size_t put = log_format(&EVENT_TEST, &field, 1, line);
		bool is_cut = memcmp(line + put - strlen(cut), cut, strlen(cut)) == 0;

		assert_true(put <= LOG_LINE_OCTETS_MAX);
		assert_int_equal(line[put - 1], '\n');
		assert_null(memchr(line, '\n', put - 1));
		if (!is_cut)
			assert_int_equal(
				put, strlen("event=test level=warning text=\"\"\n") + length);
	}
	memset(text, '\n', sizeof(text));
	{
		const struct kv field = kv_span("text", span_of(text, sizeof(text)));
		size_t put = log_format(&EVENT_TEST, &field, 1, line);

		assert_true(put <= LOG_LINE_OCTETS_MAX);
		assert_memory_equal(line + put - strlen(cut), cut, strlen(cut));
		assert_null(memchr(line, '\n', put - 1));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_are_digits_and_nothing_else),
		cmocka_unit_test(octets_may_end_with_a_unit),
		cmocka_unit_test(spans_compare_and_advance),
		cmocka_unit_test(crc32c_has_the_known_values),
		cmocka_unit_test(crc32c_goes_on_over_pieces_of_any_size_and_place),
		cmocka_unit_test(crc32c_of_long_runs_is_the_same),
		cmocka_unit_test(slab_blocks_are_apart_aligned_and_few),
		cmocka_unit_test(slab_takes_blocks_larger_than_its_pages),
		cmocka_unit_test(octets_come_out_as_they_went_in),
		cmocka_unit_test(neighbouring_file_spans_are_one_segment),
		cmocka_unit_test(a_span_joins_one_that_is_partly_sent),
		cmocka_unit_test(without_memory_nothing_more_is_taken_in),
		cmocka_unit_test(numbers_are_put_in_decimal),
		cmocka_unit_test(lists_keep_order_and_bear_a_second_removal),
		cmocka_unit_test(log_fields_are_escaped),
		cmocka_unit_test(long_log_lines_are_cut_and_say_so),
	};

	return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}
