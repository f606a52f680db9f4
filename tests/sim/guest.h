/*
 * guest.h - a POP3 client that checks every reply against the model.
 */
#ifndef TESTS_SIM_GUEST_H
#define TESTS_SIM_GUEST_H

#include "tests/sim/accounts.h"

#include <stdbool.h>

#define GUEST_PORT 110u

/* Two sessions never share a maildrop (session_policy = exclusive); set it for each world. */
extern bool guest_expects_claims;

/* One session from beginning to end, in a fiber of nobody's. */
void guest_visit(unsigned account, unsigned address);

/* A session that looks at every message; all must be well. */
void guest_inspect(unsigned account);

/* How many sessions there were, how many replies were checked, how many ended in QUIT's +OK. */
struct guest_counts {
	unsigned sessions;
	unsigned replies;
	unsigned farewells;
	unsigned lost;
};
extern struct guest_counts guest_counts;

#endif
