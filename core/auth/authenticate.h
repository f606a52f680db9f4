/*
 * authenticate.h - one login: from a question to its answer.
 *
 * In three steps, so that a shard never waits: begin() looks the account up and asks the cache of
 * good logins, which answers most; what is left, prove() computes on a worker; finish() is back on
 * the shard.  An unknown name goes the same way with a dummy hash, so that its time tells nothing.
 *
 * Ownership: a struct authenticator belongs to one shard, its policy is shared and does not change; a
 * struct login_request belongs to its session, and to the worker while prove() runs.  Secrets are
 * wiped when the request ends.
 */
#ifndef CORE_AUTH_AUTHENTICATE_H
#define CORE_AUTH_AUTHENTICATE_H

#include "core/auth/address.h"
#include "core/auth/login.h"
#include "core/auth/login_cache.h"
#include "core/auth/password.h"

/* What all shards have in common. */
struct login_policy {
	struct address_rules rules;
	char (*masters)[ACCOUNT_ADDRESS_OCTETS_MAX + 1]; /* may open the maildrops of others */
	unsigned master_count;
	char dummy_hash[ACCOUNT_HASH_OCTETS_MAX + 1]; /* in place of an unknown account's */
	uint8_t dummy_secret[32];                     /* for scram_dummy() */
};

struct authenticator {
	const struct login_policy *policy;
	struct accounts_reader *accounts;
	struct login_cache *good_logins;
};

struct login_request {
	struct login_question question; /* its spans are valid up to the answer */
	struct login_answer answer;
	struct account account; /* who proves; of a good answer: whose maildrop it is */
	const char *why;        /* of a bad answer, for the log */
	char secret[PASSWORD_SECRET_OCTETS_MAX + 1];
	uint32_t secret_octets;
	struct scram_keys keys;
	struct login_proof proof; /* stands for the secret in the cache */
	bool has_proof;
	bool is_known;
	bool is_right;
	int error; /* of an answer that could not be found out */
};

/* True: r->answer stands.  False: prove(), then finish(). */
bool authenticate_begin(struct authenticator *a, const struct login_question *question,
	uint64_t now_ms, struct login_request *r);
/* On any thread; takes milliseconds. */
void authenticate_prove(struct login_request *r);
void authenticate_finish(struct authenticator *a, uint64_t now_ms, struct login_request *r);

/* It could not even be asked. */
void authenticate_give_up(struct login_request *r, int error);

/* Wipe what was secret.  After the answer, or when the request is given up. */
void authenticate_forget(struct login_request *r);

#endif
