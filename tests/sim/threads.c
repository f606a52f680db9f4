/*
 * threads.c - pthreads as fibers, for what makes its own (storage/desk.c).
 *
 * The linker sends the calls of the server's code here (-Wl,--wrap).  A mutex and a condition keep
 * their state in the very structs that the real ones would use; all zeros is their initial state.
 */
#include "tests/sim/sim.h"

#include <pthread.h>
#include <string.h>

#define LOOK_AGAIN_NS (2u * SIM_US)

struct thread {
	void *(*body)(void *argument);
	void *argument;
	bool is_done;
	struct fiber *joiner;
};

struct mutex {
	struct fiber *owner;
};

struct waiting {
	struct waiting *next;
	struct fiber *fiber;
	bool is_woken;
};

struct condition {
	struct waiting *first;
};

static_assert(sizeof(struct mutex) <= sizeof(pthread_mutex_t), "a mutex holds ours");
static_assert(sizeof(struct condition) <= sizeof(pthread_cond_t), "a condition holds ours");
static_assert(sizeof(struct thread *) <= sizeof(pthread_t), "a thread's name holds ours");

int __wrap_pthread_create(pthread_t *thread_out, const pthread_attr_t *attributes,
	void *(*body)(void *argument), void *argument);
int __wrap_pthread_join(pthread_t thread, void **result_out);
int __wrap_pthread_setname_np(pthread_t thread, const char *name);
int __wrap_pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attributes);
int __wrap_pthread_mutex_destroy(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_unlock(pthread_mutex_t *mutex);
int __wrap_pthread_cond_init(pthread_cond_t *condition, const pthread_condattr_t *attributes);
int __wrap_pthread_cond_destroy(pthread_cond_t *condition);
int __wrap_pthread_cond_wait(pthread_cond_t *condition, pthread_mutex_t *mutex);
int __wrap_pthread_cond_signal(pthread_cond_t *condition);
int __wrap_pthread_cond_broadcast(pthread_cond_t *condition);

static void
run_thread(void *ctx)
{
	struct thread *t = ctx;

	(void)t->body(t->argument);
	t->is_done = true;
	if (t->joiner != NULL)
		fiber_wake(t->joiner);
}

int
__wrap_pthread_create(pthread_t *thread_out, const pthread_attr_t *attributes,
	void *(*body)(void *argument), void *argument)
{
	struct thread *t = sim_process_allocate(sizeof(*t));

	(void)attributes;
	*t = (struct thread){ .body = body, .argument = argument };
	fiber_start(sim.process, run_thread, t);
	*thread_out = (pthread_t)(uintptr_t)t;
	return 0;
}

int
__wrap_pthread_join(pthread_t thread, void **result_out)
{
	struct thread *t = (struct thread *)(uintptr_t)thread;

	must(result_out == NULL);
	t->joiner = fiber_self();
	while (!t->is_done)
		fiber_wait(UINT64_MAX);
	sim_process_free(t);
	return 0;
}

int
__wrap_pthread_setname_np(pthread_t thread, const char *name)
{
	(void)thread;
	(void)name;
	return 0;
}

/* ---- mutexes ------------------------------------------------------------------------------- */

static struct mutex *
mutex_of(pthread_mutex_t *mutex)
{
	return (struct mutex *)(void *)mutex;
}

int
__wrap_pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attributes)
{
	must(attributes == NULL);
	memset(mutex, 0, sizeof(*mutex));
	return 0;
}

int
__wrap_pthread_mutex_destroy(pthread_mutex_t *mutex)
{
	must(mutex_of(mutex)->owner == NULL);
	return 0;
}

int
__wrap_pthread_mutex_lock(pthread_mutex_t *mutex)
{
	must(fiber_self() != NULL && mutex_of(mutex)->owner != fiber_self());
	while (mutex_of(mutex)->owner != NULL)
		fiber_sleep(LOOK_AGAIN_NS);
	mutex_of(mutex)->owner = fiber_self();
	return 0;
}

int
__wrap_pthread_mutex_unlock(pthread_mutex_t *mutex)
{
	must(mutex_of(mutex)->owner == fiber_self());
	mutex_of(mutex)->owner = NULL;
	return 0;
}

/* ---- conditions ---------------------------------------------------------------------------- */

static struct condition *
condition_of(pthread_cond_t *condition)
{
	return (struct condition *)(void *)condition;
}

int
__wrap_pthread_cond_init(pthread_cond_t *condition, const pthread_condattr_t *attributes)
{
	must(attributes == NULL);
	memset(condition, 0, sizeof(*condition));
	return 0;
}

int
__wrap_pthread_cond_destroy(pthread_cond_t *condition)
{
	must(condition_of(condition)->first == NULL);
	return 0;
}

int
__wrap_pthread_cond_wait(pthread_cond_t *condition, pthread_mutex_t *mutex)
{
	struct waiting w = { .next = condition_of(condition)->first, .fiber = fiber_self() };

	condition_of(condition)->first = &w;
	__wrap_pthread_mutex_unlock(mutex);
	while (!w.is_woken)
		fiber_wait(UINT64_MAX);
	return __wrap_pthread_mutex_lock(mutex);
}

/* Any of those that wait. */
static void
wake_one(struct condition *c)
{
	struct waiting **at = &c->first;
	struct waiting *w;

	while ((*at)->next != NULL && sim_chance(2))
		at = &(*at)->next;
	w = *at;
	*at = w->next;
	w->is_woken = true;
	fiber_wake(w->fiber);
}

int
__wrap_pthread_cond_signal(pthread_cond_t *condition)
{
	if (condition_of(condition)->first != NULL)
		wake_one(condition_of(condition));
	return 0;
}

int
__wrap_pthread_cond_broadcast(pthread_cond_t *condition)
{
	while (condition_of(condition)->first != NULL)
		wake_one(condition_of(condition));
	return 0;
}
