/*
 * loop.c - see loop.h.
 */
#include "io/loop.h"

#include "io/base/clock.h"
#include "io/base/must.h"

/* What was deferred gets so long in one turn, and a bit for the first of it. */
#define DEFERRED_NS         3000000u
#define DEFERRED_CLOCK_EACH 4u /* between two looks at the clock */

static void
nobody_asks(struct op *op, int result, uint32_t flags)
{
	(void)op;
	(void)result;
	(void)flags;
}

int
loop_open(struct loop *l, const struct loop_options *options)
{
	int error;

	*l = (struct loop){ .now_ms = clock_monotonic_ms() };
	error = ring_open(&options->ring, &l->ring);
	if (error != 0)
		return error;
	timers_init(&l->timers, l->now_ms);
	segments_pool_init(&l->segments, options->reply_blocks_max);
	slab_init(&l->cold_buffers, LOOP_COLD_BUFFER_OCTETS, options->cold_buffers_max);
	list_init(&l->cold_waiters);
	list_init(&l->deferred);
	l->unheard.done = nobody_asks;
	return 0;
}

void
loop_close(struct loop *l)
{
	ring_close(&l->ring);
	segments_pool_destroy(&l->segments);
	slab_destroy(&l->cold_buffers);
}

/* In their order, for a bounded time: the rest goes on behind the next completions. */
static void
run_deferred(struct loop *l)
{
	uint64_t ends_ns = 0;
	unsigned done = 0;
	struct list batch;
	struct list *item;

	list_init(&batch);
	list_move_all(&l->deferred, &batch);
	while ((item = list_take_first(&batch)) != NULL) {
		struct deferred *d = container_of(item, struct deferred, item);

		d->run(d);
		if (done++ == 0)
			ends_ns = clock_monotonic_ns() + DEFERRED_NS;
		else if (done % DEFERRED_CLOCK_EACH == 0 && clock_monotonic_ns() >= ends_ns)
			break;
	}
	list_move_all(&l->deferred, &batch); /* what came now goes behind what is left */
	list_move_all(&batch, &l->deferred);
}

static uint64_t
nanoseconds(uint64_t ms)
{
	return ms > UINT64_MAX / 1000000 ? UINT64_MAX : ms * 1000000;
}

int
loop_turn(struct loop *l, uint64_t wait_max_ms)
{
	uint64_t wait_ms = timers_wait_ms(&l->timers, l->now_ms);
	int error;

	if (wait_ms > wait_max_ms)
		wait_ms = wait_max_ms;
	if (!list_is_empty(&l->deferred) || l->ring_has_more)
		wait_ms = 0;
	error = ring_wait(&l->ring, nanoseconds(wait_ms));
	if (error != 0)
		return error;
	l->now_ms = clock_monotonic_ms();
	l->ring_has_more = ring_run(&l->ring);
	timers_run(&l->timers, l->now_ms);
	run_deferred(l);
	return 0;
}

int
loop_run(struct loop *l)
{
	int error = 0;

	while (!l->stop && error == 0)
		error = loop_turn(l, UINT64_MAX);
	return error;
}

void *
loop_take_cold_buffer(struct loop *l, struct deferred *waiter)
{
	void *buffer = slab_take(&l->cold_buffers);

	if (buffer == NULL) {
		list_remove(&waiter->item);
		list_append(&l->cold_waiters, &waiter->item);
	}
	return buffer;
}

void
loop_give_cold_buffer(struct loop *l, void *buffer)
{
	struct list *waiter;

	slab_give(&l->cold_buffers, buffer);
	waiter = list_take_first(&l->cold_waiters);
	if (waiter != NULL)
		list_append(&l->deferred, waiter);
}
