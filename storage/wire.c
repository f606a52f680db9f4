/*
 * wire.c - to the form in which POP3 sends a message, and back.
 *
 * Most octets of a message mean nothing to the wire form, so both ways copy whole runs and stop
 * only at the few that do: line ends, NUL, and a dot that begins a line. Invariant: an encoder's
 * output, in whatever pieces its input came, has CRLF behind every line, no bare CR or LF, no NUL,
 * and no line that is "." alone.
 */
#include "storage/wire.h"

#include "io/base/must.h"

#include <stdio.h>

/* What NUL is stored as: a span holds none (docs/FORMAT.md). */
#define NUL_STAND_IN ((char)0x80)

void
wire_encoder_init(struct wire_encoder *e)
{
	*e = (struct wire_encoder){ .at_line_start = true };
}

static size_t
encode_line_end(struct wire_encoder *e, char *to)
{
	struct wire_counts *c = &e->counts;

	to[0] = '\r';
	to[1] = '\n';
	c->octets += 2;
	c->stuffed_octets += 2;
	if (c->header_ended) {
		c->body_lines++;
	} else {
		c->header_ended = e->at_line_start;
		c->header_octets = c->stuffed_octets;
	}
	e->at_line_start = true;
	return 2;
}

/* How many octets from `from` on go out as they are. */
static size_t
plain_run(const char *from, const char *end)
{
	const char *at = from;

	while (at < end && *at != '\r' && *at != '\n' && *at != '\0')
		at++;
	return (size_t)(at - from);
}

static size_t
encode_text(struct wire_encoder *e, const char *from, size_t length, char *to)
{
	size_t stuffing = e->at_line_start && *from == '.' ? 1 : 0;

	*to = '.';
	memcpy(to + stuffing, from, length);
	e->at_line_start = false;
	e->counts.octets += length;
	e->counts.stuffed_octets += length + stuffing;
	return length + stuffing;
}

size_t
wire_encode(struct wire_encoder *e, struct span in, char *to)
{
	const char *at = in.at;
	const char *end = in.at + in.length;
	char *out = to;

	while (at < end) {
		size_t run = plain_run(at, end);
		char special;

		if (run > 0) {
			out += encode_text(e, at, run, out);
			e->after_cr = false;
			at += run;
			continue;
		}
		special = *at++;
		if (special == '\0')
			out += encode_text(e, &(const char){ NUL_STAND_IN }, 1, out);
		else if (special == '\r' || !e->after_cr)
			out += encode_line_end(e, out);
		e->after_cr = special == '\r';
	}
	return (size_t)(out - to);
}

size_t
wire_encode_end(struct wire_encoder *e, char *to)
{
	size_t put = e->at_line_start ? 0 : encode_line_end(e, to);

	if (!e->counts.header_ended)
		e->counts.header_octets = e->counts.stuffed_octets;
	return put;
}

size_t
wire_put_status(uint32_t octets, char *to)
{
	char line[WIRE_STATUS_OCTETS_MAX + 1];
	int length = snprintf(line, sizeof(line), "+OK %u octets\r\n", octets);

	must(length > 0 && (size_t)length < sizeof(line));
	memcpy(to, line, (size_t)length);
	return (size_t)length;
}

size_t
wire_status_octets(uint32_t octets)
{
	size_t digits = 1;

	while (octets >= 10) {
		octets /= 10;
		digits++;
	}
	return digits + sizeof("+OK  octets\r\n") - 1;
}

void
wire_decoder_init(struct wire_decoder *w, bool to_lf)
{
	*w = (struct wire_decoder){ .at_line_start = true, .to_lf = to_lf };
}

size_t
wire_decode(struct wire_decoder *w, struct span in, char *to)
{
	char *out = to;

	for (size_t i = 0; i < in.length; i++) {
		char octet = in.at[i];

		if (w->holds_cr && octet != '\n')
			*out++ = '\r';
		w->holds_cr = false;
		if (w->at_line_start && octet == '.') {
			w->at_line_start = false;
			continue;
		}
		w->at_line_start = octet == '\n';
		if (octet == '\r' && w->to_lf)
			w->holds_cr = true;
		else
			*out++ = octet;
	}
	return (size_t)(out - to);
}
