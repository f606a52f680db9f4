/*
 * tls_peer.h - who a client's certificate says it is, right behind the handshake.
 */
#ifndef IO_TLS_PEER_H
#define IO_TLS_PEER_H

#include "io/tls.h"

#define TLS_PEER_NAME_OCTETS_MAX 255u

/* The name in the verified certificate of a session whose handshake is done.  False: it has shown
 * none, or there is no such name in it. */
bool tls_peer_name(
	const struct tls *t, enum tls_peer_by by, char name_out[TLS_PEER_NAME_OCTETS_MAX + 1]);

#endif
