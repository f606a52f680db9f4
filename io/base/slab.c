/*
 * slab.c - see slab.h.
 */
#include "io/base/slab.h"

#include "io/base/must.h"

#include <stdlib.h>

#define PAGE_OCTETS                                                                                \
	(256u * 1024) /* large, for malloc() may pad what it gives by a page of its own */
#define ALIGNMENT 16u

struct slab_free {
	struct slab_free *next;
};

struct slab_page {
	struct slab_page *next;
	_Alignas(ALIGNMENT) char blocks[];
};

void
slab_init(struct slab *s, size_t block_octets, uint32_t blocks_max)
{
	size_t rounded = (block_octets + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
	size_t fit = (PAGE_OCTETS - sizeof(struct slab_page)) / rounded;

	*s = (struct slab){
		.block_octets = rounded,
		.blocks_max = blocks_max,
		.blocks_per_page = fit > 4 ? (uint32_t)fit : 4,
	};
}

void
slab_destroy(struct slab *s)
{
	must(s->blocks_taken == 0);
	while (s->pages != NULL) {
		struct slab_page *page = s->pages;

		s->pages = page->next;
		free(page);
	}
	s->free = NULL;
	s->fresh_count = 0;
	s->blocks_made = 0;
}

/* A page of fresh blocks; none at the limit or without memory. */
static void
slab_grow(struct slab *s)
{
	uint32_t count = s->blocks_per_page;
	struct slab_page *page;

	if (count > s->blocks_max - s->blocks_made)
		count = s->blocks_max - s->blocks_made;
	if (count == 0)
		return;
	page = malloc(sizeof(*page) + count * s->block_octets);
	if (page == NULL)
		return;
	page->next = s->pages;
	s->pages = page;
	s->blocks_made += count;
	s->fresh = page->blocks;
	s->fresh_count = count;
}

static void *
take_fresh(struct slab *s)
{
	void *block = s->fresh;

	if (s->fresh_count == 0)
		return NULL;
	s->fresh += s->block_octets;
	s->fresh_count--;
	return block;
}

void *
slab_take(struct slab *s)
{
	struct slab_free *block = s->free;

	if (block != NULL) {
		s->free = block->next;
	} else {
		if (s->fresh_count == 0)
			slab_grow(s);
		block = take_fresh(s);
	}
	if (block != NULL)
		s->blocks_taken++;
	return block;
}

void
slab_give(struct slab *s, void *block)
{
	struct slab_free *returned = block;

	must(s->blocks_taken > 0);
	returned->next = s->free;
	s->free = returned;
	s->blocks_taken--;
}
