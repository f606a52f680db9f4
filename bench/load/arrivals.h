/*
 * arrivals.h - when the next session is due in an open loop.
 *
 * Sessions come at a rate of their own, whatever the server does: evenly, or each at a time that
 * knows nothing of the one before (exponential gaps, as people come).  With a ramp the rate rises
 * from 0 to the full one at the end.  The times depend on nothing but the seed, so a session that
 * could not begin in time is still measured from when it was due.
 * Ownership: plain data of one thread.
 */
#ifndef BENCH_LOAD_ARRIVALS_H
#define BENCH_LOAD_ARRIVALS_H

#include <stdbool.h>
#include <stdint.h>

struct arrivals {
	double per_s;
	bool evenly, ramps;
	uint64_t began_at, duration_ns;
	double expected; /* sessions until the next one, if none were random */
	uint64_t chance;
	uint64_t next_at;
};

/* Begin at `now`; `share` (0 to below 1) shifts even arrivals, so that threads take turns.  A ramp
 * needs the duration. */
void arrivals_start(struct arrivals *a, double share, uint64_t seed, uint64_t now);
/* On to the one behind next_at. */
void arrivals_advance(struct arrivals *a);

#endif
