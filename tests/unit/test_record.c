/*
 * test_record.c - the octets of the log: there and back, and no octet may change unseen.
 */
#include "storage/record.h"

#include "io/base/crc32c.h"
#include "storage/crc32c_join.h"

#include "tests/unit/spool.h"

#include <errno.h>

static const struct log_header header = {
	.generation = { 0xA1, 0xB2, 0xC3, 0xD4, 0xE5, 0xF6, 0x07, 0x18, 9, 10, 11, 12, 13, 14, 15,
		16 },
	.uid_validity = 0x5F000001,
	.next_uid = 17,
	.created_at = 1600000000,
};

static const struct maildrop_entry entry = {
	.wire_offset = 1000,
	.wire_octets = 16 + 105 + 3,
	.octets = 103,
	.header_octets = 50,
	.body_lines = 3,
	.uid = 16,
	.content_crc = 0xDEADBEEF,
	.arrived_at = -5,
	.header_ended = true,
};

static void
log_header_there_and_back(void **state)
{
	char octets[LOG_HEADER_OCTETS];
	struct log_header back = { 0 };

	(void)state;
	log_header_encode(&header, octets);
	assert_memory_equal(octets, "RPmaillg\x01\0\0\0\x40\0\0\0\xA1\xB2", 18);
	assert_int_equal(log_header_decode(octets, &back), 0);
	assert_memory_equal(&back, &header, sizeof(back));
	for (size_t i = 0; i < sizeof(octets); i++) {
		octets[i] ^= 0x10;
		assert_int_equal(log_header_decode(octets, &back), -EBADMSG);
		octets[i] ^= 0x10;
	}
}

static void
unknown_version_is_said(void **state)
{
	char octets[LOG_HEADER_OCTETS];
	struct log_header back;
	uint32_t crc;

	(void)state;
	log_header_encode(&header, octets);
	octets[8] = 2;
	crc = crc32c(0, octets, LOG_HEADER_OCTETS - 4);
	memcpy(octets + LOG_HEADER_OCTETS - 4, &crc, 4);
	assert_int_equal(log_header_decode(octets, &back), -EPROTONOSUPPORT);
}

static void
entry_there_and_back(struct span id)
{
	struct log_salt salt = log_salt(header.generation);
	struct log_salt other = { .magic = salt.magic, .crc = salt.crc + 1 };
	char octets[RECORD_ENTRY_OCTETS_MAX];
	struct maildrop_entry back;
	struct span id_back;
	size_t length = record_entry_encode(&entry, id, 112, salt, octets);

	assert_int_equal(length, record_entry_octets(id.length > 0));
	assert_int_equal(
		record_entry_decode(span_of(octets, length), 112, salt, &back, &id_back), length);
	spool_assert_entry(&back, &entry);
	assert_true(span_equals(id, id_back));

	/* At another place it is about another span; in another generation it is nothing. */
	assert_int_equal(
		record_entry_decode(span_of(octets, length), 120, salt, &back, &id_back), length);
	assert_int_equal(back.wire_offset, 1008);
	assert_int_equal(
		record_entry_decode(span_of(octets, length), 112, other, &back, &id_back), 0);
	assert_int_equal(
		record_entry_decode(span_of(octets, length - 1), 112, salt, &back, &id_back), 0);
	for (size_t i = 0; i < length; i++) {
		octets[i] ^= 1;
		assert_int_equal(
			record_entry_decode(span_of(octets, length), 112, salt, &back, &id_back),
			0);
		octets[i] ^= 1;
	}
}

static void
entries(void **state)
{
	char id[MAILDROP_UNIQUE_ID_MAX];

	(void)state;
	memset(id, 'u', sizeof(id));
	entry_there_and_back(span_of(id, 0));
	entry_there_and_back(span_of(id, 1));
	entry_there_and_back(span_of(id, sizeof(id)));
}

static void
impossible_entries_are_not_sound(void **state)
{
	struct maildrop_entry e = entry;

	(void)state;
	assert_true(record_entry_is_sound(&e));
	e.uid = 0;
	assert_false(record_entry_is_sound(&e));
	e = entry;
	e.uid = UINT32_MAX;
	assert_false(record_entry_is_sound(&e));
	e = entry;
	e.wire_octets = 103;
	assert_false(record_entry_is_sound(&e));
	e.wire_octets = UINT64_MAX;
	assert_false(record_entry_is_sound(&e));
	e = entry;
	e.wire_offset = UINT64_MAX - 10;
	assert_false(record_entry_is_sound(&e));
	e = entry;
	e.header_octets = 10000;
	assert_false(record_entry_is_sound(&e));
	e = entry;
	e.body_lines = 104;
	assert_false(record_entry_is_sound(&e));
}

static void
record_header_there_and_back(void **state)
{
	const struct record_header h = {
		.type = RECORD_EXPUNGE,
		.ends_commit = true,
		.octets = RECORD_HEADER_OCTETS + 2 * RECORD_RANGE_OCTETS,
		.commit_start = 64,
		.uid_validity = 3,
		.next_uid = 100,
		.count = 2,
		.entries_octets = 2 * RECORD_RANGE_OCTETS,
	};
	struct log_salt salt = log_salt(header.generation);
	char octets[RECORD_HEADER_OCTETS + 2 * RECORD_RANGE_OCTETS];
	struct span ranges = span_of(octets + RECORD_HEADER_OCTETS, 2 * RECORD_RANGE_OCTETS);
	struct record_header back;

	(void)state;
	record_range_encode((struct uid_range){ 1, 5 }, octets + RECORD_HEADER_OCTETS);
	record_range_encode((struct uid_range){ 7, 7 }, octets + RECORD_HEADER_OCTETS + 8);
	record_header_encode(&h, salt, ranges, octets);
	assert_true(record_header_decode(octets, salt, &back));
	assert_int_equal(back.type, h.type);
	assert_true(back.ends_commit);
	assert_int_equal(back.octets, h.octets);
	assert_int_equal(back.commit_start, h.commit_start);
	assert_int_equal(back.uid_validity, h.uid_validity);
	assert_int_equal(back.next_uid, h.next_uid);
	assert_int_equal(back.count, h.count);
	assert_int_equal(back.entries_octets, h.entries_octets);
	assert_true(record_is_intact(octets, salt, ranges));
	assert_int_equal(record_range_decode(ranges, 0).last, 5);
	assert_int_equal(record_range_decode(ranges, 1).first, 7);
	for (size_t i = 0; i < sizeof(octets); i++) {
		octets[i] ^= 4;
		assert_false(record_header_decode(octets, salt, &back) &&
			record_is_intact(octets, salt, ranges));
		octets[i] ^= 4;
	}
}

static void
salt_follows_from_a_record(void **state)
{
	struct log_salt salt = log_salt(header.generation);
	struct log_salt found;
	char octets[RECORD_HEADER_OCTETS + RECORD_ENTRY_OCTETS_MAX];
	size_t length = record_entry_encode(
		&entry, SPAN("x"), LOG_HEADER_OCTETS, salt, octets + RECORD_HEADER_OCTETS);
	struct record_header h = {
		.type = RECORD_MESSAGES,
		.octets = 1024,
		.commit_start = 64,
		.uid_validity = 3,
		.next_uid = 100,
		.count = 1,
		.entries_octets = (uint32_t)length,
	};

	(void)state;
	record_header_encode(&h, salt, span_of(octets + RECORD_HEADER_OCTETS, length), octets);
	assert_true(record_find_salt(span_of(octets, sizeof(octets)), &found, &h));
	assert_memory_equal(&found, &salt, sizeof(salt));
	assert_int_equal(h.next_uid, 100);
	assert_false(record_find_salt(span_of(octets, sizeof(octets) - 1), &found, &h));
	octets[sizeof(octets) - 1] ^= 1;
	assert_false(record_find_salt(span_of(octets, sizeof(octets)), &found, &h));
}

static void
checksums_join(void **state)
{
	char octets[1000];

	(void)state;
	for (size_t i = 0; i < sizeof(octets); i++)
		octets[i] = (char)(i * 7);
	for (size_t cut = 0; cut <= sizeof(octets); cut += 37)
		assert_int_equal(crc32c_join(crc32c(0, octets, cut),
					 crc32c(0, octets + cut, sizeof(octets) - cut),
					 sizeof(octets) - cut),
			crc32c(0, octets, sizeof(octets)));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(log_header_there_and_back),
		cmocka_unit_test(unknown_version_is_said),
		cmocka_unit_test(entries),
		cmocka_unit_test(impossible_entries_are_not_sound),
		cmocka_unit_test(record_header_there_and_back),
		cmocka_unit_test(salt_follows_from_a_record),
		cmocka_unit_test(checksums_join),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
