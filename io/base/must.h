/*
 * must.h - what only our own bug could break.
 *
 * must() stays on in production: a server that has lost its own invariants stops rather than guess.
 * Octets that come from outside (network, disk, configuration) are answered, never asserted.
 */
#ifndef IO_BASE_MUST_H
#define IO_BASE_MUST_H

#include <assert.h>
#include <stddef.h>

void must_fail(const char *condition, const char *file, int line) __attribute__((noreturn, cold));

#define must(condition)                                                                            \
	do {                                                                                       \
		if (__builtin_expect(!(condition), 0))                                             \
			must_fail(#condition, __FILE__, __LINE__);                                 \
	} while (0)

/* The struct that holds `member` at address `pointer`. */
#define container_of(pointer, type, member)                                                        \
	((type *)(void *)((char *)(pointer)-offsetof(type, member)))

#define array_count(array) (sizeof(array) / sizeof((array)[0]))

#endif
