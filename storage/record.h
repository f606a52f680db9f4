/*
 * record.h - the octets of the log: its header, its records, their entries (docs/FORMAT.md).
 *
 * Pure functions.  Whatever octets come in, they are answered with "valid" or "not"; a valid record
 * may be used without further thought.
 *
 * Every checksum and magic of a record is mixed with octets of the log's random generation id.  A
 * message may hold any octets, those of a whole log too; only who knows the generation could write
 * one that a scan of a damaged log would take for a record.
 */
#ifndef STORAGE_RECORD_H
#define STORAGE_RECORD_H

#include "storage/maildrop.h"

#define LOG_VERSION             1u
#define LOG_HEADER_OCTETS       64u
#define RECORD_ALIGNMENT        8u
#define RECORD_HEADER_OCTETS    48u
#define RECORD_ENTRY_OCTETS     64u
#define RECORD_ID_OCTETS        72u
#define RECORD_ENTRY_OCTETS_MAX (RECORD_ENTRY_OCTETS + RECORD_ID_OCTETS)
#define RECORD_RANGE_OCTETS     8u
/* A streamed message leaves so much at most between its entry and its status line. */
#define RECORD_GAP_MAX (WIRE_STATUS_OCTETS_MAX - 1)

struct log_header {
	uint8_t generation[MAILDROP_GENERATION_OCTETS];
	uint32_t uid_validity;
	uint32_t next_uid; /* at the birth of this generation */
	int64_t created_at;
};

void log_header_encode(const struct log_header *header, char to[LOG_HEADER_OCTETS]);
/* 0, -EBADMSG, or -EPROTONOSUPPORT. */
int log_header_decode(const char from[LOG_HEADER_OCTETS], struct log_header *header_out);

/* What of a generation goes into the records of its log. */
struct log_salt {
	uint32_t magic;
	uint32_t crc;
};

struct log_salt log_salt(const uint8_t generation[MAILDROP_GENERATION_OCTETS]);

enum record_type {
	RECORD_MESSAGES = 1,
	RECORD_EXPUNGE = 2, /* without ranges it only ends a commit */
};

struct record_header {
	enum record_type type;
	bool ends_commit;      /* the last record of its commit */
	uint64_t octets;       /* of the whole record, padding included */
	uint64_t commit_start; /* where in the log the first record of its commit begins */
	uint32_t uid_validity;
	uint32_t next_uid;       /* free once this record is in */
	uint32_t count;          /* messages (1 at least), or ranges */
	uint32_t entries_octets; /* of the entries or ranges that follow the header */
};

struct uid_range {
	uint32_t first;
	uint32_t last;
};

static inline uint64_t
record_round_up(uint64_t octets)
{
	return (octets + RECORD_ALIGNMENT - 1) & ~(uint64_t)(RECORD_ALIGNMENT - 1);
}

/* `entries` are the octets that follow the header: the checksum is over both. */
void record_header_encode(const struct record_header *header, struct log_salt salt,
	struct span entries, char to[RECORD_HEADER_OCTETS]);

/* Looks at magic, type and sizes only: with true, as many octets of entries as it says may be read
 * and handed to record_is_intact(). */
bool record_header_decode(const char from[RECORD_HEADER_OCTETS], struct log_salt salt,
	struct record_header *header_out);
bool record_is_intact(
	const char header[RECORD_HEADER_OCTETS], struct log_salt salt, struct span entries);

/* For a log whose own header is lost: `octets` begin with what must be a record of messages, with
 * all its entries.  The salt follows from its header, and its first entry proves it.  False: it is
 * none. */
bool record_find_salt(
	struct span octets, struct log_salt *salt_out, struct record_header *header_out);

/*
 * One message entry.  `at` is where in the log the entry stands or will stand: wire_offset is
 * relative to it in the file and absolute in memory.  An empty `id` means none.
 */
size_t record_entry_encode(const struct maildrop_entry *entry, struct span id, uint64_t at,
	struct log_salt salt, char to[RECORD_ENTRY_OCTETS_MAX]);
/* Returns how many octets the entry takes, 0: not a valid entry.  *id_out points into `from`. */
size_t record_entry_decode(struct span from, uint64_t at, struct log_salt salt,
	struct maildrop_entry *entry_out, struct span *id_out);

static inline size_t
record_entry_octets(bool has_id)
{
	return has_id ? RECORD_ENTRY_OCTETS_MAX : RECORD_ENTRY_OCTETS;
}

/* What every entry keeps true, wherever it is stored. */
bool record_entry_is_sound(const struct maildrop_entry *entry);

void record_range_encode(struct uid_range range, char to[RECORD_RANGE_OCTETS]);
/* Range number `index` of an expunge record's entries. */
struct uid_range record_range_decode(struct span entries, uint32_t index);

#endif
