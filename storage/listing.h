/*
 * listing.h - what one session sees of a maildrop: a snapshot and its own marks of deletion.
 *
 * Message-numbers run from 1 to the snapshot's count and never shift; a marked message is not found
 * any more until listing_restore_all() (RFC 1939, section 5: DELE, RSET).
 *
 * Pure.  Ownership: the snapshot is borrowed; the marks are the listing's own, made at the first
 * deletion and freed by listing_clear().
 */
#ifndef STORAGE_LISTING_H
#define STORAGE_LISTING_H

#include "storage/maildrop.h"

struct listing {
	const struct maildrop *maildrop; /* NULL before login */
	uint64_t *marks;                 /* a bit for each message */
	uint64_t octets;                 /* of the messages not marked */
	uint32_t count;                  /* of the messages not marked */
};

void listing_init(struct listing *l, const struct maildrop *maildrop);
void listing_clear(struct listing *l);

/* The message of that number; NULL: there is none, or it is marked. */
const struct maildrop_entry *listing_find(const struct listing *l, uint32_t message_number);

/* 0; -ENOENT: not found; -ENOMEM. */
int listing_mark_deleted(struct listing *l, uint32_t message_number);
void listing_restore_all(struct listing *l);

static inline uint32_t
listing_deleted(const struct listing *l)
{
	return l->maildrop == NULL ? 0 : l->maildrop->count - l->count;
}

/* Uids of the marked messages, ascending, into `uids_out` (room for listing_deleted()). */
void listing_deleted_uids(const struct listing *l, uint32_t *uids_out);

#endif
