/*
 * slab.h - blocks of one size for one thread.
 *
 * A slab hands out equal blocks and takes them back in LIFO order, so that the next user finds a
 * warm one.  It grows by pages of many blocks up to a limit and never gives memory back before
 * slab_destroy(): what one busy minute needed, the next may need.
 *
 * Ownership: the slab owns all blocks; a taken block is lent until slab_give().  One thread only.
 */
#ifndef IO_BASE_SLAB_H
#define IO_BASE_SLAB_H

#include <stddef.h>
#include <stdint.h>

struct slab_page;
struct slab_free;

struct slab {
	size_t block_octets;
	uint32_t blocks_max;
	uint32_t blocks_made;
	uint32_t blocks_taken;
	uint32_t blocks_per_page;
	struct slab_free *free;
	char *fresh; /* blocks of the newest page that were never taken */
	uint32_t fresh_count;
	struct slab_page *pages;
};

void slab_init(struct slab *s, size_t block_octets, uint32_t blocks_max);
void slab_destroy(struct slab *s);

/* A block with undefined content, aligned to 16 octets; NULL at the limit or without memory. */
void *slab_take(struct slab *s);
void slab_give(struct slab *s, void *block);

#endif
