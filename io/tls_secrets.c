/*
 * tls_secrets.c - see tls_secrets.h.
 *
 * Secrets lie in slabs of the shard of their own, one for each length, so that nobody pays for the
 * longer hash who does not use it.
 */
#include "io/tls_secrets.h"

#include "io/base/must.h"
#include "io/base/span.h"
#include "io/tls.h"

#include <wolfssl/options.h>

#include <errno.h>
#include <wolfssl/ssl.h>
#include <wolfssl/wolfcrypt/error-crypt.h>
#include <wolfssl/wolfcrypt/hash.h>
#include <wolfssl/wolfcrypt/kdf.h>

static_assert(WC_SHA256_DIGEST_SIZE == TLS_HASH_OCTETS_MIN, "the shortest hash");
static_assert(WC_SHA384_DIGEST_SIZE == TLS_HASH_OCTETS_MAX, "the longest hash");

/* ---- derivation ---------------------------------------------------------------------------- */

size_t
tls_secret_octets(uint16_t suite)
{
	switch (suite) {
	case 0x1301:
	case 0x1303:
		return WC_SHA256_DIGEST_SIZE;
	case 0x1302:
		return WC_SHA384_DIGEST_SIZE;
	default:
		return 0;
	}
}

/* HKDF-Expand-Label (RFC 8446, section 7.1) without a context. */
static int
expand(uint16_t suite, const unsigned char *secret, struct span label, unsigned char *to,
	size_t size)
{
	static const unsigned char protocol[] = "tls13 ";
	size_t octets = tls_secret_octets(suite);

	if (octets == 0)
		return -EINVAL;
	if (wc_Tls13_HKDF_Expand_Label(to, (word32)size, secret, (word32)octets, protocol,
		    sizeof(protocol) - 1, (const unsigned char *)label.at, (word32)label.length,
		    NULL, 0,
		    octets == WC_SHA256_DIGEST_SIZE ? (int)WC_HASH_TYPE_SHA256
						    : (int)WC_HASH_TYPE_SHA384) != 0)
		return -EINVAL;
	return 0;
}

int
tls_secret_move_on(uint16_t suite, unsigned char *secret)
{
	unsigned char next[TLS_HASH_OCTETS_MAX];
	size_t octets = tls_secret_octets(suite);
	int error = expand(suite, secret, SPAN("traffic upd"), next, octets);

	if (error == 0)
		memcpy(secret, next, octets);
	explicit_bzero(next, sizeof(next));
	return error;
}

int
tls_secret_derive_keys(
	uint16_t suite, const unsigned char *secret, struct tls_traffic_keys *keys_out)
{
	size_t key_octets = tls_aead_key_octets(tls_aead_of(suite));
	int error = expand(suite, secret, SPAN("key"), keys_out->key, key_octets);

	if (error == 0)
		error = expand(suite, secret, SPAN("iv"), keys_out->iv, TLS_IV_OCTETS);
	if (error == 0)
		keys_out->sequence = 0;
	return error;
}

int
tls_secret_next_keys(uint16_t suite, unsigned char *secret, struct tls_traffic_keys *keys_out)
{
	int error = tls_secret_move_on(suite, secret);

	return error != 0 ? error : tls_secret_derive_keys(suite, secret, keys_out);
}

/* ---- keeping ------------------------------------------------------------------------------- */

static struct slab *
slab_for(struct tls_context *x, size_t secret_octets)
{
	return secret_octets == WC_SHA256_DIGEST_SIZE ? &x->secrets_256 : &x->secrets_384;
}

void
tls_secrets_free(struct tls_context *x, unsigned char *s, size_t secret_octets)
{
	if (s == NULL)
		return;
	explicit_bzero(s, 2 * secret_octets);
	slab_give(slab_for(x, secret_octets), s);
}

/* The callback is told no session; a thread speaks for one at a time. */
static _Thread_local struct tls *speaking;

void
tls_secrets_begin(struct tls *t)
{
	speaking = t;
}

void
tls_secrets_end(void)
{
	speaking = NULL;
}

static void
keep(struct tls *t, enum tls_side side, const unsigned char *secret, size_t octets)
{
	if (t->secrets == NULL) {
		t->secrets = slab_take(slab_for(t->context, octets));
		t->secret_octets = (uint8_t)octets;
		if (t->secrets != NULL)
			memset(t->secrets, 0, 2 * octets);
	}
	if (t->secrets != NULL && t->secret_octets == octets)
		memcpy(t->secrets + (side == TLS_SIDE_SERVER ? octets : 0), secret, octets);
}

/* Whose next secret is made: wolfSSL makes it of the one that we have, too. */
static bool
is_current(const struct tls *t, enum tls_side side, const unsigned char *secret)
{
	return t->secrets != NULL &&
		memcmp(t->secrets + (side == TLS_SIDE_SERVER ? t->secret_octets : 0), secret,
			t->secret_octets) == 0;
}

/* True: this expansion makes an application traffic secret, of that side. */
static bool
makes_secret_of(const struct tls *t, struct span label, const unsigned char *secret,
	enum tls_side *side_out)
{
	bool is_update = span_equals(label, SPAN("traffic upd"));

	if (span_equals(label, SPAN("c ap traffic")) ||
		(is_update && is_current(t, TLS_SIDE_CLIENT, secret)))
		*side_out = TLS_SIDE_CLIENT;
	else if (span_equals(label, SPAN("s ap traffic")) ||
		(is_update && is_current(t, TLS_SIDE_SERVER, secret)))
		*side_out = TLS_SIDE_SERVER;
	else
		return false;
	return true;
}

/* Does for wolfSSL what it would do itself; all but the secrets we keep is left to it. */
static int
expansion_called(unsigned char *okm, word32 okm_octets, const unsigned char *prk, word32 prk_octets,
	const unsigned char *protocol, word32 protocol_octets, const unsigned char *label,
	word32 label_octets, const unsigned char *info, word32 info_octets, int digest, int side)
{
	struct tls *t = speaking;
	enum tls_side whose;
	int error;

	(void)side;
	if (t == NULL || !makes_secret_of(t, span_of(label, label_octets), prk, &whose))
		return NOT_COMPILED_IN;
	error = wc_Tls13_HKDF_Expand_Label(okm, okm_octets, prk, prk_octets, protocol,
		protocol_octets, label, label_octets, info, info_octets, digest);
	if (error == 0 && okm_octets <= TLS_HASH_OCTETS_MAX)
		keep(t, whose, okm, okm_octets);
	return error;
}

void
tls_secrets_listen(struct WOLFSSL_CTX *ctx)
{
	wolfSSL_CTX_SetHKDFExpandLabelCb(ctx, expansion_called);
}
