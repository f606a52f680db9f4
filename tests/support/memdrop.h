/*
 * memdrop.h - a maildrop without a spool: a log in a memory file, for transcripts and fuzzers.
 *
 * Messages are stored in wire form by storage/wire.h, so that a session that answers from a
 * snapshot of it cannot tell it from a real one.
 *
 * Ownership: the memdrop owns file and messages until memdrop_destroy(); a snapshot is the caller's
 * until memdrop_release() and must be released before.
 */
#ifndef TESTS_SUPPORT_MEMDROP_H
#define TESTS_SUPPORT_MEMDROP_H

#include "storage/maildrop.h"

#define MEMDROP_UID_VALIDITY 0x5EED0001u

struct memdrop {
	int fd;
	uint64_t end; /* of the log */
	struct maildrop_entry *entries;
	uint32_t count;
	uint32_t room;
	uint32_t next_uid;
};

void memdrop_init(struct memdrop *m);
void memdrop_destroy(struct memdrop *m);

/* Text of any line ends, as an import would take it. */
void memdrop_add(struct memdrop *m, struct span text);

struct maildrop *memdrop_snapshot(const struct memdrop *m);
void memdrop_release(struct maildrop *snapshot);

/* Remove those of the uids (ascending) that are there. */
void memdrop_remove(struct memdrop *m, const uint32_t *uids, uint32_t count);

#endif
