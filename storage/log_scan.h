/*
 * log_scan.h - reading the records of an open log.
 *
 * Functions that look for something return 1 (found, valid), 0 (not), or a negative errno.
 * Ownership: a scan borrows the disk and the descriptor, and owns its window of the file.
 */
#ifndef STORAGE_LOG_SCAN_H
#define STORAGE_LOG_SCAN_H

#include "storage/messages.h"
#include "storage/record.h"

struct log_scan {
	const struct disk *disk;
	int fd;
	uint64_t size; /* what lies behind it is not looked at */
	struct log_salt salt;
	uint32_t uid_validity;
	char *window; /* octets of the file from window_at on */
	size_t window_room;
	size_t window_octets;
	uint64_t window_at;
};

/* One valid record; its entries were checked too.  `entries` is valid until the next use of the
 * scan. */
struct log_record {
	struct record_header header;
	uint64_t at;
	struct span entries;
};

void log_scan_init(struct log_scan *s, const struct disk *d, int fd, uint64_t size,
	const struct log_header *log);
void log_scan_free(struct log_scan *s);

/* Is there a valid record at `at`?  Contents of messages are not looked at. */
int log_scan_record(struct log_scan *s, uint64_t at, struct log_record *record_out);

/* Add what a valid record says to `messages`; -EBADMSG: its uids do not follow theirs. */
int log_scan_collect(
	const struct log_scan *s, const struct log_record *record, struct messages *messages);

/* Is the content of this message what its checksum says? */
int log_scan_content(struct log_scan *s, const struct maildrop_entry *entry);

/* Calls `take` with the octets of [at, at + octets) in pieces until it returns other than 0.
 * -EBADMSG: the file is shorter. */
int log_scan_octets(struct log_scan *s, uint64_t at, uint64_t octets,
	int (*take)(void *ctx, struct span piece), void *ctx);

/* The next aligned place in [from, size) where a valid record begins. */
int log_scan_find_record(struct log_scan *s, uint64_t from, struct log_record *record_out);
/* The next one in [from, to) where a valid message entry stands, in a record or not. */
int log_scan_find_entry(struct log_scan *s, uint64_t from, uint64_t to,
	struct maildrop_entry *entry_out, char id_out[MAILDROP_UNIQUE_ID_MAX + 1],
	uint64_t *after_out);

#endif
