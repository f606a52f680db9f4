/*
 * test_maildrop.c - deliver, open, delete: what a session sees.
 */
#include "tests/unit/spool.h"

#include "storage/uid.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#define ALICE "alice@example.org"

static struct spool spool;

static int
setup(void **state)
{
	(void)state;
	spool_make(&spool);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	spool_remove(&spool);
	return 0;
}

static void
never_delivered_is_empty(void **state)
{
	struct maildrop *m = spool_open(&spool.disk, ALICE);

	(void)state;
	assert_int_equal(m->count, 0);
	assert_int_equal(m->octets, 0);
	assert_int_equal(m->log_fd, -1);
	assert_false(maildrop_is_current(&spool.disk, m));
	assert_string_equal(m->address, ALICE);
	maildrop_close(&spool.disk, m);
}

static void
delivered_is_stored_as_sent(void **state)
{
	struct maildrop *m;
	char id[MAILDROP_UNIQUE_ID_MAX + 1];
	char expected[UID_DERIVED_OCTETS + 1] = { 0 };

	(void)state;
	assert_int_equal(spool_deliver(&spool.disk, ALICE, "A: b\n\n.dot\nend"), 1);
	assert_int_equal(spool_deliver(&spool.disk, ALICE, ""), 2);
	m = spool_open(&spool.disk, ALICE);
	assert_int_equal(m->count, 2);
	assert_int_equal(m->entries[0].uid, 1);
	assert_int_equal(m->entries[0].octets, 19);
	assert_int_equal(m->entries[0].header_octets, 8);
	assert_int_equal(m->entries[0].body_lines, 2);
	assert_true(m->entries[0].header_ended);
	assert_int_equal(m->entries[0].arrived_at, 1000);
	assert_int_equal(m->octets, 19);
	assert_int_equal(m->next_uid, 3);
	spool_assert_wire(&spool.disk, m, 1, "+OK 19 octets\r\nA: b\r\n\r\n..dot\r\nend\r\n.\r\n");
	spool_assert_wire(&spool.disk, m, 2, "+OK 0 octets\r\n.\r\n");
	uid_put_derived(2, m->uid_validity, expected);
	assert_int_equal(maildrop_unique_id(m, &m->entries[1], id), UID_DERIVED_OCTETS);
	assert_string_equal(id, expected);
	maildrop_close(&spool.disk, m);
}

static void
snapshot_stays(void **state)
{
	const uint32_t uids[] = { 1, 3 };
	uint32_t removed;
	struct maildrop *before;
	struct maildrop *after;

	(void)state;
	spool_deliver(&spool.disk, ALICE, "one");
	spool_deliver(&spool.disk, ALICE, "two");
	spool_deliver(&spool.disk, ALICE, "three");
	before = spool_open(&spool.disk, ALICE);
	assert_true(maildrop_is_current(&spool.disk, before));
	assert_int_equal(maildrop_commit(&spool.disk, ALICE, &spool_options, uids, 2, &removed), 0);
	assert_int_equal(removed, 2);
	assert_false(maildrop_is_current(&spool.disk, before));
	assert_int_equal(before->count, 3);
	spool_assert_wire(&spool.disk, before, 3, "+OK 7 octets\r\nthree\r\n.\r\n");

	after = spool_open(&spool.disk, ALICE);
	assert_int_equal(after->count, 1);
	assert_int_equal(after->entries[0].uid, 2);
	assert_int_equal(after->octets, 5);

	/* Gone already: passed over. */
	assert_int_equal(maildrop_commit(&spool.disk, ALICE, &spool_options, uids, 2, &removed), 0);
	assert_int_equal(removed, 0);
	assert_true(maildrop_is_current(&spool.disk, after));
	assert_int_equal(spool_deliver(&spool.disk, ALICE, "four"), 4);
	maildrop_close(&spool.disk, before);
	maildrop_close(&spool.disk, after);
}

static void
neighbours_lie_side_by_side(void **state)
{
	struct maildrop_writer *w;
	struct maildrop *m;

	(void)state;
	assert_int_equal(maildrop_writer_open(&spool.disk, ALICE, &spool_options, 77, &w), 0);
	assert_int_equal(maildrop_writer_uid_validity(w), 77);
	for (int i = 0; i < 100; i++)
		spool_add(w, "S: x\r\n\r\nbody\r\n", 14, NULL, 0);
	assert_int_equal(maildrop_writer_commit(w), 0);
	maildrop_writer_close(w);
	m = spool_open(&spool.disk, ALICE);
	assert_int_equal(m->count, 100);
	assert_int_equal(m->uid_validity, 77);
	for (uint32_t i = 1; i < 64; i++)
		assert_int_equal(m->entries[i].wire_offset,
			m->entries[i - 1].wire_offset + m->entries[i - 1].wire_octets);
	for (uint32_t i = 1; i <= 100; i++)
		spool_assert_wire(&spool.disk, m, i, "+OK 14 octets\r\nS: x\r\n\r\nbody\r\n.\r\n");
	maildrop_close(&spool.disk, m);
}

static void
uncommitted_vanishes(void **state)
{
	struct maildrop_writer *w;
	struct maildrop *m;
	char *large = malloc(3000000);

	(void)state;
	assert_non_null(large);
	memset(large, 'x', 3000000);
	spool_deliver(&spool.disk, ALICE, "one");
	assert_int_equal(maildrop_writer_open(&spool.disk, ALICE, &spool_options, 0, &w), 0);
	spool_add(w, large, 3000000, NULL, 0);
	spool_add(w, "two", 3, NULL, 0);
	maildrop_writer_close(w);
	m = spool_open(&spool.disk, ALICE);
	assert_int_equal(m->count, 1);
	assert_true(maildrop_is_current(&spool.disk, m));
	maildrop_close(&spool.disk, m);
	free(large);
}

static void
large_messages_are_streamed(void **state)
{
	const size_t length = 5000001;
	struct maildrop_writer *w;
	struct maildrop *m;
	char *large = malloc(length);
	char *octets;
	char path[512];

	(void)state;
	assert_non_null(large);
	for (size_t i = 0; i < length; i++)
		large[i] = i % 61 == 60 ? '\n' : (char)('.' + i % 40);
	assert_int_equal(maildrop_writer_open(&spool.disk, ALICE, &spool_options, 0, &w), 0);
	spool_add(w, "before", 6, NULL, 0);
	spool_add(w, large, length, "an-id", 0);
	spool_add(w, large, length / 2, NULL, 0);
	spool_add(w, "after", 5, NULL, 0);
	assert_int_equal(maildrop_writer_commit(w), 0);
	maildrop_writer_close(w);

	/* Rebuilt from the log, so that every checksum is looked at. */
	spool_path(&spool, ALICE, "index", path, sizeof(path));
	assert_int_equal(unlink(path), 0);
	m = spool_open(&spool.disk, ALICE);
	assert_int_equal(m->count, 4);
	spool_assert_wire(&spool.disk, m, 1, "+OK 8 octets\r\nbefore\r\n.\r\n");
	spool_assert_wire(&spool.disk, m, 4, "+OK 7 octets\r\nafter\r\n.\r\n");
	assert_string_equal(m->unique_ids + m->entries[1].unique_id, "an-id");
	octets = malloc(m->entries[1].wire_octets);
	assert_non_null(octets);
	assert_int_equal(disk_read_at(&spool.disk, m->log_fd, octets, m->entries[1].wire_octets,
				 m->entries[1].wire_offset),
		m->entries[1].wire_octets);
	assert_memory_equal(octets, "+OK 5081970 octets\r\n../0", 24);
	assert_memory_equal(octets + m->entries[1].wire_octets - 5, "\r\n.\r\n", 5);
	assert_int_equal(m->entries[1].octets, 5081970);
	assert_false(m->entries[1].header_ended);
	maildrop_close(&spool.disk, m);
	free(octets);
	free(large);
}

static void
unique_ids_are_unique(void **state)
{
	struct maildrop_delivery delivery = { .unique_id = "first" };
	char long_id[MAILDROP_UNIQUE_ID_MAX + 2];
	struct maildrop_writer *w;
	struct maildrop *m;
	uint32_t removed;
	char id[MAILDROP_UNIQUE_ID_MAX + 1];
	char derived[UID_DERIVED_OCTETS + 1] = { 0 };

	(void)state;
	memset(long_id, 'L', sizeof(long_id));
	long_id[MAILDROP_UNIQUE_ID_MAX] = '\0';
	assert_int_equal(maildrop_writer_open(&spool.disk, ALICE, &spool_options, 5, &w), 0);
	assert_int_equal(spool_add(w, "one", 3, "first", 0), 1);
	assert_int_equal(spool_add(w, "two", 3, long_id, 7), 7);
	assert_int_equal(spool_add(w, "three", 5, NULL, 0), 8);
	assert_int_equal(maildrop_writer_begin(w, &delivery), -EEXIST);
	delivery.unique_id = "with blank";
	assert_int_equal(maildrop_writer_begin(w, &delivery), -EINVAL);
	delivery.unique_id = "";
	assert_int_equal(maildrop_writer_begin(w, &delivery), -EINVAL);
	uid_put_derived(8, 5, derived); /* lives */
	delivery.unique_id = derived;
	assert_int_equal(maildrop_writer_begin(w, &delivery), -EEXIST);
	uid_put_derived(1000, 5, derived); /* is yet to come */
	assert_int_equal(maildrop_writer_begin(w, &delivery), -EEXIST);
	delivery.unique_id = NULL;
	delivery.uid = 8;
	assert_int_equal(maildrop_writer_begin(w, &delivery), -EINVAL);
	uid_put_derived(20, 5, derived); /* its own */
	assert_int_equal(spool_add(w, "four", 4, derived, 20), 20);
	assert_int_equal(maildrop_writer_commit(w), 0);
	maildrop_writer_close(w);

	m = spool_open(&spool.disk, ALICE);
	assert_int_equal(m->count, 4);
	assert_int_equal(maildrop_unique_id(m, &m->entries[0], id), 5);
	assert_string_equal(id, "first");
	assert_int_equal(maildrop_unique_id(m, &m->entries[1], id), MAILDROP_UNIQUE_ID_MAX);
	assert_string_equal(id, long_id);
	maildrop_unique_id(m, &m->entries[3], id);
	assert_string_equal(id, derived);
	maildrop_close(&spool.disk, m);

	/* A second run, and one after the message is gone. */
	assert_int_equal(maildrop_writer_open(&spool.disk, ALICE, &spool_options, 0, &w), 0);
	delivery = (struct maildrop_delivery){ .unique_id = long_id };
	assert_int_equal(maildrop_writer_begin(w, &delivery), -EEXIST);
	delivery = (struct maildrop_delivery){ .unique_id = derived, .uid = 20 };
	assert_int_equal(maildrop_writer_begin(w, &delivery), -EEXIST);
	maildrop_writer_close(w);
	assert_int_equal(maildrop_commit(&spool.disk, ALICE, &spool_options,
				 (const uint32_t[]){ 7 }, 1, &removed),
		0);
	assert_int_equal(maildrop_writer_open(&spool.disk, ALICE, &spool_options, 0, &w), 0);
	assert_int_equal(spool_add(w, "two", 3, long_id, 0), 21);
	assert_int_equal(maildrop_writer_commit(w), 0);
	maildrop_writer_close(w);
}

static void
delivery_goes_on_after_a_refused_message(void **state)
{
	struct maildrop_delivery delivery = { .unique_id = "bad id" };
	struct maildrop_writer *w;
	struct maildrop *m;

	(void)state;
	assert_int_equal(maildrop_writer_open(&spool.disk, ALICE, &spool_options, 0, &w), 0);
	assert_int_equal(maildrop_writer_commit(w), 0); /* of nothing */
	for (int i = 0; i < 64; i++)
		spool_add(w, "x", 1, NULL, 0);
	assert_int_equal(maildrop_writer_begin(w, &delivery), -EINVAL);
	assert_int_equal(maildrop_writer_commit(w), 0);
	spool_add(w, "y", 1, NULL, 0);
	assert_int_equal(maildrop_writer_commit(w), 0);
	maildrop_writer_close(w);
	m = spool_open(&spool.disk, ALICE);
	assert_int_equal(m->count, 65);
	maildrop_close(&spool.disk, m);
}

static void
locked_maildrop_times_out(void **state)
{
	const struct maildrop_options soon = { .lock_timeout_ms = 20, .sync = true };
	struct disk not_waiting = spool.disk;
	struct maildrop_writer *w;
	struct maildrop_writer *second;
	struct maildrop *m;
	uint32_t removed;
	char *large = calloc(1, 2000000);

	(void)state;
	assert_non_null(large);
	not_waiting.waits = false;
	spool_deliver(&spool.disk, ALICE, "one");
	assert_int_equal(maildrop_writer_open(&spool.disk, ALICE, &spool_options, 0, &w), 0);
	assert_int_equal(maildrop_writer_open(&spool.disk, ALICE, &soon, 0, &second), -ETIMEDOUT);
	assert_int_equal(
		maildrop_commit(&spool.disk, ALICE, &soon, (const uint32_t[]){ 1 }, 1, &removed),
		-ETIMEDOUT);

	/* A writer that has not written anything is in nobody's way. */
	assert_int_equal(maildrop_open(&not_waiting, ALICE, &soon, &m), 0);
	assert_int_equal(m->count, 1);
	maildrop_close(&not_waiting, m);

	/* One that has is waited for. */
	spool_add(w, large, 2000000, NULL, 0);
	assert_int_equal(maildrop_open(&not_waiting, ALICE, &soon, &m), -EAGAIN);
	assert_int_equal(maildrop_open(&spool.disk, ALICE, &soon, &m), -ETIMEDOUT);
	maildrop_writer_close(w);
	assert_int_equal(maildrop_open(&spool.disk, ALICE, &soon, &m), 0);
	assert_int_equal(m->count, 1);
	maildrop_close(&spool.disk, m);
	free(large);
}

static void
index_without_log_is_damage(void **state)
{
	struct maildrop *m;
	struct maildrop_writer *w;
	char path[512];

	(void)state;
	spool_deliver(&spool.disk, ALICE, "one");
	spool_path(&spool, ALICE, "log", path, sizeof(path));
	assert_int_equal(unlink(path), 0);
	assert_int_equal(maildrop_open(&spool.disk, ALICE, &spool_options, &m), -EBADMSG);
	assert_int_equal(maildrop_writer_open(&spool.disk, ALICE, &spool_options, 0, &w), -EBADMSG);
	spool_path(&spool, ALICE, "index", path, sizeof(path));
	assert_int_equal(unlink(path), 0);
	m = spool_open(&spool.disk, ALICE);
	assert_int_equal(m->count, 0);
	maildrop_close(&spool.disk, m);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(never_delivered_is_empty),
		TEST(delivered_is_stored_as_sent),
		TEST(snapshot_stays),
		TEST(neighbours_lie_side_by_side),
		TEST(uncommitted_vanishes),
		TEST(large_messages_are_streamed),
		TEST(unique_ids_are_unique),
		TEST(delivery_goes_on_after_a_refused_message),
		TEST(locked_maildrop_times_out),
		TEST(index_without_log_is_damage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
