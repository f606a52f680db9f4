/*
 * tls_credentials.h - certificates, keys and the secret of the tickets, as files say they are.
 *
 * Read once by whoever starts or reloads, checked as a whole, and never changed after that: all
 * shards borrow the same object and each makes its own contexts of it (tls.h).
 *
 * Ownership: counted references; the last tls_credentials_release() wipes the keys.
 */
#ifndef IO_TLS_CREDENTIALS_H
#define IO_TLS_CREDENTIALS_H

#include "io/base/span.h"

#include <stdatomic.h>
#include <time.h>

#define TLS_WHY_OCTETS    512
#define TLS_SECRET_OCTETS 32

enum tls_key_kind {
	TLS_KEY_ECDSA,
	TLS_KEY_RSA,
};

/* One certificate with its chain and key. */
struct tls_identity {
	char *certificate_path;
	char *key_path;
	char *chain; /* PEM: our certificate first */
	size_t chain_octets;
	char *key; /* PEM */
	size_t key_octets;
	char **names; /* the host names it is for, lower-case; "*." stands for one label */
	unsigned name_count;
	enum tls_key_kind kind;
	time_t not_before;
	time_t not_after;
};

struct tls_credentials {
	atomic_uint references;
	struct tls_identity *identities;
	unsigned count;
	char *client_ca; /* PEM; NULL: clients are not asked for certificates */
	size_t client_ca_octets;
	unsigned char ticket_secret[TLS_SECRET_OCTETS];
};

/* Where all that is.  Borrowed for the call. */
struct tls_files {
	const char *const *certificates;
	const char *const
		*keys; /* one for each certificate; none: each lies with its certificate */
	unsigned count;
	unsigned key_count;
	const char *client_ca;  /* "": none */
	const char *ticket_key; /* "": a secret of our own for as long as we live */
};

/* Read and check all.  0, or a negative errno and in `why` one line that names the file, what is
 * wrong and what to do. */
int tls_credentials_load(const struct tls_files *files, char why[TLS_WHY_OCTETS],
	struct tls_credentials **credentials_out);
struct tls_credentials *tls_credentials_share(struct tls_credentials *c);
void tls_credentials_release(struct tls_credentials *c);

/* Each certificate of the chain is signed by the one behind it.  0 and how many there are, or
 * -EINVAL and in `why` which one is not. */
int tls_chain_check(const struct tls_identity *i, unsigned *length_out, char why[TLS_WHY_OCTETS]);

/* Does a name of the certificate ("*.example.org" stands for one label, RFC 6125) fit `host`? */
bool tls_name_fits(const char *name, struct span host);

struct tls_hello;

/* The identity for a client, as its place: whose key the client understands before all, then whose
 * name fits, then ECDSA before RSA (a tenth of the cost), then the first.  A client that asks for
 * no host, or one we do not have, gets what is for the first identity's host. */
unsigned tls_credentials_choose(const struct tls_credentials *c, const struct tls_hello *hello);

#endif
