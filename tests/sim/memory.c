/*
 * memory.c - see memory.h.
 *
 * In front of each block stands who owns it.  Allocations of a process fail when FAULT_MEMORY
 * strikes; mmap() as the good-login cache uses it is memory too.
 */
#include "tests/sim/memory.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

struct block {
	struct list item;
	struct sim_process *owner;
	size_t octets;
	bool is_mapped;
	_Alignas(16) char content[];
};

void *__real_malloc(size_t octets);
void *__real_realloc(void *block, size_t octets);
void __real_free(void *block);
void *__wrap_malloc(size_t octets);
void *__wrap_calloc(size_t count, size_t octets);
void *__wrap_realloc(void *old, size_t octets);
void *__wrap_aligned_alloc(size_t alignment, size_t octets);
void __wrap_free(void *content);
char *__wrap_strdup(const char *text);
void *__wrap_mmap(void *at, size_t octets, int protection, int flags, int fd, off_t offset);
int __wrap_munmap(void *at, size_t octets);
ssize_t __wrap_getdelim(char **text, size_t *room, int end, FILE *file);
ssize_t __wrap_getrandom(void *to, size_t octets, unsigned flags);

static struct block *
block_of(void *content)
{
	return container_of(content, struct block, content);
}

void *
sim_allocate(size_t octets)
{
	return sim_grow(NULL, octets);
}

void *
sim_grow(void *block, size_t octets)
{
	void *grown = __real_realloc(block, octets + (octets == 0));

	must(grown != NULL);
	return grown;
}

void
sim_free(void *block)
{
	__real_free(block);
}

void *
sim_process_allocate(size_t octets)
{
	struct sim_process *owner = sim.process;
	struct block *b = __real_malloc(sizeof(*b) + octets);

	must(b != NULL);
	b->owner = owner;
	b->octets = octets;
	b->is_mapped = false;
	list_init(&b->item);
	if (owner != NULL) {
		list_append(&owner->memory, &b->item);
		owner->blocks++;
		owner->octets += octets;
	}
	return b->content;
}

void
sim_process_free(void *content)
{
	__wrap_free(content);
}

void *
__wrap_malloc(size_t octets)
{
	if (sim.process != NULL && sim_strikes(FAULT_MEMORY)) {
		errno = ENOMEM;
		return NULL;
	}
	return sim_process_allocate(octets);
}

void *
__wrap_calloc(size_t count, size_t octets)
{
	void *content = __wrap_malloc(count * octets);

	if (content != NULL)
		memset(content, 0, count * octets);
	return content;
}

void *
__wrap_aligned_alloc(size_t alignment, size_t octets)
{
	must(alignment <= 16);
	return __wrap_malloc(octets);
}

void
__wrap_free(void *content)
{
	struct block *b;

	if (content == NULL)
		return;
	b = block_of(content);
	list_remove(&b->item);
	if (b->owner != NULL) {
		must(b->owner == sim.process);
		b->owner->blocks--;
		b->owner->octets -= b->octets;
	}
	__real_free(b);
}

void *
__wrap_realloc(void *old, size_t octets)
{
	void *grown;

	if (old == NULL)
		return __wrap_malloc(octets);
	grown = __wrap_malloc(octets);
	if (grown == NULL)
		return NULL;
	memcpy(grown, old, block_of(old)->octets < octets ? block_of(old)->octets : octets);
	__wrap_free(old);
	return grown;
}

char *
__wrap_strdup(const char *text)
{
	size_t octets = strlen(text) + 1;
	char *copy = __wrap_malloc(octets);

	return copy == NULL ? NULL : memcpy(copy, text, octets);
}

void *
__wrap_mmap(void *at, size_t octets, int protection, int flags, int fd, off_t offset)
{
	void *content;

	(void)protection;
	(void)offset;
	must(at == NULL && fd == -1 && (flags & MAP_ANONYMOUS) != 0);
	content = __wrap_calloc(1, octets);
	if (content == NULL)
		return MAP_FAILED;
	block_of(content)->is_mapped = true;
	return content;
}

int
__wrap_munmap(void *at, size_t octets)
{
	must(block_of(at)->is_mapped && block_of(at)->octets == octets);
	__wrap_free(at);
	return 0;
}

/* Its block is free()d by the caller, so it has to be one of ours.  Whole files only. */
ssize_t
__wrap_getdelim(char **text, size_t *room, int end, FILE *file)
{
	size_t length = 0;
	int c;

	must(end == EOF && *text == NULL);
	while ((c = getc(file)) != EOF) {
		if (length + 1 >= *room) {
			*room = *room * 2 + 128;
			*text = __wrap_realloc(*text, *room);
		}
		(*text)[length++] = (char)c;
		(*text)[length] = '\0';
	}
	return length == 0 ? -1 : (ssize_t)length;
}

/* Keys and generations come of the seed too. */
ssize_t
__wrap_getrandom(void *to, size_t octets, unsigned flags)
{
	(void)flags;
	for (size_t i = 0; i < octets; i++)
		((char *)to)[i] = (char)sim_random();
	return (ssize_t)octets;
}

void
memory_free_all(struct sim_process *p)
{
	struct list *item;

	while ((item = list_take_first(&p->memory)) != NULL)
		__real_free(container_of(item, struct block, item));
	p->blocks = 0;
	p->octets = 0;
}
