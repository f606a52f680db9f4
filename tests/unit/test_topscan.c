/*
 * test_topscan.c - the octets of the first lines, over the borders of what is read at once.
 */
#include "tests/unit/spool.h"

#include "storage/topscan.h"

#include <errno.h>
#include <fcntl.h>

#define LINE        "0123456789abc\r\n"
#define LINE_OCTETS (sizeof(LINE) - 1)
#define LINES       20000u

static void
lines_are_found(void **state)
{
	struct spool s;
	struct disk not_waiting;
	uint64_t octets = 0;
	int fd;

	(void)state;
	spool_make(&s);
	not_waiting = s.disk;
	not_waiting.waits = false;
	fd = disk_open(&s.disk, "body", O_RDWR | O_CREAT, 0600);
	assert_true(fd >= 0);
	for (unsigned i = 0; i < LINES; i++)
		assert_int_equal(disk_write_at(&s.disk, fd, SPAN(LINE), 7 + i * LINE_OCTETS), 0);

	for (uint32_t n = 1; n < LINES; n += 997) {
		assert_int_equal(topscan(&s.disk, fd, 7, LINES * LINE_OCTETS, n, &octets), 0);
		assert_int_equal(octets, n * LINE_OCTETS);
	}
	assert_int_equal(topscan(&s.disk, fd, 7, LINES * LINE_OCTETS, LINES, &octets), 0);
	assert_int_equal(octets, LINES * LINE_OCTETS);
	assert_int_equal(topscan(&s.disk, fd, 7, LINES * LINE_OCTETS, UINT32_MAX, &octets), 0);
	assert_int_equal(octets, LINES * LINE_OCTETS);
	assert_int_equal(topscan(&s.disk, fd, 7, 20, 5, &octets), 0);
	assert_int_equal(octets, 20);
	assert_int_equal(topscan(&s.disk, fd, 7, 0, 5, &octets), 0);
	assert_int_equal(octets, 0);

	/* A shard answers from the cache, and reads so much and no more. */
	assert_int_equal(topscan(&not_waiting, fd, 7, LINES * LINE_OCTETS, 10, &octets), 0);
	assert_int_equal(octets, 10 * LINE_OCTETS);
	assert_int_equal(
		topscan(&not_waiting, fd, 7, LINES * LINE_OCTETS, LINES, &octets), -EAGAIN);
	assert_int_equal(octets, 10 * LINE_OCTETS);

	/* A log that is shorter than its index says. */
	assert_int_equal(
		topscan(&s.disk, fd, 7, LINES * LINE_OCTETS + 1, LINES + 1, &octets), -EBADMSG);
	disk_close(&s.disk, fd);
	spool_remove(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(lines_are_found) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
