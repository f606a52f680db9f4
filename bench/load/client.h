/*
 * client.h - one simulated POP3 client: which command comes next, and whether the reply is right.
 *
 * Pure: octets go in, commands come out; sockets, clocks and counting are the caller's.
 * Invariants
 *   1. One command is outstanding at a time; the next is asked for when its reply is complete.
 *   2. Every reply is checked: status, ends of lines, end of a multi-line reply, the number of
 *      lines of a listing against STAT, the octets of a RETR against those announced, and nothing
 *      may follow a reply.  A wrong one ends the session.
 *   3. The content of a message is looked at when it is seen for the first time.  Later ones of the
 *      same maildrop, number and size may be thrown away unseen (client_discardable) up to the
 *      place where the end must stand, and the end must stand exactly there.  Never in a mix that
 *      deletes, as numbers then name other messages later.
 * Ownership: a client borrows the mix and the memory of sizes until its session ends.
 */
#ifndef BENCH_LOAD_CLIENT_H
#define BENCH_LOAD_CLIENT_H

#include "bench/load/mix.h"
#include "io/base/span.h"

enum client_next {
	CLIENT_MORE,    /* the reply goes on: feed more */
	CLIENT_COMMAND, /* the reply is complete and right: send client_command() */
	CLIENT_HOLD,    /* the same, and the mix holds now: wait, then client_release() */
	CLIENT_BYE,     /* the same, and QUIT was answered: the server closes now */
	CLIENT_WRONG,   /* the reply is wrong: see `fault` */
};

enum client_fault {
	CLIENT_FAULT_CONNECT,   /* no connection */
	CLIENT_FAULT_CLOSED,    /* the server closed or reset it in the middle */
	CLIENT_FAULT_TIMEOUT,   /* nothing came for too long */
	CLIENT_FAULT_REFUSED,   /* -ERR */
	CLIENT_FAULT_MALFORMED, /* neither +OK nor -ERR, or a line without CRLF */
	CLIENT_FAULT_LINES,     /* a listing that does not agree with STAT, a TOP too long */
	CLIENT_FAULT_OCTETS,    /* a message of another length than announced */
	CLIENT_FAULT_EXTRA,     /* octets behind the end of a reply */
};

enum {
	CLIENT_FAULT_COUNT = CLIENT_FAULT_EXTRA + 1,
	CLIENT_COMMAND_OCTETS = 256,
	CLIENT_STATUS_OCTETS = 80, /* so much of a status line is kept */
	CLIENT_SIZES = 1 << 16,
};

const char *client_fault_name(enum client_fault fault);

/* How many octets messages had on the wire; one of the same place pushes the older one out. */
struct client_sizes {
	struct client_size {
		uint32_t user, number;
		uint64_t octets, wire_octets;
	} at[CLIENT_SIZES];
};

/* Who logs in. */
struct client_identity {
	const char *user_pattern; /* "%" stands for the user's number */
	const char *password;
};

enum client_reading {
	CLIENT_READS_STATUS,
	CLIENT_READS_LINES,
	CLIENT_READS_UNSEEN, /* known content, then the end */
	CLIENT_READS_NOTHING,
};

struct client {
	const struct mix *mix;
	const struct client_identity *identity;
	struct client_sizes *sizes;
	uint32_t user; /* number, from 1 */
	uint32_t chance;

	/* where the session stands */
	unsigned step;
	uint32_t message; /* of retr, top, dele; from 1 */
	uint32_t messages;
	uint32_t deleted;

	/* the reply being read */
	enum client_reading reading;
	enum client_fault fault;
	unsigned status_length;
	char status[CLIENT_STATUS_OCTETS];
	bool octets_announced, in_body;
	char line_first, line_last;
	uint64_t line_length;
	uint64_t announced, octets, wire_octets;
	uint64_t lines, body_lines;
	uint64_t unseen; /* still to come until the end line's CRLF */
	unsigned end_seen;

	/* what this session brought, for the caller to add up */
	uint64_t messages_retrieved;
};

/* A new session in `*c`, whose first reply is the greeting. */
void client_start(struct client *c, const struct mix *mix, const struct client_identity *identity,
	struct client_sizes *sizes, uint32_t user);

/* Octets from the server. */
enum client_next client_feed(struct client *c, struct span input);

/* For people: the verb, the fault, and the server's words where it refused, in printable ASCII. */
void client_describe_fault(
	const struct client *c, enum client_fault fault, char *text_out, size_t size);

/* The verb whose reply is awaited. */
enum mix_verb client_verb(const struct client *c);

/* Write the next command, CRLF included; returns its length, at most `size` (256 is enough for any
 * name that RFC 1939 allows; a longer one is cut). */
size_t client_command(struct client *c, char *command_out, size_t size);

/* Go on behind `hold`; a command follows. */
void client_release(struct client *c);

/* So many octets that come next need not be looked at; 0: all of them must. */
uint64_t client_discardable(const struct client *c);
void client_discarded(struct client *c, uint64_t octets);

#endif
