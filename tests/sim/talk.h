/*
 * talk.h - a guest's end of a dialogue: what it has still to say, what it has heard and not yet
 * understood.
 *
 * Octets are written in pieces of any size, and read so; a guest may be slow.  Time passes in
 * talk_hear() only.
 */
#ifndef TESTS_SIM_TALK_H
#define TESTS_SIM_TALK_H

#include "tests/sim/net.h"

struct talk {
	struct net_conn *conn;
	char *out; /* to be said */
	size_t out_length;
	size_t out_room;
	char *in; /* heard */
	size_t in_from;
	size_t in_length;
	size_t in_room;
	bool is_slow;
	bool shuts; /* when all is said */
	bool is_over;
	bool was_reset;
};

/* Come in, as soon as somebody listens; *excuses_out is sim.excuses as we came. */
void talk_open(struct talk *t, unsigned port, unsigned address, uint64_t *excuses_out);
void talk_close(struct talk *t);
/* The connection is cut. */
void talk_reset(struct talk *t);

void talk_say(struct talk *t, struct span octets);
/* What was heard, as a whole. */
struct span talk_heard(const struct talk *t);
/* `count` octets of it are understood. */
void talk_understood(struct talk *t, size_t count);
/* Say on and wait until something more is heard; false: the dialogue is over. */
bool talk_hear(struct talk *t);

#endif
