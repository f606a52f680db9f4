/*
 * scram.c - see scram.h.  The arithmetic is GNU SASL's.
 */
#include "core/auth/scram.h"

#include "io/base/must.h"

/* wolfSSL's options must come before all of its headers. */
#include <wolfssl/options.h>

#include <errno.h>
#include <gsasl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <wolfssl/wolfcrypt/blake2.h>

#define NEW_SALT_OCTETS 16u

static const struct hash {
	const char *prefix;
	size_t octets;
	Gsasl_hash library;
} hashes[] = {
	[SCRAM_SHA_256] = { "{SCRAM-SHA-256}", 32, GSASL_HASH_SHA256 },
	[SCRAM_SHA_1] = { "{SCRAM-SHA-1}", 20, GSASL_HASH_SHA1 },
};

enum scram_hash
scram_hash_of(enum sasl_mechanism mechanism)
{
	return mechanism == SASL_SCRAM_SHA_1 ? SCRAM_SHA_1 : SCRAM_SHA_256;
}

bool
scram_is_stored(const char *stored, enum scram_hash *hash_out)
{
	for (unsigned i = 0; i < array_count(hashes); i++) {
		if (strncmp(stored, hashes[i].prefix, strlen(hashes[i].prefix)) == 0) {
			*hash_out = (enum scram_hash)i;
			return true;
		}
	}
	return false;
}

/* ---- text ---------------------------------------------------------------------------------- */

/* What stands before the next comma, or to the end, and behind it. */
static struct span
take_field(struct span *rest)
{
	const char *comma = rest->length == 0 ? NULL : memchr(rest->at, ',', rest->length);
	struct span field = *rest;

	if (comma != NULL)
		field.length = (size_t)(comma - rest->at);
	*rest = span_after(*rest, field.length + (comma != NULL));
	return field;
}

/* Base64 of `least` to `most` octets; returns how many, or -EINVAL, -ENOMEM. */
static int
read_octets(struct span text, size_t least, size_t most, uint8_t *to)
{
	char *octets = NULL;
	size_t count = 0;
	int error = gsasl_base64_from(text.at, text.length, &octets, &count);

	if (error == GSASL_MALLOC_ERROR)
		return -ENOMEM;
	if (error == GSASL_OK && (count < least || count > most))
		error = GSASL_BASE64_ERROR;
	if (error == GSASL_OK)
		memcpy(to, octets, count);
	if (octets != NULL)
		explicit_bzero(octets, count);
	gsasl_free(octets);
	return error == GSASL_OK ? (int)count : -EINVAL;
}

int
scram_read(const char *stored, enum scram_hash hash, struct scram_keys *keys_out)
{
	const struct hash *h = &hashes[hash];
	struct span rest = span_of_string(stored);
	struct scram_keys keys = { 0 };
	enum scram_hash found;
	uint64_t iterations;
	int salt;

	if (!scram_is_stored(stored, &found) || found != hash)
		return -ENOENT;
	rest = span_after(rest, strlen(h->prefix));
	if (!span_to_u64(take_field(&rest), SCRAM_ITERATIONS_MAX, &iterations) || iterations == 0)
		return -EINVAL;
	keys.iterations = (uint32_t)iterations;
	salt = read_octets(take_field(&rest), 1, SCRAM_SALT_OCTETS_MAX, keys.salt);
	if (salt < 0)
		return salt;
	keys.salt_octets = (uint8_t)salt;
	if (read_octets(take_field(&rest), h->octets, h->octets, keys.stored_key) < 0 ||
		read_octets(take_field(&rest), h->octets, h->octets, keys.server_key) < 0 ||
		rest.length > 0)
		return -EINVAL;
	*keys_out = keys;
	return 0;
}

int
scram_print(
	const struct scram_keys *keys, enum scram_hash hash, char to[ACCOUNT_HASH_OCTETS_MAX + 1])
{
	size_t octets = hashes[hash].octets;
	char *salt = NULL;
	char *stored = NULL;
	char *server = NULL;
	int error = -ENOMEM;

	if (gsasl_base64_to((const char *)keys->salt, keys->salt_octets, &salt, NULL) == GSASL_OK &&
		gsasl_base64_to((const char *)keys->stored_key, octets, &stored, NULL) ==
			GSASL_OK &&
		gsasl_base64_to((const char *)keys->server_key, octets, &server, NULL) ==
			GSASL_OK) {
		snprintf(to, ACCOUNT_HASH_OCTETS_MAX + 1, "%s%u,%s,%s,%s", hashes[hash].prefix,
			keys->iterations, salt, stored, server);
		error = 0;
	}
	gsasl_free(salt);
	gsasl_free(stored);
	gsasl_free(server);
	return error;
}

/* ---- keys ---------------------------------------------------------------------------------- */

int
scram_derive(struct span password, enum scram_hash hash, struct scram_keys *keys)
{
	char *text = strndup(password.at, password.length);
	char *prepared = NULL;
	char salted[SCRAM_KEY_OCTETS_MAX];
	char client_key[SCRAM_KEY_OCTETS_MAX];
	int error;

	if (text == NULL)
		return -ENOMEM;
	error = gsasl_saslprep(text, 0, &prepared, NULL);
	if (error == GSASL_OK)
		error = gsasl_scram_secrets_from_password(hashes[hash].library, prepared,
			keys->iterations, (const char *)keys->salt, keys->salt_octets, salted,
			client_key, (char *)keys->server_key, (char *)keys->stored_key);
	explicit_bzero(salted, sizeof(salted));
	explicit_bzero(client_key, sizeof(client_key));
	explicit_bzero(text, strlen(text));
	free(text);
	if (prepared != NULL)
		explicit_bzero(prepared, strlen(prepared));
	gsasl_free(prepared);
	if (error == GSASL_OK)
		return 0;
	return error == GSASL_MALLOC_ERROR ? -ENOMEM : -EINVAL;
}

int
scram_make(struct span password, enum scram_hash hash, struct scram_keys *keys_out)
{
	struct scram_keys keys = { .iterations = SCRAM_ITERATIONS, .salt_octets = NEW_SALT_OCTETS };
	int error;

	if (getrandom(keys.salt, NEW_SALT_OCTETS, 0) != (ssize_t)NEW_SALT_OCTETS)
		return -EIO;
	error = scram_derive(password, hash, &keys);
	if (error == 0)
		*keys_out = keys;
	return error;
}

int
scram_verify(
	struct span password, enum scram_hash hash, const struct scram_keys *keys, bool *right_out)
{
	struct scram_keys derived = *keys;
	unsigned char difference = 0;
	int error = scram_derive(password, hash, &derived);

	*right_out = false;
	if (error == -EINVAL) /* SASLprep forbids it, so it was never anybody's */
		return 0;
	if (error != 0)
		return error;
	for (size_t i = 0; i < hashes[hash].octets; i++)
		difference |= (unsigned char)(derived.stored_key[i] ^ keys->stored_key[i]);
	*right_out = difference == 0;
	explicit_bzero(&derived, sizeof(derived));
	return 0;
}

/* `count` octets that depend on secret, purpose and name. */
static int
mix(struct span name, char purpose, const uint8_t secret[32], uint8_t *to, size_t count)
{
	Blake2b state;
	bool good = wc_InitBlake2b_WithKey(&state, (word32)count, secret, 32) == 0 &&
		wc_Blake2bUpdate(&state, (const byte *)&purpose, 1) == 0 &&
		wc_Blake2bUpdate(&state, (const byte *)name.at, (word32)name.length) == 0 &&
		wc_Blake2bFinal(&state, to, (word32)count) == 0;

	return good ? 0 : -EIO;
}

int
scram_dummy(struct span name, const uint8_t secret[32], struct scram_keys *keys_out)
{
	struct scram_keys keys = { .iterations = SCRAM_ITERATIONS, .salt_octets = NEW_SALT_OCTETS };

	if (mix(name, 's', secret, keys.salt, NEW_SALT_OCTETS) != 0 ||
		mix(name, 'c', secret, keys.stored_key, SCRAM_KEY_OCTETS_MAX) != 0 ||
		mix(name, 'k', secret, keys.server_key, SCRAM_KEY_OCTETS_MAX) != 0)
		return -EIO;
	*keys_out = keys;
	return 0;
}
