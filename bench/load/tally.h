/*
 * tally.h - what a round brought: counters, a histogram for each verb, and its course in time.
 *
 * One thread writes its own tally, they are added up when the round is over.  Two counters are
 * atomic, for the progress line and for the conductor of a holding mix.
 * Ownership: plain data.
 */
#ifndef BENCH_LOAD_TALLY_H
#define BENCH_LOAD_TALLY_H

#include "bench/load/client.h"
#include "bench/load/histogram.h"

#include <stdatomic.h>

enum {
	TALLY_SLOTS = 4096
};

/* What was completed in one short piece of the round. */
struct tally_slot {
	uint64_t octets;
	uint32_t sessions, messages, failed;
};

struct tally {
	atomic_uint_fast64_t sessions; /* whole ones, every reply right */
	atomic_uint_fast64_t held;     /* connections that hold at this moment */
	atomic_uint_fast64_t failed;
	uint64_t connections;
	uint64_t messages; /* fetched, or delivered, one for each recipient */
	uint64_t octets;   /* received, and of messages delivered */
	uint64_t handshakes, resumed;
	char tls[64];        /* version and cipher of the first handshake */
	uint64_t cpu_ns;     /* of the generator's thread */
	uint64_t waiting_ns; /* it could have run, and others had its core */
	uint64_t faults[CLIENT_FAULT_COUNT];
	char first_fault[160];
	struct histogram latency[MIX_VERB_COUNT]; /* from command (or connect) to the reply's end */
	struct histogram session;                 /* in an open loop from when it was due */
	struct histogram lateness;                /* of an open loop: from due to begun */
	struct tally_slot slots[TALLY_SLOTS];     /* the last one holds what comes later too */
};

void tally_add(struct tally *into, const struct tally *from);

#endif
