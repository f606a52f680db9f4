/*
 * dialogue.h - the POP3 that the floor servers speak: fixed replies, told apart by a line's first
 * letters.
 *
 * There is no mail behind it and no state of a session: every USER and PASS is welcome, and every
 * maildrop holds the same `messages` of `octets` each.  What remains is what the kernel asks for a
 * dialogue of this shape, which is the floor that ringpostd is measured against.
 * Invariants
 *   1. Of a line that has not ended yet only the first letters and the number behind them are kept,
 *      so a connection costs a few octets and input is never copied.
 *   2. The replies to all lines of one receive go into one output, to be sent in one call.
 * Ownership: a dialogue owns its replies and is read-only once built; threads share it.
 */
#ifndef BENCH_FLOOR_DIALOGUE_H
#define BENCH_FLOOR_DIALOGUE_H

#include "io/base/must.h"
#include "io/base/span.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

struct dialogue {
	unsigned messages;
	uint64_t octets; /* of each message, as announced */
	struct span stat, list, uidl;
	size_t reply_octets_max;
};

/* The line that is being received. */
struct dialogue_line {
	char verb[4]; /* its first letters, in capitals */
	unsigned length;
	unsigned number; /* behind the first blank */
	bool in_number;
};

struct dialogue_output {
	char *at;
	size_t length, size;
};

enum dialogue_next {
	DIALOGUE_LINE, /* all input is used up: send the output, receive more */
	DIALOGUE_FULL, /* the output must go out before the rest of the input is read */
	DIALOGUE_RETR, /* send the output and then the message line->number */
	DIALOGUE_QUIT, /* send the output and close */
};

#define DIALOGUE_GREETING SPAN("+OK floor ready\r\n")

/* A reply in a block of its own; `fmt_line` takes a message-number and `value`. */
static inline struct span
dialogue_listing(const struct dialogue *d, const char *status, const char *fmt_uidl)
{
	size_t size = 64 + (size_t)d->messages * 64, length;
	char *text = malloc(size);

	must(text != NULL);
	length = (size_t)snprintf(text, size, "%s\r\n", status);
	for (unsigned n = 1; n <= d->messages; n++) {
		if (fmt_uidl != NULL)
			length += (size_t)snprintf(
				text + length, size - length, "%u %08x%s\r\n", n, n, fmt_uidl);
		else
			length += (size_t)snprintf(text + length, size - length, "%u %llu\r\n", n,
				(unsigned long long)d->octets);
	}
	length += (size_t)snprintf(text + length, size - length, ".\r\n");
	return span_of(text, length);
}

static inline void
dialogue_build(struct dialogue *d, unsigned messages, uint64_t octets)
{
	char *stat = malloc(64);

	must(stat != NULL);
	d->messages = messages;
	d->octets = octets;
	d->stat = span_of(stat,
		(size_t)snprintf(stat, 64, "+OK %u %llu\r\n", messages,
			(unsigned long long)(messages * octets)));
	d->list = dialogue_listing(d, "+OK scan listing follows", NULL);
	d->uidl = dialogue_listing(d, "+OK unique-ids follow", "5f3c2a10");
	d->reply_octets_max = d->list.length > d->uidl.length ? d->list.length : d->uidl.length;
}

/* An output that takes the longest reply and a few thousand short ones. */
static inline void
dialogue_output_make(struct dialogue_output *out, const struct dialogue *d)
{
	out->size = d->reply_octets_max + 65536;
	out->length = 0;
	out->at = malloc(out->size);
	must(out->at != NULL);
}

static inline void
dialogue_put(struct dialogue_output *out, struct span reply)
{
	memcpy(out->at + out->length, reply.at, reply.length);
	out->length += reply.length;
}

static inline bool
dialogue_line_is(const struct dialogue_line *line, const char *verb)
{
	return memcmp(line->verb, verb, 4) == 0;
}

static inline enum dialogue_next
dialogue_answer(
	const struct dialogue *d, const struct dialogue_line *line, struct dialogue_output *out)
{
	if (dialogue_line_is(line, "STAT"))
		dialogue_put(out, d->stat);
	else if (dialogue_line_is(line, "LIST"))
		dialogue_put(out, d->list);
	else if (dialogue_line_is(line, "UIDL"))
		dialogue_put(out, d->uidl);
	else if (dialogue_line_is(line, "RETR") && line->number - 1 < d->messages)
		return DIALOGUE_RETR;
	else if (dialogue_line_is(line, "RETR"))
		dialogue_put(out, SPAN("-ERR no such message\r\n"));
	else if (dialogue_line_is(line, "CAPA") || dialogue_line_is(line, "TOP "))
		dialogue_put(out, SPAN("-ERR not here\r\n"));
	else
		dialogue_put(out, SPAN("+OK as you say\r\n"));
	return dialogue_line_is(line, "QUIT") ? DIALOGUE_QUIT : DIALOGUE_LINE;
}

static inline void
dialogue_take_octet(struct dialogue_line *line, char octet)
{
	if (line->length < 4)
		line->verb[line->length] =
			(char)(octet >= 'a' && octet <= 'z' ? octet - 32 : octet);
	else if (octet == ' ')
		line->in_number = true;
	else if (line->in_number && octet >= '0' && octet <= '9')
		line->number = line->number * 10 + (unsigned)(octet - '0');
	line->length++;
}

/* Answer the lines of `input` into `out` until something other than a short reply is asked for;
 * *used_out tells how much of the input was read. */
static inline enum dialogue_next
dialogue_feed(const struct dialogue *d, struct dialogue_line *line, struct span input,
	struct dialogue_output *out, size_t *used_out)
{
	enum dialogue_next next = DIALOGUE_LINE;
	size_t i = 0;

	if (line->length == 0)
		*line = (struct dialogue_line){ 0 };
	while (i < input.length && next == DIALOGUE_LINE) {
		char octet = input.at[i];

		if (octet == '\n' && out->size - out->length < d->reply_octets_max + 64) {
			next = DIALOGUE_FULL;
			break;
		}
		i++;
		if (octet != '\n') {
			dialogue_take_octet(line, octet);
			continue;
		}
		next = dialogue_answer(d, line, out);
		line->length = 0;
		if (next == DIALOGUE_LINE)
			*line = (struct dialogue_line){ 0 };
	}
	*used_out = i;
	return next;
}

#endif
