/*
 * ring.c - io/ring.h by a kernel of our own.
 *
 * An operation is a flight: queued, then submitted by ring_wait(), then looked at some time later,
 * and again whenever its socket has changed, until it can be done.  Its completion is harvested by
 * ring_run().  What a kernel may do it does: take long, answer in another order than asked, send
 * and receive less, have no buffer.
 *
 * A flight is memory of its process, so it dies with it.
 */
#include "io/ring.h"

#include "io/base/must.h"
#include "tests/sim/disk.h"
#include "tests/sim/files.h"
#include "tests/sim/net.h"
#include "tests/sim/ring.h"

#include <errno.h>
#include <poll.h>

#define QUICK_NS (5u * SIM_US)
#define SLOW_NS  (3u * SIM_MS)
#define TURN_NS  (3u * SIM_US)

enum flight_kind {
	FLIGHT_ACCEPT,
	FLIGHT_RECEIVE,
	FLIGHT_SEND,
	FLIGHT_SEND_SOME,
	FLIGHT_POLL,
	FLIGHT_READ,
	FLIGHT_CLOSE,
	FLIGHT_CANCEL,
};

struct kernel {
	struct sim_process *process;
	struct list queued;
	struct list flights;
	struct fiber *waiter;
	struct completion {
		struct op *op;
		int result;
		uint32_t flags;
	} * completions;
	unsigned count;
	unsigned room;
	uint16_t *buffers; /* that are free */
	unsigned buffer_count;
};

struct flight {
	struct list item;
	struct net_waiter waiter;
	struct ring *ring;
	struct op *op;
	struct op *target;
	struct net_listener *listener;
	enum flight_kind kind;
	int fd;
	char *to;
	struct span octets;
	size_t done;
	uint64_t offset;
	bool look_is_due; /* an event holds it */
	bool is_over;     /* and shall find nothing to do */
};

/* The substitute keeps its state where the real one keeps its buffer ring. */
static struct kernel *
kernel_of(const struct ring *r)
{
	return (struct kernel *)(void *)r->buffer_ring;
}

int
ring_open(const struct ring_options *options, struct ring *ring_out)
{
	struct kernel *k = sim_process_allocate(sizeof(*k));

	*k = (struct kernel){ .process = sim.process };
	list_init(&k->queued);
	list_init(&k->flights);
	*ring_out = (struct ring){
		.buffer_ring = (void *)k,
		.buffers = sim_process_allocate((size_t)options->buffers * options->buffer_octets),
		.buffer_count = options->buffers,
		.buffer_octets = options->buffer_octets,
	};
	k->buffers = sim_process_allocate(options->buffers * sizeof(*k->buffers));
	while (k->buffer_count < options->buffers) {
		k->buffers[k->buffer_count] = (uint16_t)k->buffer_count;
		k->buffer_count++;
	}
	return 0;
}

static void
free_flights(struct list *flights)
{
	static const char *const names[] = { "accept", "receive", "send", "send some", "poll",
		"read", "close", "cancel" };
	struct list *item;

	while ((item = list_take_first(flights)) != NULL) {
		struct flight *f = container_of(item, struct flight, item);

		if (f->kind != FLIGHT_ACCEPT && f->kind != FLIGHT_CANCEL)
			sim_violation("the ring is closed with a %s in flight", names[f->kind]);
		list_remove(&f->waiter.item);
		f->is_over = true;
		if (!f->look_is_due)
			sim_process_free(f);
	}
}

void
ring_close(struct ring *r)
{
	struct kernel *k = kernel_of(r);

	if (k->buffer_count != r->buffer_count)
		sim_violation("the ring is closed without %u of its buffers",
			r->buffer_count - k->buffer_count);
	free_flights(&k->queued);
	free_flights(&k->flights);
	sim_process_free(k->completions);
	sim_process_free(k->buffers);
	sim_process_free(r->buffers);
	sim_process_free(k);
}

const char *
ring_explain(int error)
{
	return strerror(-error);
}

/* ---- completions --------------------------------------------------------------------------- */

static void
complete(struct ring *r, struct op *op, int result, uint32_t flags)
{
	struct kernel *k = kernel_of(r);

	if (k->count == k->room) {
		unsigned room = k->room * 2 + 64;
		struct completion *grown = sim_process_allocate(room * sizeof(*grown));

		if (k->count > 0)
			memcpy(grown, k->completions, k->count * sizeof(*grown));
		sim_process_free(k->completions);
		k->completions = grown;
		k->room = room;
	}
	k->completions[k->count++] = (struct completion){ op, result, flags };
	if (k->waiter != NULL)
		fiber_wake(k->waiter);
}

void
simring_complete(struct ring *r, struct op *op, int result)
{
	complete(r, op, result, 0);
}

static void
end_flight(struct flight *f, int result, uint32_t flags)
{
	list_remove(&f->item);
	list_remove(&f->waiter.item);
	sim_note("done", f->kind, (uint64_t)(int64_t)result);
	complete(f->ring, f->op, result, flags);
	f->is_over = true;
	if (!f->look_is_due)
		sim_process_free(f);
}

/* ---- what a kernel does -------------------------------------------------------------------- */

static bool
do_accept(struct flight *f)
{
	int fd;

	if (sim_strikes(FAULT_EMFILE)) {
		end_flight(f, -EMFILE, 0);
		return true;
	}
	fd = net_accept(f->listener);
	if (fd == -EAGAIN)
		return false;
	complete(f->ring, f->op, fd, OP_MORE);
	return do_accept(f);
}

static bool
do_receive(struct flight *f)
{
	struct kernel *k = kernel_of(f->ring);
	size_t size = f->ring->buffer_octets;
	uint32_t flags = IORING_CQE_F_BUFFER;
	uint16_t id;
	ssize_t n;

	if (k->buffer_count == 0 || sim_strikes(FAULT_NOBUFS)) {
		end_flight(f, -ENOBUFS, 0);
		return true;
	}
	if (sim_strikes(FAULT_SHORT))
		size = 1 + sim_below(64);
	id = k->buffers[k->buffer_count - 1];
	n = net_receive(f->fd, f->ring->buffers + (size_t)id * f->ring->buffer_octets, size);
	if (n == -EAGAIN)
		return false;
	if (n <= 0) {
		end_flight(f, (int)n, 0);
		return true;
	}
	k->buffer_count--;
	flags |= (uint32_t)id << IORING_CQE_BUFFER_SHIFT;
	end_flight(f, (int)n, flags | (net_has_more(f->fd) ? OP_SOCKET_NONEMPTY : 0));
	return true;
}

static bool
do_send(struct flight *f)
{
	struct span rest = span_after(f->octets, f->done);
	ssize_t n;
	bool is_short = rest.length > 1 && sim_strikes(FAULT_SHORT);

	if (is_short)
		rest.length = 1 + sim_below((uint32_t)rest.length);
	n = net_send(f->fd, rest);
	if (n == -EAGAIN)
		return false;
	if (n > 0)
		f->done += (size_t)n;
	if (n > 0 && f->done < f->octets.length && f->kind == FLIGHT_SEND && !is_short)
		return do_send(f);
	end_flight(f, f->done > 0 ? (int)f->done : (int)n, 0);
	return true;
}

static bool
do_poll(struct flight *f)
{
	if (!net_can_send(f->fd))
		return false;
	end_flight(f, POLLOUT, 0);
	return true;
}

static bool
do_read(struct flight *f)
{
	size_t size = f->octets.length;
	ssize_t n;

	if (sim_strikes(FAULT_READ)) {
		end_flight(f, -EIO, 0);
		return true;
	}
	if (sim_strikes(FAULT_SHORT))
		size = 1 + sim_below((uint32_t)size);
	n = simdisk_read(f->fd, f->to, size, f->offset);
	simdisk_warm(f->fd);
	end_flight(f, (int)n, 0);
	return true;
}

static bool
do_close(struct flight *f)
{
	net_close(f->fd);
	end_flight(f, 0, 0);
	return true;
}

static bool do_flight(struct flight *f);

/* It ends early, or as it would have had. */
static bool
do_cancel(struct flight *f)
{
	struct kernel *k = kernel_of(f->ring);
	int result = -ENOENT;

	for (struct list *i = k->flights.next; i != &k->flights; i = i->next) {
		struct flight *target = container_of(i, struct flight, item);

		if (target->op != f->target || target == f)
			continue;
		result = 0;
		if (target->kind == FLIGHT_ACCEPT || sim_chance(2) || !do_flight(target))
			end_flight(target, target->done > 0 ? (int)target->done : -ECANCELED, 0);
		break;
	}
	end_flight(f, result, 0);
	return true;
}

/* True: it is over; false: it waits for its socket. */
static bool
do_flight(struct flight *f)
{
	switch (f->kind) {
	case FLIGHT_ACCEPT:
		return do_accept(f);
	case FLIGHT_RECEIVE:
		return do_receive(f);
	case FLIGHT_SEND:
	case FLIGHT_SEND_SOME:
		return do_send(f);
	case FLIGHT_POLL:
		return do_poll(f);
	case FLIGHT_READ:
		return do_read(f);
	case FLIGHT_CLOSE:
		return do_close(f);
	case FLIGHT_CANCEL:
		return do_cancel(f);
	}
	return false;
}

/* ---- when it does it ----------------------------------------------------------------------- */

static void
look(void *ctx, uint64_t number)
{
	struct flight *f = ctx;

	(void)number;
	f->look_is_due = false;
	if (f->is_over)
		sim_process_free(f);
	else
		(void)do_flight(f);
}

static void
look_later(struct flight *f)
{
	uint32_t spread = sim_chance(8) ? SLOW_NS : QUICK_NS;

	if (f->look_is_due)
		return;
	f->look_is_due = true;
	sim_later(sim_below(spread), kernel_of(f->ring)->process, look, f, 0);
}

static void
socket_changed(struct net_waiter *w)
{
	look_later(container_of(w, struct flight, waiter));
}

static void
submit(struct flight *f)
{
	switch (f->kind) {
	case FLIGHT_ACCEPT:
		net_watch_listener(f->listener, &f->waiter);
		break;
	case FLIGHT_RECEIVE:
	case FLIGHT_SEND:
	case FLIGHT_SEND_SOME:
	case FLIGHT_POLL:
		net_watch(f->fd, &f->waiter);
		break;
	case FLIGHT_READ:
	case FLIGHT_CLOSE:
		break;
	case FLIGHT_CANCEL: /* looks for its target now: one with that address may come later */
		(void)do_cancel(f);
		return;
	}
	look_later(f);
}

static struct flight *
queue(struct ring *r, struct op *op, enum flight_kind kind, int fd)
{
	struct flight *f = sim_process_allocate(sizeof(*f));

	*f = (struct flight){
		.ring = r,
		.op = op,
		.kind = kind,
		.fd = fd,
		.waiter.changed = socket_changed,
	};
	list_init(&f->waiter.item);
	list_append(&kernel_of(r)->queued, &f->item);
	return f;
}

/* ---- what a shard asks for ----------------------------------------------------------------- */

void
ring_accept(struct ring *r, struct op *op, int listening_fd)
{
	queue(r, op, FLIGHT_ACCEPT, -1)->listener = net_listener_of(listening_fd);
}

void
ring_receive(struct ring *r, struct op *op, int fd, bool expect_wait, bool can_wait)
{
	(void)can_wait; /* any order is possible here */
	(void)expect_wait;
	queue(r, op, FLIGHT_RECEIVE, fd);
}

struct span
ring_received(const struct ring *r, int result, uint32_t flags)
{
	size_t id = flags >> IORING_CQE_BUFFER_SHIFT;

	must(result > 0 && (flags & IORING_CQE_F_BUFFER) != 0);
	return span_of(r->buffers + id * r->buffer_octets, (size_t)result);
}

/* Whoever looks at it later sees that it is no longer his. */
void
ring_give_back(struct ring *r, uint32_t flags)
{
	struct kernel *k = kernel_of(r);
	uint16_t id = (uint16_t)(flags >> IORING_CQE_BUFFER_SHIFT);

	must(k->buffer_count < r->buffer_count);
	memset(r->buffers + (size_t)id * r->buffer_octets, '#', r->buffer_octets);
	k->buffers[k->buffer_count++] = id;
}

void
ring_send(struct ring *r, struct op *op, int fd, struct span octets)
{
	queue(r, op, FLIGHT_SEND, fd)->octets = octets;
}

void
ring_send_some(struct ring *r, struct op *op, int fd, struct span octets)
{
	queue(r, op, FLIGHT_SEND_SOME, fd)->octets = octets;
}

void
ring_poll_writable(struct ring *r, struct op *op, int fd)
{
	queue(r, op, FLIGHT_POLL, fd);
}

void
ring_read(struct ring *r, struct op *op, int fd, void *to, uint32_t size, uint64_t offset)
{
	struct flight *f = queue(r, op, FLIGHT_READ, fd);

	f->to = to;
	f->octets = span_of(to, size);
	f->offset = offset;
}

void
ring_close_file(struct ring *r, struct op *op, int fd)
{
	queue(r, op, FLIGHT_CLOSE, fd);
}

void
ring_cancel(struct ring *r, struct op *op, struct op *target)
{
	queue(r, op, FLIGHT_CANCEL, -1)->target = target;
}

/* A turn takes its time, so that a loop that never waits does not stop the clock. */
int
ring_wait(struct ring *r, uint64_t timeout_ns)
{
	struct kernel *k = kernel_of(r);
	struct list *item;

	while ((item = list_take_first(&k->queued)) != NULL) {
		list_append(&k->flights, item);
		submit(container_of(item, struct flight, item));
	}
	fiber_sleep(1 + sim_below(TURN_NS));
	if (k->count == 0 && timeout_ns > 0) {
		k->waiter = fiber_self();
		fiber_wait(timeout_ns);
		k->waiter = NULL;
	}
	return 0;
}

bool
ring_run(struct ring *r)
{
	struct kernel *k = kernel_of(r);
	unsigned count = k->count;
	struct completion *ready = k->completions;

	k->completions = NULL;
	k->count = k->room = 0;
	for (unsigned i = 0; i < count; i++)
		ready[i].op->done(ready[i].op, ready[i].result, ready[i].flags);
	sim_process_free(ready);
	return false;
}
