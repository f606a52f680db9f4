/*
 * maildrop_commit.c - one session's deletions.
 *
 * One expunge record, one checksum, one sync: all of them are gone, or none is.
 */
#include "io/base/must.h"
#include "storage/maildrop_internal.h"

#include <errno.h>
#include <stdlib.h>

/* Which of the session's messages are still there. */
struct removal {
	const struct maildrop_entry *live;
	uint32_t live_count;
	struct messages loaded;     /* what `live` is, unless it is the session's own snapshot */
	struct messages expunged;   /* nothing but ranges */
	struct index_totals totals; /* of what is removed */
};

/* Neighbours in the maildrop share a range, whatever uids lie between them. */
static int
add_removed(struct removal *r, uint32_t uid, bool follows_removed)
{
	struct uid_range range = { uid, uid };

	if (!follows_removed)
		return messages_add_range(&r->expunged, range);
	r->expunged.ranges[r->expunged.range_count - 1].last = uid;
	return 0;
}

static int
find_removed(struct removal *r, const uint32_t *uids, uint32_t count)
{
	uint32_t next = 0;
	bool follows_removed = false;
	int error = 0;

	for (uint32_t i = 0; error == 0 && i < r->live_count && next < count; i++) {
		const struct maildrop_entry *entry = &r->live[i];
		bool is_removed;

		while (next < count && uids[next] < entry->uid)
			next++;
		is_removed = next < count && uids[next] == entry->uid;
		if (is_removed) {
			error = add_removed(r, entry->uid, follows_removed);
			r->totals.octets += entry->octets;
			r->totals.messages++;
		}
		follows_removed = is_removed;
	}
	return error;
}

/* The record with all ranges: *octets_out is to be freed. */
static int
encode_record(const struct maildrop_files *f, const struct removal *r, char **octets_out,
	size_t *length_out)
{
	size_t entries_octets = r->expunged.range_count * RECORD_RANGE_OCTETS;
	size_t length = RECORD_HEADER_OCTETS + entries_octets;
	char *octets = malloc(length);
	struct record_header header = {
		.type = RECORD_EXPUNGE,
		.ends_commit = true,
		.octets = length,
		.commit_start = f->end.covers,
		.uid_validity = f->header.uid_validity,
		.next_uid = f->end.next_uid,
		.count = (uint32_t)r->expunged.range_count,
		.entries_octets = (uint32_t)entries_octets,
	};

	static_assert(RECORD_RANGE_OCTETS % RECORD_ALIGNMENT == 0, "no padding behind ranges");
	if (octets == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < r->expunged.range_count; i++)
		record_range_encode(r->expunged.ranges[i],
			octets + RECORD_HEADER_OCTETS + i * RECORD_RANGE_OCTETS);
	record_header_encode(&header, log_salt(f->header.generation),
		span_of(octets + RECORD_HEADER_OCTETS, entries_octets), octets);
	*octets_out = octets;
	*length_out = length;
	return 0;
}

static int
append_record(struct maildrop_files *f, const struct removal *r)
{
	struct index_totals totals = f->end.totals;
	uint64_t end = f->end.covers;
	size_t length;
	char *octets;
	int error = encode_record(f, r, &octets, &length);

	if (error != 0)
		return error;
	error = disk_write_at(f->disk, f->log_fd, span_of(octets, length), end);
	free(octets);
	if (error == 0)
		error = maildrop_make_durable(f);
	if (error != 0) {
		maildrop_cut_back(f, end);
		return error;
	}
	totals.octets -= r->totals.octets;
	totals.messages -= r->totals.messages;
	maildrop_index_commit(f, &r->expunged, f->end.next_uid, end + length, totals);
	return 0;
}

/* Nothing was added or removed since the snapshot was taken. */
static bool
is_unchanged(const struct maildrop_files *f, const struct maildrop *m)
{
	return m != NULL && m->log_fd >= 0 && m->inode == f->log.inode &&
		memcmp(m->generation, f->header.generation, sizeof(m->generation)) == 0 &&
		m->covers == f->end.covers && m->count == f->end.totals.messages &&
		m->octets == f->end.totals.octets;
}

/* The session's snapshot says what is there, as long as it is the last word;
 * else the whole index is read. */
static int
find_live(struct maildrop_files *f, const struct maildrop *snapshot, struct removal *r)
{
	int error;

	if (is_unchanged(f, snapshot)) {
		r->live = snapshot->entries;
		r->live_count = snapshot->count;
		return 0;
	}
	error = maildrop_load(f, &r->loaded);
	if (error == 0)
		error = messages_settle(&r->loaded);
	r->live = r->loaded.entries;
	r->live_count = r->loaded.count;
	return error;
}

static int
remove_messages(struct maildrop_files *f, const struct maildrop *snapshot, const uint32_t *uids,
	uint32_t count, uint32_t *removed_out)
{
	struct removal r = { 0 };
	int error = find_live(f, snapshot, &r);

	if (error == 0)
		error = find_removed(&r, uids, count);
	if (error == 0 && r.totals.messages > 0)
		error = append_record(f, &r);
	if (error == 0)
		*removed_out = r.totals.messages;
	messages_free(&r.loaded);
	messages_free(&r.expunged);
	return error;
}

int
maildrop_commit_snapshot(const struct disk *d, const char *address, const struct maildrop *snapshot,
	const struct maildrop_options *options, const uint32_t *uids, uint32_t count,
	uint32_t *removed_out)
{
	struct maildrop_paths paths;
	struct maildrop_files files;
	int error = maildrop_paths(address, &paths);

	for (uint32_t i = 1; i < count; i++)
		must(uids[i - 1] < uids[i]);
	if (error == 0)
		error = maildrop_lock(d, &paths, options, &files);
	if (error == -ENOENT) {
		*removed_out = 0;
		return 0;
	}
	if (error != 0)
		return error;
	error = remove_messages(&files, snapshot, uids, count, removed_out);
	maildrop_unlock(&files);
	return error;
}

int
maildrop_commit(const struct disk *d, const char *address, const struct maildrop_options *options,
	const uint32_t *uids, uint32_t count, uint32_t *removed_out)
{
	return maildrop_commit_snapshot(d, address, NULL, options, uids, count, removed_out);
}
