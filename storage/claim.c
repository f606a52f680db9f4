/*
 * claim.c - see claim.h.
 */
#include "storage/claim.h"

#include "storage/layout.h"

#include <errno.h>
#include <fcntl.h>

#define CLAIM_BYTE 2u /* 0 is the writers', 1 the readers' (docs/FORMAT.md) */

int
claim_hold_off(const struct disk *d, int log_fd)
{
	int error = disk_try_lock(d, log_fd, CLAIM_BYTE, DISK_LOCK_EXCLUSIVE);

	return error == -EAGAIN ? -EBUSY : error;
}

/* 1: the path names another file by now, or none. */
static int
was_replaced(const struct disk *d, const char *path, int fd)
{
	struct disk_status claimed;
	struct disk_status named;
	int error = disk_status_of_file(d, fd, &claimed);

	if (error == 0)
		error = disk_status_of_path(d, path, &named);
	if (error == -ENOENT)
		return 1;
	if (error != 0)
		return error;
	return named.inode != claimed.inode || named.device != claimed.device;
}

/* One try: 0, a negative errno, or 1: what it got is not the maildrop's any more. */
static int
take(const struct disk *d, const char *path, int *fd_out)
{
	int fd = disk_open(d, path, O_RDWR, 0);
	int result;

	if (fd == -ENOENT) {
		*fd_out = -1;
		return 0;
	}
	if (fd < 0)
		return fd;
	result = claim_hold_off(d, fd);
	if (result == 0)
		result = was_replaced(d, path, fd);
	if (result == 0)
		*fd_out = fd;
	else
		disk_close(d, fd);
	return result;
}

int
claim_take(const struct disk *d, const char *address, int *fd_out)
{
	char path[LAYOUT_PATH_MAX];
	int result = layout_file(address, "log", path);

	if (result != 0)
		return result;
	do
		result = take(d, path, fd_out);
	while (result == 1);
	return result;
}

void
claim_drop(const struct disk *d, int fd)
{
	disk_close(d, fd);
}
