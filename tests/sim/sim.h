/*
 * sim.h - one simulated world: a clock, a seed, what happens when, and whose memory is whose.
 *
 * All of it runs in one thread.  What takes time is an event; code that waits is a fiber, switched
 * to by its event and back when it waits.  A process is all that dies together: its fibers, its
 * memory (every malloc() made on its behalf), its descriptors.  So a crash is one call, and what a
 * process leaves behind when it ends is known.
 * Invariants
 *   1. Everything follows from the seed: no address, no clock and no random number of the host ever
 *      decides anything.  The trace is a digest of all that happened; the same seed gives the same.
 *   2. Fibers are switched only where the simulator's own code says so (a call to the disk, an
 *      empty ring), never inside the server's.
 * There is one world at a time.
 */
#ifndef TESTS_SIM_SIM_H
#define TESTS_SIM_SIM_H

#include "io/base/list.h"
#include "io/base/must.h"
#include "io/base/span.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SIM_US 1000u
#define SIM_MS 1000000u
#define SIM_S  1000000000u

/* What may go wrong.  Those before FAULT_EXCUSES must be met without the guest noticing; the others
 * may be answered [SYS/TEMP], or end a connection. */
enum sim_fault {
	FAULT_SHORT,   /* a short send or receive */
	FAULT_NOBUFS,  /* no receive buffer */
	FAULT_COLD,    /* not in a cache: the disk that does not wait says -EAGAIN */
	FAULT_EXCUSES, /* (none itself) */
	FAULT_EMFILE = FAULT_EXCUSES,
	FAULT_OPEN,
	FAULT_READ,
	FAULT_WRITE,
	FAULT_SYNC,
	FAULT_RENAME,
	FAULT_SPACE,  /* a while without space */
	FAULT_MEMORY, /* an allocation fails */
	FAULT_COUNT,
};

struct sim_process {
	const char *name;
	bool is_alive;
	struct list fibers;
	struct list memory;
	uint64_t octets; /* of memory */
	uint32_t blocks;
};

struct sim {
	uint64_t seed;
	uint64_t random;
	uint64_t now_ns; /* since 1970, and the monotonic clock as well */
	uint64_t began_ns;
	uint64_t trace;
	uint64_t steps;               /* events so far */
	uint32_t one_in[FAULT_COUNT]; /* how often a fault strikes; 0: never */
	uint64_t faults[FAULT_COUNT]; /* how often it has */
	uint64_t excuses;             /* how many of them may be noticed */
	struct sim_process *process;  /* whose code runs; NULL: the simulator's own */
	bool faults_on;
	bool stops;       /* the server is being stopped: whoever comes is cut off with cause */
	bool loses_syncs; /* the negative control: the disk forgets what was synced */
	bool talks;       /* print what happens */
};

extern struct sim sim;

void sim_begin(uint64_t seed);
/* Nothing may be left: no event, no fiber. */
void sim_end(void);

/* ---- chance ---- */

uint64_t sim_random(void);
/* 0 to n - 1. */
uint32_t sim_below(uint32_t n);
/* True once in n; n 0: never. */
bool sim_chance(uint32_t n);
/* Does this fault strike here and now? */
bool sim_strikes(enum sim_fault f);

/* ---- the trace ---- */

/* Something happened.  `what` is a constant; a and b must not depend on addresses. */
void sim_note(const char *what, uint64_t a, uint64_t b);
/* A promise was broken: says what, and how to see it again, and ends the program. */
void sim_violation(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* ---- time ---- */

/* Call `what(ctx, number)` in `delay_ns`, as `process`, unless that dies before. */
void sim_later(uint64_t delay_ns, struct sim_process *process,
	void (*what)(void *ctx, uint64_t number), void *ctx, uint64_t number);
/* Run one event; false: there is none. */
bool sim_step(void);

/* ---- processes and fibers ---- */

void sim_process_start(struct sim_process *p, const char *name);
/* All of it is gone at once.  Not from one of its own fibers. */
void sim_process_kill(struct sim_process *p);
/* It has ended in order: nothing may be left of it. */
void sim_process_end(struct sim_process *p);

struct fiber;

/* Runs `body` as `process` from some time after now.  Freed by itself. */
void fiber_start(struct sim_process *process, void (*body)(void *ctx), void *ctx);
/* The fiber that runs, or NULL. */
struct fiber *fiber_self(void);
void fiber_sleep(uint64_t ns);
/* Wait for fiber_wake(), or at most `ns` (UINT64_MAX: for ever). */
void fiber_wait(uint64_t ns);
/* It goes on soon; nothing happens if it does not wait. */
void fiber_wake(struct fiber *f);

/* ---- memory ---- */

/* What processes have learnt of disks that fail (doubt.c): the world is over. */
void sim_doubts_forget_world(void);

/* The simulator's own memory: never fails, belongs to no process. */
void *sim_allocate(size_t octets);
void *sim_grow(void *block, size_t octets);
void sim_free(void *block);
/* Memory of the process that runs, as malloc() gives it, but never refused. */
void *sim_process_allocate(size_t octets);
void sim_process_free(void *block);

#endif
