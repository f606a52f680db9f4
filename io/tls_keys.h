/*
 * tls_keys.h - what the two sides of a session seal and open with, once wolfSSL has agreed upon it.
 *
 * After the handshake this is all that is left of TLS: it goes to the kernel (tls_kernel.h), or
 * records are made of it here (tls_records.h).  Suites are IANA's numbers; those we agree to
 * (tls_context.c) are of three ciphers, all of them AEADs, in TLS 1.2 and 1.3.
 */
#ifndef IO_TLS_KEYS_H
#define IO_TLS_KEYS_H

#include <stddef.h>
#include <stdint.h>

struct WOLFSSL;

#define TLS_KEY_OCTETS_MAX 32u
#define TLS_IV_OCTETS      12u
#define TLS_SALT_OCTETS    4u /* of AES-GCM in TLS 1.2: the front of the IV, and all of it */

enum tls_aead {
	TLS_AEAD_NONE, /* a suite that is none of ours */
	TLS_AEAD_AES_128_GCM,
	TLS_AEAD_AES_256_GCM,
	TLS_AEAD_CHACHA20_POLY1305,
};

enum tls_aead tls_aead_of(uint16_t suite);
size_t tls_aead_key_octets(enum tls_aead aead);

/* One direction, RFC 8446, section 7.3. */
struct tls_traffic_keys {
	uint64_t sequence; /* of the next record */
	unsigned char key[TLS_KEY_OCTETS_MAX];
	unsigned char iv[TLS_IV_OCTETS];
};

struct tls_keys {
	struct tls_traffic_keys in;
	struct tls_traffic_keys out;
	uint16_t suite;
	uint8_t aead;    /* enum tls_aead */
	uint8_t version; /* 12 or 13 */
};

/* Those of a session of ours whose handshake is done, as they are now.  0; -EOPNOTSUPP: the library
 * does not tell them, or the suite is none of ours. */
int tls_keys_read(struct WOLFSSL *ssl, uint16_t suite, uint8_t version, struct tls_keys *keys_out);

#endif
