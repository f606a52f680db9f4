/*
 * maildrop_reserve.c - uids that another server has used up.
 *
 * They are expunged before they ever were messages here: one expunge record over the whole range,
 * which every reader of the log understands, and which says which uid is the next.
 */
#include "storage/maildrop_internal.h"
#include "storage/uid.h"

#include <assert.h>
#include <errno.h>

#define RECORD_OCTETS (RECORD_HEADER_OCTETS + RECORD_RANGE_OCTETS)

static int
append_range(struct maildrop_files *f, struct uid_range range)
{
	struct messages expunged = { 0 };
	char octets[RECORD_OCTETS];
	uint64_t end = f->end.covers;
	struct record_header header = {
		.type = RECORD_EXPUNGE,
		.ends_commit = true,
		.octets = RECORD_OCTETS,
		.commit_start = end,
		.uid_validity = f->header.uid_validity,
		.next_uid = range.last + 1,
		.count = 1,
		.entries_octets = RECORD_RANGE_OCTETS,
	};
	int error = messages_add_range(&expunged, range);

	static_assert(RECORD_OCTETS % RECORD_ALIGNMENT == 0, "the record needs no padding");
	if (error != 0)
		return error;
	record_range_encode(range, octets + RECORD_HEADER_OCTETS);
	record_header_encode(&header, log_salt(f->header.generation),
		span_of(octets + RECORD_HEADER_OCTETS, RECORD_RANGE_OCTETS), octets);
	error = disk_write_at(f->disk, f->log_fd, span_of(octets, sizeof(octets)), end);
	if (error == 0)
		error = maildrop_make_durable(f);
	if (error != 0)
		maildrop_cut_back(f, end);
	else
		maildrop_index_commit(
			f, &expunged, header.next_uid, end + sizeof(octets), f->end.totals);
	messages_free(&expunged);
	return error;
}

int
maildrop_reserve_uids(const struct disk *d, const char *address,
	const struct maildrop_options *options, uint32_t next_uid)
{
	struct maildrop_paths paths;
	struct maildrop_files files;
	int error = maildrop_paths(address, &paths);

	if (next_uid > UID_MAX)
		return -EINVAL;
	if (error == 0)
		error = maildrop_lock(d, &paths, options, &files);
	if (error != 0)
		return error;
	if (files.end.next_uid < next_uid)
		error = append_range(
			&files, (struct uid_range){ files.end.next_uid, next_uid - 1 });
	maildrop_unlock(&files);
	return error;
}
