/*
 * introspect.h - what the server that made a token says of it (RFC 7662), asked by HTTP.
 *
 * Each question waits for an answer, up to the time limit; for workers of its own.  A connection is
 * kept for each of them.  A server that cannot be asked, or that answers with anything but the JSON
 * object that is due, has said nothing of the token: that is an error, never a refusal.
 *
 * Threads: introspect_verify() from as many at once as there are connections.
 */
#ifndef CORE_AUTH_INTROSPECT_H
#define CORE_AUTH_INTROSPECT_H

#include "core/auth/claims.h"
#include "io/base/span.h"

#define INTROSPECT_WHY_OCTETS      512u
#define INTROSPECT_CONNECTIONS_MAX 64u

struct introspect;

/* Texts are borrowed for its life. */
struct introspect_options {
	const char *url;
	const char *credentials; /* a file with "name:secret"; "": none are sent */
	const char *ca_file;     /* of who may certify the server; "": whom the system trusts */
	unsigned connections;
	unsigned time_limit_ms;
};

/* 0, or a negative errno and one line for the operator in `why`. */
int introspect_open(const struct introspect_options *options, char why[INTROSPECT_WHY_OCTETS],
	struct introspect **introspect_out);
void introspect_close(struct introspect *i);
/* Read the file with the credentials anew; an error leaves the old ones. */
int introspect_reload(struct introspect *i, char why[INTROSPECT_WHY_OCTETS]);

/* 0 and *why_out: NULL if it is good (then *owner_out is set), else a word for the log.
 * -ETIMEDOUT, -ECONNREFUSED, -EKEYREJECTED (its certificate), -EACCES (it refuses us), -EPROTO,
 * -EBADMSG, -ENOMEM: nothing was said of it. */
int introspect_verify(struct introspect *i, const struct claims_rules *rules, struct span token,
	int64_t now, struct token_owner *owner_out, const char **why_out);

#endif
