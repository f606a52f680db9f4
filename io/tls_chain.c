/*
 * tls_chain.c - is the chain behind a certificate in order?  See tls_credentials.h.
 */
#include "io/tls_credentials.h"

#include "io/base/must.h"

#include <wolfssl/options.h>

#include <errno.h>
#include <stdio.h>
#include <wolfssl/openssl/pem.h>
#include <wolfssl/ssl.h>

/* `issuer` has signed `x509`. */
static bool
has_signed(WOLFSSL_X509 *issuer, WOLFSSL_X509 *x509)
{
	WOLFSSL_EVP_PKEY *key = wolfSSL_X509_get_pubkey(issuer);
	bool good = key != NULL &&
		wolfSSL_X509_NAME_cmp(wolfSSL_X509_get_issuer_name(x509),
			wolfSSL_X509_get_subject_name(issuer)) == 0 &&
		wolfSSL_X509_verify(x509, key) == WOLFSSL_SUCCESS;

	wolfSSL_EVP_PKEY_free(key);
	return good;
}

int
tls_chain_check(const struct tls_identity *i, unsigned *length_out, char why[TLS_WHY_OCTETS])
{
	WOLFSSL_BIO *bio = wolfSSL_BIO_new_mem_buf(i->chain, (int)i->chain_octets);
	WOLFSSL_X509 *x509 = wolfSSL_PEM_read_bio_X509(bio, NULL, NULL, NULL);
	WOLFSSL_X509 *next = NULL;
	int error = 0;

	for (*length_out = 0; x509 != NULL; (*length_out)++) {
		next = wolfSSL_PEM_read_bio_X509(bio, NULL, NULL, NULL);
		if (next != NULL && !has_signed(next, x509)) {
			snprintf(why, TLS_WHY_OCTETS,
				"%s: certificate %u is not signed by the one behind it",
				i->certificate_path, *length_out + 1);
			error = -EINVAL;
		}
		wolfSSL_X509_free(x509);
		x509 = error == 0 ? next : NULL;
		if (error != 0)
			wolfSSL_X509_free(next);
	}
	wolfSSL_BIO_free(bio);
	wolfSSL_ERR_clear_error();
	return error;
}
