/*
 * authenticate.h - one login: from a question to its answer.
 *
 * In steps, so that a shard never waits: begin() looks the account up, tries its app passwords and
 * asks the cache of good logins, which answers most; what is left, a look-up in a source that waits or a password hash,
 * work() does on a worker; go_on() is back on the shard, until the answer stands.  An unknown name
 * goes the same way with a dummy hash, so that its time tells nothing.
 *
 * Ownership: a struct authenticator belongs to one shard, its policy is shared and does not change;
 * a struct login_request belongs to its session, and to the worker while work() runs.  Secrets are
 * wiped when the request ends.
 */
#ifndef CORE_AUTH_AUTHENTICATE_H
#define CORE_AUTH_AUTHENTICATE_H

#include "core/auth/account_cache.h"
#include "core/auth/address.h"
#include "core/auth/login.h"
#include "core/auth/login_cache.h"
#include "core/auth/password.h"
#include "core/auth/search.h"
#include "core/auth/tokens.h"

/* What all shards have in common. */
struct login_policy {
	struct address_rules rules;
	struct source *const *sources; /* in the order in which they are asked */
	unsigned source_count;
	struct offload *hashers;   /* workers for password hashes */
	struct accounts *accounts; /* where better hashes are written; NULL: nowhere */
	const char *scheme;        /* of which they are */
	struct tokens *tokens;     /* NULL: no tokens here */
	uint64_t queue_limit_ms;   /* what has waited longer for a worker is not done any more */
	char (*masters)[ACCOUNT_ADDRESS_OCTETS_MAX + 1]; /* may open the maildrops of others */
	unsigned master_count;
	char dummy_hash[ACCOUNT_HASH_OCTETS_MAX + 1]; /* in place of an unknown account's */
	uint8_t dummy_secret[32];                     /* for scram_dummy() */
};

struct authenticator {
	const struct login_policy *policy;
	struct accounts_reader *accounts; /* the spool's, and app passwords of all; NULL: none */
	struct account_cache *said;       /* what the others said; NULL: there are none */
	struct login_cache *good_logins;
	struct search_counts looked_up[SOURCES_MAX]; /* in the order of the sources */
};

struct login_request {
	struct login_question question;
	struct login_answer answer;
	struct account account; /* who proves; of a good answer: whose maildrop it is */
	const char *why;        /* of a bad answer, for the log */
	char app_password[APP_PASSWORD_NAME_OCTETS_MAX + 1]; /* which fits; "": none */
	bool may_not_delete;                                 /* by its scope */
	char secret[PASSWORD_SECRET_OCTETS_MAX + 1];
	uint32_t secret_octets;
	struct scram_keys keys;
	struct login_proof proof; /* stands for the secret in the cache */
	struct token_owner owner; /* of a good token */
	uint64_t good_ms;         /* for so long that is known of it */
	bool has_proof;
	bool is_too_long; /* the secret, for a password */
	bool is_known;
	bool is_right;
	bool proves_token; /* before its account is looked up */
	bool finds_other;  /* the name is proven; the account is looked up that it acts for */
	bool must_find;    /* what work() is to do: a look-up; else a proof */
	struct account_search search; /* its address is "": no possible one */
	const struct login_policy *policy;
	uint64_t asked_ms;
	int error; /* of an answer that could not be found out */
};

/* Name, acts_for, stamp and a token are valid up to the answer; a password or APOP's digest, which
 * may lie in the line, only for this call.
 * True: r->answer stands.  False: work() on one of authenticate_workers(), then go_on(). */
bool authenticate_begin(struct authenticator *a, const struct login_question *question,
	uint64_t now_ms, struct login_request *r);
struct offload *authenticate_workers(const struct login_request *r);
/* On any thread; takes milliseconds, or up to the time limit of a source. */
void authenticate_work(struct login_request *r);
/* True: r->answer stands.  False: as after begin(). */
bool authenticate_go_on(struct authenticator *a, uint64_t now_ms, struct login_request *r);

/* Would what comes next tell whether the secret is right?  It has waited for that until
 * `now_ms`. */
bool authenticate_is_about_to_tell(const struct login_request *r, bool answer_stands);
void authenticate_note_wait(struct login_request *r, uint64_t now_ms);

/* It could not even be asked. */
void authenticate_give_up(struct login_request *r, int error);

/* Wipe what was secret.  After the answer, or when the request is given up. */
void authenticate_forget(struct login_request *r);

#endif
