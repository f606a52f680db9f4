/*
 * logdisk.c - a file system of two files whose one purpose is to remember.
 *
 *   logdisk [--slow-us N] BASE LOG MOUNTPOINT
 *
 *   disk    the octets of BASE and what was written over them since, in memory only: BASE stays as
 *           it is.  A loop device on it is a disk with a volatile cache; the loop driver hands a
 *           flush of the block layer down as fsync(2) (and an FUA write as a write and a flush).
 *   marks   what is written here becomes a mark in the same log, one for each write(2).
 *
 * LOG gets every write, flush and mark in the order in which they came (powerlog.h).  One thread
 * answers all requests, and a request is in the log before it is answered: what the server, and
 * through it the load, has seen done is in the log before anything that follows from it.
 *
 * With --slow-us it is a disk to measure on (bench/slowdisk.py): each flush takes that long, during
 * which it does nothing else, and what is written goes to BASE.  LOG may be /dev/null.
 *
 * Both files are opened with direct_io, so no page cache stands between the loop device and the
 * log.  Discards are not taken (the block layer then writes its zeros).  It runs in the foreground
 * until it is unmounted, and never outlives who started it.
 */
#define FUSE_USE_VERSION 31
#include "tests/power/powerlog.h"

#include <errno.h>
#include <fcntl.h>
#include <fuse3/fuse.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* A drive's flush takes its time, now and then much of it.  Meanwhile others write,
 * so that more is in the air at the next. */
#define FLUSH_NS      1000000
#define LONG_FLUSH_NS 12000000

static uint8_t *disk;
static size_t disk_octets;
static int log_fd;
static unsigned slow_us;

static bool
is_disk(const char *path)
{
	return strcmp(path, "/disk") == 0;
}

static bool
is_marks(const char *path)
{
	return strcmp(path, "/marks") == 0;
}

static int
log_getattr(const char *path, struct stat *st, struct fuse_file_info *file)
{
	(void)file;
	memset(st, 0, sizeof(*st));
	st->st_mode = S_IFREG | 0600;
	st->st_nlink = 1;
	if (strcmp(path, "/") == 0)
		st->st_mode = S_IFDIR | 0700;
	else if (is_disk(path))
		st->st_size = (off_t)disk_octets;
	else if (!is_marks(path))
		return -ENOENT;
	return 0;
}

static int
log_readdir(const char *path, void *to, fuse_fill_dir_t fill, off_t offset,
	struct fuse_file_info *file, enum fuse_readdir_flags flags)
{
	(void)path;
	(void)offset;
	(void)file;
	(void)flags;
	fill(to, "disk", NULL, 0, 0);
	fill(to, "marks", NULL, 0, 0);
	return 0;
}

static int
log_open(const char *path, struct fuse_file_info *file)
{
	if (!is_disk(path) && !is_marks(path))
		return -ENOENT;
	file->direct_io = 1;
	return 0;
}

static int
log_truncate(const char *path, off_t octets, struct fuse_file_info *file)
{
	(void)octets;
	(void)file;
	return is_marks(path) ? 0 : -EPERM; /* a shell's `echo mark > marks` truncates */
}

static int
log_read(const char *path, char *to, size_t size, off_t offset, struct fuse_file_info *file)
{
	(void)file;
	if (!is_disk(path) || (size_t)offset >= disk_octets)
		return 0;
	if (size > disk_octets - (size_t)offset)
		size = disk_octets - (size_t)offset;
	memcpy(to, disk + offset, size);
	return (int)size;
}

static int
log_write(
	const char *path, const char *from, size_t size, off_t offset, struct fuse_file_info *file)
{
	int error;

	(void)file;
	if (is_marks(path)) {
		error = power_append(log_fd, POWER_MARK, 0, span_of(from, size));
		return error != 0 ? error : (int)size;
	}
	if ((size_t)offset > disk_octets || size > disk_octets - (size_t)offset)
		return -ENOSPC;
	error = power_append(log_fd, POWER_WRITE, (uint64_t)offset, span_of(from, size));
	if (error != 0)
		return error;
	memcpy(disk + offset, from, size);
	return (int)size;
}

static int
log_fsync(const char *path, int data_only, struct fuse_file_info *file)
{
	static unsigned flushes;
	struct timespec flush_time = {
		.tv_nsec = ++flushes % 8 == 0 ? LONG_FLUSH_NS : FLUSH_NS,
	};

	if (slow_us > 0)
		flush_time.tv_nsec = (long)slow_us * 1000;

	(void)data_only;
	(void)file;
	if (is_disk(path))
		nanosleep(&flush_time, NULL);
	return is_disk(path) ? power_append(log_fd, POWER_FLUSH, 0, span_of(NULL, 0)) : 0;
}

static const struct fuse_operations operations = {
	.getattr = log_getattr,
	.readdir = log_readdir,
	.open = log_open,
	.truncate = log_truncate,
	.read = log_read,
	.write = log_write,
	.fsync = log_fsync,
};

static int
load_base(const char *path)
{
	struct stat st;
	int fd = open(path, (slow_us > 0 ? O_RDWR : O_RDONLY) | O_CLOEXEC);
	void *map;

	if (fd < 0 || fstat(fd, &st) != 0)
		return -errno;
	map = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE,
		slow_us > 0 ? MAP_SHARED : MAP_PRIVATE, fd, 0);
	close(fd);
	if (map == MAP_FAILED)
		return -errno;
	disk = map;
	disk_octets = (size_t)st.st_size;
	return 0;
}

/*
 * Leave the mount namespace in which the file system above us will be mounted.  Whoever dies last
 * in a namespace unmounts all that is in it, and does so before its open files are closed: were
 * that us, we would write back that file system to ourselves and wait for ever, unkillable.  In a
 * namespace of our own, without our own mount, our death closes the connection and everybody gets
 * EIO.
 */
static int
leave_namespace(const char *mountpoint)
{
	if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
		umount2(mountpoint, MNT_DETACH) != 0)
		return -errno;
	return 0;
}

/* Until the last mount of ours is gone.  One thread:
 * the order of the log is the order of answers. */
static int
serve(const char *program, const char *mountpoint)
{
	char *words[] = { (char *)(uintptr_t)program };
	struct fuse_args arguments = FUSE_ARGS_INIT(1, words);
	struct fuse *fuse = fuse_new(&arguments, &operations, sizeof(operations), NULL);
	int error;

	if (fuse == NULL)
		return -EINVAL;
	error = fuse_mount(fuse, mountpoint) == 0 ? leave_namespace(mountpoint) : -EPERM;
	if (error == 0)
		error = fuse_loop(fuse);
	fuse_destroy(fuse);
	return error < 0 ? error : 0;
}

int
main(int argc, char **argv)
{
	int error;

	if (argc == 6 && strcmp(argv[1], "--slow-us") == 0) {
		slow_us = (unsigned)atoi(argv[2]);
		argv[2] = argv[0];
		argc -= 2;
		argv += 2;
	}
	if (argc != 4 || slow_us >= 1000000) {
		fprintf(stderr, "usage: logdisk [--slow-us N] BASE LOG MOUNTPOINT\n");
		return 2;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	log_fd = open(argv[2], O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
	error = log_fd < 0 ? -errno : load_base(argv[1]);
	if (error == 0)
		error = serve(argv[0], argv[3]);
	if (error == 0)
		return 0;
	fprintf(stderr, "logdisk: %s\n", strerror(-error));
	return 1;
}
