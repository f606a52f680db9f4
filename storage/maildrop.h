/*
 * maildrop.h - the messages of one account, as a session, a delivery or a caretaker sees them.
 *
 * A maildrop is a directory with two files: `log`, the truth, and `index`, derived from it
 * (docs/FORMAT.md).  Shards, workers, other processes and other machines agree only through these
 * files and the locks on them.
 *
 * Three ways in:
 *   struct maildrop         a snapshot for reading: what was committed when it was opened.
 *                           Immutable; other sessions' deletions and deliveries do not disturb it.
 *   maildrop_commit()       one session's deletions, all or none.
 *   struct maildrop_writer  adds messages, all or none for each maildrop_writer_commit().
 *
 * Functions return 0 or a negative errno:
 *   -EAGAIN           the disk does not wait and something had to be waited for: call again where
 *                     it does
 *   -ETIMEDOUT        the lock was not to be had in time
 *   -EBADMSG          damage: a checksum, a length, or a log shorter than its index says
 *   -EPROTONOSUPPORT  a format version this program does not know
 *   -EFBIG            a message above 2^32-1 octets
 *   -EDQUOT           the account's quota is used up
 *   others            from the file system
 * On any of them the maildrop must be called unavailable, never empty.
 *
 * Ownership: a snapshot owns its descriptor and arrays until maildrop_close().  The disk is
 * borrowed and outlives all that was opened on it.  Nothing here is shared between threads, but a
 * snapshot may be opened on one thread and handed over whole to another.
 */
#ifndef STORAGE_MAILDROP_H
#define STORAGE_MAILDROP_H

#include "io/disk.h"
#include "storage/draft.h"
#include "storage/wire.h"

#define MAILDROP_UNIQUE_ID_MAX     70u /* RFC 1939, UIDL: 1 to 70 octets of 0x21-0x7E */
#define MAILDROP_GENERATION_OCTETS 16u

/* One message of a snapshot.  Message-number n is entries[n - 1]; order is by uid, that is by
 * arrival. */
struct maildrop_entry {
	uint64_t wire_offset;   /* in the log: where "+OK n octets\r\n" begins */
	uint64_t wire_octets;   /* the whole reply to RETR, status line and end line included */
	uint32_t octets;        /* RFC 1939 size */
	uint32_t header_octets; /* as sent: header and its blank line */
	uint32_t body_lines;
	uint32_t uid;
	uint32_t content_crc; /* CRC-32C of the wire_octets */
	uint32_t unique_id;   /* an imported unique-id: its place in unique_ids; 0: none */
	int64_t arrived_at;   /* seconds since 1970 */
	bool header_ended;    /* false: no blank line ends the header, TOP must add it */
};

struct maildrop {
	const char *address;
	int log_fd; /* -1: the maildrop holds no message.  Holds a shared lock on byte 1. */
	uint32_t count;
	uint64_t octets; /* of all messages */
	const struct maildrop_entry *entries;
	const char *unique_ids; /* each ends with NUL; offset 0 is not used */
	uint32_t uid_validity;
	uint32_t next_uid;
	uint8_t generation[MAILDROP_GENERATION_OCTETS];
	uint64_t covers;       /* octets of the log that this snapshot knows */
	uint64_t index_octets; /* of the index file that were read */
	uint64_t inode;        /* of the log */
	uint32_t links;        /* names it had: one, or more that a crash or a backup has left */
};

struct maildrop_options {
	unsigned lock_timeout_ms;
	bool sync; /* false: nothing is waited for, and a power cut loses what it likes
		    * (delivery_sync = off; the negative control of the power-cut tests) */
};

/* Canonical addresses only (see storage/layout.h).  A maildrop to which nothing was ever delivered
 * opens as an empty one. */
int maildrop_open(const struct disk *d, const char *address, const struct maildrop_options *options,
	struct maildrop **maildrop_out);
void maildrop_close(const struct disk *d, struct maildrop *m);

/* True while a new maildrop_open() would give the same messages: nothing appended, not compacted,
 * not removed.  One fstat(2) on the open log; a snapshot without a log answers false. */
bool maildrop_is_current(const struct disk *d, const struct maildrop *m);

/* What a maildrop holds, as its index says: exact, but for a commit that is under way.  Two reads;
 * -EAGAIN as everywhere.  Where the index does not cover the log, all is opened. */
int maildrop_usage(const struct disk *d, const char *address,
	const struct maildrop_options *options, uint64_t *octets_out, uint32_t *messages_out);

/* Unique-id of entry `e` as a string of 1 to MAILDROP_UNIQUE_ID_MAX octets; returns its length. */
size_t maildrop_unique_id(const struct maildrop *m, const struct maildrop_entry *e,
	char to[MAILDROP_UNIQUE_ID_MAX + 1]);

/*
 * Remove messages durably: the expunge record is synced when this returns 0.  `uids` are ascending.
 * Uids that are gone already (another session was quicker) are passed over: *removed_out counts
 * those this call removed.  On failure nothing is removed, except that after a failed sync the
 * outcome is unknown until the next open: then, too, all or none.  Waits.
 */
int maildrop_commit(const struct disk *d, const char *address,
	const struct maildrop_options *options, const uint32_t *uids, uint32_t count,
	uint32_t *removed_out);

/* The same for a session that still has its snapshot: while that is the last word of the maildrop,
 * its index is not read again, which for 100,000 messages takes milliseconds.  The snapshot is only
 * read; NULL: none. */
int maildrop_commit_snapshot(const struct disk *d, const char *address,
	const struct maildrop *snapshot, const struct maildrop_options *options,
	const uint32_t *uids, uint32_t count, uint32_t *removed_out);

/*
 * Give back the space of expunged mail (waits; a failure loses nothing): a fresh log when no
 * message is left, a compaction when most of the log is dead, holes when nobody reads.  Called
 * after a commit has been answered.  Works from the files alone.
 */
int maildrop_reclaim(
	const struct disk *d, const char *address, const struct maildrop_options *options);
/* The same with compaction in any case (ringpost compact); octets of disk before and after.
 * -EBUSY: a session has the maildrop for itself (storage/claim.h). */
int maildrop_compact(const struct disk *d, const char *address,
	const struct maildrop_options *options, uint64_t *before_out, uint64_t *after_out);

/*
 * Never give a uid below `next_uid` to a message of this maildrop.  An import that takes over the
 * uid-validity of another server reserves what that server has given away, its expunged messages
 * included: their unique-ids must not come again.  Waits; durable when it returns 0.
 */
int maildrop_reserve_uids(const struct disk *d, const char *address,
	const struct maildrop_options *options, uint32_t next_uid);

/* Forget the maildrop with all its messages (ringpost user del).  Waits. */
int maildrop_remove(
	const struct disk *d, const char *address, const struct maildrop_options *options);

/*
 * Adding messages.  A writer holds the log's write lock from open to close, so keep it short or do
 * much in it (an import).  Messages that were added become visible and durable together when
 * maildrop_writer_commit() returns 0; those not committed vanish at close.
 */
struct maildrop_writer;

struct maildrop_delivery {
	int64_t arrived_at;    /* seconds since 1970 */
	const char *unique_id; /* imported; NULL: derived from uid and uid-validity */
	uint32_t uid;          /* imported, above all there are; 0: the next one */
	/* What the maildrop may hold with this message, RFC 1939 octets; 0: no limit.  Decided at
	 * the end of the message, under the lock: exact. */
	uint64_t quota_octets;
	uint32_t quota_messages;
};

/* Creates the maildrop where there is none.  `uid_validity` is used for a new maildrop only
 * (import); 0: made from the clock. */
int maildrop_writer_open(const struct disk *d, const char *address,
	const struct maildrop_options *options, uint32_t uid_validity,
	struct maildrop_writer **writer_out);

/*
 * One message: begin, its text in pieces of any size and any line ends, end.
 *
 * begin: -EEXIST: that unique-id is taken, by a live message, or because it is what the uid of
 * another message, live or yet to come, derives; -EINVAL: not a unique-id, or a uid not above the
 * others. After a failure of `text` or `end` that message is dropped (after `text`, with or without
 * calling `end`) and the writer goes on to be usable; any other state of the disk shows at commit.
 * end: -EFBIG, -EDQUOT.  After a failed commit only close is left to do.
 */
int maildrop_writer_begin(struct maildrop_writer *w, const struct maildrop_delivery *delivery);
int maildrop_writer_text(struct maildrop_writer *w, struct span text);
int maildrop_writer_end(struct maildrop_writer *w, uint32_t *uid_out);
/* Instead of end: forget the message that was begun (its source cannot be read on). */
void maildrop_writer_drop(struct maildrop_writer *w);

/*
 * One message that a draft holds, behind `head`: whole header lines in wire form (Return-Path and
 * the like), or nothing.  Stored as if begin, text and end had been called with both, but no octet
 * is rebuilt, and none copied in memory unless the draft was spilled.  Draft and head are borrowed
 * until commit or close.  delivery->unique_id is NULL.  Errors as of begin and end; then the
 * message was not added, and the writer goes on to be usable.
 */
int maildrop_writer_add_draft(struct maildrop_writer *w, const struct maildrop_delivery *delivery,
	struct span head, const struct draft *draft, uint32_t *uid_out);

int maildrop_writer_commit(struct maildrop_writer *w);
uint32_t maildrop_writer_uid_validity(const struct maildrop_writer *w);
void maildrop_writer_close(struct maildrop_writer *w);

/* Verify every octet of a maildrop: log, index against log, contents against their checksums.  An
 * index that any session would mend is reported too, and then mended; it is not counted, as it is
 * what a crash leaves.
 * `report` is called for each finding with the octet offset in the log (or in the index) and one
 * line of text. Returns the number of findings, or a negative errno. */
int maildrop_verify(const struct disk *d, const char *address,
	const struct maildrop_options *options,
	void (*report)(void *ctx, uint64_t offset, const char *text), void *ctx);

/* Make a damaged maildrop whole again: every message whose record and content are intact is kept
 * with its uid and unique-id, in a new generation; the damaged log is kept beside as
 * `damaged-<time>`. `report` is called for what was found and what is lost; a log that is whole
 * stays, with a new index. */
int maildrop_repair(const struct disk *d, const char *address,
	const struct maildrop_options *options,
	void (*report)(void *ctx, uint64_t offset, const char *text), void *ctx);

#endif
