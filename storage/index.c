/*
 * index.c - the index's structures as they stand in the file.
 *
 * Every slot has 64 octets, a checksum of its own in the last four, and its totals at one place.
 */
#include "storage/index.h"

#include "io/base/crc32c.h"
#include "io/base/must.h"
#include "storage/uid.h"

#include <endian.h>
#include <errno.h>

static_assert(__BYTE_ORDER == __LITTLE_ENDIAN, "the file's byte order is the machine's");

static const char index_magic[8] = { 'R', 'P', 'm', 'a', 'i', 'l', 'i', 'x' };

#define SLOT_ENDS_COMMIT  0x01u
#define SLOT_HEADER_ENDED 0x02u

struct index_header_on_disk {
	char magic[8];
	uint32_t version;
	uint32_t header_octets;
	uint8_t generation[MAILDROP_GENERATION_OCTETS];
	uint32_t uid_validity;
	uint32_t next_uid;
	uint8_t reserved[20];
	uint32_t crc;
};
static_assert(sizeof(struct index_header_on_disk) == INDEX_HEADER_OCTETS, "index header");
static_assert(offsetof(struct index_header_on_disk, crc) == 60, "index header");

struct message_slot {
	uint8_t type;
	uint8_t flags;
	uint8_t id_octets;
	uint8_t reserved;
	uint32_t uid;
	uint64_t wire_offset;
	uint64_t wire_octets;
	uint32_t octets;
	uint32_t header_octets;
	uint32_t body_lines;
	uint32_t content_crc;
	int64_t arrived_at;
	uint64_t live_octets;
	uint32_t live_messages;
	uint32_t crc;
};
static_assert(sizeof(struct message_slot) == INDEX_SLOT_OCTETS, "message slot");
static_assert(offsetof(struct message_slot, live_octets) == 48, "message slot");
static_assert(offsetof(struct message_slot, crc) == 60, "message slot");

struct expunge_slot {
	uint8_t type;
	uint8_t flags;
	uint8_t range_count;
	uint8_t reserved;
	uint32_t next_uid;
	uint64_t covers;
	struct uid_range ranges[INDEX_SLOT_RANGES];
	uint64_t live_octets;
	uint32_t live_messages;
	uint32_t crc;
};
static_assert(sizeof(struct expunge_slot) == INDEX_SLOT_OCTETS, "expunge slot");
static_assert(offsetof(struct expunge_slot, live_octets) == 48, "expunge slot");
static_assert(offsetof(struct expunge_slot, crc) == 60, "expunge slot");

struct id_slot {
	uint8_t type;
	uint8_t part;
	uint8_t id_octets; /* in this part */
	uint8_t reserved;
	char id[INDEX_SLOT_ID];
	uint32_t crc;
};
static_assert(sizeof(struct id_slot) == INDEX_SLOT_OCTETS, "id slot");
static_assert(offsetof(struct id_slot, crc) == 60, "id slot");
static_assert(MAILDROP_UNIQUE_ID_MAX <= 2 * INDEX_SLOT_ID, "two id slots hold a unique-id");

#define SLOT_CRC_AT 60u

void
index_header_encode(const struct index_header *header, char to[INDEX_HEADER_OCTETS])
{
	struct index_header_on_disk h = {
		.version = INDEX_VERSION,
		.header_octets = INDEX_HEADER_OCTETS,
		.uid_validity = header->uid_validity,
		.next_uid = header->next_uid,
	};

	memcpy(h.magic, index_magic, sizeof(h.magic));
	memcpy(h.generation, header->generation, sizeof(h.generation));
	h.crc = crc32c(0, &h, offsetof(struct index_header_on_disk, crc));
	memcpy(to, &h, sizeof(h));
}

int
index_header_decode(const char from[INDEX_HEADER_OCTETS], struct index_header *header_out)
{
	struct index_header_on_disk h;

	memcpy(&h, from, sizeof(h));
	if (memcmp(h.magic, index_magic, sizeof(h.magic)) != 0 ||
		h.crc != crc32c(0, &h, offsetof(struct index_header_on_disk, crc)))
		return -EBADMSG;
	if (h.version != INDEX_VERSION || h.header_octets != INDEX_HEADER_OCTETS)
		return -EPROTONOSUPPORT;
	memcpy(header_out->generation, h.generation, sizeof(h.generation));
	header_out->uid_validity = h.uid_validity;
	header_out->next_uid = h.next_uid;
	return 0;
}

static bool
decode_message(const char from[INDEX_SLOT_OCTETS], struct index_slot *slot_out)
{
	struct message_slot s;

	memcpy(&s, from, sizeof(s));
	slot_out->ends_commit = (s.flags & SLOT_ENDS_COMMIT) != 0;
	slot_out->totals = (struct index_totals){ s.live_octets, s.live_messages };
	slot_out->id_octets = s.id_octets;
	slot_out->message = (struct maildrop_entry){
		.wire_offset = s.wire_offset,
		.wire_octets = s.wire_octets,
		.octets = s.octets,
		.header_octets = s.header_octets,
		.body_lines = s.body_lines,
		.uid = s.uid,
		.content_crc = s.content_crc,
		.arrived_at = s.arrived_at,
		.header_ended = (s.flags & SLOT_HEADER_ENDED) != 0,
	};
	return s.id_octets <= MAILDROP_UNIQUE_ID_MAX && record_entry_is_sound(&slot_out->message);
}

static bool
decode_expunge(const char from[INDEX_SLOT_OCTETS], struct index_slot *slot_out)
{
	struct expunge_slot s;

	memcpy(&s, from, sizeof(s));
	if (s.range_count > INDEX_SLOT_RANGES || s.covers % RECORD_ALIGNMENT != 0 ||
		s.next_uid == 0)
		return false;
	for (unsigned i = 0; i < s.range_count; i++) {
		if (s.ranges[i].first > s.ranges[i].last || s.ranges[i].last >= s.next_uid)
			return false;
	}
	slot_out->ends_commit = (s.flags & SLOT_ENDS_COMMIT) != 0;
	slot_out->totals = (struct index_totals){ s.live_octets, s.live_messages };
	slot_out->next_uid = s.next_uid;
	slot_out->covers = s.covers;
	slot_out->range_count = s.range_count;
	memcpy(slot_out->ranges, s.ranges, sizeof(s.ranges));
	return true;
}

static bool
decode_id(const char from[INDEX_SLOT_OCTETS], struct index_slot *slot_out)
{
	struct id_slot s;

	memcpy(&s, from, sizeof(s));
	if (s.part > 1 || s.id_octets == 0 || s.id_octets > INDEX_SLOT_ID)
		return false;
	slot_out->ends_commit = false;
	slot_out->id_part = s.part;
	slot_out->id_part_octets = s.id_octets;
	slot_out->id = from + offsetof(struct id_slot, id);
	return true;
}

bool
index_slot_decode(const char from[INDEX_SLOT_OCTETS], struct index_slot *slot_out)
{
	uint32_t crc;

	memcpy(&crc, from + SLOT_CRC_AT, sizeof(crc));
	if (crc != crc32c(0, from, SLOT_CRC_AT))
		return false;
	switch (from[0]) {
	case INDEX_MESSAGE:
		slot_out->type = INDEX_MESSAGE;
		return decode_message(from, slot_out);
	case INDEX_EXPUNGE:
		slot_out->type = INDEX_EXPUNGE;
		return decode_expunge(from, slot_out);
	case INDEX_ID:
		slot_out->type = INDEX_ID;
		return decode_id(from, slot_out);
	default:
		return false;
	}
}

static void
put_slot(const void *slot, char to[INDEX_SLOT_OCTETS])
{
	uint32_t crc = crc32c(0, slot, SLOT_CRC_AT);

	memcpy(to, slot, SLOT_CRC_AT);
	memcpy(to + SLOT_CRC_AT, &crc, sizeof(crc));
}

static unsigned
put_id(struct span id, char *to)
{
	unsigned parts = 0;

	while (id.length > 0) {
		size_t length = id.length < INDEX_SLOT_ID ? id.length : INDEX_SLOT_ID;
		struct id_slot s = {
			.type = INDEX_ID,
			.part = (uint8_t)parts,
			.id_octets = (uint8_t)length,
		};

		memcpy(s.id, id.at, length);
		put_slot(&s, to + (size_t)parts * INDEX_SLOT_OCTETS);
		id = span_after(id, length);
		parts++;
	}
	return parts;
}

unsigned
index_put_message(const struct maildrop_entry *entry, struct span id, struct index_totals totals,
	bool ends_commit, char to[INDEX_MESSAGE_SLOTS_MAX * INDEX_SLOT_OCTETS])
{
	struct message_slot s = {
		.type = INDEX_MESSAGE,
		.flags = (uint8_t)((ends_commit ? SLOT_ENDS_COMMIT : 0) |
			(entry->header_ended ? SLOT_HEADER_ENDED : 0)),
		.id_octets = (uint8_t)id.length,
		.uid = entry->uid,
		.wire_offset = entry->wire_offset,
		.wire_octets = entry->wire_octets,
		.octets = entry->octets,
		.header_octets = entry->header_octets,
		.body_lines = entry->body_lines,
		.content_crc = entry->content_crc,
		.arrived_at = entry->arrived_at,
		.live_octets = totals.octets,
		.live_messages = totals.messages,
	};
	unsigned parts;

	must(id.length <= MAILDROP_UNIQUE_ID_MAX);
	parts = put_id(id, to);
	put_slot(&s, to + (size_t)parts * INDEX_SLOT_OCTETS);
	return parts + 1;
}

void
index_put_expunge(const struct uid_range *ranges, size_t count, uint32_t next_uid, uint64_t covers,
	struct index_totals totals, char *to)
{
	size_t slots = index_expunge_slots(count);

	for (size_t i = 0; i < slots; i++) {
		size_t done = i * INDEX_SLOT_RANGES;
		size_t here = count - done < INDEX_SLOT_RANGES ? count - done : INDEX_SLOT_RANGES;
		struct expunge_slot s = {
			.type = INDEX_EXPUNGE,
			.flags = i + 1 == slots ? SLOT_ENDS_COMMIT : 0,
			.range_count = (uint8_t)here,
			.next_uid = next_uid,
			.covers = covers,
			.live_octets = totals.octets,
			.live_messages = totals.messages,
		};

		if (here > 0)
			memcpy(s.ranges, ranges + done, here * sizeof(ranges[0]));
		put_slot(&s, to + i * INDEX_SLOT_OCTETS);
	}
}

uint64_t
index_slot_covers(const struct index_slot *slot)
{
	if (slot->type == INDEX_EXPUNGE)
		return slot->covers;
	return record_round_up(slot->message.wire_offset + slot->message.wire_octets);
}

uint32_t
index_slot_next_uid(const struct index_slot *slot)
{
	return slot->type == INDEX_EXPUNGE ? slot->next_uid : slot->message.uid + 1;
}
