/*
 * login_cache.c - a set-associative table of digests.
 *
 * proof = keyed BLAKE2b (RFC 7693, 32 octets) of length address, length secret, length hash,
 * lengths as 4 octets each so that no two logins run together: a fifth of HMAC-SHA256's
 * instructions, and one proof is made for each login.  Of its 32 octets 8 choose the set and 24 are
 * kept: an entry is 32 octets, a set of eight four cache lines.
 *
 * Invariants
 *   1. A digest is compared as a whole, in a time that does not depend on where it differs.
 *   2. An entry counts while now < expires_ms; 0 marks one that was never used.  A hit does not
 *      lengthen its life: after `seconds` a login is verified in earnest again.
 */
#include "core/auth/login_cache.h"

#include "io/base/must.h"

/* wolfSSL's options must come before all of its headers. */
#include <wolfssl/options.h>

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <wolfssl/wolfcrypt/blake2.h>

#define KEY_OCTETS    32
#define DIGEST_OCTETS 32
#define KEPT_OCTETS   24
#define WAYS          8

struct entry {
	uint8_t digest[KEPT_OCTETS];
	uint64_t expires_ms;
};

struct set {
	struct entry ways[WAYS];
};
static_assert(sizeof(struct set) == WAYS * 32, "an entry is 32 octets");
static_assert(sizeof(struct login_proof) == DIGEST_OCTETS, "a proof is one digest");
static_assert(KEPT_OCTETS + sizeof(uint64_t) == DIGEST_OCTETS, "all of a digest is used");

struct login_cache {
	Blake2b keyed; /* a copy of it begins every proof */
	uint64_t lifetime_ms;
	uint64_t set_mask;
	size_t set_count; /* a power of two; 0: remembers nothing */
	struct set *sets;
};

static size_t
sets_for(unsigned entries)
{
	size_t count = 1;

	while (count * WAYS < entries)
		count *= 2;
	return count;
}

/* Pages of our own: zeroed, given back whole, and left out of core dumps. */
static int
make_sets(struct login_cache *c, unsigned entries)
{
	size_t count = sets_for(entries);
	void *sets = mmap(NULL, count * sizeof(struct set), PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (sets == MAP_FAILED)
		return -ENOMEM;
	(void)madvise(sets, count * sizeof(struct set), MADV_DONTDUMP);
	c->sets = sets;
	c->set_count = count;
	c->set_mask = count - 1;
	return 0;
}

static int
set_key(struct login_cache *c)
{
	uint8_t key[KEY_OCTETS];
	int error = 0;

	if (getrandom(key, sizeof(key), 0) != (ssize_t)sizeof(key) ||
		wc_InitBlake2b_WithKey(&c->keyed, DIGEST_OCTETS, key, sizeof(key)) != 0)
		error = -EIO;
	explicit_bzero(key, sizeof(key));
	return error;
}

int
login_cache_create(unsigned entries, unsigned seconds, struct login_cache **cache_out)
{
	struct login_cache *c = calloc(1, sizeof(*c));
	int error;

	if (c == NULL)
		return -ENOMEM;
	c->lifetime_ms = (uint64_t)seconds * 1000;
	error = set_key(c);
	if (error == 0 && entries > 0 && seconds > 0)
		error = make_sets(c, entries);
	if (error != 0) {
		login_cache_destroy(c);
		return error;
	}
	*cache_out = c;
	return 0;
}

void
login_cache_destroy(struct login_cache *c)
{
	if (c->sets != NULL) {
		explicit_bzero(c->sets, c->set_count * sizeof(struct set));
		munmap(c->sets, c->set_count * sizeof(struct set));
	}
	explicit_bzero(c, sizeof(*c));
	free(c);
}

static int
update(Blake2b *digest, struct span s)
{
	uint8_t length[4] = {
		(uint8_t)s.length,
		(uint8_t)(s.length >> 8),
		(uint8_t)(s.length >> 16),
		(uint8_t)(s.length >> 24),
	};

	if (s.length > UINT32_MAX || wc_Blake2bUpdate(digest, length, sizeof(length)) != 0 ||
		wc_Blake2bUpdate(digest, (const byte *)s.at, (word32)s.length) != 0)
		return -EIO;
	return 0;
}

int
login_cache_prove(const struct login_cache *c, struct span address, struct span secret,
	struct span stored_hash, struct login_proof *proof_out)
{
	Blake2b digest = c->keyed;
	int error = 0;

	if (update(&digest, address) != 0 || update(&digest, secret) != 0 ||
		update(&digest, stored_hash) != 0 ||
		wc_Blake2bFinal(&digest, proof_out->digest, DIGEST_OCTETS) != 0)
		error = -EIO;
	explicit_bzero(&digest, sizeof(digest)); /* it holds the key and the secret */
	return error;
}

static struct set *
set_of(const struct login_cache *c, const struct login_proof *proof)
{
	uint64_t place;

	memcpy(&place, proof->digest + KEPT_OCTETS, sizeof(place));
	return &c->sets[place & c->set_mask];
}

static bool
digests_are_equal(const uint8_t *a, const uint8_t *b)
{
	uint8_t difference = 0;

	for (size_t i = 0; i < KEPT_OCTETS; i++)
		difference |= (uint8_t)(a[i] ^ b[i]);
	return difference == 0;
}

bool
login_cache_find(const struct login_cache *c, const struct login_proof *proof, uint64_t now_ms)
{
	const struct set *set;
	bool found = false;

	if (c->set_count == 0)
		return false;
	set = set_of(c, proof);
	for (size_t i = 0; i < WAYS; i++)
		found |= digests_are_equal(set->ways[i].digest, proof->digest) &&
			now_ms < set->ways[i].expires_ms;
	return found;
}

/* The entry of the same login if there is one, else the one that would expire first. */
static struct entry *
choose_entry(struct set *set, const struct login_proof *proof)
{
	struct entry *first = &set->ways[0];

	for (size_t i = 0; i < WAYS; i++) {
		struct entry *e = &set->ways[i];

		if (digests_are_equal(e->digest, proof->digest))
			return e;
		if (e->expires_ms < first->expires_ms)
			first = e;
	}
	return first;
}

void
login_cache_add(struct login_cache *c, const struct login_proof *proof, uint64_t now_ms)
{
	login_cache_add_for(c, proof, now_ms, UINT64_MAX);
}

void
login_cache_add_for(
	struct login_cache *c, const struct login_proof *proof, uint64_t now_ms, uint64_t good_ms)
{
	struct entry *e;

	if (c->set_count == 0)
		return;
	e = choose_entry(set_of(c, proof), proof);
	memcpy(e->digest, proof->digest, KEPT_OCTETS);
	e->expires_ms = now_ms + (good_ms < c->lifetime_ms ? good_ms : c->lifetime_ms);
}
