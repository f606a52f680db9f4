/*
 * owned_disk.h - a disk on which everything that is made belongs to one user.
 *
 * The admin tool often runs as root, the server never does.  Over this disk the tool's files and
 * directories are the server's from the moment they are made, and sources that only root may read
 * can still be imported.
 */
#ifndef CORE_CTL_OWNED_DISK_H
#define CORE_CTL_OWNED_DISK_H

#include "io/disk.h"

struct owned_disk {
	struct disk_ops ops;
	const struct disk_ops *inner;
	uid_t uid;
	gid_t gid;
};

/* From here on *d gives what it makes to uid:gid.  `owned` outlives *d and its copies. */
void owned_disk_wrap(struct owned_disk *owned, struct disk *d, uid_t uid, gid_t gid);

#endif
