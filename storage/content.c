/*
 * content.c - see content.h.
 */
#include "storage/content.h"

#include "io/base/crc32c.h"

#include <errno.h>
#include <stdlib.h>

/* Small enough to stay in the processor's cache between the copy and the checksum. */
#define PIECE_OCTETS 32768u
#define WORD_BITS    64u

bool
content_is_known_good(const struct content_marks *c, uint32_t message, uint64_t now_ms)
{
	return c->good != NULL && now_ms - c->since_ms < CONTENT_GOOD_MS &&
		(c->good[message / WORD_BITS] >> message % WORD_BITS & 1) != 0;
}

void
content_note_good(
	struct content_marks *c, const struct maildrop *m, uint32_t message, uint64_t now_ms)
{
	size_t words = m->count / WORD_BITS + 1;

	if (c->good == NULL) {
		c->good = calloc(words, sizeof(*c->good));
		c->since_ms = now_ms;
	}
	if (c->good == NULL)
		return;
	if (now_ms - c->since_ms >= CONTENT_GOOD_MS) {
		memset(c->good, 0, words * sizeof(*c->good));
		c->since_ms = now_ms;
	}
	c->good[message / WORD_BITS] |= UINT64_C(1) << message % WORD_BITS;
}

void
content_marks_free(struct content_marks *c)
{
	free(c->good);
	c->good = NULL;
}

int
content_check(const struct disk *d, int log_fd, const struct maildrop_entry *message)
{
	char piece[PIECE_OCTETS];
	uint64_t done = 0;
	uint32_t crc = 0;

	if (!d->waits && message->wire_octets > CONTENT_DIRECT_OCTETS)
		return -EAGAIN;
	while (done < message->wire_octets) {
		uint64_t left = message->wire_octets - done;
		size_t want = left < sizeof(piece) ? (size_t)left : sizeof(piece);
		ssize_t n = disk_read_at(d, log_fd, piece, want, message->wire_offset + done);

		if (n < 0)
			return (int)n;
		if ((size_t)n != want)
			return -EBADMSG;
		crc = crc32c(crc, piece, want);
		done += want;
	}
	return crc == message->content_crc ? 0 : -EBADMSG;
}
