/*
 * list.h - an intrusive doubly linked list with a head of its own.
 */
#ifndef IO_BASE_LIST_H
#define IO_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
	struct list *next;
	struct list *previous;
};

static inline void
list_init(struct list *l)
{
	l->next = l;
	l->previous = l;
}

static inline bool
list_is_empty(const struct list *l)
{
	return l->next == l;
}

/* Behind the last one. */
static inline void
list_append(struct list *head, struct list *item)
{
	item->next = head;
	item->previous = head->previous;
	head->previous->next = item;
	head->previous = item;
}

/* Leaves `item` as a list of its own, so that a second removal is harmless. */
static inline void
list_remove(struct list *item)
{
	item->next->previous = item->previous;
	item->previous->next = item->next;
	list_init(item);
}

/* The first one, taken out; NULL from an empty list. */
static inline struct list *
list_take_first(struct list *head)
{
	struct list *item = head->next;

	if (item == head)
		return NULL;
	list_remove(item);
	return item;
}

/* All items of `from` move to the end of `to`. */
static inline void
list_move_all(struct list *from, struct list *to)
{
	if (list_is_empty(from))
		return;
	from->next->previous = to->previous;
	from->previous->next = to;
	to->previous->next = from->next;
	to->previous = from->previous;
	list_init(from);
}

#endif
