/*
 * client.h - one simulated client: which commands come next, and whether the replies are right.
 *
 * Pure: octets go in, commands come out; sockets, clocks and counting are the caller's.
 * Invariants
 *   1. At most `depth` commands are outstanding (1: no pipelining), and none is asked before a
 * reply on which it depends.  Replies are awaited in the order of the commands.
 *   2. Every reply is checked: status, ends of lines, end of a multi-line reply, the number of
 *      lines of a listing against STAT, the octets of a RETR against those announced, and nothing
 *      may follow the last reply.  A wrong one ends the session.
 *   3. With a source (compare.h) every octet of a message is compared with it, STAT must count its
 *      messages and the sizes of LIST must add up to STAT's octets.
 *   4. Without one the content of a message is looked at when it is seen for the first time.  Later
 *      ones of the same maildrop, number and size may be thrown away unseen (client_discardable) up
 *      to the place where the end must stand, and the end must stand exactly there.  Never in a mix
 *      that deletes, as numbers then name other messages later.
 * Ownership: a client borrows the mix and the memory until its session ends.
 */
#ifndef BENCH_LOAD_CLIENT_H
#define BENCH_LOAD_CLIENT_H

#include "bench/load/compare.h"
#include "bench/load/mix.h"
#include "io/base/span.h"

enum client_next {
	CLIENT_MORE,    /* the reply goes on: feed more */
	CLIENT_COMMAND, /* a reply is complete and right: send what client_commands() says */
	CLIENT_SECURE,  /* the same, and TLS begins here: shake hands, then client_commands() */
	CLIENT_HOLD,    /* the same, and the mix holds now: wait, then client_commands() */
	CLIENT_BYE,     /* the same, and QUIT was answered: the server closes now */
	CLIENT_WRONG,   /* the reply is wrong: see `fault` */
};

enum client_fault {
	CLIENT_FAULT_CONNECT,   /* no connection */
	CLIENT_FAULT_CLOSED,    /* the server closed or reset it in the middle */
	CLIENT_FAULT_TIMEOUT,   /* nothing came for too long */
	CLIENT_FAULT_LATE,      /* no connection was free for a session that was due */
	CLIENT_FAULT_TLS,       /* the handshake failed, or a record was wrong */
	CLIENT_FAULT_REFUSED,   /* -ERR; 4yz or 5yz in LMTP */
	CLIENT_FAULT_MALFORMED, /* neither +OK nor -ERR, or a line without CRLF */
	CLIENT_FAULT_LINES,     /* a listing that does not agree with STAT, a TOP too long */
	CLIENT_FAULT_OCTETS,    /* a message of another length than announced */
	CLIENT_FAULT_CONTENT,   /* a message that is not the one of the source */
	CLIENT_FAULT_MESSAGES,  /* more or fewer messages than in the source */
	CLIENT_FAULT_SUM,       /* the sizes of LIST do not add up to STAT's */
	CLIENT_FAULT_EXTRA,     /* octets behind the end of a reply */
};

enum {
	CLIENT_FAULT_COUNT = CLIENT_FAULT_EXTRA + 1,
	CLIENT_COMMAND_OCTETS = 256,
	CLIENT_STATUS_OCTETS = 80, /* so much of a status line is kept */
	CLIENT_LINE_OCTETS = 128,  /* and of a line of a listing */
	CLIENT_DEPTH_MAX = 64,
	CLIENT_SIZES = 1 << 16,
};

const char *client_fault_name(enum client_fault fault);

/* What clients remember from session to session.  It belongs to one thread. */
struct client_memory {
	/* How many octets messages had on the wire;
	 * one of the same place pushes the older one out. */
	struct client_size {
		uint32_t user, number;
		uint64_t octets, wire_octets;
	} sizes[CLIENT_SIZES];
	/* By user: hash of the last unique-id that the session before saw; NULL: nobody asks. */
	uint64_t *last_unique_ids;
	const struct source *source;  /* what LMTP delivers; NULL: nothing is delivered */
	struct compare_memory *known; /* NULL: messages are not compared */
	bool lenient;                 /* RETR may announce other octets than it sends */
};

/* Who logs in. */
struct client_identity {
	const char *user_pattern; /* "%" stands for the user's number */
	const char *password;
	uint32_t users; /* recipients beyond the last user are the first ones again */
};

enum client_reading {
	CLIENT_READS_STATUS,
	CLIENT_READS_LINES,
	CLIENT_READS_UNSEEN, /* known content, then the end */
	CLIENT_READS_NOTHING,
};

/* A command's place in a session: the step and, where it goes through several, which one. */
struct client_place {
	unsigned step;
	uint32_t message; /* or recipient; from 1 */
};

struct client {
	const struct mix *mix;
	const struct client_identity *identity;
	struct client_memory *memory;
	uint32_t user; /* number, from 1 */
	uint32_t chance;

	/* where the session stands */
	struct client_place asked, awaited; /* the last command sent, the reply that is read */
	unsigned outstanding;
	uint32_t messages, deleted;
	uint64_t octets_by_stat;
	uint32_t largest, first_new; /* messages that LIST and UIDL found */
	uint32_t recipients;         /* accepted for the next message */

	/* the reply being read */
	enum client_reading reading;
	enum client_fault fault;
	unsigned status_length, line_kept;
	char status[CLIENT_STATUS_OCTETS];
	char line[CLIENT_LINE_OCTETS]; /* of a listing, where somebody looks at it */
	bool octets_announced, in_body;
	char line_first, line_last;
	uint64_t line_length;
	uint64_t announced, octets, wire_octets;
	uint64_t lines, body_lines;
	uint64_t sum, largest_octets, last_unique_id;
	uint64_t unseen; /* still to come until the end line's CRLF */
	unsigned end_seen;
	uint32_t replies_left; /* of a message sent by LMTP */
	struct compare compare;

	/* what this session brought, for the caller to add up */
	uint64_t messages_retrieved, messages_delivered;
};

/* A new session in `*c`, whose first reply is the greeting. */
void client_start(struct client *c, const struct mix *mix, const struct client_identity *identity,
	struct client_memory *memory, uint32_t user);

/* Octets from the server, up to the end of the reply that is awaited; `*input` becomes the rest.
 * Feed that too while it is not empty: more replies are in it, or what should not be. */
enum client_next client_feed(struct client *c, struct span *input);

/* For people: the verb, the fault, and the server's words where it refused, in printable ASCII. */
void client_describe_fault(
	const struct client *c, enum client_fault fault, char *text_out, size_t size);

/* The verb whose reply is awaited. */
enum mix_verb client_verb(const struct client *c);

/* Write the commands that may go now, CRLF included, so that up to `depth` are outstanding; returns
 * their length and in *count_out how many they are.  `size` is at least CLIENT_COMMAND_OCTETS (a
 * name longer than that is cut); with that much for each of `depth` all find room. */
size_t client_commands(
	struct client *c, char *commands_out, size_t size, unsigned depth, unsigned *count_out);

/* The message to be sent behind DATA, if that is what client_commands has just come to (it says 1
 * and writes nothing); else an empty span.  It stays valid as long as the source. */
struct span client_message(const struct client *c);

/* So many octets that come next need not be looked at; 0: all of them must. */
uint64_t client_discardable(const struct client *c);
void client_discarded(struct client *c, uint64_t octets);

#endif
