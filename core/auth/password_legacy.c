/*
 * password_legacy.c - see password_legacy.h.  Argon2 is libargon2's, the rest wolfCrypt's.
 */
#include "core/auth/password_legacy.h"

#include "core/auth/password.h"
#include "io/base/must.h"

/* wolfSSL's options must come before all of its headers. */
#include <wolfssl/options.h>

#include <argon2.h>
#include <ctype.h>
#include <errno.h>
#include <gsasl.h>
#include <stdio.h>
#include <stdlib.h>
#include <wolfssl/wolfcrypt/hash.h>
#include <wolfssl/wolfcrypt/pwdbased.h>

#define DIGEST_OCTETS_MAX 64u
#define STORED_OCTETS_MAX 256u /* digest and salt */
#define PBKDF2_OCTETS     20u
#define PBKDF2_ROUNDS_MAX 10000000u

static const struct scheme {
	const char *prefix;
	const char *name;
	enum wc_HashType hash; /* of those that are a digest and a salt */
	size_t digest_octets;
	bool is_salted;
} schemes[] = {
	{ "{SSHA}", "ssha", WC_HASH_TYPE_SHA, 20, true },
	{ "{SSHA256}", "ssha256", WC_HASH_TYPE_SHA256, 32, true },
	{ "{SSHA512}", "ssha512", WC_HASH_TYPE_SHA512, 64, true },
	{ "{SHA}", "sha", WC_HASH_TYPE_SHA, 20, false },
	{ "{SHA1}", "sha", WC_HASH_TYPE_SHA, 20, false },
	{ "{SHA256}", "sha256", WC_HASH_TYPE_SHA256, 32, false },
	{ "{SHA512}", "sha512", WC_HASH_TYPE_SHA512, 64, false },
	{ "{PBKDF2}", "pbkdf2", WC_HASH_TYPE_SHA, 0, true },
	{ "{ARGON2ID}", "argon2id", WC_HASH_TYPE_NONE, 0, true },
	{ "{ARGON2I}", "argon2i", WC_HASH_TYPE_NONE, 0, true },
};

/* Others' names for what crypt(3) knows, and for what is stored as it is. */
static const char *const crypt_prefixes[] = { "{CRYPT}", "{BLF-CRYPT}", "{SHA256-CRYPT}",
	"{SHA512-CRYPT}", "{MD5-CRYPT}", "{DES-CRYPT}", "{MD5}" };
static const char *const plain_prefixes[] = { "{PLAIN}", "{CLEARTEXT}", "{CLEAR}" };

static const struct scheme *
find_scheme(const char *hash)
{
	for (size_t i = 0; i < array_count(schemes); i++) {
		if (strncmp(hash, schemes[i].prefix, strlen(schemes[i].prefix)) == 0)
			return &schemes[i];
	}
	return NULL;
}

const char *
password_legacy_scheme(const char *hash)
{
	const struct scheme *scheme = find_scheme(hash);

	return scheme == NULL ? NULL : scheme->name;
}

static bool
equals(const unsigned char *a, const unsigned char *b, size_t octets)
{
	unsigned char difference = 0;

	for (size_t i = 0; i < octets; i++)
		difference |= (unsigned char)(a[i] ^ b[i]);
	return difference == 0;
}

/* ---- a digest and a salt ------------------------------------------------------------------- */

struct salted {
	unsigned char octets[STORED_OCTETS_MAX]; /* digest, then salt */
	size_t length;
};

/* Base64 of digest and salt. */
static int
read_salted(const struct scheme *scheme, const char *hash, struct salted *salted_out)
{
	const char *text = hash + strlen(scheme->prefix);
	char *octets = NULL;
	size_t length = 0;
	int result = gsasl_base64_from(text, strlen(text), &octets, &length);
	int error = 0;

	if (result == GSASL_MALLOC_ERROR)
		return -ENOMEM;
	if (result != GSASL_OK || length > STORED_OCTETS_MAX || length < scheme->digest_octets ||
		(!scheme->is_salted && length != scheme->digest_octets))
		error = -EINVAL;
	if (error == 0) {
		memcpy(salted_out->octets, octets, length);
		salted_out->length = length;
	}
	gsasl_free(octets);
	return error;
}

static int
verify_salted(const struct scheme *scheme, struct span secret, const char *hash, bool *right_out)
{
	unsigned char text[PASSWORD_SECRET_OCTETS_MAX + STORED_OCTETS_MAX];
	unsigned char digest[DIGEST_OCTETS_MAX];
	struct salted stored;
	size_t salt_octets;
	int error = read_salted(scheme, hash, &stored);

	if (error != 0)
		return error;
	salt_octets = stored.length - scheme->digest_octets;
	memcpy(text, secret.at, secret.length);
	memcpy(text + secret.length, stored.octets + scheme->digest_octets, salt_octets);
	if (wc_Hash(scheme->hash, text, (word32)(secret.length + salt_octets), digest,
		    (word32)scheme->digest_octets) != 0)
		error = -ENOMEM;
	else
		*right_out = equals(digest, stored.octets, scheme->digest_octets);
	explicit_bzero(text, sizeof(text));
	return error;
}

/* ---- {PBKDF2}$1$salt$rounds$hexadecimal, with HMAC-SHA-1 ------------------------------------ */

struct pbkdf2 {
	struct span salt;
	uint32_t rounds;
	unsigned char key[PBKDF2_OCTETS];
};

/* What stands before the next "$", which is taken too. */
static bool
take_field(struct span *rest, struct span *field_out)
{
	const char *end = rest->length == 0 ? NULL : memchr(rest->at, '$', rest->length);

	if (end == NULL)
		return false;
	*field_out = span_of(rest->at, (size_t)(end - rest->at));
	*rest = span_after(*rest, field_out->length + 1);
	return true;
}

static bool
read_hexadecimal(struct span text, unsigned char *to, size_t octets)
{
	if (text.length != 2 * octets)
		return false;
	for (size_t i = 0; i < octets; i++) {
		char pair[3] = { text.at[2 * i], text.at[2 * i + 1], '\0' };
		char *end;

		if (!isxdigit((unsigned char)pair[0]))
			return false;
		to[i] = (unsigned char)strtoul(pair, &end, 16);
		if (end != pair + 2)
			return false;
	}
	return true;
}

static int
read_pbkdf2(const char *hash, struct pbkdf2 *p)
{
	struct span rest = span_of_string(hash + strlen("{PBKDF2}"));
	struct span empty, version, rounds;
	uint64_t count;

	if (!take_field(&rest, &empty) || empty.length != 0 || !take_field(&rest, &version) ||
		!span_equals(version, SPAN("1")) || !take_field(&rest, &p->salt) ||
		!take_field(&rest, &rounds) || !span_to_u64(rounds, PBKDF2_ROUNDS_MAX, &count) ||
		count == 0 || !read_hexadecimal(rest, p->key, PBKDF2_OCTETS))
		return -EINVAL;
	p->rounds = (uint32_t)count;
	return 0;
}

static int
verify_pbkdf2(struct span secret, const char *hash, bool *right_out)
{
	unsigned char key[PBKDF2_OCTETS];
	struct pbkdf2 p;
	int error = read_pbkdf2(hash, &p);

	if (error != 0)
		return error;
	if (wc_PBKDF2(key, (const byte *)secret.at, (int)secret.length, (const byte *)p.salt.at,
		    (int)p.salt.length, (int)p.rounds, PBKDF2_OCTETS, WC_SHA) != 0)
		return -ENOMEM;
	*right_out = equals(key, p.key, sizeof(key));
	explicit_bzero(key, sizeof(key));
	return 0;
}

/* ---- Argon2 -------------------------------------------------------------------------------- */

static int
verify_argon2(struct span secret, const char *encoded, argon2_type type, bool *right_out)
{
	int result = argon2_verify(encoded, secret.at, secret.length, type);

	*right_out = result == ARGON2_OK;
	if (result == ARGON2_OK || result == ARGON2_VERIFY_MISMATCH)
		return 0;
	return result == ARGON2_MEMORY_ALLOCATION_ERROR ? -ENOMEM : -EINVAL;
}

/* Its parameters are read where it is verified; here that it looks like one.  libargon2 takes
 * octets beyond ASCII for digits of base64. */
static int
check_argon2(const char *encoded, const char *beginning)
{
	for (const char *at = encoded; *at != '\0'; at++) {
		if (!isgraph((unsigned char)*at))
			return -EINVAL;
	}
	return strncmp(encoded, beginning, strlen(beginning)) == 0 ? 0 : -EINVAL;
}

/* ---- all of them --------------------------------------------------------------------------- */

int
password_legacy_check(const char *hash)
{
	const struct scheme *scheme = find_scheme(hash);
	struct salted salted;
	struct pbkdf2 pbkdf2;

	must(scheme != NULL);
	if (scheme->digest_octets != 0)
		return read_salted(scheme, hash, &salted);
	if (strcmp(scheme->name, "pbkdf2") == 0)
		return read_pbkdf2(hash, &pbkdf2);
	if (strcmp(scheme->name, "argon2id") == 0)
		return check_argon2(hash + strlen(scheme->prefix), "$argon2id$");
	return check_argon2(hash + strlen(scheme->prefix), "$argon2i$");
}

int
password_legacy_verify(struct span secret, const char *hash, bool *right_out)
{
	const struct scheme *scheme = find_scheme(hash);
	const char *encoded;

	must(scheme != NULL);
	*right_out = false;
	if (scheme->digest_octets != 0)
		return verify_salted(scheme, secret, hash, right_out);
	if (strcmp(scheme->name, "pbkdf2") == 0)
		return verify_pbkdf2(secret, hash, right_out);
	encoded = hash + strlen(scheme->prefix);
	return verify_argon2(secret, encoded,
		strcmp(scheme->name, "argon2id") == 0 ? Argon2_id : Argon2_i, right_out);
}

/* ---- taking them over ---------------------------------------------------------------------- */

/* The rest behind one of the prefixes, in any case; NULL: it begins with none. */
static const char *
behind(const char *text, const char *const *prefixes, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (strncasecmp(text, prefixes[i], strlen(prefixes[i])) == 0)
			return text + strlen(prefixes[i]);
	}
	return NULL;
}

/* "{SSHA.HEX}0a0b..." as "{SSHA}" and base64. */
static int
take_hexadecimal(const char *text, char hash_out[ACCOUNT_HASH_OCTETS_MAX + 1])
{
	const char *dot = strchr(text, '.');
	const char *close = strchr(text, '}');
	unsigned char octets[STORED_OCTETS_MAX];
	struct span digits = span_of_string(close + 1);
	char *base64 = NULL;
	int length;

	if (digits.length / 2 > sizeof(octets) ||
		!read_hexadecimal(digits, octets, digits.length / 2) ||
		gsasl_base64_to((char *)octets, digits.length / 2, &base64, NULL) != GSASL_OK)
		return -EINVAL;
	length = snprintf(
		hash_out, ACCOUNT_HASH_OCTETS_MAX + 1, "%.*s}%s", (int)(dot - text), text, base64);
	gsasl_free(base64);
	return length <= (int)ACCOUNT_HASH_OCTETS_MAX ? 0 : -ENAMETOOLONG;
}

static bool
is_hexadecimal(const char *text)
{
	const char *close = text[0] == '{' ? strchr(text, '}') : NULL;

	return close != NULL && close - text > 5 && strncasecmp(close - 4, ".HEX", 4) == 0;
}

/* The name of the scheme in capitals, without ".B64". */
static void
tidy_scheme(char *hash)
{
	char *close = hash[0] == '{' ? strchr(hash, '}') : NULL;

	if (close == NULL)
		return;
	for (char *at = hash; at < close; at++)
		*at = (char)toupper((unsigned char)*at);
	if (close - hash > 5 && strncmp(close - 4, ".B64", 4) == 0)
		memmove(close - 4, close, strlen(close) + 1);
}

int
password_take_hash(const char *text, char hash_out[ACCOUNT_HASH_OCTETS_MAX + 1])
{
	char hash[ACCOUNT_HASH_OCTETS_MAX + 1];
	const char *rest;
	int error = 0;

	if (strlen(text) > ACCOUNT_HASH_OCTETS_MAX)
		return -ENAMETOOLONG;
	if ((rest = behind(text, crypt_prefixes, array_count(crypt_prefixes))) != NULL)
		snprintf(hash, sizeof(hash), "%s", rest);
	else if ((rest = behind(text, plain_prefixes, array_count(plain_prefixes))) != NULL)
		snprintf(hash, sizeof(hash), "{PLAIN}%.*s", (int)(sizeof(hash) - 8), rest);
	else if (is_hexadecimal(text))
		error = take_hexadecimal(text, hash);
	else
		snprintf(hash, sizeof(hash), "%s", text);
	if (error != 0)
		return error;
	tidy_scheme(hash);
	error = password_check_hash(hash);
	if (error == 0)
		strcpy(hash_out, hash);
	explicit_bzero(hash, sizeof(hash));
	return error;
}
