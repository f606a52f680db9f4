/*
 * scram.h - what is stored of a password for SCRAM (RFC 5802, RFC 7677), as text:
 *
 *     {SCRAM-SHA-256}4096,<salt>,<stored key>,<server key>      the last three in base64
 *
 * (the form Dovecot uses, so hashes move over as they are).  The keys prove a client's knowledge of
 * the password and do not let anybody log in who reads them; a password sent in the open can be
 * checked against them too.
 */
#ifndef CORE_AUTH_SCRAM_H
#define CORE_AUTH_SCRAM_H

#include "core/auth/sasl.h"
#include "storage/accounts.h"

#define SCRAM_ITERATIONS 4096u /* RFC 7677, section 4: at least; what new keys are made with */

enum scram_hash {
	SCRAM_SHA_256,
	SCRAM_SHA_1,
};

enum scram_hash scram_hash_of(enum sasl_mechanism mechanism);

/* Is it stored for SCRAM at all?  True, and for which hash. */
bool scram_is_stored(const char *stored, enum scram_hash *hash_out);
/* 0; -ENOENT: stored for something else; -EINVAL: damaged. */
int scram_read(const char *stored, enum scram_hash hash, struct scram_keys *keys_out);
/* Keys as text. */
int scram_print(
	const struct scram_keys *keys, enum scram_hash hash, char to[ACCOUNT_HASH_OCTETS_MAX + 1]);

/* The keys of a password, prepared by SASLprep (RFC 4013), with the salt and the iterations that
 * *keys already has.  Milliseconds.  0; -EINVAL: SASLprep does not allow it; -ENOMEM. */
int scram_derive(struct span password, enum scram_hash hash, struct scram_keys *keys);
/* The same with a new salt. */
int scram_make(struct span password, enum scram_hash hash, struct scram_keys *keys_out);

/* Is it the password that the keys were made of?  Milliseconds.  0, -ENOMEM. */
int scram_verify(
	struct span password, enum scram_hash hash, const struct scram_keys *keys, bool *right_out);

/* For a name without keys: some that nothing fits, the same each time, so that nobody can tell.
 * `secret`: 32 octets that only the server knows.  0, -EIO. */
int scram_dummy(struct span name, const uint8_t secret[32], struct scram_keys *keys_out);

#endif
