/*
 * tls_peer.h - what is known of the other side right behind the handshake, and only then: all of it
 * goes with wolfSSL.
 */
#ifndef IO_TLS_PEER_H
#define IO_TLS_PEER_H

#include "io/tls.h"

#define TLS_PEER_NAME_OCTETS_MAX 255u
#define TLS_EXPORTER_OCTETS      32u

struct tls_peer {
	/* In its verified certificate; "": it has shown none, or there is no such name in it. */
	char name[TLS_PEER_NAME_OCTETS_MAX + 1];
	/* tls-exporter, which both sides and nobody else can know of this connection (RFC 9266). */
	uint8_t exporter[TLS_EXPORTER_OCTETS];
	bool has_exporter; /* tls_options.exports, and it could be made */
};

/* The handshake is done, and wolfSSL still there. */
void tls_peer_read(const struct tls *t, struct tls_peer *peer_out);

#endif
