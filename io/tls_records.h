/*
 * tls_records.h - records behind the handshake, sealed and opened by wolfCrypt's AEADs.
 *
 * RFC 8446, section 5 (TLS 1.3), RFC 5246, section 6.2, with RFC 5288 and RFC 7905 (TLS 1.2).  Keys
 * are raw keys wherever they are kept; what an AES key has to be spread into before use lies in one
 * struct tls_cipher for each thread, not in each session.  No sockets, no buffers of its own.
 */
#ifndef IO_TLS_RECORDS_H
#define IO_TLS_RECORDS_H

#include "io/base/span.h"
#include "io/tls_hello.h"
#include "io/tls_keys.h"

/* Beside what a record carries: before it a header and, with AES-GCM in TLS 1.2, the nonce; behind
 * it its type, in TLS 1.3, and the tag. */
#define TLS_RECORD_FRONT_MAX (TLS_RECORD_HEADER_OCTETS + 8u)
#define TLS_RECORD_BACK_MAX  (1u + 16u)

size_t tls_record_front(const struct tls_keys *k);
size_t tls_record_back(const struct tls_keys *k);

/* A thread's, for all its sessions.  NULL: no memory. */
struct tls_cipher *tls_cipher_make(void);
/* It has the last key that was used: a session that ends has it wiped. */
void tls_cipher_forget(struct tls_cipher *c);
void tls_cipher_free(struct tls_cipher *c); /* NULL is allowed */

/* The next record for the peer, of the `length` octets (at most TLS_RECORD_PLAIN_MAX) at `plain`.
 * They lie outside of the record, which is faster where they are aligned, or in place,
 * tls_record_front() behind its beginning.  The octet behind them must be writable; outside of the
 * record it is as it was afterwards.  Returns the record's length. */
size_t tls_record_seal(struct tls_cipher *c, struct tls_keys *k, unsigned type,
	unsigned char *plain, size_t length, unsigned char *record);

/* What was in a record; the octets lie within it, which is overwritten. */
struct tls_opened {
	unsigned type; /* an enum tls_record_type, or any other */
	struct span octets;
};

/* The next record of the peer, whole (tls_record_length()).  0; -EBADMSG: its MAC is wrong;
 * -EMSGSIZE: it holds too much; -EPROTO: it has no place here. */
int tls_record_open(struct tls_cipher *c, struct tls_keys *k, unsigned char *record, size_t length,
	struct tls_opened *out);

/* So many records are enough for one key of AES-GCM (RFC 8446, section 5.5, RFC 9325, section 4.4:
 * 2^24.5 full ones).  ChaCha20-Poly1305 has no such limit, and nobody lives to see a sequence
 * number wrap. */
#define TLS_KEY_RECORDS_MAX (1u << 24)
static inline bool
tls_keys_are_used_up(const struct tls_keys *k)
{
	return k->aead != TLS_AEAD_CHACHA20_POLY1305 && k->out.sequence >= TLS_KEY_RECORDS_MAX;
}

#endif
