/*
 * index_file.h - the index of a maildrop on disk: read it, ask for its end, add to it, make it
 * anew.
 *
 * Nobody believes the index more than the log: whatever is wrong with it is an answer, not an
 * error.
 */
#ifndef STORAGE_INDEX_FILE_H
#define STORAGE_INDEX_FILE_H

#include "storage/messages.h"

enum index_condition {
	INDEX_WHOLE,  /* every octet of it is valid: slots may be added */
	INDEX_BROKEN, /* something follows the last valid commit; what is before it was read */
	INDEX_NONE,   /* missing, of another generation, or without a valid header */
};

/* What the end of an index says of its maildrop. */
struct index_end {
	enum index_condition condition;
	uint64_t covers; /* octets of the log; its header alone at INDEX_NONE */
	uint32_t next_uid;
	struct index_totals totals;
	uint64_t octets; /* of the index up to there */
};

/* Read all of it: valid commits go to `messages`, not yet settled. */
int index_load(const struct disk *d, const char *path, const struct log_header *log,
	struct messages *messages, struct index_end *end_out);

/* Read its header and last slot only; a break before them goes unseen. */
int index_load_end(
	const struct disk *d, int fd, const struct log_header *log, struct index_end *end_out);

/* Its header alone, of whatever generation: -ENOENT, -EBADMSG. */
int index_read_header(const struct disk *d, const char *path, struct index_header *header_out);

/* Make a new index beside the old one, if any, and rename it (waits): `messages` are settled, and
 * end with the log's `covers` octets.  Returns its descriptor, open for writing; *end_out is its
 * end. */
int index_replace(const struct disk *d, const char *directory, const struct log_header *log,
	const struct messages *messages, uint32_t next_uid, uint64_t covers,
	struct index_end *end_out);

/* Add one commit behind `end`, which must be INDEX_WHOLE: the messages from number `from` on (place
 * in the array), then the ranges, and bring `end` up to date (waits).  `totals` are those of the
 * maildrop after it.  Not synced: if it is lost, the log knows. */
int index_append(const struct disk *d, int fd, const struct messages *messages, uint32_t from,
	uint32_t next_uid, uint64_t covers, struct index_totals totals, struct index_end *end);

#endif
