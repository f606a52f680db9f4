/*
 * jwt.c - see jwt.h.
 *
 * Invariants
 *   1. A key is tried only for the algorithms of its type (and, if it says so, for its one): the
 *      token's "alg" chooses among what the key allows, never more (RFC 8725, section 3.1).
 *   2. No claim is looked at before a signature has been found right.
 */
#include "core/auth/jwt.h"

#include "io/base/must.h"

#include <errno.h>
#include <orcania.h>
#include <rhonabwy.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define FILE_OCTETS_MAX (1u << 20)
#define RSA_BITS_MIN    2048u
#define ALGORITHM(alg)  (1u << (alg))

struct jwt_key {
	jwk_t *jwk;
	const char *kid;     /* of the jwk; NULL: it has none */
	unsigned algorithms; /* ALGORITHM()s */
};

struct jwt_keys {
	atomic_uint references;
	unsigned count;
	struct jwt_key keys[JWT_KEYS_MAX];
};

/* ---- keys ---------------------------------------------------------------------------------- */

struct loading {
	struct jwt_keys *keys;
	const char *path;
	char *why;
};

__attribute__((format(printf, 2, 3))) static int
fail(const struct loading *l, const char *format, ...)
{
	int used = snprintf(l->why, JWT_WHY_OCTETS, "oauth_keys: %.300s ", l->path);
	va_list args;

	va_start(args, format);
	vsnprintf(l->why + used, JWT_WHY_OCTETS - (size_t)used, format, args);
	va_end(args);
	return -EINVAL;
}

static unsigned
algorithms_of(int type, unsigned bits)
{
	if ((type & R_KEY_TYPE_RSA) != 0)
		return ALGORITHM(R_JWA_ALG_RS256) | ALGORITHM(R_JWA_ALG_RS384) |
			ALGORITHM(R_JWA_ALG_RS512) | ALGORITHM(R_JWA_ALG_PS256) |
			ALGORITHM(R_JWA_ALG_PS384) | ALGORITHM(R_JWA_ALG_PS512);
	if ((type & R_KEY_TYPE_EDDSA) != 0)
		return ALGORITHM(R_JWA_ALG_EDDSA);
	if ((type & R_KEY_TYPE_EC) == 0)
		return 0;
	switch (bits) {
	case 256:
		return ALGORITHM(R_JWA_ALG_ES256);
	case 384:
		return ALGORITHM(R_JWA_ALG_ES384);
	case 521:
		return ALGORITHM(R_JWA_ALG_ES512);
	default:
		return 0;
	}
}

/* An algorithm that `unsigned` has a bit for; 0: unknown, or for nothing that is signed. */
static unsigned
algorithm_named(const char *name)
{
	jwa_alg alg = name == NULL ? R_JWA_ALG_UNKNOWN : r_str_to_jwa_alg(name);

	static_assert(R_JWA_ALG_PS512 < 32, "a bit for each");
	return alg <= R_JWA_ALG_PS512 ? ALGORITHM(alg) : 0;
}

/* Take the key over; one that is of no use for signatures is passed over. */
static int
add_key(struct loading *l, jwk_t *jwk)
{
	unsigned bits = 0;
	int type = r_jwk_key_type(jwk, &bits, R_FLAG_IGNORE_REMOTE);
	const char *use = r_jwk_get_property_str(jwk, "use");
	const char *only = r_jwk_get_property_str(jwk, "alg");
	struct jwt_key key = { jwk, r_jwk_get_property_str(jwk, "kid"), algorithms_of(type, bits) };

	if ((type & (R_KEY_TYPE_SYMMETRIC | R_KEY_TYPE_PRIVATE)) != 0) {
		r_jwk_free(jwk);
		return fail(l, "holds a secret or private key: give the public one");
	}
	if ((type & R_KEY_TYPE_RSA) != 0 && bits < RSA_BITS_MIN) {
		r_jwk_free(jwk);
		return fail(l, "holds an RSA key of %u bits: use %u or more", bits, RSA_BITS_MIN);
	}
	if (only != NULL)
		key.algorithms &= algorithm_named(only);
	if (key.algorithms == 0 || (use != NULL && strcmp(use, "sig") != 0)) {
		r_jwk_free(jwk);
		return 0;
	}
	if (l->keys->count == JWT_KEYS_MAX) {
		r_jwk_free(jwk);
		return fail(l, "is one key too many: %u are enough", JWT_KEYS_MAX);
	}
	l->keys->keys[l->keys->count++] = key;
	return 0;
}

static int
add_jwk(struct loading *l, json_t *object)
{
	jwk_t *jwk;

	if (r_jwk_init(&jwk) != RHN_OK)
		return -ENOMEM;
	if (r_jwk_import_from_json_t(jwk, object) == RHN_OK)
		return add_key(l, jwk);
	r_jwk_free(jwk); /* of a type that is not known: to be passed over (RFC 7517, section 5) */
	return 0;
}

static int
add_json(struct loading *l, const char *text, size_t octets)
{
	json_t *root = json_loadb(text, octets, JSON_REJECT_DUPLICATES, NULL);
	json_t *keys = json_object_get(root, "keys");
	int error = 0;

	if (json_is_array(keys)) {
		for (size_t i = 0; i < json_array_size(keys) && error == 0; i++)
			error = add_jwk(l, json_array_get(keys, i));
	} else if (json_object_get(root, "kty") != NULL) {
		error = add_jwk(l, root);
	} else {
		error = fail(l, "begins like JSON, but is no JSON Web Key Set");
	}
	json_decref(root);
	return error;
}

static int
add_pem(struct loading *l, const char *text, size_t octets)
{
	bool is_certificate = strstr(text, "-----BEGIN CERTIFICATE-----") != NULL;
	jwk_t *jwk;

	if (strstr(text, "PRIVATE KEY-----") != NULL)
		return fail(l, "holds a private key: give the public one (openssl pkey -pubout)");
	if (r_jwk_init(&jwk) != RHN_OK)
		return -ENOMEM;
	if (r_jwk_import_from_pem_der(jwk,
		    is_certificate ? R_X509_TYPE_CERTIFICATE : R_X509_TYPE_PUBKEY, R_FORMAT_PEM,
		    (const unsigned char *)text, octets) != RHN_OK) {
		r_jwk_free(jwk);
		return fail(l,
			"is neither a public key or certificate in PEM form nor a JSON Web "
			"Key Set");
	}
	(void)r_jwk_delete_property_str(jwk, "kid"); /* the library's, no issuer knows it */
	return add_key(l, jwk);
}

/* All of a file with a NUL behind it. */
static int
read_file(const struct loading *l, char **text_out, size_t *octets_out)
{
	FILE *file = fopen(l->path, "re");
	char *text = malloc(FILE_OCTETS_MAX + 1);
	int error = 0;

	if (file == NULL)
		error = fail(l, "cannot be opened: %s", strerror(errno));
	else if (text == NULL)
		error = -ENOMEM;
	if (error == 0) {
		*octets_out = fread(text, 1, FILE_OCTETS_MAX, file);
		text[*octets_out] = '\0';
		if (ferror(file) != 0)
			error = fail(l, "cannot be read: %s", strerror(errno));
		else if (*octets_out == FILE_OCTETS_MAX)
			error = fail(l, "is too large for keys");
	}
	if (file != NULL)
		fclose(file);
	if (error != 0)
		free(text);
	else
		*text_out = text;
	return error;
}

static int
add_file(struct loading *l)
{
	unsigned before = l->keys->count;
	size_t octets;
	char *text;
	int error = read_file(l, &text, &octets);

	if (error != 0)
		return error;
	error = text[strspn(text, " \t\r\n")] == '{' ? add_json(l, text, octets)
						     : add_pem(l, text, octets);
	free(text);
	if (error == 0 && l->keys->count == before)
		error = fail(l, "holds no key that signatures can be checked with");
	return error;
}

int
jwt_keys_load(const char *const *paths, unsigned count, char why[JWT_WHY_OCTETS],
	struct jwt_keys **keys_out)
{
	struct loading l = { .keys = calloc(1, sizeof(*l.keys)), .why = why };
	int error = 0;

	snprintf(why, JWT_WHY_OCTETS, "oauth_keys: no memory");
	if (l.keys == NULL)
		return -ENOMEM;
	atomic_init(&l.keys->references, 1);
	for (unsigned i = 0; i < count && error == 0; i++) {
		l.path = paths[i];
		error = add_file(&l);
	}
	if (error != 0) {
		jwt_keys_release(l.keys);
		return error;
	}
	*keys_out = l.keys;
	return 0;
}

struct jwt_keys *
jwt_keys_share(struct jwt_keys *keys)
{
	atomic_fetch_add_explicit(&keys->references, 1, memory_order_relaxed);
	return keys;
}

void
jwt_keys_release(struct jwt_keys *keys)
{
	if (keys == NULL ||
		atomic_fetch_sub_explicit(&keys->references, 1, memory_order_acq_rel) != 1)
		return;
	for (unsigned i = 0; i < keys->count; i++)
		r_jwk_free(keys->keys[i].jwk);
	free(keys);
}

unsigned
jwt_keys_count(const struct jwt_keys *keys)
{
	return keys->count;
}

/* ---- tokens -------------------------------------------------------------------------------- */

static bool
is_base64url(struct span s)
{
	for (size_t i = 0; i < s.length; i++) {
		char c = s.at[i];

		if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
			    c == '-' || c == '_'))
			return false;
	}
	return s.length > 0 && s.length % 4 != 1;
}

/* Header, payload, signature; false: these are not three parts. */
static bool
split(struct span token, struct span parts_out[3])
{
	for (unsigned i = 0; i < 3; i++) {
		const char *dot = token.length == 0 ? NULL : memchr(token.at, '.', token.length);

		if ((dot == NULL) != (i == 2))
			return false;
		parts_out[i] =
			span_of(token.at, dot == NULL ? token.length : (size_t)(dot - token.at));
		if (dot != NULL)
			token = span_after(token, parts_out[i].length + 1);
	}
	return true;
}

bool
jwt_looks_like_one(struct span token)
{
	struct span parts[3];

	return split(token, parts);
}

/* An object in base64url; NULL: it is none. */
static json_t *
read_object(struct span part)
{
	struct _o_datum octets = { 0, NULL };
	json_t *object = NULL;

	if (!is_base64url(part) ||
		o_base64url_decode_alloc((const unsigned char *)part.at, part.length, &octets) != 1)
		return NULL;
	object = json_loadb((const char *)octets.data, octets.size, JSON_REJECT_DUPLICATES, NULL);
	explicit_bzero(octets.data, octets.size);
	o_free(octets.data);
	if (!json_is_object(object)) {
		json_decref(object);
		return NULL;
	}
	return object;
}

/* A token of another kind (a logout token, a proof of possession) is not for us:
 * RFC 8725, section 3.11. */
static bool
is_of_our_type(const json_t *header)
{
	static const char *const types[] = { "JWT", "at+jwt", "application/jwt",
		"application/at+jwt" };
	const json_t *value = json_object_get(header, "typ");
	const char *type = json_string_value(value);

	if (value == NULL)
		return true;
	for (unsigned i = 0; type != NULL && i < array_count(types); i++) {
		if (strcasecmp(type, types[i]) == 0)
			return true;
	}
	return false;
}

/* By one of the keys that may have signed it; which, its header says. */
static int
check_signature(const struct jwt_keys *keys, const json_t *header, jws_t *jws, const char **why_out)
{
	const char *kid = json_string_value(json_object_get(header, "kid"));
	unsigned algorithm = algorithm_named(json_string_value(json_object_get(header, "alg")));

	*why_out = "token_key";
	for (unsigned i = 0; i < keys->count; i++) {
		const struct jwt_key *key = &keys->keys[i];
		int result;

		if (kid != NULL && key->kid != NULL && strcmp(kid, key->kid) != 0)
			continue;
		if ((key->algorithms & algorithm) == 0) {
			if (strcmp(*why_out, "token_key") == 0)
				*why_out = "token_algorithm";
			continue;
		}
		*why_out = "token_signature";
		result = r_jws_verify_signature(jws, key->jwk, R_FLAG_IGNORE_REMOTE);
		if (result == RHN_ERROR_MEMORY)
			return -ENOMEM;
		if (result == RHN_OK) {
			*why_out = NULL;
			return 0;
		}
	}
	return 0;
}

/* The payload was read strictly before; the signature is over its octets as they came. */
static int
verify_parsed(
	const struct jwt_keys *keys, const json_t *header, struct span token, const char **why_out)
{
	jws_t *jws;
	int error = 0;

	if (r_jws_init(&jws) != RHN_OK)
		return -ENOMEM;
	if (r_jws_advanced_compact_parsen(
		    jws, token.at, token.length, R_PARSE_NONE, R_FLAG_IGNORE_REMOTE) == RHN_OK)
		error = check_signature(keys, header, jws, why_out);
	else
		*why_out = "token_malformed";
	r_jws_free(jws);
	return error;
}

int
jwt_verify(const struct jwt_keys *keys, const struct claims_rules *rules, struct span token,
	int64_t now, struct token_owner *owner_out, const char **why_out)
{
	struct span parts[3];
	json_t *header = NULL;
	json_t *claims = NULL;
	int error = 0;

	*why_out = "token_malformed";
	if (split(token, parts) && is_base64url(parts[2])) {
		header = read_object(parts[0]);
		claims = read_object(parts[1]);
	}
	if (header == NULL || claims == NULL)
		goto out;
	if (json_object_get(header, "crit") != NULL || !is_of_our_type(header))
		goto out;
	if ((algorithm_named(json_string_value(json_object_get(header, "alg"))) &
		    (ALGORITHM(R_JWA_ALG_UNKNOWN) | ALGORITHM(R_JWA_ALG_NONE))) != 0) {
		*why_out = "token_algorithm";
		goto out;
	}
	error = verify_parsed(keys, header, token, why_out);
	if (error == 0 && *why_out == NULL)
		*why_out = claims_check(claims, rules, true, now, owner_out);
out:
	json_decref(header);
	json_decref(claims);
	return error;
}
