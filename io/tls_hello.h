/*
 * tls_hello.h - reading a ClientHello: which server is asked for, which signatures and groups are
 * understood.
 *
 * wolfSSL gives one certificate to one context, so the choice among several must be made before it
 * sees the first record.  Pure; formats: RFC 8446 section 4.1.2, RFC 5246 section 7.4.1.2, RFC 6066
 * section 3 (server_name).
 */
#ifndef IO_TLS_HELLO_H
#define IO_TLS_HELLO_H

#include "io/base/span.h"

#define TLS_RECORD_HEADER_OCTETS 5u
/* A record's payload at most: TLS 1.2 allows 2,048 beyond 2^14, TLS 1.3 allows 256. */
#define TLS_RECORD_PAYLOAD_MAX (16384u + 2048u)
#define TLS_RECORD_PLAIN_MAX   16384u

/* For the key exchange, in our order: by their numbers and as wolfSSL calls them. */
#define TLS_GROUPS                                                                                 \
	{                                                                                          \
		0x001d, 0x0017, 0x0018                                                             \
	}
#define TLS_GROUP_NAMES "X25519:P-256:P-384"

struct tls_hello {
	struct span server_name; /* within the record; empty: none */
	bool takes_ecdsa;        /* a signature by an ECDSA key */
	bool takes_rsa;
	bool lacks_groups; /* it names groups for the key exchange, but none of TLS_GROUPS */
};

/* The whole record at the front of `octets` (header and payload), its length in *length_out.
 * 0: it is there; -EAGAIN: more is needed; -EMSGSIZE: it is too long; -EPROTO: this is not TLS. */
int tls_record_length(struct span octets, size_t *length_out);

/* What the ClientHello in the record at the front of `record` asks for.  One that is spread over
 * several records, or damaged, asks for nothing in particular: wolfSSL will judge it. */
void tls_hello_read(struct span record, struct tls_hello *hello_out);

#endif
