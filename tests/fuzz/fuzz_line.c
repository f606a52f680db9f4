/*
 * fuzz_line.c - the line cutter against a model of it.
 *
 * The first octet seeds how the rest is cut into pieces.  Whatever the cuts, the lines must be
 * those that the model finds in the whole.
 */
#include "core/line.h"
#include "io/base/must.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

/* The next line of the whole: its length without its end, or -1: too long.  False:
 * no LF is left. */
static bool
model_next(struct span *whole, struct span *line_out, bool *too_long_out)
{
	size_t end = 0;

	while (end < whole->length && whole->at[end] != '\n')
		end++;
	if (end == whole->length)
		return false;
	*line_out = span_of(whole->at, end);
	if (end > 0 && whole->at[end - 1] == '\r')
		line_out->length--;
	*too_long_out = line_out->length > LINE_OCTETS_MAX;
	*whole = span_after(*whole, end + 1);
	return true;
}

static void
check_line(enum line_result result, struct span line, struct span *whole)
{
	struct span expected;
	bool too_long;

	must(model_next(whole, &expected, &too_long));
	must((result == LINE_TOO_LONG) == too_long);
	if (!too_long)
		must(span_equals(line, expected));
}

static void
hear_piece(struct line_reader *r, struct span piece, struct span *whole)
{
	char *copy = malloc(piece.length + 1); /* so that nobody reads beyond it unseen */
	struct span input = span_of(copy, piece.length);
	struct span line;
	enum line_result result;

	must(copy != NULL);
	memcpy(copy, piece.at, piece.length);
	while ((result = line_next(r, &input, &line)) != LINE_NEEDS_MORE) {
		must(result != LINE_NO_MEMORY);
		check_line(result, line, whole);
	}
	must(input.length == 0);
	free(copy);
}

int
LLVMFuzzerTestOneInput(const uint8_t *octets, size_t size)
{
	struct span whole = span_of(octets, size);
	unsigned random = (unsigned)fuzz_take(&whole, 1);
	struct span rest = whole;
	struct span line;
	bool too_long;
	struct slab blocks;
	struct line_pool pool = { &blocks, NULL };
	struct line_reader reader;

	slab_init(&blocks, LINE_BLOCK_OCTETS, 1);
	line_reader_init(&reader, &pool);
	while (rest.length > 0) {
		size_t cut;

		random = random * 1103515245u + 12345u;
		cut = 1 + (random >> 16) % (random & 0x4000 ? 3 : 2000);
		if (cut > rest.length)
			cut = rest.length;
		hear_piece(&reader, span_of(rest.at, cut), &whole);
		rest = span_after(rest, cut);
	}
	must(!model_next(&whole, &line, &too_long));
	line_reader_clear(&reader);
	slab_destroy(&blocks);
	return 0;
}
