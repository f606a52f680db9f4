/*
 * disk.h - the seam to files.
 *
 * Every file that storage touches is reached through a `struct disk`: the host's files in
 * production, a disk that lies in tests.  Paths are relative to the disk's root directory and never
 * leave it.
 *
 * A disk comes in two tempers.  The one a shard uses does not wait: an open or a read that the page
 * and dentry caches cannot answer returns -EAGAIN at once, and the shard hands the whole job to an
 * offload worker, whose disk waits (openat2 RESOLVE_CACHED, preadv2 RWF_NOWAIT).  The code between
 * is the same.  Calls marked "waits" must not be made on a disk that does not wait.
 *
 * All functions return 0 (or what is said) or a negative errno.
 */
#ifndef IO_DISK_H
#define IO_DISK_H

#include "io/base/span.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct disk;

struct disk_status {
	uint64_t device;
	uint64_t inode;
	uint64_t octets;           /* file size */
	uint64_t allocated_octets; /* on disk; less than `octets` where holes were punched */
	uint32_t links;            /* 0: no path names it any more */
	bool is_directory;
	int64_t modified_at; /* seconds since 1970 */
};

enum disk_lock {
	DISK_LOCK_NONE,
	DISK_LOCK_SHARED,
	DISK_LOCK_EXCLUSIVE,
};

/* What a disk is made of; tests bring their own. */
struct disk_ops {
	int (*open)(const struct disk *d, const char *path, int flags, mode_t mode);
	void (*close)(const struct disk *d, int fd);
	ssize_t (*read_at)(const struct disk *d, int fd, void *to, size_t size, uint64_t offset);
	ssize_t (*write_at)(const struct disk *d, int fd, struct span from, uint64_t offset);
	/* NULL: write_at() for one part after the other. */
	ssize_t (*gather_at)(const struct disk *d, int fd, const struct span *parts, unsigned count,
		uint64_t offset);
	int (*sync_data)(const struct disk *d, int fd);
	/* NULL: there is no cache. */
	void (*drop_cache)(const struct disk *d, int fd);
	int (*sync_directory)(const struct disk *d, const char *path);
	int (*truncate)(const struct disk *d, int fd, uint64_t octets);
	int (*punch)(const struct disk *d, int fd, uint64_t offset, uint64_t length);
	int (*status_of_file)(const struct disk *d, int fd, struct disk_status *status_out);
	int (*status_of_path)(
		const struct disk *d, const char *path, struct disk_status *status_out);
	int (*try_lock)(const struct disk *d, int fd, uint64_t byte, enum disk_lock kind);
	int (*make_directory)(const struct disk *d, const char *path, mode_t mode);
	int (*rename)(const struct disk *d, const char *from, const char *to);
	int (*link)(const struct disk *d, const char *from, const char *to);
	int (*unlink)(const struct disk *d, const char *path);
	int (*remove_directory)(const struct disk *d, const char *path);
	int (*list)(const struct disk *d, const char *path,
		int (*each)(void *ctx, const char *name), void *ctx);
};

struct disk {
	const struct disk_ops *ops;
	int root_fd;
	bool waits;
	void *ctx; /* of a substitute's own */
};

/* The host's files below `root` (absolute or relative to the working directory).  The caller closes
 * it with disk_close_root().  A copy of the struct with another `waits` is a valid disk too. */
int disk_open_root(const char *root, bool waits, struct disk *disk_out);
void disk_close_root(struct disk *d);

/* Open a file; returns the descriptor (O_CLOEXEC is added).  -EAGAIN: would have to wait. */
int disk_open(const struct disk *d, const char *path, int flags, mode_t mode);
void disk_close(const struct disk *d, int fd);

/* Read up to `size` octets at `offset` until they are all there or the file ends; returns how many.
 * -EAGAIN: not all of them are in the page cache (nothing is promised about `to` then). */
ssize_t disk_read_at(const struct disk *d, int fd, void *to, size_t size, uint64_t offset);

/* Write all of `from` at `offset` or fail (waits). */
int disk_write_at(const struct disk *d, int fd, struct span from, uint64_t offset);

/* Write all parts side by side from `offset` on, or fail (waits).  `parts` is moved on as the disk
 * takes them, and of no use afterwards. */
int disk_gather_at(
	const struct disk *d, int fd, struct span *parts, unsigned count, uint64_t offset);

/* fdatasync (waits).  After a failure the descriptor's content must not be trusted. */
int disk_sync_data(const struct disk *d, int fd);
/* Forget what is cached of a file and clean, so that the next read comes from the disk
 * (posix_fadvise(2), POSIX_FADV_DONTNEED).  Sync it first: what is dirty stays, and so does a page
 * that somebody else is using. */
void disk_drop_cache(const struct disk *d, int fd);
/* fsync of a directory: what was renamed, made or removed in it is durable (waits). */
int disk_sync_directory(const struct disk *d, const char *path);

int disk_truncate(const struct disk *d, int fd, uint64_t octets);
/* Give the whole blocks within [offset, offset + length) back to the file system; the file keeps
 * its size and reads as zeros there. */
int disk_punch(const struct disk *d, int fd, uint64_t offset, uint64_t length);

int disk_status_of_file(const struct disk *d, int fd, struct disk_status *status_out);
int disk_status_of_path(const struct disk *d, const char *path, struct disk_status *status_out);

/* Take, change or drop (DISK_LOCK_NONE) an open-file-description lock on one byte (fcntl(2),
 * F_OFD_SETLK).  -EAGAIN: somebody else holds it.  Never waits. */
int disk_try_lock(const struct disk *d, int fd, uint64_t byte, enum disk_lock kind);
/* The same, tried again until `timeout_ms` have passed (waits); -ETIMEDOUT. */
int disk_lock(
	const struct disk *d, int fd, uint64_t byte, enum disk_lock kind, unsigned timeout_ms);

int disk_make_directory(const struct disk *d, const char *path, mode_t mode);
int disk_rename(const struct disk *d, const char *from, const char *to);
int disk_link(const struct disk *d, const char *from, const char *to);
int disk_unlink(const struct disk *d, const char *path);
int disk_remove_directory(const struct disk *d, const char *path);

/* Call `each` for every name in a directory but "." and ".." until it returns other than 0, which
 * is then returned (waits). */
int disk_list(const struct disk *d, const char *path, int (*each)(void *ctx, const char *name),
	void *ctx);

#endif
