/*
 * topscan.h - how many octets of a body its first k lines take (TOP, RFC 1939, section 7).
 */
#ifndef STORAGE_TOPSCAN_H
#define STORAGE_TOPSCAN_H

#include "io/disk.h"

/* Look at the `length` octets at `offset` of an open log for the end of line `lines` (from 1); the
 * lines end with CRLF.  *octets_out: up to and with that line's end, or `length` if there are fewer
 * lines.  -EAGAIN on a disk that does not wait, also when more than TOPSCAN_DIRECT_OCTETS would
 * have to be read: a worker's work. */
#define TOPSCAN_DIRECT_OCTETS 65536u
int topscan(const struct disk *d, int log_fd, uint64_t offset, uint64_t length, uint32_t lines,
	uint64_t *octets_out);

#endif
