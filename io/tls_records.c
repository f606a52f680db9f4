/*
 * tls_records.c - see tls_records.h.
 *
 * A nonce is the IV with the sequence number laid over its end; but AES-GCM in TLS 1.2 has 4 octets
 * of IV as a salt, and the rest of the nonce stands in the record: we put the sequence number there.
 * (The records before the hand-over, Finished and no other, had one that wolfSSL drew at random.)
 */
#include "io/tls_records.h"

#include "io/base/must.h"
#include "io/tls_words.h"

#include <wolfssl/options.h>

#include <errno.h>
#include <stdlib.h>
#include <wolfssl/wolfcrypt/aes.h>
#include <wolfssl/wolfcrypt/chacha20_poly1305.h>

#define SEQUENCE_OCTETS 8u
#define TAG_OCTETS      16u
#define EXPLICIT_OCTETS 8u /* of a nonce, in the record */
#define AAD_OCTETS_MAX  13u
#define VERSION_MAJOR   3
#define VERSION_MINOR   3 /* TLS 1.3 says so too (RFC 8446, section 5.1) */

struct tls_cipher {
	Aes aes;
	unsigned char key[TLS_KEY_OCTETS_MAX]; /* that `aes` is set to */
	size_t key_octets;                     /* 0: none */
};

/* What goes into the AEAD beside the octets. */
struct terms {
	unsigned char nonce[TLS_IV_OCTETS];
	unsigned char aad[AAD_OCTETS_MAX];
	word32 aad_octets;
};

/* ---- ciphers ------------------------------------------------------------------------------- */

struct tls_cipher *
tls_cipher_make(void)
{
	struct tls_cipher *c = calloc(1, sizeof(*c));

	if (c != NULL)
		must(wc_AesInit(&c->aes, NULL, INVALID_DEVID) == 0);
	return c;
}

void
tls_cipher_forget(struct tls_cipher *c)
{
	if (c->key_octets == 0)
		return;
	wc_AesFree(&c->aes);
	explicit_bzero(c, sizeof(*c));
	must(wc_AesInit(&c->aes, NULL, INVALID_DEVID) == 0);
}

void
tls_cipher_free(struct tls_cipher *c)
{
	if (c == NULL)
		return;
	wc_AesFree(&c->aes);
	explicit_bzero(c, sizeof(*c));
	free(c);
}

/* A burst of records is under one key. */
static Aes *
aes_with(struct tls_cipher *c, const unsigned char *key, size_t octets)
{
	if (c->key_octets == octets && memcmp(c->key, key, octets) == 0)
		return &c->aes;
	must(wc_AesGcmSetKey(&c->aes, key, (word32)octets) == 0);
	memcpy(c->key, key, octets);
	c->key_octets = octets;
	return &c->aes;
}

static void
seal(struct tls_cipher *c, enum tls_aead aead, const unsigned char *key, const struct terms *terms,
	const unsigned char *plain, size_t length, unsigned char *to)
{
	unsigned char *tag = to + length;
	int error;

	if (aead == TLS_AEAD_CHACHA20_POLY1305)
		error = wc_ChaCha20Poly1305_Encrypt(key, terms->nonce, terms->aad,
			terms->aad_octets, plain, (word32)length, to, tag);
	else
		error = wc_AesGcmEncrypt(aes_with(c, key, tls_aead_key_octets(aead)), to, plain,
			(word32)length, terms->nonce, sizeof(terms->nonce), tag, TAG_OCTETS,
			terms->aad, terms->aad_octets);
	must(error == 0);
}

static int
unseal(struct tls_cipher *c, enum tls_aead aead, const unsigned char *key,
	const struct terms *terms, unsigned char *at, size_t length)
{
	const unsigned char *tag = at + length;
	int error;

	if (aead == TLS_AEAD_CHACHA20_POLY1305)
		error = wc_ChaCha20Poly1305_Decrypt(key, terms->nonce, terms->aad,
			terms->aad_octets, at, (word32)length, tag, at);
	else
		error = wc_AesGcmDecrypt(aes_with(c, key, tls_aead_key_octets(aead)), at, at,
			(word32)length, terms->nonce, sizeof(terms->nonce), tag, TAG_OCTETS,
			terms->aad, terms->aad_octets);
	return error == 0 ? 0 : -EBADMSG;
}

/* ---- formats ------------------------------------------------------------------------------- */

static bool
has_explicit_nonce(const struct tls_keys *k)
{
	return k->version == 12 && k->aead != TLS_AEAD_CHACHA20_POLY1305;
}

size_t
tls_record_front(const struct tls_keys *k)
{
	return TLS_RECORD_HEADER_OCTETS + (has_explicit_nonce(k) ? EXPLICIT_OCTETS : 0);
}

size_t
tls_record_back(const struct tls_keys *k)
{
	return TAG_OCTETS + (k->version == 13 ? 1 : 0);
}

static void
put_number(uint64_t number, size_t octets, unsigned char *to)
{
	for (size_t i = octets; i-- > 0; number >>= 8)
		to[i] = (unsigned char)number;
}

static void
make_nonce(const struct tls_keys *k, const struct tls_traffic_keys *side,
	const unsigned char *record, unsigned char nonce[TLS_IV_OCTETS])
{
	unsigned char number[SEQUENCE_OCTETS];

	memcpy(nonce, side->iv, TLS_IV_OCTETS);
	if (has_explicit_nonce(k)) {
		memcpy(nonce + TLS_SALT_OCTETS, record + TLS_RECORD_HEADER_OCTETS, EXPLICIT_OCTETS);
		return;
	}
	put_number(side->sequence, SEQUENCE_OCTETS, number);
	for (size_t i = 0; i < SEQUENCE_OCTETS; i++)
		nonce[TLS_IV_OCTETS - SEQUENCE_OCTETS + i] ^= number[i];
}

/* TLS 1.3: the record's header as it is; TLS 1.2: the sequence number, then the header, but with the
 * length of what is inside. */
static void
make_terms(const struct tls_keys *k, const struct tls_traffic_keys *side,
	const unsigned char *record, size_t length, struct terms *terms_out)
{
	unsigned char *aad = terms_out->aad;
	size_t before = k->version == 12 ? SEQUENCE_OCTETS : 0;

	make_nonce(k, side, record, terms_out->nonce);
	put_number(side->sequence, before, aad);
	memcpy(aad + before, record, TLS_RECORD_HEADER_OCTETS);
	terms_out->aad_octets = (word32)(before + TLS_RECORD_HEADER_OCTETS);
	if (k->version == 12)
		put_number(length, 2, aad + terms_out->aad_octets - 2);
}

/* ---- records ------------------------------------------------------------------------------- */

size_t
tls_record_seal(struct tls_cipher *c, struct tls_keys *k, unsigned type, unsigned char *plain,
	size_t length, unsigned char *record)
{
	size_t front = tls_record_front(k);
	size_t whole = front + length + tls_record_back(k);
	unsigned char *behind = plain + length;
	unsigned char kept = *behind;
	struct terms terms;

	must(length <= TLS_RECORD_PLAIN_MAX);
	if (has_explicit_nonce(k))
		put_number(k->out.sequence, EXPLICIT_OCTETS, record + TLS_RECORD_HEADER_OCTETS);
	if (k->version == 13) {
		*behind = (unsigned char)type;
		length++;
		type = TLS_RECORD_DATA;
	}
	record[0] = (unsigned char)type;
	record[1] = VERSION_MAJOR;
	record[2] = VERSION_MINOR;
	put_number(whole - TLS_RECORD_HEADER_OCTETS, 2, record + 3);
	make_terms(k, &k->out, record, length, &terms);
	seal(c, (enum tls_aead)k->aead, k->out.key, &terms, plain, length, record + front);
	k->out.sequence++;
	if (plain != record + front)
		*behind = kept;
	return whole;
}

/* Behind what a record of TLS 1.3 holds stands its type, then any number of zeros (RFC 8446,
 * section 5.4). */
static int
take_off_type(struct tls_opened *opened)
{
	struct span *octets = &opened->octets;
	size_t length = octets->length;

	while (length > 0 && octets->at[length - 1] == 0)
		length--;
	if (length == 0)
		return -EPROTO;
	opened->type = (unsigned char)octets->at[length - 1];
	octets->length = length - 1;
	return 0;
}

int
tls_record_open(struct tls_cipher *c, struct tls_keys *k, unsigned char *record, size_t length,
	struct tls_opened *out)
{
	size_t front = tls_record_front(k);
	struct terms terms;
	int error;

	must(length >= TLS_RECORD_HEADER_OCTETS);
	if (k->version == 13 && record[0] != TLS_RECORD_DATA)
		return -EPROTO;
	if (length < front + TAG_OCTETS)
		return -EBADMSG;
	length -= front + TAG_OCTETS;
	if (length > TLS_RECORD_PLAIN_MAX + (k->version == 13 ? 1 : 0)) /* type and padding too */
		return -EMSGSIZE;
	make_terms(k, &k->in, record, length, &terms);
	error = unseal(c, (enum tls_aead)k->aead, k->in.key, &terms, record + front, length);
	if (error != 0)
		return error;
	k->in.sequence++;
	*out = (struct tls_opened){ record[0], span_of(record + front, length) };
	return k->version == 13 ? take_off_type(out) : 0;
}
