/*
 * segments.c - see segments.h.
 */
#include "io/base/segments.h"

#include "io/base/must.h"

void
segments_pool_init(struct segments_pool *p, uint32_t blocks_max)
{
	slab_init(&p->files, sizeof(struct segment), blocks_max);
	slab_init(&p->blocks, SEGMENT_BLOCK_OCTETS, blocks_max);
	slab_init(&p->long_blocks, SEGMENT_LONG_BLOCK_OCTETS, blocks_max);
}

void
segments_pool_destroy(struct segments_pool *p)
{
	slab_destroy(&p->files);
	slab_destroy(&p->blocks);
	slab_destroy(&p->long_blocks);
}

void
segments_init(struct segments *s, struct segments_pool *pool)
{
	*s = (struct segments){ .pool = pool };
}

static struct slab *
home_of(struct segments *s, const struct segment *g)
{
	if (g->fd >= 0)
		return &s->pool->files;
	if (g->capacity == SEGMENT_BLOCK_OCTETS - sizeof(struct segment))
		return &s->pool->blocks;
	return &s->pool->long_blocks;
}

static void
drop_first(struct segments *s)
{
	struct segment *g = s->first;

	s->first = g->next;
	if (s->first == NULL)
		s->last = NULL;
	slab_give(home_of(s, g), g);
}

void
segments_clear(struct segments *s)
{
	while (s->first != NULL)
		drop_first(s);
	s->length = 0;
}

static struct segment *
append(struct segments *s, struct slab *from)
{
	struct segment *g = slab_take(from);

	if (g == NULL) {
		s->failed = true;
		return NULL;
	}
	*g = (struct segment){ .fd = -1 };
	if (s->last == NULL)
		s->first = g;
	else
		s->last->next = g;
	s->last = g;
	return g;
}

/* The block that takes the next octets; NULL without memory. */
static struct segment *
block_with_room(struct segments *s)
{
	struct segment *g = s->last;
	bool is_long = g != NULL && g->fd < 0;

	if (is_long && g->end < g->capacity)
		return g;
	g = append(s, is_long ? &s->pool->long_blocks : &s->pool->blocks);
	if (g == NULL)
		return NULL;
	g->capacity =
		(is_long ? SEGMENT_LONG_BLOCK_OCTETS : SEGMENT_BLOCK_OCTETS) - (uint32_t)sizeof(*g);
	return g;
}

void
segments_put(struct segments *s, struct span octets)
{
	while (octets.length > 0 && !s->failed) {
		struct segment *g = block_with_room(s);
		size_t fit;

		if (g == NULL)
			return;
		fit = g->capacity - g->end;
		if (fit > octets.length)
			fit = octets.length;
		memcpy(g->octets + g->end, octets.at, fit);
		g->end += fit;
		s->length += fit;
		octets = span_after(octets, fit);
	}
}

void
segments_put_u64(struct segments *s, uint64_t number)
{
	char digits[SPAN_U64_DIGITS_MAX];

	segments_put(s, span_of(digits, span_put_u64(number, digits)));
}

void
segments_put_file(struct segments *s, int fd, uint64_t offset, uint64_t length)
{
	struct segment *g = s->last;

	must(fd >= 0);
	if (length == 0 || s->failed)
		return;
	if (g != NULL && g->fd == fd && g->end == offset) {
		g->end += length;
		s->length += length;
		return;
	}
	g = append(s, &s->pool->files);
	if (g == NULL)
		return;
	g->fd = fd;
	g->offset = offset;
	g->end = offset + length;
	s->length += length;
}

void
segments_advance(struct segments *s, uint64_t count)
{
	struct segment *g = s->first;

	must(g != NULL && count <= g->end - g->offset);
	g->offset += count;
	s->length -= count;
	if (g->offset == g->end)
		drop_first(s);
}
