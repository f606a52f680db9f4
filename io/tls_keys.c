/*
 * tls_keys.c - see tls_keys.h.
 *
 * wolfSSL's GetSequenceNumber calls return no error code but whether the number is 0.
 */
#include "io/tls_keys.h"

#include <wolfssl/options.h>

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <wolfssl/ssl.h>

enum tls_aead
tls_aead_of(uint16_t suite)
{
	switch (suite) {
	case 0x1301:
	case 0xc02b:
	case 0xc02f:
		return TLS_AEAD_AES_128_GCM;
	case 0x1302:
	case 0xc02c:
	case 0xc030:
		return TLS_AEAD_AES_256_GCM;
	case 0x1303:
	case 0xcca8:
	case 0xcca9:
		return TLS_AEAD_CHACHA20_POLY1305;
	default:
		return TLS_AEAD_NONE;
	}
}

size_t
tls_aead_key_octets(enum tls_aead aead)
{
	return aead == TLS_AEAD_AES_128_GCM ? 16 : TLS_KEY_OCTETS_MAX;
}

/* In TLS 1.2 the IV of AES-GCM is its salt alone. */
static int
copy_keys(const struct tls_keys *k, const unsigned char *key, const unsigned char *iv,
	uint64_t sequence, struct tls_traffic_keys *to)
{
	bool is_salt = k->version == 12 && k->aead != TLS_AEAD_CHACHA20_POLY1305;

	if (key == NULL || iv == NULL)
		return -EOPNOTSUPP;
	memcpy(to->key, key, tls_aead_key_octets((enum tls_aead)k->aead));
	memcpy(to->iv, iv, is_salt ? TLS_SALT_OCTETS : TLS_IV_OCTETS);
	to->sequence = sequence;
	return 0;
}

int
tls_keys_read(struct WOLFSSL *ssl, uint16_t suite, uint8_t version, struct tls_keys *keys_out)
{
	word64 in = 0, out = 0;
	int error;

	*keys_out = (struct tls_keys){
		.suite = suite,
		.version = version,
		.aead = (uint8_t)tls_aead_of(suite),
	};
	if (keys_out->aead == TLS_AEAD_NONE)
		return -EOPNOTSUPP;
	(void)wolfSSL_GetPeerSequenceNumber(ssl, &in);
	(void)wolfSSL_GetSequenceNumber(ssl, &out);
	error = copy_keys(keys_out, wolfSSL_GetClientWriteKey(ssl), wolfSSL_GetClientWriteIV(ssl),
		in, &keys_out->in);
	if (error == 0)
		error = copy_keys(keys_out, wolfSSL_GetServerWriteKey(ssl),
			wolfSSL_GetServerWriteIV(ssl), out, &keys_out->out);
	if (error != 0)
		explicit_bzero(keys_out, sizeof(*keys_out));
	return error;
}
