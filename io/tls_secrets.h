/*
 * tls_secrets.h - the application traffic secrets of a TLS 1.3 session, from which new keys come.
 *
 * RFC 8446, section 7.2: either side may change its keys at any time (KeyUpdate).  When wolfSSL is
 * gone the two current secrets are all that is needed to follow: 64 octets with SHA-256, 96 with
 * SHA-384.  They are wiped with the session, or when a kernel takes it over that takes no new keys
 * (before Linux 6.14).
 *
 * wolfSSL has no call that hands them out in Debian's build, but lets its HKDF be done elsewhere
 * (wolfSSL_CTX_SetHKDFExpandLabelCb): that is where they pass by.
 */
#ifndef IO_TLS_SECRETS_H
#define IO_TLS_SECRETS_H

#include "io/tls_keys.h"

struct WOLFSSL_CTX;
struct tls;
struct tls_context;

enum tls_side {
	TLS_SIDE_CLIENT,
	TLS_SIDE_SERVER,
};

#define TLS_HASH_OCTETS_MIN 32u /* SHA-256 */
#define TLS_HASH_OCTETS_MAX 48u /* SHA-384 */

/* Octets of a secret of this suite (IANA's number, TLS 1.3); 0: not one of ours. */
size_t tls_secret_octets(uint16_t suite);

/* The next secret in the place of this one.  0 or -EINVAL. */
int tls_secret_move_on(uint16_t suite, unsigned char *secret);
/* Its keys, from their first record on.  0 or -EINVAL. */
int tls_secret_derive_keys(
	uint16_t suite, const unsigned char *secret, struct tls_traffic_keys *keys_out);
/* Both: the next secret, and its keys. */
int tls_secret_next_keys(uint16_t suite, unsigned char *secret, struct tls_traffic_keys *keys_out);

/* A session's secrets are the client's and, behind it, the server's.  The one of `side`. */
static inline unsigned char *
tls_secrets_of(unsigned char *s, uint16_t suite, enum tls_side side)
{
	return s + (side == TLS_SIDE_SERVER ? tls_secret_octets(suite) : 0);
}

/* Wipe and give back; NULL is allowed. */
void tls_secrets_free(struct tls_context *x, unsigned char *s, size_t secret_octets);

/* Sessions of this context keep theirs as they are made, if wolfSSL is called between _begin and
 * _end. */
void tls_secrets_listen(struct WOLFSSL_CTX *ctx);
void tls_secrets_begin(struct tls *t);
void tls_secrets_end(void);

#endif
