/*
 * account_cache.h - what sources that wait have said of accounts, for one shard.
 *
 * A full set forgets what was said longest ago.  One allocation at start, left out of core dumps,
 * for it holds password hashes.  One thread.
 */
#ifndef CORE_AUTH_ACCOUNT_CACHE_H
#define CORE_AUTH_ACCOUNT_CACHE_H

#include "storage/accounts.h"

struct account_cache;

/* Room for `entries` accounts (rounded up to a power of two).  -ENOMEM, -EIO (no random octets). */
int account_cache_open(unsigned entries, struct account_cache **cache_out);
void account_cache_close(struct account_cache *c);

/* What `source` said of `address` at most `age_ms` ago; false: nothing. */
bool account_cache_find(struct account_cache *c, unsigned source, const char *address,
	uint64_t now_ms, uint64_t age_ms, struct account *account_out);
void account_cache_put(struct account_cache *c, unsigned source, const char *address,
	uint64_t now_ms, const struct account *account);
/* It is not there any more. */
void account_cache_drop(struct account_cache *c, unsigned source, const char *address);

#endif
