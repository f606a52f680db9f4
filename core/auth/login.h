/*
 * login.h - the one question that every way to log in comes down to, and its answer.
 *
 * USER/PASS, APOP, each SASL mechanism and a client certificate become a struct login_question;
 * core/auth/authenticate.h answers it.  So all have one policy, one limit and one log event.
 */
#ifndef CORE_AUTH_LOGIN_H
#define CORE_AUTH_LOGIN_H

#include "core/auth/sasl.h"
#include "io/base/span.h"

enum login_kind {
	LOGIN_PASSWORD,  /* is `secret` a password of `name`? */
	LOGIN_APOP,      /* is `secret` MD5 of `stamp` and its password? (RFC 1939, section 7) */
	LOGIN_TOKEN,     /* is `secret` a bearer token for `name`, or for whom, if that is empty? */
	LOGIN_PROVEN,    /* it is `name`: a certificate or SCRAM has shown it; may it log in? */
	LOGIN_DISPROVEN, /* the proof was no good (SCRAM): no, and it counts as a failure */
	LOGIN_KEYS,      /* not a login yet: which SCRAM keys has `name`? */
};

/* Where a client is. */
struct login_peer {
	uint8_t family; /* AF_INET, AF_INET6, AF_UNIX */
	uint8_t address[16];
};

/* Spans are borrowed until the answer (a password: authenticate.h). */
struct login_question {
	enum login_kind kind;
	const char *mechanism; /* for the log: "USER", "PLAIN", ... */
	struct span name;
	struct span acts_for; /* the account whose maildrop is wanted; empty: its own */
	struct span secret;
	struct span stamp;        /* LOGIN_APOP: "<...@...>" */
	enum sasl_mechanism sasl; /* LOGIN_KEYS: of which mechanism */
	struct login_peer peer;   /* a session does not know it: its service sets it */
};

enum login_verdict {
	LOGIN_GOOD,
	LOGIN_BAD,         /* no such account, wrong proof, disabled, not from here: all alike */
	LOGIN_UNAVAILABLE, /* it could not be found out */
	LOGIN_TOO_SOON,    /* LOGIN-DELAY has not passed (RFC 2449, section 6.5) */
	LOGIN_TOO_MANY,    /* the account has as many sessions as it may */
};
#define LOGIN_VERDICTS (LOGIN_TOO_MANY + 1)

struct login_answer {
	enum login_verdict verdict;
	bool may_not_delete;
	const struct scram_keys *keys; /* LOGIN_KEYS: those of a dummy where there are none */
};

#endif
