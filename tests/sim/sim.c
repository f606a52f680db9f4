/*
 * sim.c - chance, time and processes; see sim.h.
 *
 * Events are in a heap, ordered by time; of those at the same time chance has drawn the order when
 * they were made.
 */
#include "tests/sim/sim.h"

#include "tests/sim/files.h"
#include "tests/sim/memory.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define BEGAN_NS 1790000000000000000u /* in September 2026 */

struct event {
	uint64_t at_ns;
	uint64_t draw;
	struct sim_process *process;
	void (*what)(void *ctx, uint64_t number);
	void *ctx;
	uint64_t number;
};

struct sim sim;

static struct event *heap;
static size_t heap_count;
static size_t heap_room;

/* ---- chance -------------------------------------------------------------------------------- */

/* splitmix64 */
uint64_t
sim_random(void)
{
	uint64_t x = sim.random += 0x9E3779B97F4A7C15u;

	x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
	x = (x ^ x >> 27) * 0x94D049BB133111EBu;
	return x ^ x >> 31;
}

uint32_t
sim_below(uint32_t n)
{
	return (uint32_t)((sim_random() >> 32) * n >> 32);
}

bool
sim_chance(uint32_t n)
{
	return n != 0 && sim_below(n) == 0;
}

bool
sim_strikes(enum sim_fault f)
{
	if (!sim.faults_on || !sim_chance(sim.one_in[f]))
		return false;
	sim.faults[f]++;
	sim.excuses += f >= FAULT_EXCUSES;
	sim_note("fault", f, sim.faults[f]);
	return true;
}

/* ---- the trace ----------------------------------------------------------------------------- */

static void
mix(uint64_t x)
{
	sim.trace = (sim.trace ^ x) * 0x100000001B3u;
	sim.trace ^= sim.trace >> 29;
}

void
sim_note(const char *what, uint64_t a, uint64_t b)
{
	for (const char *c = what; *c != '\0'; c++)
		mix((unsigned char)*c);
	mix(a);
	mix(b);
	mix(sim.now_ns);
	if (sim.talks)
		printf("%12.6f %s %" PRIu64 " %" PRIu64 "\n",
			(double)(sim.now_ns - sim.began_ns) / 1e9, what, a, b);
}

void
sim_violation(const char *format, ...)
{
	va_list arguments;

	printf("# %.6f s: ", (double)(sim.now_ns - sim.began_ns) / 1e9);
	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	printf("\n");
	(void)fflush(stdout);
	abort();
}

/* ---- time ---------------------------------------------------------------------------------- */

static bool
is_before(const struct event *a, const struct event *b)
{
	return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->draw < b->draw;
}

static void
heap_put(struct event e)
{
	size_t at = heap_count++;

	if (heap_count > heap_room) {
		heap_room = heap_room * 2 + 1024;
		heap = sim_grow(heap, heap_room * sizeof(*heap));
	}
	while (at > 0 && is_before(&e, &heap[(at - 1) / 2])) {
		heap[at] = heap[(at - 1) / 2];
		at = (at - 1) / 2;
	}
	heap[at] = e;
}

static struct event
heap_take(void)
{
	struct event first = heap[0];
	struct event last = heap[--heap_count];
	size_t at = 0;

	for (;;) {
		size_t child = 2 * at + 1;

		if (child >= heap_count)
			break;
		if (child + 1 < heap_count && is_before(&heap[child + 1], &heap[child]))
			child++;
		if (is_before(&last, &heap[child]))
			break;
		heap[at] = heap[child];
		at = child;
	}
	if (heap_count > 0)
		heap[at] = last;
	return first;
}

void
sim_later(uint64_t delay_ns, struct sim_process *process, void (*what)(void *ctx, uint64_t number),
	void *ctx, uint64_t number)
{
	heap_put((struct event){
		.at_ns = sim.now_ns + delay_ns,
		.draw = sim_random(),
		.process = process,
		.what = what,
		.ctx = ctx,
		.number = number,
	});
}

bool
sim_step(void)
{
	struct event e;

	do {
		if (heap_count == 0)
			return false;
		e = heap_take();
	} while (e.process != NULL && !e.process->is_alive);
	must(e.at_ns >= sim.now_ns);
	sim.now_ns = e.at_ns;
	sim.steps++;
	sim.process = e.process;
	e.what(e.ctx, e.number);
	sim.process = NULL;
	return true;
}

/* ---- processes ----------------------------------------------------------------------------- */

void
sim_process_start(struct sim_process *p, const char *name)
{
	*p = (struct sim_process){ .name = name, .is_alive = true };
	list_init(&p->fibers);
	list_init(&p->memory);
}

/* Its events stay behind and are passed over; the struct must outlive them. */
static void
forget(struct sim_process *p)
{
	p->is_alive = false;
	files_close_all(p);
}

void
sim_process_kill(struct sim_process *p)
{
	must(sim.process != p);
	sim_note("kill", 0, 0);
	fiber_forget_all(p);
	memory_free_all(p);
	forget(p);
}

void
sim_process_end(struct sim_process *p)
{
	unsigned open = files_count(p);

	if (!list_is_empty(&p->fibers))
		sim_violation("%s has ended and left a thread behind", p->name);
	if (p->blocks != 0)
		sim_violation("%s has ended and left %u blocks of memory, %" PRIu64
			      " octets, behind",
			p->name, p->blocks, p->octets);
	if (open != 0)
		sim_violation("%s has ended and left %u descriptors behind", p->name, open);
	forget(p);
}

void
sim_begin(uint64_t seed)
{
	bool talks = sim.talks;
	bool loses_syncs = sim.loses_syncs;

	sim = (struct sim){
		.seed = seed,
		.random = seed * 0xD1342543DE82EF95u + 1,
		.now_ns = BEGAN_NS,
		.began_ns = BEGAN_NS,
		.trace = seed,
		.talks = talks,
		.loses_syncs = loses_syncs,
	};
}

void
sim_end(void)
{
	heap_count = 0;
	fiber_forget_world();
	sim_free(heap);
	heap = NULL;
	heap_room = 0;
}
