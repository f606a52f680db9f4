/*
 * topscan.c - count lines in a body until enough were seen.
 */
#include "storage/topscan.h"

#include <errno.h>

#define CHUNK_OCTETS 16384u

/* Where the line end number *lines is, counted down as they pass; 0: not in this chunk. */
static size_t
find_line_end(const char *chunk, size_t length, uint32_t *lines)
{
	const char *at = chunk;
	const char *end = chunk + length;

	while (at < end && (at = memchr(at, '\n', (size_t)(end - at))) != NULL) {
		at++;
		if (--*lines == 0)
			return (size_t)(at - chunk);
	}
	return 0;
}

int
topscan(const struct disk *d, int log_fd, uint64_t offset, uint64_t length, uint32_t lines,
	uint64_t *octets_out)
{
	char chunk[CHUNK_OCTETS];
	uint64_t done = 0;

	if (lines == 0)
		length = 0;
	while (done < length) {
		size_t want =
			length - done < sizeof(chunk) ? (size_t)(length - done) : sizeof(chunk);
		size_t found;
		ssize_t n;

		if (!d->waits && done + want > TOPSCAN_DIRECT_OCTETS)
			return -EAGAIN;
		n = disk_read_at(d, log_fd, chunk, want, offset + done);
		if (n < 0)
			return (int)n;
		if ((size_t)n != want)
			return -EBADMSG;
		found = find_line_end(chunk, want, &lines);
		if (found > 0) {
			*octets_out = done + found;
			return 0;
		}
		done += want;
	}
	*octets_out = length;
	return 0;
}
