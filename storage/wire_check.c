/*
 * wire_check.c - decode a message, encode it again, and compare.
 */
#include "storage/wire_check.h"

#include "io/base/crc32c.h"

#define PIECE_OCTETS 8192u

void
wire_check_init(struct wire_check *c, const struct maildrop_entry *entry)
{
	*c = (struct wire_check){ .entry = entry, .frame_is_right = true };
	wire_decoder_init(&c->decoder, false);
	wire_encoder_init(&c->encoder);
}

static void
check_text(struct wire_check *c, struct span text)
{
	char decoded[PIECE_OCTETS + 1];
	char encoded[WIRE_ENCODED_MAX(sizeof(decoded))];

	c->crc_in = crc32c(c->crc_in, text.at, text.length);
	while (text.length > 0) {
		size_t length = text.length < PIECE_OCTETS ? text.length : PIECE_OCTETS;

		length = wire_decode(&c->decoder, span_of(text.at, length), decoded);
		length = wire_encode(&c->encoder, span_of(decoded, length), encoded);
		c->crc_again = crc32c(c->crc_again, encoded, length);
		text = span_after(text, PIECE_OCTETS);
	}
}

/* The octets of `in` that lie in [from, to) of the wire form. */
static struct span
part(const struct wire_check *c, struct span in, uint64_t from, uint64_t to)
{
	uint64_t start = c->seen > from ? c->seen : from;
	uint64_t end = c->seen + in.length < to ? c->seen + in.length : to;

	if (start >= end)
		return span_of(in.at, 0);
	return span_of(in.at + (start - c->seen), (size_t)(end - start));
}

static void
check_frame(struct wire_check *c, struct span in, uint64_t from, struct span expected)
{
	struct span found = part(c, in, from, from + expected.length);

	if (found.length == 0)
		return;
	expected = span_of(expected.at + (c->seen > from ? c->seen - from : 0), found.length);
	c->frame_is_right = c->frame_is_right && span_equals(found, expected);
}

void
wire_check_octets(struct wire_check *c, struct span octets)
{
	char status[WIRE_STATUS_OCTETS_MAX];
	size_t status_octets = wire_put_status(c->entry->octets, status);
	uint64_t text_end = c->entry->wire_octets - WIRE_END_OCTETS;

	check_frame(c, octets, 0, span_of(status, status_octets));
	check_text(c, part(c, octets, status_octets, text_end));
	check_frame(c, octets, text_end, SPAN(WIRE_END));
	c->seen += octets.length;
}

const char *
wire_check_end(struct wire_check *c)
{
	const struct maildrop_entry *e = c->entry;
	const struct wire_counts *counts = &c->encoder.counts;
	char rest[2];
	size_t missing = wire_encode_end(&c->encoder, rest);

	if (!c->frame_is_right)
		return "status line or end line is wrong";
	if (missing > 0 || c->crc_in != c->crc_again)
		return "text is not in wire form";
	if (counts->octets != e->octets)
		return "octets are counted wrong";
	if (counts->header_octets != e->header_octets || counts->header_ended != e->header_ended)
		return "header octets are counted wrong";
	return counts->body_lines != e->body_lines ? "body lines are counted wrong" : NULL;
}
