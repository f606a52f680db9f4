/*
 * compare.c - received octets against the source.
 *
 * The message in `place` has agreed up to `seen`.  When it ceases to, another one of the same
 * beginning is taken; that beginning need not be kept, as the first message holds it.
 */
#include "bench/load/compare.h"

#include "storage/wire.h"

#include <stdlib.h>

static const struct span end_line = { WIRE_END, WIRE_END_OCTETS };

struct compare_memory *
compare_memory_make(const struct source *source, uint32_t users, bool numbers_stay)
{
	struct compare_memory *m = calloc(1, sizeof(*m));
	size_t places = (size_t)users * source->largest_drop;

	if (m == NULL)
		return NULL;
	m->source = source;
	m->numbers_stay = numbers_stay;
	m->message_of = calloc(places, sizeof(*m->message_of));
	m->number_of = calloc(places, sizeof(*m->number_of));
	if (m->message_of == NULL || m->number_of == NULL) {
		compare_memory_free(m);
		return NULL;
	}
	return m;
}

void
compare_memory_free(struct compare_memory *m)
{
	if (m == NULL)
		return;
	free(m->message_of);
	free(m->number_of);
	free(m);
}

static size_t
row_of(const struct compare *c)
{
	return (size_t)(c->user - 1) * c->memory->source->largest_drop;
}

/* What POP3 sends of it before the end line. */
static struct span
text_at(const struct compare *c, uint32_t place)
{
	const struct source *source = c->memory->source;
	struct span wire = source_wire(source, source_drop_of(source, c->user).first + place);

	return span_of(wire.at, wire.length - WIRE_END_OCTETS);
}

static const struct source_message *
message_at(const struct compare *c, uint32_t place)
{
	const struct source *source = c->memory->source;

	return &source->messages[source_drop_of(source, c->user).first + place];
}

static bool
may_be(const struct compare *c, uint32_t place)
{
	uint32_t number = c->memory->number_of[row_of(c) + place];

	return !c->memory->numbers_stay || number == 0 || number == c->number;
}

/* Take the next message that begins with what has come; false: there is none. */
static bool
compare_next(struct compare *c)
{
	uint32_t count = source_drop_of(c->memory->source, c->user).count;
	struct span agreed = text_at(c, c->place), text;

	/* Once known is known for good. */
	if (c->memory->numbers_stay && c->memory->message_of[row_of(c) + c->number - 1] != 0)
		return false;
	while (c->tried < count) {
		uint32_t place = c->tried++;

		text = text_at(c, place);
		if (may_be(c, place) && text.length >= c->seen &&
			memcmp(text.at, agreed.at, c->seen) == 0) {
			c->place = place;
			return true;
		}
	}
	return false;
}

bool
compare_begin(struct compare *c, struct compare_memory *memory, uint32_t user, uint32_t number,
	bool whole)
{
	uint32_t known;

	*c = (struct compare){
		.memory = memory,
		.user = user,
		.number = number,
		.whole = whole,
		.line_begins = true,
	};
	if (number > source_drop_of(memory->source, user).count)
		return false;
	known = memory->numbers_stay ? memory->message_of[row_of(c) + number - 1] : 0;
	c->place = known != 0 ? known - 1 : number - 1;
	return may_be(c, c->place) || compare_next(c);
}

/* TOP of a message without a body: the blank line that its header owes. */
static bool
compare_header_end(struct compare *c, struct span octets)
{
	struct span blank_line = span_after(SPAN("\r\n"), c->extra);

	if (c->whole || message_at(c, c->place)->header_ended ||
		octets.length > blank_line.length ||
		memcmp(octets.at, blank_line.at, octets.length) != 0)
		return false;
	c->extra += (unsigned)octets.length;
	return true;
}

static bool
compare_text(struct compare *c, struct span octets)
{
	for (;;) {
		struct span left = span_after(text_at(c, c->place), c->seen);

		if (left.length >= octets.length && memcmp(left.at, octets.at, octets.length) == 0)
			break;
		if (left.length == 0 && compare_header_end(c, octets))
			return true;
		if (!compare_next(c))
			return false;
	}
	c->seen += octets.length;
	return true;
}

/* What was kept back was no end line. */
static bool
compare_held(struct compare *c)
{
	unsigned held = c->held;

	c->held = 0;
	c->line_begins = false;
	return held == 0 || compare_text(c, span_of(end_line.at, held));
}

/* Some octets of one line. */
static bool
compare_piece(struct compare *c, struct span piece)
{
	size_t room = end_line.length - c->held;

	if ((c->line_begins || c->held > 0) && piece.length <= room &&
		memcmp(piece.at, end_line.at + c->held, piece.length) == 0) {
		c->held += (unsigned)piece.length;
		c->line_begins = false;
		return true;
	}
	if (!compare_held(c) || !compare_text(c, piece))
		return false;
	c->line_begins = piece.at[piece.length - 1] == '\n';
	return true;
}

bool
compare_octets(struct compare *c, struct span octets)
{
	while (octets.length > 0) {
		const char *end = memchr(octets.at, '\n', octets.length);
		size_t length = end == NULL ? octets.length : (size_t)(end - octets.at) + 1;

		if (!compare_piece(c, span_of(octets.at, length)))
			return false;
		octets = span_after(octets, length);
	}
	return true;
}

bool
compare_end(struct compare *c, bool may_be_cut)
{
	size_t row = row_of(c);

	if (c->held != end_line.length)
		return false;
	while (!may_be_cut && c->seen != text_at(c, c->place).length) {
		if (!compare_next(c))
			return false;
	}
	/* Messages may begin alike: only a whole one names its number. */
	if (c->memory->numbers_stay && c->seen == text_at(c, c->place).length) {
		c->memory->message_of[row + c->number - 1] = c->place + 1;
		c->memory->number_of[row + c->place] = c->number;
	}
	return true;
}
