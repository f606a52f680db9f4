/*
 * maildrop_reclaim.c - the space of expunged mail.
 *
 * Called after every session that deleted something, so it must find out cheaply that there is
 * nothing to do.  Three ways, the first that fits:
 *   - no message is left: a fresh log;
 *   - more than half of the log, and more than RECLAIM_DEAD_OCTETS, is dead: compaction, whose cost
 * is paid by the deliveries that have filled the log since the last one;
 *   - nobody reads: holes.  How much could be free follows from the index, how much is free from
 * the file's allocated blocks; if the difference is small, nothing is punched.  Else the latest
 *     deletions go first, as the earlier ones were most likely punched before, until the difference
 *     is made up or RECLAIM_PUNCHES_MAX were made.
 *
 * Only spans of messages are punched.  Headers and entries stay, so that the log can always be read
 * from record to record.
 */
#include "storage/maildrop_internal.h"

#include <errno.h>
#include <stdlib.h>

#define RECLAIM_DEAD_OCTETS  1048576u
#define RECLAIM_PUNCH_OCTETS 65536u
#define RECLAIM_PUNCHES_MAX  1024u
#define BLOCK_OCTETS         4096u /* a file system with larger ones frees less, and that is all */

struct reclaim {
	struct maildrop_files *files;
	struct messages messages; /* the dead ones too */
	bool *dead;
	uint64_t wanted; /* octets still to be freed */
	unsigned punches;
};

/* Dead messages whose spans lie side by side. */
struct run {
	uint32_t first;
	uint32_t last;
};

static bool
lies_beside(const struct reclaim *r, uint32_t left)
{
	const struct maildrop_entry *e = &r->messages.entries[left];

	return r->dead[left] && r->dead[left + 1] &&
		e->wire_offset + e->wire_octets == e[1].wire_offset;
}

/* The run around a dead message; it ends at the borders of its record at the latest. */
static struct run
run_around(const struct reclaim *r, uint32_t at)
{
	struct run run = { at, at };

	while (run.first > 0 && lies_beside(r, run.first - 1))
		run.first--;
	while (run.last + 1 < r->messages.count && lies_beside(r, run.last))
		run.last++;
	return run;
}

/* The whole blocks in a run; returns their octets. */
static uint64_t
run_blocks(const struct reclaim *r, struct run run, uint64_t *start_out)
{
	const struct maildrop_entry *last = &r->messages.entries[run.last];
	uint64_t start = r->messages.entries[run.first].wire_offset;
	uint64_t end = last->wire_offset + last->wire_octets;

	start = (start + BLOCK_OCTETS - 1) / BLOCK_OCTETS * BLOCK_OCTETS;
	end = end / BLOCK_OCTETS * BLOCK_OCTETS;
	*start_out = start;
	return end > start ? end - start : 0;
}

static uint64_t
all_dead_blocks(const struct reclaim *r)
{
	uint64_t octets = 0;
	uint64_t start;

	for (uint32_t i = 0; i < r->messages.count; i++) {
		if (r->dead[i]) {
			struct run run = run_around(r, i);

			octets += run_blocks(r, run, &start);
			i = run.last;
		}
	}
	return octets;
}

static int
punch_range(struct reclaim *r, struct uid_range range)
{
	const struct maildrop_files *f = r->files;

	for (uint32_t i = messages_search(&r->messages, range.first);
		i < r->messages.count && r->messages.entries[i].uid <= range.last; i++) {
		struct run run;
		uint64_t start;
		uint64_t octets;
		int error;

		if (r->wanted == 0 || r->punches == RECLAIM_PUNCHES_MAX)
			return 0;
		if (!r->dead[i])
			continue;
		run = run_around(r, i);
		octets = run_blocks(r, run, &start);
		i = run.last;
		if (octets == 0)
			continue;
		error = disk_punch(f->disk, f->log_fd, start, octets);
		if (error != 0)
			return error;
		r->punches++;
		r->wanted -= octets < r->wanted ? octets : r->wanted;
	}
	return 0;
}

/* Readers that come now wait until the holes are there; their snapshots will not hold these
 * messages. */
static int
punch_ranges(struct reclaim *r)
{
	const struct maildrop_files *f = r->files;
	int error = disk_try_lock(f->disk, f->log_fd, MAILDROP_LOCK_READ, DISK_LOCK_EXCLUSIVE);

	if (error != 0)
		return error == -EAGAIN ? 0 : error;
	for (size_t i = r->messages.range_count; error == 0 && i > 0; i--)
		error = punch_range(r, r->messages.ranges[i - 1]);
	disk_try_lock(f->disk, f->log_fd, MAILDROP_LOCK_READ, DISK_LOCK_NONE);
	return error == -EOPNOTSUPP ? 0 : error;
}

static int
punch(struct reclaim *r)
{
	struct disk_status log;
	uint64_t holes;
	uint64_t possible = all_dead_blocks(r);
	int error = disk_status_of_file(r->files->disk, r->files->log_fd, &log);

	if (error != 0)
		return error;
	holes = log.octets > log.allocated_octets ? log.octets - log.allocated_octets : 0;
	/* A file system counts a little more than content as allocated: never chase that. */
	if (possible < holes + RECLAIM_PUNCH_OCTETS + possible / 16)
		return 0;
	r->wanted = possible - holes;
	return punch_ranges(r);
}

static uint64_t
live_octets(const struct reclaim *r)
{
	uint64_t octets = LOG_HEADER_OCTETS;

	for (uint32_t i = 0; i < r->messages.count; i++) {
		const struct maildrop_entry *e = &r->messages.entries[i];

		if (!r->dead[i])
			octets += e->wire_octets + record_entry_octets(e->unique_id != 0);
	}
	return octets;
}

static int
reclaim_some(struct reclaim *r)
{
	struct maildrop_files *f = r->files;
	uint64_t live = live_octets(r);
	uint64_t dead = f->end.covers > live ? f->end.covers - live : 0;
	int error;

	if (dead <= RECLAIM_DEAD_OCTETS || dead <= f->end.covers / 2)
		return punch(r);
	error = messages_settle(&r->messages);
	return error != 0 ? error : maildrop_rewrite(f, &r->messages, f->end.next_uid, NULL);
}

static int
reclaim_locked(struct maildrop_files *f)
{
	struct reclaim r = { .files = f };
	int error;

	if (f->end.covers == LOG_HEADER_OCTETS)
		return 0;
	if (f->end.totals.messages == 0)
		return maildrop_rewrite(f, &r.messages, f->end.next_uid, NULL);
	error = maildrop_load(f, &r.messages);
	if (error == 0)
		error = messages_find_dead(&r.messages, &r.dead);
	if (error == 0)
		error = reclaim_some(&r);
	free(r.dead);
	messages_free(&r.messages);
	return error;
}

int
maildrop_reclaim(const struct disk *d, const char *address, const struct maildrop_options *options)
{
	struct maildrop_paths paths;
	struct maildrop_files files;
	int error = maildrop_paths(address, &paths);

	if (error == 0)
		error = maildrop_lock(d, &paths, options, &files);
	if (error != 0)
		return error == -ENOENT ? 0 : error;
	error = reclaim_locked(&files);
	maildrop_unlock(&files);
	return error == -EBUSY ? 0 : error; /* a session has it for itself: another time */
}
