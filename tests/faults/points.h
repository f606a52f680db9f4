/*
 * points.h - places outside the disk where a run may be made to fail: allocations, and the calls to
 * LMDB.
 *
 * The linker sends the house's malloc, calloc, realloc, reallocarray, strdup and mdb_... here
 * (--wrap, see the Makefile), so what is tested is the code that ships.  Between points_arm() and
 * points_disarm() the calls of the kind that was asked for are counted, and the n-th one fails,
 * once or with all that follow.  Memory that was taken meanwhile and not given back is a leak.
 */
#ifndef TESTS_FAULTS_POINTS_H
#define TESTS_FAULTS_POINTS_H

#include <stdbool.h>
#include <stddef.h>

enum points_kind {
	POINTS_NONE,
	POINTS_ALLOCATION,
	POINTS_LMDB,
};

/* `error` is a positive errno, for LMDB; allocations return NULL. */
void points_arm(enum points_kind kind, unsigned fail_at, int error, bool is_sticky);
/* True if the call that was to fail was made. */
bool points_disarm(void);
/* Blocks that were taken since points_arm() and are still out; at the end of what was armed. */
size_t points_leaked(void);

/* For the wrappers: does this call fail? */
bool points_fail(enum points_kind kind);
int points_error(void);

#endif
