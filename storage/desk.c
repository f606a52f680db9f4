/*
 * desk.c - see desk.h.
 *
 * What waits for one maildrop lies on its tray.  A tray is in the line, or in a worker's hands, or
 * there is nothing on it and it is free.  A worker takes all that lies on a tray, does it as one
 * commit, and looks again before it lets go of the maildrop: mail that came meanwhile needs no new
 * lock, and no open file.
 *
 * Invariants
 *   1. A tray is in one worker's hands at most, so deliveries to a maildrop never wait for each
 *      other's lock, and keep their order.
 *   2. A worker holds a maildrop for HOLD_MS at most beyond the commit it is in: others (a QUIT,
 *      another process) want the lock too.  Then the tray goes to the end of the line.
 *   3. Everything taken on comes home once.
 */
#include "storage/desk.h"

#include "io/base/clock.h"
#include "io/base/crc32c.h"
#include "io/base/must.h"
#include "storage/layout.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define BATCH_MAX 256u /* deliveries in one commit */
#define HOLD_MS   50u

struct tray {
	struct tray *next_in_bucket;
	struct tray *next_in_line; /* or of the free ones */
	struct desk_delivery *first;
	struct desk_delivery **last;
	uint32_t hash;
	char address[LAYOUT_ADDRESS_OCTETS_MAX + 1];
};

struct desk {
	const struct disk *disk;
	struct maildrop_options options;
	unsigned waiting_max;

	pthread_mutex_t lock;
	pthread_cond_t work_is_there;
	unsigned waiting; /* deliveries that are not done */
	struct tray *line_first;
	struct tray **line_last;
	struct tray *free_trays;
	struct tray **buckets;
	uint32_t bucket_count; /* a power of two */
	struct tray *trays;
	bool closing;
	unsigned thread_count;
	pthread_t threads[];
};

/* ---- one batch ----------------------------------------------------------------------------- */

static int
add(struct maildrop_writer *w, struct desk_delivery *delivery)
{
	const struct maildrop_delivery as = {
		.arrived_at = delivery->arrived_at,
		.quota_octets = delivery->quota_octets,
		.quota_messages = delivery->quota_messages,
	};

	return maildrop_writer_add_draft(w, &as, delivery->head, delivery->draft, &delivery->uid);
}

/* Add each of the list and commit; each has its own error.  Returns that of the commit. */
static int
commit_batch(struct maildrop_writer *w, struct desk_delivery *first)
{
	int error;

	for (struct desk_delivery *at = first; at != NULL; at = at->next)
		at->error = add(w, at);
	error = maildrop_writer_commit(w);
	for (struct desk_delivery *at = first; error != 0 && at != NULL; at = at->next) {
		if (at->error == 0)
			at->error = error;
	}
	return error;
}

/* The disk is full, or so it was for all of them together: what is small may still fit alone. */
static void
deliver_singly(const struct disk *disk, const struct maildrop_options *options,
	struct desk_delivery *first)
{
	for (struct desk_delivery *at = first; at != NULL; at = at->next) {
		struct desk_delivery *next = at->next;
		struct maildrop_writer *w;

		if (at->error != -ENOSPC)
			continue;
		at->error = maildrop_writer_open(disk, at->address, options, 0, &w);
		if (at->error != 0)
			continue;
		at->next = NULL;
		commit_batch(w, at);
		at->next = next;
		maildrop_writer_close(w);
	}
}

static void
fail_batch(struct desk_delivery *first, int error)
{
	for (struct desk_delivery *at = first; at != NULL; at = at->next)
		at->error = error;
}

/* One batch by the writer *w, which is opened where it is NULL, and closed and NULL where it is of
 * no use any more. */
static void
do_batch(const struct disk *disk, const struct maildrop_options *options,
	struct desk_delivery *first, struct maildrop_writer **w)
{
	int error = 0;

	if (*w == NULL)
		error = maildrop_writer_open(disk, first->address, options, 0, w);
	if (error != 0) {
		*w = NULL;
		fail_batch(first, error);
		return;
	}
	error = commit_batch(*w, first);
	if (error == 0)
		return;
	maildrop_writer_close(*w);
	*w = NULL;
	if (error == -ENOSPC && first->next != NULL)
		deliver_singly(disk, options, first);
}

void
desk_deliver(const struct disk *disk, const struct maildrop_options *options,
	struct desk_delivery *first)
{
	struct maildrop_writer *w = NULL;

	do_batch(disk, options, first, &w);
	maildrop_writer_close(w);
}

/* ---- trays --------------------------------------------------------------------------------- */

static struct tray **
bucket_of(struct desk *desk, uint32_t hash)
{
	return &desk->buckets[hash & (desk->bucket_count - 1)];
}

static struct tray *
find_tray(struct desk *desk, const char *address, uint32_t hash)
{
	struct tray *t = *bucket_of(desk, hash);

	while (t != NULL && (t->hash != hash || strcmp(t->address, address) != 0))
		t = t->next_in_bucket;
	return t;
}

static void
put_in_line(struct desk *desk, struct tray *t)
{
	t->next_in_line = NULL;
	*desk->line_last = t;
	desk->line_last = &t->next_in_line;
}

/* There are as many trays as deliveries and workers, so one is free. */
static struct tray *
take_tray(struct desk *desk, const char *address, uint32_t hash)
{
	struct tray *t = desk->free_trays;
	struct tray **bucket = bucket_of(desk, hash);

	must(t != NULL);
	desk->free_trays = t->next_in_line;
	t->first = NULL;
	t->last = &t->first;
	t->hash = hash;
	snprintf(t->address, sizeof(t->address), "%s", address);
	t->next_in_bucket = *bucket;
	*bucket = t;
	put_in_line(desk, t);
	return t;
}

static void
free_tray(struct desk *desk, struct tray *t)
{
	struct tray **at = bucket_of(desk, t->hash);

	while (*at != t)
		at = &(*at)->next_in_bucket;
	*at = t->next_in_bucket;
	t->next_in_line = desk->free_trays;
	desk->free_trays = t;
}

/* The oldest of what lies on a tray, BATCH_MAX at most; NULL: nothing does. */
static struct desk_delivery *
take_batch(struct tray *t)
{
	struct desk_delivery *first = t->first;
	struct desk_delivery *last = first;

	if (first == NULL)
		return NULL;
	for (unsigned i = 1; i < BATCH_MAX && last->next != NULL; i++)
		last = last->next;
	t->first = last->next;
	if (t->first == NULL)
		t->last = &t->first;
	last->next = NULL;
	return first;
}

/* ---- workers ------------------------------------------------------------------------------- */

static void
came_home(struct offload_job *job)
{
	struct desk_delivery *delivery = container_of(job, struct desk_delivery, job);

	delivery->done(delivery);
}

/* Their memory may be gone as soon as they are sent. */
static void
send_home(struct desk_delivery *first)
{
	while (first != NULL) {
		struct desk_delivery *next = first->next;

		offload_home_call(first->job.home, &first->job);
		first = next;
	}
}

static unsigned
count_batch(const struct desk_delivery *first)
{
	unsigned count = 0;

	for (; first != NULL; first = first->next)
		count++;
	return count;
}

/* The next batch of the tray in hand; NULL: it is to be put down, empty or not. */
static struct desk_delivery *
next_batch(struct desk *desk, struct tray *t, unsigned done, bool is_over)
{
	struct desk_delivery *batch = NULL;

	pthread_mutex_lock(&desk->lock);
	desk->waiting -= done;
	if (!is_over)
		batch = take_batch(t);
	pthread_mutex_unlock(&desk->lock);
	return batch;
}

/* The maildrop is let go of before its tray: the next worker will want the lock. */
static void
work_on(struct desk *desk, struct tray *t, struct desk_delivery *batch)
{
	uint64_t end_ms = clock_monotonic_ms() + HOLD_MS;
	struct maildrop_writer *w = NULL;

	while (batch != NULL) {
		struct desk_delivery *done = batch;

		do_batch(desk->disk, &desk->options, batch, &w);
		batch = next_batch(desk, t, count_batch(done), clock_monotonic_ms() >= end_ms);
		send_home(done);
	}
	maildrop_writer_close(w);
}

/* Put down the tray in hand, if any, and take the next in line; NULL: the desk closes.  Nobody need
 * be woken for what is put back into the line: who puts it there takes one out. */
static struct tray *
next_tray(struct desk *desk, struct tray *in_hand, struct desk_delivery **batch_out)
{
	struct tray *t;

	pthread_mutex_lock(&desk->lock);
	if (in_hand != NULL && in_hand->first == NULL)
		free_tray(desk, in_hand);
	else if (in_hand != NULL)
		put_in_line(desk, in_hand);
	while (desk->line_first == NULL && !desk->closing)
		pthread_cond_wait(&desk->work_is_there, &desk->lock);
	t = desk->line_first;
	if (t != NULL) {
		desk->line_first = t->next_in_line;
		if (desk->line_first == NULL)
			desk->line_last = &desk->line_first;
		*batch_out = take_batch(t);
	}
	pthread_mutex_unlock(&desk->lock);
	return t;
}

static void *
worker_main(void *argument)
{
	struct desk *desk = argument;
	struct desk_delivery *batch;
	struct tray *t = NULL;

	while ((t = next_tray(desk, t, &batch)) != NULL)
		work_on(desk, t, batch);
	return NULL;
}

/* ---- the desk ------------------------------------------------------------------------------ */

static int
make_trays(struct desk *desk, unsigned threads)
{
	unsigned count = desk->waiting_max + threads; /* an empty one may be in a worker's hands */

	desk->bucket_count = 64;
	while (desk->bucket_count < desk->waiting_max && desk->bucket_count < 1u << 16)
		desk->bucket_count *= 2;
	desk->buckets = calloc(desk->bucket_count, sizeof(*desk->buckets));
	desk->trays = calloc(count, sizeof(*desk->trays));
	if (desk->buckets == NULL || desk->trays == NULL)
		return -ENOMEM;
	for (unsigned i = count; i > 0; i--) {
		desk->trays[i - 1].next_in_line = desk->free_trays;
		desk->free_trays = &desk->trays[i - 1];
	}
	return 0;
}

static int
start_threads(struct desk *desk, unsigned count)
{
	for (; desk->thread_count < count; desk->thread_count++) {
		pthread_t *thread = &desk->threads[desk->thread_count];
		int error = pthread_create(thread, NULL, worker_main, desk);
		char name[16];

		if (error != 0)
			return -error;
		snprintf(name, sizeof(name), "desk-%u", desk->thread_count % 1000);
		pthread_setname_np(*thread, name);
	}
	return 0;
}

int
desk_open(const struct disk *disk, const struct desk_options *options, struct desk **desk_out)
{
	struct desk *desk = calloc(1, sizeof(*desk) + options->threads * sizeof(desk->threads[0]));
	int error;

	must(options->threads > 0 && options->waiting_max > 0 && disk->waits);
	if (desk == NULL)
		return -ENOMEM;
	desk->disk = disk;
	desk->options = options->maildrop;
	desk->waiting_max = options->waiting_max;
	desk->line_last = &desk->line_first;
	pthread_mutex_init(&desk->lock, NULL);
	pthread_cond_init(&desk->work_is_there, NULL);
	error = make_trays(desk, options->threads);
	if (error == 0)
		error = start_threads(desk, options->threads);
	if (error != 0) {
		desk_close(desk);
		return error;
	}
	*desk_out = desk;
	return 0;
}

void
desk_close(struct desk *desk)
{
	if (desk == NULL)
		return;
	pthread_mutex_lock(&desk->lock);
	desk->closing = true;
	pthread_cond_broadcast(&desk->work_is_there);
	pthread_mutex_unlock(&desk->lock);
	for (unsigned i = 0; i < desk->thread_count; i++)
		pthread_join(desk->threads[i], NULL);
	pthread_cond_destroy(&desk->work_is_there);
	pthread_mutex_destroy(&desk->lock);
	free(desk->trays);
	free(desk->buckets);
	free(desk);
}

int
desk_submit(struct desk *desk, struct offload_home *home, struct desk_delivery *delivery)
{
	uint32_t hash = crc32c(0, delivery->address, strlen(delivery->address));
	bool is_new;
	struct tray *t;

	delivery->job = (struct offload_job){ .done = came_home, .home = home };
	delivery->next = NULL;
	delivery->error = -EIO;
	pthread_mutex_lock(&desk->lock);
	if (desk->waiting >= desk->waiting_max) {
		pthread_mutex_unlock(&desk->lock);
		return -EBUSY;
	}
	desk->waiting++;
	t = find_tray(desk, delivery->address, hash);
	is_new = t == NULL;
	if (is_new)
		t = take_tray(desk, delivery->address, hash);
	*t->last = delivery;
	t->last = &delivery->next;
	pthread_mutex_unlock(&desk->lock);
	if (is_new) /* with the lock let go of, or who wakes would only wait for that */
		pthread_cond_signal(&desk->work_is_there);
	return 0;
}
