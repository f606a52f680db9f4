/*
 * session.h - the POP3 session (RFC 1939), pure.
 *
 * A line or an event goes in; replies are put into the segments that pop3_session_init() was given,
 * and the return value says what must happen before the next call:
 *
 *   LINE    give it the next line: pop3_session_line()
 *   DRAIN   send what is queued, then pop3_session_drained()
 *   VERIFY  answer pop3_session_question(), then pop3_session_answered()
 *   OPEN    open the account's maildrop, then pop3_session_opened()
 *   CHECK   see that pop3_session_check() is what was delivered, then pop3_session_checked()
 *   XCLIENT do what pop3_session_xclient() asks for, then pop3_session_xclient_heard()
 *   SCAN    run topscan() over pop3_session_scan(), then pop3_session_scanned()
 *   COMMIT  remove the messages marked in `listing`, then pop3_session_committed()
 *   TLS     send what is queued, speak TLS from the next octet on, then pop3_session_secured();
 *           what was heard behind the line is TLS or nothing, it must never come here
 *   CLOSE   send what is queued and close
 *   REFUSE  the same for a guest who may still be sending
 *
 * No I/O, no clock.  Transcripts, fuzzers and the server drive the same functions.
 *
 * Ownership: policy and reply are borrowed for the session's life; the snapshot given to
 * pop3_session_opened() is borrowed until pop3_session_end() and all replies are sent.
 */
#ifndef CORE_POP3_SESSION_H
#define CORE_POP3_SESSION_H

#include "core/auth/login.h"
#include "core/next.h"
#include "core/xclient.h"
#include "io/base/segments.h"
#include "storage/listing.h"

#define POP3_STAMP_OCTETS_MAX 95u

enum pop3_next {
	POP3_NEXT_LINE = NEXT_LINE,
	POP3_NEXT_DRAIN = NEXT_DRAIN,
	POP3_NEXT_TLS = NEXT_TLS,
	POP3_NEXT_CLOSE = NEXT_CLOSE,
	POP3_NEXT_REFUSE = NEXT_REFUSE,
	POP3_NEXT_VERIFY = NEXT_WISH,
	POP3_NEXT_OPEN,
	POP3_NEXT_CHECK,
	POP3_NEXT_SCAN,
	POP3_NEXT_COMMIT,
	POP3_NEXT_XCLIENT,
};

enum pop3_state {
	POP3_AUTHORIZATION = 1 << 0, /* bits, so that a command can name several */
	POP3_TRANSACTION = 1 << 1,
	POP3_UPDATE = 1 << 2,
	POP3_ENDED = 1 << 3,
};

/* Why a session ended, as the log has it. */
enum pop3_end {
	POP3_END_NONE,
	POP3_END_QUIT,
	POP3_END_UPDATE_FAILED,
	POP3_END_FAILED_LOGINS,
	POP3_END_UNKNOWN_COMMANDS,
	POP3_END_FOREIGN_PROTOCOL,
	POP3_END_XCLIENT,
	POP3_END_TURNED_AWAY,
};

/* The same for all sessions of a listener. */
struct pop3_policy {
	const char *greeting;       /* text behind "+OK " */
	const char *implementation; /* CAPA IMPLEMENTATION */
	bool plaintext_auth;        /* USER and PASS although the connection is in clear */
	bool offers_tls;            /* STLS */
	uint32_t expire_days;       /* 0: NEVER */
	uint32_t login_delay_s;     /* CAPA LOGIN-DELAY; 0: none */
	unsigned mechanisms;        /* of AUTH, SASL_BIT()s */
	uint32_t failed_logins_max;
};

#define POP3_USER_OCTETS_MAX 512u /* what is longer is cut: no account has such a name */

/* What a session knows before the login and forgets with it; a block of `logins`, from the first
 * USER or AUTH on. */
struct pop3_login {
	struct span secret; /* within the line that asked for VERIFY; XCLIENT: its arguments */
	struct sasl *sasl;  /* an exchange that AUTH has begun; NULL: none */
	uint8_t question;   /* enum login_kind; VERIFY */
	uint8_t mechanism;  /* enum sasl_mechanism of `sasl` */
	bool has_user;
	bool has_exporter;
	uint16_t user_octets;
	char stamp[POP3_STAMP_OCTETS_MAX + 1]; /* of the greeting, for APOP; "": none was given */
	char exporter[SASL_EXPORTER_OCTETS];
	char certificate_name[SASL_NAME_OCTETS_MAX + 1]; /* of the client; "": none */
	char user[POP3_USER_OCTETS_MAX];
};

struct pop3_session {
	const struct pop3_policy *policy;
	struct segments *reply;
	struct listing listing;
	struct pop3_login *login; /* NULL: nothing was heard of one */
	struct slab *logins;      /* blocks of at least a struct pop3_login */
	uint64_t octets_retrieved;
	uint32_t scan_lines;
	uint32_t listing_cursor; /* DRAIN: the next message-number; CHECK, SCAN: the message's */
	uint32_t retrieved;
	uint32_t topped;
	uint16_t unknown_in_a_row;
	uint8_t failed_logins;
	uint8_t state; /* enum pop3_state */
	uint8_t end;   /* enum pop3_end */
	uint8_t listing_kind;
	bool heard_a_line;
	bool may_not_delete;
	bool is_secure; /* TLS is spoken */
	bool check_is_for_top;
	bool takes_xclient;
};

struct pop3_scan {
	int log_fd;
	uint64_t offset;
	uint64_t length;
	uint32_t lines;
};

void pop3_session_init(struct pop3_session *s, const struct pop3_policy *policy,
	struct segments *reply, struct slab *logins);
/* Let go of all the session holds but the snapshot, which is its owner's. */
void pop3_session_end(struct pop3_session *s);

/* Before the greeting: the guest is a proxy that may say XCLIENT. */
static inline void
pop3_session_allow_xclient(struct pop3_session *s)
{
	s->takes_xclient = true;
}

/* With a `stamp` of 1 to POP3_STAMP_OCTETS_MAX octets, "<...@...>", never used before: APOP is
 * offered; NULL: it is not. */
enum pop3_next pop3_session_greet(struct pop3_session *s, const char *stamp);

/* TLS is spoken from here on, after STLS or before the greeting.  All that was heard in clear is
 * forgotten (RFC 2595, section 4).  `facts` are copied. */
enum pop3_next pop3_session_secured(struct pop3_session *s, const struct sasl_facts *facts);

/* One line without its end (CRLF or LF), at most LINE_OCTETS_MAX octets. */
enum pop3_next pop3_session_line(struct pop3_session *s, struct span line);
/* A line was longer and has been passed over. */
enum pop3_next pop3_session_line_too_long(struct pop3_session *s);
/* The first octets of the connection, before any line is cut: true if they are TLS or the like,
 * which may never have a line end.  Then the guest has been answered: REFUSE. */
bool pop3_session_is_foreign(struct pop3_session *s, struct span first_octets);

enum pop3_next pop3_session_drained(struct pop3_session *s);

/* Which lines may be long now (line_reader_allow_long()): before the login those of AUTH, within an
 * exchange all. */
const char *pop3_session_long_word(const struct pop3_session *s);

/* VERIFY: valid until pop3_session_answered(), if the line is. */
struct login_question pop3_session_question(const struct pop3_session *s);
enum pop3_next pop3_session_answered(struct pop3_session *s, const struct login_answer *answer);

/* OPEN: `error` 0 and a snapshot; -EBUSY: another session holds it (RFC 1939's lock); any other
 * negative errno: it could not be opened. */
enum pop3_next pop3_session_opened(
	struct pop3_session *s, int error, const struct maildrop *maildrop);

/* CHECK: the message that is to be sent whole.  `error` 0: its octets are those that were
 * delivered; -EBADMSG: they are not; any other negative errno: it could not be found out. */
const struct maildrop_entry *pop3_session_check(const struct pop3_session *s);
enum pop3_next pop3_session_checked(struct pop3_session *s, int error);

/* XCLIENT: its arguments, valid as long as the line.  Whether it may say so is s->takes_xclient. */
struct span pop3_session_xclient(const struct pop3_session *s);
enum pop3_next pop3_session_xclient_heard(struct pop3_session *s, enum xclient_outcome outcome);

struct pop3_scan pop3_session_scan(const struct pop3_session *s);
enum pop3_next pop3_session_scanned(struct pop3_session *s, int error, uint64_t octets);

enum pop3_next pop3_session_committed(struct pop3_session *s, int error);

const char *pop3_end_word(enum pop3_end end);

#endif
