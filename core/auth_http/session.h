/*
 * session.h - one question of an nginx mail proxy, and its answer; pure.
 *
 * nginx asks by HTTP who a client is and where its maildrop is served, before it connects there
 * (ngx_mail_auth_http_module): a GET whose headers are the question, a 200 whose headers are the
 * answer, one for each connection.  Only what nginx says is understood, and nothing is read on
 * beyond it: this is no web server.
 *
 * A line goes in; the reply is put into the segments that auth_http_session_init() was given, and
 * the return value says what comes next:
 *
 *   LINE    give it the next line: auth_http_session_line()
 *   VERIFY  answer auth_http_session_question(), then auth_http_session_answered()
 *   CLOSE   send what is queued and close
 *   REFUSE  the same for a guest who may still be sending
 *
 * What nginx is told by Auth-Status its client hears behind "-ERR": the words of POP3
 * (core/pop3/reply.h).  Without Auth-Wait nginx closes that client's connection.
 */
#ifndef CORE_AUTH_HTTP_SESSION_H
#define CORE_AUTH_HTTP_SESSION_H

#include "core/auth/login.h"
#include "core/auth/password.h"
#include "core/auth_http/backend.h"
#include "core/next.h"
#include "io/base/segments.h"

#include <sys/socket.h>

enum auth_http_next {
	AUTH_HTTP_NEXT_LINE = NEXT_LINE,
	AUTH_HTTP_NEXT_CLOSE = NEXT_CLOSE,
	AUTH_HTTP_NEXT_REFUSE = NEXT_REFUSE,
	AUTH_HTTP_NEXT_VERIFY = NEXT_WISH,
};

/* Why a session ended, as the log has it. */
enum auth_http_end {
	AUTH_HTTP_END_NONE,
	AUTH_HTTP_END_ANSWERED,    /* a login was looked at */
	AUTH_HTTP_END_NOT_OFFERED, /* of a protocol or by a way that is not offered here */
	AUTH_HTTP_END_CLEAR,       /* a password that the client has sent in clear */
	AUTH_HTTP_END_NO_BACKEND,  /* good, but nginx cannot be told where to go on */
	AUTH_HTTP_END_MALFORMED,   /* not what nginx says */
	AUTH_HTTP_END_TIMED_OUT,
};

/* The same for all sessions of a listener. */
struct auth_http_policy {
	struct backend backend;     /* of accounts that have none of their own */
	bool plaintext_auth;        /* passwords although nginx' client speaks no TLS */
	uint32_t failed_logins_max; /* then nginx is to close the client's connection */
};

#define AUTH_HTTP_NAME_OCTETS_MAX   512u /* what is longer is cut: no account has such a name */
#define AUTH_HTTP_SECRET_OCTETS_MAX (PASSWORD_SECRET_OCTETS_MAX + 1) /* so it is too long, then */
#define AUTH_HTTP_STAMP_OCTETS_MAX  255u
#define AUTH_HTTP_LINES_MAX         100u

struct auth_http_session {
	const struct auth_http_policy *policy;
	struct segments *reply;
	uint16_t lines;
	uint16_t seen; /* headers, as bits */
	uint8_t end;   /* enum auth_http_end */
	bool is_plain;
	bool is_apop;
	bool is_pop3;
	bool client_speaks_tls;
	bool has_client;
	uint64_t attempt;
	uint16_t name_octets;
	uint16_t secret_octets;
	uint16_t stamp_octets;
	struct sockaddr_storage client; /* its port is not known */
	char name[AUTH_HTTP_NAME_OCTETS_MAX];
	char secret[AUTH_HTTP_SECRET_OCTETS_MAX];
	char stamp[AUTH_HTTP_STAMP_OCTETS_MAX];
};

/* policy and reply are borrowed for the session's life. */
void auth_http_session_init(
	struct auth_http_session *s, const struct auth_http_policy *policy, struct segments *reply);
/* Wipe what was secret. */
void auth_http_session_end(struct auth_http_session *s);

/* One line without its end. */
enum auth_http_next auth_http_session_line(struct auth_http_session *s, struct span line);
/* A line was longer and has been passed over. */
enum auth_http_next auth_http_session_line_too_long(struct auth_http_session *s);
/* The first octets of the connection: true if they begin no GET.  Then it has been answered. */
bool auth_http_session_is_foreign(struct auth_http_session *s, struct span first_octets);
/* Time is up. */
void auth_http_session_timed_out(struct auth_http_session *s);

/* VERIFY: the question, valid until auth_http_session_answered(); its peer is s->client. */
struct login_question auth_http_session_question(const struct auth_http_session *s);

/* VERIFY: `backend` is the account's own, "" for none; `plain_secret` its password where that is
 * stored as it is, else empty.  Both only for LOGIN_GOOD. */
enum auth_http_next auth_http_session_answered(struct auth_http_session *s,
	enum login_verdict verdict, const char *backend, struct span plain_secret);

const char *auth_http_end_word(enum auth_http_end end);

#endif
