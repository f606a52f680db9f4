/*
 * id_set.c - open addressing, at most half full.
 */
#include "storage/id_set.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

#define FIRST_SLOTS 64u
#define FIRST_ROOM  4096u

int
id_set_init(struct id_set *s)
{
	*s = (struct id_set){ .octets = 1 };
	if (getrandom(&s->key, sizeof(s->key), 0) != sizeof(s->key))
		return -EIO;
	s->key |= 1; /* an odd factor loses nothing */
	return 0;
}

void
id_set_free(struct id_set *s)
{
	free(s->slots);
	free(s->ids);
	*s = (struct id_set){ 0 };
}

static uint64_t
hash(const struct id_set *s, struct span id)
{
	uint64_t h = s->key ^ id.length;

	for (size_t i = 0; i < id.length; i++) {
		h = (h ^ (unsigned char)id.at[i]) * s->key;
		h ^= h >> 29;
	}
	return h ^ h >> 32;
}

/* The slot that holds `id`, or the empty one where it would go. */
static size_t
find(const struct id_set *s, struct span id)
{
	size_t mask = s->slot_count - 1;
	size_t at = hash(s, id) & mask;

	while (s->slots[at] != 0 && !span_equals(span_of_string(s->ids + s->slots[at]), id))
		at = (at + 1) & mask;
	return at;
}

bool
id_set_has(const struct id_set *s, struct span id)
{
	return s->slot_count > 0 && s->slots[find(s, id)] != 0;
}

static int
grow_slots(struct id_set *s)
{
	struct id_set grown = *s;

	if (s->slot_count > 0 && s->count < s->slot_count / 2)
		return 0;
	grown.slot_count = s->slot_count == 0 ? FIRST_SLOTS : 2 * s->slot_count;
	grown.slots = calloc(grown.slot_count, sizeof(grown.slots[0]));
	if (grown.slots == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < s->slot_count; i++) {
		if (s->slots[i] != 0)
			grown.slots[find(&grown, span_of_string(s->ids + s->slots[i]))] =
				s->slots[i];
	}
	free(s->slots);
	*s = grown;
	return 0;
}

static int
grow_ids(struct id_set *s, size_t octets)
{
	size_t room = s->room == 0 ? FIRST_ROOM : s->room;
	char *ids;

	while (room < s->octets + octets)
		room *= 2;
	if (room == s->room)
		return 0;
	ids = realloc(s->ids, room);
	if (ids == NULL)
		return -ENOMEM;
	s->ids = ids;
	s->room = room;
	return 0;
}

int
id_set_add(struct id_set *s, struct span id)
{
	int error = grow_slots(s);
	size_t at;

	if (error == 0)
		error = grow_ids(s, id.length + 1);
	if (error != 0)
		return error;
	at = find(s, id);
	if (s->slots[at] != 0)
		return 0;
	memcpy(s->ids + s->octets, id.at, id.length);
	s->ids[s->octets + id.length] = '\0';
	s->slots[at] = s->octets;
	s->octets += id.length + 1;
	s->count++;
	return 0;
}
