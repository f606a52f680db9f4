/*
 * test_index.c - the slots of the index, and the collection they are read into.
 */
#include "storage/index.h"

#include "storage/messages.h"

#include "tests/unit/spool.h"

#include <errno.h>

static struct maildrop_entry
entry_of(uint32_t uid)
{
	return (struct maildrop_entry){
		.wire_offset = 1000 * (uint64_t)uid,
		.wire_octets = 15 + 10 + 3,
		.octets = 10,
		.header_octets = 10,
		.uid = uid,
		.content_crc = uid * 77,
		.arrived_at = 5,
	};
}

static void
header_there_and_back(void **state)
{
	const struct index_header header = {
		.generation = { 1, 2, 3 }, .uid_validity = 4, .next_uid = 5
	};
	char octets[INDEX_HEADER_OCTETS];
	struct index_header back = { 0 };

	(void)state;
	index_header_encode(&header, octets);
	assert_int_equal(index_header_decode(octets, &back), 0);
	assert_memory_equal(&back, &header, sizeof(back));
	for (size_t i = 0; i < sizeof(octets); i++) {
		octets[i] ^= 2;
		assert_int_equal(index_header_decode(octets, &back), -EBADMSG);
		octets[i] ^= 2;
	}
}

static void
message_slots(void **state)
{
	struct maildrop_entry entry = entry_of(9);
	struct index_totals totals = { 1234567890123, 42 };
	char octets[INDEX_MESSAGE_SLOTS_MAX * INDEX_SLOT_OCTETS];
	char id[MAILDROP_UNIQUE_ID_MAX];
	struct index_slot slot;

	(void)state;
	memset(id, 'i', sizeof(id));
	assert_int_equal(index_put_message(&entry, span_of(id, 0), totals, true, octets), 1);
	assert_true(index_slot_decode(octets, &slot));
	assert_int_equal(slot.type, INDEX_MESSAGE);
	assert_true(slot.ends_commit);
	spool_assert_entry(&slot.message, &entry);
	assert_int_equal(slot.totals.octets, totals.octets);
	assert_int_equal(slot.totals.messages, totals.messages);
	assert_int_equal(index_slot_covers(&slot), 9032);
	assert_int_equal(index_slot_next_uid(&slot), 10);
	for (size_t i = 0; i < INDEX_SLOT_OCTETS; i++) {
		octets[i] ^= 8;
		assert_false(index_slot_decode(octets, &slot));
		octets[i] ^= 8;
	}

	assert_int_equal(index_put_message(&entry, span_of(id, 56), totals, false, octets), 2);
	assert_int_equal(index_put_message(&entry, span_of(id, 57), totals, false, octets), 3);
	assert_true(index_slot_decode(octets + INDEX_SLOT_OCTETS, &slot));
	assert_int_equal(slot.type, INDEX_ID);
	assert_int_equal(slot.id_part, 1);
	assert_int_equal(slot.id_part_octets, 1);
	assert_true(index_slot_decode(octets + 2 * INDEX_SLOT_OCTETS, &slot));
	assert_int_equal(slot.id_octets, 57);
	assert_false(slot.ends_commit);
}

static void
expunge_slots(void **state)
{
	const struct uid_range ranges[] = { { 1, 1 }, { 3, 5 }, { 7, 7 }, { 9, 9 }, { 11, 20 } };
	struct index_totals totals = { 10, 1 };
	char octets[2 * INDEX_SLOT_OCTETS];
	struct index_slot slot;

	(void)state;
	assert_int_equal(index_expunge_slots(0), 1);
	assert_int_equal(index_expunge_slots(4), 1);
	assert_int_equal(index_expunge_slots(5), 2);
	index_put_expunge(ranges, 5, 21, 800, totals, octets);
	assert_true(index_slot_decode(octets, &slot));
	assert_false(slot.ends_commit);
	assert_int_equal(slot.range_count, 4);
	assert_true(index_slot_decode(octets + INDEX_SLOT_OCTETS, &slot));
	assert_true(slot.ends_commit);
	assert_int_equal(slot.range_count, 1);
	assert_int_equal(slot.ranges[0].last, 20);
	assert_int_equal(index_slot_covers(&slot), 800);
	assert_int_equal(index_slot_next_uid(&slot), 21);

	index_put_expunge(NULL, 0, 21, 800, totals, octets);
	assert_true(index_slot_decode(octets, &slot));
	assert_true(slot.ends_commit);
	assert_int_equal(slot.range_count, 0);

	/* Nobody may expunge what is yet to come. */
	index_put_expunge(ranges, 5, 20, 800, totals, octets);
	assert_false(index_slot_decode(octets + INDEX_SLOT_OCTETS, &slot));
}

static void
messages_settle_in_any_order(void **state)
{
	bool gone[200] = { false };
	struct messages m = { 0 };
	uint32_t left = 0;

	(void)state;
	srand(3);
	for (uint32_t uid = 1; uid < 200; uid++) {
		struct maildrop_entry entry = entry_of(uid);

		assert_int_equal(
			messages_add(&m, &entry, uid % 3 == 0 ? SPAN("an-id") : span_of("", 0)), 0);
	}
	for (int i = 0; i < 20; i++) {
		uint32_t first = 1 + (uint32_t)rand() % 198;
		uint32_t last = first + (uint32_t)rand() % 6;

		assert_int_equal(messages_add_range(&m, (struct uid_range){ first, last }), 0);
		for (uint32_t uid = first; uid <= last && uid < 200; uid++)
			gone[uid] = true;
	}
	assert_int_equal(messages_settle(&m), 0);
	for (uint32_t uid = 1; uid < 200; uid++) {
		uint32_t at = messages_search(&m, uid);

		assert_int_equal(gone[uid], at == m.count || m.entries[at].uid != uid);
		if (!gone[uid]) {
			assert_int_equal(m.entries[left++].uid, uid);
			assert_int_equal(
				messages_id(&m, &m.entries[at]).length, uid % 3 == 0 ? 5 : 0);
		}
	}
	assert_int_equal(m.count, left);
	assert_int_equal(messages_totals(&m).octets, 10 * left);
	messages_free(&m);
}

static void
messages_only_rise(void **state)
{
	struct messages m = { 0 };
	struct messages_mark mark;
	struct maildrop_entry entry = entry_of(5);

	(void)state;
	assert_int_equal(messages_add(&m, &entry, span_of("", 0)), 0);
	assert_int_equal(messages_add(&m, &entry, span_of("", 0)), -EBADMSG);
	entry.uid = 6;
	assert_int_equal(messages_add(&m, &entry, span_of("", 0)), -EBADMSG);
	entry.wire_offset += entry.wire_octets;
	mark = messages_mark(&m);
	assert_int_equal(messages_add(&m, &entry, SPAN("id")), 0);
	messages_return_to(&m, mark);
	assert_int_equal(m.count, 1);
	assert_int_equal(messages_add(&m, &entry, SPAN("other")), 0);
	assert_true(span_equals(messages_id(&m, &m.entries[1]), SPAN("other")));
	messages_free(&m);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(header_there_and_back),
		cmocka_unit_test(message_slots),
		cmocka_unit_test(expunge_slots),
		cmocka_unit_test(messages_settle_in_any_order),
		cmocka_unit_test(messages_only_rise),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
