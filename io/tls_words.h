/*
 * tls_words.h - records that are not data, behind the handshake: what they mean, and our own.
 *
 * The one place that says so, whoever makes the records.  Alerts: RFC 8446, section 6, RFC 5246,
 * section 7.2; KeyUpdate: RFC 8446, section 4.6.3.  Pure.
 */
#ifndef IO_TLS_WORDS_H
#define IO_TLS_WORDS_H

#include "io/base/span.h"

enum tls_record_type {
	TLS_RECORD_ALERT = 21,
	TLS_RECORD_HANDSHAKE = 22,
	TLS_RECORD_DATA = 23,
};

#define TLS_ALERT_CLOSE_NOTIFY       0u
#define TLS_ALERT_UNEXPECTED_MESSAGE 10u
#define TLS_ALERT_BAD_RECORD_MAC     20u
#define TLS_ALERT_RECORD_OVERFLOW    22u
#define TLS_ALERT_USER_CANCELED      90u

enum tls_word {
	TLS_WORD_NOTHING,      /* it asks for nothing */
	TLS_WORD_GOODBYE,      /* close_notify */
	TLS_WORD_ALERT,        /* the peer gives up */
	TLS_WORD_KEYS,         /* KeyUpdate: the peer's next record comes under its next keys */
	TLS_WORD_KEYS_OF_BOTH, /* and it asks for the same of us */
	TLS_WORD_NONSENSE,     /* broken, or not allowed here: renegotiation, for one */
};

/* What a record of `type`, none of data, says; `octets` is all that was in it, or its front;
 * `version` is 12 or 13. */
enum tls_word tls_word_of(unsigned version, unsigned type, struct span octets);

/* What the peer shall hear of a record that could not be read: -EBADMSG: its MAC is wrong,
 * -EMSGSIZE: it is too long, anything else: it has no place here. */
unsigned tls_alert_for(int error);

#define TLS_ALERT_OCTETS      2u
#define TLS_KEY_UPDATE_OCTETS 5u

void tls_put_alert(unsigned description, unsigned char to[TLS_ALERT_OCTETS]);
/* Our keys change behind this record; the peer's need not. */
void tls_put_key_update(unsigned char to[TLS_KEY_UPDATE_OCTETS]);

#endif
