/*
 * login_cache.h - good logins of a short while ago, so that a poller costs no new password hash.
 *
 * An entry is a keyed digest of address, secret and the account's stored hash, with a time limit.
 * The stored hash takes part so that a changed password counts at once, and a hit never needs the
 * account's word.  Neither secret nor address is held, and the key is drawn anew for each cache:
 * what a digest stands for cannot be told without the process's own memory.
 *
 * Only good logins are remembered.  A login that is not found must be verified; a full set forgets
 * the entry that would expire first.
 *
 * Threads: one cache for each shard, not shared.  Memory: one allocation at start, none later.
 */
#ifndef CORE_AUTH_LOGIN_CACHE_H
#define CORE_AUTH_LOGIN_CACHE_H

#include "io/base/span.h"

#include <stdint.h>

struct login_cache;

/* What stands for one login.  It may wait (for a worker's verdict) where the secret should not. */
struct login_proof {
	uint8_t digest[32];
};

/* Remembers up to `entries` logins (rounded up to a power of two) for `seconds` each; 0 for
 * either: remembers nothing.  -ENOMEM, -EIO (no random octets). */
int login_cache_create(unsigned entries, unsigned seconds, struct login_cache **cache_out);
void login_cache_destroy(struct login_cache *c);

/* The proof of a login: account's canonical address, secret as given, account's stored hash.  0, or
 * -EIO: the digest could not be made, verify without the cache. */
int login_cache_prove(const struct login_cache *c, struct span address, struct span secret,
	struct span stored_hash, struct login_proof *proof_out);

/* Was this login good within the time limit?  `now_ms` is a clock that never goes back. */
bool login_cache_find(
	const struct login_cache *c, const struct login_proof *proof, uint64_t now_ms);

/* It was, just now. */
void login_cache_add(struct login_cache *c, const struct login_proof *proof, uint64_t now_ms);
/* The same, and it counts for `good_ms` at most. */
void login_cache_add_for(
	struct login_cache *c, const struct login_proof *proof, uint64_t now_ms, uint64_t good_ms);

#endif
