/*
 * tls.h - TLS over memory: one context for each shard, one session for each connection.
 *
 * wolfSSL does the handshake and never sees a descriptor: what was received is put in (tls_take),
 * what is to be sent is taken out (tls_output, tls_sent).  It is fed whole records only.  Then it
 * tells the keys and is let go (tls_settle); from there on records are made and read here
 * (tls_settled.c), and between two of them the kernel can take over (tls_kernel.h).  TLS 1.2 and
 * 1.3, no renegotiation, no early data, no session cache: sessions are resumed by stateless tickets
 * (tls_tickets.h).
 *
 * A handshake costs a third of a millisecond and more.  A context lets a few of them go on in one
 * turn of the loop and a bounded number be under way, the rest wait in order: a storm of handshakes
 * does not starve the sessions that are in.
 *
 * Ownership: the context owns sessions' memory; it must outlive them.  One thread.
 */
#ifndef IO_TLS_H
#define IO_TLS_H

#include "io/base/metric.h"
#include "io/loop.h"
#include "io/tls_credentials.h"
#include "io/tls_records.h"
#include "io/tls_secrets.h"
#include "io/tls_tickets.h"

/* Does the kernel make the records once the handshake is done? */
enum tls_ktls {
	TLS_KTLS_AUTO,    /* where it can */
	TLS_KTLS_REQUIRE, /* or the connection ends */
	TLS_KTLS_OFF,
};

/* Which name of a client's certificate is its owner's. */
enum tls_peer_by {
	TLS_PEER_BY_ADDRESS,     /* the one rfc822Name of its alternative names */
	TLS_PEER_BY_COMMON_NAME, /* of its subject */
};

/* Borrowed for the life of the contexts. */
struct tls_options {
	enum tls_ktls ktls;
	bool requires_client_certificate; /* where the credentials name an authority */
	enum tls_peer_by peer_by;
	bool exports;            /* tls-exporter is made for each session (tls_peer.h) */
	uint32_t handshakes_max; /* at once */
	uint32_t sessions_max;
};

enum tls_failure {
	TLS_FAILURE_NONE,
	TLS_FAILURE_NOT_TLS,
	TLS_FAILURE_VERSION,
	TLS_FAILURE_CIPHER,
	TLS_FAILURE_ALPN,
	TLS_FAILURE_CERTIFICATE, /* the client's */
	TLS_FAILURE_ALERT,       /* the client gave up */
	TLS_FAILURE_CLOSED,      /* the client went away */
	TLS_FAILURE_DEADLINE,
	TLS_FAILURE_KTLS, /* required, but the kernel could not */
	TLS_FAILURE_MEMORY,
	TLS_FAILURE_OTHER,
	TLS_FAILURES,
};

/* Who makes the records of a session, and if it is not the kernel, why. */
enum tls_records {
	TLS_RECORDS_BY_KERNEL,
	TLS_RECORDS_KTLS_OFF,    /* ktls = off */
	TLS_RECORDS_NO_KTLS,     /* the kernel has none */
	TLS_RECORDS_CIPHER,      /* it does not know this cipher or version */
	TLS_RECORDS_REFUSED,     /* it refused for another reason, which was logged */
	TLS_RECORDS_NO_OCCASION, /* something was under way in both directions all the time */
	TLS_RECORDS,
};

/* How a connection is secured, for the log: what is left of a session the kernel has taken over. */
struct tls_facts {
	uint16_t suite;      /* IANA's number; 0: in clear */
	uint8_t version;     /* 12 or 13 */
	uint8_t records : 4; /* enum tls_records */
	bool resumed : 1;
};

/* How changes of keys by clients went (KeyUpdate). */
enum tls_rekey {
	TLS_REKEY_DONE,
	TLS_REKEY_UNABLE,   /* the kernel cannot, or there is no secret: the session was ended */
	TLS_REKEY_TOO_MANY, /* without a word between them: the session was ended */
	TLS_REKEYS,
};

struct tls_counts {
	struct count handshakes;
	struct count resumed; /* of these */
	struct count failed[TLS_FAILURES];
	struct count records[TLS_RECORDS]; /* sessions, when it was settled */
	struct count rekeys[TLS_REKEYS];
	struct count handshaking; /* now */
	struct count held_back;   /* now: waiting until others are done */
};

struct WOLFSSL;
struct WOLFSSL_CTX;

struct tls_context {
	struct loop *loop;
	const struct tls_options *options;
	struct tls_credentials *credentials;
	struct WOLFSSL_CTX **contexts; /* one for each identity */
	struct tls_ticket_key keys[2]; /* of this epoch and the one before */
	struct slab sessions;
	struct slab inputs;
	struct slab outputs;
	struct slab secrets_256; /* of TLS 1.3, by the length of their hash */
	struct slab secrets_384;
	struct tls_cipher *cipher;
	char *scratch;         /* plain octets on their way into records: TLS_SCRATCH_OCTETS */
	struct list waiting;   /* struct tls: a step of a handshake is due */
	struct list held_back; /* struct tls: too many handshakes are under way */
	struct deferred pump;
	uint32_t handshaking;
	bool kernel_can;
	bool kernel_can_rekey;
	int last_refusal; /* of the kernel, as an errno: each is logged once */
	struct tls_counts counts;
};

#define TLS_RECORDS_AT_ONCE 4u
#define TLS_SCRATCH_OCTETS  (TLS_RECORDS_AT_ONCE * TLS_RECORD_PLAIN_MAX)

struct tls {
	struct deferred turn; /* run() is the owner's: a step is due, or plain octets wait */
	struct tls_context *context;
	void *owner;
	const char *alpn;
	struct WOLFSSL *ssl; /* NULL: no ClientHello yet, or it is settled */
	char *input;         /* NULL: nothing is kept */
	char *output;
	uint32_t input_at, input_whole, input_end; /* whole records end at input_whole */
	uint32_t plain_at, plain_end;              /* in the input: opened, and not read yet */
	uint32_t output_at, output_end;
	struct tls_keys keys; /* once it is settled */
	struct tls_facts facts;
	unsigned char *secrets; /* of TLS 1.3; NULL: none */
	uint8_t secret_octets;
	uint8_t failure; /* enum tls_failure */
	bool is_handshaking;
	bool is_counted;   /* among the context's handshakes under way */
	bool has_answered; /* to the ClientHello */
	bool has_said_goodbye;
	bool is_held_back;
	bool kernel_refused;
	bool wants_octets; /* once the output has gone: the kernel may take over first */
};

/* 0 or a negative errno.  The credentials are shared from here on. */
int tls_context_open(struct tls_context *x, struct loop *loop, const struct tls_options *options,
	struct tls_credentials *credentials);
/* All sessions are gone. */
void tls_context_close(struct tls_context *x);
/* New handshakes use these; sessions that are there go on with theirs.  On an error nothing has
 * changed. */
int tls_context_reload(struct tls_context *x, struct tls_credentials *credentials);

const char *tls_failure_word(enum tls_failure failure);
const char *tls_version_word(const struct tls_facts *facts);
const char *tls_suite_word(const struct tls_facts *facts);
/* Why the kernel makes the records or does not; "none" in clear. */
const char *tls_records_word(const struct tls_facts *facts);
static inline bool
tls_is_in_kernel(const struct tls_facts *facts)
{
	return facts->suite != 0 && facts->records == TLS_RECORDS_BY_KERNEL;
}

/* A session that waits for its ClientHello; `run` as in tls_want_turn(), and where plain octets
 * wait.  `alpn` is the protocol's name (RFC 7301): an offer without it is refused; NULL: it has no
 * name, and what is offered is passed over.  NULL: no memory. */
struct tls *tls_make(
	struct tls_context *x, const char *alpn, void *owner, void (*run)(struct deferred *turn));
void tls_free(struct tls *t);

/* Octets from the socket.  0; -EPROTO: they are no records; -EMSGSIZE: one is too long; -ENOMEM. */
int tls_take(struct tls *t, struct span octets);
bool tls_has_record(const struct tls *t);
/* tls_read() has something to do without more octets. */
bool tls_has_plain(const struct tls *t);
/* Nothing received is left unread: the next octet from the socket begins a record. */
bool tls_is_between_records(const struct tls *t);

/* A record for the handshake is there: turn.run() will be called when it is our turn. */
void tls_want_turn(struct tls *t);
/* Go on with the handshake: 1: done, 0: more is needed; -EPROTO: failed (t->failure), and what the
 * client shall hear of it is in the output. */
int tls_handshake(struct tls *t);
/* It has failed for a reason of ours. */
void tls_fail(struct tls *t, enum tls_failure failure);

/* The handshake is done, and what wolfSSL knows of the client was asked (tls_peer.h): it is let go,
 * and all below is for the session that goes on.  0; -EPROTO: it does not tell the keys
 * (t->failure). */
int tls_settle(struct tls *t);

/* The next of what was taken: data, in pieces of up to `size` octets and perhaps an empty one, or
 * another record, of which no more than its front is given.  Its octets are put to `to`.  0;
 * -EAGAIN: no whole record is there; or what tls_record_open() says. */
int tls_read(struct tls *t, char *to, size_t size, struct tls_opened *out);
/* The same with octets that have just come from the socket, where none are kept: their first record
 * is opened where it lies, the rest is taken. */
int tls_read_first(struct tls *t, struct span octets, struct tls_opened *out);

/* So many octets of the context's scratch become records in the output, which must be empty.  0 or
 * -ENOMEM. */
int tls_write(struct tls *t, size_t octets);

/* New keys (RFC 8446, section 4.6.3) for what is received, or sent, behind this.  For the second the
 * output must be empty; a KeyUpdate for the client is in it then.  0 or a negative errno. */
int tls_rekey_input(struct tls *t);
int tls_rekey_output(struct tls *t);

/* An alert, fatal but for close_notify (tls_words.h), behind what is in the output; once. */
void tls_say_alert(struct tls *t, unsigned description);

static inline struct span
tls_output(const struct tls *t)
{
	return span_of(t->output + t->output_at, t->output_end - t->output_at);
}

static inline bool
tls_has_output(const struct tls *t)
{
	return t->output_at != t->output_end;
}

/* So many octets of the output are with the kernel. */
void tls_sent(struct tls *t, size_t octets);

/* Plain octets are put into records so that no piece shorter than this is left over: what ends a
 * reply is never torn apart. */
#define TLS_TAIL_OCTETS 16u

#endif
