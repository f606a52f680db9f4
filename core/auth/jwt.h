/*
 * jwt.h - JSON Web Tokens (RFC 7519) signed by keys we know: are they what they say, and whose?
 *
 * Signatures, PEM files and key sets (RFC 7517) are read by Rhonabwy, which knows of what type a
 * key is; so no public key can be taken for the secret of an HMAC.  What it is lenient in is
 * checked before: base64url without anything else, objects without a name twice, no critical
 * extension (RFC 7515, section 4.1.11), no key that a token brings along or points to.
 *
 * Ownership: a set of keys is counted, does not change, and is shared by threads.
 */
#ifndef CORE_AUTH_JWT_H
#define CORE_AUTH_JWT_H

#include "core/auth/claims.h"
#include "io/base/span.h"

#define JWT_WHY_OCTETS 512u
#define JWT_KEYS_MAX   64u

struct jwt_keys;

/* Of files, each one public key or certificate in PEM form, or a JSON Web Key Set.  0, or a
 * negative errno and one line for the operator in `why`. */
int jwt_keys_load(const char *const *paths, unsigned count, char why[JWT_WHY_OCTETS],
	struct jwt_keys **keys_out);
struct jwt_keys *jwt_keys_share(struct jwt_keys *keys);
void jwt_keys_release(struct jwt_keys *keys); /* NULL: nothing */
unsigned jwt_keys_count(const struct jwt_keys *keys);

/* Three parts with dots between them: an opaque token does not look like that. */
bool jwt_looks_like_one(struct span token);

/* 0 and *why_out: NULL if it is good (then *owner_out is set), else a word for the log.  -ENOMEM:
 * it could not be found out.  `now` in seconds since 1970.  Takes 0.1 ms or so; for workers. */
int jwt_verify(const struct jwt_keys *keys, const struct claims_rules *rules, struct span token,
	int64_t now, struct token_owner *owner_out, const char **why_out);

#endif
