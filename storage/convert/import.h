/*
 * import.h - the messages of a source into a maildrop, each of them once.
 *
 * What makes a second run add nothing twice, whatever the first one came to:
 *   1. A message that was imported before is known by its identity from the file `imported`
 *      (imported.h), also when it has been deleted since.
 *   2. A message whose unique-id came from the source is not added where there is a message with
 *      that unique-id and that time of arrival: so an export can be brought back into the maildrop
 *      that it came from.
 *
 * Unique-ids of the source are kept.  Those of Dovecot's default form are not stored where the
 * maildrop can derive them: a new maildrop takes over the source's uid-validity and messages keep
 * their uids.  Uids that the source has used up are not given again once the import has ended, so
 * nothing should be delivered to a new maildrop before.  A message without a unique-id, or whose
 * unique-id another message has, gets one as if it were delivered now.
 *
 * Messages are committed in batches, so that an import that is broken off keeps what it did; the
 * write lock is given away now and then, so that deliveries and deletions come through meanwhile.
 */
#ifndef STORAGE_CONVERT_IMPORT_H
#define STORAGE_CONVERT_IMPORT_H

#include "storage/convert/source.h"

struct import_options {
	struct maildrop_options maildrop;
	/* One line about a message that was left out. */
	void (*report)(void *ctx, const char *text);
	/* So many more messages, octets of the source, are done: imported, known, or left out. */
	void (*progress)(void *ctx, uint64_t messages, uint64_t octets);
	void *ctx;
};

struct import_counts {
	uint64_t found;
	uint64_t added;
	uint64_t known;   /* imported before */
	uint64_t damaged; /* left out; those of the source's opening included */
	uint64_t octets;  /* of those added, as they are in the source */
};

/* 0 when every message was looked at, whatever came of it; a negative errno when the maildrop fails
 * (-EAGAIN: another import into it is under way).  *counts_out is set in any case. */
int import_source(const struct disk *d, const char *address, struct source *s,
	const struct import_options *options, struct import_counts *counts_out);

#endif
