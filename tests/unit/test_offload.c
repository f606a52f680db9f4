/*
 * test_offload.c - jobs go out to workers and all come home, on the shard's thread.
 */
#include "io/offload.h"

#include "io/base/must.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#define JOBS 5000u

struct fixture {
	struct loop loop;
	struct offload_home *home;
};

struct counted {
	struct offload_job job;
	pthread_t worked_on;
	unsigned works;
	unsigned dones;
};

static pthread_t shard;
static unsigned home_count;
static sem_t gate; /* holds a worker */
static sem_t held; /* it is held */

static int
set_up(void **state)
{
	static struct fixture f;
	const struct loop_options options = {
		.ring = { .entries = 64, .buffers = 8, .buffer_octets = 4096 },
		.reply_blocks_max = 8,
		.cold_buffers_max = 1,
	};

	assert_int_equal(loop_open(&f.loop, &options), 0);
	assert_int_equal(offload_home_open(&f.loop, &f.home), 0);
	shard = pthread_self();
	home_count = 0;
	sem_init(&gate, 0, 0);
	sem_init(&held, 0, 0);
	*state = &f;
	return 0;
}

static int
tear_down(void **state)
{
	struct fixture *f = *state;

	loop_close(&f->loop);
	offload_home_close(f->home);
	sem_destroy(&gate);
	sem_destroy(&held);
	return 0;
}

static void
work(struct offload_job *job)
{
	struct counted *c = container_of(job, struct counted, job);

	c->worked_on = pthread_self();
	c->works++;
}

static void
done(struct offload_job *job)
{
	struct counted *c = container_of(job, struct counted, job);

	must(pthread_equal(pthread_self(), shard));
	c->dones++;
	home_count++;
}

static void
wait_at_the_gate(struct offload_job *job)
{
	work(job);
	sem_post(&held);
	sem_wait(&gate);
}

static void
turn_until(struct fixture *f, unsigned count)
{
	for (unsigned turns = 0; home_count < count && turns < 100000; turns++)
		assert_int_equal(loop_turn(&f->loop, 100), 0);
	assert_int_equal(home_count, count);
}

static void
all_jobs_come_home_once(void **state)
{
	static struct counted jobs[JOBS];
	struct fixture *f = *state;
	struct offload *o;
	unsigned sent = 0;

	assert_int_equal(offload_open("test", 3, 100, &o), 0);
	while (sent < JOBS) {
		jobs[sent] = (struct counted){ .job = { .work = work, .done = done } };
		if (offload_submit(o, f->home, &jobs[sent].job) == 0)
			sent++;
		else
			assert_int_equal(loop_turn(&f->loop, 1), 0);
	}
	turn_until(f, JOBS);
	for (unsigned i = 0; i < JOBS; i++) {
		assert_int_equal(jobs[i].works, 1);
		assert_int_equal(jobs[i].dones, 1);
		assert_false(pthread_equal(jobs[i].worked_on, shard));
	}
	offload_close(o);
}

static void
a_full_queue_takes_no_more(void **state)
{
	struct fixture *f = *state;
	struct counted first = { .job = { .work = wait_at_the_gate, .done = done } };
	struct counted waiting[3] = { 0 };
	struct counted refused = { .job = { .work = work, .done = done } };
	struct offload *o;

	assert_int_equal(offload_open("test", 1, 3, &o), 0);
	assert_int_equal(offload_submit(o, f->home, &first.job), 0);
	sem_wait(&held); /* the worker has it: the queue is empty */
	for (unsigned i = 0; i < 3; i++) {
		waiting[i].job = (struct offload_job){ .work = work, .done = done };
		assert_int_equal(offload_submit(o, f->home, &waiting[i].job), 0);
	}
	assert_int_equal(offload_submit(o, f->home, &refused.job), -EBUSY);
	sem_post(&gate);
	turn_until(f, 4);
	assert_int_equal(refused.works, 0);
	assert_int_equal(offload_submit(o, f->home, &refused.job), 0);
	turn_until(f, 5);
	offload_close(o);
}

static void
closing_waits_for_what_was_taken_on(void **state)
{
	static struct counted jobs[200];
	struct fixture *f = *state;
	struct offload *o;

	assert_int_equal(offload_open("test", 2, 200, &o), 0);
	for (unsigned i = 0; i < 200; i++) {
		jobs[i] = (struct counted){ .job = { .work = work, .done = done } };
		assert_int_equal(offload_submit(o, f->home, &jobs[i].job), 0);
	}
	offload_close(o);
	for (unsigned i = 0; i < 200; i++)
		assert_int_equal(jobs[i].works, 1);
	turn_until(f, 200);
}

static void *
call_home(void *argument)
{
	struct fixture *f = ((void **)argument)[0];
	struct counted *calls = ((void **)argument)[1];

	for (unsigned i = 0; i < 1000; i++) {
		calls[i] = (struct counted){ .job = { .done = done } };
		offload_home_call(f->home, &calls[i].job);
	}
	return NULL;
}

static void
any_thread_may_call_a_shard(void **state)
{
	static struct counted calls[4][1000];
	void *arguments[4][2];
	pthread_t threads[4];

	for (unsigned i = 0; i < 4; i++) {
		arguments[i][0] = *state;
		arguments[i][1] = calls[i];
		assert_int_equal(pthread_create(&threads[i], NULL, call_home, arguments[i]), 0);
	}
	turn_until(*state, 4000);
	for (unsigned i = 0; i < 4; i++) {
		pthread_join(threads[i], NULL);
		for (unsigned k = 0; k < 1000; k++)
			assert_int_equal(calls[i][k].dones, 1);
	}
}

struct looked {
	struct offload_job job;
	int policy;
	int nice;
	bool is_home;
};

static void
look_at_thread(struct offload_job *job)
{
	struct looked *l = container_of(job, struct looked, job);

	l->policy = sched_getscheduler(0);
	l->nice = getpriority(PRIO_PROCESS, 0);
}

static void
looked(struct offload_job *job)
{
	container_of(job, struct looked, job)->is_home = true;
}

static void
workers_behind_step_back(void **state)
{
	struct fixture *f = *state;
	struct looked l = { .job = { .work = look_at_thread, .done = looked } };
	int ours = getpriority(PRIO_PROCESS, 0);
	struct offload *o;

	assert_int_equal(offload_open_behind("behind", 1, 1, &o), 0);
	assert_int_equal(offload_submit(o, f->home, &l.job), 0);
	while (!l.is_home)
		assert_int_equal(loop_turn(&f->loop, 1000), 0);
	assert_int_equal(l.policy, SCHED_BATCH);
	assert_int_equal(l.nice, ours + 10 < 19 ? ours + 10 : 19);
	assert_int_equal(getpriority(PRIO_PROCESS, 0), ours);
	offload_close(o);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(all_jobs_come_home_once, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_full_queue_takes_no_more, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			closing_waits_for_what_was_taken_on, set_up, tear_down),
		cmocka_unit_test_setup_teardown(workers_behind_step_back, set_up, tear_down),
		cmocka_unit_test_setup_teardown(any_thread_may_call_a_shard, set_up, tear_down),
	};

	return cmocka_run_group_tests_name("offload", tests, NULL, NULL);
}
