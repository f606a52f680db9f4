/*
 * maildrop_cache.c - see maildrop_cache.h.
 */
#include "storage/maildrop_cache.h"

#include "io/base/crc32c.h"
#include "io/base/must.h"

#include <errno.h>
#include <stdlib.h>

#define BUCKETS_MIN 1024u

int
maildrop_cache_open(struct maildrop_cache *c, const struct disk *disk, uint32_t unused_max)
{
	*c = (struct maildrop_cache){
		.disk = disk,
		.bucket_count = BUCKETS_MIN,
		.unused_max = unused_max,
	};
	while (c->bucket_count < unused_max && c->bucket_count < 1u << 20)
		c->bucket_count *= 2;
	list_init(&c->unused);
	c->buckets = calloc(c->bucket_count, sizeof(*c->buckets));
	return c->buckets == NULL ? -ENOMEM : 0;
}

static uint32_t
hash_of(const char *address)
{
	return crc32c(0, address, strlen(address));
}

static struct maildrop_hold **
bucket_of(struct maildrop_cache *c, uint32_t hash)
{
	return &c->buckets[hash & (c->bucket_count - 1)];
}

static void
make_unfindable(struct maildrop_cache *c, struct maildrop_hold *h)
{
	struct maildrop_hold **at = bucket_of(c, h->hash);

	if (!h->is_findable)
		return;
	while (*at != h)
		at = &(*at)->next_in_bucket;
	*at = h->next_in_bucket;
	h->is_findable = false;
}

static void
drop(struct maildrop_cache *c, struct maildrop_hold *h)
{
	must(h->holders == 0);
	make_unfindable(c, h);
	maildrop_close(c->disk, h->maildrop);
	content_marks_free(&h->content);
	free(h);
}

static void
drop_unused(struct maildrop_cache *c, struct maildrop_hold *h)
{
	list_remove(&h->unused_item);
	c->unused_count--;
	drop(c, h);
}

void
maildrop_cache_close(struct maildrop_cache *c)
{
	while (!list_is_empty(&c->unused))
		drop_unused(c, container_of(c->unused.next, struct maildrop_hold, unused_item));
	free(c->buckets);
	c->buckets = NULL;
}

struct maildrop_hold *
maildrop_cache_find(struct maildrop_cache *c, const char *address)
{
	uint32_t hash = hash_of(address);
	struct maildrop_hold *h = *bucket_of(c, hash);

	while (h != NULL && (h->hash != hash || strcmp(h->maildrop->address, address) != 0))
		h = h->next_in_bucket;
	if (h == NULL)
		return NULL;
	if (!maildrop_is_current(c->disk, h->maildrop)) {
		if (h->holders == 0)
			drop_unused(c, h);
		else
			make_unfindable(c, h);
		return NULL;
	}
	if (h->holders++ == 0) {
		list_remove(&h->unused_item);
		c->unused_count--;
	}
	return h;
}

struct maildrop_hold *
maildrop_cache_add(struct maildrop_cache *c, struct maildrop *m)
{
	uint32_t hash = hash_of(m->address);
	struct maildrop_hold **bucket = bucket_of(c, hash);
	struct maildrop_hold *h = malloc(sizeof(*h));

	if (h == NULL)
		return NULL;
	*h = (struct maildrop_hold){ .maildrop = m, .holders = 1, .hash = hash };
	list_init(&h->unused_item);
	if (m->log_fd < 0)
		return h; /* an empty maildrop has nothing to ask whether it still is */
	for (struct maildrop_hold *old = *bucket; old != NULL; old = old->next_in_bucket)
		if (old->hash == hash && strcmp(old->maildrop->address, m->address) == 0) {
			/* Two sessions opened it at the same time; the later view serves on. */
			if (old->holders == 0)
				drop_unused(c, old);
			else
				make_unfindable(c, old);
			break;
		}
	h->is_findable = true;
	h->next_in_bucket = *bucket;
	*bucket = h;
	return h;
}

void
maildrop_cache_release(struct maildrop_cache *c, struct maildrop_hold *h, uint64_t now_ms)
{
	must(h->holders > 0);
	if (--h->holders > 0)
		return;
	if (!h->is_findable || c->unused_max == 0) {
		drop(c, h);
		return;
	}
	if (c->unused_count == c->unused_max)
		drop_unused(c, container_of(c->unused.next, struct maildrop_hold, unused_item));
	h->unused_since_ms = now_ms;
	list_append(&c->unused, &h->unused_item);
	c->unused_count++;
}

void
maildrop_cache_disown(struct maildrop_cache *c, struct maildrop_hold *h)
{
	make_unfindable(c, h);
}

void
maildrop_cache_sweep(struct maildrop_cache *c, uint64_t now_ms)
{
	while (!list_is_empty(&c->unused)) {
		struct maildrop_hold *h =
			container_of(c->unused.next, struct maildrop_hold, unused_item);

		if (now_ms - h->unused_since_ms < MAILDROP_CACHE_KEEP_MS)
			return;
		drop_unused(c, h);
	}
}

bool
maildrop_cache_shrink(struct maildrop_cache *c)
{
	uint32_t count = (c->unused_count + 1) / 2;

	for (uint32_t i = 0; i < count; i++)
		drop_unused(c, container_of(c->unused.next, struct maildrop_hold, unused_item));
	return count > 0;
}
