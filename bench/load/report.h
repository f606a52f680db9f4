/*
 * report.h - the figures of one run, for people and for programs.
 *
 * Everything is derived here from what was counted; no other file divides.
 * Ownership: a report borrows all it points to.
 */
#ifndef BENCH_LOAD_REPORT_H
#define BENCH_LOAD_REPORT_H

#include "bench/load/syscalls.h"
#include "bench/load/worker.h"

#include <stdio.h>

struct report {
	const struct plan *plan;
	const char *command; /* as it was typed */
	const struct tally *tally;
	uint64_t elapsed_ns; /* of the measured round */
	uint64_t busiest_ns; /* CPU of the busiest of the generator's threads */

	const struct target_sample *before, *after; /* of the server; NULL: not asked for */
	/* of a holding mix: before the first connection, when all held, after the hold */
	const struct target_sample *held_first, *held_last;
	uint64_t held; /* connections */
	uint64_t held_ns;
	const struct syscalls *syscalls; /* NULL: not asked for */
};

/* A table for people. */
void report_print(const struct report *r, FILE *to);
/* One JSON object; 0 or -ENOMEM. */
int report_print_json(const struct report *r, FILE *to);

/* Whether the generator had no time left, so that the rates are its own and not the server's. */
bool report_generator_was_bottleneck(const struct report *r);

#endif
