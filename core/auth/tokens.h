/*
 * tokens.h - bearer tokens: whom do they let in?
 *
 * A JSON Web Token is verified with the keys of files (jwt.h), any other asked about where it was
 * made (introspect.h); where only one of both is set, it sees all.
 *
 * Threads: verify from any worker, reload from one thread at any time.
 */
#ifndef CORE_AUTH_TOKENS_H
#define CORE_AUTH_TOKENS_H

#include "core/auth/claims.h"
#include "core/auth/introspect.h"
#include "io/base/span.h"
#include "io/offload.h"

#define TOKENS_WHY_OCTETS 512u

struct tokens;

/* Texts are borrowed for the life of the tokens. */
struct tokens_options {
	const char *const *key_files; /* none: nothing is verified here */
	unsigned key_file_count;
	struct claims_rules rules;
	struct introspect_options introspection; /* url "": nobody is asked */
	unsigned queue_max;                      /* tokens that may wait to be asked about */
	uint64_t cache_ms;                       /* for which what was said of one counts */
};

/* 0 and NULL if neither is set; or a negative errno and one line for the operator in `why`. */
int tokens_open(const struct tokens_options *options, char why[TOKENS_WHY_OCTETS],
	struct tokens **tokens_out);
void tokens_close(struct tokens *t); /* NULL: nothing */
/* Read the files anew.  An error leaves what was. */
int tokens_reload(struct tokens *t, char why[TOKENS_WHY_OCTETS]);
unsigned tokens_key_count(struct tokens *t);

/* Another number after each reload: what was good before it must be verified again. */
unsigned tokens_generation(const struct tokens *t);
/* Who asks about this one; NULL: no more than a signature is to be verified, any worker will do. */
struct offload *tokens_workers(const struct tokens *t, struct span token);
/* 0 and *why_out: NULL if it is good (then *owner_out is set, and for how long that may be
 * remembered), else a word for the log.  Other errors: it could not be found out. */
int tokens_verify(struct tokens *t, struct span token, struct token_owner *owner_out,
	uint64_t *good_ms_out, const char **why_out);

#endif
