/*
 * doubt.c - see doubt.h.
 *
 * A list of files, which is empty but for days on which a disk fails.
 */
#include "storage/doubt.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

struct doubt {
	struct doubt *next;
	uint64_t device;
	uint64_t inode;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct doubt *doubts;
static atomic_uint doubt_count;
static atomic_bool doubts_all; /* there was no memory to remember which */

static struct doubt **
find(const struct disk_status *file)
{
	struct doubt **at = &doubts;

	while (*at != NULL && ((*at)->inode != file->inode || (*at)->device != file->device))
		at = &(*at)->next;
	return at;
}

static void
add(const struct disk_status *file)
{
	struct doubt *new = malloc(sizeof(*new));

	if (new == NULL) {
		atomic_store(&doubts_all, true);
		return;
	}
	*new = (struct doubt){
		.next = doubts,
		.device = file->device,
		.inode = file->inode,
	};
	doubts = new;
	atomic_fetch_add(&doubt_count, 1);
}

void
doubt_raise(const struct disk_status *file)
{
	pthread_mutex_lock(&lock);
	if (*find(file) == NULL)
		add(file);
	pthread_mutex_unlock(&lock);
}

bool
doubt_holds(const struct disk_status *file)
{
	bool holds;

	if (atomic_load(&doubts_all))
		return true;
	if (atomic_load(&doubt_count) == 0)
		return false;
	pthread_mutex_lock(&lock);
	holds = *find(file) != NULL;
	pthread_mutex_unlock(&lock);
	return holds;
}

void
doubt_settle(const struct disk_status *file)
{
	struct doubt **at;

	pthread_mutex_lock(&lock);
	at = find(file);
	if (*at != NULL) {
		struct doubt *settled = *at;

		*at = settled->next;
		free(settled);
		atomic_fetch_sub(&doubt_count, 1);
	}
	pthread_mutex_unlock(&lock);
}
