/*
 * fuzz_record.c - log header, record header, entries and ranges from any octets.
 *
 * The first octet chooses: octets as they are, or with their checksums made right, so that hostile
 * values behind good checksums are met too.  Whatever is called valid must say the same when it is
 * written again.
 */
#include "io/base/must.h"
#include "storage/record.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

static const struct log_salt salt = { .magic = 0x12345678, .crc = 0x9ABCDEF0 };

static void
try_log_header(struct span input)
{
	char octets[LOG_HEADER_OCTETS] = { 0 };
	struct log_header header;

	memcpy(octets, input.at, input.length < sizeof(octets) ? input.length : sizeof(octets));
	if (log_header_decode(octets, &header) != 0)
		return;
	must(header.uid_validity != 0 && header.next_uid != 0);
	log_header_encode(&header, octets);
	must(log_header_decode(octets, &header) == 0);
}

/* Octets of no known origin as a record. */
static void
try_record(struct span input)
{
	struct record_header header;
	struct span entries = span_after(input, RECORD_HEADER_OCTETS);
	struct record_header header_found;
	struct log_salt salt_found;

	(void)record_find_salt(input, &salt_found, &header_found);
	if (input.length < RECORD_HEADER_OCTETS || !record_header_decode(input.at, salt, &header) ||
		header.entries_octets > entries.length)
		return;
	entries.length = header.entries_octets;
	(void)record_is_intact(input.at, salt, entries);
	must(header.octets >= RECORD_HEADER_OCTETS + (uint64_t)header.entries_octets);
	if (header.type == RECORD_EXPUNGE)
		for (uint32_t i = 0; i < header.count; i++)
			(void)record_range_decode(entries, i);
}

static void
try_entry(struct span input, uint64_t at)
{
	struct maildrop_entry entry;
	struct maildrop_entry again;
	struct span id;
	struct span id_again;
	char octets[RECORD_ENTRY_OCTETS_MAX];
	size_t length = record_entry_decode(input, at, salt, &entry, &id);

	if (length == 0)
		return;
	must(length <= input.length && id.length <= MAILDROP_UNIQUE_ID_MAX);
	must(record_entry_is_sound(&entry));
	must(record_entry_encode(&entry, id, at, salt, octets) == length);
	must(record_entry_decode(span_of(octets, length), at, salt, &again, &id_again) == length);
	must(again.wire_offset == entry.wire_offset && again.uid == entry.uid);
	must(span_equals(id, id_again));
}

/* An entry of any values behind a good checksum, in a record of any values behind another. */
static void
try_made(struct span input)
{
	uint64_t at = fuzz_take(&input, 5);
	struct maildrop_entry entry = {
		.uid = (uint32_t)fuzz_take(&input, 4),
		.octets = (uint32_t)fuzz_take(&input, 4),
		.header_octets = (uint32_t)fuzz_take(&input, 4),
		.body_lines = (uint32_t)fuzz_take(&input, 4),
		.content_crc = (uint32_t)fuzz_take(&input, 4),
		.wire_octets = fuzz_take(&input, 8),
		.header_ended = fuzz_take(&input, 1) & 1,
	};
	struct record_header header = {
		.type = fuzz_take(&input, 1) & 1 ? RECORD_MESSAGES : RECORD_EXPUNGE,
		.ends_commit = true,
		.octets = fuzz_take(&input, 8),
		.commit_start = fuzz_take(&input, 8),
		.next_uid = (uint32_t)fuzz_take(&input, 4),
		.count = (uint32_t)fuzz_take(&input, 4),
	};
	size_t id_octets = fuzz_take(&input, 1) % (MAILDROP_UNIQUE_ID_MAX + 1);
	struct span id = span_of(input.at, id_octets < input.length ? id_octets : input.length);
	char octets[RECORD_HEADER_OCTETS + RECORD_ENTRY_OCTETS_MAX];
	size_t length = record_entry_octets(id.length > 0);

	entry.wire_offset = at + length + fuzz_take(&input, 4);
	(void)record_entry_encode(&entry, id, at, salt, octets + RECORD_HEADER_OCTETS);
	try_entry(span_of(octets + RECORD_HEADER_OCTETS, length), at);
	header.entries_octets = (uint32_t)length;
	record_header_encode(&header, salt, span_of(octets + RECORD_HEADER_OCTETS, length), octets);
	must(record_is_intact(octets, salt, span_of(octets + RECORD_HEADER_OCTETS, length)));
	try_record(span_of(octets, RECORD_HEADER_OCTETS + length));
}

int
LLVMFuzzerTestOneInput(const uint8_t *octets, size_t size)
{
	struct span input = span_of(octets, size);

	switch (fuzz_take(&input, 1) & 3) {
	case 0:
		try_log_header(input);
		break;
	case 1:
		try_record(input);
		break;
	case 2:
		try_entry(input, 4096);
		break;
	default:
		try_made(input);
		break;
	}
	return 0;
}
