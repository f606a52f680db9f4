/*
 * maildrop_open.c - the snapshot that a session works on.
 *
 * Where the index covers the log, which is nearly always, no lock on writing is needed: the log is
 * opened, a shared lock keeps its dead space from being punched, the index is read, and the size of
 * the log, asked for last, says that nothing was committed that is not in it.  Else somebody is
 * writing, or has died while writing, and only who holds the write lock can tell.
 */
#include "io/base/clock.h"
#include "io/base/must.h"
#include "storage/maildrop_internal.h"
#include "storage/uid.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

/* What a look at the files may say besides 0 and an error. */
enum look {
	LOOK_BEHIND = 1,   /* the log is longer than its index knows, or in doubt */
	LOOK_REPLACED = 2, /* the path names another log by now */
};

#define PAUSE_MIN_NS 200000L
#define PAUSE_MAX_NS 10000000L

/* The same test that recovery makes: slots that contradict their own totals are not believed. */
static int
check_end(
	const struct messages *messages, const struct index_end *end, const struct disk_status *log)
{
	struct index_totals totals = messages_totals(messages);

	if (log->links == 0)
		return LOOK_REPLACED;
	if (doubt_holds(log))
		return LOOK_BEHIND;
	if (log->octets < end->covers)
		return -EBADMSG;
	if (log->octets > end->covers || totals.octets != end->totals.octets ||
		totals.messages != end->totals.messages)
		return LOOK_BEHIND;
	return 0;
}

static int
make_snapshot(struct messages *messages, const char *address, const struct log_header *header,
	const struct index_end *end, const struct disk_status *log, struct maildrop **maildrop_out)
{
	struct maildrop *m;
	int error = messages_to_maildrop(messages, address, &m);

	if (error != 0)
		return error;
	m->uid_validity = header->uid_validity;
	m->next_uid = end->next_uid;
	m->covers = end->covers;
	m->index_octets = end->octets;
	m->inode = log->inode;
	m->links = log->links;
	memcpy(m->generation, header->generation, sizeof(m->generation));
	*maildrop_out = m;
	return 0;
}

static int
lock_for_reading(const struct disk *d, int fd, const struct maildrop_options *options)
{
	if (d->waits)
		return disk_lock(
			d, fd, MAILDROP_LOCK_READ, DISK_LOCK_SHARED, options->lock_timeout_ms);
	return disk_try_lock(d, fd, MAILDROP_LOCK_READ, DISK_LOCK_SHARED);
}

static int
look_at_log(const struct disk *d, const struct maildrop_paths *paths, const char *address, int fd,
	struct maildrop **maildrop_out)
{
	struct messages messages = { 0 };
	struct log_header header;
	struct index_end end;
	struct disk_status log;
	int result = maildrop_read_header(d, fd, &header);

	if (result == 0)
		result = index_load(d, paths->index, &header, &messages, &end);
	if (result == 0)
		result = messages_settle(&messages);
	if (result == 0)
		result = disk_status_of_file(d, fd, &log);
	if (result == 0)
		result = check_end(&messages, &end, &log);
	if (result == 0)
		result = make_snapshot(&messages, address, &header, &end, &log, maildrop_out);
	messages_free(&messages);
	return result;
}

static int
open_absent(const struct disk *d, const struct maildrop_paths *paths, const char *address,
	struct maildrop **maildrop_out)
{
	struct messages none = { 0 };
	int result = maildrop_check_absent(d, paths);

	if (result == MAILDROP_APPEARED)
		return LOOK_REPLACED;
	return result != 0 ? result : messages_to_maildrop(&none, address, maildrop_out);
}

/* One try: 0, an enum look, or a negative errno. */
static int
look(const struct disk *d, const struct maildrop_paths *paths, const char *address,
	const struct maildrop_options *options, struct maildrop **maildrop_out)
{
	int fd = disk_open(d, paths->log, O_RDONLY, 0);
	int result;

	if (fd == -ENOENT)
		return open_absent(d, paths, address, maildrop_out);
	if (fd < 0)
		return fd;
	result = lock_for_reading(d, fd, options);
	if (result == 0)
		result = look_at_log(d, paths, address, fd, maildrop_out);
	if (result == 0 && (*maildrop_out)->count > 0)
		(*maildrop_out)->log_fd = fd;
	else
		disk_close(d, fd);
	return result;
}

/* Look with the write lock held and the index up to date: -ETIMEDOUT if somebody else holds it. */
static int
look_locked(const struct disk *d, const struct maildrop_paths *paths, const char *address,
	const struct maildrop_options *options, struct maildrop **maildrop_out)
{
	const struct maildrop_options at_once = { .sync = options->sync };
	struct maildrop_files files;
	int result = maildrop_lock(d, paths, &at_once, &files);

	if (result == -ENOENT)
		return LOOK_REPLACED;
	if (result != 0)
		return result;
	result = look(d, paths, address, options, maildrop_out);
	if (result == LOOK_BEHIND) { /* broken before its end, where maildrop_lock() did not look */
		result = maildrop_recover(&files);
		if (result == 0)
			result = look(d, paths, address, options, maildrop_out);
	}
	maildrop_unlock(&files);
	return result > 0 ? -EBADMSG : result;
}

/*
 * Somebody else may hold the write lock for long (an import), but between two of its commits the
 * index covers the log: so look again and again rather than wait for the lock alone.
 */
static int
open_waiting(const struct disk *d, const struct maildrop_paths *paths, const char *address,
	const struct maildrop_options *options, struct maildrop **maildrop_out)
{
	int64_t left_ns = (int64_t)options->lock_timeout_ms * 1000000;
	long pause_ns = PAUSE_MIN_NS;

	for (;;) {
		int result = look(d, paths, address, options, maildrop_out);

		if (result == LOOK_BEHIND)
			result = look_locked(d, paths, address, options, maildrop_out);
		if (result != LOOK_REPLACED && result != -ETIMEDOUT)
			return result;
		if (left_ns <= 0)
			return -ETIMEDOUT;
		clock_pause_ns(pause_ns);
		left_ns -= pause_ns;
		if (pause_ns < PAUSE_MAX_NS)
			pause_ns *= 2;
	}
}

int
maildrop_open(const struct disk *d, const char *address, const struct maildrop_options *options,
	struct maildrop **maildrop_out)
{
	struct maildrop_paths paths;
	int result = maildrop_paths(address, &paths);

	if (result != 0)
		return result;
	if (d->waits)
		return open_waiting(d, &paths, address, options, maildrop_out);
	result = look(d, &paths, address, options, maildrop_out);
	return result > 0 ? -EAGAIN : result;
}

void
maildrop_close(const struct disk *d, struct maildrop *m)
{
	if (m == NULL)
		return;
	if (m->log_fd >= 0)
		disk_close(d, m->log_fd);
	free(m);
}

/* 0, LOOK_BEHIND where the end of the index is not the end of the log, or a negative errno. */
static int
look_at_totals(const struct disk *d, const struct maildrop_paths *paths, int log_fd,
	struct index_totals *totals_out)
{
	struct log_header header;
	struct index_end end;
	struct disk_status log;
	int fd;
	int error = maildrop_read_header(d, log_fd, &header);

	if (error != 0)
		return error;
	fd = disk_open(d, paths->index, O_RDONLY, 0);
	if (fd == -ENOENT)
		return LOOK_BEHIND;
	if (fd < 0)
		return fd;
	error = index_load_end(d, fd, &header, &end);
	disk_close(d, fd);
	if (error == 0)
		error = disk_status_of_file(d, log_fd, &log);
	if (error != 0)
		return error;
	*totals_out = end.totals;
	if (end.condition != INDEX_WHOLE || log.octets != end.covers || doubt_holds(&log))
		return LOOK_BEHIND;
	return 0;
}

int
maildrop_usage(const struct disk *d, const char *address, const struct maildrop_options *options,
	uint64_t *octets_out, uint32_t *messages_out)
{
	struct maildrop_paths paths;
	struct index_totals totals;
	struct maildrop *m;
	int result = maildrop_paths(address, &paths);
	int fd = result == 0 ? disk_open(d, paths.log, O_RDONLY, 0) : result;

	if (fd >= 0) {
		result = look_at_totals(d, &paths, fd, &totals);
		disk_close(d, fd);
	} else {
		result = fd == -ENOENT ? LOOK_BEHIND : fd;
	}
	if (result == LOOK_BEHIND) {
		result = maildrop_open(d, address, options, &m);
		if (result != 0)
			return result;
		totals = (struct index_totals){ .octets = m->octets, .messages = m->count };
		maildrop_close(d, m);
	}
	if (result != 0)
		return result;
	*octets_out = totals.octets;
	*messages_out = totals.messages;
	return 0;
}

bool
maildrop_is_current(const struct disk *d, const struct maildrop *m)
{
	struct disk_status log;

	return m->log_fd >= 0 && disk_status_of_file(d, m->log_fd, &log) == 0 &&
		log.links == m->links && log.octets == m->covers && !doubt_holds(&log);
}

size_t
maildrop_unique_id(const struct maildrop *m, const struct maildrop_entry *e,
	char to[MAILDROP_UNIQUE_ID_MAX + 1])
{
	size_t length = UID_DERIVED_OCTETS;

	if (e->unique_id == 0) {
		uid_put_derived(e->uid, m->uid_validity, to);
	} else {
		length = strlen(m->unique_ids + e->unique_id);
		must(length <= MAILDROP_UNIQUE_ID_MAX);
		memcpy(to, m->unique_ids + e->unique_id, length);
	}
	to[length] = '\0';
	return length;
}
