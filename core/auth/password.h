/*
 * password.h - does a secret fit a stored hash?
 *
 * Hashes are in crypt(5) form: yescrypt $y$, SHA-512 $6$, SHA-256 $5$, bcrypt $2a$ $2b$ $2y$, MD5
 * $1$, DES; the keys of SCRAM (scram.h); what other servers made (password_legacy.h); or
 * {PLAIN}secret, for tests and for APOP.  One verification costs milliseconds of CPU and, with
 * yescrypt, 16 MiB: it belongs on a worker thread.  All functions may run on any thread.
 *
 * No time shows whether an account exists only if the dummy for unknown names is of the scheme that
 * the accounts use.
 */
#ifndef CORE_AUTH_PASSWORD_H
#define CORE_AUTH_PASSWORD_H

#include "io/base/span.h"
#include "storage/accounts.h"

/* crypt(3) takes no more than this; a longer secret is wrong for every hash. */
#define PASSWORD_SECRET_OCTETS_MAX 511u

/* Returns 0 with the verdict, or a negative errno when it cannot tell ([SYS/TEMP], never "wrong"):
 * -ENOTSUP a scheme that is not accepted, -EINVAL a damaged hash, -ENOMEM.  A secret that is empty,
 * holds NUL or is too long is wrong. */
int password_verify(struct span secret, const char *hash, bool *right_out);

/* A new hash with a fresh salt.  `scheme` as in the settings: yescrypt, scram-sha-256,
 * sha512-crypt, bcrypt, plain (-ENOTSUP: another).  -EINVAL: a secret that password_verify() would
 * call wrong; -ERANGE: above the 72 octets that bcrypt looks at. */
int password_make(
	const char *scheme, struct span secret, char hash_out[ACCOUNT_HASH_OCTETS_MAX + 1]);

/* The hash that is verified in place of an unknown account's: of a secret that nobody knows. */
int password_make_dummy(const char *scheme, char hash_out[ACCOUNT_HASH_OCTETS_MAX + 1]);

/* Is `hash` of a form that password_verify() takes?  Looks at the form only.
 * 0, -ENOTSUP, -EINVAL. */
int password_check_hash(const char *hash);

/* The secret itself, where `hash` holds it as it is ({PLAIN}); else empty.  Lies in `hash`. */
struct span password_plain(const char *hash);

/* "yescrypt", "plain", ...; "unknown". */
const char *password_scheme_name(const char *hash);

#endif
