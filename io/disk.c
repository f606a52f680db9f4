/*
 * disk.c - the host's files, and the few steps that every disk shares.
 *
 * The disk_xyz() functions add what no substitute needs to repeat (short reads and writes, waiting
 * for a lock); the host_xyz() functions are one system call each.
 */
#include "io/disk.h"

#include "io/base/clock.h"
#include "io/base/must.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define LOCK_RETRY_MIN_NS 200000L
#define LOCK_RETRY_MAX_NS 10000000L

static int
result_of(long returned)
{
	return returned < 0 ? -errno : (int)returned;
}

/* Nobody asks when a file was last read, and to note it is a write: with the usual `relatime` for the
 * first read after each delivery.  Only a file's owner may ask for that (EPERM). */
static int
host_open(const struct disk *d, const char *path, int flags, mode_t mode)
{
	struct open_how how = {
		.flags = (uint64_t)(flags | O_CLOEXEC | O_NOATIME),
		.mode = flags & O_CREAT ? mode : 0,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
	};
	int fd;

	if (!d->waits)
		how.resolve |= RESOLVE_CACHED;
	fd = result_of(syscall(SYS_openat2, d->root_fd, path, &how, sizeof(how)));
	if (fd == -EPERM) {
		how.flags &= ~(uint64_t)O_NOATIME;
		fd = result_of(syscall(SYS_openat2, d->root_fd, path, &how, sizeof(how)));
	}
	return fd;
}

static void
host_close(const struct disk *d, int fd)
{
	(void)d;
	close(fd);
}

static ssize_t
host_read_at(const struct disk *d, int fd, void *to, size_t size, uint64_t offset)
{
	struct iovec iov = { .iov_base = to, .iov_len = size };
	ssize_t n;

	n = preadv2(fd, &iov, 1, (off_t)offset, d->waits ? 0 : RWF_NOWAIT);
	if (n < 0 && errno == EOPNOTSUPP && !d->waits)
		return -EAGAIN; /* a file system that cannot tell: let a worker wait */
	return n < 0 ? -errno : n;
}

static ssize_t
host_write_at(const struct disk *d, int fd, struct span from, uint64_t offset)
{
	ssize_t n = pwrite(fd, from.at, from.length, (off_t)offset);

	(void)d;
	return n < 0 ? -errno : n;
}

/* A span is what the kernel calls an iovec. */
static_assert(sizeof(struct span) == sizeof(struct iovec) &&
		offsetof(struct span, at) == offsetof(struct iovec, iov_base) &&
		offsetof(struct span, length) == offsetof(struct iovec, iov_len),
	"spans are handed to pwritev(2) as they are");

static ssize_t
host_gather_at(
	const struct disk *d, int fd, const struct span *parts, unsigned count, uint64_t offset)
{
	ssize_t n = pwritev(fd, (const struct iovec *)(const void *)parts,
		count < IOV_MAX ? (int)count : IOV_MAX, (off_t)offset);

	(void)d;
	return n < 0 ? -errno : n;
}

static int
host_sync_data(const struct disk *d, int fd)
{
	(void)d;
	return result_of(fdatasync(fd));
}

static void
host_drop_cache(const struct disk *d, int fd)
{
	(void)d;
	posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
}

static int
host_sync_directory(const struct disk *d, const char *path)
{
	int error;
	int fd = openat(d->root_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	error = result_of(fsync(fd));
	close(fd);
	return error;
}

static int
host_truncate(const struct disk *d, int fd, uint64_t octets)
{
	(void)d;
	return result_of(ftruncate(fd, (off_t)octets));
}

static int
host_punch(const struct disk *d, int fd, uint64_t offset, uint64_t length)
{
	(void)d;
	return result_of(fallocate(
		fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)length));
}

static void
status_from_stat(const struct stat *st, struct disk_status *status_out)
{
	*status_out = (struct disk_status){
		.device = st->st_dev,
		.inode = st->st_ino,
		.octets = (uint64_t)st->st_size,
		.allocated_octets = (uint64_t)st->st_blocks * 512,
		.links = (uint32_t)st->st_nlink,
		.is_directory = S_ISDIR(st->st_mode),
		.modified_at = st->st_mtime,
	};
}

static int
host_status_of_file(const struct disk *d, int fd, struct disk_status *status_out)
{
	struct stat st;

	(void)d;
	if (fstat(fd, &st) != 0)
		return -errno;
	status_from_stat(&st, status_out);
	return 0;
}

static int
host_status_of_path(const struct disk *d, const char *path, struct disk_status *status_out)
{
	struct stat st;

	if (fstatat(d->root_fd, path, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return -errno;
	status_from_stat(&st, status_out);
	return 0;
}

static int
host_try_lock(const struct disk *d, int fd, uint64_t byte, enum disk_lock kind)
{
	static const short types[] = {
		[DISK_LOCK_NONE] = F_UNLCK,
		[DISK_LOCK_SHARED] = F_RDLCK,
		[DISK_LOCK_EXCLUSIVE] = F_WRLCK,
	};
	struct flock lock = {
		.l_type = types[kind],
		.l_whence = SEEK_SET,
		.l_start = (off_t)byte,
		.l_len = 1,
	};

	(void)d;
	if (fcntl(fd, F_OFD_SETLK, &lock) == 0)
		return 0;
	return errno == EACCES ? -EAGAIN : -errno;
}

static int
host_make_directory(const struct disk *d, const char *path, mode_t mode)
{
	return result_of(mkdirat(d->root_fd, path, mode));
}

static int
host_rename(const struct disk *d, const char *from, const char *to)
{
	return result_of(renameat(d->root_fd, from, d->root_fd, to));
}

static int
host_link(const struct disk *d, const char *from, const char *to)
{
	return result_of(linkat(d->root_fd, from, d->root_fd, to, 0));
}

static int
host_unlink(const struct disk *d, const char *path)
{
	return result_of(unlinkat(d->root_fd, path, 0));
}

static int
host_remove_directory(const struct disk *d, const char *path)
{
	return result_of(unlinkat(d->root_fd, path, AT_REMOVEDIR));
}

static int
host_list(
	const struct disk *d, const char *path, int (*each)(void *ctx, const char *name), void *ctx)
{
	int result = 0;
	struct dirent *entry;
	DIR *dir;
	int fd = openat(d->root_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	dir = fdopendir(fd);
	if (dir == NULL) {
		result = -errno;
		close(fd);
		return result;
	}
	while (result == 0 && (errno = 0, entry = readdir(dir)) != NULL) {
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			result = each(ctx, entry->d_name);
	}
	if (result == 0 && errno != 0)
		result = -errno;
	closedir(dir);
	return result;
}

static const struct disk_ops host_ops = {
	.open = host_open,
	.close = host_close,
	.read_at = host_read_at,
	.write_at = host_write_at,
	.gather_at = host_gather_at,
	.sync_data = host_sync_data,
	.drop_cache = host_drop_cache,
	.sync_directory = host_sync_directory,
	.truncate = host_truncate,
	.punch = host_punch,
	.status_of_file = host_status_of_file,
	.status_of_path = host_status_of_path,
	.try_lock = host_try_lock,
	.make_directory = host_make_directory,
	.rename = host_rename,
	.link = host_link,
	.unlink = host_unlink,
	.remove_directory = host_remove_directory,
	.list = host_list,
};

int
disk_open_root(const char *root, bool waits, struct disk *disk_out)
{
	int fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	*disk_out = (struct disk){ .ops = &host_ops, .root_fd = fd, .waits = waits };
	return 0;
}

void
disk_close_root(struct disk *d)
{
	close(d->root_fd);
	d->root_fd = -1;
}

int
disk_open(const struct disk *d, const char *path, int flags, mode_t mode)
{
	return d->ops->open(d, path, flags, mode);
}

void
disk_close(const struct disk *d, int fd)
{
	d->ops->close(d, fd);
}

ssize_t
disk_read_at(const struct disk *d, int fd, void *to, size_t size, uint64_t offset)
{
	size_t done = 0;

	while (done < size) {
		ssize_t n = d->ops->read_at(d, fd, (char *)to + done, size - done, offset + done);

		if (n == -EINTR)
			continue;
		if (n < 0)
			return n;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

int
disk_write_at(const struct disk *d, int fd, struct span from, uint64_t offset)
{
	must(d->waits);
	while (from.length > 0) {
		ssize_t n = d->ops->write_at(d, fd, from, offset);

		if (n == -EINTR)
			continue;
		if (n < 0)
			return (int)n;
		if (n == 0)
			return -EIO;
		from = span_after(from, (size_t)n);
		offset += (uint64_t)n;
	}
	return 0;
}

/* Forget the first `octets` of the parts; returns how many whole parts were among them. */
static unsigned
take_parts(struct span *parts, unsigned count, size_t octets)
{
	unsigned done = 0;

	while (done < count && octets >= parts[done].length)
		octets -= parts[done++].length;
	if (done < count)
		parts[done] = span_after(parts[done], octets);
	return done;
}

static ssize_t
gather_some(const struct disk *d, int fd, const struct span *parts, unsigned count, uint64_t offset)
{
	if (d->ops->gather_at != NULL)
		return d->ops->gather_at(d, fd, parts, count, offset);
	return d->ops->write_at(d, fd, parts[0], offset);
}

int
disk_gather_at(const struct disk *d, int fd, struct span *parts, unsigned count, uint64_t offset)
{
	unsigned done = take_parts(parts, count, 0);

	must(d->waits);
	while (done < count) {
		ssize_t n = gather_some(d, fd, parts + done, count - done, offset);

		if (n == -EINTR)
			continue;
		if (n < 0)
			return (int)n;
		if (n == 0)
			return -EIO;
		done += take_parts(parts + done, count - done, (size_t)n);
		offset += (uint64_t)n;
	}
	return 0;
}

int
disk_sync_data(const struct disk *d, int fd)
{
	must(d->waits);
	return d->ops->sync_data(d, fd);
}

void
disk_drop_cache(const struct disk *d, int fd)
{
	must(d->waits);
	if (d->ops->drop_cache != NULL)
		d->ops->drop_cache(d, fd);
}

int
disk_sync_directory(const struct disk *d, const char *path)
{
	must(d->waits);
	return d->ops->sync_directory(d, path);
}

int
disk_truncate(const struct disk *d, int fd, uint64_t octets)
{
	must(d->waits);
	return d->ops->truncate(d, fd, octets);
}

int
disk_punch(const struct disk *d, int fd, uint64_t offset, uint64_t length)
{
	must(d->waits);
	return d->ops->punch(d, fd, offset, length);
}

int
disk_status_of_file(const struct disk *d, int fd, struct disk_status *status_out)
{
	return d->ops->status_of_file(d, fd, status_out);
}

int
disk_status_of_path(const struct disk *d, const char *path, struct disk_status *status_out)
{
	return d->ops->status_of_path(d, path, status_out);
}

int
disk_try_lock(const struct disk *d, int fd, uint64_t byte, enum disk_lock kind)
{
	return d->ops->try_lock(d, fd, byte, kind);
}

/* OFD locks have no time-out of their own, so ask again and again, more slowly each time. */
int
disk_lock(const struct disk *d, int fd, uint64_t byte, enum disk_lock kind, unsigned timeout_ms)
{
	long pause_ns = LOCK_RETRY_MIN_NS;
	int64_t left_ns = (int64_t)timeout_ms * 1000000;

	must(d->waits);
	for (;;) {
		int error = disk_try_lock(d, fd, byte, kind);

		if (error != -EAGAIN)
			return error;
		if (left_ns <= 0)
			return -ETIMEDOUT;
		clock_pause_ns(pause_ns);
		left_ns -= pause_ns;
		if (pause_ns < LOCK_RETRY_MAX_NS)
			pause_ns *= 2;
	}
}

int
disk_make_directory(const struct disk *d, const char *path, mode_t mode)
{
	return d->ops->make_directory(d, path, mode);
}

int
disk_rename(const struct disk *d, const char *from, const char *to)
{
	return d->ops->rename(d, from, to);
}

int
disk_link(const struct disk *d, const char *from, const char *to)
{
	return d->ops->link(d, from, to);
}

int
disk_unlink(const struct disk *d, const char *path)
{
	return d->ops->unlink(d, path);
}

int
disk_remove_directory(const struct disk *d, const char *path)
{
	return d->ops->remove_directory(d, path);
}

int
disk_list(
	const struct disk *d, const char *path, int (*each)(void *ctx, const char *name), void *ctx)
{
	must(d->waits);
	return d->ops->list(d, path, each, ctx);
}
