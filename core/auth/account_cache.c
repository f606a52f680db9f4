/*
 * account_cache.c - see account_cache.h.  A set-associative table; the hash of an address is keyed,
 * so that nobody can choose names that fall into one set.
 */
#include "core/auth/account_cache.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>

#define WAYS 4u

struct entry {
	uint64_t said_ms; /* 0: empty */
	unsigned source;
	char asked[ACCOUNT_ADDRESS_OCTETS_MAX + 1];
	struct account account;
};

struct account_cache {
	uint64_t key;
	size_t set_count; /* a power of two */
	struct entry *entries;
};

static size_t
table_octets(const struct account_cache *c)
{
	return c->set_count * WAYS * sizeof(struct entry);
}

int
account_cache_open(unsigned entries, struct account_cache **cache_out)
{
	struct account_cache *c = calloc(1, sizeof(*c));
	void *table;

	if (c == NULL)
		return -ENOMEM;
	c->set_count = 1;
	while (c->set_count * WAYS < entries)
		c->set_count *= 2;
	if (getrandom(&c->key, sizeof(c->key), 0) != (ssize_t)sizeof(c->key)) {
		free(c);
		return -EIO;
	}
	table = mmap(
		NULL, table_octets(c), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (table == MAP_FAILED) {
		free(c);
		return -ENOMEM;
	}
	(void)madvise(table, table_octets(c), MADV_DONTDUMP);
	c->entries = table;
	*cache_out = c;
	return 0;
}

void
account_cache_close(struct account_cache *c)
{
	if (c == NULL)
		return;
	munmap(c->entries, table_octets(c));
	free(c);
}

static struct entry *
set_of(const struct account_cache *c, const char *address)
{
	uint64_t hash = c->key;

	for (; *address != '\0'; address++) {
		hash = (hash ^ (unsigned char)*address) * 0x9e3779b97f4a7c15u;
		hash ^= hash >> 29;
	}
	return &c->entries[(hash & (c->set_count - 1)) * WAYS];
}

static struct entry *
find(const struct account_cache *c, unsigned source, const char *address)
{
	struct entry *set = set_of(c, address);

	for (unsigned i = 0; i < WAYS; i++) {
		if (set[i].said_ms != 0 && set[i].source == source &&
			strcmp(set[i].asked, address) == 0)
			return &set[i];
	}
	return NULL;
}

bool
account_cache_find(struct account_cache *c, unsigned source, const char *address, uint64_t now_ms,
	uint64_t age_ms, struct account *account_out)
{
	const struct entry *e = find(c, source, address);

	if (e == NULL || now_ms - e->said_ms > age_ms)
		return false;
	*account_out = e->account;
	return true;
}

void
account_cache_put(struct account_cache *c, unsigned source, const char *address, uint64_t now_ms,
	const struct account *account)
{
	struct entry *e = find(c, source, address);
	struct entry *set = set_of(c, address);

	if (e == NULL) {
		e = set;
		for (unsigned i = 1; i < WAYS; i++) {
			if (set[i].said_ms < e->said_ms)
				e = &set[i];
		}
	}
	e->said_ms = now_ms != 0 ? now_ms : 1;
	e->source = source;
	strcpy(e->asked, address);
	e->account = *account;
}

void
account_cache_drop(struct account_cache *c, unsigned source, const char *address)
{
	struct entry *e = find(c, source, address);

	if (e != NULL)
		explicit_bzero(e, sizeof(*e));
}
