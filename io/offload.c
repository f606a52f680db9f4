/*
 * offload.c - see offload.h.
 *
 * The way out is a queue under one mutex: a job takes microseconds at least, so the lock is not
 * what it waits for.  The way home is a stack of finished jobs (one compare-and-swap) and an
 * eventfd that the shard's ring reads; only the job that finds the stack empty rings the bell.
 */
#include "io/offload.h"

#include "io/base/must.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#define NICE_BEHIND 10

struct offload {
	pthread_mutex_t lock;
	pthread_cond_t work_is_there;
	struct offload_job *first;
	struct offload_job **last;
	unsigned waiting;
	unsigned queue_max;
	bool closing;
	bool steps_back;
	unsigned thread_count;
	char name[10];
	pthread_t threads[];
};

struct offload_home {
	struct loop *loop;
	struct op op; /* reads the bell */
	uint64_t bell_count;
	int bell;
	struct offload_job *_Atomic finished;
};

static void
come_home(struct offload_home *h, struct offload_job *job)
{
	struct offload_job *top = atomic_load_explicit(&h->finished, memory_order_relaxed);
	uint64_t one = 1;

	do
		job->next = top;
	while (!atomic_compare_exchange_weak_explicit(
		&h->finished, &top, job, memory_order_release, memory_order_relaxed));
	if (top == NULL)
		must(write(h->bell, &one, sizeof(one)) == sizeof(one));
}

static struct offload_job *
take_job(struct offload *o)
{
	struct offload_job *job;

	pthread_mutex_lock(&o->lock);
	while (o->first == NULL && !o->closing)
		pthread_cond_wait(&o->work_is_there, &o->lock);
	job = o->first;
	if (job != NULL) {
		o->first = job->next;
		if (o->first == NULL)
			o->last = &o->first;
		o->waiting--;
	}
	pthread_mutex_unlock(&o->lock);
	return job;
}

/* The calling thread only (Linux keeps both for each).  What cannot be had is no matter. */
static void
step_back(void)
{
	const struct sched_param none = { 0 };
	int nice_now = getpriority(PRIO_PROCESS, 0);

	(void)sched_setscheduler(0, SCHED_BATCH, &none);
	(void)setpriority(PRIO_PROCESS, 0, nice_now + NICE_BEHIND);
}

static void *
worker_main(void *argument)
{
	struct offload *o = argument;
	struct offload_job *job;

	if (o->steps_back)
		step_back();
	while ((job = take_job(o)) != NULL) {
		job->work(job);
		come_home(job->home, job);
	}
	return NULL;
}

static void
stop_threads(struct offload *o)
{
	pthread_mutex_lock(&o->lock);
	o->closing = true;
	pthread_cond_broadcast(&o->work_is_there);
	pthread_mutex_unlock(&o->lock);
	for (unsigned i = 0; i < o->thread_count; i++)
		pthread_join(o->threads[i], NULL);
}

static int
open_pool(const char *name, unsigned threads, unsigned queue_max, bool steps_back,
	struct offload **offload_out)
{
	struct offload *o = calloc(1, sizeof(*o) + threads * sizeof(o->threads[0]));

	must(threads > 0);
	if (o == NULL)
		return -ENOMEM;
	pthread_mutex_init(&o->lock, NULL);
	pthread_cond_init(&o->work_is_there, NULL);
	o->last = &o->first;
	o->queue_max = queue_max;
	o->steps_back = steps_back;
	snprintf(o->name, sizeof(o->name), "%s", name);
	for (; o->thread_count < threads; o->thread_count++) {
		pthread_t *thread = &o->threads[o->thread_count];
		int error = pthread_create(thread, NULL, worker_main, o);
		char thread_name[16];

		if (error != 0) {
			offload_close(o);
			return -error;
		}
		snprintf(
			thread_name, sizeof(thread_name), "%s-%u", o->name, o->thread_count % 1000);
		pthread_setname_np(*thread, thread_name);
	}
	*offload_out = o;
	return 0;
}

int
offload_open(const char *name, unsigned threads, unsigned queue_max, struct offload **offload_out)
{
	return open_pool(name, threads, queue_max, false, offload_out);
}

int
offload_open_behind(
	const char *name, unsigned threads, unsigned queue_max, struct offload **offload_out)
{
	return open_pool(name, threads, queue_max, true, offload_out);
}

void
offload_close(struct offload *o)
{
	if (o == NULL)
		return;
	stop_threads(o);
	pthread_cond_destroy(&o->work_is_there);
	pthread_mutex_destroy(&o->lock);
	free(o);
}

unsigned
offload_waiting(struct offload *o)
{
	unsigned waiting;

	pthread_mutex_lock(&o->lock);
	waiting = o->waiting;
	pthread_mutex_unlock(&o->lock);
	return waiting;
}

int
offload_submit(struct offload *o, struct offload_home *home, struct offload_job *job)
{
	bool full;

	job->home = home;
	job->next = NULL;
	pthread_mutex_lock(&o->lock);
	full = o->waiting >= o->queue_max;
	if (!full) {
		*o->last = job;
		o->last = &job->next;
		o->waiting++;
		pthread_cond_signal(&o->work_is_there);
	}
	pthread_mutex_unlock(&o->lock);
	return full ? -EBUSY : 0;
}

void
offload_home_call(struct offload_home *h, struct offload_job *call)
{
	call->home = h;
	come_home(h, call);
}

static void
listen_for_bell(struct offload_home *h)
{
	ring_read(&h->loop->ring, &h->op, h->bell, &h->bell_count, sizeof(h->bell_count), 0);
}

/* The stack has the last one on top; run them in the order in which they came. */
static void
bell_rang(struct op *op, int result, uint32_t flags)
{
	struct offload_home *h = container_of(op, struct offload_home, op);
	struct offload_job *job;
	struct offload_job *in_order = NULL;

	(void)flags;
	if (result == -ECANCELED)
		return;
	listen_for_bell(h);
	job = atomic_exchange_explicit(&h->finished, NULL, memory_order_acquire);
	while (job != NULL) {
		struct offload_job *below = job->next;

		job->next = in_order;
		in_order = job;
		job = below;
	}
	while (in_order != NULL) {
		job = in_order;
		in_order = job->next;
		job->done(job);
	}
}

int
offload_home_open(struct loop *loop, struct offload_home **home_out)
{
	struct offload_home *h = calloc(1, sizeof(*h));

	if (h == NULL)
		return -ENOMEM;
	h->bell = eventfd(0, EFD_CLOEXEC);
	if (h->bell < 0) {
		free(h);
		return -errno;
	}
	h->loop = loop;
	h->op.done = bell_rang;
	listen_for_bell(h);
	*home_out = h;
	return 0;
}

void
offload_home_close(struct offload_home *h)
{
	close(h->bell);
	free(h);
}
