/*
 * handshakes.c - TLS handshakes and records of the wolfSSL that the house is linked with.
 *
 *   build/release/bench/micro/handshakes [--json]           Debian's library
 *   build/release-tuned/bench/micro/handshakes [--json]     its sources built for speed
 */
#include <wolfssl/options.h>

#include "bench/micro/handshakes.h"

#include <wolfssl/ssl.h>
#include <wolfssl/wolfcrypt/aes.h>
#include <wolfssl/wolfcrypt/chacha20_poly1305.h>

#define NONCE_OCTETS   12
#define TAG_OCTETS     16
#define KEY_OCTETS_MAX 32

struct context {
	WOLFSSL_CTX *ctx;
	WOLFSSL_SESSION *kept; /* a client's; NULL: none yet */
	enum group group;
};

static const char *
name(void)
{
	static char text[40];

	snprintf(text, sizeof(text), "wolfSSL %s", wolfSSL_lib_version());
	return text;
}

static int
put_output(WOLFSSL *ssl, char *octets, int length, void *arg)
{
	struct tls_end *end = arg;

	(void)ssl;
	pipe_put(end->out, octets, (size_t)length);
	return length;
}

static int
get_input(WOLFSSL *ssl, char *to, int size, void *arg)
{
	struct tls_end *end = arg;
	size_t length = pipe_get(end->in, to, (size_t)size);

	(void)ssl;
	return length == 0 ? WOLFSSL_CBIO_ERR_WANT_READ : (int)length;
}

/* Tickets as a server with several shards must make them: by a callback, under a key of its own. */
static int
seal_ticket(WOLFSSL *ssl, unsigned char key_name[WOLFSSL_TICKET_NAME_SZ],
	unsigned char iv[WOLFSSL_TICKET_IV_SZ], unsigned char mac[WOLFSSL_TICKET_MAC_SZ],
	int encrypt, unsigned char *ticket, int length, int *length_out, void *arg)
{
	static const unsigned char key[CHACHA20_POLY1305_AEAD_KEYSIZE] =
		"a key that secures nothing";
	static uint64_t count;

	(void)ssl;
	(void)arg;
	*length_out = length;
	if (!encrypt)
		return wc_ChaCha20Poly1305_Decrypt(key, iv, key_name, WOLFSSL_TICKET_NAME_SZ,
			       ticket, (word32)length, mac, ticket) == 0
			? WOLFSSL_TICKET_RET_OK
			: WOLFSSL_TICKET_RET_REJECT;
	memset(key_name, 'k', WOLFSSL_TICKET_NAME_SZ);
	memset(iv, 0, WOLFSSL_TICKET_IV_SZ);
	memset(mac, 0, WOLFSSL_TICKET_MAC_SZ);
	count++;
	memcpy(iv, &count, sizeof(count));
	must(wc_ChaCha20Poly1305_Encrypt(key, iv, key_name, WOLFSSL_TICKET_NAME_SZ, ticket,
		     (word32)length, ticket, mac) == 0);
	return WOLFSSL_TICKET_RET_OK;
}

static void
use_certificate(WOLFSSL_CTX *ctx, enum certificate certificate)
{
	bool ecdsa = certificate == CERTIFICATE_ECDSA;
	const char *chain = ecdsa ? ecdsa_certificate : rsa_certificate;
	const char *key = ecdsa ? ecdsa_key : rsa_key;

	must(wolfSSL_CTX_use_certificate_chain_buffer(
		     ctx, (const unsigned char *)chain, (long)strlen(chain)) == WOLFSSL_SUCCESS);
	must(wolfSSL_CTX_use_PrivateKey_buffer(ctx, (const unsigned char *)key, (long)strlen(key),
		     WOLFSSL_FILETYPE_PEM) == WOLFSSL_SUCCESS);
}

static void *
context_make(enum side side, enum certificate certificate, enum group group)
{
	struct context *x = calloc(1, sizeof(*x));

	must(x != NULL);
	x->group = group;
	x->ctx = wolfSSL_CTX_new(
		side == SIDE_SERVER ? wolfTLSv1_3_server_method() : wolfTLSv1_3_client_method());
	must(x->ctx != NULL);
	wolfSSL_CTX_SetIOSend(x->ctx, put_output);
	wolfSSL_CTX_SetIORecv(x->ctx, get_input);
	wolfSSL_CTX_set_session_cache_mode(x->ctx, WOLFSSL_SESS_CACHE_OFF);
	if (side == SIDE_CLIENT) {
		wolfSSL_CTX_set_verify(x->ctx, WOLFSSL_VERIFY_NONE, NULL);
		must(wolfSSL_CTX_UseSessionTicket(x->ctx) == WOLFSSL_SUCCESS);
	} else {
		use_certificate(x->ctx, certificate);
		must(wolfSSL_CTX_set_TicketEncCb(x->ctx, seal_ticket) == WOLFSSL_SUCCESS);
	}
	must(wolfSSL_CTX_set_cipher_list(x->ctx, "TLS13-AES128-GCM-SHA256") == WOLFSSL_SUCCESS);
	return x;
}

static void
context_free(void *context)
{
	struct context *x = context;

	wolfSSL_SESSION_free(x->kept);
	wolfSSL_CTX_free(x->ctx);
	free(x);
}

static void *
end_make(void *context, enum side side, struct tls_end *end)
{
	struct context *x = context;
	WOLFSSL *ssl = wolfSSL_new(x->ctx);

	must(ssl != NULL);
	wolfSSL_SetIOWriteCtx(ssl, end);
	wolfSSL_SetIOReadCtx(ssl, end);
	if (side == SIDE_SERVER)
		return ssl;
	must(wolfSSL_UseKeyShare(
		     ssl, x->group == GROUP_X25519 ? WOLFSSL_ECC_X25519 : WOLFSSL_ECC_SECP256R1) ==
		WOLFSSL_SUCCESS);
	if (x->kept != NULL)
		must(wolfSSL_set_session(ssl, x->kept) == WOLFSSL_SUCCESS);
	return ssl;
}

static enum step
handshake(void *ssl, enum side side)
{
	int result = side == SIDE_SERVER ? wolfSSL_accept(ssl) : wolfSSL_connect(ssl);

	if (result == WOLFSSL_SUCCESS)
		return STEP_DONE;
	must(wolfSSL_get_error(ssl, result) == WOLFSSL_ERROR_WANT_READ);
	return STEP_WAITS;
}

static bool
was_resumed(void *ssl)
{
	return wolfSSL_session_reused(ssl) != 0;
}

static void
keep_session(void *ssl, void *context)
{
	struct context *x = context;
	char octet;

	must(wolfSSL_read(ssl, &octet, 1) < 0);
	must(wolfSSL_get_error(ssl, 0) == WOLFSSL_ERROR_WANT_READ);
	wolfSSL_SESSION_free(x->kept);
	x->kept = wolfSSL_get1_session(ssl);
	must(x->kept != NULL);
}

static void
end_free(void *ssl)
{
	wolfSSL_free(ssl);
}

struct sealer {
	enum cipher cipher;
	Aes aes;
	unsigned char key[KEY_OCTETS_MAX];
	uint64_t nonce;
};

static void *
sealer_make(enum cipher cipher)
{
	struct sealer *s = calloc(1, sizeof(*s));

	must(s != NULL);
	s->cipher = cipher;
	memset(s->key, 'k', sizeof(s->key));
	if (cipher == CIPHER_CHACHA20_POLY1305)
		return s;
	must(wc_AesInit(&s->aes, NULL, INVALID_DEVID) == 0);
	must(wc_AesGcmSetKey(&s->aes, s->key, cipher == CIPHER_AES_128_GCM ? 16 : 32) == 0);
	return s;
}

static void
seal(void *sealer, unsigned char *record)
{
	struct sealer *s = sealer;
	unsigned char nonce[NONCE_OCTETS] = { 0 }, tag[TAG_OCTETS], header[5] = { 23 };

	s->nonce++;
	memcpy(nonce, &s->nonce, sizeof(s->nonce));
	if (s->cipher == CIPHER_CHACHA20_POLY1305)
		must(wc_ChaCha20Poly1305_Encrypt(s->key, nonce, header, sizeof(header), record,
			     RECORD_OCTETS, record, tag) == 0);
	else
		must(wc_AesGcmEncrypt(&s->aes, record, record, RECORD_OCTETS, nonce, sizeof(nonce),
			     tag, sizeof(tag), header, sizeof(header)) == 0);
}

static void
sealer_free(void *sealer)
{
	struct sealer *s = sealer;

	if (s->cipher != CIPHER_CHACHA20_POLY1305)
		wc_AesFree(&s->aes);
	free(s);
}

int
main(int argc, char **argv)
{
	static const struct tls_library library = {
		.name = name,
		.context_make = context_make,
		.context_free = context_free,
		.end_make = end_make,
		.handshake = handshake,
		.was_resumed = was_resumed,
		.keep_session = keep_session,
		.end_free = end_free,
		.sealer_make = sealer_make,
		.seal = seal,
		.sealer_free = sealer_free,
	};

	must(wolfSSL_Init() == WOLFSSL_SUCCESS);
	return handshakes_main(&library, argc, argv);
}
