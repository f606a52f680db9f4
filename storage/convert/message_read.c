/*
 * message_read.c - read a span of the log, check it, turn it into a message.
 *
 * The checksum is over the octets as stored; what is put is cut out of the same buffers, so nothing
 * goes out that was not looked at, and no message is ever held as a whole.
 */
#include "storage/convert/message_read.h"

#include "io/base/crc32c.h"

#include <errno.h>
#include <stdlib.h>

#define PIECE_OCTETS 262144u

struct reading {
	enum message_form form;
	uint64_t content_start, content_end; /* within the wire form */
	struct wire_decoder decoder;
	char *decoded; /* PIECE_OCTETS + 1 */
	int (*put)(void *ctx, struct span text);
	void *ctx;
};

/* The part of `piece`, which begins at `at` of the wire form, that belongs to the message. */
static struct span
content_of(const struct reading *r, struct span piece, uint64_t at)
{
	uint64_t end = at + piece.length;

	if (at < r->content_start)
		piece = span_after(piece, (size_t)(r->content_start - at));
	if (end > r->content_end) {
		uint64_t cut = end - r->content_end;

		piece.length = cut < piece.length ? piece.length - (size_t)cut : 0;
	}
	return piece;
}

static int
put_piece(struct reading *r, struct span piece, uint64_t at)
{
	struct span content;
	size_t length;

	if (r->form == MESSAGE_WIRE)
		return r->put(r->ctx, piece);
	content = content_of(r, piece, at);
	length = wire_decode(&r->decoder, content, r->decoded);
	return length > 0 ? r->put(r->ctx, span_of(r->decoded, length)) : 0;
}

static int
read_span(const struct disk *d, const struct maildrop *m, const struct maildrop_entry *e,
	struct reading *r, char *piece)
{
	uint32_t crc = 0;

	for (uint64_t at = 0; at < e->wire_octets;) {
		uint64_t left = e->wire_octets - at;
		size_t size = left < PIECE_OCTETS ? (size_t)left : PIECE_OCTETS;
		ssize_t n = disk_read_at(d, m->log_fd, piece, size, e->wire_offset + at);
		int error;

		if (n < 0)
			return (int)n;
		if ((size_t)n < size)
			return -EBADMSG;
		crc = crc32c(crc, piece, size);
		error = put_piece(r, span_of(piece, size), at);
		if (error != 0)
			return error;
		at += size;
	}
	return crc == e->content_crc ? 0 : -EBADMSG;
}

int
message_read(const struct disk *d, const struct maildrop *m, const struct maildrop_entry *e,
	enum message_form form, int (*put)(void *ctx, struct span text), void *ctx)
{
	struct reading r = { .form = form, .put = put, .ctx = ctx };
	char *buffers;
	int error;

	r.content_start = wire_status_octets(e->octets);
	if (e->wire_octets < r.content_start + WIRE_END_OCTETS)
		return -EBADMSG;
	r.content_end = e->wire_octets - WIRE_END_OCTETS;
	buffers = malloc(2 * PIECE_OCTETS + 1);
	if (buffers == NULL)
		return -ENOMEM;
	r.decoded = buffers + PIECE_OCTETS;
	wire_decoder_init(&r.decoder, form == MESSAGE_LF);
	error = read_span(d, m, e, &r, buffers);
	free(buffers);
	return error;
}
