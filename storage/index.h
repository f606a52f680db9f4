/*
 * index.h - the octets of the index: its header and its slots (docs/FORMAT.md).
 *
 * The index repeats what the log says in slots of one size, so that a login reads one small file.
 * One commit of the log is one group of slots; the last slot of a group is marked, and only there
 * does the index say how far it covers the log.
 *
 * Pure functions.
 */
#ifndef STORAGE_INDEX_H
#define STORAGE_INDEX_H

#include "storage/maildrop.h"
#include "storage/record.h"

#define INDEX_VERSION       1u
#define INDEX_HEADER_OCTETS 64u
#define INDEX_SLOT_OCTETS   64u
#define INDEX_SLOT_RANGES   4u  /* ranges in one expunge slot */
#define INDEX_SLOT_ID       56u /* octets of a unique-id in one id slot */
/* Slots that one message takes at most: itself and its unique-id. */
#define INDEX_MESSAGE_SLOTS_MAX 3u

struct index_header {
	uint8_t generation[MAILDROP_GENERATION_OCTETS];
	uint32_t uid_validity;
	uint32_t next_uid; /* at least, when this file was begun */
};

void index_header_encode(const struct index_header *header, char to[INDEX_HEADER_OCTETS]);
/* 0, -EBADMSG, or -EPROTONOSUPPORT. */
int index_header_decode(const char from[INDEX_HEADER_OCTETS], struct index_header *header_out);

enum index_slot_type {
	INDEX_MESSAGE = 1,
	INDEX_EXPUNGE = 2,
	INDEX_ID = 3,
};

/* All messages that are left once this slot counts; exact in the last slot of a group. */
struct index_totals {
	uint64_t octets; /* RFC 1939 sizes */
	uint32_t messages;
};

struct index_slot {
	enum index_slot_type type;
	bool ends_commit;
	struct index_totals totals; /* not in an id slot */

	/* INDEX_MESSAGE */
	struct maildrop_entry message; /* but for unique_id */
	size_t id_octets;              /* in the id slots before it; 0: none */

	/* INDEX_EXPUNGE */
	uint32_t next_uid;
	uint64_t covers; /* octets of the log */
	unsigned range_count;
	struct uid_range ranges[INDEX_SLOT_RANGES];

	/* INDEX_ID: the octets of part 0 or 1 are id_part_octets long */
	unsigned id_part;
	size_t id_part_octets;
	const char *id; /* into the slot that was decoded */
};

/* False: not a valid slot. */
bool index_slot_decode(const char from[INDEX_SLOT_OCTETS], struct index_slot *slot_out);

/* Put a message with its id slots; returns how many slots these are. */
unsigned index_put_message(const struct maildrop_entry *entry, struct span id,
	struct index_totals totals, bool ends_commit,
	char to[INDEX_MESSAGE_SLOTS_MAX * INDEX_SLOT_OCTETS]);

/* Slots that `count` ranges take; one also where there is none, as it says what is covered. */
static inline size_t
index_expunge_slots(size_t count)
{
	return count == 0 ? 1 : (count + INDEX_SLOT_RANGES - 1) / INDEX_SLOT_RANGES;
}

/* Put `count` ranges in index_expunge_slots(count) slots that end a commit. */
void index_put_expunge(const struct uid_range *ranges, size_t count, uint32_t next_uid,
	uint64_t covers, struct index_totals totals, char *to);

/* Where the log's next record would be, by a message slot or expunge slot that ends a commit. */
uint64_t index_slot_covers(const struct index_slot *slot);
uint32_t index_slot_next_uid(const struct index_slot *slot);

#endif
