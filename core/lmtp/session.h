/*
 * session.h - the LMTP session (RFC 2033 on RFC 5321), pure.
 *
 * A line, octets or an event goes in; replies are put into the segments that lmtp_session_init()
 * was given, and the return value says what must happen before the next call:
 *
 *   LINE       give it the next line: lmtp_session_line()
 *   OCTETS     give it what comes, as it comes: lmtp_session_octets()
 *   RECIPIENT  look lmtp_session_asked() up, then lmtp_session_recipient()
 *   STORE      put lmtp_session_run() behind what is there of the message, then
 *              lmtp_session_stored()
 *   DELIVER    the message is complete: deliver it to each of `recipients` and say in its `error`
 *              how that went, then lmtp_session_delivered()
 *   XCLIENT    do what lmtp_session_run() asks for, then lmtp_session_xclient_heard()
 *   TLS        send what is queued, speak TLS from the next octet on, then lmtp_session_secured();
 *              what was heard behind the line is TLS or nothing, it must never come here
 *   CLOSE      send what is queued and close
 *   REFUSE     the same for a client who may still be sending
 *
 * What was stored may be forgotten as soon as lmtp_session_collects() is false and DELIVER is not
 * what was said last.
 *
 * No I/O, no clock.  Transcripts, fuzzers and the server drive the same functions.
 *
 * Ownership: policy, reply and slabs are borrowed for the session's life; recipients are blocks of
 * their slab, the session's until lmtp_session_end().
 */
#ifndef CORE_LMTP_SESSION_H
#define CORE_LMTP_SESSION_H

#include "core/lmtp/data.h"
#include "core/next.h"
#include "core/xclient.h"
#include "io/base/segments.h"
#include "storage/accounts.h"

enum lmtp_next {
	LMTP_NEXT_LINE = NEXT_LINE,
	LMTP_NEXT_OCTETS = NEXT_OCTETS,
	LMTP_NEXT_TLS = NEXT_TLS,
	LMTP_NEXT_CLOSE = NEXT_CLOSE,
	LMTP_NEXT_REFUSE = NEXT_REFUSE,
	LMTP_NEXT_RECIPIENT = NEXT_WISH,
	LMTP_NEXT_STORE,
	LMTP_NEXT_DELIVER,
	LMTP_NEXT_XCLIENT,
};

enum lmtp_state {
	LMTP_CLEAR = 1 << 0,  /* no LHLO yet; bits, so that a command can name several */
	LMTP_READY = 1 << 1,  /* between transactions */
	LMTP_MAIL = 1 << 2,   /* there is a sender */
	LMTP_CHUNKS = 1 << 3, /* the message has begun to come by BDAT */
	LMTP_DATA = 1 << 4,   /* it comes by DATA */
	LMTP_ENDED = 1 << 5,
};

/* Why a session ended, as the log has it. */
enum lmtp_end {
	LMTP_END_NONE,
	LMTP_END_QUIT,
	LMTP_END_ERRORS,
	LMTP_END_BROKEN_CHUNK, /* nobody can tell how long it is */
	LMTP_END_FOREIGN_PROTOCOL,
	LMTP_END_TIMED_OUT,
	LMTP_END_SHUTDOWN,
	LMTP_END_XCLIENT,
	LMTP_END_TURNED_AWAY,
};

/* The same for all sessions of a listener. */
struct lmtp_policy {
	const char *hostname;
	const char *greeting;     /* text behind "220 hostname LMTP " */
	bool offers_tls;          /* STARTTLS */
	bool normalises_newlines; /* a CR or LF alone becomes CRLF; else the message is refused */
	uint64_t octets_max;      /* of a message, as SIZE counts them */
	uint32_t recipients_max;
};

/* The answer to RECIPIENT. */
enum lmtp_verdict {
	LMTP_VERDICT_GOOD,
	LMTP_VERDICT_UNKNOWN,
	LMTP_VERDICT_DISABLED,
	LMTP_VERDICT_OVER_QUOTA,
	LMTP_VERDICT_UNAVAILABLE, /* it could not be found out */
};

/* The beginning of a block of the slab of recipients; what is behind it is the driver's. */
struct lmtp_recipient {
	struct lmtp_recipient *next;
	int error; /* of its delivery: 0, or a negative errno */
	/* As the client wrote it, without quotes; the driver puts the account's in its place. */
	char address[ACCOUNT_ADDRESS_OCTETS_MAX + 1];
};

struct lmtp_session {
	const struct lmtp_policy *policy;
	struct segments *reply;
	struct slab *names;            /* blocks of LINE_BLOCK_OCTETS */
	struct slab *recipient_blocks; /* of at least a struct lmtp_recipient */
	struct lmtp_recipient *recipients;
	struct lmtp_recipient *last;
	struct lmtp_recipient *asked; /* RECIPIENT */
	char *name;                   /* a block: LHLO's argument, and the sender behind it */
	const char *failure;          /* of the message: the reply to it; NULL: none yet */
	const char *refusal;          /* of a chunk that belongs to no message */
	struct span run;              /* STORE; XCLIENT: its arguments */
	uint64_t declared_octets;     /* MAIL SIZE; 0: not said */
	uint64_t chunk_left;
	uint64_t octets_stored; /* of all messages */
	uint32_t recipient_count;
	uint32_t messages;  /* that came to their end */
	uint32_t delivered; /* recipients who have one of them */
	uint32_t failed;    /* recipients who have not */
	uint16_t name_octets;
	uint16_t sender_octets;
	struct lmtp_data data;
	uint8_t state; /* enum lmtp_state */
	uint8_t end;   /* enum lmtp_end */
	uint8_t errors_in_a_row;
	bool heard_a_line;
	bool is_secure;
	bool takes_utf8; /* MAIL SMTPUTF8 */
	bool in_chunk;   /* what comes belongs to one */
	bool chunk_is_last;
	bool takes_xclient;
	bool name_is_told; /* by XCLIENT: LHLO's argument is the proxy's name */
};

void lmtp_session_init(struct lmtp_session *s, const struct lmtp_policy *policy,
	struct segments *reply, struct slab *names, struct slab *recipient_blocks);
/* Let go of all the session holds. */
void lmtp_session_end(struct lmtp_session *s);

/* Before the greeting: the client is a proxy that may say XCLIENT. */
static inline void
lmtp_session_allow_xclient(struct lmtp_session *s)
{
	s->takes_xclient = true;
}

enum lmtp_next lmtp_session_greet(struct lmtp_session *s);
/* TLS is spoken from here on, after STARTTLS or before the greeting.  All that was heard in clear
 * is forgotten (RFC 3207, section 4.2). */
enum lmtp_next lmtp_session_secured(struct lmtp_session *s);

/* One line without its end, at most LINE_OCTETS_MAX octets. */
enum lmtp_next lmtp_session_line(struct lmtp_session *s, struct span line);
/* A line was longer and has been passed over. */
enum lmtp_next lmtp_session_line_too_long(struct lmtp_session *s);
/* The first octets of the connection: true if they are TLS.  Then the client has been answered:
 * REFUSE. */
bool lmtp_session_is_foreign(struct lmtp_session *s, struct span first_octets);

/* RECIPIENT: the address is in s->asked, and may be replaced there by the account's. */
enum lmtp_next lmtp_session_recipient(struct lmtp_session *s, enum lmtp_verdict verdict);

/* Takes what it can off the front of *input, which is not empty. */
enum lmtp_next lmtp_session_octets(struct lmtp_session *s, struct span *input);

/* STORE: octets of the message, valid as long as the input they came with; XCLIENT: its arguments. */
static inline struct span
lmtp_session_run(const struct lmtp_session *s)
{
	return s->run;
}

/* STORE: the run is in wire form (storage/wire.h); else it is text of any kind. */
static inline bool
lmtp_session_run_is_wire(const struct lmtp_session *s)
{
	return s->state == LMTP_DATA;
}

/* `error`: 0; -EFBIG: it has grown too large; -ENOMEM, -ENOSPC; others. */
enum lmtp_next lmtp_session_stored(struct lmtp_session *s, int error);
enum lmtp_next lmtp_session_delivered(struct lmtp_session *s);

/* XCLIENT; `helo`: how the client calls itself, "" if that is not known.  Whether it may say so is
 * s->takes_xclient. */
enum lmtp_next lmtp_session_xclient_heard(
	struct lmtp_session *s, enum xclient_outcome outcome, const char *helo);

/* A message is coming and nothing is wrong with it yet. */
static inline bool
lmtp_session_collects(const struct lmtp_session *s)
{
	return (s->state == LMTP_DATA || s->state == LMTP_CHUNKS) && s->failure == NULL;
}

/* No transaction is under way, and no chunk is being passed over. */
static inline bool
lmtp_session_is_idle(const struct lmtp_session *s)
{
	return !s->in_chunk && (s->state == LMTP_CLEAR || s->state == LMTP_READY);
}

/* The one who delivers says its last: LMTP_END_TIMED_OUT or LMTP_END_SHUTDOWN. */
enum lmtp_next lmtp_session_break(struct lmtp_session *s, enum lmtp_end why);

static inline struct span
lmtp_session_client(const struct lmtp_session *s)
{
	return span_of(s->name, s->name_octets);
}

/* The sender of the message, empty for "<>". */
struct span lmtp_session_sender(const struct lmtp_session *s);

const char *lmtp_end_word(enum lmtp_end end);

#endif
