/*
 * service.h - one guest of a shard: a connection, the session of a protocol, and what it waits for.
 *
 * What all protocols share is here: lines are cut, input waits, TLS begins, limits pass, the slot
 * is freed when all is home.  What they do not share is a table of functions (struct
 * service_protocol) and a struct that begins with a struct service, in a slab of its own.
 */
#ifndef CORE_SERVICE_H
#define CORE_SERVICE_H

#include "core/line.h"
#include "core/next.h"
#include "core/shard.h"
#include "io/conn.h"

#include <arpa/inet.h>

/* Why a session ended that did not end itself. */
enum service_end {
	SERVICE_END_BY_SESSION,
	SERVICE_END_CLOSED_BY_PEER,
	SERVICE_END_CONNECTION_FAILED,
	SERVICE_END_LOGIN_DEADLINE,
	SERVICE_END_IDLE,
	SERVICE_END_SHUTDOWN,
	SERVICE_END_FILE_FAILED,
	SERVICE_END_NO_MEMORY,
	SERVICE_END_TLS_FAILED,
	SERVICE_END_HANDSHAKE_RATE,
	SERVICE_END_PROXY_HEADER, /* there was none, or a broken one */
	SERVICE_END_TURNED_AWAY,  /* the client that a proxy has named is not let in */
};

enum service_wait {
	WAIT_FOR_INPUT,  /* a line */
	WAIT_FOR_OCTETS, /* any octets */
	WAIT_FOR_HEADER, /* of a proxy (service_client.h), before all else */
	WAIT_FOR_ROOM,   /* the output is over its mark */
	WAIT_FOR_DRAIN,  /* the session asked for it */
	WAIT_FOR_WISH,
	WAIT_TO_START_TLS, /* the last words in clear are on their way */
	WAIT_FOR_TLS,      /* a handshake */
	WAIT_FOR_END,
};

struct service {
	struct conn conn;
	struct line_reader lines;
	struct shard *shard;
	struct door *door;
	struct list item; /* in shard->sessions */
	char *input;      /* octets that wait, from the shard's inputs; NULL: none */
	uint16_t input_octets;
	uint16_t peer_port;
	uint32_t octets_this_turn; /* taken without waiting for the next */
	uint8_t peer_family;       /* AF_INET, AF_INET6 or AF_UNIX */
	bool conn_is_gone : 1;
	bool heard_octets : 1;
	bool wish_is_away : 1; /* others work for it: the slot stays */
	bool is_uncounted : 1; /* guests_leave() is done */
	uint8_t wait;          /* enum service_wait */
	uint8_t end;           /* enum service_end */
	uint8_t peer_address[16];
	uint32_t ticket;
	uint64_t started_ms;
};

/* What a protocol makes of a guest.  `next` is an enum session_next or one of its own. */
struct service_protocol {
	const char *name;          /* in the log */
	const char *alpn;          /* IANA's name for it (RFC 7301); NULL: it has none */
	struct span turned_away;   /* the words for who finds no room */
	struct span wrong_network; /* and for who is none of the listener's `networks` */
	size_t slot_octets;        /* of its struct, which begins with a struct service */

	/* A guest is there: make the session, set the time limit. */
	void (*begin)(struct service *v);
	int (*greet)(struct service *v);
	/* TLS is spoken from here on. */
	int (*secured)(struct service *v, const struct tls_peer *peer);
	/* The first octets, before any line is cut: true if they are no words of this protocol at
	 * all and the guest has been told so. */
	bool (*is_foreign)(struct service *v, struct span first_octets);
	int (*line)(struct service *v, struct span line);
	int (*line_too_long)(struct service *v);
	/* NEXT_OCTETS: takes what it can off the front of *input.  NULL if it is never said. */
	int (*octets)(struct service *v, struct span *input);
	/* NEXT_DRAIN has come true.  NULL if it is never said. */
	int (*drained)(struct service *v);
	/* Bring about what only this protocol can want.  True: done, *next_out comes next.  False:
	 * service_resume() will be called. */
	bool (*wish)(struct service *v, int next, int *next_out);
	/* The time limit has passed, and no wish is away. */
	void (*timed_out)(struct service *v);
	/* The shard is being drained: may this session go on for a while?  If not, end it. */
	bool (*goes_on)(const struct service *v);
	void (*shut_down)(struct service *v);
	/* A file of a reply could not be read. */
	void (*reply_failed)(struct service *v, int error);
	/* The last words are queued: let go of what others may want. */
	void (*said_last)(struct service *v);
	/* The connection is gone and nothing is away: log, then let go of all but the slot. */
	void (*gone)(struct service *v);
};

/* A connection from `peer` was accepted on `door` and counted (guests_enter()).  It is the
 * service's from here on; false: no memory, it is still the caller's. */
bool service_start(struct shard *shard, struct door *door, int fd,
	const struct sockaddr_storage *peer, uint32_t ticket);

/* A wish has come true: go on with what comes next. */
void service_resume(struct service *v, int next);

/* Nothing goes out any more. */
void service_end_with(struct service *v, enum service_end why);
/* Say what is queued, then close; `refuse`: the guest may still be sending. */
void service_end_session(struct service *v, bool refuse);

/* `limit_s` seconds from when the guest came. */
void service_set_deadline(struct service *v, uint32_t limit_s);

/* "closed_by_peer", ... */
const char *service_end_word(const struct service *v);

/* The guest's address as text, for the log; "unix" for a local socket. */
const char *service_peer(const struct service *v, char text_out[INET6_ADDRSTRLEN]);
const char *service_address_text(
	const struct sockaddr_storage *address, char text_out[INET6_ADDRSTRLEN]);
/* From now on the guest is there. */
void service_note_peer(struct service *v, const struct sockaddr_storage *peer);

/* The words for who is not let in. */
struct span service_farewell(const struct door *door, enum turned_away why);

/* The shard is being drained: end what has not begun; `now`: everything. */
void service_drain(struct service *v, bool now);

#endif
