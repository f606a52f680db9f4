/*
 * path.h - the paths of MAIL and RCPT (RFC 5321, section 4.1.2; RFC 6531 for UTF-8).
 *
 * Read as they are written in the wild: a source route is passed over, dots may stand anywhere in a
 * local part.  What no path may hold is refused: controls, blanks, brackets, outside of quotes.
 *
 * Pure.
 */
#ifndef CORE_LMTP_PATH_H
#define CORE_LMTP_PATH_H

#include "io/base/span.h"

/* Both must be able to take 256 octets (section 4.5.3.1.3); senders that code a whole address into
 * their own need more. */
#define LMTP_PATH_OCTETS_MAX 512u

/* Take "<...>" off the front of *rest.  *mailbox_out is what stands within, without source route,
 * quotes and all; empty for "<>".  False: it is no path. */
bool lmtp_path_take(struct span *rest, struct span *mailbox_out);

/* A mailbox as accounts are called: without the quotes and backslashes of its local part.  `to` has
 * room for mailbox.length octets; returns how many were put. */
size_t lmtp_mailbox_plain(struct span mailbox, char *to);

/* Octets above 0x7F need SMTPUTF8. */
bool lmtp_is_ascii(struct span s);

#endif
