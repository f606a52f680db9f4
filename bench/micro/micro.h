/*
 * micro.h - what the small benchmarks share: clocks, and figures as a line for people or as JSON.
 *
 * A figure has a name and a unit.  With --json all figures of a program are one object
 * { "name": number, ... }, the unit being the end of the name.
 */
#ifndef BENCH_MICRO_MICRO_H
#define BENCH_MICRO_MICRO_H

#include <ctype.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static inline uint64_t
clock_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static inline uint64_t
wall_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

/* Octets as a size: 4 KiB, 1 MiB. */
static inline const char *
size_text(uint64_t octets, char to[16])
{
	if (octets >= 1 << 20)
		snprintf(to, 16, "%u MiB", (unsigned)(octets >> 20));
	else
		snprintf(to, 16, "%u KiB", (unsigned)(octets >> 10));
	return to;
}

struct figures {
	bool json;
	unsigned count;
};

static inline void
figures_begin(struct figures *f, int argc, char **argv)
{
	*f = (struct figures){ .json = argc > 1 && strcmp(argv[1], "--json") == 0 };
	if (f->json)
		printf("{");
}

/* `name` in words; in JSON all but letters and digits are underscores. */
static inline void
figures_put(struct figures *f, const char *name, double value, const char *unit)
{
	if (!f->json) {
		printf("%-52s %12.1f %s\n", name, value, unit);
		return;
	}
	printf("%s\"", f->count++ == 0 ? "" : ", ");
	for (const char *at = name; *at != '\0'; at++)
		putchar(isalnum((unsigned char)*at) ? *at : '_');
	printf("_%s\": %.3f", unit, value);
}

static inline void
figures_end(struct figures *f)
{
	if (f->json)
		printf("}\n");
}

#endif
