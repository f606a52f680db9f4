/*
 * test_content.c - every bit of a message is looked at, what was good is remembered for a while,
 * and a shard never reads much.
 */
#include "tests/unit/spool.h"

#include "storage/content.h"

#include <errno.h>
#include <fcntl.h>

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
flip(int fd, uint64_t at, unsigned bit)
{
	char octet;

	assert_int_equal(pread(fd, &octet, 1, (off_t)at), 1);
	octet = (char)(octet ^ 1 << bit);
	assert_int_equal(pwrite(fd, &octet, 1, (off_t)at), 1);
}

static void
every_bit_counts(void **state)
{
	char path[512];
	struct maildrop *m;
	int fd;

	(void)state;
	spool_deliver(&spool.disk, ALICE, "Subject: a\n\n.dots\n");
	spool_deliver(&spool.disk, ALICE, "Subject: b\n\nbody\n");
	spool_path(&spool, ALICE, "log", path, sizeof(path));
	fd = open(path, O_RDWR);
	assert_true(fd >= 0);
	m = spool_open(&spool.disk, ALICE);
	for (uint32_t i = 0; i < 2; i++) {
		const struct maildrop_entry *e = &m->entries[i];

		for (uint64_t bit = 0; bit < e->wire_octets * 8; bit++) {
			flip(fd, e->wire_offset + bit / 8, bit % 8);
			assert_int_equal(content_check(&spool.disk, m->log_fd, e), -EBADMSG);
			/* and the other one is as good as ever */
			assert_int_equal(
				content_check(&spool.disk, m->log_fd, &m->entries[1 - i]), 0);
			flip(fd, e->wire_offset + bit / 8, bit % 8);
		}
		assert_int_equal(content_check(&spool.disk, m->log_fd, e), 0);
	}
	assert_int_equal(ftruncate(fd, (off_t)m->entries[1].wire_offset), 0);
	assert_int_equal(content_check(&spool.disk, m->log_fd, &m->entries[1]), -EBADMSG);
	close(fd);
	maildrop_close(&spool.disk, m);
}

static void
what_is_large_is_left_to_a_disk_that_waits(void **state)
{
	struct disk hasty = spool.disk;
	char *text = malloc(CONTENT_DIRECT_OCTETS + 1);
	struct maildrop *m;

	(void)state;
	hasty.waits = false;
	assert_non_null(text);
	memset(text, 'x', CONTENT_DIRECT_OCTETS);
	text[CONTENT_DIRECT_OCTETS] = '\0';
	spool_deliver(&spool.disk, ALICE, text);
	text[CONTENT_DIRECT_OCTETS / 2] = '\0';
	spool_deliver(&spool.disk, ALICE, text);
	m = spool_open(&spool.disk, ALICE);
	assert_int_equal(content_check(&hasty, m->log_fd, &m->entries[0]), -EAGAIN);
	assert_int_equal(content_check(&spool.disk, m->log_fd, &m->entries[0]), 0);
	assert_int_equal(content_check(&hasty, m->log_fd, &m->entries[1]), 0);
	maildrop_close(&spool.disk, m);
	free(text);
}

static void
what_was_good_is_known_for_a_while(void **state)
{
	const struct maildrop m = { .count = 130 };
	struct content_marks marks = { .good = NULL };

	(void)state;
	assert_false(content_is_known_good(&marks, 7, 5000));
	content_note_good(&marks, &m, 7, 5000);
	content_note_good(&marks, &m, 129, 6000);
	for (uint32_t i = 0; i < m.count; i++)
		assert_int_equal(content_is_known_good(&marks, i, 7000), i == 7 || i == 129);
	assert_true(content_is_known_good(&marks, 7, 5000 + CONTENT_GOOD_MS - 1));
	assert_false(content_is_known_good(&marks, 129, 5000 + CONTENT_GOOD_MS));
	content_note_good(&marks, &m, 64, 5000 + CONTENT_GOOD_MS);
	assert_true(content_is_known_good(&marks, 64, 6000 + CONTENT_GOOD_MS));
	assert_false(content_is_known_good(&marks, 129, 6000 + CONTENT_GOOD_MS));
	content_marks_free(&marks);
	assert_false(content_is_known_good(&marks, 64, 6000 + CONTENT_GOOD_MS));
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(every_bit_counts),
		TEST(what_is_large_is_left_to_a_disk_that_waits),
		TEST(what_was_good_is_known_for_a_while),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
