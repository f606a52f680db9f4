/*
 * tls_tickets.h - stateless session tickets: sealed by us, kept by the client (RFC 5077, RFC 8446
 * section 4.6.1).
 *
 * Keys come out of one secret and the time: a new one every TLS_TICKET_EPOCH_S, so that all shards,
 * and all machines that share the secret by a file, seal and open each other's tickets without a
 * word between them.  Those of this epoch and the one before are opened.
 */
#ifndef IO_TLS_TICKETS_H
#define IO_TLS_TICKETS_H

#include "io/tls_credentials.h"

#define TLS_TICKET_EPOCH_S      43200u
#define TLS_TICKET_NAME_OCTETS  16u
#define TLS_TICKET_NONCE_OCTETS 12u
#define TLS_TICKET_TAG_OCTETS   16u

struct tls_ticket_key {
	uint64_t epoch;
	unsigned char name[TLS_TICKET_NAME_OCTETS]; /* tells the key, and nothing else */
	unsigned char key[TLS_SECRET_OCTETS];
};

/* The key of `epoch` (calendar seconds / TLS_TICKET_EPOCH_S). */
void tls_ticket_key_derive(const unsigned char secret[TLS_SECRET_OCTETS], uint64_t epoch,
	struct tls_ticket_key *key_out);

/* Seal `ticket` in place under a nonce of its own.  0 or -EIO. */
int tls_ticket_seal(const struct tls_ticket_key *key, unsigned char nonce[TLS_TICKET_NONCE_OCTETS],
	unsigned char tag[TLS_TICKET_TAG_OCTETS], unsigned char *ticket, size_t octets);
/* Open it in place; -EBADMSG: it was not sealed with this key, or changed on its way. */
int tls_ticket_open(const struct tls_ticket_key *key,
	const unsigned char nonce[TLS_TICKET_NONCE_OCTETS],
	const unsigned char tag[TLS_TICKET_TAG_OCTETS], unsigned char *ticket, size_t octets);

#endif
