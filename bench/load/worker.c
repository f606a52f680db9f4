/*
 * worker.c - a thread, its ring and its rounds; what a connection does is in connection.c.
 */
#include "bench/load/worker.h"

#include "bench/load/connection.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

enum {
	RING_ENTRIES = 4096,
	RING_COMPLETIONS = 65536,
	/* What is read at once: replies are short, unless every octet of a message is looked at. */
	BUFFER_OCTETS = 4096,
	BUFFER_OCTETS_LARGE = 65536,
	TICK_NS = 50 * 1000 * 1000,
};

static const uint64_t second_ns = 1000000000;

static uint64_t
clock_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * second_ns + (uint64_t)t.tv_nsec;
}

struct tally_slot *
worker_slot(struct worker *w, uint64_t now)
{
	uint64_t slot = (now - w->began_at) / w->plan->slot_ns;

	return &w->tally.slots[slot < TALLY_SLOTS ? slot : TALLY_SLOTS - 1];
}

static void
worker_give_buffer(struct worker *w, unsigned id)
{
	io_uring_buf_ring_add(w->buffers, w->buffer_memory + id * w->buffer_octets,
		(unsigned)w->buffer_octets, (unsigned short)id,
		io_uring_buf_ring_mask(BUFFER_COUNT), 0);
	io_uring_buf_ring_advance(w->buffers, 1);
}

static void
worker_completed(struct worker *w, const struct io_uring_cqe *cqe, uint64_t now)
{
	unsigned buffer = cqe->flags >> IORING_CQE_BUFFER_SHIFT;
	bool provided = cqe->flags & IORING_CQE_F_BUFFER;

	connection_completed(
		w, cqe, provided ? w->buffer_memory + buffer * w->buffer_octets : NULL, now);
	if (provided)
		worker_give_buffer(w, buffer);
}

/* ---- which sessions may begin ---- */

static bool
worker_is_open_loop(const struct worker *w)
{
	return w->plan->rate > 0;
}

/* Of a ramp in a closed loop: how many connections may be at work by now. */
static bool
worker_ramp_allows(const struct worker *w, uint64_t now)
{
	double share;

	if (!w->plan->mix->ramps || w->round.duration_ns == 0)
		return true;
	share = (double)(now - w->began_at) / (double)w->round.duration_ns;
	return w->active <= share * w->connection_count;
}

/* Whether the round is not over for those that have not begun. */
static bool
worker_wants_more(const struct worker *w, uint64_t now)
{
	if (w->error != 0 || w->released || w->sessions_begun >= w->sessions_limit)
		return false;
	return (worker_is_open_loop(w) ? w->arrivals.next_at : now) < w->stop_at;
}

static bool
worker_may_begin(const struct worker *w, uint64_t now)
{
	if (!worker_wants_more(w, now))
		return false;
	if (w->plan->mix->holds && w->setting_up * w->plan->threads >= w->plan->ramp)
		return false;
	return worker_is_open_loop(w) ? w->arrivals.next_at <= now : worker_ramp_allows(w, now);
}

void
worker_fill(struct worker *w, uint64_t now)
{
	while (w->unused_count > 0 && worker_may_begin(w, now)) {
		uint64_t due = now;

		if (worker_is_open_loop(w)) {
			due = w->arrivals.next_at;
			histogram_add(&w->tally.lateness, now - due);
			arrivals_advance(&w->arrivals);
		}
		connection_begin(w, &w->connections[w->unused[--w->unused_count]], due, now);
	}
}

/* Sessions that waited in vain for a connection: each is an error, none is passed over. */
static void
worker_give_up_late(struct worker *w, uint64_t now)
{
	uint64_t patience = w->plan->timeout_s * second_ns;

	while (worker_is_open_loop(w) && worker_may_begin(w, now) &&
		now - w->arrivals.next_at > patience) {
		w->sessions_begun++;
		w->tally.faults[CLIENT_FAULT_LATE]++;
		worker_slot(w, now)->failed++;
		counter_change(&w->tally.failed, 1);
		if (w->tally.first_fault[0] == '\0')
			snprintf(w->tally.first_fault, sizeof(w->tally.first_fault), "%s",
				client_fault_name(CLIENT_FAULT_LATE));
		arrivals_advance(&w->arrivals);
	}
}

/* ---- the round ---- */

static void
worker_release(struct worker *w, uint64_t now)
{
	w->released = true;
	for (unsigned i = 0; i < w->connection_count; i++) {
		if (w->connections[i].state == CONNECTION_HOLDING)
			connection_release(w, &w->connections[i], now);
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
			now > c->heard_at && now - c->heard_at > patience)
			connection_fail(w, c, CLIENT_FAULT_TIMEOUT, now);
	}
	worker_give_up_late(w, now);
	worker_fill(w, now);
}

/* Until the next tick, or until a session is due that finds a connection. */
static struct __kernel_timespec
worker_pause(const struct worker *w, uint64_t now)
{
	uint64_t pause = TICK_NS;

	if (worker_is_open_loop(w) && w->unused_count > 0 && worker_wants_more(w, now)) {
		uint64_t due = w->arrivals.next_at;

		pause = due <= now ? 0 : due - now < pause ? due - now : pause;
	}
	return (struct __kernel_timespec){ .tv_nsec = (long long)pause };
}

static int
worker_turn(struct worker *w, uint64_t *now)
{
	struct __kernel_timespec pause = worker_pause(w, *now);
	struct io_uring_cqe *cqe;
	unsigned head, count = 0;
	int error = io_uring_submit_and_wait_timeout(&w->ring, &cqe, 1, &pause, NULL);

	if (error < 0 && error != -ETIME && error != -EINTR)
		return error;
	io_uring_for_each_cqe(&w->ring, head, cqe)
	{
		*now = clock_ns(CLOCK_MONOTONIC);
		worker_completed(w, cqe, *now);
		count++;
	}
	io_uring_cq_advance(&w->ring, count);
	if (count == 0)
		*now = clock_ns(CLOCK_MONOTONIC);
	if (worker_is_open_loop(w))
		worker_fill(w, *now);
	if (*now - w->ticked_at > TICK_NS)
		worker_tick(w, *now);
	return 0;
}

static void
worker_start_clock(struct worker *w, uint64_t now)
{
	const struct plan *plan = w->plan;

	w->began_at = w->ticked_at = now;
	w->stop_at = w->round.duration_ns == 0 ? UINT64_MAX : now + w->round.duration_ns;
	if (!worker_is_open_loop(w))
		return;
	w->arrivals = (struct arrivals){
		.per_s = plan->rate / plan->threads,
		.evenly = plan->evenly,
		.ramps = plan->mix->ramps && w->round.duration_ns != 0,
		.duration_ns = w->round.duration_ns,
	};
	arrivals_start(&w->arrivals, (double)w->index / plan->threads, w->index, now);
}

static int
worker_loop(struct worker *w)
{
	uint64_t now = clock_ns(CLOCK_MONOTONIC);

	worker_start_clock(w, now);
	worker_fill(w, now);
	while (w->active > 0 || worker_wants_more(w, clock_ns(CLOCK_MONOTONIC))) {
		int error = worker_turn(w, &now);

		if (error != 0)
			return error;
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

/* How long this thread stood in line for its core; 0 where the kernel does not say. */
static uint64_t
thread_waiting_ns(void)
{
	FILE *from = fopen("/proc/thread-self/schedstat", "re");
	unsigned long long waiting = 0;

	if (from == NULL)
		return 0;
	if (fscanf(from, "%*u %llu", &waiting) != 1)
		waiting = 0;
	fclose(from);
	return waiting;
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
	w->tally.waiting_ns = thread_waiting_ns();
	if (w->tls != NULL)
		tlsclient_end_thread();
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

/* What clients remember; false: no memory. */
static bool
worker_make_memory(struct worker *w)
{
	const struct plan *plan = w->plan;
	struct client_memory *m = calloc(1, sizeof(*m));

	w->memory = m;
	if (m == NULL)
		return false;
	m->source = plan->source;
	m->lenient = plan->lenient;
	if (plan->mix->looks_at_unique_ids) {
		m->last_unique_ids = calloc(plan->users, sizeof(*m->last_unique_ids));
		if (m->last_unique_ids == NULL)
			return false;
	}
	if (plan->verify) {
		m->known = compare_memory_make(plan->source, plan->users, !plan->mix->deletes);
		if (m->known == NULL)
			return false;
	}
	return true;
}

static bool
worker_make_connections(struct worker *w)
{
	size_t depth = w->plan->depth, count = w->connection_count;

	w->connections = calloc(count + 1, sizeof(*w->connections));
	w->unused = calloc(count + 1, sizeof(*w->unused));
	w->asked_memory = calloc(count * depth + 1, sizeof(*w->asked_memory));
	w->command_memory = calloc(count * depth + 1, CLIENT_COMMAND_OCTETS);
	if (w->connections == NULL || w->unused == NULL || w->asked_memory == NULL ||
		w->command_memory == NULL)
		return false;
	for (size_t i = 0; i < count; i++) {
		w->connections[i].asked_at = w->asked_memory + i * depth;
		w->connections[i].commands = w->command_memory + i * depth * CLIENT_COMMAND_OCTETS;
	}
	return true;
}

static bool
worker_make_buffers(struct worker *w)
{
	bool looks_at_all = w->plan->verify || w->plan->tls != PLAN_CLEAR;

	w->buffer_octets = looks_at_all ? BUFFER_OCTETS_LARGE : BUFFER_OCTETS;
	w->buffers = map_memory(BUFFER_COUNT * sizeof(struct io_uring_buf), PROT_READ | PROT_WRITE);
	w->buffer_memory = map_memory(BUFFER_COUNT * w->buffer_octets, PROT_READ | PROT_WRITE);
	w->nowhere = map_memory(DISCARD_OCTETS_MAX, PROT_NONE);
	w->plain = map_memory(PLAIN_OCTETS, PROT_READ | PROT_WRITE);
	return w->buffers != NULL && w->buffer_memory != NULL && w->nowhere != NULL &&
		w->plain != NULL;
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
	if (plan->tls != PLAN_CLEAR)
		w->tls = tlsclient_context_make(&plan->tls_settings);
	if (!worker_make_memory(w) || !worker_make_connections(w) || !worker_make_buffers(w) ||
		(plan->tls != PLAN_CLEAR && w->tls == NULL)) {
		worker_free(w);
		return NULL;
	}
	return w;
}

static void
unmap_memory(void *at, size_t size)
{
	if (at != NULL)
		munmap(at, size);
}

void
worker_free(struct worker *w)
{
	unmap_memory(w->plain, PLAIN_OCTETS);
	unmap_memory(w->nowhere, DISCARD_OCTETS_MAX);
	unmap_memory(w->buffer_memory, BUFFER_COUNT * w->buffer_octets);
	unmap_memory(w->buffers, BUFFER_COUNT * sizeof(struct io_uring_buf));
	tlsclient_context_free(w->tls);
	if (w->memory != NULL) {
		compare_memory_free(w->memory->known);
		free(w->memory->last_unique_ids);
		free(w->memory);
	}
	free(w->command_memory);
	free(w->asked_memory);
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
