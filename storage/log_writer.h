/*
 * log_writer.h - messages on their way into a log: one commit of one or many records.
 *
 * Messages are collected in memory and written side by side in one record, until there are enough
 * of them; a message too large for that is written as it comes, into a record of its own whose
 * header is written last.  The last record of the commit is held back until log_writer_finish(),
 * which marks it. Nothing is synced here, and nothing of it counts until it is.
 *
 * Who writes gives the message in wire form: room, advance, room, advance, end.  Or, where it lies
 * in memory that stays and all is known of it, whole: log_writer_add() only notes where it is, and
 * one gathering write takes it from there to the log.
 *
 * Ownership: borrows disk and descriptor, owns its memory.  After a failure of log_writer_advance()
 * or log_writer_end() that message is dropped; a record with earlier messages that could not be
 * written makes log_writer_finish() fail.
 */
#ifndef STORAGE_LOG_WRITER_H
#define STORAGE_LOG_WRITER_H

#include "storage/messages.h"
#include "storage/record.h"

#define LOG_WRITER_BATCH_OCTETS   1048576u
#define LOG_WRITER_BATCH_MESSAGES 64u

/* A message that waits for its record to be written. */
struct log_writer_message {
	struct maildrop_entry entry; /* wire_offset: from the first octet of the first span */
	uint8_t id_octets;
	char id[MAILDROP_UNIQUE_ID_MAX];
	char status[WIRE_STATUS_OCTETS_MAX]; /* of one that was added whole */
};

struct log_writer {
	const struct disk *disk;
	int fd;
	struct log_salt salt;
	uint32_t uid_validity;
	uint32_t next_uid; /* at least; above all uids that were added */
	uint64_t commit_start;
	uint64_t record_start; /* where the record that is being collected begins */
	uint64_t written_end;  /* behind the last octet that was written, valid or not */
	int failed;            /* what finish will return */

	/* The record: messages that are complete, and the spans in the buffer. */
	struct log_writer_message *pending;
	uint32_t pending_count;
	char *buffer;
	size_t room;
	size_t first; /* in the buffer, where the first span begins */
	size_t used;

	/* The message that is being written. */
	bool in_message;
	size_t head_room;
	size_t id_octets;
	char id[MAILDROP_UNIQUE_ID_MAX];
	size_t start; /* in the buffer, behind its head room */

	/* Messages that were added whole: where their octets lie until the record is written.  They
	 * are never in one record with those of the buffer. */
	bool gathers;
	struct span *parts; /* the first is the record's front */
	unsigned part_count;
	unsigned part_room;
	uint64_t gathered_octets;

	/* A streamed one: what left the buffer. */
	bool streams; /* it, or the one that pends, is streamed */
	uint64_t stream_start;
	uint64_t stream_octets;
	uint32_t stream_crc;

	struct messages added; /* all whose records were written, with their places in the log */
	struct index_totals added_totals;
};

/* The commit begins at `end` of the log, where the last one ended. */
void log_writer_init(struct log_writer *w, const struct disk *d, int fd,
	const struct log_header *log, uint64_t end, uint32_t next_uid);
/* The commit was finished; begin the next one behind it. */
void log_writer_next_commit(struct log_writer *w);
void log_writer_free(struct log_writer *w);

/* Begin a message with a unique-id or an empty one.  With `head_room`, what stands before its first
 * octet (a status line) is given at the end. */
int log_writer_begin(struct log_writer *w, struct span id, size_t head_room);
/* Where up to `octets` more of it may be put; valid until the next call. */
int log_writer_room(struct log_writer *w, size_t octets, char **room_out);
/* So many were put there. */
int log_writer_advance(struct log_writer *w, size_t octets);
/* The message is complete; wire_offset, wire_octets and content_crc of the entry are found here. */
int log_writer_end(struct log_writer *w, const struct maildrop_entry *entry, struct span head);
void log_writer_drop(struct log_writer *w);

/*
 * A whole message in one call: `entry` but for wire_offset; its octets are a status line, which is
 * made here, `parts` side by side, and the end line.  entry->content_crc and entry->wire_octets are
 * those of all of it.  No imported unique-id.  The parts are borrowed until the record is written:
 * until log_writer_finish() or log_writer_free().
 */
int log_writer_add(struct log_writer *w, const struct maildrop_entry *entry,
	const struct span *parts, unsigned count);

/* True while nothing was added to the commit. */
bool log_writer_is_empty(const struct log_writer *w);

/* Write what is held back and let the log end with it: *end_out. */
int log_writer_finish(struct log_writer *w, uint64_t *end_out);

#endif
