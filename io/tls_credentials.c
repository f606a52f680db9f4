/*
 * tls_credentials.c - see tls_credentials.h.
 */
#include "io/tls_credentials.h"

#include "io/base/must.h"
#include "io/tls_hello.h"

#include <wolfssl/options.h>

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>
#include <wolfssl/openssl/evp.h>
#include <wolfssl/openssl/pem.h>
#include <wolfssl/ssl.h>
#include <wolfssl/wolfcrypt/asn_public.h>
#include <wolfssl/wolfcrypt/sha256.h>

#define FILE_OCTETS_MAX      (256 * 1024)
#define CHAIN_OCTETS_MAX     32768u /* a server's flight fits one output buffer */
#define SECRET_OCTETS_MIN    32u
#define SIGNATURE_OCTETS_MAX 2048 /* RSA of 16,384 bits */
#define PROOF                "what is signed"

__attribute__((format(printf, 3, 4))) static int
fail(int error, char why[TLS_WHY_OCTETS], const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(why, TLS_WHY_OCTETS, format, arguments);
	va_end(arguments);
	return error;
}

/* ---- files --------------------------------------------------------------------------------- */

static void
wipe_and_free(char *octets, size_t length)
{
	if (octets != NULL)
		explicit_bzero(octets, length);
	free(octets);
}

static int
read_whole(int fd, char **octets_out, size_t *length_out)
{
	char *octets = malloc(FILE_OCTETS_MAX + 1);
	size_t length = 0;
	ssize_t n = 1;

	if (octets == NULL)
		return -ENOMEM;
	while (n > 0 && length < FILE_OCTETS_MAX) {
		n = read(fd, octets + length, FILE_OCTETS_MAX - length);
		if (n > 0)
			length += (size_t)n;
	}
	if (n != 0) {
		int error = n < 0 ? -errno : -EFBIG;

		wipe_and_free(octets, length);
		return error;
	}
	octets[length] = '\0';
	*octets_out = octets;
	*length_out = length;
	return 0;
}

static int
read_file(const char *path, char why[TLS_WHY_OCTETS], char **octets_out, size_t *length_out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	int error = fd < 0 ? -errno : read_whole(fd, octets_out, length_out);

	if (fd >= 0)
		close(fd);
	if (error == 0)
		return 0;
	return fail(error, why, "%s: %s%s", path, strerror(-error),
		error == -EACCES ? "; the user that the server runs as must be able to read it"
				 : "");
}

/* ---- one identity -------------------------------------------------------------------------- */

static time_t
time_of(const WOLFSSL_ASN1_TIME *asn1)
{
	struct tm tm = { 0 };

	if (asn1 == NULL || wolfSSL_ASN1_TIME_to_tm(asn1, &tm) != WOLFSSL_SUCCESS)
		return 0;
	return timegm(&tm);
}

static int
add_name(struct tls_identity *i, const char *name)
{
	char **names = realloc(i->names, (i->name_count + 1) * sizeof(*names));
	char *copy;

	if (names == NULL)
		return -ENOMEM;
	i->names = names;
	copy = strdup(name);
	if (copy == NULL)
		return -ENOMEM;
	for (char *c = copy; *c != '\0'; c++)
		if (*c >= 'A' && *c <= 'Z')
			*c = (char)(*c + 'a' - 'A');
	i->names[i->name_count++] = copy;
	return 0;
}

/* RFC 6125: the subject's common name counts only where there are no alternative names. */
static int
take_names(struct tls_identity *i, WOLFSSL_X509 *x509)
{
	char common[256];
	const char *name;
	int error = 0;

	while (error == 0 && (name = wolfSSL_X509_get_next_altname(x509)) != NULL)
		error = add_name(i, name);
	if (error == 0 && i->name_count == 0 &&
		wolfSSL_X509_NAME_get_text_by_NID(wolfSSL_X509_get_subject_name(x509),
			NID_commonName, common, sizeof(common)) > 0)
		error = add_name(i, common);
	return error;
}

static int
read_certificate(struct tls_identity *i, char why[TLS_WHY_OCTETS])
{
	WOLFSSL_X509 *x509 = wolfSSL_X509_load_certificate_buffer(
		(const unsigned char *)i->chain, (int)i->chain_octets, WOLFSSL_FILETYPE_PEM);
	int kind, error;

	if (x509 == NULL)
		return fail(-EINVAL, why, "%s: it holds no certificate in PEM form",
			i->certificate_path);
	kind = wolfSSL_X509_get_pubkey_type(x509);
	i->kind = kind == ECDSAk ? TLS_KEY_ECDSA : TLS_KEY_RSA;
	i->not_before = time_of(wolfSSL_X509_get_notBefore(x509));
	i->not_after = time_of(wolfSSL_X509_get_notAfter(x509));
	error = take_names(i, x509);
	wolfSSL_X509_free(x509);
	if (error != 0)
		return fail(error, why, "out of memory");
	if (kind != ECDSAk && kind != RSAk)
		return fail(
			-EINVAL, why, "%s: its key is neither ECDSA nor RSA", i->certificate_path);
	if (i->chain_octets > CHAIN_OCTETS_MAX)
		return fail(-EFBIG, why, "%s: more than %u octets of certificates",
			i->certificate_path, CHAIN_OCTETS_MAX);
	return 0;
}

static int
sign(WOLFSSL_EVP_PKEY *key, unsigned char *signature, size_t *length)
{
	WOLFSSL_EVP_MD_CTX *md = wolfSSL_EVP_MD_CTX_new();
	int good = md != NULL &&
		wolfSSL_EVP_DigestSignInit(md, NULL, wolfSSL_EVP_sha256(), NULL, key) == 1 &&
		wolfSSL_EVP_DigestSignUpdate(md, PROOF, sizeof(PROOF)) == 1 &&
		wolfSSL_EVP_DigestSignFinal(md, signature, length) == 1;

	wolfSSL_EVP_MD_CTX_free(md);
	return good;
}

static int
verify(WOLFSSL_EVP_PKEY *key, const unsigned char *signature, size_t length)
{
	WOLFSSL_EVP_MD_CTX *md = wolfSSL_EVP_MD_CTX_new();
	int good = md != NULL &&
		wolfSSL_EVP_DigestVerifyInit(md, NULL, wolfSSL_EVP_sha256(), NULL, key) == 1 &&
		wolfSSL_EVP_DigestVerifyUpdate(md, PROOF, sizeof(PROOF)) == 1 &&
		wolfSSL_EVP_DigestVerifyFinal(md, signature, length) == 1;

	wolfSSL_EVP_MD_CTX_free(md);
	return good;
}

/* What the key signs the certificate verifies.  (wolfSSL_CTX_check_private_key() of 5.5.4 finds any
 * ECDSA key good for any certificate.) */
static bool
is_pair(const struct tls_identity *i)
{
	WOLFSSL_BIO *bio = wolfSSL_BIO_new_mem_buf(i->key, (int)i->key_octets);
	WOLFSSL_X509 *x509 = wolfSSL_X509_load_certificate_buffer(
		(const unsigned char *)i->chain, (int)i->chain_octets, WOLFSSL_FILETYPE_PEM);
	WOLFSSL_EVP_PKEY *own = wolfSSL_PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
	WOLFSSL_EVP_PKEY *shown = wolfSSL_X509_get_pubkey(x509);
	unsigned char signature[SIGNATURE_OCTETS_MAX];
	size_t length = sizeof(signature);
	bool good = own != NULL && shown != NULL && sign(own, signature, &length) &&
		verify(shown, signature, length);

	wolfSSL_EVP_PKEY_free(own);
	wolfSSL_EVP_PKEY_free(shown);
	wolfSSL_X509_free(x509);
	wolfSSL_BIO_free(bio);
	wolfSSL_ERR_clear_error();
	return good;
}

/* A context of our own shows whether all fits together. */
static int
check_pair(const struct tls_identity *i, char why[TLS_WHY_OCTETS])
{
	WOLFSSL_CTX *ctx = wolfSSL_CTX_new(wolfTLS_server_method());
	int error = 0;

	if (ctx == NULL)
		return fail(-ENOMEM, why, "out of memory");
	if (wolfSSL_CTX_use_certificate_chain_buffer(
		    ctx, (const unsigned char *)i->chain, (long)i->chain_octets) != WOLFSSL_SUCCESS)
		error = fail(-EINVAL, why, "%s: its chain of certificates cannot be read",
			i->certificate_path);
	else if (wolfSSL_CTX_use_PrivateKey_buffer(ctx, (const unsigned char *)i->key,
			 (long)i->key_octets, WOLFSSL_FILETYPE_PEM) != WOLFSSL_SUCCESS)
		error = fail(-EINVAL, why,
			"%s: it holds no private key in PEM form without a passphrase",
			i->key_path);
	else if (!is_pair(i))
		error = fail(-EINVAL, why, "%s: this key does not belong to the certificate in %s",
			i->key_path, i->certificate_path);
	wolfSSL_CTX_free(ctx);
	return error;
}

static int
load_identity(
	const char *certificate, const char *key, char why[TLS_WHY_OCTETS], struct tls_identity *i)
{
	int error = read_file(certificate, why, &i->chain, &i->chain_octets);

	if (error == 0)
		error = read_file(key, why, &i->key, &i->key_octets);
	if (error != 0)
		return error;
	i->certificate_path = strdup(certificate);
	i->key_path = strdup(key);
	if (i->certificate_path == NULL || i->key_path == NULL)
		return fail(-ENOMEM, why, "out of memory");
	error = read_certificate(i, why);
	return error == 0 ? check_pair(i, why) : error;
}

/* ---- all of them --------------------------------------------------------------------------- */

static int
load_ticket_secret(const char *path, char why[TLS_WHY_OCTETS], unsigned char *secret)
{
	char *octets;
	size_t length;
	int error;

	if (path[0] == '\0')
		return getrandom(secret, TLS_SECRET_OCTETS, 0) == TLS_SECRET_OCTETS
			? 0
			: fail(-EIO, why, "no random numbers");
	error = read_file(path, why, &octets, &length);
	if (error != 0)
		return error;
	if (length < SECRET_OCTETS_MIN)
		error = fail(-EINVAL, why,
			"%s: a ticket key has at least %u octets; `head -c 64 /dev/urandom` makes one",
			path, SECRET_OCTETS_MIN);
	else
		must(wc_Sha256Hash((const unsigned char *)octets, (word32)length, secret) == 0);
	wipe_and_free(octets, length);
	return error;
}

static int
load_client_ca(const char *path, char why[TLS_WHY_OCTETS], struct tls_credentials *c)
{
	WOLFSSL_CTX *ctx;
	int error = read_file(path, why, &c->client_ca, &c->client_ca_octets);

	if (error != 0)
		return error;
	ctx = wolfSSL_CTX_new(wolfTLS_server_method());
	if (ctx == NULL ||
		wolfSSL_CTX_load_verify_buffer(ctx, (const unsigned char *)c->client_ca,
			(long)c->client_ca_octets, WOLFSSL_FILETYPE_PEM) != WOLFSSL_SUCCESS)
		error = fail(
			-EINVAL, why, "%s: it holds no authority's certificate in PEM form", path);
	wolfSSL_CTX_free(ctx);
	return error;
}

static int
load_all(const struct tls_files *files, char why[TLS_WHY_OCTETS], struct tls_credentials *c)
{
	int error = 0;

	for (unsigned i = 0; i < files->count && error == 0; i++) {
		const char *key = files->key_count > 0 ? files->keys[i] : files->certificates[i];

		c->count = i + 1;
		error = load_identity(files->certificates[i], key, why, &c->identities[i]);
	}
	if (error == 0 && files->client_ca[0] != '\0')
		error = load_client_ca(files->client_ca, why, c);
	if (error == 0)
		error = load_ticket_secret(files->ticket_key, why, c->ticket_secret);
	return error;
}

int
tls_credentials_load(const struct tls_files *files, char why[TLS_WHY_OCTETS],
	struct tls_credentials **credentials_out)
{
	struct tls_credentials *c = calloc(1, sizeof(*c));
	int error;

	must(files->count > 0 && (files->key_count == 0 || files->key_count == files->count));
	wolfSSL_Init();
	if (c != NULL)
		c->identities = calloc(files->count, sizeof(*c->identities));
	if (c == NULL || c->identities == NULL) {
		free(c);
		return fail(-ENOMEM, why, "out of memory");
	}
	c->references = 1;
	error = load_all(files, why, c);
	if (error != 0)
		tls_credentials_release(c);
	else
		*credentials_out = c;
	return error;
}

struct tls_credentials *
tls_credentials_share(struct tls_credentials *c)
{
	atomic_fetch_add(&c->references, 1);
	return c;
}

static void
forget_identity(struct tls_identity *i)
{
	for (unsigned n = 0; n < i->name_count; n++)
		free(i->names[n]);
	free(i->names);
	wipe_and_free(i->chain, i->chain_octets); /* it may hold the key too */
	wipe_and_free(i->key, i->key_octets);
	free(i->certificate_path);
	free(i->key_path);
}

void
tls_credentials_release(struct tls_credentials *c)
{
	if (c == NULL || atomic_fetch_sub(&c->references, 1) != 1)
		return;
	for (unsigned i = 0; i < c->count; i++)
		forget_identity(&c->identities[i]);
	free(c->identities);
	free(c->client_ca);
	explicit_bzero(c->ticket_secret, sizeof(c->ticket_secret));
	free(c);
}

/* ---- which one ----------------------------------------------------------------------------- */

bool
tls_name_fits(const char *name, struct span host)
{
	const char *dot;

	if (host.length > 0 && host.at[host.length - 1] == '.')
		host.length--;
	if (name[0] != '*' || name[1] != '.')
		return span_equals_nocase(host, span_of_string(name));
	dot = host.length == 0 ? NULL : memchr(host.at, '.', host.length);
	if (dot == NULL || dot == host.at)
		return false;
	return span_equals_nocase(
		span_after(host, (size_t)(dot - host.at)), span_of_string(name + 1));
}

static bool
identity_fits(const struct tls_identity *i, struct span host)
{
	for (unsigned n = 0; n < i->name_count; n++)
		if (tls_name_fits(i->names[n], host))
			return true;
	return false;
}

/* The host to look for: the one asked for, if we have it, else the one our first certificate is
 * for. */
static struct span
host_for(const struct tls_credentials *c, const struct tls_hello *hello)
{
	for (unsigned i = 0; i < c->count; i++)
		if (hello->server_name.length > 0 &&
			identity_fits(&c->identities[i], hello->server_name))
			return hello->server_name;
	if (c->identities[0].name_count == 0)
		return span_of(NULL, 0);
	return span_of_string(c->identities[0].names[0]);
}

unsigned
tls_credentials_choose(const struct tls_credentials *c, const struct tls_hello *hello)
{
	struct span host = host_for(c, hello);
	unsigned best = 0;
	int best_points = -1;

	for (unsigned i = 0; i < c->count; i++) {
		const struct tls_identity *identity = &c->identities[i];
		bool is_ecdsa = identity->kind == TLS_KEY_ECDSA;
		bool is_understood = is_ecdsa ? hello->takes_ecdsa : hello->takes_rsa;
		bool fits = identity_fits(identity, host);
		int points = 4 * is_understood + 2 * fits + (fits && is_ecdsa);

		if (points > best_points) {
			best = i;
			best_points = points;
		}
	}
	return best;
}
