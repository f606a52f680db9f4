/*
 * fiber.c - code that waits, in one thread: each on a stack of its own.
 *
 * A fiber gives way only in fiber_wait().  Its wake-up is an event with the number of the wait that
 * it is for, so that one that comes late wakes nobody.
 */
#include "tests/sim/memory.h"

#include <sys/mman.h>
#include <ucontext.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

#define STACK_OCTETS (256u * 1024)
#define START_SPREAD (20u * SIM_US)
#define WAKE_SPREAD  (2u * SIM_US)
#define STACKS_KEPT  64u

struct fiber {
	struct list item; /* in its process */
	struct sim_process *process;
	void (*body)(void *ctx);
	void *ctx;
	ucontext_t here;
	char *stack;
	uint64_t waits; /* how often it has waited */
	bool is_waiting;
	bool is_done;
};

static ucontext_t scheduler;
static struct fiber *running;
static char *stacks[STACKS_KEPT];
static unsigned stack_count;

/* ---- stacks -------------------------------------------------------------------------------- */

static char *
take_stack(void)
{
	if (stack_count > 0)
		return stacks[--stack_count];
	return sim_allocate(STACK_OCTETS);
}

static void
give_stack(char *stack)
{
#if defined(__SANITIZE_ADDRESS__)
	ASAN_UNPOISON_MEMORY_REGION(stack, STACK_OCTETS);
#endif
	if (stack_count < STACKS_KEPT)
		stacks[stack_count++] = stack;
	else
		sim_free(stack);
}

/* ---- switching ----------------------------------------------------------------------------- */

#if defined(__SANITIZE_ADDRESS__)
static void *scheduler_fake_stack;
static const void *scheduler_stack;
static size_t scheduler_stack_octets;

static void
say_switch(void **save, const void *to, size_t octets)
{
	__sanitizer_start_switch_fiber(save, to, octets);
}

static void
say_entered(void)
{
	__sanitizer_finish_switch_fiber(NULL, &scheduler_stack, &scheduler_stack_octets);
}

static void
say_switched(void *saved)
{
	__sanitizer_finish_switch_fiber(saved, NULL, NULL);
}
#else
static void *scheduler_fake_stack;
static const void *scheduler_stack;
static size_t scheduler_stack_octets;

static void
say_switch(void **save, const void *to, size_t octets)
{
	(void)save;
	(void)to;
	(void)octets;
}

static void
say_entered(void)
{
}

static void
say_switched(void *saved)
{
	(void)saved;
}
#endif

static void
switch_to_scheduler(struct fiber *f)
{
	void *fake_stack = NULL;

	running = NULL;
	say_switch(f->is_done ? NULL : &fake_stack, scheduler_stack, scheduler_stack_octets);
	must(swapcontext(&f->here, &scheduler) == 0);
	say_switched(fake_stack);
}

static void
enter(void)
{
	say_entered();
	running->body(running->ctx);
	running->is_done = true;
	switch_to_scheduler(running);
}

static void
resume(void *ctx, uint64_t wait)
{
	struct fiber *f = ctx;

	if (!f->is_waiting || f->waits != wait)
		return;
	f->is_waiting = false;
	running = f;
	say_switch(&scheduler_fake_stack, f->stack, STACK_OCTETS);
	must(swapcontext(&scheduler, &f->here) == 0);
	say_switched(scheduler_fake_stack);
	running = NULL;
	if (f->is_done) {
		/* a late wake-up may still name it, so the struct goes with the world */
		list_remove(&f->item);
		give_stack(f->stack);
		f->stack = NULL;
	}
}

/* ---- the fiber's side ---------------------------------------------------------------------- */

/* All structs of this world, freed with it: events may name them until then. */
static struct fiber **made;
static size_t made_count;
static size_t made_room;

void
fiber_start(struct sim_process *process, void (*body)(void *ctx), void *ctx)
{
	struct fiber *f = sim_allocate(sizeof(*f));

	*f = (struct fiber){
		.process = process,
		.body = body,
		.ctx = ctx,
		.stack = take_stack(),
		.is_waiting = true,
	};
	list_init(&f->item);
	if (process != NULL)
		list_append(&process->fibers, &f->item);
	must(getcontext(&f->here) == 0);
	f->here.uc_stack.ss_sp = f->stack;
	f->here.uc_stack.ss_size = STACK_OCTETS;
	f->here.uc_link = NULL;
	makecontext(&f->here, enter, 0);
	if (made_count == made_room) {
		made_room = made_room * 2 + 256;
		made = sim_grow(made, made_room * sizeof(struct fiber *));
	}
	made[made_count++] = f;
	sim_later(sim_below(START_SPREAD), process, resume, f, 0);
}

struct fiber *
fiber_self(void)
{
	return running;
}

void
fiber_wait(uint64_t ns)
{
	struct fiber *f = running;

	must(f != NULL);
	f->waits++;
	f->is_waiting = true;
	if (ns != UINT64_MAX)
		sim_later(ns, f->process, resume, f, f->waits);
	switch_to_scheduler(f);
}

void
fiber_sleep(uint64_t ns)
{
	struct fiber *f = running;
	uint64_t end_ns = sim.now_ns + ns;

	must(f != NULL);
	do
		fiber_wait(end_ns - sim.now_ns);
	while (sim.now_ns < end_ns);
}

void
fiber_wake(struct fiber *f)
{
	if (f->is_waiting)
		sim_later(sim_below(WAKE_SPREAD), f->process, resume, f, f->waits);
}

void
fiber_forget_all(struct sim_process *p)
{
	struct list *item;

	while ((item = list_take_first(&p->fibers)) != NULL) {
		struct fiber *f = container_of(item, struct fiber, item);

		must(f != running);
		f->is_waiting = false;
		give_stack(f->stack);
		f->stack = NULL;
	}
}

void
fiber_forget_world(void)
{
	for (size_t i = 0; i < made_count; i++) {
		if (made[i]->stack != NULL) /* it still slept */
			give_stack(made[i]->stack);
		sim_free(made[i]);
	}
	made_count = 0;
}
