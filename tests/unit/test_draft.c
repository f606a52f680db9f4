/*
 * test_draft.c - drafts: any split gives the same octets, counts and checksum as the encoder;
 * spill, limits, and a pool that runs dry.
 */
#include "io/base/crc32c.h"
#include "io/base/must.h"
#include "storage/draft.h"
#include "tests/unit/fault_disk.h"

#define BLOCKS 64u
#define TEXT(literal)                                                                              \
	{                                                                                          \
		(literal), sizeof(literal) - 1                                                     \
	}

struct fixture {
	struct spool spool;
	struct draft_pool pool;
};

static const struct draft_options usual = {
	.drafts_max = 4,
	.blocks_max = BLOCKS,
	.memory_octets_max = 4 * DRAFT_BLOCK_OCTETS,
};

static struct fixture fixture;

static int
set_up(void **state)
{
	(void)state;
	spool_make(&fixture.spool);
	draft_pool_init(&fixture.pool, &fixture.spool.disk, &usual);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	draft_pool_destroy(&fixture.pool); /* must(): all blocks are back */
	spool_remove(&fixture.spool);
	return 0;
}

/* ---- what it should be --------------------------------------------------------------------- */

struct expected {
	char *wire;
	size_t octets;
	struct wire_counts counts;
};

static struct expected
expect(const char *text, size_t length)
{
	struct expected e = { .wire = malloc(WIRE_ENCODED_MAX(length) + 2) };
	struct wire_encoder encoder;

	assert_non_null(e.wire);
	wire_encoder_init(&encoder);
	e.octets = wire_encode(&encoder, span_of(text, length), e.wire);
	e.octets += wire_encode_end(&encoder, e.wire + e.octets);
	e.counts = encoder.counts;
	return e;
}

struct gathered {
	char *octets;
	size_t used;
};

static int
gather(void *ctx, struct span piece)
{
	struct gathered *g = ctx;

	memcpy(g->octets + g->used, piece.at, piece.length);
	g->used += piece.length;
	return 0;
}

static void
assert_draft(const struct draft *d, const struct expected *e)
{
	struct gathered g = { .octets = malloc(e->octets + 1) };
	const struct wire_counts *counts = draft_counts(d);

	assert_int_equal(counts->stuffed_octets, e->octets);
	assert_int_equal(counts->octets, e->counts.octets);
	assert_int_equal(counts->header_octets, e->counts.header_octets);
	assert_int_equal(counts->body_lines, e->counts.body_lines);
	assert_int_equal(counts->header_ended, e->counts.header_ended);
	assert_int_equal(draft_each(d, gather, &g), 0);
	assert_int_equal(g.used, e->octets);
	assert_memory_equal(g.octets, e->wire, e->octets);
	assert_int_equal(draft_crc(d), crc32c(0, e->wire, e->octets));
	free(g.octets);
}

/* All of it, spilled as often as it asks; how often that was. */
static unsigned
put_all(struct draft *d, struct span octets, bool is_text)
{
	unsigned spills = 0;

	for (;;) {
		int error = is_text ? draft_put_text(d, &octets) : draft_put_wire(d, &octets);

		if (error == 0)
			break;
		assert_int_equal(error, -EAGAIN);
		assert_int_equal(draft_spill(d), 0);
		spills++;
	}
	assert_int_equal(octets.length, 0);
	return spills;
}

static void
end(struct draft *d)
{
	int error = draft_end(d);

	if (error == -EAGAIN) {
		assert_int_equal(draft_spill(d), 0);
		error = draft_end(d);
	}
	assert_int_equal(error, 0);
}

/* ---- tests --------------------------------------------------------------------------------- */

static const struct span texts[] = {
	TEXT(""),
	TEXT("\r\n"),
	TEXT("A: b\r\n"),
	TEXT("A: b\r\n\r\n"),
	TEXT("A: b\r\n\r\nc\r\n\r\nd\r\n"),
	TEXT(".\r\n..\r\n\r\n.x.\r\n...\r\n"),
	TEXT("\r\n.\r\n"),
	TEXT("a.b\r\n.\0c\r\n"),
	TEXT("\0\r\n\0\0\r\n"),
};

static void
every_split_of_wire_form_is_the_same(void **state)
{
	(void)state;
	for (size_t t = 0; t < array_count(texts); t++) {
		struct expected e = expect(texts[t].at, texts[t].length);

		for (size_t first = 0; first <= e.octets; first++) {
			for (size_t second = first; second <= e.octets; second++) {
				struct draft *d = draft_begin(&fixture.pool);

				put_all(d, span_of(e.wire, first), false);
				put_all(d, span_of(e.wire + first, second - first), false);
				put_all(d, span_of(e.wire + second, e.octets - second), false);
				end(d);
				assert_draft(d, &e);
				draft_free(d);
			}
		}
		free(e.wire);
	}
}

static void
every_split_of_text_is_the_same(void **state)
{
	static const char text[] = "A: b\n.c\r\rd\0\n\r\n\r\n..\n.";

	(void)state;
	for (size_t first = 0; first < sizeof(text); first++) {
		for (size_t second = first; second < sizeof(text); second++) {
			struct expected e = expect(text, sizeof(text) - 1);
			struct draft *d = draft_begin(&fixture.pool);

			put_all(d, span_of(text, first), true);
			put_all(d, span_of(text + first, second - first), true);
			put_all(d, span_of(text + second, sizeof(text) - 1 - second), true);
			end(d);
			assert_draft(d, &e);
			draft_free(d);
			free(e.wire);
		}
	}
}

/* RFC 5321, 4.5.2: a dot that begins a line with other octets is taken away. */
static void
dots_that_were_not_doubled_are_taken_away(void **state)
{
	static const char wire[] = ".a\r\n..b\r\n\r\n.\0\r\n.c.\r\n..\r\n";
	static const char text[] = "a\n.b\n\n\0\nc.\n.\n";

	(void)state;
	for (size_t split = 0; split < sizeof(wire); split++) {
		struct expected e = expect(text, sizeof(text) - 1);
		struct draft *d = draft_begin(&fixture.pool);

		put_all(d, span_of(wire, split), false);
		put_all(d, span_of(wire + split, sizeof(wire) - 1 - split), false);
		end(d);
		assert_draft(d, &e);
		draft_free(d);
		free(e.wire);
	}
}

/* Lines of all lengths, some with dots, some empty, some longer than a block. */
static size_t
make_text(char *to, size_t most, unsigned *seed, bool crlf)
{
	size_t put = 0;

	while (put + 2 < most) {
		size_t line = rand_r(seed) % 8 == 0 ? (size_t)rand_r(seed) % 20000
						    : (size_t)rand_r(seed) % 80;

		for (size_t i = 0; i < line && put + 2 < most; i++) {
			int r = rand_r(seed) % 64;

			to[put++] = r == 0 ? '\0' : r < 4 ? '.' : (char)('a' + r % 26);
		}
		if (crlf)
			to[put++] = '\r';
		to[put++] = '\n';
	}
	return put;
}

static void
random_mail_in_random_pieces(void **state)
{
	enum {
		MOST = 200000
	};
	unsigned seed = 7;
	char *text = malloc(MOST);

	(void)state;
	for (unsigned round = 0; round < 300; round++) {
		bool is_text = round % 2 == 0;
		size_t length = make_text(
			text, 4 + (size_t)rand_r(&seed) % (MOST - 4), &seed, rand_r(&seed) % 2);
		struct expected e = expect(text, length);
		struct span rest = is_text ? span_of(text, length) : span_of(e.wire, e.octets);
		struct draft *d = draft_begin(&fixture.pool);
		unsigned spills = 0;

		while (rest.length > 0) {
			size_t piece = 1 + (size_t)rand_r(&seed) % 16384;

			if (piece > rest.length)
				piece = rest.length;
			spills += put_all(d, span_of(rest.at, piece), is_text);
			rest = span_after(rest, piece);
		}
		end(d);
		assert_int_equal(draft_is_spilled(d), spills > 0);
		assert_true((e.octets < 3 * DRAFT_BLOCK_OCTETS) == (spills == 0) ||
			(e.octets >= 3 * DRAFT_BLOCK_OCTETS && e.octets <= 5 * DRAFT_BLOCK_OCTETS));
		assert_true(fixture.pool.blocks.blocks_taken <= 4);
		assert_draft(d, &e);
		if (round % 3 == 0)
			draft_close_file(d);
		draft_free(d);
		free(e.wire);
	}
	free(text);
}

static void
too_large_a_message_is_refused_and_let_go(void **state)
{
	struct draft_options small = usual;
	struct draft_pool pool;
	struct draft *d;
	struct span line = SPAN("0123456789abcde\r\n");

	(void)state;
	small.octets_max = 34;
	draft_pool_init(&pool, &fixture.spool.disk, &small);
	d = draft_begin(&pool);
	put_all(d, line, false);
	put_all(d, line, false);
	end(d);
	assert_int_equal(draft_counts(d)->octets, 34);
	draft_free(d);

	d = draft_begin(&pool);
	put_all(d, line, false);
	put_all(d, line, false);
	assert_int_equal(draft_put_wire(d, &line), -EFBIG);
	assert_int_equal(pool.blocks.blocks_taken, 0);
	assert_int_equal(draft_put_wire(d, &line), -EFBIG);
	assert_int_equal(draft_end(d), -EFBIG);
	draft_free(d);
	draft_pool_destroy(&pool);
}

static void
a_line_without_end_is_told(void **state)
{
	static const struct span bad[] = { TEXT("a"), TEXT("a\r\n."), TEXT("a\r") };

	(void)state;
	for (size_t i = 0; i < array_count(bad); i++) {
		struct draft *d = draft_begin(&fixture.pool);

		put_all(d, bad[i], false);
		assert_int_equal(draft_end(d), -EINVAL);
		draft_free(d);
	}
}

static void
a_dry_pool_answers_and_spilling_goes_on(void **state)
{
	struct draft_options tight = usual;
	struct draft_pool pool;
	struct draft *a;
	struct draft *b;
	char text[3 * DRAFT_BLOCK_OCTETS];
	struct span octets;
	struct expected e;

	(void)state;
	tight.blocks_max = 2;
	tight.drafts_max = 2;
	memset(text, 'x', sizeof(text));
	memcpy(text + sizeof(text) - 2, "\r\n", 2);
	e = expect(text, sizeof(text));
	draft_pool_init(&pool, &fixture.spool.disk, &tight);
	a = draft_begin(&pool);
	b = draft_begin(&pool);
	assert_null(draft_begin(&pool));
	octets = span_of(text, sizeof(text));
	assert_int_equal(draft_put_wire(a, &octets), -EAGAIN);
	assert_int_equal(pool.blocks.blocks_taken, 2);
	octets = span_of(text, sizeof(text));
	assert_int_equal(draft_put_wire(b, &octets), -ENOMEM);
	assert_int_equal(octets.length, sizeof(text));
	draft_free(a);
	assert_true(put_all(b, octets, false) >= 1);
	end(b);
	assert_draft(b, &e);
	draft_free(b);
	draft_pool_destroy(&pool);
	free(e.wire);
}

/* Every call of the disk fails once: the draft says so and everything is given back. */
static void
a_spill_that_fails_is_told(void **state)
{
	struct draft_pool pool;
	bool was_hit;
	unsigned n = 1;
	char text[6 * DRAFT_BLOCK_OCTETS];
	struct expected e;

	(void)state;
	memset(text, 'y', sizeof(text));
	memcpy(text + sizeof(text) - 2, "\r\n", 2);
	e = expect(text, sizeof(text));
	do {
		struct fault_disk fault;
		struct draft *d;
		struct span octets = span_of(text, sizeof(text));
		int error;

		fault_init(&fault, &fixture.spool.disk, n++, -ENOSPC, false);
		draft_pool_init(&pool, &fault.disk, &usual);
		d = draft_begin(&pool);
		while ((error = draft_put_wire(d, &octets)) == -EAGAIN) {
			error = draft_spill(d);
			if (error != 0)
				break;
		}
		was_hit = fault.was_hit;
		fault.fail_at = 0;
		if (error == 0)
			error = draft_end(d);
		assert_int_equal(error, was_hit ? -ENOSPC : 0);
		if (error == 0)
			assert_draft(d, &e);
		else
			assert_int_equal(draft_end(d), error);
		draft_free(d);
		draft_pool_destroy(&pool);
		fault_free(&fault);
	} while (was_hit);
	assert_true(n > 4);
	free(e.wire);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			every_split_of_wire_form_is_the_same, set_up, tear_down),
		cmocka_unit_test_setup_teardown(every_split_of_text_is_the_same, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			dots_that_were_not_doubled_are_taken_away, set_up, tear_down),
		cmocka_unit_test_setup_teardown(random_mail_in_random_pieces, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			too_large_a_message_is_refused_and_let_go, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_line_without_end_is_told, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_dry_pool_answers_and_spilling_goes_on, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_spill_that_fails_is_told, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
