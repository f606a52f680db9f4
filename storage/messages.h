/*
 * messages.h - the messages of one maildrop in memory while a log or an index is being read.
 *
 * Messages and expunged ranges are collected in the order of the file, and settled at the end in
 * one sweep.  Uids only ever rise and an expunge names only uids below the next one, so it cannot
 * mean a message that comes after it, and when it is applied makes no difference.  The sweep costs
 * a sort of the ranges and one pass, however the ranges lie.
 *
 * Invariant: entries are ascending by uid and by place in the log.
 * Ownership: a struct messages owns its arrays until messages_free() or until
 * messages_to_maildrop() hands them over.
 */
#ifndef STORAGE_MESSAGES_H
#define STORAGE_MESSAGES_H

#include "storage/index.h"

struct messages {
	struct maildrop *block; /* room for the snapshot's head; the entries follow it */
	struct maildrop_entry *entries;
	uint32_t count;
	uint32_t room;
	char *ids; /* NUL-ended; offset 0 is not used */
	size_t ids_octets;
	size_t ids_room;
	struct uid_range *ranges;
	size_t range_count;
	size_t range_room;
};

/* A place to go back to. */
struct messages_mark {
	uint32_t count;
	size_t ids_octets;
	size_t range_count;
};

/* All that may fail return 0, -ENOMEM, or what is said. */
int messages_reserve(struct messages *m, uint32_t more);
/* -EBADMSG: not above the last one, or it overlaps it.  An empty id means none. */
int messages_add(struct messages *m, const struct maildrop_entry *entry, struct span id);
int messages_add_range(struct messages *m, struct uid_range range);

struct messages_mark messages_mark(const struct messages *m);
void messages_return_to(struct messages *m, struct messages_mark mark);

/* The imported unique-id of an entry; empty: none. */
struct span messages_id(const struct messages *m, const struct maildrop_entry *entry);

/* Which messages are expunged: *dead_out[i] says it of entries[i], to be freed by the caller. */
int messages_find_dead(const struct messages *m, bool **dead_out);
/* Take the expunged messages out, forget the ranges. */
int messages_settle(struct messages *m);

struct index_totals messages_totals(const struct messages *m);

/* The index of the first entry with this uid or a greater one. */
uint32_t messages_search(const struct messages *m, uint32_t uid);

/* Make a snapshot of settled messages in one block that free(3) gives back; the collection is empty
 * then.  The snapshot's address, entries, unique_ids, count and octets are set, the rest is
 * zero. */
int messages_to_maildrop(struct messages *m, const char *address, struct maildrop **maildrop_out);

void messages_free(struct messages *m);

#endif
