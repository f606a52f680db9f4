/*
 * attach.c - loop devices and mounts.  See attach.h.
 */
#include "tests/power/attach.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <sched.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOOP_MAJOR 7
#define TRIES      50 /* another process may be quicker with a free device */

extern char **environ;

int
attach_unshare(void)
{
	if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
		return -errno;
	return 0;
}

/* A container's /dev may have no node for a device that the kernel has just made. */
static int
open_device(int number, char device[32])
{
	int fd;

	snprintf(device, 32, "/dev/loop%d", number);
	fd = open(device, O_RDWR | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT) {
		mknod(device, S_IFBLK | 0600, makedev(LOOP_MAJOR, (unsigned)number));
		fd = open(device, O_RDWR | O_CLOEXEC);
	}
	return fd >= 0 ? fd : -errno;
}

static int
take_free_device(int file_fd, size_t sector, struct attachment *a)
{
	const struct loop_config config = {
		.fd = (uint32_t)file_fd,
		.block_size = (uint32_t)sector,
		.info = { .lo_flags = LO_FLAGS_AUTOCLEAR },
	};
	int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	int error = control < 0 ? -errno : -EBUSY;

	for (int i = 0; i < TRIES && error == -EBUSY; i++) {
		int number = ioctl(control, LOOP_CTL_GET_FREE);

		a->fd = number < 0 ? -errno : open_device(number, a->device);
		if (a->fd < 0) {
			error = a->fd;
			break;
		}
		error = ioctl(a->fd, LOOP_CONFIGURE, &config) == 0 ? 0 : -errno;
		if (error != 0)
			close(a->fd);
	}
	if (control >= 0)
		close(control);
	return error;
}

int
attach_open(int file_fd, size_t sector, const char *file_system, struct attachment *a_out)
{
	struct attachment a = { .fd = -1, .file_system = file_system };
	int error = take_free_device(file_fd, sector, &a);

	if (error != 0)
		return error;
	snprintf(a.mountpoint, sizeof(a.mountpoint), "/tmp/ringpost-power-XXXXXX");
	if (mkdtemp(a.mountpoint) == NULL) {
		error = -errno;
		close(a.fd);
		return error;
	}
	*a_out = a;
	return 0;
}

void
attach_close(struct attachment *a)
{
	rmdir(a->mountpoint);
	close(a->fd);
}

/* XFS: several states of one file system, all with its UUID, are mounted at the same time. */
static int
mount_it(const struct attachment *a)
{
	const char *how = strcmp(a->file_system, "xfs") == 0 ? "nouuid" : NULL;

	return mount(a->device, a->mountpoint, a->file_system, MS_NOATIME, how) == 0 ? 0 : -errno;
}

/*
 * 0 to 2 mean that the file system is whole now.  The superblock of ext4 is two sectors of 512
 * octets; torn, its checksum is wrong, and there is the copy in the second group (record.py: 4,096
 * blocks in a group), as there is for an administrator.
 */
static int
check_file_system(const struct attachment *a, bool by_copy)
{
	char *words[] = { "e2fsck", "-fy", (char *)(size_t)a->device, by_copy ? "-b" : NULL, "4096",
		"-B", "4096", NULL };
	posix_spawn_file_actions_t actions;
	int status = 0;
	pid_t pid;
	int error;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
	posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
	error = posix_spawnp(&pid, words[0], &actions, NULL, words, environ);
	posix_spawn_file_actions_destroy(&actions);
	if (error != 0)
		return -error;
	if (waitpid(pid, &status, 0) != pid)
		return -errno;
	return WIFEXITED(status) && WEXITSTATUS(status) <= 2 ? 0 : -EUCLEAN;
}

int
attach_mount(struct attachment *a, bool *checked_out)
{
	int error;

	*checked_out = false;
	if (ioctl(a->fd, BLKFLSBUF) != 0)
		return -errno;
	error = mount_it(a);
	if (error == 0 || strcmp(a->file_system, "ext4") != 0)
		return error;
	*checked_out = true;
	error = check_file_system(a, false);
	if (error == -EUCLEAN)
		error = check_file_system(a, true);
	return error != 0 ? error : mount_it(a);
}

int
attach_unmount(struct attachment *a)
{
	return umount2(a->mountpoint, 0) == 0 ? 0 : -errno;
}
