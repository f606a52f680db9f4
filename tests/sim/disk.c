/*
 * disk.c - the calls to the disk; see disk.h.  What it keeps is in inodes.c.
 */
#include "tests/sim/disk.h"

#include "tests/sim/files.h"
#include "tests/sim/inodes.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define FULL_FOR_S    60u
#define PAUSE_NS      (40u * SIM_US)
#define SYNC_PAUSE_NS (3u * SIM_MS)

/* An open file description: what a descriptor stands for, and who holds a lock. */
struct description {
	struct inode *inode;
	enum disk_lock locks[INODE_LOCKS];
	bool writes;
};

static uint64_t full_until_ns;

/* ---- faults -------------------------------------------------------------------------------- */

/* Others may run before this call does anything. */
static void
give_way(const struct disk *d, uint32_t longest_ns)
{
	if (fiber_self() == NULL || sim_chance(3))
		return;
	if (d->waits)
		fiber_sleep(sim_below(longest_ns));
	else if (sim_chance(4))
		fiber_sleep(sim_below(PAUSE_NS / 8));
}

static bool
is_full(void)
{
	if (sim.now_ns >= full_until_ns && sim_strikes(FAULT_SPACE))
		full_until_ns = sim.now_ns + sim_below(FULL_FOR_S) * (uint64_t)SIM_S;
	if (sim.now_ns >= full_until_ns || !sim.faults_on)
		return false;
	sim.excuses++;
	return true;
}

static bool
would_wait(const struct disk *d, const struct inode *i)
{
	return !d->waits && (!i->is_warm || sim_strikes(FAULT_COLD));
}

/* ---- files --------------------------------------------------------------------------------- */

static struct description *
description_of(int fd)
{
	return files_get(fd, FILE_ON_DISK);
}

static void
unlock(struct description *o, unsigned byte)
{
	if (o->locks[byte] == DISK_LOCK_EXCLUSIVE)
		o->inode->locked[byte] = NULL;
	else if (o->locks[byte] == DISK_LOCK_SHARED)
		o->inode->shared[byte]--;
	o->locks[byte] = DISK_LOCK_NONE;
}

static void
description_closed(void *what)
{
	struct description *o = what;

	for (unsigned byte = 0; byte < INODE_LOCKS; byte++) {
		if (o->locks[byte] != DISK_LOCK_NONE)
			sim_note("unlock", byte, o->locks[byte]);
		unlock(o, byte);
	}
	o->inode->uses--;
	sim_free(o);
}

static int
describe(struct inode *i, int flags)
{
	struct description *o = sim_allocate(sizeof(*o));

	*o = (struct description){ .inode = i, .writes = (flags & O_ACCMODE) != O_RDONLY };
	i->uses++;
	return files_add(FILE_ON_DISK, o, description_closed);
}

static void
truncate_to(struct inode *i, size_t octets)
{
	inode_note_dirty(
		i, smaller(octets, i->now.length), octets > i->now.length ? octets : i->now.length);
	if (i->durable.length > i->dirty_to)
		i->dirty_to = i->durable.length;
	octets_resize(&i->now, octets);
}

static int
create(const char *path, int flags)
{
	struct inode *i;

	if (!name_has_parent(path))
		return -ENOENT;
	if (is_full())
		return -ENOSPC;
	i = inode_make(false);
	change_name(change_begin(), path, i);
	return describe(i, flags);
}

static int
simdisk_do_open(const struct disk *d, const char *path, int flags, mode_t mode)
{
	struct inode *i;

	(void)mode;
	give_way(d, PAUSE_NS);
	if (sim_strikes(FAULT_EMFILE))
		return -EMFILE;
	if (sim_strikes(FAULT_OPEN))
		return -EIO;
	if ((flags & O_TMPFILE) == O_TMPFILE)
		return is_full() ? -ENOSPC : describe(inode_make(false), flags);
	i = name_find(path);
	sim_note(path, i == NULL ? 0 : i->number, 0);
	if (i == NULL && !d->waits && sim_strikes(FAULT_COLD))
		return -EAGAIN;
	if (i == NULL)
		return (flags & O_CREAT) != 0 ? create(path, flags) : -ENOENT;
	if ((flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL))
		return -EEXIST;
	if (would_wait(d, i))
		return -EAGAIN;
	if ((flags & O_TRUNC) != 0)
		truncate_to(i, 0);
	return describe(i, flags);
}

static void
simdisk_do_close(const struct disk *d, int fd)
{
	(void)d;
	files_close(fd, FILE_ON_DISK);
}

static ssize_t
read_inode(const struct inode *i, void *to, size_t size, uint64_t offset)
{
	if (offset >= i->now.length)
		return 0;
	size = smaller(size, i->now.length - (size_t)offset);
	memcpy(to, i->now.at + offset, size);
	return (ssize_t)size;
}

static ssize_t
simdisk_do_read(const struct disk *d, int fd, void *to, size_t size, uint64_t offset)
{
	struct inode *i = description_of(fd)->inode;

	give_way(d, PAUSE_NS);
	if (would_wait(d, i))
		return -EAGAIN;
	if (sim_strikes(FAULT_READ))
		return -EIO;
	if (size > 1 && sim_strikes(FAULT_SHORT))
		size = 1 + sim_below((uint32_t)size);
	if (d->waits)
		i->is_warm = true;
	sim_note(d->waits ? "read" : "read at once", i->number, offset);
	return read_inode(i, to, size, offset);
}

static void
fill_holes(struct inode *i, uint64_t from, uint64_t to)
{
	for (uint64_t block = from / INODE_BLOCK; block * INODE_BLOCK < to && block < i->hole_room;
		block++)
		i->holes[block] = 0;
}

static ssize_t
simdisk_do_write(const struct disk *d, int fd, struct span from, uint64_t offset)
{
	struct description *o = description_of(fd);
	struct inode *i = o->inode;
	size_t end;

	must(o->writes);
	give_way(d, PAUSE_NS);
	if (from.length > 1 && sim_strikes(FAULT_SHORT))
		from.length = 1 + sim_below((uint32_t)from.length);
	if (is_full() && (from.length < 2 || sim_chance(2)))
		return -ENOSPC;
	if (sim_strikes(FAULT_WRITE)) {
		if (from.length < 2 || sim_chance(2))
			return -EIO;
		from.length /= 2;
	}
	end = (size_t)offset + from.length;
	if (end > i->now.length)
		octets_resize(&i->now, end);
	sim_note("write", i->number, end);
	memcpy(i->now.at + offset, from.at, from.length);
	fill_holes(i, offset, end);
	inode_note_dirty(i, (size_t)offset, end);
	return (ssize_t)from.length;
}

static int
simdisk_do_sync(const struct disk *d, int fd)
{
	struct inode *i = description_of(fd)->inode;

	give_way(d, SYNC_PAUSE_NS);
	if (sim_strikes(FAULT_SYNC)) {
		inode_lose(i);
		return -EIO;
	}
	sim_note("sync", i->number, i->now.length);
	if (i->is_dirty && !sim.loses_syncs)
		inode_write_back(i, 0);
	return 0;
}

static void
simdisk_do_drop_cache(const struct disk *d, int fd)
{
	give_way(d, PAUSE_NS);
	inode_drop_cache(description_of(fd)->inode);
}

static int
simdisk_do_sync_directory(const struct disk *d, const char *path)
{
	give_way(d, SYNC_PAUSE_NS);
	if (strcmp(path, ".") != 0 && name_find(path) == NULL)
		return -ENOENT;
	if (sim_strikes(FAULT_SYNC))
		return -EIO;
	if (!sim.loses_syncs)
		changes_settle(path);
	return 0;
}

static int
simdisk_do_truncate(const struct disk *d, int fd, uint64_t octets)
{
	struct description *o = description_of(fd);

	must(o->writes);
	give_way(d, PAUSE_NS);
	if (sim_strikes(FAULT_WRITE))
		return -EIO;
	sim_note("truncate", o->inode->number, octets);
	truncate_to(o->inode, (size_t)octets);
	return 0;
}

static int
simdisk_do_punch(const struct disk *d, int fd, uint64_t offset, uint64_t length)
{
	struct inode *i = description_of(fd)->inode;
	size_t end = smaller((size_t)(offset + length), i->now.length);

	give_way(d, PAUSE_NS);
	if (sim_strikes(FAULT_WRITE))
		return -EIO;
	if (end <= offset)
		return 0;
	if (i->hole_room < end / INODE_BLOCK + 1) {
		size_t room = end / INODE_BLOCK + 64;

		i->holes = sim_grow(i->holes, room);
		memset(i->holes + i->hole_room, 0, room - i->hole_room);
		i->hole_room = room;
	}
	for (size_t block = (size_t)(offset + INODE_BLOCK - 1) / INODE_BLOCK;
		(block + 1) * INODE_BLOCK <= end; block++)
		i->holes[block] = 1;
	memset(i->now.at + offset, 0, end - (size_t)offset);
	inode_note_dirty(i, (size_t)offset, end);
	return 0;
}

static void
status_of(const struct inode *i, struct disk_status *status_out)
{
	uint64_t blocks = (i->now.length + INODE_BLOCK - 1) / INODE_BLOCK;

	for (size_t block = 0; block < i->hole_room && block * INODE_BLOCK < i->now.length; block++)
		blocks -= i->holes[block];
	*status_out = (struct disk_status){
		.device = 1,
		.inode = i->number,
		.octets = i->now.length,
		.allocated_octets = blocks * INODE_BLOCK,
		.links = i->links,
		.is_directory = i->is_directory,
		.modified_at = i->modified_at,
	};
}

static int
simdisk_do_status_of_file(const struct disk *d, int fd, struct disk_status *status_out)
{
	give_way(d, PAUSE_NS);
	status_of(description_of(fd)->inode, status_out);
	return 0;
}

static int
simdisk_do_status_of_path(const struct disk *d, const char *path, struct disk_status *status_out)
{
	struct inode *i;

	give_way(d, PAUSE_NS);
	i = name_find(path);
	if (i == NULL)
		return -ENOENT;
	status_of(i, status_out);
	return 0;
}

/* fcntl(2), F_OFD_SETLK: a lock of one's own is changed at once or not at all. */
static int
simdisk_do_lock(const struct disk *d, int fd, uint64_t byte, enum disk_lock kind)
{
	struct description *o = description_of(fd);
	struct inode *i = o->inode;
	bool is_mine;
	unsigned others;

	must(byte < INODE_LOCKS);
	give_way(d, PAUSE_NS);
	is_mine = i->locked[byte] == o;
	others = i->shared[byte] - (o->locks[byte] == DISK_LOCK_SHARED);
	if (kind != DISK_LOCK_NONE && i->locked[byte] != NULL && !is_mine)
		return -EAGAIN;
	if (kind == DISK_LOCK_EXCLUSIVE && others > 0)
		return -EAGAIN;
	must(kind != DISK_LOCK_EXCLUSIVE || o->writes);
	sim_note("lock", byte, kind);
	unlock(o, (unsigned)byte);
	if (kind == DISK_LOCK_EXCLUSIVE)
		i->locked[byte] = o;
	else if (kind == DISK_LOCK_SHARED)
		i->shared[byte]++;
	o->locks[byte] = kind;
	return 0;
}

/* ---- directories --------------------------------------------------------------------------- */

static int
simdisk_do_make_directory(const struct disk *d, const char *path, mode_t mode)
{
	(void)mode;
	give_way(d, PAUSE_NS);
	if (name_find(path) != NULL)
		return -EEXIST;
	if (!name_has_parent(path))
		return -ENOENT;
	if (sim_strikes(FAULT_RENAME))
		return -EIO;
	if (is_full())
		return -ENOSPC;
	change_name(change_begin(), path, inode_make(true));
	return 0;
}

static int
simdisk_do_rename(const struct disk *d, const char *from, const char *to)
{
	struct change *c;
	struct inode *i;

	give_way(d, PAUSE_NS);
	if (sim_strikes(FAULT_RENAME))
		return -EIO;
	i = name_find(from);
	if (i == NULL || !name_has_parent(to))
		return -ENOENT;
	must(!i->is_directory);
	sim_note(to, i->number, 0);
	c = change_begin();
	change_name(c, to, i);
	change_name(c, from, NULL);
	return 0;
}

static int
simdisk_do_link(const struct disk *d, const char *from, const char *to)
{
	struct inode *i;

	give_way(d, PAUSE_NS);
	if (sim_strikes(FAULT_RENAME))
		return -EIO;
	i = name_find(from);
	if (i == NULL || !name_has_parent(to))
		return -ENOENT;
	if (name_find(to) != NULL)
		return -EEXIST;
	if (is_full())
		return -ENOSPC;
	change_name(change_begin(), to, i);
	return 0;
}

static int
remove_name(const struct disk *d, const char *path, bool is_directory)
{
	struct inode *i;

	give_way(d, PAUSE_NS);
	if (sim_strikes(FAULT_RENAME))
		return -EIO;
	i = name_find(path);
	if (i == NULL)
		return -ENOENT;
	if (i->is_directory != is_directory)
		return is_directory ? -ENOTDIR : -EISDIR;
	if (is_directory && !name_is_empty(path))
		return -ENOTEMPTY;
	change_name(change_begin(), path, NULL);
	return 0;
}

static int
simdisk_do_unlink(const struct disk *d, const char *path)
{
	return remove_name(d, path, false);
}

static int
simdisk_do_remove_directory(const struct disk *d, const char *path)
{
	return remove_name(d, path, true);
}

/* Names are copied first: the caller may change them meanwhile. */
static int
simdisk_do_list(
	const struct disk *d, const char *path, int (*each)(void *ctx, const char *name), void *ctx)
{
	char(*names)[INODE_PATH_OCTETS];
	size_t count;
	int result = 0;

	give_way(d, PAUSE_NS);
	if (sim_strikes(FAULT_READ))
		return -EIO;
	if (strcmp(path, ".") != 0 && name_find(path) == NULL)
		return -ENOENT;
	names = names_in(path, &count);
	for (size_t i = 0; i < count && result == 0; i++)
		result = each(ctx, names[i]);
	sim_free(names);
	return result;
}

static const struct disk_ops simdisk_ops = {
	.open = simdisk_do_open,
	.close = simdisk_do_close,
	.read_at = simdisk_do_read,
	.write_at = simdisk_do_write,
	.sync_data = simdisk_do_sync,
	.drop_cache = simdisk_do_drop_cache,
	.sync_directory = simdisk_do_sync_directory,
	.truncate = simdisk_do_truncate,
	.punch = simdisk_do_punch,
	.status_of_file = simdisk_do_status_of_file,
	.status_of_path = simdisk_do_status_of_path,
	.try_lock = simdisk_do_lock,
	.make_directory = simdisk_do_make_directory,
	.rename = simdisk_do_rename,
	.link = simdisk_do_link,
	.unlink = simdisk_do_unlink,
	.remove_directory = simdisk_do_remove_directory,
	.list = simdisk_do_list,
};

/* ---- for the world, and for the network ------------------------------------------------------ */

void
simdisk_open(struct disk *disk_out)
{
	*disk_out = (struct disk){ .ops = &simdisk_ops, .root_fd = -1, .waits = true };
	full_until_ns = 0;
	inodes_begin();
}

ssize_t
simdisk_read(int fd, void *to, size_t size, uint64_t offset)
{
	return read_inode(description_of(fd)->inode, to, size, offset);
}

uint64_t
simdisk_size(int fd)
{
	return description_of(fd)->inode->now.length;
}

bool
simdisk_is_warm(int fd)
{
	return description_of(fd)->inode->is_warm;
}

void
simdisk_warm(int fd)
{
	description_of(fd)->inode->is_warm = true;
}
