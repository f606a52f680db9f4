/*
 * sasl.h - one SASL exchange (RFC 4422), the server's side.
 *
 * Responses go in, challenges come out, and the return value says what must happen next:
 *
 *   CHALLENGE  send sasl_challenge(), then give the client's answer to sasl_step()
 *   FIND       look up the SCRAM keys of sasl_identity().name, then sasl_found()
 *   VERIFY     check sasl_identity().name with its secret, then sasl_verified()
 *   TOKEN      check the bearer token in sasl_identity().secret, then sasl_verified()
 *   PROVEN     the client is who sasl_identity().name says; whether that account exists and may
 *              log in, and may act for sasl_identity().acts_for, is for others to say
 *   REFUSED    the proof is wrong
 *   MALFORMED  this is not how the mechanism speaks
 *   NO_MEMORY  it could not be found out
 *
 * PLAIN, LOGIN, EXTERNAL and the SCRAM family are spoken by GNU SASL, the two bearer mechanisms
 * here.  No I/O, no clock; cheap enough for a shard: what costs time (password hashes, look-ups,
 * signatures) is what FIND, VERIFY and TOKEN ask for.
 *
 * Ownership: the exchange owns all it was told and wipes it in sasl_close().  One thread at a time.
 */
#ifndef CORE_AUTH_SASL_H
#define CORE_AUTH_SASL_H

#include "io/base/span.h"

#include <stdbool.h>
#include <stdint.h>

enum sasl_mechanism {
	SASL_SCRAM_SHA_256_PLUS, /* in the order in which a client should prefer them */
	SASL_SCRAM_SHA_256,
	SASL_SCRAM_SHA_1,
	SASL_PLAIN,
	SASL_LOGIN,
	SASL_EXTERNAL,
	SASL_OAUTHBEARER,
	SASL_XOAUTH2,
	SASL_MECHANISMS, /* how many */
};

/* A set of mechanisms. */
#define SASL_BIT(mechanism) (1u << (mechanism))
/* What they send is the secret itself: never in clear (RFC 4422, section 6.1.2). */
#define SASL_SHOWS_SECRET                                                                          \
	(SASL_BIT(SASL_PLAIN) | SASL_BIT(SASL_LOGIN) | SASL_BIT(SASL_OAUTHBEARER) |                \
		SASL_BIT(SASL_XOAUTH2))

#define SASL_EXPORTER_OCTETS 32u  /* RFC 9266, section 2 */
#define SASL_NAME_OCTETS_MAX 254u /* of a certificate: an address */

enum sasl_next {
	SASL_NEXT_CHALLENGE,
	SASL_NEXT_FIND,
	SASL_NEXT_VERIFY,
	SASL_NEXT_TOKEN,
	SASL_NEXT_PROVEN,
	SASL_NEXT_REFUSED,
	SASL_NEXT_MALFORMED,
	SASL_NEXT_NO_MEMORY,
};

/* What the connection knows of the client. */
struct sasl_facts {
	struct span exporter;         /* tls-exporter, SASL_EXPORTER_OCTETS; empty: none */
	const char *certificate_name; /* verified; NULL: none */
};

struct sasl_identity {
	struct span name;     /* who says so; empty with a bearer token: the token tells */
	struct span acts_for; /* another account that is to be opened; empty: its own */
	struct span secret;   /* password or token */
};

/* What the server keeps of a password for SCRAM (RFC 5802, section 3); as many octets of the keys
 * as the mechanism's hash has. */
#define SCRAM_SALT_OCTETS_MAX 32u
#define SCRAM_KEY_OCTETS_MAX  32u
#define SCRAM_ITERATIONS_MAX  10000000u

struct scram_keys {
	uint32_t iterations;
	uint8_t salt_octets;
	uint8_t salt[SCRAM_SALT_OCTETS_MAX];
	uint8_t stored_key[SCRAM_KEY_OCTETS_MAX];
	uint8_t server_key[SCRAM_KEY_OCTETS_MAX];
};

struct sasl;

const char *sasl_mechanism_name(enum sasl_mechanism mechanism);
/* Names with blanks between them, in any case, to a set; false: one is unknown. */
bool sasl_mechanisms_read(const char *names, unsigned *set_out);
/* False: no such mechanism. */
bool sasl_mechanism_find(struct span name, enum sasl_mechanism *mechanism_out);

/* Begin.  `facts` are copied.  0, -ENOMEM. */
int sasl_open(
	enum sasl_mechanism mechanism, const struct sasl_facts *facts, struct sasl **sasl_out);
void sasl_close(struct sasl *s);

/* The client has not said anything yet: no initial response. */
enum sasl_next sasl_begin(struct sasl *s);
/* What it said, in base64; "=" stands for an empty one (RFC 5034, section 4). */
enum sasl_next sasl_step(struct sasl *s, struct span base64);

/* CHALLENGE: in base64, possibly empty; valid until the next call. */
struct span sasl_challenge(const struct sasl *s);

/* FIND, VERIFY, TOKEN, PROVEN; valid until sasl_close(). */
struct sasl_identity sasl_identity(const struct sasl *s);

/* FIND: the keys, those of a dummy for an unknown name. */
enum sasl_next sasl_found(struct sasl *s, const struct scram_keys *keys);
/* VERIFY and TOKEN: is it right?  A wrong token is first explained to the client: CHALLENGE. */
enum sasl_next sasl_verified(struct sasl *s, bool is_right);

#endif
