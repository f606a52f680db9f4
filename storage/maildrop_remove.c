/*
 * maildrop_remove.c - forget a maildrop.
 *
 * The log goes last: until then, whatever happens, the next one to open the maildrop finds all of
 * it or nothing.  Who waits for the lock finds that the path names nothing any more.
 */
#include "storage/maildrop_internal.h"

#include <errno.h>

struct removal {
	const struct disk *disk;
	const struct maildrop_paths *paths;
};

static int
remove_name(void *ctx, const char *name)
{
	const struct removal *r = ctx;
	char path[LAYOUT_PATH_MAX];
	int error;

	if (strcmp(name, "log") == 0)
		return 0;
	if (strlen(r->paths->directory) + 1 + strlen(name) + 1 > sizeof(path))
		return -ENAMETOOLONG; /* nothing of ours */
	layout_join(r->paths->directory, name, path);
	error = disk_unlink(r->disk, path);
	return error == -ENOENT ? 0 : error;
}

static int
remove_directory(const struct disk *d, const struct maildrop_paths *paths, bool sync)
{
	char parent[LAYOUT_PATH_MAX];
	int error = disk_unlink(d, paths->log);

	if (error == 0 || error == -ENOENT)
		error = disk_remove_directory(d, paths->directory);
	if (error == -ENOTEMPTY)
		return 0; /* a delivery has begun a new one already */
	if (error != 0 || !sync)
		return error;
	memcpy(parent, paths->directory, sizeof(parent));
	*strrchr(parent, '/') = '\0';
	return disk_sync_directory(d, parent);
}

int
maildrop_remove(const struct disk *d, const char *address, const struct maildrop_options *options)
{
	struct maildrop_paths paths;
	struct removal r = { .disk = d, .paths = &paths };
	struct maildrop_files files = { .log_fd = -1, .index_fd = -1, .disk = d };
	int error = maildrop_paths(address, &paths);

	if (error == 0)
		error = maildrop_lock_log(d, &paths, options, &files);
	/* An index whose log is lost is to be forgotten too, and so is an empty directory. */
	if (error == 0 || error == -ENOENT || error == -EBADMSG)
		error = disk_list(d, paths.directory, remove_name, &r);
	if (error == 0)
		error = remove_directory(d, &paths, options->sync);
	maildrop_unlock(&files);
	return error == -ENOENT ? 0 : error;
}
