/*
 * session_internal.h - what the files of the LMTP session share.
 */
#ifndef CORE_LMTP_SESSION_INTERNAL_H
#define CORE_LMTP_SESSION_INTERNAL_H

#include "core/lmtp/reply.h"
#include "core/lmtp/session.h"

/* How a command's argument is read before its handler is called. */
enum lmtp_args_kind {
	ARGS_NONE,
	ARGS_SOME, /* anything but nothing */
	ARGS_ANY,
};

struct lmtp_command {
	const char *name;
	unsigned states; /* enum lmtp_state bits */
	enum lmtp_args_kind args;
	/* `args`: what follows the name, blanks at both ends cut off. */
	enum lmtp_next (*handle)(struct lmtp_session *s, struct span args);
	const char *refusal; /* what wrong arguments are answered with */
};

/* envelope.c */
enum lmtp_next envelope_mail(struct lmtp_session *s, struct span args);
enum lmtp_next envelope_rcpt(struct lmtp_session *s, struct span args);
/* Forget sender, recipients and what there is of a message. */
void envelope_forget(struct lmtp_session *s);

/* content.c */
enum lmtp_next content_data(struct lmtp_session *s, struct span args);
enum lmtp_next content_bdat(struct lmtp_session *s, struct span args);

/* session.c */
struct span lmtp_without_blanks(struct span s);
/* The word at the front of *rest, which then begins behind the blanks that follow it. */
struct span lmtp_take_word(struct span *rest);

/* Reply with one line and go on. */
static inline enum lmtp_next
lmtp_reply(struct lmtp_session *s, const char *line)
{
	segments_put(s->reply, span_of_string(line));
	return LMTP_NEXT_LINE;
}

/* The same for what no client should say; too many of these in a row end the session. */
enum lmtp_next lmtp_refuse(struct lmtp_session *s, const char *line);

/* The session is over; `line` are its last words. */
enum lmtp_next lmtp_end_session(struct lmtp_session *s, enum lmtp_end why, const char *line);

/* Where in its block the sender stands behind the client's name. */
#define LMTP_NAME_OCTETS_MAX 255u /* RFC 5321, section 4.5.3.1.2 */

#endif
