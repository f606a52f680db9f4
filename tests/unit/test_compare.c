/*
 * test_compare.c - the source of a benchmark, and that no octet other than its own passes.
 *
 * A Maildir is written, read as the generator reads it, and played back to a comparison in pieces
 * of each size: as it is, with every single octet changed in turn, longer, shorter, and under
 * another number.
 */
#include "bench/load/compare.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static const char *const files[] = {
	"Subject: a\n\none\n.two\n..\n",
	"Subject: a\n\none\n.two\n..\nthree\n",
	"Subject: a\r\n\r\none\r\nlast",
	"",
	"Subject: only\n",
	".dot: x\n\n.\n",
};

enum {
	FILE_COUNT = sizeof(files) / sizeof(files[0])
};

struct world {
	char folder[64];
	struct source *source;
	struct compare_memory *memory;
};

static void
write_maildir(const char *maildir)
{
	char path[256];

	assert_int_equal(mkdir(maildir, 0700), 0);
	snprintf(path, sizeof(path), "%s/cur", maildir);
	assert_int_equal(mkdir(path, 0700), 0);
	for (int i = 0; i < FILE_COUNT; i++) {
		FILE *to;

		snprintf(path, sizeof(path), "%s/cur/%d.M%d.here:2,S", maildir, 1000 + i, i);
		to = fopen(path, "we");
		assert_non_null(to);
		assert_int_equal(fwrite(files[i], 1, strlen(files[i]), to), strlen(files[i]));
		assert_int_equal(fclose(to), 0);
	}
}

static void
remove_folder(const char *folder)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf %s", folder);
	assert_int_equal(system(command), 0);
}

static int
set_up(void **state)
{
	static struct world w;
	char maildir[128];

	strcpy(w.folder, "/tmp/ringpost-compare.XXXXXX");
	assert_non_null(mkdtemp(w.folder));
	snprintf(maildir, sizeof(maildir), "%s/u1", w.folder);
	write_maildir(maildir);
	snprintf(maildir, sizeof(maildir), "%s/u2", w.folder);
	write_maildir(maildir);
	assert_int_equal(source_load(w.folder, "u%@x", 2, stderr, &w.source), 0);
	w.memory = compare_memory_make(w.source, 2, true);
	assert_non_null(w.memory);
	*state = &w;
	return 0;
}

static int
tear_down(void **state)
{
	struct world *w = *state;

	compare_memory_free(w->memory);
	source_free(w->source);
	remove_folder(w->folder);
	return 0;
}

/* Play `reply` as number `number` of user 1. */
static bool
passes(struct world *w, uint32_t number, struct span reply, size_t piece, bool whole, bool cut)
{
	struct compare c;

	if (!compare_begin(&c, w->memory, 1, number, whole))
		return false;
	while (reply.length > 0) {
		size_t length = reply.length < piece ? reply.length : piece;

		if (!compare_octets(&c, span_of(reply.at, length)))
			return false;
		reply = span_after(reply, length);
	}
	return compare_end(&c, cut);
}

static void
a_source_is_in_wire_form(void **state)
{
	struct world *w = *state;

	assert_int_equal(w->source->message_count, 2 * FILE_COUNT);
	assert_int_equal(source_drop_of(w->source, 2).first, FILE_COUNT);
	assert_true(span_equals(
		source_wire(w->source, 0), SPAN("Subject: a\r\n\r\none\r\n..two\r\n...\r\n.\r\n")));
	assert_int_equal(w->source->messages[0].octets, 29);
	assert_int_equal(w->source->messages[0].body_lines, 3);
	assert_true(span_equals(
		source_wire(w->source, 2), SPAN("Subject: a\r\n\r\none\r\nlast\r\n.\r\n")));
	assert_true(span_equals(source_wire(w->source, 3), SPAN(".\r\n")));
}

static void
a_source_that_is_not_there_is_said(void **state)
{
	struct world *w = *state;
	struct source *source = NULL;
	char text[512] = "";
	FILE *errors = fmemopen(text, sizeof(text), "w");

	assert_non_null(errors);
	assert_int_equal(source_load(w->folder, "u%@x", 3, errors, &source), -ENOENT);
	fclose(errors);
	assert_non_null(strstr(text, "/u3: "));
	assert_null(source);
}

static void
the_message_passes_in_any_pieces(void **state)
{
	struct world *w = *state;

	for (size_t piece = 1; piece < 50; piece++) {
		for (uint32_t i = 0; i < FILE_COUNT; i++)
			assert_true(
				passes(w, i + 1, source_wire(w->source, i), piece, true, false));
	}
}

/* In a fresh memory, so that nothing is known: then no message of the drop may agree. */
static void
no_other_octet_passes(void **state)
{
	struct world *w = *state;
	struct compare_memory *known = w->memory;

	for (uint32_t i = 0; i < FILE_COUNT; i++) {
		struct span wire = source_wire(w->source, i);
		char copy[128];

		for (size_t at = 0; at + 3 < wire.length; at++) {
			w->memory = compare_memory_make(w->source, 2, true);
			assert_non_null(w->memory);
			memcpy(copy, wire.at, wire.length);
			copy[at] ^= 1;
			assert_false(passes(w, i + 1, span_of(copy, wire.length), 7, true, false));
			assert_false(passes(w, i + 1, span_of(copy, wire.length), 1, true, false));
			compare_memory_free(w->memory);
		}
	}
	w->memory = known;
}

static void
another_length_does_not_pass(void **state)
{
	struct world *w = *state;

	assert_false(passes(w, 1, SPAN("Subject: a\r\n\r\none\r\n..two\r\n.\r\n"), 9, true, false));
	assert_false(passes(
		w, 1, SPAN("Subject: a\r\n\r\none\r\n..two\r\n...\r\n\r\n.\r\n"), 9, true, false));
	assert_false(passes(w, FILE_COUNT + 1, SPAN(".\r\n"), 9, true, false));
}

static void
each_number_has_a_message_of_its_own(void **state)
{
	struct world *w = *state;
	struct compare_memory *known = w->memory;
	struct span first = source_wire(w->source, 0), second = source_wire(w->source, 1);

	w->memory = compare_memory_make(w->source, 2, true);
	assert_non_null(w->memory);
	/* the server counts the other way round */
	assert_true(passes(w, 2, first, 9, true, false));
	assert_true(passes(w, 1, second, 9, true, false));
	/* and must go on so */
	assert_false(passes(w, 1, first, 9, true, false));
	assert_false(passes(w, 3, first, 9, true, false));
	assert_true(passes(w, 2, first, 9, true, false));
	compare_memory_free(w->memory);

	w->memory = compare_memory_make(w->source, 2, false); /* a mix that deletes */
	assert_non_null(w->memory);
	assert_true(passes(w, 1, first, 9, true, false));
	assert_true(passes(w, 1, second, 9, true, false));
	compare_memory_free(w->memory);
	w->memory = known;
}

static void
a_beginning_passes_for_top_only(void **state)
{
	struct world *w = *state;
	struct span one = SPAN("Subject: a\r\n\r\none\r\n.\r\n");

	for (size_t piece = 1; piece < 30; piece++) {
		assert_true(passes(w, 1, one, piece, false, true));
		assert_false(passes(w, 1, one, piece, false, false));
		/* the blank line that ends a header which had none */
		assert_true(passes(w, 5, SPAN("Subject: only\r\n\r\n.\r\n"), piece, false, false));
		assert_false(
			passes(w, 5, SPAN("Subject: only\r\n\r\n\r\n.\r\n"), piece, false, false));
	}
	assert_false(passes(w, 5, SPAN("Subject: only\r\n\r\n.\r\n"), 100, true, false));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_source_is_in_wire_form),
		cmocka_unit_test(a_source_that_is_not_there_is_said),
		cmocka_unit_test(the_message_passes_in_any_pieces),
		cmocka_unit_test(no_other_octet_passes),
		cmocka_unit_test(another_length_does_not_pass),
		cmocka_unit_test(each_number_has_a_message_of_its_own),
		cmocka_unit_test(a_beginning_passes_for_top_only),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
