/*
 * doubt.c - storage/doubt.h with a memory for each process: the real one is the whole program's,
 * and here a program has several.
 */
#include "storage/doubt.h"

#include "tests/sim/sim.h"

struct doubt {
	struct doubt *next;
	struct sim_process *process;
	uint64_t inode;
};

static struct doubt *doubts;

/* Those of processes that are no more go first. */
static struct doubt **
find(const struct disk_status *file)
{
	struct doubt **at = &doubts;

	while (*at != NULL) {
		struct doubt *d = *at;

		if (d->process->is_alive) {
			if (d->process == sim.process && d->inode == file->inode)
				break;
			at = &d->next;
			continue;
		}
		*at = d->next;
		sim_free(d);
	}
	return at;
}

void
doubt_raise(const struct disk_status *file)
{
	struct doubt *d;

	if (*find(file) != NULL)
		return;
	d = sim_allocate(sizeof(*d));
	*d = (struct doubt){ doubts, sim.process, file->inode };
	doubts = d;
}

bool
doubt_holds(const struct disk_status *file)
{
	return doubts != NULL && *find(file) != NULL;
}

void
doubt_settle(const struct disk_status *file)
{
	struct doubt **at = find(file);
	struct doubt *settled = *at;

	if (settled == NULL)
		return;
	*at = settled->next;
	sim_free(settled);
}

void
sim_doubts_forget_world(void)
{
	while (doubts != NULL) {
		struct doubt *d = doubts;

		doubts = d->next;
		sim_free(d);
	}
}
