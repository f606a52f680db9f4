/*
 * inodes.h - what the disk in memory keeps: files, seen and durable, and names; see disk.h.
 */
#ifndef TESTS_SIM_INODES_H
#define TESTS_SIM_INODES_H

#include "tests/sim/sim.h"

#define INODE_BLOCK       4096u
#define INODE_LOCKS       4u /* octets of a file that may be locked */
#define INODE_PATH_OCTETS 320u

struct description;
struct change;

struct octets {
	char *at;
	size_t length;
	size_t room;
};

struct inode {
	uint64_t number;
	bool is_directory;
	uint32_t links;
	uint32_t uses; /* descriptors, and changes of names that may be undone */
	struct octets now;
	struct octets durable;
	size_t dirty_from; /* of `now`, against `durable` */
	size_t dirty_to;
	bool is_dirty;
	size_t lost_from; /* clean, and yet not what is durable: a sync has failed */
	size_t lost_to;
	bool is_lost;
	bool is_warm;
	uint8_t *holes; /* of each block: punched */
	size_t hole_room;
	int64_t modified_at;
	struct description *locked[INODE_LOCKS]; /* exclusively */
	unsigned shared[INODE_LOCKS];
	struct inode *next; /* of all */
};

static inline size_t
smaller(size_t a, size_t b)
{
	return a < b ? a : b;
}

void inodes_begin(void);

/* What is new is zeros. */
void octets_resize(struct octets *o, size_t length);
struct inode *inode_make(bool is_directory);
void inode_note_dirty(struct inode *i, size_t from, size_t to);
/* Sector by sector of what is dirty: becomes durable, or, once in `one_in`, does not; 0: all. */
void inode_write_back(struct inode *i, uint32_t one_in);
/* A sync fails: some of what is dirty becomes durable, the rest is called clean all the same. */
void inode_lose(struct inode *i);
/* What is clean is read from the disk again. */
void inode_drop_cache(struct inode *i);
/* What is durable is all there is. */
void inode_show_durable(struct inode *i);

/* NULL: no such name. */
struct inode *name_find(const char *path);
bool name_has_parent(const char *path);
bool name_is_empty(const char *directory);
/* All directly in a directory, without it; sim_free() them. */
char (*names_in(const char *directory, size_t *count_out))[INODE_PATH_OCTETS];

/* A change of one name, or of two at once: change_begin(), then change_name() for each.  A power
 * cut may undo it as long as the directory was not synced since (changes_settle()). */
struct change *change_begin(void);
void change_name(struct change *c, const char *path, struct inode *to);
void changes_settle(const char *directory);

#endif
