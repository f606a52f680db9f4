/*
 * proxyhdr.h - the header with which a proxy says for whom it connects: the PROXY protocol,
 * versions 1 and 2 (HAProxy's doc/proxy-protocol.txt).
 *
 * Pure.  The reader is handed all that came so far, from the first octet on, until it says that the
 * header is whole or that this is none; it keeps nothing.
 */
#ifndef IO_PROXYHDR_H
#define IO_PROXYHDR_H

#include "io/base/span.h"

#include <sys/socket.h>

/* What we are ready to hear.  Version 1 has 107 octets at most; version 2 could have 16 + 65,535,
 * but what proxies send, TLS values and all, takes a few hundred. */
#define PROXYHDR_OCTETS_MAX 1024u

enum proxyhdr_result {
	PROXYHDR_WHOLE,
	PROXYHDR_NEEDS_MORE,
	PROXYHDR_WRONG, /* no header, or a damaged one: whatever comes next cannot be trusted */
};

/* Spans lie in the octets that were read. */
struct proxyhdr {
	size_t octets; /* of the header: what is behind them is the client's */
	/* LOCAL, UNKNOWN and families that have no place here: the connection is as it looks. */
	bool has_source;
	struct sockaddr_storage source; /* the client; IPv4 in IPv6's clothes is IPv4 */

	/* Version 2 only; empty: not said. */
	bool client_spoke_tls;        /* to the proxy */
	bool certificate_is_verified; /* the client has shown one, and the proxy found it good */
	struct span tls_version;      /* "TLSv1.3" */
	struct span cipher;
	struct span common_name; /* of the client's certificate */
	struct span alpn;
	struct span authority; /* the host that was asked for (SNI) */
};

enum proxyhdr_result proxyhdr_read(struct span octets, struct proxyhdr *header_out);

/* An IPv4-mapped IPv6 address becomes the IPv4 address that it is. */
void proxyhdr_unmap(struct sockaddr_storage *address);

#endif
