/*
 * source.h - the mail that the measured server was given, each message as POP3 sends it.
 *
 * Read out of Maildirs once and put into wire form by the storage room's encoder: CRLF,
 * byte-stuffed, with the end line.  So it is what RETR must send behind its status line, octet for
 * octet, and what LMTP's DATA takes.  All of it lies in one unlinked temporary file that is mapped,
 * so a spool that is larger than the memory does no harm. Ownership: the source owns its mapping;
 * many threads may read it.
 */
#ifndef BENCH_LOAD_SOURCE_H
#define BENCH_LOAD_SOURCE_H

#include "io/base/span.h"

#include <stdio.h>

struct source_message {
	uint64_t offset;
	uint64_t wire_octets; /* with the end line */
	uint64_t octets;      /* as RFC 1939 counts them */
	uint64_t body_lines;
	bool header_ended; /* a blank line was seen */
};

/* The mail of one user, in the order of the files' names, which in a Maildir is that of arrival. */
struct source_drop {
	uint32_t first, count;
};

struct source {
	const char *at;
	uint64_t length;
	struct source_message *messages;
	uint32_t message_count, message_room;
	struct source_drop *drops; /* one, or one for each user */
	uint32_t drop_count;
	uint32_t largest_drop;
};

/*
 * Read `path`: a Maildir, then it is the mail of every user, or a folder of them, one for each user
 * of 1 to `users`, named after `pattern` ("%" stands for the number) with or without what follows
 * the "@".  0, or a negative errno after one line to `errors`.
 */
int source_load(const char *path, const char *pattern, uint32_t users, FILE *errors,
	struct source **source_out);
void source_free(struct source *s);

static inline struct source_drop
source_drop_of(const struct source *s, uint32_t user)
{
	return s->drops[s->drop_count == 1 ? 0 : user - 1];
}

/* The whole wire form, end line included. */
static inline struct span
source_wire(const struct source *s, uint32_t message)
{
	return span_of(s->at + s->messages[message].offset, s->messages[message].wire_octets);
}

#endif
