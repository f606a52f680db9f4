/*
 * ring.h - what the substitutes for the kernel say to each other.
 */
#ifndef TESTS_SIM_RING_H
#define TESTS_SIM_RING_H

#include "io/ring.h"
#include "tests/sim/sim.h"

/* An operation that nobody started completes (a job that comes home). */
void simring_complete(struct ring *r, struct op *op, int result);

#endif
