/*
 * wire.h - a message in the form in which POP3 sends it (RFC 1939, sections 3 and 5).
 *
 * Wire form of a message is the whole reply to RETR: a status line, the message with CRLF line ends
 * and byte-stuffing, the end line:
 *
 *     +OK 5120 octets\r\n  <message, each line that begins with "." has one more>  .\r\n
 *
 * "octets" is RFC 1939's size of the message: CRLF counted, before byte-stuffing, without the end
 * line.  Text from outside is normalised: LF, CR and CRLF all end a line (bare CR and LF never
 * reach the wire), a message without a final line end gets one, NUL becomes 0x80 (PROTOCOL: Outlook
 * hangs on NUL).  An empty message has 0 octets and stays empty: its end line follows the status
 * line.
 *
 * Pure functions: no I/O, no allocation.
 */
#ifndef STORAGE_WIRE_H
#define STORAGE_WIRE_H

#include "io/base/span.h"

#include <stdbool.h>
#include <stdint.h>

#define WIRE_STATUS_OCTETS_MAX  23u /* "+OK 4294967295 octets\r\n" */
#define WIRE_END                ".\r\n"
#define WIRE_END_OCTETS         3u
#define WIRE_MESSAGE_OCTETS_MAX UINT32_MAX

/* What is known of a message when all of it was seen.  The octets of `stuffed_octets` and
 * `header_octets` are those of the wire form between status line and end line. */
struct wire_counts {
	uint64_t octets; /* RFC 1939 size; above WIRE_MESSAGE_OCTETS_MAX it cannot be stored */
	uint64_t stuffed_octets; /* as sent, without status line and end line */
	uint64_t header_octets;  /* as sent: the header and the blank line that ends it */
	uint64_t body_lines;     /* lines behind that blank line */
	bool header_ended;       /* a blank line was seen; if not, all is header */
};

/*
 * A message of unknown origin on its way to wire form, in pieces of any size.  A message whose
 * header no blank line ends is stored as it came; TOP adds the line it owes (see header_ended).
 */
struct wire_encoder {
	struct wire_counts counts;
	bool at_line_start; /* nothing of the present line is out */
	bool after_cr;      /* the last octet in was CR, its CRLF is already out */
};

void wire_encoder_init(struct wire_encoder *e);

/* Room needed in `to` for any input of `length` octets: a "." may become "..", an LF CRLF. */
#define WIRE_ENCODED_MAX(length) (2 * (length) + 2)

/* Encode `in` to `to`; returns how many octets were put there. */
size_t wire_encode(struct wire_encoder *e, struct span in, char *to);

/* The input has ended: complete the last line (at most 2 octets); returns how many were put.
 * e->counts is final then. */
size_t wire_encode_end(struct wire_encoder *e, char *to);

/* Put "+OK <octets> octets\r\n"; returns its length, at most WIRE_STATUS_OCTETS_MAX. */
size_t wire_put_status(uint32_t octets, char *to);
size_t wire_status_octets(uint32_t octets);

/*
 * The way back, for export: takes stuffed text (without status line and end line) in pieces and
 * gives it unstuffed, with CRLF or with LF line ends.
 */
struct wire_decoder {
	bool at_line_start;
	bool holds_cr; /* a CR came last and is kept back until it is known whether LF follows */
	bool to_lf;
};

void wire_decoder_init(struct wire_decoder *w, bool to_lf);
/* Decode `in` to `to`, which has room for in.length + 1 octets; returns how many were put. */
size_t wire_decode(struct wire_decoder *w, struct span in, char *to);

#endif
