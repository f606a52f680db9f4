/*
 * states.h - which crash states are looked at.
 *
 * A plan follows from a log and a seed alone, so state 4711 of a seed is the same again and again.
 */
#ifndef TESTS_POWER_STATES_H
#define TESTS_POWER_STATES_H

#include "tests/power/cut.h"

struct state {
	uint32_t number; /* from 0; also makes the seed of what is lost */
	enum cut_kind kind;
	size_t at; /* the power goes before this record */
};

struct states_wish {
	uint32_t count;
	uint64_t seed;
	bool is_control; /* an acknowledgement lies between the last flush and the cut */
};

/* `count` states in order of `at`; the caller frees them.  NULL: the log has no `begin`, or no
 * acknowledgement behind it. */
struct state *states_plan(const struct power_log *log, const struct states_wish *wish);

uint64_t state_seed(const struct states_wish *wish, const struct state *state);
const char *state_kind_name(enum cut_kind kind);

#endif
