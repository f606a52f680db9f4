/*
 * segments.h - a reply: a list of segments, each octets or a span of an open file.
 *
 * Whoever answers appends; whoever sends takes from the front.  Neither knows the other: a
 * transcript reads the same list that a socket is fed from. Invariants
 *   1. Segments leave in the order in which they were put.
 *   2. File spans that lie side by side become one segment, so that pipelined RETRs of neighbouring
 *      messages go out in one call.
 *   3. Memory for octets comes in blocks from the pool; an empty list holds none.
 *   4. After a failure to get memory `failed` stays set and nothing more is taken in: a reply with
 * a hole in it must not be sent, its connection must end. Ownership: the list owns its octets;
 * files are borrowed and stay open until their segment is gone.
 */
#ifndef IO_BASE_SEGMENTS_H
#define IO_BASE_SEGMENTS_H

#include "io/base/slab.h"
#include "io/base/span.h"

#define SEGMENT_BLOCK_OCTETS      4096u  /* the first block of a reply */
#define SEGMENT_LONG_BLOCK_OCTETS 16384u /* those behind it: a long listing */

struct segment {
	struct segment *next;
	int fd;            /* a file's; -1: octets */
	uint32_t capacity; /* of octets */
	uint64_t offset;   /* where the rest begins: in the file, in octets */
	uint64_t end;      /* where it ends */
	char octets[];
};

/* The memory behind all lists of one thread. */
struct segments_pool {
	struct slab files;
	struct slab blocks;
	struct slab long_blocks;
};

void segments_pool_init(struct segments_pool *p, uint32_t blocks_max);
void segments_pool_destroy(struct segments_pool *p);

struct segments {
	struct segments_pool *pool;
	struct segment *first;
	struct segment *last;
	uint64_t length; /* octets in all, of both kinds */
	bool failed;
};

void segments_init(struct segments *s, struct segments_pool *pool);
/* Drop all that is left. */
void segments_clear(struct segments *s);

void segments_put(struct segments *s, struct span octets);
void segments_put_u64(struct segments *s, uint64_t number);
void segments_put_file(struct segments *s, int fd, uint64_t offset, uint64_t length);

static inline bool
segments_is_empty(const struct segments *s)
{
	return s->first == NULL;
}

/* The octets that are left of an octet segment. */
static inline struct span
segment_octets(const struct segment *g)
{
	return span_of(g->octets + g->offset, (size_t)(g->end - g->offset));
}

/* `count` octets of the first segment (and no more than it has) are gone. */
void segments_advance(struct segments *s, uint64_t count);

#endif
