/*
 * line.h - cutting what comes in into lines.
 *
 * Lines end with LF; one CR before it goes with it (RFC 1939 asks for CRLF, clients send both).  A
 * line may come in pieces of any size.  One that is too long is passed over up to its LF and
 * reported once. The reader copies only what is split: a line that lies whole in its input is lent
 * from there.
 *
 * Pure.  Ownership: `partial` is lent by the caller while line_holds_partial(), see line_next().
 */
#ifndef CORE_LINE_H
#define CORE_LINE_H

#include "core/limits.h"
#include "io/base/slab.h"
#include "io/base/span.h"

enum line_result {
	LINE_READY,
	LINE_NEEDS_MORE,
	LINE_TOO_LONG,
	LINE_NO_MEMORY,
};

/* Memory of the lines of one shard. */
struct line_pool {
	struct slab *blocks;      /* of LINE_BLOCK_OCTETS */
	struct slab *long_blocks; /* of LONG_LINE_BLOCK_OCTETS; NULL: no line is long */
};

struct line_reader {
	const struct line_pool *pool;
	const char *long_word; /* see line_reader_allow_long() */
	char *partial;         /* the beginning of a line; NULL: none */
	uint32_t length;
	bool is_long;      /* `partial` is a long block */
	bool passing_over; /* the rest of a line that is too long */
	bool lent;         /* the last line was lent from `partial` */
};

#define LINE_BLOCK_OCTETS      (LINE_OCTETS_MAX + 2)
#define LONG_LINE_BLOCK_OCTETS (LONG_LINE_OCTETS_MAX + 2)

void line_reader_init(struct line_reader *r, const struct line_pool *pool);
/* From the next line on, lines that begin with `word`, in any case, may have LONG_LINE_OCTETS_MAX
 * octets; "": all may; NULL: none, as at the start.  Borrowed. */
void line_reader_allow_long(struct line_reader *r, const char *word);
/* Forget what was heard of an unfinished line and give its block back. */
void line_reader_clear(struct line_reader *r);

/* Take the next line off the front of *input.  The line is valid until the next call, or until the
 * input it lies in goes.  LINE_NEEDS_MORE: *input is empty now, its octets are kept where they
 * matter. */
enum line_result line_next(struct line_reader *r, struct span *input, struct span *line_out);

#endif
