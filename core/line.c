/*
 * line.c - see line.h.
 */
#include "core/line.h"

void
line_reader_init(struct line_reader *r, const struct line_pool *pool)
{
	*r = (struct line_reader){ .pool = pool };
}

void
line_reader_allow_long(struct line_reader *r, const char *word)
{
	r->long_word = word;
}

static void
give_partial_back(struct line_reader *r)
{
	if (r->partial != NULL) { /* it may have been a secret */
		explicit_bzero(r->partial, r->length);
		slab_give(r->is_long ? r->pool->long_blocks : r->pool->blocks, r->partial);
	}
	r->partial = NULL;
	r->length = 0;
	r->is_long = false;
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

/* How many octets the line may have that `piece` goes on with, without its end. */
static size_t
octets_allowed(const struct line_reader *r, struct span piece)
{
	struct span beginning = r->partial != NULL ? span_of(r->partial, r->length) : piece;
	size_t word;

	if (r->long_word == NULL || r->pool->long_blocks == NULL)
		return LINE_OCTETS_MAX;
	word = strlen(r->long_word);
	if (beginning.length < word || strncasecmp(beginning.at, r->long_word, word) != 0)
		return LINE_OCTETS_MAX;
	return LONG_LINE_OCTETS_MAX;
}

/* Have room for `octets` in all; false without memory. */
static bool
make_room(struct line_reader *r, size_t octets)
{
	bool is_long = octets > LINE_BLOCK_OCTETS;
	char *block;

	if (r->partial != NULL && (r->is_long || !is_long))
		return true;
	block = slab_take(is_long ? r->pool->long_blocks : r->pool->blocks);
	if (block == NULL)
		return false;
	if (r->partial != NULL) {
		memcpy(block, r->partial, r->length);
		slab_give(r->pool->blocks, r->partial);
	}
	r->partial = block;
	r->is_long = is_long;
	return true;
}

/* Put octets behind the partial line; false without memory. */
static bool
keep(struct line_reader *r, struct span octets)
{
	if (!make_room(r, r->length + octets.length))
		return false;
	memcpy(r->partial + r->length, octets.at, octets.length);
	r->length += (uint32_t)octets.length;
	return true;
}

/* The piece of a line that ends within the input, its LF included. */
static enum line_result
finish_line(struct line_reader *r, struct span piece, struct span *line_out)
{
	size_t allowed = octets_allowed(r, piece);
	struct span line = piece;

	if (r->passing_over) {
		line_reader_clear(r);
		return LINE_TOO_LONG;
	}
	if (r->length + piece.length > allowed + 2) {
		give_partial_back(r);
		return LINE_TOO_LONG;
	}
	if (r->partial != NULL) {
		if (!keep(r, piece))
			return LINE_NO_MEMORY;
		line = span_of(r->partial, r->length);
		r->lent = true;
	}
	line = without_end(line);
	if (line.length > allowed) {
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
	if (r->length + piece.length > octets_allowed(r, piece) + 1) {
		give_partial_back(r);
		r->passing_over = true;
		return LINE_NEEDS_MORE;
	}
	return keep(r, piece) ? LINE_NEEDS_MORE : LINE_NO_MEMORY;
}
