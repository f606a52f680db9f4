/*
 * content.h - are the octets that lie in the log those that were delivered?
 *
 * A disk may give back other octets than it was given, and says nothing.  So a message is checked
 * against the CRC-32C that was made of it as it came in, before it goes out for the first time.
 * What was found good is marked in the snapshot and not looked at again for CONTENT_GOOD_MS: by
 * then its pages may have left the page cache and come back from the disk.
 *
 * Ownership: the marks are their owner's, for one snapshot; memory is taken at the first mark and
 * given back by content_marks_free().  One thread.
 */
#ifndef STORAGE_CONTENT_H
#define STORAGE_CONTENT_H

#include "storage/maildrop.h"

/* More than this is not read on a disk that does not wait: about 30 us, as long as sending it. */
#define CONTENT_DIRECT_OCTETS 262144u
#define CONTENT_GOOD_MS       600000u

struct content_marks {
	uint64_t *good; /* a bit for each message */
	uint64_t since_ms;
};

/* `message` counts from 0.  Times are those of one clock that does not go back. */
bool content_is_known_good(const struct content_marks *c, uint32_t message, uint64_t now_ms);
/* Without memory nothing is noted: the message will be checked again. */
void content_note_good(
	struct content_marks *c, const struct maildrop *m, uint32_t message, uint64_t now_ms);
void content_marks_free(struct content_marks *c);

/* 0: they are; -EBADMSG: they are not.  -EAGAIN on a disk that does not wait, also when the message
 * is larger than CONTENT_DIRECT_OCTETS. */
int content_check(const struct disk *d, int log_fd, const struct maildrop_entry *message);

#endif
