/*
 * claim.c - see claim.h.
 */
#include "storage/claim.h"

#include "storage/layout.h"

#include <errno.h>
#include <fcntl.h>

#define CLAIM_BYTE 2u /* 0 is the writers', 1 the readers' (docs/FORMAT.md) */

int
claim_take(const struct disk *d, const char *address, int *fd_out)
{
	char path[LAYOUT_PATH_MAX];
	int error = layout_file(address, "log", path);
	int fd;

	if (error != 0)
		return error;
	fd = disk_open(d, path, O_RDWR, 0);
	if (fd == -ENOENT) {
		*fd_out = -1;
		return 0;
	}
	if (fd < 0)
		return fd;
	error = disk_try_lock(d, fd, CLAIM_BYTE, DISK_LOCK_EXCLUSIVE);
	if (error != 0) {
		disk_close(d, fd);
		return error == -EAGAIN ? -EBUSY : error;
	}
	*fd_out = fd;
	return 0;
}

void
claim_drop(const struct disk *d, int fd)
{
	disk_close(d, fd);
}
