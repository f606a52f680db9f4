/*
 * handshakes_openssl.c - the same handshakes and records by OpenSSL, what we measure ourselves
 * against.
 *
 *   build/release/bench/micro/handshakes_openssl [--json]
 *
 * Built only where libssl-dev is installed; nothing of the house knows OpenSSL.
 */
#include "bench/micro/handshakes.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#define NONCE_OCTETS   12
#define TAG_OCTETS     16
#define KEY_OCTETS_MAX 32

struct context {
	SSL_CTX *ctx;
	SSL_SESSION *kept; /* a client's; NULL: none yet */
};

static const char *
name(void)
{
	return OpenSSL_version(OPENSSL_VERSION);
}

/* A BIO over the driver's buffers, as the house hands wolfSSL its own. */
static int
put_output(BIO *bio, const char *octets, size_t length, size_t *length_out)
{
	struct tls_end *end = BIO_get_data(bio);

	pipe_put(end->out, octets, length);
	*length_out = length;
	return 1;
}

static int
get_input(BIO *bio, char *to, size_t size, size_t *length_out)
{
	struct tls_end *end = BIO_get_data(bio);

	BIO_clear_retry_flags(bio);
	*length_out = pipe_get(end->in, to, size);
	if (*length_out == 0)
		BIO_set_retry_read(bio);
	return *length_out > 0;
}

static long
control(BIO *bio, int command, long number, void *pointer)
{
	(void)bio;
	(void)number;
	(void)pointer;
	return command == BIO_CTRL_FLUSH;
}

static BIO_METHOD *
memory_method(void)
{
	static BIO_METHOD *method;

	if (method != NULL)
		return method;
	method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "memory");
	must(method != NULL);
	BIO_meth_set_write_ex(method, put_output);
	BIO_meth_set_read_ex(method, get_input);
	BIO_meth_set_ctrl(method, control);
	return method;
}

static BIO *
pem_bio(const char *text)
{
	BIO *bio = BIO_new_mem_buf(text, -1);

	must(bio != NULL);
	return bio;
}

static void
use_certificate(SSL_CTX *ctx, enum certificate certificate)
{
	bool ecdsa = certificate == CERTIFICATE_ECDSA;
	BIO *chain_text = pem_bio(ecdsa ? ecdsa_certificate : rsa_certificate);
	BIO *key_text = pem_bio(ecdsa ? ecdsa_key : rsa_key);
	X509 *chain = PEM_read_bio_X509(chain_text, NULL, NULL, NULL);
	EVP_PKEY *key = PEM_read_bio_PrivateKey(key_text, NULL, NULL, NULL);

	must(chain != NULL && key != NULL);
	must(SSL_CTX_use_certificate(ctx, chain) == 1);
	must(SSL_CTX_use_PrivateKey(ctx, key) == 1);
	X509_free(chain);
	EVP_PKEY_free(key);
	BIO_free(chain_text);
	BIO_free(key_text);
}

static void *
context_make(enum side side, enum certificate certificate, enum group group)
{
	struct context *x = calloc(1, sizeof(*x));

	must(x != NULL);
	x->ctx = SSL_CTX_new(side == SIDE_SERVER ? TLS_server_method() : TLS_client_method());
	must(x->ctx != NULL);
	must(SSL_CTX_set_min_proto_version(x->ctx, TLS1_3_VERSION) == 1);
	must(SSL_CTX_set_ciphersuites(x->ctx, "TLS_AES_128_GCM_SHA256") == 1);
	must(SSL_CTX_set1_groups_list(x->ctx, group == GROUP_X25519 ? "X25519" : "P-256") == 1);
	SSL_CTX_set_session_cache_mode(x->ctx, SSL_SESS_CACHE_OFF);
	if (side == SIDE_SERVER) {
		use_certificate(x->ctx, certificate);
		must(SSL_CTX_set_num_tickets(x->ctx, 1) == 1);
	}
	return x;
}

static void
context_free(void *context)
{
	struct context *x = context;

	SSL_SESSION_free(x->kept);
	SSL_CTX_free(x->ctx);
	free(x);
}

static void *
end_make(void *context, enum side side, struct tls_end *end)
{
	struct context *x = context;
	SSL *ssl = SSL_new(x->ctx);
	BIO *bio = BIO_new(memory_method());

	must(ssl != NULL && bio != NULL);
	BIO_set_data(bio, end);
	BIO_set_init(bio, 1);
	SSL_set_bio(ssl, bio, bio);
	if (side == SIDE_CLIENT && x->kept != NULL)
		must(SSL_set_session(ssl, x->kept) == 1);
	return ssl;
}

static enum step
handshake(void *ssl, enum side side)
{
	int result = side == SIDE_SERVER ? SSL_accept(ssl) : SSL_connect(ssl);

	if (result == 1)
		return STEP_DONE;
	must(SSL_get_error(ssl, result) == SSL_ERROR_WANT_READ);
	return STEP_WAITS;
}

static bool
was_resumed(void *ssl)
{
	return SSL_session_reused(ssl) != 0;
}

static void
keep_session(void *ssl, void *context)
{
	struct context *x = context;
	char octet;
	int result = SSL_read(ssl, &octet, 1);

	must(result <= 0 && SSL_get_error(ssl, result) == SSL_ERROR_WANT_READ);
	SSL_SESSION_free(x->kept);
	x->kept = SSL_get1_session(ssl);
	must(x->kept != NULL && SSL_SESSION_is_resumable(x->kept));
}

/* As a session that ended well: OpenSSL takes a ticket of no other. */
static void
end_free(void *ssl)
{
	SSL_set_shutdown(ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	SSL_free(ssl);
}

struct sealer {
	EVP_CIPHER_CTX *evp;
	uint64_t nonce;
};

static void *
sealer_make(enum cipher cipher)
{
	const EVP_CIPHER *const ciphers[] = {
		[CIPHER_AES_128_GCM] = EVP_aes_128_gcm(),
		[CIPHER_AES_256_GCM] = EVP_aes_256_gcm(),
		[CIPHER_CHACHA20_POLY1305] = EVP_chacha20_poly1305(),
	};
	struct sealer *s = calloc(1, sizeof(*s));
	unsigned char key[KEY_OCTETS_MAX];

	must(s != NULL);
	memset(key, 'k', sizeof(key));
	s->evp = EVP_CIPHER_CTX_new();
	must(s->evp != NULL && EVP_EncryptInit_ex(s->evp, ciphers[cipher], NULL, key, NULL) == 1);
	return s;
}

static void
seal(void *sealer, unsigned char *record)
{
	struct sealer *s = sealer;
	unsigned char nonce[NONCE_OCTETS] = { 0 }, tag[TAG_OCTETS], header[5] = { 23 };
	int length;

	s->nonce++;
	memcpy(nonce, &s->nonce, sizeof(s->nonce));
	must(EVP_EncryptInit_ex(s->evp, NULL, NULL, NULL, nonce) == 1);
	must(EVP_EncryptUpdate(s->evp, NULL, &length, header, sizeof(header)) == 1);
	must(EVP_EncryptUpdate(s->evp, record, &length, record, (int)RECORD_OCTETS) == 1);
	must(EVP_EncryptFinal_ex(s->evp, record + length, &length) == 1);
	must(EVP_CIPHER_CTX_ctrl(s->evp, EVP_CTRL_AEAD_GET_TAG, sizeof(tag), tag) == 1);
}

static void
sealer_free(void *sealer)
{
	struct sealer *s = sealer;

	EVP_CIPHER_CTX_free(s->evp);
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

	return handshakes_main(&library, argc, argv);
}
