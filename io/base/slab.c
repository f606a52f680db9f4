/*
 * slab.c - see slab.h.
 */
#include "io/base/slab.h"

#include "io/base/must.h"

#include <stdlib.h>

#define PAGE_OCTETS 65536u
#define ALIGNMENT   16u

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
	s->blocks_made = 0;
}

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
	while (count-- > 0) {
		struct slab_free *block = (void *)(page->blocks + count * s->block_octets);

		block->next = s->free;
		s->free = block;
	}
}

void *
slab_take(struct slab *s)
{
	struct slab_free *block;

	if (s->free == NULL)
		slab_grow(s);
	block = s->free;
	if (block == NULL)
		return NULL;
	s->free = block->next;
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
