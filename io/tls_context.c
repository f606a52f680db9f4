/*
 * tls_context.c - the part of TLS that all sessions of a shard share; see tls.h.
 *
 * A WOLFSSL_CTX has one certificate, so there is one for each identity; sessions keep theirs alive
 * (wolfSSL counts), which makes a reload a mere exchange of pointers.
 */
#include "io/tls.h"

#include "io/base/clock.h"
#include "io/base/must.h"
#include "io/tls_hello.h"
#include "io/tls_internal.h"
#include "io/tls_kernel.h"

#include <wolfssl/options.h>

#include <errno.h>
#include <stdlib.h>
#include <wolfssl/ssl.h>
#include <wolfssl/wolfcrypt/ecc.h>

/* What handshakes may take of one turn of the loop: a step takes from 0.1 to 2 ms,
 * by library and key. */
#define STEPS_PER_TURN 32u
#define STEPS_FOR_NS   2000000u
#define WARM_UPS       3u
#define LINE_OCTETS    64u

/* The kernel has AES instructions, and so has the tuned library; Debian's has none,
 * there ChaCha20 is the quicker one. */
#ifdef WOLFSSL_AESNI
#define LIBRARY_HAS_AES true
#else
#define LIBRARY_HAS_AES false
#endif

#define CIPHERS_13_AES_FIRST                                                                       \
	"TLS13-AES128-GCM-SHA256:TLS13-AES256-GCM-SHA384:TLS13-CHACHA20-POLY1305-SHA256:"
#define CIPHERS_13_CHACHA_FIRST                                                                    \
	"TLS13-CHACHA20-POLY1305-SHA256:TLS13-AES128-GCM-SHA256:TLS13-AES256-GCM-SHA384:"
#define CIPHERS_12_CHACHA "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
#define CIPHERS_12_AES                                                                             \
	"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"                               \
	"ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384"

static const char *
ciphers(const struct tls_context *x)
{
	if (LIBRARY_HAS_AES || x->kernel_can)
		return CIPHERS_13_AES_FIRST CIPHERS_12_AES ":" CIPHERS_12_CHACHA;
	return CIPHERS_13_CHACHA_FIRST CIPHERS_12_CHACHA ":" CIPHERS_12_AES;
}

/* ---- tickets ------------------------------------------------------------------------------- */

static const struct tls_ticket_key *
key_of_now(struct tls_context *x)
{
	uint64_t epoch = (uint64_t)clock_calendar_us() / 1000000 / TLS_TICKET_EPOCH_S;

	if (x->keys[0].epoch != epoch) {
		tls_ticket_key_derive(x->credentials->ticket_secret, epoch, &x->keys[0]);
		tls_ticket_key_derive(x->credentials->ticket_secret, epoch - 1, &x->keys[1]);
	}
	return &x->keys[0];
}

static const struct tls_ticket_key *
key_named(struct tls_context *x, const unsigned char name[TLS_TICKET_NAME_OCTETS])
{
	(void)key_of_now(x);
	for (unsigned i = 0; i < 2; i++)
		if (memcmp(x->keys[i].name, name, TLS_TICKET_NAME_OCTETS) == 0)
			return &x->keys[i];
	return NULL;
}

static int
ticket_called(WOLFSSL *ssl, unsigned char name[WOLFSSL_TICKET_NAME_SZ],
	unsigned char nonce[WOLFSSL_TICKET_IV_SZ], unsigned char tag[WOLFSSL_TICKET_MAC_SZ],
	int seals, unsigned char *ticket, int length, int *length_out, void *arg)
{
	struct tls_context *x = arg;
	const struct tls_ticket_key *key = seals ? key_of_now(x) : key_named(x, name);

	(void)ssl;
	*length_out = length;
	if (key == NULL || length < 0 || (!seals && x->credentials->client_ca != NULL))
		return WOLFSSL_TICKET_RET_REJECT;
	if (!seals)
		return tls_ticket_open(key, nonce, tag, ticket, (size_t)length) == 0
			? WOLFSSL_TICKET_RET_OK
			: WOLFSSL_TICKET_RET_REJECT;
	memcpy(name, key->name, TLS_TICKET_NAME_OCTETS);
	memset(nonce, 0, WOLFSSL_TICKET_IV_SZ);
	memset(tag, 0, WOLFSSL_TICKET_MAC_SZ);
	return tls_ticket_seal(key, nonce, tag, ticket, (size_t)length) == 0
		? WOLFSSL_TICKET_RET_OK
		: WOLFSSL_TICKET_RET_FATAL;
}

/* ---- contexts ------------------------------------------------------------------------------ */

static bool
ask_for_client_certificates(
	const struct tls_context *x, const struct tls_credentials *c, WOLFSSL_CTX *ctx)
{
	int mode = WOLFSSL_VERIFY_PEER;

	if (c->client_ca == NULL) {
		wolfSSL_CTX_set_verify(ctx, WOLFSSL_VERIFY_NONE, NULL);
		return true;
	}
	/* a resumed session shows no certificate: where it matters who somebody is, none is */
	if (wolfSSL_CTX_no_ticket_TLSv13(ctx) != 0 ||
		wolfSSL_CTX_NoTicketTLSv12(ctx) != WOLFSSL_SUCCESS)
		return false;
	if (x->options->requires_client_certificate)
		mode |= WOLFSSL_VERIFY_FAIL_IF_NO_PEER_CERT;
	wolfSSL_CTX_set_verify(ctx, mode, NULL);
	return wolfSSL_CTX_load_verify_buffer(ctx, (const unsigned char *)c->client_ca,
		       (long)c->client_ca_octets, WOLFSSL_FILETYPE_PEM) == WOLFSSL_SUCCESS;
}

static bool
set_up(struct tls_context *x, const struct tls_credentials *c, const struct tls_identity *i,
	WOLFSSL_CTX *ctx)
{
	wolfSSL_CTX_set_session_cache_mode(ctx, WOLFSSL_SESS_CACHE_OFF);
	wolfSSL_CTX_SetIORecv(ctx, tls_get_input);
	wolfSSL_CTX_SetIOSend(ctx, tls_put_output);
	tls_secrets_listen(ctx);
	return wolfSSL_CTX_SetMinVersion(ctx, WOLFSSL_TLSV1_2) == WOLFSSL_SUCCESS &&
		wolfSSL_CTX_set_cipher_list(ctx, ciphers(x)) == WOLFSSL_SUCCESS &&
		wolfSSL_CTX_set1_curves_list(ctx, TLS_GROUP_NAMES) == WOLFSSL_SUCCESS &&
		wolfSSL_CTX_set_TicketEncCb(ctx, ticket_called) == WOLFSSL_SUCCESS &&
		wolfSSL_CTX_set_TicketEncCtx(ctx, x) == WOLFSSL_SUCCESS &&
		wolfSSL_CTX_set_TicketHint(ctx, TLS_TICKET_EPOCH_S) == WOLFSSL_SUCCESS &&
		wolfSSL_CTX_use_certificate_chain_buffer(ctx, (const unsigned char *)i->chain,
			(long)i->chain_octets) == WOLFSSL_SUCCESS &&
		wolfSSL_CTX_use_PrivateKey_buffer(ctx, (const unsigned char *)i->key,
			(long)i->key_octets, WOLFSSL_FILETYPE_PEM) == WOLFSSL_SUCCESS &&
		ask_for_client_certificates(x, c, ctx);
}

static void
free_contexts(WOLFSSL_CTX **contexts, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		wolfSSL_CTX_free(contexts[i]);
	free(contexts);
}

/* NULL: no memory, or what tls_credentials_load() has read is not what wolfSSL wants after all. */
static WOLFSSL_CTX **
make_contexts(struct tls_context *x, const struct tls_credentials *c)
{
	WOLFSSL_CTX **contexts = calloc(c->count, sizeof(WOLFSSL_CTX *));

	if (contexts == NULL)
		return NULL;
	for (unsigned i = 0; i < c->count; i++) {
		contexts[i] = wolfSSL_CTX_new(wolfTLS_server_method());
		if (contexts[i] == NULL || !set_up(x, c, &c->identities[i], contexts[i])) {
			free_contexts(contexts, c->count);
			return NULL;
		}
	}
	return contexts;
}

int
tls_context_reload(struct tls_context *x, struct tls_credentials *credentials)
{
	WOLFSSL_CTX **contexts = make_contexts(x, credentials);

	if (contexts == NULL)
		return -EINVAL;
	if (x->contexts != NULL) {
		free_contexts(x->contexts, x->credentials->count);
		tls_credentials_release(x->credentials);
	}
	x->contexts = contexts;
	x->credentials = tls_credentials_share(credentials);
	x->keys[0].epoch = 0;
	return 0;
}

/* ---- turns --------------------------------------------------------------------------------- */

static void
pump_runs(struct deferred *pump)
{
	struct tls_context *x = container_of(pump, struct tls_context, pump);
	uint64_t until = clock_monotonic_ns() + STEPS_FOR_NS;

	for (unsigned step = 0; step < STEPS_PER_TURN; step++) {
		struct list *item = list_take_first(&x->waiting);
		struct deferred *turn;

		if (item == NULL)
			return;
		turn = container_of(item, struct deferred, item);
		turn->run(turn);
		if (clock_monotonic_ns() > until)
			break;
	}
	if (!list_is_empty(&x->waiting))
		loop_defer(x->loop, &x->pump);
}

static void
release_from_waiting(struct tls *t)
{
	if (t->is_held_back)
		count_subtract(&t->context->counts.held_back, 1);
	t->is_held_back = false;
}

/* Its next step runs soon; the first one counts the handshake in. */
static void
let_in(struct tls *t)
{
	struct tls_context *x = t->context;

	if (!t->is_counted) {
		x->handshaking++;
		count_add(&x->counts.handshaking, 1);
	}
	t->is_counted = true;
	release_from_waiting(t);
	list_append(&x->waiting, &t->turn.item);
	loop_defer(x->loop, &x->pump);
}

void
tls_want_turn(struct tls *t)
{
	struct tls_context *x = t->context;

	list_remove(&t->turn.item);
	if (t->is_counted || x->handshaking < x->options->handshakes_max) {
		let_in(t);
		return;
	}
	list_append(&x->held_back, &t->turn.item);
	if (!t->is_held_back)
		count_add(&x->counts.held_back, 1);
	t->is_held_back = true;
}

void
tls_context_count_out(struct tls *t)
{
	struct tls_context *x = t->context;
	struct list *next;

	release_from_waiting(t);
	if (!t->is_counted)
		return;
	t->is_counted = false;
	x->handshaking--;
	count_subtract(&x->counts.handshaking, 1);
	next = list_take_first(&x->held_back);
	if (next != NULL)
		let_in(container_of(container_of(next, struct deferred, item), struct tls, turn));
}

/* ---- life ---------------------------------------------------------------------------------- */

/* Each thread's first elliptic curve operations build a table that takes 4 ms. */
static void
warm_up(void)
{
	WC_RNG rng;

	if (wc_InitRng(&rng) != 0)
		return;
	for (unsigned i = 0; i < WARM_UPS; i++) {
		ecc_key key;

		if (wc_ecc_init(&key) == 0) {
			(void)wc_ecc_make_key(&rng, 32, &key);
			wc_ecc_free(&key);
		}
	}
	wc_FreeRng(&rng);
}

/* Sealing is faster from lines of the cache; one octet more is for the type of a record. */
int
tls_context_make_tools(struct tls_context *x)
{
	x->cipher = tls_cipher_make();
	x->scratch = aligned_alloc(LINE_OCTETS, TLS_SCRATCH_OCTETS + LINE_OCTETS);
	if (x->cipher != NULL && x->scratch != NULL)
		return 0;
	tls_context_free_tools(x);
	return -ENOMEM;
}

void
tls_context_free_tools(struct tls_context *x)
{
	tls_cipher_free(x->cipher);
	free(x->scratch);
}

int
tls_context_open(struct tls_context *x, struct loop *loop, const struct tls_options *options,
	struct tls_credentials *credentials)
{
	int error;

	*x = (struct tls_context){
		.loop = loop,
		.options = options,
		.kernel_can = options->ktls != TLS_KTLS_OFF && tls_kernel_check() == 0,
	};
	if (tls_context_make_tools(x) != 0)
		return -ENOMEM;
	must(loop->tls == NULL);
	x->kernel_can_rekey = x->kernel_can && tls_kernel_check_rekey() == 0;
	wolfSSL_Init();
	error = tls_context_reload(x, credentials);
	if (error != 0) {
		tls_context_free_tools(x);
		return error;
	}
	slab_init(&x->sessions, sizeof(struct tls), options->sessions_max);
	slab_init(&x->inputs, TLS_INPUT_OCTETS, options->sessions_max);
	slab_init(&x->outputs, TLS_OUTPUT_OCTETS, options->sessions_max);
	slab_init(&x->secrets_256, 2 * TLS_HASH_OCTETS_MIN, options->sessions_max);
	slab_init(&x->secrets_384, 2 * TLS_HASH_OCTETS_MAX, options->sessions_max);
	list_init(&x->waiting);
	list_init(&x->held_back);
	deferred_init(&x->pump, pump_runs);
	warm_up();
	loop->tls = x;
	return 0;
}

void
tls_context_close(struct tls_context *x)
{
	deferred_forget(&x->pump);
	free_contexts(x->contexts, x->credentials->count);
	tls_credentials_release(x->credentials);
	slab_destroy(&x->sessions);
	slab_destroy(&x->inputs);
	slab_destroy(&x->outputs);
	slab_destroy(&x->secrets_256);
	slab_destroy(&x->secrets_384);
	x->loop->tls = NULL;
	tls_context_free_tools(x);
	explicit_bzero(x->keys, sizeof(x->keys));
#ifdef FP_ECC /* the tables that Debian's build makes for each thread that signs */
	wc_ecc_fp_free();
#endif
}
