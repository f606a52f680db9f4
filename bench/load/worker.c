/*
 * worker.c - many clients on one ring.
 *
 * A connection is: socket(2), a ring connect linked to the first receive, then for each command a
 * ring send and a single receive with provided buffers; what need not be looked at is received with
 * MSG_TRUNC, which moves no octet (MSG_WAITALL with it hangs: the ring's second try asks for the
 * whole length again, as nothing was copied that would have shortened it).  Everything that one
 * batch of completions leads to goes to the kernel in one call.
 * Invariants
 *   1. A connection has at most one receive and one connect in flight; it is closed and used anew
 *      only when both are home.  A handle is index and generation, so late completions find nobody.
 *   2. Sends report only failures: the reply tells that a send went through, and a command is far
 *      smaller than a socket's buffer.
 *   3. A connection whose session failed rests until the next tick, so that a dead server is asked
 *      some times in a second and not as fast as we can.
 */
#include "bench/load/worker.h"

#include "io/base/must.h"

#include <errno.h>
#include <liburing.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

enum {
	RING_ENTRIES = 4096,
	RING_COMPLETIONS = 65536,
	BUFFER_COUNT = 512, /* a power of two */
	BUFFER_OCTETS = 4096,
	BUFFER_GROUP = 0,
	/* Less than this is read like anything else; a receive of its own would cost more. */
	DISCARD_OCTETS_MIN = 2 * BUFFER_OCTETS,
	DISCARD_OCTETS_MAX = 1 << 30,
	TICK_NS = 50 * 1000 * 1000,
};

static const uint64_t second_ns = 1000000000;

enum op_kind {
	OP_CONNECT,
	OP_RECEIVE,
	OP_DISCARD,
	OP_SEND,
	OP_CANCEL,
};

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
	bool connect_in_flight, receive_in_flight, cancelled;
	uint64_t began_at, asked_at, heard_at;
	struct client client;
	char command[CLIENT_COMMAND_OCTETS];
};

struct worker {
	struct plan *plan;
	unsigned index;
	struct round round;
	struct tally tally;
	struct client_sizes *sizes;

	struct connection *connections;
	uint32_t *unused; /* a stack of indexes */
	unsigned connection_count, unused_count, active, setting_up;
	uint64_t sessions_begun, sessions_limit;
	uint64_t stop_at, ticked_at;
	bool released;

	struct io_uring ring;
	struct io_uring_buf_ring *buffers;
	char *buffer_memory;
	char *nowhere; /* an address for receives that move nothing; no memory behind it */

	pthread_t thread;
	atomic_bool done;
	int error;
};

static uint64_t
clock_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * second_ns + (uint64_t)t.tv_nsec;
}

static void
counter_change(atomic_uint_fast64_t *counter, uint64_t by)
{
	/* One writer: a plain load and store is enough, and cheaper than a locked addition. */
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + by,
		memory_order_relaxed);
}

/* ---- operations ---- */

/* Room for a linked pair, so that a submission never falls between its halves. */
static void
worker_make_room(struct worker *w)
{
	if (io_uring_sq_space_left(&w->ring) < 4)
		io_uring_submit(&w->ring);
}

static void
op_name(struct worker *w, struct io_uring_sqe *sqe, struct connection *c, enum op_kind kind)
{
	uint64_t index = (uint64_t)(c - w->connections);

	io_uring_sqe_set_data64(sqe, index << 40 | (uint64_t)c->generation << 8 | kind);
}

static void
connection_receive(struct worker *w, struct connection *c, bool poll_first)
{
	uint64_t discardable = client_discardable(&c->client);
	struct io_uring_sqe *sqe;

	must(!c->receive_in_flight);
	worker_make_room(w);
	sqe = io_uring_get_sqe(&w->ring);
	if (discardable >= DISCARD_OCTETS_MIN) {
		if (discardable > DISCARD_OCTETS_MAX)
			discardable = DISCARD_OCTETS_MAX;
		io_uring_prep_recv(sqe, c->fd, w->nowhere, discardable, MSG_TRUNC);
		op_name(w, sqe, c, OP_DISCARD);
	} else {
		io_uring_prep_recv(sqe, c->fd, NULL, 0, 0);
		sqe->flags |= IOSQE_BUFFER_SELECT;
		sqe->buf_group = BUFFER_GROUP;
		if (poll_first)
			sqe->ioprio |= IORING_RECVSEND_POLL_FIRST;
		op_name(w, sqe, c, OP_RECEIVE);
	}
	c->receive_in_flight = true;
}

static void
connection_send(struct worker *w, struct connection *c, uint64_t now)
{
	size_t length = client_command(&c->client, c->command, sizeof(c->command));
	struct io_uring_sqe *sqe;

	worker_make_room(w);
	sqe = io_uring_get_sqe(&w->ring);
	io_uring_prep_send(sqe, c->fd, c->command, length, MSG_NOSIGNAL | MSG_WAITALL);
	sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
	op_name(w, sqe, c, OP_SEND);
	c->asked_at = now;
}

/* Call everything of this connection home. */
static void
connection_cancel(struct worker *w, struct connection *c)
{
	struct io_uring_sqe *sqe;

	if (c->cancelled)
		return;
	c->cancelled = true;
	worker_make_room(w);
	sqe = io_uring_get_sqe(&w->ring);
	io_uring_prep_cancel_fd(sqe, c->fd, IORING_ASYNC_CANCEL_ALL);
	op_name(w, sqe, c, OP_CANCEL);
}

/* ---- a session's beginning and end ---- */

/* The one place where a connection's state changes, so that the counts follow. */
static void
connection_enter(struct worker *w, struct connection *c, enum connection_state state)
{
	if (c->state == CONNECTION_TALKING)
		w->setting_up--;
	if (c->state == CONNECTION_HOLDING)
		counter_change(&w->tally.held, (uint64_t)-1);
	if (state == CONNECTION_TALKING)
		w->setting_up++;
	if (state == CONNECTION_HOLDING)
		counter_change(&w->tally.held, 1);
	if (state == CONNECTION_UNUSED)
		w->unused[w->unused_count++] = (uint32_t)(c - w->connections);
	c->state = state;
}

/* 127.1.0.1 and on: 28,000 ports for each would do, but even use keeps the kernel's search short.
 */
static int
connection_bind(const struct worker *w, const struct connection *c)
{
	uint32_t number = (uint32_t)(c - w->connections) + w->index * 1000003u;
	struct sockaddr_in source = { .sin_family = AF_INET };
	int on = 1;

	source.sin_addr.s_addr = htonl(0x7f010001u + number % 4096);
	if (setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on)) < 0 ||
		bind(c->fd, (struct sockaddr *)&source, sizeof(source)) < 0)
		return -errno;
	return 0;
}

static int
connection_open(struct worker *w, struct connection *c)
{
	int on = 1;

	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		return -errno;
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	return w->plan->spread ? connection_bind(w, c) : 0;
}

static void
connection_begin(struct worker *w, struct connection *c, uint64_t now)
{
	uint64_t turn = w->index + w->sessions_begun * w->plan->threads;
	struct io_uring_sqe *sqe;
	int error;

	error = connection_open(w, c);
	if (error != 0) {
		if (c->fd >= 0)
			close(c->fd);
		connection_enter(w, c, CONNECTION_UNUSED);
		w->error = error;
		return;
	}
	connection_enter(w, c, CONNECTION_TALKING);
	w->sessions_begun++;
	w->tally.connections++;
	w->active++;
	c->generation++;
	c->cancelled = false;
	c->began_at = c->asked_at = c->heard_at = now;
	client_start(&c->client, w->plan->mix, &w->plan->identity, w->sizes,
		1 + (uint32_t)(turn % w->plan->users));

	worker_make_room(w);
	sqe = io_uring_get_sqe(&w->ring);
	io_uring_prep_connect(
		sqe, c->fd, (const struct sockaddr *)&w->plan->server, sizeof(w->plan->server));
	sqe->flags |= IOSQE_IO_LINK;
	op_name(w, sqe, c, OP_CONNECT);
	c->connect_in_flight = true;
	connection_receive(w, c, true);
}

static bool
worker_may_begin(const struct worker *w, uint64_t now)
{
	if (w->error != 0 || w->released || now >= w->stop_at)
		return false;
	if (w->plan->mix->holds && w->setting_up * w->plan->threads >= w->plan->ramp)
		return false;
	return w->sessions_begun < w->sessions_limit;
}

/* Begin sessions on unused connections as far as the plan goes. */
static void
worker_fill(struct worker *w, uint64_t now)
{
	while (w->unused_count > 0 && worker_may_begin(w, now))
		connection_begin(w, &w->connections[w->unused[--w->unused_count]], now);
}

static void
connection_finish(struct worker *w, struct connection *c, uint64_t now)
{
	if (c->connect_in_flight || c->receive_in_flight) {
		connection_cancel(w, c);
		return;
	}
	close(c->fd);
	w->active--;
	if (c->state == CONNECTION_FAILING) {
		connection_enter(w, c, CONNECTION_RESTING);
		return;
	}
	connection_enter(w, c, CONNECTION_UNUSED);
	worker_fill(w, now);
}

static void
connection_succeed(struct worker *w, struct connection *c, uint64_t now)
{
	counter_change(&w->tally.sessions, 1);
	w->tally.messages += c->client.messages_retrieved;
	histogram_add(&w->tally.session, now - c->began_at);
	connection_finish(w, c, now);
}

static void
connection_fail(struct worker *w, struct connection *c, enum client_fault fault, uint64_t now)
{
	struct tally *t = &w->tally;

	if (c->state == CONNECTION_FAILING)
		return;
	if (t->first_fault[0] == '\0')
		client_describe_fault(&c->client, fault, t->first_fault, sizeof(t->first_fault));
	counter_change(&t->failed, 1);
	t->faults[fault]++;
	connection_enter(w, c, CONNECTION_FAILING);
	connection_finish(w, c, now);
}

/* ---- completions ---- */

static void
connection_go_on(struct worker *w, struct connection *c, enum mix_verb verb, enum client_next next,
	uint64_t now)
{
	if (next == CLIENT_MORE) {
		connection_receive(w, c, false);
		return;
	}
	if (next == CLIENT_WRONG) {
		connection_fail(w, c, c->client.fault, now);
		return;
	}
	histogram_add(&w->tally.latency[verb], now - c->asked_at);
	switch (next) {
	case CLIENT_COMMAND:
		connection_send(w, c, now);
		break;
	case CLIENT_HOLD:
		connection_enter(w, c, CONNECTION_HOLDING);
		worker_fill(w, now);
		break;
	case CLIENT_BYE:
		connection_enter(w, c, CONNECTION_PARTING);
		break;
	case CLIENT_MORE:
	case CLIENT_WRONG:
		break;
	}
	/* The answer, the end, or whatever should not come while we hold. */
	connection_receive(w, c, true);
}

static void
connection_ended(struct worker *w, struct connection *c, int result, uint64_t now)
{
	if (c->state == CONNECTION_PARTING && result == 0)
		connection_succeed(w, c, now);
	else if (result == -ECANCELED && c->connect_in_flight)
		connection_fail(w, c, CLIENT_FAULT_CONNECT, now);
	else
		connection_fail(w, c, CLIENT_FAULT_CLOSED, now);
}

static void
connection_received(struct worker *w, struct connection *c, int result, const char *octets,
	bool discarded, uint64_t now)
{
	enum mix_verb verb = client_verb(&c->client);
	enum client_next next = CLIENT_MORE;

	c->receive_in_flight = false;
	if (c->state == CONNECTION_FAILING) {
		connection_finish(w, c, now);
		return;
	}
	if (result == -ENOBUFS) {
		connection_receive(w, c, false);
		return;
	}
	if (result <= 0) {
		connection_ended(w, c, result, now);
		return;
	}
	c->heard_at = now;
	w->tally.octets += (uint64_t)result;
	if (discarded)
		client_discarded(&c->client, (uint64_t)result);
	else
		next = client_feed(&c->client, span_of(octets, (size_t)result));
	connection_go_on(w, c, verb, next, now);
}

static void
connection_connected(struct worker *w, struct connection *c, int result, uint64_t now)
{
	c->connect_in_flight = false;
	if (c->state == CONNECTION_FAILING)
		connection_finish(w, c, now);
	else if (result < 0)
		connection_fail(w, c, CLIENT_FAULT_CONNECT, now);
}

static void
worker_give_buffer(struct worker *w, unsigned id)
{
	io_uring_buf_ring_add(w->buffers, w->buffer_memory + (size_t)id * BUFFER_OCTETS,
		BUFFER_OCTETS, (unsigned short)id, io_uring_buf_ring_mask(BUFFER_COUNT), 0);
	io_uring_buf_ring_advance(w->buffers, 1);
}

static void
worker_completed(struct worker *w, const struct io_uring_cqe *cqe, uint64_t now)
{
	uint64_t data = io_uring_cqe_get_data64(cqe);
	struct connection *c = &w->connections[data >> 40];
	unsigned buffer = cqe->flags >> IORING_CQE_BUFFER_SHIFT;
	const char *octets = NULL;

	if (cqe->flags & IORING_CQE_F_BUFFER)
		octets = w->buffer_memory + (size_t)buffer * BUFFER_OCTETS;
	if (c->generation == (uint32_t)(data >> 8)) {
		switch ((enum op_kind)(data & 0xff)) {
		case OP_CONNECT:
			connection_connected(w, c, cqe->res, now);
			break;
		case OP_RECEIVE:
			connection_received(w, c, cqe->res, octets, false, now);
			break;
		case OP_DISCARD:
			connection_received(w, c, cqe->res, NULL, true, now);
			break;
		case OP_SEND: /* the receive learns of it too */
		case OP_CANCEL:
			break;
		}
	}
	if (octets != NULL)
		worker_give_buffer(w, buffer);
}

/* ---- the round ---- */

static void
worker_release(struct worker *w, uint64_t now)
{
	w->released = true;
	for (unsigned i = 0; i < w->connection_count; i++) {
		struct connection *c = &w->connections[i];

		if (c->state != CONNECTION_HOLDING)
			continue;
		connection_enter(w, c, CONNECTION_TALKING);
		c->heard_at = now;
		client_release(&c->client);
		connection_send(w, c, now);
	}
}

/* Things that need not be done at once. */
static void
worker_tick(struct worker *w, uint64_t now)
{
	uint64_t patience = w->plan->timeout_s * second_ns;

	w->ticked_at = now;
	if (!w->released && (w->error != 0 || atomic_load(&w->plan->release)))
		worker_release(w, now);
	for (unsigned i = 0; i < w->connection_count; i++) {
		struct connection *c = &w->connections[i];

		if (c->state == CONNECTION_RESTING)
			connection_enter(w, c, CONNECTION_UNUSED);
		if ((c->state == CONNECTION_TALKING || c->state == CONNECTION_PARTING) &&
			now - c->heard_at > patience && now > c->heard_at)
			connection_fail(w, c, CLIENT_FAULT_TIMEOUT, now);
	}
	worker_fill(w, now);
}

static int
worker_loop(struct worker *w)
{
	struct __kernel_timespec tick = { .tv_nsec = TICK_NS };
	struct io_uring_cqe *cqe;
	unsigned head, count;
	uint64_t now = clock_ns(CLOCK_MONOTONIC);

	w->stop_at = w->round.duration_ns == 0 ? UINT64_MAX : now + w->round.duration_ns;
	w->ticked_at = now;
	worker_fill(w, now);
	while (w->active > 0 || worker_may_begin(w, clock_ns(CLOCK_MONOTONIC))) {
		int error = io_uring_submit_and_wait_timeout(&w->ring, &cqe, 1, &tick, NULL);

		if (error < 0 && error != -ETIME && error != -EINTR)
			return error;
		count = 0;
		io_uring_for_each_cqe(&w->ring, head, cqe)
		{
			now = clock_ns(CLOCK_MONOTONIC);
			worker_completed(w, cqe, now);
			count++;
		}
		io_uring_cq_advance(&w->ring, count);
		if (count == 0)
			now = clock_ns(CLOCK_MONOTONIC);
		if (now - w->ticked_at > TICK_NS)
			worker_tick(w, now);
	}
	return w->error;
}

static int
worker_make_ring(struct worker *w)
{
	struct io_uring_params params = {
		.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
			IORING_SETUP_CQSIZE,
		.cq_entries = RING_COMPLETIONS,
	};
	struct io_uring_buf_reg reg = {
		.ring_addr = (uint64_t)(uintptr_t)w->buffers,
		.ring_entries = BUFFER_COUNT,
		.bgid = BUFFER_GROUP,
	};
	int error = io_uring_queue_init_params(RING_ENTRIES, &w->ring, &params);

	if (error < 0)
		return error;
	io_uring_buf_ring_init(w->buffers);
	error = io_uring_register_buf_ring(&w->ring, &reg, 0);
	if (error < 0) {
		io_uring_queue_exit(&w->ring);
		return error;
	}
	for (unsigned id = 0; id < BUFFER_COUNT; id++)
		worker_give_buffer(w, id);
	return 0;
}

static void
worker_pin(const struct worker *w)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((unsigned)w->plan->cpu + w->index, &set);
	/* An unpinned generator measures less evenly, nothing worse: the main thread has checked
	 * that the first core exists. */
	(void)pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
}

static void *
worker_run(void *arg)
{
	struct worker *w = arg;

	if (w->plan->cpu >= 0)
		worker_pin(w);
	w->error = worker_make_ring(w);
	if (w->error == 0) {
		w->error = worker_loop(w);
		io_uring_queue_exit(&w->ring);
	}
	w->tally.cpu_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID);
	atomic_store(&w->done, true);
	return NULL;
}

/* ---- outside ---- */

/* `all` shared out to the workers as evenly as it goes. */
static uint64_t
worker_share(const struct worker *w, uint64_t all)
{
	unsigned threads = w->plan->threads;

	return all / threads + (w->index < all % threads ? 1 : 0);
}

static void *
map_memory(size_t size, int protection)
{
	void *at = mmap(NULL, size, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return at == MAP_FAILED ? NULL : at;
}

struct worker *
worker_make(struct plan *plan, unsigned index)
{
	struct worker *w = calloc(1, sizeof(*w));

	if (w == NULL)
		return NULL;
	w->plan = plan;
	w->index = index;
	w->connection_count = (unsigned)worker_share(w, plan->connections);
	w->connections = calloc(w->connection_count + 1, sizeof(*w->connections));
	w->unused = calloc(w->connection_count + 1, sizeof(*w->unused));
	w->sizes = calloc(1, sizeof(*w->sizes));
	w->buffers = map_memory(BUFFER_COUNT * sizeof(struct io_uring_buf), PROT_READ | PROT_WRITE);
	w->buffer_memory = map_memory((size_t)BUFFER_COUNT * BUFFER_OCTETS, PROT_READ | PROT_WRITE);
	w->nowhere = map_memory(DISCARD_OCTETS_MAX, PROT_NONE);
	if (w->connections == NULL || w->unused == NULL || w->sizes == NULL || w->buffers == NULL ||
		w->buffer_memory == NULL || w->nowhere == NULL) {
		worker_free(w);
		return NULL;
	}
	return w;
}

void
worker_free(struct worker *w)
{
	if (w->nowhere != NULL)
		munmap(w->nowhere, DISCARD_OCTETS_MAX);
	if (w->buffer_memory != NULL)
		munmap(w->buffer_memory, (size_t)BUFFER_COUNT * BUFFER_OCTETS);
	if (w->buffers != NULL)
		munmap(w->buffers, BUFFER_COUNT * sizeof(struct io_uring_buf));
	free(w->sizes);
	free(w->unused);
	free(w->connections);
	free(w);
}

int
worker_start(struct worker *w, const struct round *round)
{
	memset(&w->tally, 0, sizeof(w->tally));
	w->round = *round;
	w->sessions_begun = 0;
	w->sessions_limit = round->sessions == 0 ? UINT64_MAX : worker_share(w, round->sessions);
	w->active = w->setting_up = w->unused_count = 0;
	w->released = false;
	w->error = 0;
	atomic_store(&w->done, false);
	for (unsigned i = 0; i < w->connection_count; i++) {
		w->connections[i].state = CONNECTION_UNUSED;
		w->unused[w->unused_count++] = w->connection_count - 1 - i;
	}
	return -pthread_create(&w->thread, NULL, worker_run, w);
}

bool
worker_is_done(const struct worker *w)
{
	return atomic_load(&w->done);
}

int
worker_join(struct worker *w)
{
	pthread_join(w->thread, NULL);
	return w->error;
}

const struct tally *
worker_tally(const struct worker *w)
{
	return &w->tally;
}
