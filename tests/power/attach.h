/*
 * attach.h - a cut disk as a block device, and the file system on it.
 *
 * One loop device for the life of a worker; the file below it changes between two mounts.
 */
#ifndef TESTS_POWER_ATTACH_H
#define TESTS_POWER_ATTACH_H

#include <stdbool.h>
#include <stddef.h>

struct attachment {
	int fd; /* the loop device; it lets go of its file when this is closed */
	char device[32];
	char mountpoint[64];
	const char *file_system; /* "ext4", "xfs" */
};

/* A mount namespace of our own, so that nothing stays mounted when we die.  -errno. */
int attach_unshare(void);

/* `sector`: octets of a logical block of the device. */
int attach_open(int file_fd, size_t sector, const char *file_system, struct attachment *a_out);
void attach_close(struct attachment *a);

/* The file below has changed: forget what the kernel has read of it, mount, replay the journal.
 * Where the file system refuses, its checker is run first, as at boot; *checked_out says so. */
int attach_mount(struct attachment *a, bool *checked_out);
int attach_unmount(struct attachment *a);

#endif
