/*
 * authenticate.h - one login: from name and secret to a verdict.
 *
 * In three steps, so that a shard never waits: begin() looks the account up and asks the cache of
 * good logins, which answers most; what is left, prove() computes on a worker; finish() is back on
 * the shard.  An unknown name goes the same way with a dummy hash, so that its time tells nothing.
 *
 * Ownership: a struct authenticator belongs to one shard; a struct login_request to its session,
 * and to the worker while prove() runs.  Secrets are wiped when the request ends.
 */
#ifndef CORE_AUTH_AUTHENTICATE_H
#define CORE_AUTH_AUTHENTICATE_H

#include "core/auth/address.h"
#include "core/auth/login_cache.h"
#include "core/auth/password.h"

enum verdict {
	VERDICT_GOOD,
	VERDICT_BAD,         /* no account, wrong secret, disabled: the guest is told the same */
	VERDICT_UNAVAILABLE, /* it could not be found out */
	VERDICT_NEEDS_PROOF, /* not yet: prove(), then finish() */
};

struct authenticator {
	struct address_rules rules;
	struct accounts_reader *accounts;
	struct login_cache *good_logins;
	const char *dummy_hash;
};

struct login_request {
	struct account account;
	char secret[PASSWORD_SECRET_OCTETS_MAX + 1];
	uint32_t secret_octets;
	struct login_proof proof; /* stands for the secret in the cache */
	bool has_proof;
	bool is_known;
	bool is_right;
	int error;
};

/* VERDICT_NEEDS_PROOF or the final verdict.  `name` and `secret` are copied. */
enum verdict authenticate_begin(struct authenticator *a, struct span name, struct span secret,
	uint64_t now_ms, struct login_request *r);
/* On any thread; takes milliseconds. */
void authenticate_prove(struct login_request *r);
enum verdict authenticate_finish(struct authenticator *a, struct login_request *r, uint64_t now_ms);

/* Wipe what was secret.  After a final verdict, or when the request is given up. */
void authenticate_forget(struct login_request *r);

#endif
