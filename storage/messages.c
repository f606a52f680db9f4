/*
 * messages.c - collect, settle, hand over.
 *
 * The entries lie behind a head of the size of struct maildrop, so that a login's snapshot becomes
 * one block without copying the entries.
 */
#include "storage/messages.h"

#include "io/base/must.h"

#include <errno.h>
#include <stdlib.h>

#define FIRST_ROOM 16u

static_assert(sizeof(struct maildrop) % _Alignof(struct maildrop_entry) == 0,
	"entries may follow the head");

static size_t
block_octets(uint32_t entries)
{
	return sizeof(struct maildrop) + (size_t)entries * sizeof(struct maildrop_entry);
}

static int
set_room(struct messages *m, uint32_t room)
{
	struct maildrop *block = realloc(m->block, block_octets(room));

	if (block == NULL)
		return -ENOMEM;
	m->block = block;
	m->entries = (struct maildrop_entry *)(void *)(block + 1);
	m->room = room;
	return 0;
}

int
messages_reserve(struct messages *m, uint32_t more)
{
	if (more <= m->room - m->count)
		return 0;
	if (more > UINT32_MAX - m->count)
		return -ENOMEM;
	return set_room(m, m->count + more);
}

/* Grow an array of `size`-octet elements to hold `need`; doubles. */
static int
grow(void *array, size_t size, size_t need, size_t *room)
{
	size_t wanted = *room < FIRST_ROOM ? FIRST_ROOM : *room;
	void **at = array;
	void *grown;

	if (need <= *room)
		return 0;
	while (wanted < need)
		wanted *= 2;
	grown = realloc(*at, wanted * size);
	if (grown == NULL)
		return -ENOMEM;
	*at = grown;
	*room = wanted;
	return 0;
}

static int
add_id(struct messages *m, struct span id, uint32_t *place_out)
{
	size_t place = m->ids_octets == 0 ? 1 : m->ids_octets;
	int error;

	if (place + id.length + 1 > UINT32_MAX)
		return -ENOMEM;
	error = grow(&m->ids, 1, place + id.length + 1, &m->ids_room);
	if (error != 0)
		return error;
	m->ids[0] = '\0';
	memcpy(m->ids + place, id.at, id.length);
	m->ids[place + id.length] = '\0';
	m->ids_octets = place + id.length + 1;
	*place_out = (uint32_t)place;
	return 0;
}

int
messages_add(struct messages *m, const struct maildrop_entry *entry, struct span id)
{
	const struct maildrop_entry *last = m->count > 0 ? &m->entries[m->count - 1] : NULL;
	uint32_t place = 0;
	int error;

	if (last != NULL &&
		(entry->uid <= last->uid ||
			entry->wire_offset < last->wire_offset + last->wire_octets))
		return -EBADMSG;
	if (m->count == m->room) {
		if (m->room > UINT32_MAX / 2)
			return -ENOMEM;
		error = set_room(m, m->room < FIRST_ROOM ? FIRST_ROOM : 2 * m->room);
		if (error != 0)
			return error;
	}
	if (id.length > 0) {
		error = add_id(m, id, &place);
		if (error != 0)
			return error;
	}
	m->entries[m->count] = *entry;
	m->entries[m->count++].unique_id = place;
	return 0;
}

int
messages_add_range(struct messages *m, struct uid_range range)
{
	int error = grow(&m->ranges, sizeof(range), m->range_count + 1, &m->range_room);

	if (error == 0)
		m->ranges[m->range_count++] = range;
	return error;
}

struct messages_mark
messages_mark(const struct messages *m)
{
	return (struct messages_mark){ m->count, m->ids_octets, m->range_count };
}

void
messages_return_to(struct messages *m, struct messages_mark mark)
{
	m->count = mark.count;
	m->ids_octets = mark.ids_octets;
	m->range_count = mark.range_count;
}

struct span
messages_id(const struct messages *m, const struct maildrop_entry *entry)
{
	if (entry->unique_id == 0)
		return span_of("", 0);
	return span_of_string(m->ids + entry->unique_id);
}

static int
compare_ranges(const void *a, const void *b)
{
	const struct uid_range *x = a;
	const struct uid_range *y = b;

	return x->first < y->first ? -1 : x->first > y->first;
}

/* The ranges ascending by their first uid: themselves where they are so already. */
static int
sort_ranges(const struct messages *m, struct uid_range **sorted_out)
{
	size_t octets = m->range_count * sizeof(m->ranges[0]);
	struct uid_range *sorted = malloc(octets);

	if (sorted == NULL)
		return -ENOMEM;
	memcpy(sorted, m->ranges, octets);
	qsort(sorted, m->range_count, sizeof(sorted[0]), compare_ranges);
	*sorted_out = sorted;
	return 0;
}

int
messages_find_dead(const struct messages *m, bool **dead_out)
{
	struct uid_range *ranges = NULL;
	bool *dead = calloc(m->count > 0 ? m->count : 1, sizeof(*dead));
	size_t next = 0;
	uint64_t dead_until = 0; /* all below it that were passed are dead */
	int error = dead == NULL ? -ENOMEM : 0;

	if (error == 0 && m->range_count > 0)
		error = sort_ranges(m, &ranges);
	if (error != 0) {
		free(dead);
		return error;
	}
	for (uint32_t i = 0; i < m->count; i++) {
		uint32_t uid = m->entries[i].uid;

		for (; next < m->range_count && ranges[next].first <= uid; next++) {
			if ((uint64_t)ranges[next].last + 1 > dead_until)
				dead_until = (uint64_t)ranges[next].last + 1;
		}
		dead[i] = uid < dead_until;
	}
	free(ranges);
	*dead_out = dead;
	return 0;
}

int
messages_settle(struct messages *m)
{
	uint32_t kept = 0;
	bool *dead;
	int error;

	if (m->range_count == 0)
		return 0;
	error = messages_find_dead(m, &dead);
	if (error != 0)
		return error;
	for (uint32_t i = 0; i < m->count; i++) {
		if (!dead[i])
			m->entries[kept++] = m->entries[i];
	}
	m->count = kept;
	m->range_count = 0;
	free(dead);
	return 0;
}

struct index_totals
messages_totals(const struct messages *m)
{
	struct index_totals totals = { .messages = m->count };

	for (uint32_t i = 0; i < m->count; i++)
		totals.octets += m->entries[i].octets;
	return totals;
}

uint32_t
messages_search(const struct messages *m, uint32_t uid)
{
	uint32_t low = 0;
	uint32_t high = m->count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (m->entries[middle].uid < uid)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

int
messages_to_maildrop(struct messages *m, const char *address, struct maildrop **maildrop_out)
{
	struct index_totals totals = messages_totals(m);
	size_t ids_at = block_octets(m->count);
	size_t address_at = ids_at + m->ids_octets;
	size_t address_octets = strlen(address) + 1;
	struct maildrop *block = realloc(m->block, address_at + address_octets);

	must(m->range_count == 0);
	if (block == NULL)
		return -ENOMEM;
	if (m->ids_octets > 0)
		memcpy((char *)block + ids_at, m->ids, m->ids_octets);
	memcpy((char *)block + address_at, address, address_octets);
	*block = (struct maildrop){
		.address = (char *)block + address_at,
		.log_fd = -1,
		.count = totals.messages,
		.octets = totals.octets,
		.entries = (struct maildrop_entry *)(void *)(block + 1),
		.unique_ids = (char *)block + ids_at,
	};
	m->block = NULL;
	messages_free(m);
	*maildrop_out = block;
	return 0;
}

void
messages_free(struct messages *m)
{
	free(m->block);
	free(m->ids);
	free(m->ranges);
	*m = (struct messages){ 0 };
}
