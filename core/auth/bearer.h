/*
 * bearer.h - what a client says to bring a bearer token: OAUTHBEARER (RFC 7628, section 3.1) and
 * XOAUTH2, its forerunner without a document of its own that mail clients still speak.
 *
 *     n,a=alice@example.org,^Aauth=Bearer <token>^A^A         (^A is octet 1)
 *     user=alice@example.org^Aauth=Bearer <token>^A^A
 *
 * Pure.
 */
#ifndef CORE_AUTH_BEARER_H
#define CORE_AUTH_BEARER_H

#include "io/base/span.h"

struct bearer {
	struct span name;  /* as sent ("=2C" and "=3D" of OAUTHBEARER are in it); may be empty */
	struct span token; /* RFC 6750's b64token */
};

/* False: it is not of that form.  The spans lie within `said`. */
bool bearer_read_oauth(struct span said, struct bearer *bearer_out);
bool bearer_read_xoauth2(struct span said, struct bearer *bearer_out);

/* A saslname (RFC 5801, section 4) to what it stands for; `to` has room for name.length.  Returns
 * how many octets were put, or -EINVAL. */
int bearer_unescape_name(struct span name, char *to);

/* What a wrong token is answered with before the refusal (RFC 7628, section 3.2.2). */
#define BEARER_REFUSAL "{\"status\":\"invalid_token\",\"schemes\":\"bearer\"}"

#endif
