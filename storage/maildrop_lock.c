/*
 * maildrop_lock.c - the right to change a maildrop.
 *
 * The lock is on the file, but compaction puts another file in its place; so who has got the lock
 * asks whether the path still names what it has locked, and starts again if not.
 */
#include "io/base/clock.h"
#include "storage/maildrop_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/random.h>

int
maildrop_paths(const char *address, struct maildrop_paths *paths_out)
{
	int error = layout_directory(address, paths_out->directory);

	if (error != 0)
		return error;
	layout_join(paths_out->directory, "log", paths_out->log);
	layout_join(paths_out->directory, "index", paths_out->index);
	return 0;
}

int
maildrop_read_header(const struct disk *d, int fd, struct log_header *header_out)
{
	char octets[LOG_HEADER_OCTETS];
	ssize_t n = disk_read_at(d, fd, octets, sizeof(octets), 0);

	if (n < 0)
		return (int)n;
	if (n != sizeof(octets))
		return -EBADMSG;
	return log_header_decode(octets, header_out);
}

int
maildrop_new_header(uint32_t uid_validity, uint32_t next_uid, struct log_header *header_out)
{
	struct log_header header = {
		.uid_validity = uid_validity,
		.next_uid = next_uid,
		.created_at = clock_calendar_us() / 1000000,
	};

	if (header.uid_validity == 0)
		header.uid_validity = (uint32_t)header.created_at;
	if (getrandom(header.generation, sizeof(header.generation), 0) != sizeof(header.generation))
		return -EIO;
	*header_out = header;
	return 0;
}

int
maildrop_check_absent(const struct disk *d, const struct maildrop_paths *paths)
{
	int fd = disk_open(d, paths->index, O_RDONLY, 0);

	if (fd == -ENOENT)
		return 0;
	if (fd < 0)
		return fd;
	disk_close(d, fd);
	fd = disk_open(d, paths->log, O_RDONLY, 0);
	if (fd < 0)
		return fd == -ENOENT ? -EBADMSG : fd;
	disk_close(d, fd);
	return MAILDROP_APPEARED;
}

/* 1: the path names another file by now, or none. */
static int
was_replaced(const struct disk *d, const char *path, int fd)
{
	struct disk_status named;
	struct disk_status opened;
	int error = disk_status_of_file(d, fd, &opened);

	if (error == 0)
		error = disk_status_of_path(d, path, &named);
	if (error == -ENOENT)
		return 1;
	if (error != 0)
		return error;
	return named.inode != opened.inode || named.device != opened.device;
}

/* One try, for as long as `timeout_ms`.  0: *fd_out holds the lock; 1:
 * what it locked was replaced. */
static int
lock_named(const struct disk *d, const char *path, unsigned timeout_ms, int *fd_out)
{
	int fd = disk_open(d, path, O_RDWR, 0);
	int result;

	if (fd < 0)
		return fd;
	result = disk_lock(d, fd, MAILDROP_LOCK_WRITE, DISK_LOCK_EXCLUSIVE, timeout_ms);
	if (result == 0)
		result = was_replaced(d, path, fd);
	if (result == 0)
		*fd_out = fd;
	else
		disk_close(d, fd);
	return result;
}

int
maildrop_lock_log(const struct disk *d, const struct maildrop_paths *paths,
	const struct maildrop_options *options, struct maildrop_files *files_out)
{
	uint64_t end_ms = clock_monotonic_ms() + options->lock_timeout_ms;
	uint64_t now_ms = end_ms - options->lock_timeout_ms;

	do {
		int fd = -1;
		int result = lock_named(d, paths->log, (unsigned)(end_ms - now_ms), &fd);

		if (result == -ENOENT) {
			result = maildrop_check_absent(d, paths);
			if (result == 0)
				return -ENOENT;
		}
		if (result < 0)
			return result;
		if (result == 0) {
			*files_out = (struct maildrop_files){
				.disk = d,
				.paths = *paths,
				.options = *options,
				.log_fd = fd,
				.index_fd = -1,
			};
			return 0;
		}
		now_ms = clock_monotonic_ms();
	} while (now_ms < end_ms);
	return -ETIMEDOUT;
}

/* Open the index and look at its end; whatever is wrong with it is for recovery to find. */
static int
open_index(struct maildrop_files *f)
{
	int fd = disk_open(f->disk, f->paths.index, O_RDWR, 0);
	int error;

	f->end = (struct index_end){
		.condition = INDEX_NONE,
		.covers = LOG_HEADER_OCTETS,
		.next_uid = f->header.next_uid,
	};
	if (fd == -ENOENT)
		return 0;
	if (fd < 0)
		return fd;
	error = index_load_end(f->disk, fd, &f->header, &f->end);
	if (error == 0 && f->end.condition == INDEX_WHOLE)
		f->index_fd = fd;
	else
		disk_close(f->disk, fd);
	return error;
}

/* An index that is not there, for a log in which nothing is, needs no recovery. */
int
maildrop_recover_if_behind(struct maildrop_files *f)
{
	int error = maildrop_read_header(f->disk, f->log_fd, &f->header);

	if (error == 0)
		error = open_index(f);
	if (error == 0)
		error = disk_status_of_file(f->disk, f->log_fd, &f->log);
	if (error != 0 || (f->log.octets == f->end.covers && !doubt_holds(&f->log)))
		return error;
	return maildrop_recover(f);
}

int
maildrop_lock(const struct disk *d, const struct maildrop_paths *paths,
	const struct maildrop_options *options, struct maildrop_files *files_out)
{
	struct maildrop_files f;
	int error = maildrop_lock_log(d, paths, options, &f);

	if (error != 0)
		return error;
	error = maildrop_recover_if_behind(&f);
	if (error != 0)
		maildrop_unlock(&f);
	else
		*files_out = f;
	return error;
}

void
maildrop_unlock(struct maildrop_files *f)
{
	if (f->index_fd >= 0)
		disk_close(f->disk, f->index_fd);
	if (f->log_fd >= 0)
		disk_close(f->disk, f->log_fd);
	f->index_fd = -1;
	f->log_fd = -1;
}

int
maildrop_load(struct maildrop_files *f, struct messages *messages)
{
	struct index_end end;
	int error = index_load(f->disk, f->paths.index, &f->header, messages, &end);

	if (error != 0)
		return error;
	if (end.covers == f->end.covers)
		return 0;

	/* It was whole at its end, and is broken before it. */
	messages_free(messages);
	error = maildrop_recover(f);
	if (error == 0)
		error = index_load(f->disk, f->paths.index, &f->header, messages, &end);
	if (error == 0 && end.covers != f->end.covers)
		error = -EBADMSG;
	return error;
}

static int
sync_directories(const struct maildrop_files *f)
{
	char path[LAYOUT_PATH_MAX];
	char *slash;

	memcpy(path, f->paths.directory, sizeof(path));
	for (;;) {
		int error = disk_sync_directory(f->disk, path);

		if (error != 0)
			return error;
		slash = strrchr(path, '/');
		if (slash == NULL)
			return 0;
		*slash = '\0';
	}
}

int
maildrop_make_durable(const struct maildrop_files *f)
{
	int error;

	if (!f->options.sync)
		return 0;
	error = disk_sync_data(f->disk, f->log_fd);
	if (error == 0 && f->end.covers == LOG_HEADER_OCTETS)
		error = sync_directories(f);
	if (error != 0)
		doubt_raise(&f->log);
	return error;
}

void
maildrop_cut_back(const struct maildrop_files *f, uint64_t end)
{
	static const char longer[RECORD_ALIGNMENT];

	if (disk_truncate(f->disk, f->log_fd, end) != 0 || !f->options.sync)
		return;
	if (disk_sync_data(f->disk, f->log_fd) != 0)
		(void)disk_write_at(f->disk, f->log_fd, span_of(longer, sizeof(longer)), end);
}

void
maildrop_index_commit(struct maildrop_files *f, const struct messages *added, uint32_t next_uid,
	uint64_t covers, struct index_totals totals)
{
	bool was_empty = f->end.covers == LOG_HEADER_OCTETS;
	int error = -EBADMSG;

	if (f->end.condition == INDEX_WHOLE && f->index_fd >= 0)
		error = index_append(
			f->disk, f->index_fd, added, 0, next_uid, covers, totals, &f->end);
	else if (was_empty && f->index_fd < 0)
		error = f->index_fd = index_replace(
			f->disk, f->paths.directory, &f->header, added, next_uid, covers, &f->end);
	if (error >= 0)
		return;
	if (f->index_fd >= 0)
		disk_close(f->disk, f->index_fd);
	f->index_fd = -1;
	f->end.condition = INDEX_BROKEN;
	f->end.covers = covers;
	f->end.next_uid = next_uid;
	f->end.totals = totals;
}
