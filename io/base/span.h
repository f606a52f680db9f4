/*
 * span.h - a run of octets that somebody else owns.
 *
 * A span borrows: it is valid as long as the memory it points into.  It is not terminated by NUL.
 */
#ifndef IO_BASE_SPAN_H
#define IO_BASE_SPAN_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

struct span {
	const char *at;
	size_t length;
};

#define SPAN(literal) ((struct span){ (literal), sizeof(literal) - 1 })

static inline struct span
span_of(const void *at, size_t length)
{
	return (struct span){ .at = at, .length = length };
}

static inline struct span
span_of_string(const char *string)
{
	return span_of(string, strlen(string));
}

static inline bool
span_equals(struct span a, struct span b)
{
	return a.length == b.length && memcmp(a.at, b.at, a.length) == 0;
}

/* Equal but for the case of ASCII letters. */
static inline bool
span_equals_nocase(struct span a, struct span b)
{
	return a.length == b.length && strncasecmp(a.at, b.at, a.length) == 0;
}

/* The rest of `s` behind its first `count` octets; all of them if it has no more. */
static inline struct span
span_after(struct span s, size_t count)
{
	if (count > s.length)
		count = s.length;
	if (count == 0) /* `at` may be NULL, which nothing may be added to */
		return s;
	return span_of(s.at + count, s.length - count);
}

/* Decimal number of 1 to 20 digits and nothing else, up to `max`; false leaves *value_out alone. */
bool span_to_u64(struct span s, uint64_t max, uint64_t *value_out);

/* The same for a number of octets, which may end with K, M, G or T,
 * each 1024 times the one before. */
bool span_to_octets(struct span s, uint64_t max, uint64_t *octets_out);

/* Put the decimal digits of `number` (at most SPAN_U64_DIGITS_MAX, no NUL); returns how many. */
#define SPAN_U64_DIGITS_MAX 20u
size_t span_put_u64(uint64_t number, char *to);

#endif
