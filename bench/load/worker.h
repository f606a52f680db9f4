/*
 * worker.h - one thread of the generator: many clients on one ring.
 *
 * Closed loop: each of its connections begins a new session as soon as the last one is over, until
 * the round's time is up or its share of the sessions has been begun; then all finish.  So every
 * session of a round lies wholly within it, and what the server did meanwhile was done for these.
 * Ownership: a worker owns its connections, its ring and its tally; it borrows the plan.
 */
#ifndef BENCH_LOAD_WORKER_H
#define BENCH_LOAD_WORKER_H

#include "bench/load/tally.h"

#include <netinet/in.h>
#include <stdatomic.h>

/* What all workers do; read-only while a round runs, but for `release`. */
struct plan {
	struct sockaddr_in server;
	const struct mix *mix;
	struct client_identity identity;
	unsigned users;
	unsigned connections; /* of all workers together */
	unsigned threads;
	unsigned ramp;       /* of a holding mix: how many may be on their way to `hold` at once */
	unsigned timeout_s;  /* nothing heard for so long: the session is given up */
	bool spread;         /* source addresses all over 127.0.0.0/8 */
	int cpu;             /* of the first worker, the next ones follow; -1: not pinned */
	atomic_bool release; /* let go those that hold */
};

/* One round. */
struct round {
	uint64_t sessions;    /* in all; 0: no limit */
	uint64_t duration_ns; /* no session is begun after it; 0: no limit */
};

struct worker;

/* The worker `index` of the plan; NULL: no memory. */
struct worker *worker_make(struct plan *plan, unsigned index);
void worker_free(struct worker *w);

/* Start a round in a thread of its own; 0 or a negative errno. */
int worker_start(struct worker *w, const struct round *round);
/* Whether its round is over. */
bool worker_is_done(const struct worker *w);
/* Wait for its end; 0 or the negative errno that ended it early. */
int worker_join(struct worker *w);

/* Of the current or last round. */
const struct tally *worker_tally(const struct worker *w);

#endif
