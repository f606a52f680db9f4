/*
 * tls_peer.c - see tls_peer.h.
 *
 * A certificate that is here has been verified: without one, or with one of somebody else's, the
 * handshake would not have come this far (tls_context.c).
 */
#include "io/tls_peer.h"

#include "io/base/must.h"

#include <wolfssl/options.h>

#include <wolfssl/openssl/x509v3.h>
#include <wolfssl/ssl.h>

/* A NUL within a name is a trick (a name that ends elsewhere for its issuer), control characters
 * are no part of one. */
static bool
copy_name(const char *octets, size_t length, char name_out[TLS_PEER_NAME_OCTETS_MAX + 1])
{
	if (octets == NULL || length == 0 || length > TLS_PEER_NAME_OCTETS_MAX)
		return false;
	for (size_t i = 0; i < length; i++)
		if ((unsigned char)octets[i] < 0x20 || octets[i] == 0x7f)
			return false;
	memcpy(name_out, octets, length);
	name_out[length] = '\0';
	return true;
}

/* The rfc822Name among the alternative names (RFC 5280, section 4.2.1.6), if there is one alone:
 * wolfSSL does not keep their order, so of two neither is the first. */
static bool
address_of(WOLFSSL_X509 *x509, char name_out[TLS_PEER_NAME_OCTETS_MAX + 1])
{
	WOLFSSL_STACK *names = wolfSSL_X509_get_ext_d2i(x509, NID_subject_alt_name, NULL, NULL);
	int count = names == NULL ? 0 : wolfSSL_sk_num(names);
	WOLFSSL_ASN1_STRING *address = NULL;
	unsigned addresses = 0;
	bool is_good;

	for (int i = 0; i < count; i++) {
		const WOLFSSL_GENERAL_NAME *name = wolfSSL_sk_GENERAL_NAME_value(names, i);

		if (name != NULL && name->type == GEN_EMAIL) {
			address = name->d.ia5;
			addresses++;
		}
	}
	is_good = addresses == 1 && address != NULL &&
		copy_name((const char *)wolfSSL_ASN1_STRING_data(address),
			(size_t)wolfSSL_ASN1_STRING_length(address), name_out);
	if (names != NULL)
		wolfSSL_sk_GENERAL_NAME_pop_free(names, NULL);
	return is_good;
}

static bool
common_name_of(WOLFSSL_X509 *x509, char name_out[TLS_PEER_NAME_OCTETS_MAX + 1])
{
	char text[TLS_PEER_NAME_OCTETS_MAX + 1];
	int length = wolfSSL_X509_NAME_get_text_by_NID(
		wolfSSL_X509_get_subject_name(x509), NID_commonName, text, sizeof(text));

	return length > 0 && strlen(text) == (size_t)length &&
		copy_name(text, (size_t)length, name_out);
}

static bool
read_name(const struct tls *t, char name_out[TLS_PEER_NAME_OCTETS_MAX + 1])
{
	WOLFSSL_X509 *x509;
	bool is_found;

	if (t->context->credentials->client_ca == NULL)
		return false;
	x509 = wolfSSL_get_peer_certificate(t->ssl);
	if (x509 == NULL)
		return false;
	is_found = t->context->options->peer_by == TLS_PEER_BY_ADDRESS
		? address_of(x509, name_out)
		: common_name_of(x509, name_out);
	wolfSSL_X509_free(x509);
	return is_found;
}

/* Without the extended master secret TLS 1.2 would let a third one in between have the same (RFC
 * 9266, section 1); wolfSSL agrees upon it with every client that offers it, and does not tell. */
static bool
read_exporter(const struct tls *t, uint8_t exporter_out[TLS_EXPORTER_OCTETS])
{
	static const char label[] = "EXPORTER-Channel-Binding";

	if (!t->context->options->exports || t->facts.version != 13)
		return false;
	return wolfSSL_export_keying_material(t->ssl, exporter_out, TLS_EXPORTER_OCTETS, label,
		       sizeof(label) - 1, NULL, 0, 0) == WOLFSSL_SUCCESS;
}

void
tls_peer_read(const struct tls *t, struct tls_peer *peer_out)
{
	if (!read_name(t, peer_out->name))
		peer_out->name[0] = '\0';
	peer_out->has_exporter = read_exporter(t, peer_out->exporter);
	if (t->context->options->exports)
		wolfSSL_FreeArrays(t->ssl);
}
