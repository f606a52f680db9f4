/*
 * tls_words.c - see tls_words.h.
 */
#include "io/tls_words.h"

#include <errno.h>

#define MESSAGE_KEY_UPDATE 24
#define ALERT_WARNING      1
#define ALERT_FATAL        2

enum {
	UPDATE_NOT_REQUESTED,
	UPDATE_REQUESTED,
};

/* Levels are not looked at: TLS 1.3 has none, and none of TLS 1.2's warnings but these two leaves a
 * session anything to say. */
static enum tls_word
meaning_of_alert(const unsigned char *alert, size_t length)
{
	if (length != TLS_ALERT_OCTETS)
		return TLS_WORD_NONSENSE;
	switch (alert[1]) {
	case TLS_ALERT_CLOSE_NOTIFY:
		return TLS_WORD_GOODBYE;
	case TLS_ALERT_USER_CANCELED: /* close_notify comes next */
		return TLS_WORD_NOTHING;
	default:
		return TLS_WORD_ALERT;
	}
}

/* KeyUpdate is a message of one octet, and ends its record (RFC 8446, section 5.1). */
static enum tls_word
meaning_of_key_update(const unsigned char *message, size_t length)
{
	if (length != TLS_KEY_UPDATE_OCTETS || message[1] != 0 || message[2] != 0 ||
		message[3] != 1)
		return TLS_WORD_NONSENSE;
	switch (message[4]) {
	case UPDATE_NOT_REQUESTED:
		return TLS_WORD_KEYS;
	case UPDATE_REQUESTED:
		return TLS_WORD_KEYS_OF_BOTH;
	default:
		return TLS_WORD_NONSENSE;
	}
}

enum tls_word
tls_word_of(unsigned version, unsigned type, struct span octets)
{
	const unsigned char *at = (const unsigned char *)octets.at;

	if (type == TLS_RECORD_ALERT)
		return meaning_of_alert(at, octets.length);
	if (type == TLS_RECORD_HANDSHAKE && version == 13 && octets.length > 0 &&
		at[0] == MESSAGE_KEY_UPDATE)
		return meaning_of_key_update(at, octets.length);
	return TLS_WORD_NONSENSE;
}

unsigned
tls_alert_for(int error)
{
	switch (error) {
	case -EBADMSG:
		return TLS_ALERT_BAD_RECORD_MAC;
	case -EMSGSIZE:
		return TLS_ALERT_RECORD_OVERFLOW;
	default:
		return TLS_ALERT_UNEXPECTED_MESSAGE;
	}
}

void
tls_put_alert(unsigned description, unsigned char to[TLS_ALERT_OCTETS])
{
	to[0] = description == TLS_ALERT_CLOSE_NOTIFY ? ALERT_WARNING : ALERT_FATAL;
	to[1] = (unsigned char)description;
}

void
tls_put_key_update(unsigned char to[TLS_KEY_UPDATE_OCTETS])
{
	static const unsigned char message[TLS_KEY_UPDATE_OCTETS] = { MESSAGE_KEY_UPDATE, 0, 0, 1,
		UPDATE_NOT_REQUESTED };

	memcpy(to, message, sizeof(message));
}
