/*
 * xclient.h - the arguments of XCLIENT, by which a proxy says for whom it speaks.
 *
 * For SMTP and LMTP it is Postfix' (XCLIENT_README): NAME=VALUE with values in xtext (RFC 3461, section
 * 4), [UNAVAILABLE] and [TEMPUNAVAIL].  For POP3 it is Dovecot's: the same without xtext.
 *
 * Pure.
 */
#ifndef CORE_XCLIENT_H
#define CORE_XCLIENT_H

#include "io/base/span.h"

#include <sys/socket.h>

#define XCLIENT_TEXT_OCTETS_MAX 255u

enum xclient_form {
	XCLIENT_FORM_POP3,
	XCLIENT_FORM_LMTP,
};

/* What a session says to it. */
enum xclient_outcome {
	XCLIENT_GOOD,
	XCLIENT_NOT_ALLOWED,
	XCLIENT_MALFORMED,
	XCLIENT_TURNED_AWAY, /* the client that was named is not let in; it has been told */
};

struct xclient {
	bool has_address;
	bool has_port;
	uint16_t port;
	struct sockaddr_storage address; /* its port is not set */
	/* "": not said, or not known */
	char name[XCLIENT_TEXT_OCTETS_MAX + 1];    /* of the client's host */
	char helo[XCLIENT_TEXT_OCTETS_MAX + 1];    /* how the client calls itself */
	char login[XCLIENT_TEXT_OCTETS_MAX + 1];   /* who it is to the proxy */
	char session[XCLIENT_TEXT_OCTETS_MAX + 1]; /* by which the proxy's log names it (POP3) */
};

/* False: something in it is wrong, and nothing of it counts. */
bool xclient_read(struct span arguments, enum xclient_form form, struct xclient *client_out);

#endif
