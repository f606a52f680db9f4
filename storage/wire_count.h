/*
 * wire_count.h - count a message that is in wire form already.
 *
 * What SMTP's DATA brings is CRLF lines with byte-stuffing, which is what RETR sends: nothing is to
 * be encoded, only counted.  The counts are those that the encoder of storage/wire.h would have
 * come to for the same message.
 *
 * Pure functions.
 */
#ifndef STORAGE_WIRE_COUNT_H
#define STORAGE_WIRE_COUNT_H

#include "storage/wire.h"

struct wire_counter {
	struct wire_counts counts; /* header_octets is final after wire_count_end() */
	uint64_t line_octets;      /* of the present line so far, its byte-stuffing included */
};

/* Count `wire`, in pieces of any size, split anywhere.  Every LF has a CR before it. */
void wire_count(struct wire_counter *c, struct span wire);
/* The message has ended: complete the counts.  False: its last line had no end. */
bool wire_count_end(struct wire_counter *c);

/* The counts of `head`, which is whole lines of a header, and then the message `of`. */
struct wire_counts wire_counts_behind(struct span head, const struct wire_counts *of);

#endif
