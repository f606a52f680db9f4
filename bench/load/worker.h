/*
 * worker.h - one thread of the generator: many clients on one ring.
 *
 * Closed loop: each of its connections begins a new session as soon as the last one is over, until
 * the round's time is up or its share of the sessions has been begun; then all finish.  Open loop:
 * sessions begin when they are due (arrivals.h), or as soon after it as a connection is free, and
 * their time runs from when they were due.
 * In both every session of a round lies wholly within it, and what the server did meanwhile was
 * done for these.
 * Ownership: a worker owns its connections, its ring and its tally; it borrows the plan.
 */
#ifndef BENCH_LOAD_WORKER_H
#define BENCH_LOAD_WORKER_H

#include "bench/load/tally.h"
#include "bench/load/tlsclient.h"

#include <netinet/in.h>
#include <stdatomic.h>

enum plan_tls {
	PLAN_CLEAR,
	PLAN_STLS,
	PLAN_IMPLICIT,
};

/* What all workers do; read-only while a round runs, but for `release`. */
struct plan {
	struct sockaddr_in server;
	const struct mix *mix;
	struct client_identity identity;
	unsigned users;
	unsigned connections; /* of all workers together */
	unsigned threads;
	unsigned depth;     /* commands outstanding at once; 1: no pipelining */
	unsigned ramp;      /* of a holding mix: how many may be on their way to `hold` at once */
	unsigned timeout_s; /* nothing heard for so long: the session is given up */
	double rate;        /* sessions per second of an open loop; 0: closed */
	bool evenly;        /* they are due, else by chance */
	enum plan_tls tls;
	struct tlsclient_settings tls_settings;
	const struct source *source; /* NULL: there is none */
	bool verify;                 /* messages against it */
	bool lenient;                /* announced octets are not held against a server */
	bool spread;                 /* source addresses all over 127.0.0.0/8 */
	int cpu;                     /* of the first worker, the next ones follow; -1: not pinned */
	uint64_t slot_ns;            /* length of a slot of the tally */
	atomic_bool release;         /* let go those that hold */
};

/* One round. */
struct round {
	uint64_t sessions;    /* in all; 0: no limit */
	uint64_t duration_ns; /* no session is begun after it; 0: no limit */
};

struct worker;

/* The worker `index` of the plan; NULL: no memory, or TLS settings that nobody knows. */
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
