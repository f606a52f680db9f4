/*
 * maildrop_compact.c - a new generation of a maildrop, beside the old one and then in its place.
 *
 * The new log is locked before it has its name, so nobody adds to it while its index is being made.
 * Who has the old one open keeps it; who waits for its lock finds that it was replaced.  A crash
 * before the rename leaves the old generation and a file that the next compaction removes; a crash
 * after it leaves the new log with an index of another generation, which is rebuilt.
 */
#include "io/base/crc32c.h"
#include "io/base/must.h"
#include "storage/claim.h"
#include "storage/log_writer.h"
#include "storage/maildrop_internal.h"

#include <errno.h>
#include <fcntl.h>

#define PIECE_OCTETS 131072u

/* The new generation on its way. */
struct generation {
	struct maildrop_files *old;
	struct log_header header;
	char path[LAYOUT_PATH_MAX];
	int fd;
	struct disk_status log;
	struct log_writer writer;
	uint64_t end;
};

static int
copy_content(struct generation *g, const struct maildrop_entry *entry)
{
	uint64_t done = 0;
	uint32_t crc = 0;

	while (done < entry->wire_octets) {
		uint64_t left = entry->wire_octets - done;
		size_t want = left < PIECE_OCTETS ? (size_t)left : PIECE_OCTETS;
		char *room;
		ssize_t n;
		int error = log_writer_room(&g->writer, want, &room);

		if (error != 0)
			return error;
		n = disk_read_at(
			g->old->disk, g->old->log_fd, room, want, entry->wire_offset + done);
		if (n != (ssize_t)want)
			return n < 0 ? (int)n : -EBADMSG;
		crc = crc32c(crc, room, want);
		done += want;
		error = log_writer_advance(&g->writer, want);
		if (error != 0)
			return error;
	}
	return crc == entry->content_crc ? 0 : -EBADMSG;
}

static int
copy_messages(struct generation *g, const struct messages *live)
{
	int error = 0;

	for (uint32_t i = 0; error == 0 && i < live->count; i++) {
		const struct maildrop_entry *entry = &live->entries[i];

		error = log_writer_begin(&g->writer, messages_id(live, entry), 0);
		if (error == 0)
			error = copy_content(g, entry);
		if (error == 0)
			error = log_writer_end(&g->writer, entry, span_of("", 0));
	}
	if (error != 0)
		log_writer_drop(&g->writer);
	return error;
}

/* The log under its passing name, locked, with its header. */
static int
open_beside(struct generation *g)
{
	const struct disk *d = g->old->disk;
	char octets[LOG_HEADER_OCTETS];
	int error;

	layout_join(g->old->paths.directory, "log.new", g->path);
	error = disk_unlink(d, g->path); /* of one who died over it */
	if (error != 0 && error != -ENOENT)
		return error;
	g->fd = disk_open(d, g->path, O_RDWR | O_CREAT | O_EXCL, MAILDROP_FILE_MODE);
	if (g->fd < 0)
		return g->fd;
	log_header_encode(&g->header, octets);
	error = disk_try_lock(d, g->fd, MAILDROP_LOCK_WRITE, DISK_LOCK_EXCLUSIVE);
	if (error == 0)
		error = disk_write_at(d, g->fd, span_of(octets, sizeof(octets)), 0);
	return error;
}

/*
 * The old log stays under another name.  It gets eight octets more: a session that has it open
 * knows by its size, as its link count does not fall to 0, that it is not the maildrop any more.
 */
static int
keep_old_log(const struct maildrop_files *f, const char *path)
{
	static const char zeros[RECORD_ALIGNMENT];
	struct disk_status log;
	int error = disk_link(f->disk, f->paths.log, path);

	if (error != 0)
		return error;
	error = disk_status_of_file(f->disk, f->log_fd, &log);
	if (error == 0)
		error = disk_write_at(
			f->disk, f->log_fd, span_of(zeros, sizeof(zeros)), log.octets);
	return error;
}

static int
put_in_place(struct generation *g, const char *keep_as)
{
	const struct maildrop_files *f = g->old;
	char path[LAYOUT_PATH_MAX];
	int error = f->options.sync ? disk_sync_data(f->disk, g->fd) : 0;

	if (error == 0)
		error = disk_status_of_file(f->disk, g->fd, &g->log);
	if (error == 0)
		error = claim_hold_off(f->disk, f->log_fd);
	if (error == 0 && keep_as != NULL) {
		layout_join(f->paths.directory, keep_as, path);
		error = keep_old_log(f, path);
	}
	return error != 0 ? error : disk_rename(f->disk, g->path, f->paths.log);
}

static int
write_generation(
	struct generation *g, const struct messages *live, uint32_t next_uid, const char *keep_as)
{
	int error = open_beside(g);

	if (error == 0) {
		log_writer_init(
			&g->writer, g->old->disk, g->fd, &g->header, LOG_HEADER_OCTETS, next_uid);
		error = copy_messages(g, live);
		if (error == 0)
			error = log_writer_finish(&g->writer, &g->end);
	}
	return error != 0 ? error : put_in_place(g, keep_as);
}

/* The name under which a log was made before it was linked (maildrop_append.c). */
static bool
is_passing_name(const char *name)
{
	return strncmp(name, "log.", 4) == 0 && strlen(name) == 12 &&
		strspn(name + 4, "0123456789abcdef") == 8;
}

static int
remove_passing_name(void *ctx, const char *name)
{
	const struct maildrop_files *f = ctx;
	char path[LAYOUT_PATH_MAX];

	if (!is_passing_name(name))
		return 0;
	layout_join(f->paths.directory, name, path);
	disk_unlink(f->disk, path);
	return 0;
}

void
maildrop_remove_passing_names(struct maildrop_files *f)
{
	disk_list(f->disk, f->paths.directory, remove_passing_name, f);
}

/* From here on `f` is the new log.  An index that cannot be made is rebuilt by whoever comes
 * next. */
static int
adopt(struct maildrop_files *f, struct generation *g, uint32_t next_uid)
{
	const struct messages *live = &g->writer.added;
	int error = 0;

	maildrop_unlock(f);
	maildrop_remove_passing_names(f);
	f->log_fd = g->fd;
	f->log = g->log;
	f->header = g->header;
	f->end = (struct index_end){
		.condition = INDEX_NONE,
		.covers = g->end,
		.next_uid = next_uid,
		.totals = g->writer.added_totals,
	};
	if (live->count == 0) {
		disk_unlink(f->disk, f->paths.index);
		return 0;
	}
	if (f->options.sync) {
		error = disk_sync_directory(f->disk, f->paths.directory);
		if (error != 0)
			doubt_raise(&f->log);
	}
	if (error == 0)
		f->index_fd = index_replace(
			f->disk, f->paths.directory, &f->header, live, next_uid, g->end, &f->end);
	return error;
}

int
maildrop_rewrite(struct maildrop_files *f, const struct messages *live, uint32_t next_uid,
	const char *keep_as)
{
	struct generation g = { .old = f, .fd = -1 };
	int error = maildrop_new_header(f->header.uid_validity, next_uid, &g.header);

	must(live->range_count == 0);
	if (error == 0)
		error = write_generation(&g, live, next_uid, keep_as);
	if (error == 0) {
		error = adopt(f, &g, next_uid);
	} else if (g.fd >= 0) {
		disk_close(f->disk, g.fd);
		disk_unlink(f->disk, g.path);
	}
	log_writer_free(&g.writer);
	return error;
}

static int
log_allocation(const struct maildrop_files *f, uint64_t *octets_out)
{
	struct disk_status status;
	int error = disk_status_of_file(f->disk, f->log_fd, &status);

	if (error == 0)
		*octets_out = status.allocated_octets;
	return error;
}

static int
compact_locked(struct maildrop_files *f, uint64_t *before_out, uint64_t *after_out)
{
	struct messages live = { 0 };
	int error = log_allocation(f, before_out);

	if (error == 0)
		error = maildrop_load(f, &live);
	if (error == 0)
		error = messages_settle(&live);
	if (error == 0)
		error = maildrop_rewrite(f, &live, f->end.next_uid, NULL);
	if (error == 0)
		error = log_allocation(f, after_out);
	messages_free(&live);
	return error;
}

int
maildrop_compact(const struct disk *d, const char *address, const struct maildrop_options *options,
	uint64_t *before_out, uint64_t *after_out)
{
	struct maildrop_paths paths;
	struct maildrop_files files;
	uint64_t before = 0;
	uint64_t after = 0;
	int error = maildrop_paths(address, &paths);

	if (error == 0)
		error = maildrop_lock(d, &paths, options, &files);
	if (error == 0) {
		error = compact_locked(&files, &before, &after);
		maildrop_unlock(&files);
	} else if (error == -ENOENT) {
		error = 0;
	}
	if (error == 0) {
		*before_out = before;
		*after_out = after;
	}
	return error;
}
