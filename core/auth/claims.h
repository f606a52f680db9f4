/*
 * claims.h - what a token must say of itself, in its own claims (RFC 7519, section 4.1) or in the
 * words of the server that made it (RFC 7662, section 2.2): they have the same names.
 *
 * Pure.
 */
#ifndef CORE_AUTH_CLAIMS_H
#define CORE_AUTH_CLAIMS_H

#include "storage/accounts.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* Clocks differ by so much. */
#define CLAIMS_LEEWAY_S 30

/* Texts are borrowed. */
struct claims_rules {
	const char *issuer;   /* "": any */
	const char *audience; /* that must be among the token's; "": any */
	const char *account;  /* the claim that names the account */
};

/* Whose token it is. */
struct token_owner {
	char name[ACCOUNT_ADDRESS_OCTETS_MAX + 1]; /* as the token has it */
	int64_t expires_at;                        /* seconds since 1970; INT64_MAX: not said */
};

/* NULL: all is as it must be, and *owner_out is set.  Else a word for the log, "token_...". */
const char *claims_check(const json_t *claims, const struct claims_rules *rules, bool must_expire,
	int64_t now, struct token_owner *owner_out);

#endif
