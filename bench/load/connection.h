/*
 * connection.h - one connection of a worker, from connect to close; between worker.c and
 * connection.c only.
 *
 * A connection is: socket(2), a ring connect linked to the first receive, then for each command a
 * ring send and a single receive with provided buffers; what need not be looked at is received with
 * MSG_TRUNC, which moves no octet (MSG_WAITALL with it hangs: the ring's second try asks for the
 * whole length again, as nothing was copied that would have shortened it).  Everything that one
 * batch of completions leads to goes to the kernel in one call.
 * Invariants
 *   1. A connection has at most one receive, one connect and one watched send in flight; it is
 *      closed and used anew only when all are home.  A handle is index and generation, so late
 *      completions find nobody.
 *   2. Sends of commands in clear are not watched: they report only failures, the reply tells that
 * a send went through, and commands are far smaller than a socket's buffer.  Messages and TLS
 *      records are watched, as their memory is used again.
 *   3. A connection whose session failed rests until the next tick, so that a dead server is asked
 *      some times in a second and not as fast as we can.
 */
#ifndef BENCH_LOAD_CONNECTION_H
#define BENCH_LOAD_CONNECTION_H

#include "bench/load/arrivals.h"
#include "bench/load/worker.h"

#include <liburing.h>
#include <pthread.h>

enum connection_state {
	CONNECTION_UNUSED,
	CONNECTION_TALKING,
	CONNECTION_HOLDING,
	CONNECTION_PARTING, /* QUIT was answered; waits for the server to close */
	CONNECTION_FAILING, /* waits for its operations to come home */
	CONNECTION_RESTING, /* until the next tick */
};

struct connection {
	enum connection_state state;
	int fd;
	uint32_t generation;
	bool connect_in_flight, receive_in_flight, send_in_flight, cancelled;
	bool shaking;                          /* hands */
	uint64_t began_at, shook_at, heard_at; /* began_at: or was due at */
	unsigned asked, heard;                 /* replies awaited and complete, over the session */
	uint64_t *asked_at;                    /* of each outstanding one, a ring of plan->depth */
	char *commands;                        /* plan->depth of CLIENT_COMMAND_OCTETS */
	struct span message;                   /* what is left to be sent of it */
	struct tlsclient *tls;                 /* NULL: in clear */
	struct client client;
};

struct worker {
	struct plan *plan;
	unsigned index;
	struct round round;
	struct tally tally;
	struct client_memory *memory;
	struct tlsclient_context *tls;

	struct connection *connections;
	uint64_t *asked_memory;
	char *command_memory;
	uint32_t *unused; /* a stack of indexes */
	unsigned connection_count, unused_count, active, setting_up;
	uint64_t sessions_begun, sessions_limit;
	uint64_t began_at, stop_at, ticked_at;
	bool released;
	struct arrivals arrivals;

	struct io_uring ring;
	struct io_uring_buf_ring *buffers;
	size_t buffer_octets;
	char *buffer_memory;
	char *nowhere; /* an address for receives that move nothing; no memory behind it */
	char *plain;   /* what TLS brought */

	pthread_t thread;
	atomic_bool done;
	int error;
};

enum {
	BUFFER_COUNT = 512, /* a power of two */
	BUFFER_GROUP = 0,
	DISCARD_OCTETS_MAX = 1 << 30,
	PLAIN_OCTETS = 65536,
};

/* Begin a session that was due at `due` (now in a closed loop) on an unused connection. */
void connection_begin(struct worker *w, struct connection *c, uint64_t due, uint64_t now);
/* A completion of one of its operations, whose name is `data`; `octets` as provided. */
void connection_completed(
	struct worker *w, const struct io_uring_cqe *cqe, const char *octets, uint64_t now);
/* Go on behind `hold`. */
void connection_release(struct worker *w, struct connection *c, uint64_t now);
void connection_fail(struct worker *w, struct connection *c, enum client_fault fault, uint64_t now);
/* The one place where a connection's state changes, so that the counts follow. */
void connection_enter(struct worker *w, struct connection *c, enum connection_state state);

/* In worker.c: begin sessions on unused connections as far as the plan goes. */
void worker_fill(struct worker *w, uint64_t now);
/* The slot of the round's course that is now. */
struct tally_slot *worker_slot(struct worker *w, uint64_t now);

/* One writer: a plain load and store is enough, and cheaper than a locked addition. */
static inline void
counter_change(atomic_uint_fast64_t *counter, uint64_t by)
{
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + by,
		memory_order_relaxed);
}

#endif
