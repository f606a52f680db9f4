/*
 * powerlog.h - what a disk was asked to do, in order: writes, flushes, and marks between them.
 *
 * The logging disk (logdisk.c) appends; the builder of crash states (states.c) reads.  A mark is a
 * line of text that the load puts between the writes: what it is about to ask of the server, and
 * what the server has answered (model.h).  The order of the records is the order in which the disk
 * got them, so whatever stands before a mark had reached the disk when the mark was made.
 *
 * The file: records of a header and `octets` of payload, padded to a multiple of 8.  Numbers are of
 * this machine; a log never leaves it.
 */
#ifndef TESTS_POWER_POWERLOG_H
#define TESTS_POWER_POWERLOG_H

#include "io/base/span.h"

#include <stdint.h>

enum power_kind {
	POWER_WRITE, /* payload: what was written at `offset` */
	POWER_FLUSH, /* all writes before it are safe */
	POWER_MARK,  /* payload: a line of text, without its end */
};

#define POWER_MAGIC 0x52574f50u /* "POWR" */

struct power_header {
	uint32_t magic;
	uint32_t kind;
	uint64_t offset;
	uint64_t octets;
};

/* Append a record to the file `fd`; 0 or a negative errno. */
int power_append(int fd, enum power_kind kind, uint64_t offset, struct span payload);

struct power_record {
	enum power_kind kind;
	uint64_t offset;
	struct span payload; /* in the map */
};

/* A log that is read: mapped whole, its records in order.  Owned until power_log_close(). */
struct power_log {
	const uint8_t *map;
	size_t map_octets;
	struct power_record *records;
	size_t count;
};

/* -EBADMSG: not a log.  A record cut off at the end (the disk was killed) is left out. */
int power_log_open(const char *path, struct power_log *log_out);
void power_log_close(struct power_log *log);

#endif
