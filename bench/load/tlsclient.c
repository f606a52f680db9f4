/*
 * tlsclient.c - wolfSSL over two buffers: one fills while the other is on its way to the server.
 */
#include "bench/load/tlsclient.h"

#include <wolfssl/options.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <wolfssl/ssl.h>
#include <wolfssl/wolfcrypt/ecc.h>

struct tlsclient_context {
	WOLFSSL_CTX *ctx;
	WOLFSSL_SESSION *last; /* NULL: none brought a ticket yet */
	bool resume;
	unsigned version;
};

struct buffer {
	char *at;
	size_t length, room;
};

struct tlsclient {
	struct tlsclient_context *context;
	WOLFSSL *ssl;
	struct span input;
	struct buffer filling, leaving;
};

/* It takes everything: wolfSSL 5.5.4 gives up when told twice in one flight to wait. */
static int
put_output(WOLFSSL *ssl, char *octets, int length, void *arg)
{
	struct buffer *b = &((struct tlsclient *)arg)->filling;

	(void)ssl;
	if (b->length + (size_t)length > b->room) {
		size_t room = 2 * (b->length + (size_t)length);
		char *at = realloc(b->at, room);

		if (at == NULL)
			return WOLFSSL_CBIO_ERR_GENERAL;
		b->at = at;
		b->room = room;
	}
	memcpy(b->at + b->length, octets, (size_t)length);
	b->length += (size_t)length;
	return length;
}

static int
get_input(WOLFSSL *ssl, char *to, int size, void *arg)
{
	struct tlsclient *t = arg;
	size_t length = t->input.length < (size_t)size ? t->input.length : (size_t)size;

	(void)ssl;
	if (length == 0)
		return WOLFSSL_CBIO_ERR_WANT_READ;
	memcpy(to, t->input.at, length);
	t->input = span_after(t->input, length);
	return (int)length;
}

static WOLFSSL_METHOD *
method_of(unsigned version)
{
	if (version == 12)
		return wolfTLSv1_2_client_method();
	if (version == 13)
		return wolfTLSv1_3_client_method();
	return wolfTLS_client_method();
}

struct tlsclient_context *
tlsclient_context_make(const struct tlsclient_settings *settings)
{
	struct tlsclient_context *x = calloc(1, sizeof(*x));

	if (x == NULL)
		return NULL;
	wolfSSL_Init();
	x->resume = settings->resume;
	x->version = settings->version;
	x->ctx = wolfSSL_CTX_new(method_of(settings->version));
	if (x->ctx == NULL ||
		(settings->ciphers != NULL &&
			wolfSSL_CTX_set_cipher_list(x->ctx, settings->ciphers) !=
				WOLFSSL_SUCCESS)) {
		tlsclient_context_free(x);
		return NULL;
	}
	wolfSSL_CTX_set_verify(x->ctx, WOLFSSL_VERIFY_NONE, NULL);
	wolfSSL_CTX_set_session_cache_mode(x->ctx, WOLFSSL_SESS_CACHE_OFF);
	wolfSSL_CTX_SetIOSend(x->ctx, put_output);
	wolfSSL_CTX_SetIORecv(x->ctx, get_input);
	if (settings->resume)
		wolfSSL_CTX_UseSessionTicket(x->ctx);
	return x;
}

void
tlsclient_context_free(struct tlsclient_context *x)
{
	if (x == NULL)
		return;
	wolfSSL_SESSION_free(x->last);
	wolfSSL_CTX_free(x->ctx);
	free(x);
}

void
tlsclient_end_thread(void)
{
#ifdef FP_ECC
	wc_ecc_fp_free(); /* tables of multiples, 800 KiB */
#endif
}

struct tlsclient *
tlsclient_make(struct tlsclient_context *x)
{
	struct tlsclient *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return NULL;
	t->context = x;
	t->ssl = wolfSSL_new(x->ctx);
	if (t->ssl == NULL) {
		free(t);
		return NULL;
	}
	wolfSSL_SetIOWriteCtx(t->ssl, t);
	wolfSSL_SetIOReadCtx(t->ssl, t);
	if (x->version != 12)
		wolfSSL_UseKeyShare(t->ssl, WOLFSSL_ECC_X25519);
	if (x->last != NULL)
		wolfSSL_set_session(t->ssl, x->last);
	return t;
}

static void
tlsclient_keep_ticket(struct tlsclient *t)
{
	WOLFSSL_SESSION *session = wolfSSL_get1_session(t->ssl);

	if (session == NULL)
		return;
	wolfSSL_SESSION_free(t->context->last);
	t->context->last = session;
}

void
tlsclient_free(struct tlsclient *t, bool went_well)
{
	if (t == NULL)
		return;
	if (went_well && t->context->resume)
		tlsclient_keep_ticket(t);
	wolfSSL_free(t->ssl);
	free(t->filling.at);
	free(t->leaving.at);
	free(t);
}

void
tlsclient_take(struct tlsclient *t, struct span octets)
{
	t->input = octets;
}

int
tlsclient_handshake(struct tlsclient *t)
{
	if (wolfSSL_connect(t->ssl) == WOLFSSL_SUCCESS)
		return 1;
	return wolfSSL_get_error(t->ssl, 0) == WOLFSSL_ERROR_WANT_READ ? 0 : -EPROTO;
}

bool
tlsclient_was_resumed(const struct tlsclient *t)
{
	return wolfSSL_session_reused(t->ssl) != 0;
}

void
tlsclient_describe(const struct tlsclient *t, char *text_out, size_t size)
{
	snprintf(text_out, size, "%s %s", wolfSSL_get_version(t->ssl),
		wolfSSL_get_cipher_name(t->ssl));
}

ssize_t
tlsclient_read(struct tlsclient *t, char *to, size_t size)
{
	int length = wolfSSL_read(t->ssl, to, (int)size);

	if (length > 0)
		return length;
	switch (wolfSSL_get_error(t->ssl, length)) {
	case WOLFSSL_ERROR_WANT_READ:
		return 0;
	case WOLFSSL_ERROR_ZERO_RETURN:
		return -EPIPE;
	default:
		return -EPROTO;
	}
}

int
tlsclient_write(struct tlsclient *t, struct span octets)
{
	int length = wolfSSL_write(t->ssl, octets.at, (int)octets.length);

	return length == (int)octets.length ? 0 : -EPROTO;
}

struct span
tlsclient_take_output(struct tlsclient *t)
{
	struct buffer empty = t->leaving;

	empty.length = 0;
	t->leaving = t->filling;
	t->filling = empty;
	return span_of(t->leaving.at, t->leaving.length);
}
