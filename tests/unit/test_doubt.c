/*
 * test_doubt.c - after a failed sync nothing positive rests on what the page cache has kept: the
 * maildrop is read from the disk first, for all that it was opened before.
 */
#include "storage/doubt.h"

#include "io/base/must.h"
#include "storage/maildrop_cache.h"
#include "tests/unit/fault_disk.h"

#define ALICE "alice@example.org"
#define BOB   "bob@example.org"
#define FIRST "Subject: first\r\n\r\nacknowledged\r\n"

struct fixture {
	struct spool spool;
	struct fault_disk fault;
	struct disk *disk;
};

static struct fixture f;

static int
set_up(void **state)
{
	(void)state;
	spool_make(&f.spool);
	fault_init(&f.fault, &f.spool.disk, 0, -EIO, false);
	f.disk = &f.fault.disk;
	spool_deliver(f.disk, ALICE, FIRST);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	fault_free(&f.fault);
	spool_remove(&f.spool);
	return 0;
}

/* From now on calls of these kinds fail: the next one, or all. */
static void
break_disk(unsigned kinds, bool is_sticky)
{
	f.fault.kinds = kinds;
	f.fault.is_sticky = is_sticky;
	f.fault.fail_at = 1;
	f.fault.calls = 0;
	f.fault.was_hit = false;
}

static void
mend_disk(void)
{
	f.fault.fail_at = 0;
	f.fault.was_hit = false;
}

static int
deliver(const char *address)
{
	const struct maildrop_delivery delivery = { .arrived_at = 1 };
	struct maildrop_writer *w;
	uint32_t uid;
	int error = maildrop_writer_open(f.disk, address, &spool_options, 0, &w);

	if (error != 0)
		return error;
	assert_int_equal(maildrop_writer_begin(w, &delivery), 0);
	assert_int_equal(maildrop_writer_text(w, SPAN("Subject: second\r\n\r\nlost?\r\n")), 0);
	assert_int_equal(maildrop_writer_end(w, &uid), 0);
	error = maildrop_writer_commit(w);
	maildrop_writer_close(w);
	return error;
}

static struct disk_status
log_status(void)
{
	char path[LAYOUT_PATH_MAX];
	struct disk_status status;

	assert_int_equal(layout_file(ALICE, "log", path), 0);
	assert_int_equal(disk_status_of_path(&f.fault.host, path, &status), 0);
	return status;
}

static void
ignore(void *ctx, uint64_t offset, const char *text)
{
	(void)ctx;
	(void)offset;
	(void)text;
}

/* What the maildrop holds is what the disk holds, and it goes on. */
static void
assert_holds(uint32_t count)
{
	for (unsigned look = 0; look < 2; look++) {
		struct maildrop *m = spool_open(f.disk, ALICE);
		uint64_t octets;
		uint32_t messages;

		assert_int_equal(m->count, count);
		maildrop_close(f.disk, m);
		assert_int_equal(
			maildrop_usage(f.disk, ALICE, &spool_options, &octets, &messages), 0);
		assert_int_equal(messages, count);
		assert_int_equal(maildrop_verify(f.disk, ALICE, &spool_options, ignore, NULL), 0);
		fault_evict(&f.fault);
	}
}

static void
a_failed_sync_of_a_delivery_once(void **state)
{
	struct maildrop_cache cache;
	struct maildrop_hold *hold;
	struct maildrop *m = spool_open(f.disk, ALICE);

	(void)state;
	assert_int_equal(maildrop_cache_open(&cache, f.disk, 4), 0);
	hold = maildrop_cache_add(&cache, m);
	maildrop_cache_release(&cache, hold, 0);
	hold = maildrop_cache_find(&cache, ALICE);
	assert_non_null(hold);
	maildrop_cache_release(&cache, hold, 0);

	break_disk(FAULT_SYNC, false);
	assert_int_equal(deliver(ALICE), -EIO);
	assert_null(maildrop_cache_find(&cache, ALICE)); /* though nothing was added */
	assert_holds(1);
	assert_int_equal(deliver(ALICE), 0);
	assert_holds(2);
	maildrop_cache_close(&cache);
}

/* Not even the cut comes through: the page cache shows a message that the disk does not have. */
static void
a_disk_that_fails_for_a_while(void **state)
{
	struct maildrop *m;
	uint64_t octets;
	uint32_t messages;
	uint32_t removed;

	(void)state;
	break_disk(FAULT_SYNC | FAULT_TRUNCATE, true);
	assert_int_equal(deliver(ALICE), -EIO);
	assert_int_equal(deliver(ALICE), -EIO);
	assert_int_equal(maildrop_open(f.disk, ALICE, &spool_options, &m), -EIO);
	assert_int_equal(maildrop_usage(f.disk, ALICE, &spool_options, &octets, &messages), -EIO);
	assert_int_equal(
		maildrop_commit(f.disk, ALICE, &spool_options, (uint32_t[]){ 1 }, 1, &removed),
		-EIO);
	mend_disk();
	assert_holds(1);
	assert_int_equal(deliver(ALICE), 0);
	assert_holds(2);
}

/* The same where nothing drops the cache: the disk of these tests does catch who believes it. */
static void
the_trap_is_real(void **state)
{
	struct disk_ops ops = fault_ops;
	struct maildrop *m;

	(void)state;
	ops.drop_cache = NULL;
	f.fault.disk.ops = &ops;
	break_disk(FAULT_SYNC | FAULT_TRUNCATE, true);
	assert_int_equal(deliver(ALICE), -EIO);
	mend_disk();
	m = spool_open(f.disk, ALICE);
	assert_int_equal(m->count, 2);
	maildrop_close(f.disk, m);
	fault_evict(&f.fault);
	assert_true(maildrop_verify(f.disk, ALICE, &spool_options, ignore, NULL) > 0);
}

static void
a_failed_sync_of_deletions(void **state)
{
	static const unsigned kinds[] = { FAULT_SYNC, FAULT_SYNC | FAULT_TRUNCATE };
	uint32_t removed;

	(void)state;
	assert_int_equal(deliver(ALICE), 0);
	for (unsigned i = 0; i < array_count(kinds); i++) {
		struct maildrop *held = spool_open(f.disk, ALICE);

		break_disk(kinds[i], i == 1);
		assert_int_equal(maildrop_commit(f.disk, ALICE, &spool_options,
					 (uint32_t[]){ 1, 2 }, 2, &removed),
			-EIO);
		mend_disk();
		assert_false(maildrop_is_current(f.disk, held));
		maildrop_close(f.disk, held);
		assert_holds(2);
	}
	assert_int_equal(
		maildrop_commit(f.disk, ALICE, &spool_options, (uint32_t[]){ 1 }, 1, &removed), 0);
	assert_holds(1);
}

static bool
log_is_dirty(void)
{
	for (unsigned i = 0; i < f.fault.file_count; i++)
		if (f.fault.files[i].is_dirty && f.fault.files[i].inode == log_status().inode)
			return true;
	return false;
}

/* Another process has no doubts: it must find the cut on the disk, or a log that it recovers. */
static void
a_cut_back_log_stays_cut(void **state)
{
	uint64_t octets = log_status().octets;
	uint32_t removed;

	(void)state;
	break_disk(FAULT_SYNC, false);
	assert_int_equal(
		maildrop_commit(f.disk, ALICE, &spool_options, (uint32_t[]){ 1 }, 1, &removed),
		-EIO);
	mend_disk();
	assert_int_equal(log_status().octets, octets);
	assert_false(log_is_dirty());
	assert_holds(1);

	octets = log_status().octets;
	break_disk(FAULT_SYNC, true);
	assert_int_equal(
		maildrop_commit(f.disk, ALICE, &spool_options, (uint32_t[]){ 1 }, 1, &removed),
		-EIO);
	mend_disk();
	assert_true(log_status().octets > octets);
	assert_holds(1);
	assert_int_equal(log_status().octets, octets);
}

/* A caretaker's new log is given up; the old one was not touched, and nobody doubts it. */
static void
a_failed_sync_of_a_compaction(void **state)
{
	struct maildrop *held = spool_open(f.disk, ALICE);
	uint64_t before;
	uint64_t after;

	(void)state;
	break_disk(FAULT_SYNC, true);
	assert_int_equal(maildrop_compact(f.disk, ALICE, &spool_options, &before, &after), -EIO);
	assert_true(maildrop_is_current(f.disk, held));
	maildrop_close(f.disk, held);
	mend_disk();
	assert_holds(1);
	assert_int_equal(maildrop_compact(f.disk, ALICE, &spool_options, &before, &after), 0);
	assert_holds(1);
}

static void
a_failed_sync_of_a_first_delivery(void **state)
{
	static const unsigned kinds[] = { FAULT_SYNC, FAULT_SYNC_DIRECTORY };

	(void)state;
	for (unsigned i = 0; i < array_count(kinds); i++) {
		struct maildrop *m;

		break_disk(kinds[i], true);
		assert_int_equal(deliver(BOB), -EIO);
		mend_disk();
		m = spool_open(f.disk, BOB);
		assert_int_equal(m->count, 0);
		maildrop_close(f.disk, m);
	}
	assert_int_equal(deliver(BOB), 0);
	fault_power_loss(&f.fault, 5);
	maildrop_close(
		&f.spool.disk, spool_open(&f.spool.disk, BOB)); /* brings the index up to date */
	assert_int_equal(maildrop_verify(&f.spool.disk, BOB, &spool_options, ignore, NULL), 0);
}

/* What was acknowledged before is looked at too; and a fault in one maildrop is no other's. */
static void
damage_that_comes_with_it_is_found(void **state)
{
	char path[LAYOUT_PATH_MAX];
	struct maildrop *m = spool_open(f.disk, ALICE);
	uint64_t at = m->entries[0].wire_offset + m->entries[0].wire_octets - 6;
	int fd;

	(void)state;
	maildrop_close(f.disk, m);
	break_disk(FAULT_SYNC, false);
	assert_int_equal(deliver(ALICE), -EIO);
	mend_disk();
	assert_int_equal(layout_file(ALICE, "log", path), 0);
	fd = disk_open(&f.spool.disk, path, O_RDWR, 0);
	assert_int_equal(disk_write_at(&f.spool.disk, fd, SPAN("#"), at), 0);
	disk_close(&f.spool.disk, fd);
	assert_int_equal(maildrop_open(f.disk, ALICE, &spool_options, &m), -EBADMSG);
	assert_int_equal(maildrop_open(f.disk, ALICE, &spool_options, &m), -EBADMSG);
	assert_int_equal(deliver(ALICE), -EBADMSG);
	assert_int_equal(deliver(BOB), 0);
	m = spool_open(f.disk, BOB);
	assert_int_equal(m->count, 1);
	maildrop_close(f.disk, m);
}

static void
doubts_are_of_files(void **state)
{
	struct disk_status a = { .device = 1, .inode = 2 };
	struct disk_status b = { .device = 2, .inode = 2 };

	(void)state;
	doubt_raise(&a);
	doubt_raise(&a);
	assert_true(doubt_holds(&a));
	assert_false(doubt_holds(&b));
	doubt_settle(&b);
	assert_true(doubt_holds(&a));
	doubt_settle(&a);
	assert_false(doubt_holds(&a));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(doubts_are_of_files),
		cmocka_unit_test_setup_teardown(
			a_failed_sync_of_a_delivery_once, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_disk_that_fails_for_a_while, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_trap_is_real, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_failed_sync_of_deletions, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_cut_back_log_stays_cut, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_failed_sync_of_a_compaction, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_failed_sync_of_a_first_delivery, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			damage_that_comes_with_it_is_found, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
