/*
 * imported.c - the identities of imported messages in one append-only file.
 *
 * Invariants
 *   1. `known` is sorted and does not change after the file was opened.
 *   2. `octets` is the end of the last whole entry; every write goes there.
 * Ownership: owns its descriptor (and with it the lock) and its arrays, borrows the disk.
 */
#include "storage/convert/imported.h"

#include "io/base/crc32c.h"
#include "storage/layout.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#define HEADER_OCTETS 32u
#define ENTRY_OCTETS  ((uint64_t)sizeof(struct source_identity))
#define OPEN_TRIES    16

static const char magic[16] __attribute__((nonstring)) = "ringpost-imports";

struct imported {
	const struct disk *disk;
	int fd;
	uint64_t octets;
	struct source_identity *known;
	size_t known_count;
	struct source_identity *added; /* not saved yet; as in the file */
	size_t added_count, added_room;
};

static struct source_identity
swapped(struct source_identity identity)
{
	identity.occurrence = htole32(identity.occurrence);
	return identity;
}

static int
identity_compare(const void *left, const void *right)
{
	return memcmp(left, right, ENTRY_OCTETS);
}

static void
encode_header(uint32_t uid_validity, char to[HEADER_OCTETS])
{
	uint32_t field = htole32(uid_validity);

	memset(to, 0, HEADER_OCTETS);
	memcpy(to, magic, sizeof(magic));
	memcpy(to + 16, &field, 4);
	field = htole32(crc32c(0, to, HEADER_OCTETS - 4));
	memcpy(to + HEADER_OCTETS - 4, &field, 4);
}

static int
write_header(struct imported *i, const char *directory, uint32_t uid_validity)
{
	char header[HEADER_OCTETS];
	int error;

	encode_header(uid_validity, header);
	error = disk_write_at(i->disk, i->fd, span_of(header, sizeof(header)), 0);
	if (error == 0)
		error = disk_sync_data(i->disk, i->fd);
	if (error == 0)
		error = disk_sync_directory(i->disk, directory);
	i->octets = HEADER_OCTETS;
	return error;
}

static int
load_entries(struct imported *i, uint64_t octets)
{
	size_t count = (size_t)((octets - HEADER_OCTETS) / ENTRY_OCTETS);
	ssize_t n;

	i->octets = HEADER_OCTETS + count * ENTRY_OCTETS;
	if (count == 0)
		return 0;
	i->known = calloc(count, ENTRY_OCTETS);
	if (i->known == NULL)
		return -ENOMEM;
	n = disk_read_at(i->disk, i->fd, i->known, count * ENTRY_OCTETS, HEADER_OCTETS);
	if (n < 0)
		return (int)n;
	i->known_count = (size_t)n / ENTRY_OCTETS;
	qsort(i->known, i->known_count, ENTRY_OCTETS, identity_compare);
	return 0;
}

/* 0, or 1: the file is of no use. */
static int
load(struct imported *i, const char *directory, uint32_t uid_validity, uint64_t octets)
{
	char header[HEADER_OCTETS], expected[HEADER_OCTETS];
	ssize_t n;

	if (octets == 0)
		return write_header(i, directory, uid_validity);
	n = disk_read_at(i->disk, i->fd, header, sizeof(header), 0);
	if (n < 0)
		return (int)n;
	encode_header(uid_validity, expected);
	if (n < (ssize_t)sizeof(header) || memcmp(header, expected, sizeof(header)) != 0)
		return 1;
	return load_entries(i, octets);
}

/* One try: 0, a negative errno, or 1: the file was replaced, or has to be; try again. */
static int
try_open(struct imported *i, const char *directory, const char *path, uint32_t uid_validity)
{
	struct disk_status of_file, of_path;
	int result;

	i->fd = disk_open(i->disk, path, O_RDWR | O_CREAT, 0600);
	if (i->fd < 0)
		return i->fd;
	result = disk_try_lock(i->disk, i->fd, 0, DISK_LOCK_EXCLUSIVE);
	if (result == 0)
		result = disk_status_of_file(i->disk, i->fd, &of_file);
	if (result == 0) {
		result = disk_status_of_path(i->disk, path, &of_path);
		if (result == -ENOENT || (result == 0 && of_path.inode != of_file.inode))
			result = 1;
	}
	if (result == 0) {
		result = load(i, directory, uid_validity, of_file.octets);
		if (result == 1 && disk_unlink(i->disk, path) != 0)
			result = -EIO;
	}
	if (result != 0)
		disk_close(i->disk, i->fd);
	return result;
}

int
imported_open(const struct disk *d, const char *address, uint32_t uid_validity,
	struct imported **imported_out)
{
	char directory[LAYOUT_PATH_MAX], path[LAYOUT_PATH_MAX];
	struct imported *i;
	int result = layout_directory(address, directory);

	if (result == 0)
		result = layout_file(address, IMPORTED_FILE, path);
	if (result != 0)
		return result;
	i = calloc(1, sizeof(*i));
	if (i == NULL)
		return -ENOMEM;
	i->disk = d;
	result = 1;
	for (int tries = 0; result == 1 && tries < OPEN_TRIES; tries++)
		result = try_open(i, directory, path, uid_validity);
	if (result != 0) {
		free(i->known);
		free(i);
		return result == 1 ? -EAGAIN : result;
	}
	*imported_out = i;
	return 0;
}

void
imported_close(struct imported *i)
{
	if (i == NULL)
		return;
	disk_close(i->disk, i->fd);
	free(i->known);
	free(i->added);
	free(i);
}

bool
imported_has(const struct imported *i, const struct source_identity *identity)
{
	struct source_identity key = swapped(*identity);

	return i->known_count > 0 &&
	       bsearch(&key, i->known, i->known_count, ENTRY_OCTETS, identity_compare) != NULL;
}

int
imported_add(struct imported *i, const struct source_identity *identity)
{
	if (i->added_count == i->added_room) {
		size_t room = i->added_room == 0 ? 256 : 2 * i->added_room;
		void *grown = reallocarray(i->added, room, ENTRY_OCTETS);

		if (grown == NULL)
			return -ENOMEM;
		i->added = grown;
		i->added_room = room;
	}
	i->added[i->added_count++] = swapped(*identity);
	return 0;
}

int
imported_save(struct imported *i)
{
	struct span entries = span_of(i->added, i->added_count * ENTRY_OCTETS);
	int error;

	if (i->added_count == 0)
		return 0;
	error = disk_write_at(i->disk, i->fd, entries, i->octets);
	if (error == 0)
		error = disk_sync_data(i->disk, i->fd);
	if (error != 0)
		return error;
	i->octets += entries.length;
	i->added_count = 0;
	return 0;
}
