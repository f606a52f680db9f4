/*
 * password.c - libxcrypt, asked in a thread-safe way.
 *
 * Copies of a secret live in this file's buffers only while crypt(3) reads them and are wiped
 * after.
 */
#include "core/auth/password.h"

#include "core/auth/password_legacy.h"
#include "core/auth/scram.h"
#include "io/base/must.h"

#include <crypt.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#define PLAIN_PREFIX        "{PLAIN}"
#define DUMMY_SECRET_OCTETS 16
#define BCRYPT_OCTETS_MAX   72u

static_assert(PASSWORD_SECRET_OCTETS_MAX < CRYPT_MAX_PASSPHRASE_SIZE,
	"a secret and its NUL fit crypt(3)");
static_assert(CRYPT_OUTPUT_SIZE <= ACCOUNT_HASH_OCTETS_MAX + 1, "an account has room for a hash");

static const struct scheme {
	const char *name;
	const char *prefix;
	bool is_made;
} schemes[] = {
	{ "yescrypt", "$y$", true },
	{ "sha512-crypt", "$6$", true },
	{ "bcrypt", "$2b$", true },
	{ "bcrypt", "$2a$", false },
	{ "bcrypt", "$2y$", false },
	{ "sha256-crypt", "$5$", false },
	{ "md5-crypt", "$1$", false },
};

/* DES-crypt(5): thirteen of these, and no mark. */
#define DES_DIGITS      "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
#define DES_HASH_OCTETS 13u
static const struct scheme des_scheme = { "des-crypt", "", false };

static bool
starts_with(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* Equal, found out in a time that depends on the lengths only. */
static bool
equals_in_constant_time(struct span a, struct span b)
{
	unsigned char difference = 0;

	if (a.length != b.length)
		return false;
	for (size_t i = 0; i < a.length; i++)
		difference |= (unsigned char)(a.at[i] ^ b.at[i]);
	return difference == 0;
}

static bool
is_usable(struct span secret)
{
	return secret.length > 0 && secret.length <= PASSWORD_SECRET_OCTETS_MAX &&
		memchr(secret.at, '\0', secret.length) == NULL;
}

static const struct scheme *
find_scheme(const char *hash)
{
	for (size_t i = 0; i < array_count(schemes); i++) {
		if (starts_with(hash, schemes[i].prefix))
			return &schemes[i];
	}
	if (strlen(hash) == DES_HASH_OCTETS && strspn(hash, DES_DIGITS) == DES_HASH_OCTETS)
		return &des_scheme;
	return NULL;
}

struct span
password_plain(const char *hash)
{
	if (!starts_with(hash, PLAIN_PREFIX))
		return SPAN("");
	return span_of_string(hash + strlen(PLAIN_PREFIX));
}

const char *
password_scheme_name(const char *hash)
{
	const struct scheme *scheme = find_scheme(hash);

	enum scram_hash scram;

	if (scheme != NULL)
		return scheme->name;
	if (scram_is_stored(hash, &scram))
		return scram == SCRAM_SHA_256 ? "scram-sha-256" : "scram-sha-1";
	if (password_legacy_scheme(hash) != NULL)
		return password_legacy_scheme(hash);
	return starts_with(hash, PLAIN_PREFIX) ? "plain" : "unknown";
}

int
password_check_hash(const char *hash)
{
	size_t length = strlen(hash);
	struct scram_keys keys;
	enum scram_hash scram;

	if (length == 0 || length > ACCOUNT_HASH_OCTETS_MAX)
		return -EINVAL;
	if (starts_with(hash, PLAIN_PREFIX))
		return length > strlen(PLAIN_PREFIX) ? 0 : -EINVAL;
	if (scram_is_stored(hash, &scram))
		return scram_read(hash, scram, &keys);
	if (password_legacy_scheme(hash) != NULL)
		return password_legacy_check(hash);
	if (find_scheme(hash) == NULL)
		return -ENOTSUP;
	return crypt_checksalt(hash) == CRYPT_SALT_INVALID ? -EINVAL : 0;
}

/* crypt(3) of a usable secret.  *hash_out is to be wiped and freed; it lies within the one
 * allocation of *data_out. */
static int
hash_secret(struct span secret, const char *setting, void **data_out, int *octets_out,
	const char **hash_out)
{
	char text[PASSWORD_SECRET_OCTETS_MAX + 1];
	int error = 0;

	memcpy(text, secret.at, secret.length);
	text[secret.length] = '\0';
	errno = 0;
	*hash_out = crypt_ra(text, setting, data_out, octets_out);
	if (*hash_out == NULL)
		error = errno != 0 ? -errno : -EINVAL;
	explicit_bzero(text, sizeof(text));
	return error;
}

static void
wipe_and_free(void *data, int octets)
{
	if (data != NULL)
		explicit_bzero(data, (size_t)octets);
	free(data);
}

static int
verify_crypt(struct span secret, const char *stored, bool *right_out)
{
	void *data = NULL;
	int octets = 0;
	const char *hash;
	int error = hash_secret(secret, stored, &data, &octets, &hash);

	if (error == 0)
		*right_out = equals_in_constant_time(span_of_string(hash), span_of_string(stored));
	wipe_and_free(data, octets);
	return error;
}

static int
verify_scram(struct span secret, const char *stored, enum scram_hash hash, bool *right_out)
{
	struct scram_keys keys;
	int error = scram_read(stored, hash, &keys);

	return error != 0 ? error : scram_verify(secret, hash, &keys, right_out);
}

int
password_verify(struct span secret, const char *hash, bool *right_out)
{
	enum scram_hash scram;
	int error = password_check_hash(hash);

	if (error != 0)
		return error;
	if (!is_usable(secret)) {
		*right_out = false;
		return 0;
	}
	if (scram_is_stored(hash, &scram))
		return verify_scram(secret, hash, scram, right_out);
	if (password_legacy_scheme(hash) != NULL)
		return password_legacy_verify(secret, hash, right_out);
	if (!starts_with(hash, PLAIN_PREFIX))
		return verify_crypt(secret, hash, right_out);
	*right_out = equals_in_constant_time(secret, password_plain(hash));
	return 0;
}

static int
make_plain(struct span secret, char hash_out[ACCOUNT_HASH_OCTETS_MAX + 1])
{
	if (strlen(PLAIN_PREFIX) + secret.length > ACCOUNT_HASH_OCTETS_MAX)
		return -ERANGE;
	snprintf(hash_out, ACCOUNT_HASH_OCTETS_MAX + 1, PLAIN_PREFIX "%.*s", (int)secret.length,
		secret.at);
	return 0;
}

static int
make_crypt(const char *prefix, struct span secret, char hash_out[ACCOUNT_HASH_OCTETS_MAX + 1])
{
	char setting[CRYPT_GENSALT_OUTPUT_SIZE];
	void *data = NULL;
	int octets = 0;
	const char *hash;
	int error;

	/* Cost 0 is the scheme's own default; the salt comes from the kernel. */
	if (crypt_gensalt_rn(prefix, 0, NULL, 0, setting, sizeof(setting)) == NULL)
		return -errno;
	error = hash_secret(secret, setting, &data, &octets, &hash);
	if (error == 0)
		snprintf(hash_out, ACCOUNT_HASH_OCTETS_MAX + 1, "%s", hash);
	wipe_and_free(data, octets);
	return error;
}

static int
make_scram(struct span secret, char hash_out[ACCOUNT_HASH_OCTETS_MAX + 1])
{
	struct scram_keys keys;
	int error = scram_make(secret, SCRAM_SHA_256, &keys);

	if (error == 0)
		error = scram_print(&keys, SCRAM_SHA_256, hash_out);
	explicit_bzero(&keys, sizeof(keys));
	return error;
}

int
password_make(const char *scheme, struct span secret, char hash_out[ACCOUNT_HASH_OCTETS_MAX + 1])
{
	if (!is_usable(secret))
		return -EINVAL;
	if (strcmp(scheme, "plain") == 0)
		return make_plain(secret, hash_out);
	if (strcmp(scheme, "scram-sha-256") == 0)
		return make_scram(secret, hash_out);
	if (strcmp(scheme, "bcrypt") == 0 && secret.length > BCRYPT_OCTETS_MAX)
		return -ERANGE;
	for (size_t i = 0; i < array_count(schemes); i++) {
		if (schemes[i].is_made && strcmp(schemes[i].name, scheme) == 0)
			return make_crypt(schemes[i].prefix, secret, hash_out);
	}
	return -ENOTSUP;
}

int
password_make_dummy(const char *scheme, char hash_out[ACCOUNT_HASH_OCTETS_MAX + 1])
{
	unsigned char noise[DUMMY_SECRET_OCTETS];
	char secret[2 * DUMMY_SECRET_OCTETS + 1];
	int error;

	if (getrandom(noise, sizeof(noise), 0) != (ssize_t)sizeof(noise))
		return -EIO;
	for (size_t i = 0; i < sizeof(noise); i++)
		snprintf(secret + 2 * i, 3, "%02x", noise[i]);
	error = password_make(scheme, span_of_string(secret), hash_out);
	explicit_bzero(noise, sizeof(noise));
	explicit_bzero(secret, sizeof(secret));
	return error;
}
