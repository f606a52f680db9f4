/*
 * fault_disk.h - a disk that lies: it fails when told to, and at a power loss it forgets what was
 * not synced, as far as a seed says.
 *
 * It works on the host's files and remembers how to undo.  Of every file it keeps what was last
 * synced; a power loss leaves of each block either that or what was written since, and of the size
 * likewise. Of names (create, rename, link, unlink, mkdir) it undoes the latest ones that no sync
 * of their directory has made durable: stricter than ext4, as strict as POSIX lets a file system
 * be.
 */
#ifndef TESTS_UNIT_FAULT_DISK_H
#define TESTS_UNIT_FAULT_DISK_H

#include "tests/unit/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#define FAULT_FILES_MAX 64
#define FAULT_NAMES_MAX 256
#define FAULT_BLOCK     512u

struct fault_file {
	uint64_t inode;
	int fd; /* our own */
	char *durable;
	size_t durable_octets;
	bool is_dirty;
	bool *lost; /* blocks that a failed sync has made clean, and that are not on disk */
	size_t lost_blocks;
};

enum fault_name_kind {
	NAME_CREATED,
	NAME_RENAMED,
	NAME_REMOVED,
	NAME_MADE_DIRECTORY
};

struct fault_name {
	enum fault_name_kind kind;
	char from[LAYOUT_PATH_MAX];
	char to[LAYOUT_PATH_MAX];
	bool has_backup; /* of what `to` named before */
	unsigned number;
};

/* Calls to a disk, by what they do. */
enum fault_kind {
	FAULT_OPEN = 1 << 0,
	FAULT_READ = 1 << 1,
	FAULT_WRITE = 1 << 2,
	FAULT_SYNC = 1 << 3,
	FAULT_SYNC_DIRECTORY = 1 << 4,
	FAULT_TRUNCATE = 1 << 5,
	FAULT_PUNCH = 1 << 6,
	FAULT_STATUS = 1 << 7,
	FAULT_LOCK = 1 << 8,
	FAULT_MAKE_DIRECTORY = 1 << 9,
	FAULT_RENAME = 1 << 10,
	FAULT_LINK = 1 << 11,
	FAULT_UNLINK = 1 << 12,
	FAULT_LIST = 1 << 13,
};

struct fault_disk {
	struct disk disk; /* hand this out */
	struct disk host;
	unsigned calls;   /* of the kinds that are meant */
	unsigned fail_at; /* this call fails, counted from 1; 0: none */
	unsigned kinds;   /* enum fault_kind bits; all, if not set otherwise after fault_init() */
	int error;
	bool is_sticky; /* and so do all of these kinds that follow */
	bool dies;      /* and so do all that follow */
	bool was_hit;
	struct fault_file files[FAULT_FILES_MAX];
	unsigned file_count;
	struct fault_name names[FAULT_NAMES_MAX];
	unsigned name_count;
	unsigned backups;
};

static inline struct fault_disk *
fault_of(const struct disk *d)
{
	return d->ctx;
}

/* Every call that may fail asks here first. */
static inline int
fault_next(const struct disk *d, enum fault_kind kind)
{
	struct fault_disk *f = fault_of(d);
	bool is_meant = (f->kinds & kind) != 0;

	if (f->was_hit && (f->dies || (f->is_sticky && is_meant)))
		return f->error;
	if (!is_meant)
		return 0;
	f->calls++;
	if (f->calls != f->fail_at)
		return 0;
	f->was_hit = true;
	return f->error;
}

static inline void
fault_read_all(int fd, char **octets_out, size_t *length_out)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	free(*octets_out);
	*length_out = (size_t)st.st_size;
	*octets_out = malloc(*length_out + 1);
	assert_non_null(*octets_out);
	assert_int_equal(pread(fd, *octets_out, *length_out, 0), *length_out);
}

/* The file behind a descriptor; with `durable` what it holds now counts as synced. */
static inline struct fault_file *
fault_file(struct fault_disk *f, int fd, bool durable)
{
	char path[64];
	struct stat st;
	struct fault_file *file;

	assert_int_equal(fstat(fd, &st), 0);
	for (unsigned i = 0; i < f->file_count; i++) {
		if (f->files[i].inode == st.st_ino)
			return &f->files[i];
	}
	assert_true(f->file_count < FAULT_FILES_MAX);
	file = &f->files[f->file_count++];
	*file = (struct fault_file){ .inode = st.st_ino };
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	file->fd = open(path, O_RDWR);
	assert_true(file->fd >= 0);
	if (durable)
		fault_read_all(file->fd, &file->durable, &file->durable_octets);
	else
		file->is_dirty = true;
	return file;
}

static inline void
fault_remember_name(
	struct fault_disk *f, enum fault_name_kind kind, const char *from, const char *to)
{
	struct fault_name *n = &f->names[f->name_count++];
	char backup[LAYOUT_PATH_MAX];

	assert_true(f->name_count < FAULT_NAMES_MAX);
	*n = (struct fault_name){ .kind = kind, .number = f->backups++ };
	snprintf(n->from, sizeof(n->from), "%s", from);
	snprintf(n->to, sizeof(n->to), "%s", to);
	snprintf(backup, sizeof(backup), "backup-%u", n->number);
	if (kind == NAME_RENAMED || kind == NAME_REMOVED)
		n->has_backup = disk_link(&f->host, to, backup) == 0;
}

static inline int
fault_open(const struct disk *d, const char *path, int flags, mode_t mode)
{
	struct fault_disk *f = fault_of(d);
	struct disk_status status;
	int error = fault_next(d, FAULT_OPEN);
	bool is_new;
	int fd;

	if (error != 0)
		return error;
	is_new = disk_status_of_path(&f->host, path, &status) == -ENOENT;
	if (!is_new && (flags & O_TRUNC) != 0) {
		fd = disk_open(&f->host, path, O_RDWR, 0);
		fault_file(f, fd, true)->is_dirty = true;
		disk_close(&f->host, fd);
	}
	fd = disk_open(&f->host, path, flags, mode);
	if (fd < 0)
		return fd;
	fault_file(f, fd, !is_new);
	if (is_new)
		fault_remember_name(f, NAME_CREATED, "", path);
	return fd;
}

static inline void
fault_close(const struct disk *d, int fd)
{
	disk_close(&fault_of(d)->host, fd);
}

static inline ssize_t
fault_read_at(const struct disk *d, int fd, void *to, size_t size, uint64_t offset)
{
	int error = fault_next(d, FAULT_READ);

	return error != 0 ? error : disk_read_at(&fault_of(d)->host, fd, to, size, offset);
}

/* What was written again, or cut off, is not what a failed sync has lost. */
static inline void
fault_not_lost(struct fault_file *file, uint64_t from, uint64_t to)
{
	for (size_t i = from / FAULT_BLOCK; i < file->lost_blocks && i * FAULT_BLOCK < to; i++)
		file->lost[i] = false;
}

static inline bool
fault_is_lost(const struct fault_file *file, size_t at)
{
	return at / FAULT_BLOCK < file->lost_blocks && file->lost[at / FAULT_BLOCK];
}

/* A write that fails may have written a part. */
static inline ssize_t
fault_write_at(const struct disk *d, int fd, struct span from, uint64_t offset)
{
	struct fault_disk *f = fault_of(d);
	bool was_hit = f->was_hit;
	int error = fault_next(d, FAULT_WRITE);

	if (error != 0 && (was_hit || from.length < 2))
		return error;
	fault_file(f, fd, true)->is_dirty = true;
	if (error != 0)
		from.length /= 2;
	fault_not_lost(fault_file(f, fd, true), offset, offset + from.length);
	assert_int_equal(disk_write_at(&f->host, fd, from, offset), 0);
	return error != 0 ? error : (ssize_t)from.length;
}

/* One that fails may have written all parts but the last. */
static inline ssize_t
fault_gather_at(
	const struct disk *d, int fd, const struct span *parts, unsigned count, uint64_t offset)
{
	struct fault_disk *f = fault_of(d);
	bool was_hit = f->was_hit;
	int error = fault_next(d, FAULT_WRITE);
	ssize_t put = 0;

	if (error != 0 && was_hit)
		return error;
	fault_file(f, fd, true)->is_dirty = true;
	for (unsigned i = 0; i < count - (error != 0); i++) {
		assert_int_equal(disk_write_at(&f->host, fd, parts[i], offset + (uint64_t)put), 0);
		put += (ssize_t)parts[i].length;
	}
	return error != 0 ? error : put;
}

static inline void
fault_put(const struct fault_file *file, const char *octets, size_t length)
{
	assert_int_equal(ftruncate(file->fd, 0), 0);
	assert_int_equal(pwrite(file->fd, octets, length, 0), length);
}

/*
 * What the disk has once all that is dirty was written: of a lost block what was synced before, if
 * anything.
 */
static inline void
fault_read_disk(const struct fault_file *file, char **octets_out, size_t *length_out)
{
	char *now = NULL;

	fault_read_all(file->fd, &now, length_out);
	for (size_t at = 0; at < *length_out; at += FAULT_BLOCK) {
		size_t here = *length_out - at < FAULT_BLOCK ? *length_out - at : FAULT_BLOCK;

		if (!fault_is_lost(file, at))
			continue;
		memset(now + at, 0, here);
		if (at < file->durable_octets)
			memcpy(now + at, file->durable + at,
				file->durable_octets - at < here ? file->durable_octets - at
								 : here);
	}
	*octets_out = now;
}

/* After a failed sync the kernel calls clean what it could not write, and keeps it in the cache. */
static inline void
fault_lose_dirty(struct fault_file *file)
{
	char *now = NULL;
	size_t length;

	fault_read_all(file->fd, &now, &length);
	free(file->lost);
	file->lost_blocks = length / FAULT_BLOCK + 1;
	file->lost = calloc(file->lost_blocks, sizeof(*file->lost));
	assert_non_null(file->lost);
	for (size_t at = 0; at < length; at++) {
		if (at >= file->durable_octets || now[at] != file->durable[at])
			file->lost[at / FAULT_BLOCK] = true;
	}
	free(now);
}

static inline void
fault_drop_file(struct fault_file *file)
{
	char *octets;
	size_t length;

	if (file->lost == NULL)
		return;
	fault_read_disk(file, &octets, &length);
	fault_put(file, octets, length);
	free(octets);
	free(file->lost);
	file->lost = NULL;
	file->lost_blocks = 0;
}

static inline void
fault_drop_cache(const struct disk *d, int fd)
{
	fault_drop_file(fault_file(fault_of(d), fd, true));
}

static inline int
fault_sync_data(const struct disk *d, int fd)
{
	struct fault_disk *f = fault_of(d);
	struct fault_file *file = fault_file(f, fd, true);
	int error = fault_next(d, FAULT_SYNC);
	char *octets;
	size_t length;

	if (error != 0) {
		if (!f->dies)
			fault_lose_dirty(file);
		return error;
	}
	fault_read_disk(file, &octets, &length);
	free(file->durable);
	file->durable = octets;
	file->durable_octets = length;
	file->is_dirty = false;
	return 0;
}

static inline bool
fault_is_in(const char *path, const char *directory)
{
	const char *slash = strrchr(path, '/');
	size_t length = slash == NULL ? 0 : (size_t)(slash - path);

	if (slash == NULL)
		return strcmp(directory, ".") == 0;
	return strlen(directory) == length && strncmp(path, directory, length) == 0;
}

static inline int
fault_sync_directory(const struct disk *d, const char *path)
{
	struct fault_disk *f = fault_of(d);
	unsigned kept = 0;
	int error = fault_next(d, FAULT_SYNC_DIRECTORY);

	if (error != 0)
		return error;
	for (unsigned i = 0; i < f->name_count; i++) {
		if (!fault_is_in(f->names[i].to, path))
			f->names[kept++] = f->names[i];
	}
	f->name_count = kept;
	return 0;
}

static inline int
fault_truncate(const struct disk *d, int fd, uint64_t octets)
{
	int error = fault_next(d, FAULT_TRUNCATE);

	if (error != 0)
		return error;
	fault_file(fault_of(d), fd, true)->is_dirty = true;
	fault_not_lost(fault_file(fault_of(d), fd, true), octets, UINT64_MAX);
	return disk_truncate(&fault_of(d)->host, fd, octets);
}

static inline int
fault_punch(const struct disk *d, int fd, uint64_t offset, uint64_t length)
{
	int error = fault_next(d, FAULT_PUNCH);

	if (error != 0)
		return error;
	fault_file(fault_of(d), fd, true)->is_dirty = true;
	return disk_punch(&fault_of(d)->host, fd, offset, length);
}

static inline int
fault_status_of_file(const struct disk *d, int fd, struct disk_status *status_out)
{
	int error = fault_next(d, FAULT_STATUS);

	return error != 0 ? error : disk_status_of_file(&fault_of(d)->host, fd, status_out);
}

static inline int
fault_status_of_path(const struct disk *d, const char *path, struct disk_status *status_out)
{
	int error = fault_next(d, FAULT_STATUS);

	return error != 0 ? error : disk_status_of_path(&fault_of(d)->host, path, status_out);
}

static inline int
fault_try_lock(const struct disk *d, int fd, uint64_t byte, enum disk_lock kind)
{
	int error = fault_next(d, FAULT_LOCK);

	return error != 0 ? error : disk_try_lock(&fault_of(d)->host, fd, byte, kind);
}

static inline int
fault_make_directory(const struct disk *d, const char *path, mode_t mode)
{
	int error = fault_next(d, FAULT_MAKE_DIRECTORY);

	if (error == 0)
		error = disk_make_directory(&fault_of(d)->host, path, mode);
	if (error == 0)
		fault_remember_name(fault_of(d), NAME_MADE_DIRECTORY, "", path);
	return error;
}

static inline int
fault_rename(const struct disk *d, const char *from, const char *to)
{
	int error = fault_next(d, FAULT_RENAME);

	if (error != 0)
		return error;
	fault_remember_name(fault_of(d), NAME_RENAMED, from, to);
	return disk_rename(&fault_of(d)->host, from, to);
}

static inline int
fault_link(const struct disk *d, const char *from, const char *to)
{
	int error = fault_next(d, FAULT_LINK);

	if (error == 0)
		error = disk_link(&fault_of(d)->host, from, to);
	if (error == 0)
		fault_remember_name(fault_of(d), NAME_CREATED, "", to);
	return error;
}

static inline int
fault_unlink(const struct disk *d, const char *path)
{
	struct disk_status status;
	int error = fault_next(d, FAULT_UNLINK);

	if (error == 0)
		error = disk_status_of_path(&fault_of(d)->host, path, &status);
	if (error != 0)
		return error;
	fault_remember_name(fault_of(d), NAME_REMOVED, "", path);
	return disk_unlink(&fault_of(d)->host, path);
}

static inline int
fault_remove_directory(const struct disk *d, const char *path)
{
	int error = fault_next(d, FAULT_UNLINK);

	return error != 0 ? error : disk_remove_directory(&fault_of(d)->host, path);
}

static inline int
fault_list(
	const struct disk *d, const char *path, int (*each)(void *ctx, const char *name), void *ctx)
{
	int error = fault_next(d, FAULT_LIST);

	return error != 0 ? error : disk_list(&fault_of(d)->host, path, each, ctx);
}

static const struct disk_ops fault_ops = {
	.open = fault_open,
	.close = fault_close,
	.read_at = fault_read_at,
	.write_at = fault_write_at,
	.gather_at = fault_gather_at,
	.sync_data = fault_sync_data,
	.drop_cache = fault_drop_cache,
	.sync_directory = fault_sync_directory,
	.truncate = fault_truncate,
	.punch = fault_punch,
	.status_of_file = fault_status_of_file,
	.status_of_path = fault_status_of_path,
	.try_lock = fault_try_lock,
	.make_directory = fault_make_directory,
	.rename = fault_rename,
	.link = fault_link,
	.unlink = fault_unlink,
	.remove_directory = fault_remove_directory,
	.list = fault_list,
};

/* What the host's files hold now counts as durable. */
static inline void
fault_init(struct fault_disk *f, const struct disk *host, unsigned fail_at, int error, bool dies)
{
	*f = (struct fault_disk){
		.host = *host,
		.fail_at = fail_at,
		.kinds = ~0u,
		.error = error,
		.dies = dies,
	};
	f->disk = *host;
	f->disk.ops = &fault_ops;
	f->disk.ctx = f;
}

static inline void
fault_undo_name(struct fault_disk *f, const struct fault_name *n)
{
	char backup[LAYOUT_PATH_MAX];

	snprintf(backup, sizeof(backup), "backup-%u", n->number);
	if (n->kind == NAME_MADE_DIRECTORY)
		disk_remove_directory(&f->host, n->to);
	else if (n->kind == NAME_CREATED)
		disk_unlink(&f->host, n->to);
	else if (n->kind == NAME_RENAMED)
		disk_rename(&f->host, n->to, n->from);
	if (n->has_backup)
		disk_rename(&f->host, backup, n->to);
}

/* Of each block what was synced or what was written since, and so with the size. */
static inline void
fault_tear(struct fault_file *file, unsigned *seed)
{
	char *now = NULL;
	size_t length;
	size_t larger;
	char *torn;
	int taste = rand_r(seed) % 3; /* nothing of it, all of it, some of it */

	fault_drop_file(file);
	fault_read_all(file->fd, &now, &length);
	larger = length > file->durable_octets ? length : file->durable_octets;
	torn = calloc(1, larger + 1);
	assert_non_null(torn);
	for (size_t at = 0; at < larger; at += FAULT_BLOCK) {
		bool is_new = taste == 1 || (taste == 2 && rand_r(seed) % 2 == 0);
		const char *from = is_new ? now : file->durable;
		size_t end = is_new ? length : file->durable_octets;
		size_t here = larger - at < FAULT_BLOCK ? larger - at : FAULT_BLOCK;

		if (at < end)
			memcpy(torn + at, from + at, end - at < here ? end - at : here);
	}
	if (taste == 0 || (taste == 2 && rand_r(seed) % 2 == 0))
		larger = file->durable_octets;
	else
		larger = length;
	fault_put(file, torn, larger);
	free(torn);
	free(now);
}

/* The power goes.  Look at what is left through the host's disk. */
static inline void
fault_power_loss(struct fault_disk *f, unsigned seed)
{
	unsigned kept = f->name_count == 0 ? 0 : (unsigned)rand_r(&seed) % (f->name_count + 1);

	for (unsigned i = 0; i < f->file_count; i++) {
		if (f->files[i].is_dirty)
			fault_tear(&f->files[i], &seed);
	}
	while (f->name_count > kept)
		fault_undo_name(f, &f->names[--f->name_count]);
}

/* The cache is empty, as after a while: what failed syncs have lost is seen to be lost. */
static inline void
fault_evict(struct fault_disk *f)
{
	for (unsigned i = 0; i < f->file_count; i++)
		fault_drop_file(&f->files[i]);
}

static inline void
fault_free(struct fault_disk *f)
{
	for (unsigned i = 0; i < f->file_count; i++) {
		free(f->files[i].lost);
		close(f->files[i].fd);
		free(f->files[i].durable);
	}
	for (unsigned i = 0; i < f->backups; i++) {
		char backup[LAYOUT_PATH_MAX];

		snprintf(backup, sizeof(backup), "backup-%u", i);
		disk_unlink(&f->host, backup);
	}
}

#endif
