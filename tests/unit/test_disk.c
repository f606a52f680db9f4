/*
 * test_disk.c - the seam to files: what disk.c adds to a disk, and the host's own.
 */
#include "io/disk.h"

#include "io/base/clock.h"
#include "io/base/must.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
	char root[32];
	struct disk disk;
};

static int
set_up(void **state)
{
	static struct fixture f;

	snprintf(f.root, sizeof(f.root), "/tmp/ringpost-disk-XXXXXX");
	assert_non_null(mkdtemp(f.root));
	assert_int_equal(disk_open_root(f.root, true, &f.disk), 0);
	*state = &f;
	return 0;
}

static int
forget_name(void *ctx, const char *name)
{
	struct fixture *f = ctx;

	if (disk_unlink(&f->disk, name) != 0)
		must(disk_remove_directory(&f->disk, name) == 0);
	return 0;
}

static int
tear_down(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(disk_list(&f->disk, ".", forget_name, f), 0);
	disk_close_root(&f->disk);
	return rmdir(f->root);
}

static int
make_file(struct fixture *f, const char *name, struct span content)
{
	int fd = disk_open(&f->disk, name, O_RDWR | O_CREAT | O_EXCL, 0600);

	assert_true(fd >= 0);
	assert_int_equal(disk_write_at(&f->disk, fd, content, 0), 0);
	return fd;
}

/* ---- what disk.c adds ---------------------------------------------------------------------- */

/* A disk that moves few octets at a time, is interrupted, and fails at last. */
struct shy {
	char octets[64];
	size_t length;
	size_t at_once;
	unsigned interrupts;
	size_t fails_from; /* an offset */
};

static ssize_t
shy_step(struct shy *s, size_t size, uint64_t offset)
{
	if (s->interrupts > 0) {
		s->interrupts--;
		return -EINTR;
	}
	if (offset >= s->fails_from)
		return -EIO;
	return (ssize_t)(size < s->at_once ? size : s->at_once);
}

static ssize_t
shy_read_at(const struct disk *d, int fd, void *to, size_t size, uint64_t offset)
{
	struct shy *s = d->ctx;
	size_t left = offset < s->length ? s->length - (size_t)offset : 0;
	ssize_t n = shy_step(s, size < left ? size : left, offset);

	(void)fd;
	if (n > 0)
		memcpy(to, s->octets + offset, (size_t)n);
	return n;
}

static ssize_t
shy_write_at(const struct disk *d, int fd, struct span from, uint64_t offset)
{
	struct shy *s = d->ctx;
	ssize_t n = shy_step(s, from.length, offset);

	(void)fd;
	if (n > 0)
		memcpy(s->octets + offset, from.at, (size_t)n);
	return n;
}

static const struct disk_ops shy_ops = { .read_at = shy_read_at, .write_at = shy_write_at };

static void
short_reads_and_writes_go_on(void **state)
{
	struct shy s = { .at_once = 3, .interrupts = 2, .fails_from = SIZE_MAX };
	struct disk d = { .ops = &shy_ops, .waits = true, .ctx = &s };
	char got[64];

	(void)state;
	assert_int_equal(disk_write_at(&d, 1, SPAN("twenty octets of text"), 4), 0);
	assert_memory_equal(s.octets + 4, "twenty octets of text", 21);
	s.length = 25;
	s.interrupts = 3;
	assert_int_equal(disk_read_at(&d, 1, got, 21, 4), 21);
	assert_memory_equal(got, "twenty octets of text", 21);
	assert_int_equal(disk_read_at(&d, 1, got, sizeof(got), 4), 21); /* the file's end */
	assert_int_equal(disk_read_at(&d, 1, got, sizeof(got), 25), 0);
	assert_int_equal(disk_write_at(&d, 1, span_of("", 0), 0), 0);
}

static void
errors_in_the_middle_are_errors(void **state)
{
	struct shy s = { .at_once = 3, .length = 60, .fails_from = 6 };
	struct disk d = { .ops = &shy_ops, .waits = true, .ctx = &s };
	char got[64];

	(void)state;
	assert_int_equal(disk_read_at(&d, 1, got, 20, 0), -EIO);
	assert_int_equal(disk_write_at(&d, 1, SPAN("twenty octets"), 0), -EIO);
	s.at_once = 0;
	s.fails_from = SIZE_MAX;
	assert_int_equal(
		disk_write_at(&d, 1, SPAN("x"), 0), -EIO); /* a write that writes nothing */
}

/* ---- the host's files ---------------------------------------------------------------------- */

static void
files_are_made_read_and_cut(void **state)
{
	struct fixture *f = *state;
	struct disk_status status;
	char got[32];
	int fd = make_file(f, "file", SPAN("0123456789"));

	assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	assert_int_equal(disk_read_at(&f->disk, fd, got, 32, 4), 6);
	assert_memory_equal(got, "456789", 6);
	assert_int_equal(disk_truncate(&f->disk, fd, 5), 0);
	assert_int_equal(disk_sync_data(&f->disk, fd), 0);
	assert_int_equal(disk_sync_directory(&f->disk, "."), 0);
	assert_int_equal(disk_status_of_file(&f->disk, fd, &status), 0);
	assert_int_equal(status.octets, 5);
	assert_int_equal(status.links, 1);
	assert_false(status.is_directory);
	assert_int_equal(disk_rename(&f->disk, "file", "other"), 0);
	assert_int_equal(disk_status_of_path(&f->disk, "file", &status), -ENOENT);
	assert_int_equal(disk_link(&f->disk, "other", "third"), 0);
	assert_int_equal(disk_link(&f->disk, "other", "third"), -EEXIST);
	assert_int_equal(disk_unlink(&f->disk, "other"), 0);
	assert_int_equal(disk_unlink(&f->disk, "third"), 0);
	assert_int_equal(disk_status_of_file(&f->disk, fd, &status), 0);
	assert_int_equal(status.links, 0);
	disk_close(&f->disk, fd);
	assert_int_equal(disk_open(&f->disk, "other", O_RDONLY, 0), -ENOENT);
}

static void
paths_never_leave_the_root(void **state)
{
	struct fixture *f = *state;
	char up[64];

	assert_int_equal(disk_open(&f->disk, "../etc/passwd", O_RDONLY, 0), -EXDEV);
	assert_int_equal(disk_open(&f->disk, "/etc/passwd", O_RDONLY, 0), -EXDEV);
	snprintf(up, sizeof(up), "%s/link", f->root);
	assert_int_equal(symlink("/etc/passwd", up), 0);
	assert_int_equal(disk_open(&f->disk, "link", O_RDONLY, 0), -EXDEV);
}

static void
holes_read_as_zeros_and_take_no_room(void **state)
{
	enum {
		BLOCK = 65536
	};
	struct fixture *f = *state;
	static char octets[4 * BLOCK];
	static char got[4 * BLOCK];
	struct disk_status before;
	struct disk_status after;
	int fd;
	int error;

	memset(octets, 'x', sizeof(octets));
	fd = make_file(f, "file", span_of(octets, sizeof(octets)));
	assert_int_equal(disk_sync_data(&f->disk, fd), 0);
	assert_int_equal(disk_status_of_file(&f->disk, fd, &before), 0);
	error = disk_punch(&f->disk, fd, BLOCK, 2 * BLOCK);
	if (error == -EOPNOTSUPP) { /* this file system has no holes */
		disk_close(&f->disk, fd);
		skip();
	}
	assert_int_equal(error, 0);
	memset(octets + BLOCK, 0, 2 * BLOCK);
	assert_int_equal(disk_read_at(&f->disk, fd, got, sizeof(got), 0), sizeof(got));
	assert_memory_equal(got, octets, sizeof(got));
	assert_int_equal(disk_status_of_file(&f->disk, fd, &after), 0);
	assert_int_equal(after.octets, before.octets);
	assert_true(after.allocated_octets < before.allocated_octets);
	disk_close(&f->disk, fd);
}

static void
locks_belong_to_descriptors(void **state)
{
	struct fixture *f = *state;
	const struct disk *d = &f->disk;
	int one = make_file(f, "file", SPAN("x"));
	int two = disk_open(d, "file", O_RDWR, 0);

	assert_int_equal(disk_try_lock(d, one, 0, DISK_LOCK_EXCLUSIVE), 0);
	assert_int_equal(disk_try_lock(d, one, 0, DISK_LOCK_EXCLUSIVE), 0);
	assert_int_equal(disk_try_lock(d, two, 0, DISK_LOCK_EXCLUSIVE), -EAGAIN);
	assert_int_equal(disk_try_lock(d, two, 0, DISK_LOCK_SHARED), -EAGAIN);
	assert_int_equal(disk_try_lock(d, two, 1, DISK_LOCK_EXCLUSIVE), 0); /* another octet */
	assert_int_equal(disk_try_lock(d, one, 0, DISK_LOCK_SHARED), 0);    /* change it */
	assert_int_equal(disk_try_lock(d, two, 0, DISK_LOCK_SHARED), 0);
	assert_int_equal(disk_try_lock(d, two, 0, DISK_LOCK_EXCLUSIVE), -EAGAIN);
	assert_int_equal(disk_try_lock(d, one, 0, DISK_LOCK_NONE), 0);
	assert_int_equal(disk_try_lock(d, two, 0, DISK_LOCK_EXCLUSIVE), 0);
	disk_close(d, two); /* which drops its locks, and those of `one` stay its own */
	assert_int_equal(disk_try_lock(d, one, 0, DISK_LOCK_EXCLUSIVE), 0);
	disk_close(d, one);
}

static void
waiting_for_a_lock_has_an_end(void **state)
{
	struct fixture *f = *state;
	const struct disk *d = &f->disk;
	int one = make_file(f, "file", SPAN("x"));
	int two = disk_open(d, "file", O_RDWR, 0);
	uint64_t started;

	assert_int_equal(disk_lock(d, one, 0, DISK_LOCK_EXCLUSIVE, 0), 0);
	started = clock_monotonic_ms();
	assert_int_equal(disk_lock(d, two, 0, DISK_LOCK_SHARED, 100), -ETIMEDOUT);
	assert_in_range(clock_monotonic_ms() - started, 50, 2000);
	assert_int_equal(disk_lock(d, two, 0, DISK_LOCK_SHARED, 0), -ETIMEDOUT);
	disk_close(d, one);
	assert_int_equal(disk_lock(d, two, 0, DISK_LOCK_SHARED, 100), 0);
	disk_close(d, two);
}

/* A disk that does not wait answers from memory, or -EAGAIN; never something else. */
static void
a_disk_that_does_not_wait_reads_what_is_warm(void **state)
{
	struct fixture *f = *state;
	struct disk quick = f->disk;
	static char octets[100000];
	static char got[100000];
	int fd;
	ssize_t n;

	quick.waits = false;
	memset(octets, 'q', sizeof(octets));
	fd = make_file(f, "file", span_of(octets, sizeof(octets)));
	assert_int_equal(disk_read_at(&quick, fd, got, sizeof(got), 0), sizeof(got));
	assert_memory_equal(got, octets, sizeof(got));
	assert_int_equal(disk_read_at(&quick, fd, got, sizeof(got), 50000), 50000);

	assert_int_equal(disk_sync_data(&f->disk, fd), 0);
	assert_int_equal(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
	n = disk_read_at(&quick, fd, got, sizeof(got), 0);
	assert_true(n == -EAGAIN || n == sizeof(got));
	assert_int_equal(disk_read_at(&f->disk, fd, got, sizeof(got), 0), sizeof(got));
	disk_close(&f->disk, fd);

	fd = disk_open(&quick, "file", O_RDONLY, 0);
	assert_true(fd >= 0 || fd == -EAGAIN);
	if (fd >= 0)
		disk_close(&quick, fd);
	fd = disk_open(&quick, "nothing", O_RDONLY, 0);
	assert_true(fd == -ENOENT || fd == -EAGAIN);
}

struct names {
	unsigned count;
	int stop_with;
};

static int
count_name(void *ctx, const char *name)
{
	struct names *n = ctx;

	assert_true(strcmp(name, ".") != 0 && strcmp(name, "..") != 0);
	n->count++;
	return n->stop_with;
}

static void
directories_are_listed_until_told_to_stop(void **state)
{
	struct fixture *f = *state;
	struct names n = { 0 };

	assert_int_equal(disk_list(&f->disk, ".", count_name, &n), 0);
	assert_int_equal(n.count, 0);
	assert_int_equal(disk_make_directory(&f->disk, "d", 0700), 0);
	assert_int_equal(disk_make_directory(&f->disk, "d", 0700), -EEXIST);
	for (unsigned i = 0; i < 100; i++) {
		char name[16];

		snprintf(name, sizeof(name), "f%u", i);
		disk_close(&f->disk, make_file(f, name, SPAN("")));
	}
	assert_int_equal(disk_list(&f->disk, ".", count_name, &n), 0);
	assert_int_equal(n.count, 101);
	n = (struct names){ .stop_with = -ECANCELED };
	assert_int_equal(disk_list(&f->disk, ".", count_name, &n), -ECANCELED);
	assert_int_equal(n.count, 1);
	assert_int_equal(disk_list(&f->disk, "none", count_name, &n), -ENOENT);
}

static struct timespec
read_at_of(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return st.st_atim;
}

/* With relatime a read would note its time, as the file was changed since the last one. */
static void
a_read_leaves_no_trace(void **state)
{
	struct fixture *f = *state;
	const struct timespec long_ago[2] = { { .tv_sec = 1000000000 }, { .tv_sec = 1000000001 } };
	char octet;
	int fd = make_file(f, "f", SPAN("x"));

	assert_int_equal(futimens(fd, long_ago), 0);
	assert_int_equal(disk_read_at(&f->disk, fd, &octet, 1, 0), 1);
	disk_close(&f->disk, fd);
	fd = disk_open(&f->disk, "f", O_RDONLY, 0);
	assert_int_equal(disk_read_at(&f->disk, fd, &octet, 1, 0), 1);
	assert_int_equal(read_at_of(fd).tv_sec, long_ago[0].tv_sec);
	disk_close(&f->disk, fd);
}

/* Who may read a file but does not own it may not ask for that, and reads it all the same. */
static void
files_of_others_are_opened_too(void **state)
{
	struct fixture *f = *state;
	int status;
	pid_t child;

	if (geteuid() != 0)
		skip();
	disk_close(&f->disk, make_file(f, "f", SPAN("x")));
	assert_int_equal(chmod(f->root, 0755), 0);
	assert_int_equal(fchmodat(f->disk.root_fd, "f", 0644, 0), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		must(setgid(65534) == 0 && setuid(65534) == 0);
		_exit(disk_open(&f->disk, "f", O_RDONLY, 0) >= 0 &&
					disk_open(&f->disk, "f", O_RDWR, 0) == -EACCES
				? 0
				: 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(short_reads_and_writes_go_on),
		cmocka_unit_test(errors_in_the_middle_are_errors),
		cmocka_unit_test_setup_teardown(files_are_made_read_and_cut, set_up, tear_down),
		cmocka_unit_test_setup_teardown(paths_never_leave_the_root, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			holes_read_as_zeros_and_take_no_room, set_up, tear_down),
		cmocka_unit_test_setup_teardown(locks_belong_to_descriptors, set_up, tear_down),
		cmocka_unit_test_setup_teardown(waiting_for_a_lock_has_an_end, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_disk_that_does_not_wait_reads_what_is_warm, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			directories_are_listed_until_told_to_stop, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_read_leaves_no_trace, set_up, tear_down),
		cmocka_unit_test_setup_teardown(files_of_others_are_opened_too, set_up, tear_down),
	};

	return cmocka_run_group_tests_name("disk", tests, NULL, NULL);
}
