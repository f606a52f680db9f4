/*
 * report.h - the figures of one run, for people and for programs.
 *
 * Everything is derived in figures.c from what was counted; no other file divides.  The table
 * (report.c), the JSON (report_json.c) and the page (report_html.c) are ways to say it.
 * Ownership: a report borrows all it points to.
 */
#ifndef BENCH_LOAD_REPORT_H
#define BENCH_LOAD_REPORT_H

#include "bench/load/syscalls.h"
#include "bench/load/target.h"
#include "bench/load/worker.h"

#include <stdio.h>

struct report {
	const struct plan *plan;
	const char *label;   /* of the server */
	const char *command; /* as it was typed */
	const struct tally *tally;
	uint64_t elapsed_ns; /* of the measured round */
	/* of the generator's busiest thread: CPU, and waiting for a core that others had */
	uint64_t busiest_ns, busiest_waiting_ns;

	const struct target_sample *before, *after; /* of the server; NULL: not asked for */
	uint64_t peak_pss_octets;                   /* of the samples in between too */
	/* of a holding mix: before the first connection, when all held, after the hold */
	const struct target_sample *held_first, *held_last;
	uint64_t held; /* connections */
	uint64_t held_ns;
	const struct syscalls *syscalls; /* NULL: not asked for */
};

struct figures {
	double seconds;
	double sessions_per_s, connections_per_s, messages_per_s, mb_per_s, handshakes_per_s;
	double generator_share, generator_waiting; /* of one core, the busiest thread */
	bool generator_was_bottleneck;
	double cpu_us_per_session, cpu_us_per_message, cpu_us_per_mb, cpu_share, user_share;
	double switches_per_session;
	double syscalls_per_session;
	double rss_per_held, pss_per_held, anonymous_per_held;
	double held_cpu_us_per_s;
};

void figures_of(const struct report *r, struct figures *figures_out);

/* A table for people. */
void report_print(const struct report *r, FILE *to);

/* One JSON object, in memory that the caller frees; NULL: no memory. */
char *report_to_json(const struct report *r);

/* One page that holds all it needs: figures, charts, no network.  0 or a negative errno. */
int report_write_html(const struct report *r, const char *path);

#endif
