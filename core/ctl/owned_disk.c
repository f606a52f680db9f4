/*
 * owned_disk.c - the two calls that make something, each followed by its chown(2).
 *
 * A rename, a link or a write changes no owner, so all other calls go to the inner disk as they
 * are.
 */
#include "core/ctl/owned_disk.h"

#include "io/base/must.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static int
owned_open(const struct disk *d, const char *path, int flags, mode_t mode)
{
	const struct owned_disk *owned = d->ctx;
	int error;
	int fd = owned->inner->open(d, path, flags, mode);

	if (fd < 0 || (flags & O_CREAT) == 0 || fchown(fd, owned->uid, owned->gid) == 0)
		return fd;
	error = -errno;
	owned->inner->close(d, fd);
	return error;
}

static int
owned_make_directory(const struct disk *d, const char *path, mode_t mode)
{
	const struct owned_disk *owned = d->ctx;
	int error = owned->inner->make_directory(d, path, mode);

	if (error == 0 &&
		fchownat(d->root_fd, path, owned->uid, owned->gid, AT_SYMLINK_NOFOLLOW) != 0)
		return -errno;
	return error;
}

void
owned_disk_wrap(struct owned_disk *owned, struct disk *d, uid_t uid, gid_t gid)
{
	must(d->ctx == NULL);
	*owned = (struct owned_disk){ .ops = *d->ops, .inner = d->ops, .uid = uid, .gid = gid };
	owned->ops.open = owned_open;
	owned->ops.make_directory = owned_make_directory;
	d->ops = &owned->ops;
	d->ctx = owned;
}
