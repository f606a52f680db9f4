/*
 * imported.c - the identities of imported messages in one append-only file.
 *
 * Invariants
 *   1. `known` is sorted and does not change after the file was opened.
 *   2. `octets` is the end of the last whole entry; every write goes there.
 *   3. What is in `added` goes out in one write: the mark for the batch before, then this batch.
 * Ownership: owns its descriptor (and with it the lock) and its arrays, borrows the disk.
 */
#include "storage/convert/imported.h"

#include "io/base/crc32c.h"
#include "storage/layout.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#define MAGIC         "ringpost-imports"
#define MAGIC_OCTETS  16u
#define HEADER_OCTETS 32u
#define OPEN_TRIES    16

static_assert(sizeof(MAGIC) - 1 == MAGIC_OCTETS, "the magic fills its field");

struct entry {
	struct source_identity identity; /* as in memory */
	uint64_t arrived_at;
	uint32_t uid;
	uint32_t crc;
};

#define ENTRY_OCTETS ((uint64_t)sizeof(struct entry))

static_assert(sizeof(struct entry) == 32, "entries are stored without gaps");

struct imported {
	const struct disk *disk;
	int fd;
	uint64_t octets;
	struct source_identity *known;
	size_t known_count;
	bool in_doubt; /* entries were saved behind the last mark */
	struct entry *added;
	size_t added_count, added_room;
};

static const struct source_identity mark_identity;

/* In memory, the uid of an entry that was damaged. */
#define UID_DAMAGED UINT32_MAX

static struct entry
entry_encode(const struct source_identity *identity, int64_t arrived_at, uint32_t uid)
{
	struct entry e = { .identity = *identity };

	e.identity.occurrence = htole32(identity->occurrence);
	e.arrived_at = htole64((uint64_t)arrived_at);
	e.uid = htole32(uid);
	e.crc = htole32(crc32c(0, &e, offsetof(struct entry, crc)));
	return e;
}

/* From the file's form to memory's. */
static void
entry_decode(struct entry *e)
{
	bool is_intact = le32toh(e->crc) == crc32c(0, e, offsetof(struct entry, crc));

	e->identity.occurrence = le32toh(e->identity.occurrence);
	e->arrived_at = le64toh(e->arrived_at);
	e->uid = is_intact ? le32toh(e->uid) : UID_DAMAGED;
}

static int
identity_compare(const void *left, const void *right)
{
	return memcmp(left, right, sizeof(struct source_identity));
}

static bool
is_mark(const struct entry *e)
{
	return e->uid == 0 && identity_compare(&e->identity, &mark_identity) == 0;
}

static void
encode_header(uint32_t uid_validity, char to[HEADER_OCTETS])
{
	uint32_t field = htole32(uid_validity);

	memset(to, 0, HEADER_OCTETS);
	memcpy(to, MAGIC, MAGIC_OCTETS);
	memcpy(to + MAGIC_OCTETS, &field, 4);
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

static const struct maildrop_entry *
find_uid(const struct maildrop *m, uint32_t uid)
{
	uint32_t low = 0, high = m->count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (m->entries[middle].uid == uid)
			return &m->entries[middle];
		if (m->entries[middle].uid < uid)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

/* Were these entries committed?  See the crash argument in the header. */
static bool
was_committed(const struct entry *entries, size_t count, const struct maildrop *m)
{
	bool seen = false;

	for (size_t n = 0; n < count; n++) {
		const struct maildrop_entry *live;

		if (entries[n].uid == 0)
			continue;
		if (entries[n].uid >= m->next_uid) /* not given yet, or damaged */
			return false;
		live = find_uid(m, entries[n].uid);
		if (live != NULL && live->arrived_at != (int64_t)entries[n].arrived_at)
			return false;
		seen |= live != NULL;
	}
	return seen;
}

/*
 * Entries behind the last mark are cut off or confirmed; *count is then that of the true ones.
 *
 * The mark of a batch begins the write of the next one, so where that was torn the batch before it
 * stands whole in front of the first damaged entry.  What lies behind it was never committed.
 */
static int
settle(struct imported *i, const struct entry *entries, size_t *count, const struct maildrop *m)
{
	size_t all = *count;
	size_t sure = all;
	size_t intact;
	int error = 0;

	while (sure > 0 && !is_mark(&entries[sure - 1]))
		sure--;
	intact = sure;
	while (intact < all && entries[intact].uid != UID_DAMAGED)
		intact++;
	i->in_doubt = was_committed(entries + sure, intact - sure, m);
	*count = i->in_doubt ? intact : sure;
	i->octets = HEADER_OCTETS + *count * ENTRY_OCTETS;
	if (*count < all)
		error = disk_truncate(i->disk, i->fd, i->octets);
	if (error == 0)
		error = imported_confirm(i);
	return error == 0 ? imported_save(i) : error;
}

static int
keep_known(struct imported *i, const struct entry *entries, size_t count)
{
	i->known = calloc(count + 1, sizeof(*i->known));
	if (i->known == NULL)
		return -ENOMEM;
	for (size_t n = 0; n < count; n++) {
		if (!is_mark(&entries[n]) && entries[n].uid != UID_DAMAGED)
			i->known[i->known_count++] = entries[n].identity;
	}
	if (i->known_count > 0)
		qsort(i->known, i->known_count, sizeof(*i->known), identity_compare);
	return 0;
}

static int
load_entries(struct imported *i, uint64_t octets, const struct maildrop *m)
{
	size_t count = (size_t)((octets - HEADER_OCTETS) / ENTRY_OCTETS);
	struct entry *entries = calloc(count + 1, ENTRY_OCTETS);
	ssize_t n;
	int error = 0;

	if (entries == NULL)
		return -ENOMEM;
	n = disk_read_at(i->disk, i->fd, entries, count * ENTRY_OCTETS, HEADER_OCTETS);
	if (n < 0)
		error = (int)n;
	else
		count = (size_t)n / ENTRY_OCTETS;
	for (size_t e = 0; error == 0 && e < count; e++)
		entry_decode(&entries[e]);
	i->octets = HEADER_OCTETS + count * ENTRY_OCTETS;
	if (error == 0)
		error = settle(i, entries, &count, m);
	if (error == 0)
		error = keep_known(i, entries, count);
	free(entries);
	return error;
}

/* 0; -EBADMSG; 1: it is a header, of another maildrop. */
static int
check_header(const char header[HEADER_OCTETS], uint32_t uid_validity)
{
	char expected[HEADER_OCTETS];
	uint32_t found;

	memcpy(&found, header + MAGIC_OCTETS, 4);
	encode_header(le32toh(found), expected);
	if (memcmp(header, expected, HEADER_OCTETS) != 0)
		return -EBADMSG;
	return le32toh(found) == uid_validity ? 0 : 1;
}

/* 0, a negative errno, or 1: the file is to be replaced. */
static int
load(struct imported *i, const char *directory, uint32_t uid_validity, uint64_t octets,
	const struct maildrop *m)
{
	char header[HEADER_OCTETS];
	ssize_t n;
	int result;

	if (octets == 0)
		return write_header(i, directory, uid_validity);
	n = disk_read_at(i->disk, i->fd, header, sizeof(header), 0);
	if (n < 0)
		return (int)n;
	result = n == (ssize_t)sizeof(header) ? check_header(header, uid_validity) : 1;
	if (result == -EBADMSG && octets == HEADER_OCTETS)
		return 1; /* a crash came when it was made */
	return result == 0 ? load_entries(i, octets, m) : result;
}

/* Is the file that we hold locked still the one that the path names?  0, 1: no, or an errno. */
static int
check_path(struct imported *i, const char *path, uint64_t *octets_out)
{
	struct disk_status of_file, of_path;
	int result = disk_status_of_file(i->disk, i->fd, &of_file);

	if (result != 0)
		return result;
	*octets_out = of_file.octets;
	result = disk_status_of_path(i->disk, path, &of_path);
	if (result == -ENOENT)
		return 1;
	return result == 0 && of_path.inode != of_file.inode ? 1 : result;
}

/* One try: 0, a negative errno, or 1: the file was replaced, or has to be. */
static int
try_open(struct imported *i, const char *directory, const char *path, uint32_t uid_validity,
	const struct maildrop *m)
{
	uint64_t octets;
	int result;

	i->fd = disk_open(i->disk, path, O_RDWR | O_CREAT, 0600);
	if (i->fd < 0)
		return i->fd;
	result = disk_try_lock(i->disk, i->fd, 0, DISK_LOCK_EXCLUSIVE);
	if (result == 0)
		result = check_path(i, path, &octets);
	if (result == 0) {
		result = load(i, directory, uid_validity, octets, m);
		if (result == 1)
			disk_unlink(i->disk, path);
	}
	if (result != 0)
		disk_close(i->disk, i->fd);
	return result;
}

int
imported_open(const struct disk *d, const char *address, uint32_t uid_validity,
	const struct maildrop *m, struct imported **imported_out)
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
		result = try_open(i, directory, path, uid_validity, m);
	if (result != 0) {
		free(i->known);
		free(i->added);
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
	return i->known_count > 0 &&
		bsearch(identity, i->known, i->known_count, sizeof(*identity), identity_compare) !=
		NULL;
}

int
imported_add(struct imported *i, const struct source_identity *identity, int64_t arrived_at,
	uint32_t uid)
{
	if (i->added_count == i->added_room) {
		size_t room = i->added_room == 0 ? 256 : 2 * i->added_room;
		void *grown = reallocarray(i->added, room, ENTRY_OCTETS);

		if (grown == NULL)
			return -ENOMEM;
		i->added = grown;
		i->added_room = room;
	}
	i->added[i->added_count++] = entry_encode(identity, arrived_at, uid);
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
	i->in_doubt = !is_mark(&i->added[i->added_count - 1]);
	i->added_count = 0;
	return 0;
}

int
imported_confirm(struct imported *i)
{
	if (!i->in_doubt)
		return 0;
	i->in_doubt = false;
	return imported_add(i, &mark_identity, 0, 0);
}
