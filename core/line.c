/*
 * line.c - see line.h.
 */
#include "core/line.h"

void
line_reader_init(struct line_reader *r, struct slab *blocks)
{
	*r = (struct line_reader){ .blocks = blocks };
}

static void
give_partial_back(struct line_reader *r)
{
	if (r->partial != NULL)
		slab_give(r->blocks, r->partial);
	r->partial = NULL;
	r->length = 0;
	r->lent = false;
}

void
line_reader_clear(struct line_reader *r)
{
	give_partial_back(r);
	r->passing_over = false;
}

static struct span
without_end(struct span line)
{
	line.length--;
	if (line.length > 0 && line.at[line.length - 1] == '\r')
		line.length--;
	return line;
}

/* Put octets behind the partial line; false without memory.  There is room: see the caller. */
static bool
keep(struct line_reader *r, struct span octets)
{
	if (r->partial == NULL)
		r->partial = slab_take(r->blocks);
	if (r->partial == NULL)
		return false;
	memcpy(r->partial + r->length, octets.at, octets.length);
	r->length += (uint16_t)octets.length;
	return true;
}

/* The piece of a line that ends within the input, its LF included. */
static enum line_result
finish_line(struct line_reader *r, struct span piece, struct span *line_out)
{
	struct span line = piece;

	if (r->passing_over) {
		line_reader_clear(r);
		return LINE_TOO_LONG;
	}
	if (r->length + piece.length > LINE_BLOCK_OCTETS) {
		give_partial_back(r);
		return LINE_TOO_LONG;
	}
	if (r->partial != NULL) {
		(void)keep(r, piece);
		line = span_of(r->partial, r->length);
		r->lent = true;
	}
	line = without_end(line);
	if (line.length > LINE_OCTETS_MAX) {
		give_partial_back(r);
		return LINE_TOO_LONG;
	}
	*line_out = line;
	return LINE_READY;
}

enum line_result
line_next(struct line_reader *r, struct span *input, struct span *line_out)
{
	const char *end;
	struct span piece;

	if (r->lent)
		give_partial_back(r);
	if (input->length == 0)
		return LINE_NEEDS_MORE;
	end = memchr(input->at, '\n', input->length);
	piece = end == NULL ? *input : span_of(input->at, (size_t)(end - input->at) + 1);
	*input = span_after(*input, piece.length);
	if (end != NULL)
		return finish_line(r, piece, line_out);
	if (r->passing_over)
		return LINE_NEEDS_MORE;
	if (r->length + piece.length > LINE_BLOCK_OCTETS - 1) {
		give_partial_back(r);
		r->passing_over = true;
		return LINE_NEEDS_MORE;
	}
	return keep(r, piece) ? LINE_NEEDS_MORE : LINE_NO_MEMORY;
}
