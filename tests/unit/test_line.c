/*
 * test_line.c - cutting input into lines; the fuzz target has the model, here stand the promises.
 */
#include "core/line.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

struct fixture {
	struct slab blocks;
	struct slab long_blocks;
	struct line_pool pool;
	struct line_reader reader;
};

static int
set_up(void **state)
{
	static struct fixture f;

	slab_init(&f.blocks, LINE_BLOCK_OCTETS, 1);
	slab_init(&f.long_blocks, LONG_LINE_BLOCK_OCTETS, 1);
	f.pool = (struct line_pool){ &f.blocks, &f.long_blocks };
	line_reader_init(&f.reader, &f.pool);
	*state = &f;
	return 0;
}

static int
tear_down(void **state)
{
	struct fixture *f = *state;

	line_reader_clear(&f->reader);
	assert_int_equal(f->blocks.blocks_taken, 0);
	slab_destroy(&f->blocks);
	assert_int_equal(f->long_blocks.blocks_taken, 0);
	slab_destroy(&f->long_blocks);
	return 0;
}

static void
expect(struct fixture *f, struct span *input, const char *line)
{
	struct span got;

	assert_int_equal(line_next(&f->reader, input, &got), LINE_READY);
	assert_int_equal(got.length, strlen(line));
	assert_memory_equal(got.at, line, got.length);
}

static void
expect_result(struct fixture *f, struct span input, enum line_result result)
{
	struct span line;

	assert_int_equal(line_next(&f->reader, &input, &line), result);
	assert_int_equal(input.length, 0);
}

static void
lf_ends_a_line_and_takes_one_cr_with_it(void **state)
{
	struct span input = SPAN("a\r\nb\n\r\n\nc\r\r\nd\re\n\r");

	expect(*state, &input, "a");
	expect(*state, &input, "b");
	expect(*state, &input, "");
	expect(*state, &input, "");
	expect(*state, &input, "c\r");
	expect(*state, &input, "d\re");
	expect_result(*state, input, LINE_NEEDS_MORE);
	input = SPAN("\n");
	expect(*state, &input, "");
}

static void
a_whole_line_is_lent_from_its_input(void **state)
{
	struct fixture *f = *state;
	struct span input = SPAN("STAT\r\n");
	const char *start = input.at;
	struct span line;

	assert_int_equal(line_next(&f->reader, &input, &line), LINE_READY);
	assert_ptr_equal(line.at, start);
	assert_int_equal(f->blocks.blocks_taken, 0);
}

static void
pieces_are_kept_and_given_back(void **state)
{
	struct fixture *f = *state;
	struct span input = SPAN("T\r\nNO");

	expect_result(f, SPAN("S"), LINE_NEEDS_MORE);
	expect_result(f, SPAN("TA"), LINE_NEEDS_MORE);
	assert_int_equal(f->blocks.blocks_taken, 1);
	expect(f, &input, "STAT");
	expect_result(f, input, LINE_NEEDS_MORE);
	line_reader_clear(&f->reader);
	assert_int_equal(f->blocks.blocks_taken, 0);
	input = SPAN("QUIT\n");
	expect(f, &input, "QUIT"); /* "NO" is forgotten */
}

/* Lines of LINE_OCTETS_MAX octets, and one more, whole and cut at each place. */
static void
the_longest_line_fits_however_it_is_cut(void **state)
{
	static char octets[LINE_OCTETS_MAX + 3];
	const char *ends[] = { "\n", "\r\n" };

	memset(octets, 'x', sizeof(octets));
	for (unsigned e = 0; e < 2; e++) {
		size_t end = strlen(ends[e]);

		for (size_t over = 0; over < 2; over++) {
			size_t length = LINE_OCTETS_MAX + over;

			memset(octets, 'x', sizeof(octets));
			memcpy(octets + length, ends[e], end);
			for (size_t cut = 0; cut <= length;
				cut += cut < 4 || cut + 8 > length ? 1 : 97) {
				struct span line;
				struct span input = span_of(octets + cut, length + end - cut);
				struct fixture *f = *state;
				enum line_result result;

				if (cut > 0)
					expect_result(f, span_of(octets, cut), LINE_NEEDS_MORE);
				result = line_next(&f->reader, &input, &line);
				assert_int_equal(result, over ? LINE_TOO_LONG : LINE_READY);
				if (!over)
					assert_int_equal(line.length, LINE_OCTETS_MAX);
			}
		}
	}
}

static void
what_is_too_long_is_told_once_and_passed_over(void **state)
{
	static char octets[3 * LINE_OCTETS_MAX];
	struct fixture *f = *state;
	struct span input = SPAN("\nNOOP\r\n");
	struct span line;

	memset(octets, 'y', sizeof(octets));
	for (unsigned i = 0; i < 100; i++)
		expect_result(f, span_of(octets, sizeof(octets)), LINE_NEEDS_MORE);
	assert_int_equal(f->blocks.blocks_taken, 0); /* nothing is kept of it */
	assert_int_equal(line_next(&f->reader, &input, &line), LINE_TOO_LONG);
	expect(f, &input, "NOOP");
}

static void
without_memory_it_says_so(void **state)
{
	struct fixture *f = *state;
	void *only = slab_take(&f->blocks);
	struct span input = SPAN("half");
	struct span line;

	assert_int_equal(line_next(&f->reader, &input, &line), LINE_NO_MEMORY);
	slab_give(&f->blocks, only);
}

/* A token of a real provider: longer than a command, in pieces of any size, and whole. */
static void
long_lines_where_they_are_allowed(void **state)
{
	static char text[LONG_LINE_OCTETS_MAX + 10];
	struct fixture *f = *state;
	static const size_t pieces[] = { 1, 7, 1025, 1026, 1027, 4096, sizeof(text) };

	for (size_t p = 0; p < sizeof(pieces) / sizeof(pieces[0]); p++) {
		for (size_t over = 0; over < 2; over++) { /* the longest, and one octet more */
			size_t length = LONG_LINE_OCTETS_MAX + over;
			enum line_result result = LINE_NEEDS_MORE;
			struct span line;
			size_t at = 0;

			memset(text, 'x', length);
			memcpy(text, "auth ", 5);
			memcpy(text + length, "\r\n", 2);
			line_reader_allow_long(&f->reader, "AUTH ");
			while (at < length + 2 && result == LINE_NEEDS_MORE) {
				size_t cut =
					length + 2 - at < pieces[p] ? length + 2 - at : pieces[p];
				struct span input = span_of(text + at, cut);

				result = line_next(&f->reader, &input, &line);
				at += cut;
			}
			assert_int_equal(result, over == 0 ? LINE_READY : LINE_TOO_LONG);
			if (over == 0)
				assert_true(span_equals(line, span_of(text, length)));
			line_reader_clear(&f->reader);
		}
	}
}

static void
long_lines_of_other_words_are_too_long(void **state)
{
	static char text[2048];
	struct fixture *f = *state;
	struct span input = span_of(text, sizeof(text));
	struct span line;

	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\n';
	line_reader_allow_long(&f->reader, "AUTH ");
	assert_int_equal(line_next(&f->reader, &input, &line), LINE_TOO_LONG);
	input = span_of(text, sizeof(text));
	line_reader_allow_long(&f->reader, "");
	assert_int_equal(line_next(&f->reader, &input, &line), LINE_READY);
	input = span_of(text, sizeof(text));
	line_reader_allow_long(&f->reader, NULL);
	assert_int_equal(line_next(&f->reader, &input, &line), LINE_TOO_LONG);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			lf_ends_a_line_and_takes_one_cr_with_it, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_whole_line_is_lent_from_its_input, set_up, tear_down),
		cmocka_unit_test_setup_teardown(pieces_are_kept_and_given_back, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			the_longest_line_fits_however_it_is_cut, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			what_is_too_long_is_told_once_and_passed_over, set_up, tear_down),
		cmocka_unit_test_setup_teardown(without_memory_it_says_so, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			long_lines_where_they_are_allowed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			long_lines_of_other_words_are_too_long, set_up, tear_down),
	};

	return cmocka_run_group_tests_name("line", tests, NULL, NULL);
}
