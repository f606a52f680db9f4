/*
 * test_wire.c - wire form: line ends, dots, NUL, counts, in pieces of every size; and the way back.
 */
#include "storage/wire.h"

#include "io/base/must.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define TEXT(literal) (literal), sizeof(literal) - 1

struct wire_case {
	const char *in;
	size_t in_octets;
	const char *out;
	size_t out_octets;
	struct wire_counts counts;
};

/* counts: octets, stuffed, header, body lines, header ended */
static const struct wire_case cases[] = {
	{ TEXT(""), TEXT(""), { 0, 0, 0, 0, false } },
	{ TEXT("\n"), TEXT("\r\n"), { 2, 2, 2, 0, true } },
	{ TEXT("\r"), TEXT("\r\n"), { 2, 2, 2, 0, true } },
	{ TEXT("A: b"), TEXT("A: b\r\n"), { 6, 6, 6, 0, false } },
	{ TEXT("A: b\r\n"), TEXT("A: b\r\n"), { 6, 6, 6, 0, false } },
	{ TEXT("A: b\r\n\r\n"), TEXT("A: b\r\n\r\n"), { 8, 8, 8, 0, true } },
	{ TEXT("A: b\n\nc\n\nd"), TEXT("A: b\r\n\r\nc\r\n\r\nd\r\n"), { 16, 16, 8, 3, true } },
	{ TEXT("A\r\r\nb"), TEXT("A\r\n\r\nb\r\n"), { 8, 8, 5, 1, true } },
	{ TEXT("A\n\rb\n"), TEXT("A\r\n\r\nb\r\n"), { 8, 8, 5, 1, true } },
	{ TEXT("."), TEXT("..\r\n"), { 3, 4, 4, 0, false } },
	{ TEXT(".\r\n..\r\n\n.x."), TEXT("..\r\n...\r\n\r\n..x.\r\n"), { 14, 17, 11, 1, true } },
	{ TEXT("a.b\n.\0c"),
		TEXT("a.b\r\n..\x80"
		     "c\r\n"),
		{ 10, 11, 11, 0, false } },
	{ TEXT("\0"), TEXT("\x80\r\n"), { 3, 3, 3, 0, false } },
	{ TEXT("a\0\nb"), TEXT("a\x80\r\nb\r\n"), { 7, 7, 7, 0, false } },
};

static size_t
encode_in_pieces(struct wire_encoder *e, struct span in, size_t piece, char *to)
{
	size_t put = 0;

	wire_encoder_init(e);
	while (in.length > 0) {
		size_t length = in.length < piece ? in.length : piece;
		size_t here = wire_encode(e, span_of(in.at, length), to + put);

		assert_true(here <= WIRE_ENCODED_MAX(length));
		put += here;
		in = span_after(in, length);
	}
	return put + wire_encode_end(e, to + put);
}

static void
encodes_in_any_pieces(void **state)
{
	char out[256];

	(void)state;
	for (size_t i = 0; i < array_count(cases); i++) {
		const struct wire_case *c = &cases[i];

		for (size_t piece = 1; piece <= c->in_octets + 1; piece++) {
			struct wire_encoder e;
			size_t put = encode_in_pieces(&e, span_of(c->in, c->in_octets), piece, out);

			assert_int_equal(put, c->out_octets);
			assert_memory_equal(out, c->out, put);
			assert_int_equal(e.counts.octets, c->counts.octets);
			assert_int_equal(e.counts.stuffed_octets, c->counts.stuffed_octets);
			assert_int_equal(e.counts.header_octets, c->counts.header_octets);
			assert_int_equal(e.counts.body_lines, c->counts.body_lines);
			assert_int_equal(e.counts.header_ended, c->counts.header_ended);
		}
	}
}

static size_t
decode_in_pieces(struct span in, bool to_lf, size_t piece, char *to)
{
	struct wire_decoder w;
	size_t put = 0;

	wire_decoder_init(&w, to_lf);
	while (in.length > 0) {
		size_t length = in.length < piece ? in.length : piece;
		size_t here = wire_decode(&w, span_of(in.at, length), to + put);

		assert_true(here <= length + 1);
		put += here;
		in = span_after(in, length);
	}
	return put;
}

static void
decodes_in_any_pieces(void **state)
{
	static const char stuffed[] = "A: b\r\n\r\n..\r\n...x\r\nend.\r\n";
	static const char crlf[] = "A: b\r\n\r\n.\r\n..x\r\nend.\r\n";
	static const char lf[] = "A: b\n\n.\n..x\nend.\n";
	char out[64];

	(void)state;
	for (size_t piece = 1; piece < sizeof(stuffed); piece++) {
		assert_int_equal(
			decode_in_pieces(SPAN(stuffed), false, piece, out), sizeof(crlf) - 1);
		assert_memory_equal(out, crlf, sizeof(crlf) - 1);
		assert_int_equal(decode_in_pieces(SPAN(stuffed), true, piece, out), sizeof(lf) - 1);
		assert_memory_equal(out, lf, sizeof(lf) - 1);
	}
}

/* No bare CR or LF, no NUL, no "." alone, whatever comes in; and a second time nothing changes. */
static void
any_octets_become_wire_form(void **state)
{
	static const char alphabet[] = { '\r', '\n', '.', '\0', 'a', ':' };
	char in[24];
	char out[64];
	char again[192];
	char decoded[65];

	(void)state;
	srand(1);
	for (int round = 0; round < 20000; round++) {
		size_t length = (size_t)rand() % sizeof(in);
		struct wire_encoder e;
		size_t put;

		for (size_t i = 0; i < length; i++)
			in[i] = alphabet[rand() % (int)sizeof(alphabet)];
		put = encode_in_pieces(&e, span_of(in, length), 1 + (size_t)rand() % 5, out);
		assert_int_equal(put, e.counts.stuffed_octets);
		for (size_t i = 0; i < put; i++) {
			bool starts_line = i == 0 || out[i - 1] == '\n';

			assert_int_not_equal(out[i], '\0');
			assert_int_equal(out[i] == '\n', i > 0 && out[i - 1] == '\r');
			if (starts_line && out[i] == '.')
				assert_int_equal(out[i + 1], '.');
		}
		assert_true(put == 0 || out[put - 1] == '\n');
		length = decode_in_pieces(span_of(out, put), false, 3, decoded);
		assert_int_equal(length, e.counts.octets);
		length = encode_in_pieces(&e, span_of(decoded, length), 64, again);
		assert_int_equal(length, put);
		assert_memory_equal(again, out, put);
	}
}

static void
status_lines(void **state)
{
	static const uint32_t octets[] = { 0, 9, 10, 99, 100, 5120, 999999999, 1000000000,
		UINT32_MAX };
	char line[WIRE_STATUS_OCTETS_MAX + 1];
	char expected[64];

	(void)state;
	for (size_t i = 0; i < array_count(octets); i++) {
		size_t length = wire_put_status(octets[i], line);

		line[length] = '\0';
		snprintf(expected, sizeof(expected), "+OK %u octets\r\n", octets[i]);
		assert_string_equal(line, expected);
		assert_int_equal(wire_status_octets(octets[i]), length);
	}
	assert_int_equal(wire_status_octets(UINT32_MAX), WIRE_STATUS_OCTETS_MAX);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(encodes_in_any_pieces),
		cmocka_unit_test(decodes_in_any_pieces),
		cmocka_unit_test(any_octets_become_wire_form),
		cmocka_unit_test(status_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
