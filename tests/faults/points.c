/*
 * points.c - counting and failing; the wrappers of the allocator.
 */
#include "tests/faults/points.h"

#include "io/base/must.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define BLOCKS_MAX 16384u /* a power of two, far more than any scenario holds */

static struct {
	enum points_kind kind;
	unsigned calls;
	unsigned fail_at;
	int error;
	bool is_sticky;
	bool was_hit;
	bool is_armed;
} points;

/* The blocks that are out: open addressing, a block that went leaves a tombstone. */
static void *blocks[BLOCKS_MAX];
static size_t block_count;
static char gone;

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *block, size_t size);
void *__real_reallocarray(void *block, size_t count, size_t size);
char *__real_strdup(const char *text);
void __real_free(void *block);

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *block, size_t size);
void *__wrap_reallocarray(void *block, size_t count, size_t size);
char *__wrap_strdup(const char *text);
void __wrap_free(void *block);

void
points_arm(enum points_kind kind, unsigned fail_at, int error, bool is_sticky)
{
	memset(blocks, 0, sizeof(blocks));
	block_count = 0;
	points.kind = kind;
	points.calls = 0;
	points.fail_at = fail_at;
	points.error = error;
	points.is_sticky = is_sticky;
	points.was_hit = false;
	points.is_armed = true;
}

bool
points_disarm(void)
{
	points.is_armed = false;
	return points.was_hit;
}

size_t
points_leaked(void)
{
	return block_count;
}

int
points_error(void)
{
	return points.error;
}

bool
points_fail(enum points_kind kind)
{
	if (!points.is_armed || points.kind != kind)
		return false;
	if (points.was_hit)
		return points.is_sticky;
	points.was_hit = ++points.calls == points.fail_at;
	return points.was_hit;
}

static size_t
place_of(const void *block)
{
	return (size_t)((uintptr_t)block >> 4) * 2654435761u % BLOCKS_MAX;
}

static void *
note_taken(void *block)
{
	size_t at = place_of(block);

	if (!points.is_armed || block == NULL)
		return block;
	must(block_count < BLOCKS_MAX / 2);
	while (blocks[at] != NULL && blocks[at] != &gone)
		at = (at + 1) % BLOCKS_MAX;
	blocks[at] = block;
	block_count++;
	return block;
}

/* What was taken before points_arm(), or by a library, is not known here. */
static void
note_given(const void *block)
{
	if (!points.is_armed || block == NULL)
		return;
	for (size_t at = place_of(block); blocks[at] != NULL; at = (at + 1) % BLOCKS_MAX) {
		if (blocks[at] == block) {
			blocks[at] = &gone;
			block_count--;
			return;
		}
	}
}

static void *
refuse(void)
{
	errno = ENOMEM;
	return NULL;
}

void *
__wrap_malloc(size_t size)
{
	return points_fail(POINTS_ALLOCATION) ? refuse() : note_taken(__real_malloc(size));
}

void *
__wrap_calloc(size_t count, size_t size)
{
	return points_fail(POINTS_ALLOCATION) ? refuse() : note_taken(__real_calloc(count, size));
}

void *
__wrap_realloc(void *block, size_t size)
{
	if (points_fail(POINTS_ALLOCATION))
		return refuse();
	note_given(block);
	return note_taken(__real_realloc(block, size));
}

void *
__wrap_reallocarray(void *block, size_t count, size_t size)
{
	if (points_fail(POINTS_ALLOCATION))
		return refuse();
	note_given(block);
	return note_taken(__real_reallocarray(block, count, size));
}

char *
__wrap_strdup(const char *text)
{
	return points_fail(POINTS_ALLOCATION) ? refuse() : note_taken(__real_strdup(text));
}

void
__wrap_free(void *block)
{
	note_given(block);
	__real_free(block);
}
