/*
 * loop.h - the event loop of one shard: submit, wait, run completions, timers, deferred work.
 *
 * Ownership: the loop owns the ring, the timer wheel and the memory behind all replies of its
 * shard. One thread.
 */
#ifndef IO_LOOP_H
#define IO_LOOP_H

#include "io/base/list.h"
#include "io/base/metric.h"
#include "io/base/segments.h"
#include "io/ring.h"
#include "io/timer.h"

#include <stdbool.h>

/* Something to be done when all that has completed is handled: a turn given up for the others'
 * sake. */
struct deferred {
	struct list item;
	void (*run)(struct deferred *d);
};

struct loop_options {
	struct ring_options ring;
	uint32_t reply_blocks_max; /* memory blocks for replies, of each kind */
	uint32_t cold_buffers_max; /* reads of files that are not in the page cache, at once */
};

struct tls_context;

#define LOOP_COLD_BUFFER_OCTETS (256u * 1024)

struct loop {
	struct ring ring;
	struct timers timers;
	struct segments_pool segments;
	struct slab cold_buffers;
	struct list cold_waiters; /* struct deferred: run when a cold buffer comes back */
	struct list deferred;
	struct op unheard;       /* for operations whose outcome nobody asks about */
	struct tls_context *tls; /* the shard's; NULL: none */
	struct count received;   /* octets, from and to sockets */
	struct count sent;
	uint64_t now_ms;    /* monotonic, as of the last wait */
	bool ring_has_more; /* completions that had to wait */
	bool stop;
};

int loop_open(struct loop *l, const struct loop_options *options);
void loop_close(struct loop *l);

/* Until loop_stop(); 0, or a negative errno when the ring is broken. */
int loop_run(struct loop *l);
/* One round of the same, waiting at most `wait_max_ms`. */
int loop_turn(struct loop *l, uint64_t wait_max_ms);

static inline void
loop_stop(struct loop *l)
{
	l->stop = true;
}

static inline void
deferred_init(struct deferred *d, void (*run)(struct deferred *d))
{
	list_init(&d->item);
	d->run = run;
}

/* Run `d` once at the end of this turn or the next.  It may be called again before that. */
static inline void
loop_defer(struct loop *l, struct deferred *d)
{
	list_remove(&d->item);
	list_append(&l->deferred, &d->item);
}

/* Forget it, wherever it waits. */
static inline void
deferred_forget(struct deferred *d)
{
	list_remove(&d->item);
}

/* A buffer for a cold read; NULL: none is left, `waiter` runs when one is. */
void *loop_take_cold_buffer(struct loop *l, struct deferred *waiter);
void loop_give_cold_buffer(struct loop *l, void *buffer);

#endif
