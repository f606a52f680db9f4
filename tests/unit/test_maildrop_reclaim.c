/*
 * test_maildrop_reclaim.c - the space of expunged mail: fresh logs, compaction, holes.
 */
#include "storage/claim.h"
#include "tests/unit/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#define ALICE "alice@example.org"

static struct spool spool;
static char log_path[512];
static char index_path[512];

static int
setup(void **state)
{
	(void)state;
	spool_make(&spool);
	spool_path(&spool, ALICE, "log", log_path, sizeof(log_path));
	spool_path(&spool, ALICE, "index", index_path, sizeof(index_path));
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	spool_remove(&spool);
	return 0;
}

static struct stat
status_of(const char *path)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	return st;
}

static void
expunge(uint32_t first, uint32_t last)
{
	uint32_t uids[1000];
	uint32_t removed;

	assert_true(last - first < 1000);
	for (uint32_t uid = first; uid <= last; uid++)
		uids[uid - first] = uid;
	assert_int_equal(maildrop_commit(&spool.disk, ALICE, &spool_options, uids, last - first + 1,
				 &removed),
		0);
	assert_int_equal(removed, last - first + 1);
}

static void
reclaim(void)
{
	assert_int_equal(maildrop_reclaim(&spool.disk, ALICE, &spool_options), 0);
}

static void
note_finding(void *ctx, uint64_t offset, const char *text)
{
	(void)ctx;
	print_error("%llu: %s\n", (unsigned long long)offset, text);
}

static void
assert_whole(void)
{
	assert_int_equal(
		maildrop_verify(&spool.disk, ALICE, &spool_options, note_finding, NULL), 0);
}

/* `count` messages of `octets` each, one commit each. */
static void
deliver_many(unsigned count, size_t octets)
{
	char *text = malloc(octets + 1);

	assert_non_null(text);
	memset(text, 'm', octets);
	text[octets] = '\0';
	for (unsigned i = 0; i < count; i++)
		spool_deliver(&spool.disk, ALICE, text);
	free(text);
}

static void
nothing_to_reclaim(void **state)
{
	uint64_t before = 1;
	uint64_t after = 1;

	(void)state;
	reclaim();
	assert_int_equal(maildrop_compact(&spool.disk, ALICE, &spool_options, &before, &after), 0);
	assert_int_equal(before, 0);
	assert_int_equal(after, 0);
	deliver_many(3, 100);
	before = status_of(log_path).st_ino;
	reclaim();
	assert_int_equal(status_of(log_path).st_ino, before);
}

static void
empty_maildrop_gets_a_fresh_log(void **state)
{
	struct maildrop *m;
	uint32_t uid_validity;
	ino_t inode;

	(void)state;
	deliver_many(3, 100);
	m = spool_open(&spool.disk, ALICE);
	uid_validity = m->uid_validity;
	expunge(1, 3);
	reclaim();
	assert_int_equal(status_of(log_path).st_size, 64);
	assert_int_equal(access(index_path, F_OK), -1);
	assert_false(maildrop_is_current(&spool.disk, m));
	maildrop_close(&spool.disk, m);

	m = spool_open(&spool.disk, ALICE);
	assert_int_equal(m->count, 0);
	assert_int_equal(m->log_fd, -1);
	assert_int_equal(m->uid_validity, uid_validity);
	assert_int_equal(m->next_uid, 4);
	maildrop_close(&spool.disk, m);
	inode = status_of(log_path).st_ino;
	reclaim();
	assert_int_equal(status_of(log_path).st_ino, inode);

	assert_int_equal(spool_deliver(&spool.disk, ALICE, "four"), 4);
	assert_whole();
}

static void
uids_go_on_over_everything(void **state)
{
	uint64_t before;
	uint64_t after;

	(void)state;
	deliver_many(5, 100);
	expunge(4, 5);
	assert_int_equal(maildrop_compact(&spool.disk, ALICE, &spool_options, &before, &after), 0);
	assert_int_equal(unlink(index_path), 0);
	assert_int_equal(spool_deliver(&spool.disk, ALICE, "six"), 6);
	expunge(6, 6);
	assert_int_equal(unlink(index_path), 0);
	assert_int_equal(spool_deliver(&spool.disk, ALICE, "seven"), 7);
	expunge(1, 3);
	expunge(7, 7);
	assert_int_equal(unlink(index_path), 0);
	reclaim();
	assert_int_equal(spool_deliver(&spool.disk, ALICE, "eight"), 8);
	assert_whole();
}

static void
mostly_dead_log_is_compacted(void **state)
{
	struct maildrop_writer *w;
	struct maildrop *before;
	struct maildrop *after;
	char id[MAILDROP_UNIQUE_ID_MAX + 1];
	uint64_t size;

	(void)state;
	deliver_many(50, 100000);
	assert_int_equal(maildrop_writer_open(&spool.disk, ALICE, &spool_options, 0, &w), 0);
	spool_add(w, "kept", 4, "its-id", 60);
	assert_int_equal(maildrop_writer_commit(w), 0);
	maildrop_writer_close(w);
	expunge(1, 20);
	size = (uint64_t)status_of(log_path).st_size;
	reclaim();
	assert_int_equal(status_of(log_path).st_size, size);
	before = spool_open(&spool.disk, ALICE);
	expunge(22, 40);
	reclaim();
	assert_true((uint64_t)status_of(log_path).st_size < size / 4 + size / 50);

	/* The old snapshot reads on from the old log. */
	assert_false(maildrop_is_current(&spool.disk, before));
	spool_assert_wire(&spool.disk, before, before->count, "+OK 6 octets\r\nkept\r\n.\r\n");
	maildrop_close(&spool.disk, before);

	after = spool_open(&spool.disk, ALICE);
	assert_int_equal(after->count, 12);
	assert_int_equal(after->entries[0].uid, 21);
	assert_int_equal(after->entries[11].uid, 60);
	maildrop_unique_id(after, &after->entries[11], id);
	assert_string_equal(id, "its-id");
	for (uint32_t i = 1; i < 10; i++)
		assert_int_equal(after->entries[i].wire_offset,
			after->entries[i - 1].wire_offset + after->entries[i - 1].wire_octets);
	maildrop_close(&spool.disk, after);
	assert_whole();
	assert_int_equal(unlink(index_path), 0);
	after = spool_open(&spool.disk, ALICE);
	assert_int_equal(after->count, 12);
	maildrop_close(&spool.disk, after);
}

static void
compaction_stops_at_damage(void **state)
{
	uint64_t before;
	uint64_t after;
	struct maildrop *m;
	ino_t inode;
	int fd;

	(void)state;
	deliver_many(3, 1000);
	m = spool_open(&spool.disk, ALICE);
	fd = open(log_path, O_WRONLY);
	assert_int_equal(pwrite(fd, "?", 1, (off_t)m->entries[1].wire_offset + 30), 1);
	close(fd);
	maildrop_close(&spool.disk, m);
	inode = status_of(log_path).st_ino;
	assert_int_equal(
		maildrop_compact(&spool.disk, ALICE, &spool_options, &before, &after), -EBADMSG);
	assert_int_equal(status_of(log_path).st_ino, inode);
	assert_int_equal(spool_deliver(&spool.disk, ALICE, "four"), 4);
}

static void
holes_where_nobody_reads(void **state)
{
	struct maildrop *m;
	blkcnt_t blocks;
	ino_t inode;

	(void)state;
	deliver_many(10, 200000);
	inode = status_of(log_path).st_ino;
	blocks = status_of(log_path).st_blocks;
	m = spool_open(&spool.disk, ALICE);
	expunge(3, 4);
	reclaim();
	assert_int_equal(status_of(log_path).st_blocks, blocks);
	maildrop_close(&spool.disk, m);

	/* What could not be punched then is punched now, with what came since. */
	expunge(6, 6);
	reclaim();
	assert_int_equal(status_of(log_path).st_ino, inode);
	assert_true(status_of(log_path).st_blocks <= blocks - 3 * (200000 - 8192) / 512);
	blocks = status_of(log_path).st_blocks;
	reclaim();
	assert_int_equal(status_of(log_path).st_blocks, blocks);
	assert_whole();

	/* A rebuild walks over the holes. */
	assert_int_equal(unlink(index_path), 0);
	m = spool_open(&spool.disk, ALICE);
	assert_int_equal(m->count, 7);
	maildrop_close(&spool.disk, m);
	reclaim();
	assert_whole();
}

static void
readers_wait_for_the_puncher(void **state)
{
	const struct maildrop_options soon = { .lock_timeout_ms = 20, .sync = true };
	struct disk not_waiting = spool.disk;
	struct maildrop *m;
	char path[LAYOUT_PATH_MAX];
	int fd;

	(void)state;
	not_waiting.waits = false;
	deliver_many(1, 10);
	assert_int_equal(layout_file(ALICE, "log", path), 0);
	fd = disk_open(&spool.disk, path, O_RDWR, 0);
	assert_int_equal(disk_try_lock(&spool.disk, fd, 1, DISK_LOCK_EXCLUSIVE), 0);
	assert_int_equal(maildrop_open(&not_waiting, ALICE, &soon, &m), -EAGAIN);
	assert_int_equal(maildrop_open(&spool.disk, ALICE, &soon, &m), -ETIMEDOUT);
	disk_close(&spool.disk, fd);
	assert_int_equal(maildrop_open(&not_waiting, ALICE, &soon, &m), 0);
	maildrop_close(&not_waiting, m);
}

/* Many messages, alternately deleted: every step is one sweep. */
static void
many_messages(void **state)
{
	enum {
		COUNT = 100000
	};
	struct maildrop_writer *w;
	struct maildrop *m;
	uint32_t *uids = malloc(COUNT * sizeof(*uids));
	uint32_t removed;

	(void)state;
	assert_non_null(uids);
	assert_int_equal(maildrop_writer_open(&spool.disk, ALICE, &spool_options, 0, &w), 0);
	for (uint32_t i = 0; i < COUNT; i++)
		spool_add(w, "S: x\r\n\r\nbody\r\n", 14, NULL, 0);
	assert_int_equal(maildrop_writer_commit(w), 0);
	maildrop_writer_close(w);
	for (uint32_t i = 0; i < COUNT / 2; i++)
		uids[i] = 2 * i + 1;
	assert_int_equal(
		maildrop_commit(&spool.disk, ALICE, &spool_options, uids, COUNT / 2, &removed), 0);
	assert_int_equal(removed, COUNT / 2);
	m = spool_open(&spool.disk, ALICE);
	assert_int_equal(m->count, COUNT / 2);
	assert_int_equal(m->octets, 14 * (COUNT / 2));
	assert_int_equal(m->entries[COUNT / 2 - 1].uid, COUNT);
	maildrop_close(&spool.disk, m);
	assert_int_equal(unlink(index_path), 0);
	m = spool_open(&spool.disk, ALICE);
	assert_int_equal(m->count, COUNT / 2);
	maildrop_close(&spool.disk, m);
	assert_whole();
	free(uids);
}

/* A crash at the first delivery leaves the log with a second name.  A snapshot of it must not stay
 * current for ever after the log was replaced, as its file then still has a name. */
static void
second_name_of_a_log_is_seen_through(void **state)
{
	struct maildrop *m;
	char second[512];
	uint64_t before;
	uint64_t after;

	(void)state;
	deliver_many(3, 100);
	spool_path(&spool, ALICE, "log.0123abcd", second, sizeof(second));
	assert_int_equal(link(log_path, second), 0);
	m = spool_open(&spool.disk, ALICE);
	assert_true(maildrop_is_current(&spool.disk, m));
	assert_int_equal(maildrop_compact(&spool.disk, ALICE, &spool_options, &before, &after), 0);
	assert_false(maildrop_is_current(&spool.disk, m));
	assert_int_equal(access(second, F_OK), -1);
	maildrop_close(&spool.disk, m);
	assert_whole();
}

/* A claim is on the log's file: were that replaced, a second session could claim the new one. */
static void
a_claimed_log_is_not_replaced(void **state)
{
	uint64_t before;
	uint64_t after;
	int first;
	int second;

	(void)state;
	deliver_many(3, 100);
	assert_int_equal(claim_take(&spool.disk, ALICE, &first), 0);
	assert_int_equal(
		maildrop_compact(&spool.disk, ALICE, &spool_options, &before, &after), -EBUSY);
	reclaim();
	assert_int_equal(claim_take(&spool.disk, ALICE, &second), -EBUSY);
	claim_drop(&spool.disk, first);
	assert_int_equal(maildrop_compact(&spool.disk, ALICE, &spool_options, &before, &after), 0);
	assert_int_equal(claim_take(&spool.disk, ALICE, &second), 0);
	claim_drop(&spool.disk, second);
	assert_whole();
}

/* Another replaces the log between our open and our lock. */
static const struct disk_ops *real_ops;

static int
lock_after_compaction(const struct disk *d, int fd, uint64_t byte, enum disk_lock kind)
{
	struct disk real = *d;
	uint64_t before;
	uint64_t after;

	real.ops = real_ops;
	((struct disk *)d)->ops = real_ops;
	assert_int_equal(maildrop_compact(&real, ALICE, &spool_options, &before, &after), 0);
	return disk_try_lock(&real, fd, byte, kind);
}

static void
a_claim_is_on_the_log_of_now(void **state)
{
	struct disk disk = spool.disk;
	struct disk_ops ops = *disk.ops;
	int first;
	int second;

	(void)state;
	deliver_many(3, 100);
	real_ops = disk.ops;
	ops.try_lock = lock_after_compaction;
	disk.ops = &ops;
	assert_int_equal(claim_take(&disk, ALICE, &first), 0);
	assert_ptr_equal(disk.ops, real_ops);
	assert_int_equal(claim_take(&spool.disk, ALICE, &second), -EBUSY);
	claim_drop(&spool.disk, first);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(nothing_to_reclaim),
		TEST(empty_maildrop_gets_a_fresh_log),
		TEST(uids_go_on_over_everything),
		TEST(mostly_dead_log_is_compacted),
		TEST(compaction_stops_at_damage),
		TEST(holes_where_nobody_reads),
		TEST(readers_wait_for_the_puncher),
		TEST(many_messages),
		TEST(second_name_of_a_log_is_seen_through),
		TEST(a_claimed_log_is_not_replaced),
		TEST(a_claim_is_on_the_log_of_now),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
