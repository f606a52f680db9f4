/*
 * compare.h - is what a server sends the message that it was given?
 *
 * A reply's octets are held against the source as they come, in pieces of any size.  Servers number
 * messages as they like, so the first time that a user's message is seen it is looked for among his
 * mail: it is one whose octets begin like those that have come.  From then on its number stands for
 * it, and no other number may.  (In a mix that deletes, numbers shift: then any message will do.)
 * Pure but for the memory of numbers.
 * Ownership: the memory belongs to one thread; a comparison borrows it and the source.
 */
#ifndef BENCH_LOAD_COMPARE_H
#define BENCH_LOAD_COMPARE_H

#include "bench/load/source.h"

/* What is known of numbers: for each user a row of source->largest_drop places. */
struct compare_memory {
	const struct source *source;
	bool numbers_stay;
	uint32_t *message_of; /* by number: the message's place in its drop plus 1, 0: not known */
	uint32_t *number_of;  /* by place: the number, 0: not known */
};

struct compare_memory *compare_memory_make(
	const struct source *source, uint32_t users, bool numbers_stay);
void compare_memory_free(struct compare_memory *m);

struct compare {
	struct compare_memory *memory;
	uint32_t user, number;
	uint32_t place; /* in the drop, of the message it is held to be */
	uint32_t tried; /* places */
	uint64_t seen;  /* octets that agreed */
	unsigned held;  /* octets of ".\r\n" not yet compared, as they may be the end line */
	bool line_begins;
	bool whole;     /* RETR: all of the message must come; false: TOP */
	unsigned extra; /* TOP: octets of a blank line that ends a header, beyond the message */
};

/* Begin with message `number` of `user`; false: he has no such message. */
bool compare_begin(struct compare *c, struct compare_memory *memory, uint32_t user, uint32_t number,
	bool whole);
/* Octets of the reply behind its status line, the end line among them. */
bool compare_octets(struct compare *c, struct span octets);
/* The end line was read.  True: it is the message, or, where `may_be_cut` (TOP that has sent all
 * the lines it was asked for), its beginning. */
bool compare_end(struct compare *c, bool may_be_cut);

#endif
