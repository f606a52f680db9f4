/*
 * id_set.h - a set of unique-ids, to find out at once whether one is taken.
 *
 * The hash is keyed with random octets: the ids come from outside, and nobody may choose them so
 * that they all fall together. Ownership: the set copies what it is given.
 */
#ifndef STORAGE_ID_SET_H
#define STORAGE_ID_SET_H

#include "io/base/span.h"

struct id_set {
	uint64_t key;
	size_t *slots; /* places in `ids`; 0: empty */
	size_t slot_count;
	size_t count;
	char *ids; /* each ends with NUL; offset 0 is not used */
	size_t octets;
	size_t room;
};

/* 0, or -EIO (no random octets). */
int id_set_init(struct id_set *s);
void id_set_free(struct id_set *s);

bool id_set_has(const struct id_set *s, struct span id);
/* 0, also if it is in there already, or -ENOMEM. */
int id_set_add(struct id_set *s, struct span id);

#endif
