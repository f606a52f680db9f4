/*
 * record.c - the log's structures as they stand in the file.
 *
 * Numbers are little-endian and every structure is laid out without padding, so on the machines we
 * build for a structure in memory is the structure in the file; the assertions below hold that.
 */
#include "storage/record.h"

#include "io/base/crc32c.h"
#include "io/base/must.h"
#include "storage/uid.h"

#include <endian.h>
#include <errno.h>

static_assert(__BYTE_ORDER == __LITTLE_ENDIAN, "the file's byte order is the machine's");

static const char log_magic[8] = { 'R', 'P', 'm', 'a', 'i', 'l', 'l', 'g' };

#define RECORD_MAGIC       0x72525052u /* "RPRr" before the salt */
#define ENTRY_MAGIC        0x65525052u /* "RPRe" */

#define RECORD_ENDS_COMMIT 0x01u
#define ENTRY_HEADER_ENDED 0x01u

struct log_header_on_disk {
	char magic[8];
	uint32_t version;
	uint32_t header_octets;
	uint8_t generation[MAILDROP_GENERATION_OCTETS];
	uint32_t uid_validity;
	uint32_t next_uid;
	int64_t created_at;
	uint8_t reserved[12];
	uint32_t crc;
};
static_assert(sizeof(struct log_header_on_disk) == LOG_HEADER_OCTETS, "log header");
static_assert(offsetof(struct log_header_on_disk, created_at) == 40, "log header");
static_assert(offsetof(struct log_header_on_disk, crc) == 60, "log header");

struct record_header_on_disk {
	uint32_t magic;
	uint8_t type;
	uint8_t flags;
	uint8_t reserved[2];
	uint64_t octets;
	uint64_t commit_start;
	uint32_t uid_validity;
	uint32_t next_uid;
	uint32_t count;
	uint32_t entries_octets;
	uint8_t reserved2[4];
	uint32_t crc;
};
static_assert(sizeof(struct record_header_on_disk) == RECORD_HEADER_OCTETS, "record header");
static_assert(offsetof(struct record_header_on_disk, uid_validity) == 24, "record header");
static_assert(offsetof(struct record_header_on_disk, crc) == 44, "record header");

struct entry_on_disk {
	uint32_t magic;
	uint32_t uid;
	uint64_t wire_offset; /* from the entry's own first octet */
	uint64_t wire_octets;
	uint32_t octets;
	uint32_t header_octets;
	uint32_t body_lines;
	uint32_t content_crc;
	int64_t arrived_at;
	uint8_t flags;
	uint8_t id_octets;
	uint8_t reserved[10];
	uint32_t crc;
};
static_assert(sizeof(struct entry_on_disk) == RECORD_ENTRY_OCTETS, "entry");
static_assert(offsetof(struct entry_on_disk, arrived_at) == 40, "entry");
static_assert(offsetof(struct entry_on_disk, crc) == 60, "entry");
static_assert(MAILDROP_UNIQUE_ID_MAX <= RECORD_ID_OCTETS, "an id has room");
static_assert(RECORD_ENTRY_OCTETS_MAX % RECORD_ALIGNMENT == 0, "entries are aligned");
static_assert(RECORD_HEADER_OCTETS % RECORD_ALIGNMENT == 0, "entries are aligned");

void
log_header_encode(const struct log_header *header, char to[LOG_HEADER_OCTETS])
{
	struct log_header_on_disk h = {
		.version = LOG_VERSION,
		.header_octets = LOG_HEADER_OCTETS,
		.uid_validity = header->uid_validity,
		.next_uid = header->next_uid,
		.created_at = header->created_at,
	};

	memcpy(h.magic, log_magic, sizeof(h.magic));
	memcpy(h.generation, header->generation, sizeof(h.generation));
	h.crc = crc32c(0, &h, offsetof(struct log_header_on_disk, crc));
	memcpy(to, &h, sizeof(h));
}

int
log_header_decode(const char from[LOG_HEADER_OCTETS], struct log_header *header_out)
{
	struct log_header_on_disk h;

	memcpy(&h, from, sizeof(h));
	if (memcmp(h.magic, log_magic, sizeof(h.magic)) != 0 ||
		h.crc != crc32c(0, &h, offsetof(struct log_header_on_disk, crc)))
		return -EBADMSG;
	if (h.version != LOG_VERSION || h.header_octets != LOG_HEADER_OCTETS)
		return -EPROTONOSUPPORT;
	if (h.uid_validity == 0 || h.next_uid == 0)
		return -EBADMSG;
	header_out->uid_validity = h.uid_validity;
	header_out->next_uid = h.next_uid;
	header_out->created_at = h.created_at;
	memcpy(header_out->generation, h.generation, sizeof(h.generation));
	return 0;
}

struct log_salt
log_salt(const uint8_t generation[MAILDROP_GENERATION_OCTETS])
{
	struct log_salt salt;

	memcpy(&salt, generation, sizeof(salt));
	return salt;
}

static uint32_t
record_crc(const struct record_header_on_disk *h, struct span entries)
{
	uint32_t crc = crc32c(0, h, offsetof(struct record_header_on_disk, crc));

	return crc32c(crc, entries.at, entries.length);
}

void
record_header_encode(const struct record_header *header, struct log_salt salt, struct span entries,
	char to[RECORD_HEADER_OCTETS])
{
	struct record_header_on_disk h = {
		.magic = RECORD_MAGIC ^ salt.magic,
		.type = (uint8_t)header->type,
		.flags = header->ends_commit ? RECORD_ENDS_COMMIT : 0,
		.octets = header->octets,
		.commit_start = header->commit_start,
		.uid_validity = header->uid_validity,
		.next_uid = header->next_uid,
		.count = header->count,
		.entries_octets = header->entries_octets,
	};

	must(entries.length == header->entries_octets);
	h.crc = record_crc(&h, entries) ^ salt.crc;
	memcpy(to, &h, sizeof(h));
}

static bool
record_sizes_are_sound(const struct record_header_on_disk *h)
{
	uint64_t least = RECORD_HEADER_OCTETS + (uint64_t)h->entries_octets;

	if (h->octets % RECORD_ALIGNMENT != 0 || h->octets < least)
		return false;
	if (h->type == RECORD_EXPUNGE)
		return h->octets == least &&
			h->entries_octets == (uint64_t)h->count * RECORD_RANGE_OCTETS;
	return h->type == RECORD_MESSAGES && h->count > 0 &&
		h->entries_octets >= (uint64_t)h->count * RECORD_ENTRY_OCTETS &&
		h->entries_octets <= (uint64_t)h->count * RECORD_ENTRY_OCTETS_MAX;
}

bool
record_header_decode(const char from[RECORD_HEADER_OCTETS], struct log_salt salt,
	struct record_header *header_out)
{
	struct record_header_on_disk h;

	memcpy(&h, from, sizeof(h));
	if (h.magic != (RECORD_MAGIC ^ salt.magic) || !record_sizes_are_sound(&h))
		return false;
	*header_out = (struct record_header){
		.type = h.type == RECORD_MESSAGES ? RECORD_MESSAGES : RECORD_EXPUNGE,
		.ends_commit = (h.flags & RECORD_ENDS_COMMIT) != 0,
		.octets = h.octets,
		.commit_start = h.commit_start,
		.uid_validity = h.uid_validity,
		.next_uid = h.next_uid,
		.count = h.count,
		.entries_octets = h.entries_octets,
	};
	return true;
}

bool
record_is_intact(const char header[RECORD_HEADER_OCTETS], struct log_salt salt, struct span entries)
{
	struct record_header_on_disk h;

	memcpy(&h, header, sizeof(h));
	return h.crc == (record_crc(&h, entries) ^ salt.crc);
}

/* The unique-id first, though it stands last: so the checksum does not change in step with that of
 * the record, and an entry can prove a salt that was worked out from the record's. */
static uint32_t
entry_crc(const struct entry_on_disk *e, const char *id)
{
	uint32_t crc = e->id_octets > 0 ? crc32c(0, id, RECORD_ID_OCTETS) : 0;

	return crc32c(crc, e, offsetof(struct entry_on_disk, crc));
}

size_t
record_entry_encode(const struct maildrop_entry *entry, struct span id, uint64_t at,
	struct log_salt salt, char to[RECORD_ENTRY_OCTETS_MAX])
{
	struct entry_on_disk e = {
		.magic = ENTRY_MAGIC ^ salt.magic,
		.uid = entry->uid,
		.wire_offset = entry->wire_offset - at,
		.wire_octets = entry->wire_octets,
		.octets = entry->octets,
		.header_octets = entry->header_octets,
		.body_lines = entry->body_lines,
		.content_crc = entry->content_crc,
		.arrived_at = entry->arrived_at,
		.flags = entry->header_ended ? ENTRY_HEADER_ENDED : 0,
		.id_octets = (uint8_t)id.length,
	};
	size_t octets = record_entry_octets(id.length > 0);

	must(id.length <= MAILDROP_UNIQUE_ID_MAX);
	must(entry->wire_offset >= at + octets);
	if (id.length > 0) {
		memset(to + sizeof(e), 0, RECORD_ID_OCTETS);
		memcpy(to + sizeof(e), id.at, id.length);
	}
	e.crc = entry_crc(&e, to + sizeof(e)) ^ salt.crc;
	memcpy(to, &e, sizeof(e));
	return octets;
}

bool
record_entry_is_sound(const struct maildrop_entry *entry)
{
	uint64_t frame = wire_status_octets(entry->octets) + WIRE_END_OCTETS;

	/* Byte-stuffing adds one octet to a line at most, and a line has three at least then. */
	return entry->uid >= 1 && entry->uid <= UID_MAX &&
		entry->wire_octets >= frame + entry->octets &&
		entry->wire_octets <= frame + 2 * (uint64_t)entry->octets &&
		entry->wire_offset >= LOG_HEADER_OCTETS &&
		entry->wire_offset <= INT64_MAX - entry->wire_octets &&
		entry->header_octets <= entry->wire_octets - frame &&
		entry->body_lines <= entry->octets;
}

size_t
record_entry_decode(struct span from, uint64_t at, struct log_salt salt,
	struct maildrop_entry *entry_out, struct span *id_out)
{
	struct entry_on_disk e;
	struct span id;
	size_t octets;

	if (from.length < sizeof(e))
		return 0;
	memcpy(&e, from.at, sizeof(e));
	octets = record_entry_octets(e.id_octets > 0);
	id = span_of(from.at + sizeof(e), e.id_octets);
	if (e.magic != (ENTRY_MAGIC ^ salt.magic) || from.length < octets ||
		e.crc != (entry_crc(&e, id.at) ^ salt.crc) || e.wire_offset < octets ||
		e.wire_offset > (uint64_t)INT64_MAX - at)
		return 0;
	if (e.id_octets > 0 && !uid_is_unique_id(id))
		return 0;
	*entry_out = (struct maildrop_entry){
		.wire_offset = at + e.wire_offset,
		.wire_octets = e.wire_octets,
		.octets = e.octets,
		.header_octets = e.header_octets,
		.body_lines = e.body_lines,
		.uid = e.uid,
		.content_crc = e.content_crc,
		.arrived_at = e.arrived_at,
		.header_ended = (e.flags & ENTRY_HEADER_ENDED) != 0,
	};
	*id_out = id;
	return record_entry_is_sound(entry_out) ? octets : 0;
}

bool
record_find_salt(struct span octets, struct log_salt *salt_out, struct record_header *header_out)
{
	struct record_header_on_disk h;
	struct maildrop_entry entry;
	struct log_salt salt;
	struct span entries;
	struct span id;

	if (octets.length < sizeof(h))
		return false;
	memcpy(&h, octets.at, sizeof(h));
	entries = span_after(octets, sizeof(h));
	if (h.type != RECORD_MESSAGES || !record_sizes_are_sound(&h) ||
		h.entries_octets > entries.length)
		return false;
	entries.length = h.entries_octets;
	salt.magic = RECORD_MAGIC ^ h.magic;
	salt.crc = record_crc(&h, entries) ^ h.crc;
	if (record_entry_decode(entries, LOG_HEADER_OCTETS, salt, &entry, &id) == 0)
		return false;
	*salt_out = salt;
	return record_header_decode(octets.at, salt, header_out);
}

void
record_range_encode(struct uid_range range, char to[RECORD_RANGE_OCTETS])
{
	static_assert(sizeof(range) == RECORD_RANGE_OCTETS, "range");
	memcpy(to, &range, sizeof(range));
}

struct uid_range
record_range_decode(struct span entries, uint32_t index)
{
	struct uid_range range;

	memcpy(&range, entries.at + (size_t)index * sizeof(range), sizeof(range));
	return range;
}
