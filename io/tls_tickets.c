/*
 * tls_tickets.c - see tls_tickets.h.
 *
 * Key and name are HMAC-SHA-256 of the epoch under the secret; tickets are sealed with
 * ChaCha20-Poly1305, which is quick with and without assembly in the library.  The nonce is random:
 * one key seals far fewer than 2^32 tickets in its 12 hours.
 */
#include "io/tls_tickets.h"

#include "io/base/must.h"

#include <wolfssl/options.h>

#include <errno.h>
#include <sys/random.h>
#include <wolfssl/wolfcrypt/chacha20_poly1305.h>
#include <wolfssl/wolfcrypt/hmac.h>

static_assert(TLS_SECRET_OCTETS == CHACHA20_POLY1305_AEAD_KEYSIZE, "a secret is a key");
static_assert(TLS_SECRET_OCTETS == WC_SHA256_DIGEST_SIZE, "a digest is a key");

static void
derive(const unsigned char *secret, char what, uint64_t epoch, unsigned char *digest_out)
{
	unsigned char input[1 + sizeof(epoch)] = { (unsigned char)what };
	Hmac hmac;

	for (unsigned i = 0; i < sizeof(epoch); i++)
		input[1 + i] = (unsigned char)(epoch >> (8 * i));
	must(wc_HmacInit(&hmac, NULL, INVALID_DEVID) == 0);
	must(wc_HmacSetKey(&hmac, WC_SHA256, secret, TLS_SECRET_OCTETS) == 0);
	must(wc_HmacUpdate(&hmac, input, sizeof(input)) == 0);
	must(wc_HmacFinal(&hmac, digest_out) == 0);
	wc_HmacFree(&hmac);
}

void
tls_ticket_key_derive(const unsigned char secret[TLS_SECRET_OCTETS], uint64_t epoch,
	struct tls_ticket_key *key_out)
{
	unsigned char name[WC_SHA256_DIGEST_SIZE];

	derive(secret, 'n', epoch, name);
	derive(secret, 'k', epoch, key_out->key);
	memcpy(key_out->name, name, TLS_TICKET_NAME_OCTETS);
	key_out->epoch = epoch;
}

int
tls_ticket_seal(const struct tls_ticket_key *key, unsigned char nonce[TLS_TICKET_NONCE_OCTETS],
	unsigned char tag[TLS_TICKET_TAG_OCTETS], unsigned char *ticket, size_t octets)
{
	if (getrandom(nonce, TLS_TICKET_NONCE_OCTETS, 0) != TLS_TICKET_NONCE_OCTETS)
		return -EIO;
	if (wc_ChaCha20Poly1305_Encrypt(key->key, nonce, key->name, TLS_TICKET_NAME_OCTETS, ticket,
		    (word32)octets, ticket, tag) != 0)
		return -EIO;
	return 0;
}

int
tls_ticket_open(const struct tls_ticket_key *key,
	const unsigned char nonce[TLS_TICKET_NONCE_OCTETS],
	const unsigned char tag[TLS_TICKET_TAG_OCTETS], unsigned char *ticket, size_t octets)
{
	if (wc_ChaCha20Poly1305_Decrypt(key->key, nonce, key->name, TLS_TICKET_NAME_OCTETS, ticket,
		    (word32)octets, tag, ticket) != 0)
		return -EBADMSG;
	return 0;
}
