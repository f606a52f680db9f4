/*
 * offload.c - io/offload.h on the same thread: each job on a fiber of its own, some time later.
 *
 * As many as the pool has threads run at a time, each gives way wherever it calls the disk, so jobs
 * overtake each other.
 */
#include "io/offload.h"

#include "io/base/must.h"
#include "tests/sim/ring.h"

#include <errno.h>

#define HOME_NS (100u * SIM_US)

struct offload {
	unsigned threads;
	unsigned busy;
	unsigned queue_max;
	unsigned waiting;
	struct offload_job *first;
	struct offload_job **last;
};

struct offload_home {
	struct loop *loop;
	struct op bell;
	struct offload_job *first;
	struct offload_job **last;
};

struct errand {
	struct offload *offload;
	struct offload_job *job;
};

int
offload_open(const char *name, unsigned threads, unsigned queue_max, struct offload **offload_out)
{
	struct offload *o = sim_process_allocate(sizeof(*o));

	(void)name;
	*o = (struct offload){ .threads = threads, .queue_max = queue_max };
	o->last = &o->first;
	*offload_out = o;
	return 0;
}

/* Fibers have no priorities. */
int
offload_open_behind(
	const char *name, unsigned threads, unsigned queue_max, struct offload **offload_out)
{
	return offload_open(name, threads, queue_max, offload_out);
}

void
offload_close(struct offload *o)
{
	if (o == NULL)
		return;
	must(o->busy == 0 && o->first == NULL);
	sim_process_free(o);
}

/* ---- the way home -------------------------------------------------------------------------- */

static void
bell_rang(struct op *op, int result, uint32_t flags)
{
	struct offload_home *h = container_of(op, struct offload_home, bell);
	struct offload_job *job = h->first;

	(void)result;
	(void)flags;
	h->first = NULL;
	h->last = &h->first;
	while (job != NULL) {
		struct offload_job *next = job->next;

		job->done(job);
		job = next;
	}
}

static void
come_home(void *ctx, uint64_t number)
{
	struct offload_job *job = ctx;
	struct offload_home *h = job->home;

	(void)number;
	job->next = NULL;
	*h->last = job;
	h->last = &job->next;
	simring_complete(&h->loop->ring, &h->bell, 0);
}

int
offload_home_open(struct loop *loop, struct offload_home **home_out)
{
	struct offload_home *h = sim_process_allocate(sizeof(*h));

	*h = (struct offload_home){ .loop = loop, .bell.done = bell_rang };
	h->last = &h->first;
	*home_out = h;
	return 0;
}

void
offload_home_close(struct offload_home *h)
{
	must(h->first == NULL);
	sim_process_free(h);
}

void
offload_home_call(struct offload_home *h, struct offload_job *call)
{
	call->home = h;
	sim_later(sim_below(HOME_NS), sim.process, come_home, call, 0);
}

/* ---- the way out --------------------------------------------------------------------------- */

static void start_jobs(struct offload *o);

static void
run_errand(void *ctx)
{
	struct errand e = *(struct errand *)ctx;

	sim_process_free(ctx);
	e.job->work(e.job);
	sim_later(sim_below(HOME_NS), sim.process, come_home, e.job, 0);
	e.offload->busy--;
	start_jobs(e.offload);
}

static void
start_jobs(struct offload *o)
{
	while (o->busy < o->threads && o->first != NULL) {
		struct errand *e = sim_process_allocate(sizeof(*e));

		*e = (struct errand){ .offload = o, .job = o->first };
		o->first = o->first->next;
		if (o->first == NULL)
			o->last = &o->first;
		o->waiting--;
		o->busy++;
		fiber_start(sim.process, run_errand, e);
	}
}

int
offload_submit(struct offload *o, struct offload_home *home, struct offload_job *job)
{
	if (o->waiting >= o->queue_max)
		return -EBUSY;
	job->home = home;
	job->next = NULL;
	*o->last = job;
	o->last = &job->next;
	o->waiting++;
	start_jobs(o);
	return 0;
}
