/*
 * data.h - what follows DATA: where it ends, and what of it goes into the message.
 *
 * The end of data is CRLF "." CRLF, octet for octet, and nothing else (RFC 5321, section 4.1.1.4).
 * A server that also takes CR or LF alone for a line end sees an end, and commands behind it, where
 * the server before it saw text: that is SMTP smuggling.  A CR or LF that is not one of a pair is
 * noted; the session refuses the message, or lets it become CRLF (`bare_newlines`).  In that case
 * what follows is a line of text like any other: its "." is no end and gets the dot that stuffing
 * owes it.
 *
 * Nothing is rebuilt: runs lie in the input, as long as they can be.  What is split between two
 * inputs (a CR, a dot) comes out of constants.
 *
 * Pure.  An input may be cut anywhere.
 */
#ifndef CORE_LMTP_DATA_H
#define CORE_LMTP_DATA_H

#include "io/base/span.h"

enum lmtp_data_result {
	LMTP_DATA_RUN,  /* the next octets of the message, in wire form */
	LMTP_DATA_MORE, /* the input is used up */
	LMTP_DATA_END,  /* so is the message; what is left of the input comes behind it */
};

struct lmtp_data {
	uint8_t state;
	bool has_bare; /* a CR or LF stood alone */
};

void lmtp_data_init(struct lmtp_data *d);

/* Go on from the front of *input.  Every CR and LF of the runs is one of a pair within one run, and
 * the end line is in none.  *run_out is valid as long as the input. */
enum lmtp_data_result lmtp_data_next(struct lmtp_data *d, struct span *input, struct span *run_out);

/* Octets of a chunk (BDAT, RFC 3030), in which nothing means an end: only notes `has_bare`. */
void lmtp_data_check_chunk(struct lmtp_data *d, struct span octets);
/* The last chunk is over. */
void lmtp_data_end_chunks(struct lmtp_data *d);

#endif
