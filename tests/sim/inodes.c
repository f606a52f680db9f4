/*
 * inodes.c - see inodes.h.
 *
 * Names are a table of whole paths.  A change of names is kept until its directory is synced, so
 * that a power cut can undo it.
 */
#include "tests/sim/inodes.h"

#include "io/base/crc32c.h"
#include "tests/sim/disk.h"

#include <string.h>

#define SECTOR  512u
#define BUCKETS 1024u

struct name {
	struct name *next;
	struct inode *inode;
	char path[INODE_PATH_OCTETS];
};

/* Of one name or, for a rename, two: whom they named before. */
struct change {
	char path[2][INODE_PATH_OCTETS];
	struct inode *before[2];
	unsigned count;
};

static struct name *buckets[BUCKETS];
static struct inode *inodes;
static uint64_t next_number;
static struct change *changes;
static size_t change_count;
static size_t change_room;

/* ---- octets -------------------------------------------------------------------------------- */

void
octets_resize(struct octets *o, size_t length)
{
	if (length > o->room) {
		o->room = length * 2 + INODE_BLOCK;
		o->at = sim_grow(o->at, o->room);
	}
	if (length > o->length)
		memset(o->at + o->length, 0, length - o->length);
	o->length = length;
}

void
inode_note_dirty(struct inode *i, size_t from, size_t to)
{
	if (!i->is_dirty || from < i->dirty_from)
		i->dirty_from = from;
	if (!i->is_dirty || to > i->dirty_to)
		i->dirty_to = to;
	i->is_dirty = true;
	i->modified_at = (int64_t)(sim.now_ns / SIM_S);
}

/* Sector by sector of what is dirty: becomes durable, or not.  `one_in`: how often it does not. */
void
inode_write_back(struct inode *i, uint32_t one_in)
{
	size_t size = i->now.length;

	if (one_in != 0 && sim_chance(2))
		size = i->durable.length;
	if (size > i->durable.length)
		octets_resize(&i->durable, size);
	for (size_t at = i->dirty_from / SECTOR * SECTOR; at < i->dirty_to; at += SECTOR) {
		size_t end = smaller(smaller(at + SECTOR, i->now.length), i->durable.length);

		if (at < end && !sim_chance(one_in))
			memcpy(i->durable.at + at, i->now.at + at, end - at);
	}
	i->durable.length = size;
	i->is_dirty = false;
}

void
inode_lose(struct inode *i)
{
	if (!i->is_dirty)
		return;
	if (!i->is_lost || i->dirty_from < i->lost_from)
		i->lost_from = i->dirty_from;
	if (!i->is_lost || i->dirty_to > i->lost_to)
		i->lost_to = i->dirty_to;
	i->is_lost = true;
	inode_write_back(i, 2);
}

void
inode_drop_cache(struct inode *i)
{
	size_t end = smaller(i->lost_to, i->now.length);

	if (!i->is_lost)
		return;
	for (size_t at = i->lost_from; at < end; at++) {
		if (i->is_dirty && at >= i->dirty_from && at < i->dirty_to)
			continue;
		i->now.at[at] = '\0';
		if (at < i->durable.length)
			i->now.at[at] = i->durable.at[at];
	}
	i->is_lost = i->is_dirty;
}

void
inode_show_durable(struct inode *i)
{
	octets_resize(&i->now, i->durable.length);
	if (i->durable.length > 0)
		memcpy(i->now.at, i->durable.at, i->durable.length);
	i->is_dirty = false;
	i->is_lost = false;
}

/* ---- inodes and names ---------------------------------------------------------------------- */

struct inode *
inode_make(bool is_directory)
{
	struct inode *i = sim_allocate(sizeof(*i));

	*i = (struct inode){
		.number = ++next_number,
		.is_directory = is_directory,
		.is_warm = true,
		.modified_at = (int64_t)(sim.now_ns / SIM_S),
		.next = inodes,
	};
	inodes = i;
	return i;
}

static void
inodes_free_unused(void)
{
	for (struct inode **at = &inodes; *at != NULL;) {
		struct inode *i = *at;

		if (i->links > 0 || i->uses > 0) {
			at = &i->next;
			continue;
		}
		*at = i->next;
		sim_free(i->now.at);
		sim_free(i->durable.at);
		sim_free(i->holes);
		sim_free(i);
	}
}

static struct name **
find_name(const char *path)
{
	struct name **at = &buckets[crc32c(0, path, strlen(path)) % BUCKETS];

	while (*at != NULL && strcmp((*at)->path, path) != 0)
		at = &(*at)->next;
	return at;
}

struct inode *
name_find(const char *path)
{
	struct name *n = *find_name(path);

	return n == NULL ? NULL : n->inode;
}

/* From now on `path` names `i`; NULL: nothing. */
static void
name_set(const char *path, struct inode *i)
{
	struct name **at = find_name(path);
	struct name *n = *at;

	if (i != NULL)
		i->links++;
	if (n != NULL) {
		n->inode->links--;
		n->inode = i;
		if (i == NULL) {
			*at = n->next;
			sim_free(n);
		}
	} else if (i != NULL) {
		n = sim_allocate(sizeof(*n));
		*n = (struct name){ .inode = i };
		must(strlen(path) < INODE_PATH_OCTETS);
		strcpy(n->path, path);
		*at = n;
	}
}

struct change *
change_begin(void)
{
	if (change_count == change_room) {
		change_room = change_room * 2 + 64;
		changes = sim_grow(changes, change_room * sizeof(*changes));
	}
	changes[change_count] = (struct change){ 0 };
	return &changes[change_count++];
}

void
change_name(struct change *c, const char *path, struct inode *to)
{
	struct inode *before = name_find(path);

	if (before != NULL)
		before->uses++;
	strcpy(c->path[c->count], path);
	c->before[c->count++] = before;
	name_set(path, to);
}

static void
change_forget(struct change *c)
{
	for (unsigned i = 0; i < c->count; i++)
		if (c->before[i] != NULL)
			c->before[i]->uses--;
}

static size_t
name_parent_length(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash == NULL ? 0 : (size_t)(slash - path);
}

static bool
name_lies_in(const char *path, const char *directory)
{
	size_t length = name_parent_length(path);

	if (strcmp(directory, ".") == 0)
		return length == 0;
	return strlen(directory) == length && strncmp(path, directory, length) == 0;
}

bool
name_has_parent(const char *path)
{
	char parent[INODE_PATH_OCTETS];
	size_t length = name_parent_length(path);
	struct inode *i;

	if (length == 0)
		return true;
	memcpy(parent, path, length);
	parent[length] = '\0';
	i = name_find(parent);
	return i != NULL && i->is_directory;
}

bool
name_is_empty(const char *directory)
{
	for (unsigned b = 0; b < BUCKETS; b++)
		for (struct name *n = buckets[b]; n != NULL; n = n->next)
			if (name_lies_in(n->path, directory))
				return false;
	return true;
}

/* All directly in a directory, without it; sim_free() them. */
char (*names_in(const char *directory, size_t *count_out))[INODE_PATH_OCTETS]
{
	char(*names)[INODE_PATH_OCTETS] = NULL;
	size_t count = 0;

	for (unsigned b = 0; b < BUCKETS; b++) {
		for (struct name *n = buckets[b]; n != NULL; n = n->next) {
			size_t length = name_parent_length(n->path);

			if (!name_lies_in(n->path, directory))
				continue;
			names = sim_grow(names, (count + 1) * sizeof(*names));
			strcpy(names[count++], n->path + length + (length > 0));
		}
	}
	*count_out = count;
	return names;
}

void
changes_settle(const char *directory)
{
	size_t kept = 0;

	for (size_t i = 0; i < change_count; i++) {
		if (name_lies_in(changes[i].path[0], directory))
			change_forget(&changes[i]);
		else
			changes[kept++] = changes[i];
	}
	change_count = kept;
}

/* ---- the disk as a whole ------------------------------------------------------------------- */

void
inodes_begin(void)
{
	next_number = 0;
}

void
simdisk_close(void)
{
	for (size_t i = 0; i < change_count; i++)
		change_forget(&changes[i]);
	change_count = 0;
	for (unsigned b = 0; b < BUCKETS; b++)
		while (buckets[b] != NULL)
			name_set(buckets[b]->path, NULL);
	inodes_free_unused();
	must(inodes == NULL);
}

/* A directory that is undone takes with it what was made in it. */
static void
drop_orphans(void)
{
	bool found;

	do {
		found = false;
		for (unsigned b = 0; b < BUCKETS; b++) {
			for (struct name *n = buckets[b], *next; n != NULL; n = next) {
				next = n->next;
				if (!name_has_parent(n->path)) {
					name_set(n->path, NULL);
					found = true;
				}
			}
		}
	} while (found);
}

void
simdisk_cut_power(void)
{
	size_t kept = sim_below((uint32_t)change_count + 1);

	sim_note("power", change_count, kept);
	for (size_t n = change_count; n > kept; n--) {
		struct change *c = &changes[n - 1];

		for (unsigned i = c->count; i > 0; i--)
			name_set(c->path[i - 1], c->before[i - 1]);
	}
	for (size_t n = 0; n < change_count; n++)
		change_forget(&changes[n]);
	change_count = 0;
	drop_orphans();
	inodes_free_unused();
	for (struct inode *i = inodes; i != NULL; i = i->next) {
		uint32_t taste = sim_below(3); /* nothing of it, all of it, some of it */

		must(i->uses == 0);
		if (i->is_dirty && taste != 0)
			inode_write_back(i, taste == 1 ? 0 : 2);
		inode_show_durable(i);
		i->is_warm = false;
	}
}

void
simdisk_evict(void)
{
	for (struct inode *i = inodes; i != NULL; i = i->next) {
		if (sim_chance(2)) {
			i->is_warm = false;
			inode_drop_cache(i);
		}
	}
}
