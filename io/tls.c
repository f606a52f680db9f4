/*
 * tls.c - one TLS session over memory, up to the end of its handshake; see tls.h.
 *
 * Invariants
 *   1. wolfSSL is given whole records only (input_at to input_whole), so what it has not been given
 *      begins with a record for whoever comes behind it.
 *   2. The send callback takes everything: wolfSSL 5.5.4 fails when told twice in one flight to
 * wait.
 *   3. A buffer is held only while it holds something.
 */
#include "io/tls.h"

#include "io/base/must.h"
#include "io/tls_internal.h"

#include <wolfssl/options.h>

#include <errno.h>
#include <wolfssl/error-ssl.h>
#include <wolfssl/ssl.h>
#include <wolfssl/wolfcrypt/error-crypt.h>

/* ---- words --------------------------------------------------------------------------------- */

const char *
tls_failure_word(enum tls_failure failure)
{
	static const char *const words[] = {
		[TLS_FAILURE_NONE] = "none",
		[TLS_FAILURE_NOT_TLS] = "not_tls",
		[TLS_FAILURE_VERSION] = "version",
		[TLS_FAILURE_CIPHER] = "cipher",
		[TLS_FAILURE_ALPN] = "alpn",
		[TLS_FAILURE_CERTIFICATE] = "client_certificate",
		[TLS_FAILURE_ALERT] = "alert",
		[TLS_FAILURE_CLOSED] = "closed",
		[TLS_FAILURE_DEADLINE] = "deadline",
		[TLS_FAILURE_KTLS] = "ktls",
		[TLS_FAILURE_MEMORY] = "memory",
		[TLS_FAILURE_OTHER] = "other",
	};

	static_assert(array_count(words) == TLS_FAILURES, "a word for each failure");
	return words[failure];
}

const char *
tls_version_word(const struct tls_facts *facts)
{
	return facts->version == 13 ? "1.3" : facts->version == 12 ? "1.2" : "no";
}

const char *
tls_suite_word(const struct tls_facts *facts)
{
	if (facts->suite == 0)
		return "none";
	switch (tls_aead_of(facts->suite)) {
	case TLS_AEAD_NONE:
		break;
	case TLS_AEAD_AES_128_GCM:
		return "AES-128-GCM";
	case TLS_AEAD_AES_256_GCM:
		return "AES-256-GCM";
	case TLS_AEAD_CHACHA20_POLY1305:
		return "CHACHA20-POLY1305";
	}
	return "other";
}

const char *
tls_records_word(const struct tls_facts *facts)
{
	static const char *const words[] = {
		[TLS_RECORDS_BY_KERNEL] = "kernel",
		[TLS_RECORDS_KTLS_OFF] = "setting",
		[TLS_RECORDS_NO_KTLS] = "no_kernel_support",
		[TLS_RECORDS_CIPHER] = "cipher",
		[TLS_RECORDS_REFUSED] = "error",
		[TLS_RECORDS_NO_OCCASION] = "no_occasion",
	};

	static_assert(array_count(words) == TLS_RECORDS, "a word for each");
	return facts->suite == 0 ? "none" : words[facts->records];
}

static enum tls_failure
failure_of(int error)
{
	switch (error) {
	case VERSION_ERROR:
	case UNSUPPORTED_PROTO_VERSION:
		return TLS_FAILURE_VERSION;
	case MATCH_SUITE_ERROR:
	case UNSUPPORTED_SUITE:
		return TLS_FAILURE_CIPHER;
	case UNKNOWN_ALPN_PROTOCOL_NAME_E:
		return TLS_FAILURE_ALPN;
	case NO_PEER_CERT:
	case NO_PEER_VERIFY:
	case VERIFY_CERT_ERROR:
	case ASN_NO_SIGNER_E:
	case ASN_BEFORE_DATE_E:
	case ASN_AFTER_DATE_E:
	case ASN_SIG_CONFIRM_E:
	case ASN_SELF_SIGNED_E:
		return TLS_FAILURE_CERTIFICATE;
	case FATAL_ERROR:
		return TLS_FAILURE_ALERT;
	case MEMORY_E:
		return TLS_FAILURE_MEMORY;
	default:
		return TLS_FAILURE_OTHER;
	}
}

/* ---- life ---------------------------------------------------------------------------------- */

struct tls *
tls_make(struct tls_context *x, const char *alpn, void *owner, void (*run)(struct deferred *turn))
{
	struct tls *t = slab_take(&x->sessions);

	if (t == NULL)
		return NULL;
	*t = (struct tls){ .context = x, .owner = owner, .alpn = alpn, .is_handshaking = true };
	deferred_init(&t->turn, run);
	return t;
}

void
tls_release_input(struct tls *t)
{
	if (t->input != NULL)
		slab_give(&t->context->inputs, t->input);
	t->input = NULL;
	t->input_at = t->input_whole = t->input_end = 0;
	t->plain_at = t->plain_end = 0;
}

bool
tls_hold_output(struct tls *t)
{
	if (t->output == NULL)
		t->output = slab_take(&t->context->outputs);
	return t->output != NULL;
}

void
tls_release_output(struct tls *t)
{
	if (t->output != NULL)
		slab_give(&t->context->outputs, t->output);
	t->output = NULL;
	t->output_at = t->output_end = 0;
}

void
tls_free(struct tls *t)
{
	deferred_forget(&t->turn);
	tls_context_count_out(t);
	wolfSSL_free(t->ssl);
	tls_secrets_free(t->context, t->secrets, t->secret_octets);
	if (t->keys.aead != TLS_AEAD_NONE)
		tls_cipher_forget(t->context->cipher);
	explicit_bzero(&t->keys, sizeof(t->keys));
	if (t->failure != TLS_FAILURE_NONE)
		wolfSSL_ERR_clear_error(); /* a thread's queue of errors only grows */
	tls_release_input(t);
	tls_release_output(t);
	slab_give(&t->context->sessions, t);
}

void
tls_fail(struct tls *t, enum tls_failure failure)
{
	if (t->failure == TLS_FAILURE_NONE)
		count_add(&t->context->counts.failed[failure], 1);
	t->failure = (uint8_t)failure;
}

/* ---- in ------------------------------------------------------------------------------------ */

int
tls_get_input(struct WOLFSSL *ssl, char *to, int size, void *session)
{
	struct tls *t = session;
	uint32_t count = t->input_whole - t->input_at;

	(void)ssl;
	if (count == 0)
		return WOLFSSL_CBIO_ERR_WANT_READ;
	if (count > (uint32_t)size)
		count = (uint32_t)size;
	memcpy(to, t->input + t->input_at, count);
	t->input_at += count;
	return (int)count;
}

/* How far whole records go. */
static int
measure_records(struct tls *t)
{
	size_t length;
	int error = 0;

	while (error == 0 && t->input_whole < t->input_end) {
		error = tls_record_length(
			span_of(t->input + t->input_whole, t->input_end - t->input_whole), &length);
		if (error == 0)
			t->input_whole += (uint32_t)length;
	}
	return error == -EAGAIN ? 0 : error;
}

static void
move_input_to_front(struct tls *t)
{
	if (t->input_at == 0)
		return;
	memmove(t->input, t->input + t->input_at, t->input_end - t->input_at);
	t->input_end -= t->input_at;
	t->input_whole -= t->input_at;
	t->input_at = 0;
}

int
tls_take(struct tls *t, struct span octets)
{
	int error;

	if (t->input == NULL)
		t->input = slab_take(&t->context->inputs);
	if (t->input == NULL) {
		tls_fail(t, TLS_FAILURE_MEMORY);
		return -ENOMEM;
	}
	must(t->plain_at == t->plain_end);
	move_input_to_front(t);
	must(octets.length <= TLS_INPUT_OCTETS - t->input_end);
	memcpy(t->input + t->input_end, octets.at, octets.length);
	t->input_end += (uint32_t)octets.length;
	error = measure_records(t);
	if (error != 0 && t->is_handshaking)
		tls_fail(t, TLS_FAILURE_NOT_TLS);
	return error;
}

bool
tls_has_record(const struct tls *t)
{
	return t->input_whole > t->input_at;
}

bool
tls_has_plain(const struct tls *t)
{
	return t->plain_at != t->plain_end || tls_has_record(t);
}

bool
tls_is_between_records(const struct tls *t)
{
	return t->input_end == t->input_at && t->plain_at == t->plain_end;
}

/* ---- out ----------------------------------------------------------------------------------- */

int
tls_put_output(struct WOLFSSL *ssl, char *octets, int length, void *session)
{
	struct tls *t = session;

	(void)ssl;
	if (!tls_hold_output(t) || (uint32_t)length > TLS_OUTPUT_OCTETS - t->output_end)
		return WOLFSSL_CBIO_ERR_GENERAL;
	memcpy(t->output + t->output_end, octets, (size_t)length);
	t->output_end += (uint32_t)length;
	t->has_answered = true;
	return length;
}

void
tls_sent(struct tls *t, size_t octets)
{
	must(octets <= t->output_end - t->output_at);
	t->output_at += (uint32_t)octets;
	if (t->output_at == t->output_end)
		tls_release_output(t);
}

/* ---- the handshake ------------------------------------------------------------------------- */

/* handshake_failure, in clear.  For a few faults of a ClientHello wolfSSL has no word. */
static void
refuse_hello(struct tls *t)
{
	char alert[] = { 21, 3, 3, 0, 2, 2, 40 };

	if (!t->has_answered)
		(void)tls_put_output(NULL, alert, sizeof(alert), t);
}

/* Without a common group wolfSSL 5.5.4 asks for another ClientHello, to no end, or takes one that
 * the client has not named.  What is right is an alert (RFC 8446, section 4.1.1). */
static int
refuse_groups(struct tls *t)
{
	tls_fail(t, TLS_FAILURE_CIPHER);
	refuse_hello(t);
	return -EPROTO;
}

static int
begin(struct tls *t)
{
	struct tls_context *x = t->context;
	struct span record = span_of(t->input + t->input_at, t->input_whole - t->input_at);
	struct tls_hello hello;

	tls_hello_read(record, &hello);
	if (hello.lacks_groups)
		return refuse_groups(t);
	t->ssl = wolfSSL_new(x->contexts[tls_credentials_choose(x->credentials, &hello)]);
	if (t->ssl == NULL) {
		tls_fail(t, TLS_FAILURE_MEMORY);
		return -EPROTO;
	}
	if (x->options->exports)
		wolfSSL_KeepArrays(t->ssl); /* until tls_peer_read() */
	wolfSSL_SetIOReadCtx(t->ssl, t);
	wolfSSL_SetIOWriteCtx(t->ssl, t);
	if (t->alpn == NULL ||
		wolfSSL_UseALPN(t->ssl, (char *)t->alpn, (unsigned)strlen(t->alpn),
			WOLFSSL_ALPN_FAILED_ON_MISMATCH) == WOLFSSL_SUCCESS)
		return 0;
	tls_fail(t, TLS_FAILURE_MEMORY);
	return -EPROTO;
}

static enum tls_records
records_for_now(const struct tls_context *x)
{
	if (x->options->ktls == TLS_KTLS_OFF)
		return TLS_RECORDS_KTLS_OFF;
	return x->kernel_can ? TLS_RECORDS_NO_OCCASION : TLS_RECORDS_NO_KTLS;
}

static void
note_facts(struct tls *t)
{
	struct tls_counts *counts = &t->context->counts;

	t->facts = (struct tls_facts){
		.suite = (uint16_t)wolfSSL_get_current_cipher_suite(t->ssl),
		.version = wolfSSL_GetVersion(t->ssl) == WOLFSSL_TLSV1_3 ? 13 : 12,
		.resumed = wolfSSL_session_reused(t->ssl) != 0,
		.records = records_for_now(t->context),
	};
	count_add(&counts->handshakes, 1);
	count_add(&counts->resumed, t->facts.resumed);
}

static void
give_empty_input_back(struct tls *t)
{
	if (t->input_at == t->input_end)
		tls_release_input(t);
}

static bool
go_on_accepting(struct tls *t)
{
	bool is_done;

	tls_secrets_begin(t);
	is_done = wolfSSL_accept(t->ssl) == WOLFSSL_SUCCESS;
	tls_secrets_end();
	return is_done;
}

int
tls_handshake(struct tls *t)
{
	int error = t->ssl == NULL ? begin(t) : 0;

	if (error != 0)
		return error;
	if (go_on_accepting(t)) {
		t->is_handshaking = false;
		tls_context_count_out(t);
		note_facts(t);
		give_empty_input_back(t);
		return 1;
	}
	error = wolfSSL_get_error(t->ssl, 0);
	if (error == WOLFSSL_ERROR_WANT_READ) {
		give_empty_input_back(t);
		return 0;
	}
	tls_fail(t, failure_of(error));
	refuse_hello(t);
	return -EPROTO;
}
