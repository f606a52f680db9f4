/*
 * password_legacy.h - hashes that other servers have made, so that nobody must reset a password.
 *
 * As Dovecot writes them: {SSHA} {SSHA256} {SSHA512} {SHA} {SHA256} {SHA512} (base64; "{SSHA.HEX}"
 * in hexadecimal), {PBKDF2}$1$salt$rounds$hash, {ARGON2ID} and {ARGON2I}.  None of them is ever
 * made here.
 */
#ifndef CORE_AUTH_PASSWORD_LEGACY_H
#define CORE_AUTH_PASSWORD_LEGACY_H

#include "io/base/span.h"
#include "storage/accounts.h"

/* The name of its scheme as the settings would have it, "ssha256"; NULL: it is none of these. */
const char *password_legacy_scheme(const char *hash);
/* Looks at the form: 0, -EINVAL. */
int password_legacy_check(const char *hash);
/* 0, -EINVAL, -ENOMEM. */
int password_legacy_verify(struct span secret, const char *hash, bool *right_out);

/* What an operator or another server writes, in the form in which it is stored:
 * "{SHA512-CRYPT}$6$..." is "$6$...", "{CLEARTEXT}x" is "{PLAIN}x", names of schemes are in
 * capitals.  0; -ENOTSUP: a scheme that is not accepted; -EINVAL: no hash; -ENAMETOOLONG. */
int password_take_hash(const char *text, char hash_out[ACCOUNT_HASH_OCTETS_MAX + 1]);

#endif
