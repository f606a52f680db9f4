/*
 * maildrop_cache.h - the open maildrops of one shard.
 *
 * Sessions of one account share a snapshot, and a snapshot outlives its last session for a while:
 * the next poll of that account finds it, asks the open log with one fstat(2) whether it is still
 * the whole truth, and reads nothing.  A maildrop that changed is opened anew; whoever holds the
 * old snapshot keeps it. Invariants
 *   1. At most one hold for an address is findable; others are on their way out.
 *   2. Nothing without sessions stays longer than MAILDROP_CACHE_KEEP_MS: its lock keeps dead space
 * from being punched, and its descriptor a removed file from being freed. Ownership: the cache owns
 * the snapshots; a hold is lent from find() or add() until release().  One thread.
 */
#ifndef STORAGE_MAILDROP_CACHE_H
#define STORAGE_MAILDROP_CACHE_H

#include "io/base/list.h"
#include "storage/content.h"

#define MAILDROP_CACHE_KEEP_MS 60000u

struct maildrop_hold {
	struct maildrop *maildrop;
	struct content_marks content; /* messages that were found good */
	struct maildrop_hold *next_in_bucket;
	struct list unused_item; /* while nobody holds it */
	uint64_t unused_since_ms;
	uint32_t holders;
	uint32_t hash;
	bool is_findable;
};

struct maildrop_cache {
	const struct disk *disk;
	struct maildrop_hold **buckets;
	uint32_t bucket_count; /* a power of two */
	uint32_t unused_count;
	uint32_t unused_max;
	struct list unused; /* the one unused longest first */
};

/* `unused_max`: how many maildrops may stay open without a session; 0: none.  0 or -ENOMEM. */
int maildrop_cache_open(struct maildrop_cache *c, const struct disk *disk, uint32_t unused_max);
/* Nothing may be held any more. */
void maildrop_cache_close(struct maildrop_cache *c);

/* A hold on the snapshot of `address` if there is one and it is current; NULL: open it,
 * then add(). */
struct maildrop_hold *maildrop_cache_find(struct maildrop_cache *c, const char *address);
/* Hand over a snapshot that was just opened and get a hold on it; NULL: no memory, *m stays the
 * caller's. */
struct maildrop_hold *maildrop_cache_add(struct maildrop_cache *c, struct maildrop *m);
void maildrop_cache_release(struct maildrop_cache *c, struct maildrop_hold *h, uint64_t now_ms);

/* This session is about to change the maildrop: nobody shall find the snapshot any more. */
void maildrop_cache_disown(struct maildrop_cache *c, struct maildrop_hold *h);

/* Close what nobody has used for MAILDROP_CACHE_KEEP_MS. */
void maildrop_cache_sweep(struct maildrop_cache *c, uint64_t now_ms);

/* Descriptors are short: close half of what is unused; false: there is nothing to close. */
bool maildrop_cache_shrink(struct maildrop_cache *c);

#endif
