/*
 * session_internal.h - what the files of the POP3 session share.
 */
#ifndef CORE_POP3_SESSION_INTERNAL_H
#define CORE_POP3_SESSION_INTERNAL_H

#include "core/pop3/reply.h"
#include "core/pop3/session.h"

/* How a command's arguments are read before its handler is called (RFC 1939, section 3: keywords
 * and arguments are separated by blanks). */
enum pop3_args_kind {
	ARGS_NONE,
	ARGS_MESSAGE,          /* a message-number */
	ARGS_OPTIONAL_MESSAGE, /* one or none */
	ARGS_MESSAGE_AND_LINES,
	ARGS_TEXT,     /* the rest, blanks at both ends cut off */
	ARGS_VERBATIM, /* the rest behind one blank, to the last octet */
};

struct pop3_args {
	struct span text;
	uint32_t message_number;
	uint32_t lines;
	bool has_message;
};

struct pop3_command {
	const char *name;
	unsigned states; /* enum pop3_state bits */
	enum pop3_args_kind args;
	enum pop3_next (*handle)(struct pop3_session *s, const struct pop3_args *args);
	const char *refusal; /* what wrong arguments are answered with */
};

/* AUTHORIZATION state (authorization.c) */
enum pop3_next authorization_user(struct pop3_session *s, const struct pop3_args *args);
enum pop3_next authorization_pass(struct pop3_session *s, const struct pop3_args *args);
enum pop3_next authorization_apop(struct pop3_session *s, const struct pop3_args *args);
enum pop3_next authorization_auth(struct pop3_session *s, const struct pop3_args *args);
enum pop3_next authorization_xclient(struct pop3_session *s, const struct pop3_args *args);
enum pop3_next authorization_stls(struct pop3_session *s, const struct pop3_args *args);

/* AUTH has begun an exchange: lines are responses. */
static inline bool
pop3_in_exchange(const struct pop3_session *s)
{
	return s->login != NULL && s->login->sasl != NULL;
}

/* A line within an exchange that AUTH has begun. */
enum pop3_next authorization_response(struct pop3_session *s, struct span line);
/* The exchange is over, or given up. */
void authorization_end_exchange(struct pop3_session *s);
/* Which mechanisms AUTH takes here and now, SASL_BIT()s. */
unsigned authorization_mechanisms(const struct pop3_session *s);
/* Forget what was heard of a login, but not what is known of the connection; all of it. */
void authorization_forget_user(struct pop3_session *s);
void authorization_forget(struct pop3_session *s);
/* The block, taken if there is none; NULL: no memory. */
struct pop3_login *authorization_login(struct pop3_session *s);

/* TRANSACTION state (transaction.c) */
enum pop3_next transaction_stat(struct pop3_session *s, const struct pop3_args *args);
enum pop3_next transaction_list(struct pop3_session *s, const struct pop3_args *args);
enum pop3_next transaction_uidl(struct pop3_session *s, const struct pop3_args *args);
enum pop3_next transaction_retr(struct pop3_session *s, const struct pop3_args *args);
enum pop3_next transaction_top(struct pop3_session *s, const struct pop3_args *args);
enum pop3_next transaction_dele(struct pop3_session *s, const struct pop3_args *args);
enum pop3_next transaction_rset(struct pop3_session *s, const struct pop3_args *args);
enum pop3_next transaction_quit(struct pop3_session *s, const struct pop3_args *args);

/* Any state (session.c) */
enum pop3_next any_capa(struct pop3_session *s, const struct pop3_args *args);
enum pop3_next any_noop(struct pop3_session *s, const struct pop3_args *args);
enum pop3_next any_utf8(struct pop3_session *s, const struct pop3_args *args);
enum pop3_next any_lang(struct pop3_session *s, const struct pop3_args *args);
enum pop3_next any_quit(struct pop3_session *s, const struct pop3_args *args);

/* Passwords may travel: nobody can read along, or the listener says that it does not matter. */
static inline bool
pop3_takes_passwords(const struct pop3_session *s)
{
	return s->is_secure || s->policy->plaintext_auth;
}

/* STLS is possible here and now. */
static inline bool
pop3_offers_tls(const struct pop3_session *s)
{
	return s->policy->offers_tls && !s->is_secure && s->state == POP3_AUTHORIZATION;
}

/* Reply with one line and go on. */
static inline enum pop3_next
pop3_reply(struct pop3_session *s, const char *line)
{
	segments_put(s->reply, span_of_string(line));
	return POP3_NEXT_LINE;
}

/* The session is over; `line` are its last words. */
enum pop3_next pop3_end_session(struct pop3_session *s, enum pop3_end why, const char *line);

#endif
