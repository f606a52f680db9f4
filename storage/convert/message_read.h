/*
 * message_read.h - the octets of a stored message, verified on the way out.
 */
#ifndef STORAGE_CONVERT_MESSAGE_READ_H
#define STORAGE_CONVERT_MESSAGE_READ_H

#include "storage/maildrop.h"

enum message_form {
	MESSAGE_WIRE, /* as stored: the whole reply to RETR */
	MESSAGE_CRLF, /* the message itself, with CRLF or LF line ends */
	MESSAGE_LF,
};

/*
 * Give all of the message to `put`, in pieces; returns what that returned if not 0.  -EBADMSG: the
 * content is not what its checksum says, or the log is too short; that shows at the end, so what
 * was put before must then be thrown away.  Other errors are from reading the log.  Waits.
 */
int message_read(const struct disk *d, const struct maildrop *m, const struct maildrop_entry *e,
	enum message_form form, int (*put)(void *ctx, struct span text), void *ctx);

#endif
