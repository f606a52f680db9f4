/*
 * listing.c - see listing.h.
 */
#include "storage/listing.h"

#include <errno.h>
#include <stdlib.h>

#define MARKS_PER_WORD 64u

void
listing_init(struct listing *l, const struct maildrop *maildrop)
{
	*l = (struct listing){ .maildrop = maildrop };
	listing_restore_all(l);
}

void
listing_clear(struct listing *l)
{
	free(l->marks);
	*l = (struct listing){ 0 };
}

static bool
is_marked(const struct listing *l, uint32_t index)
{
	return l->marks != NULL &&
		(l->marks[index / MARKS_PER_WORD] >> (index % MARKS_PER_WORD) & 1) != 0;
}

const struct maildrop_entry *
listing_find(const struct listing *l, uint32_t message_number)
{
	uint32_t index = message_number - 1;

	if (message_number == 0 || message_number > l->maildrop->count || is_marked(l, index))
		return NULL;
	return &l->maildrop->entries[index];
}

int
listing_mark_deleted(struct listing *l, uint32_t message_number)
{
	const struct maildrop_entry *message = listing_find(l, message_number);
	uint32_t index = message_number - 1;

	if (message == NULL)
		return -ENOENT;
	if (l->marks == NULL)
		l->marks = calloc(l->maildrop->count / MARKS_PER_WORD + 1, sizeof(*l->marks));
	if (l->marks == NULL)
		return -ENOMEM;
	l->marks[index / MARKS_PER_WORD] |= (uint64_t)1 << (index % MARKS_PER_WORD);
	l->octets -= message->octets;
	l->count--;
	return 0;
}

void
listing_restore_all(struct listing *l)
{
	free(l->marks);
	l->marks = NULL;
	l->count = l->maildrop == NULL ? 0 : l->maildrop->count;
	l->octets = l->maildrop == NULL ? 0 : l->maildrop->octets;
}

void
listing_deleted_uids(const struct listing *l, uint32_t *uids_out)
{
	if (l->marks == NULL)
		return;
	for (uint32_t i = 0; i < l->maildrop->count; i++)
		if (is_marked(l, i))
			*uids_out++ = l->maildrop->entries[i].uid;
}
