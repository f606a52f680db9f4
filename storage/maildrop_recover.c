/*
 * maildrop_recover.c - bring the index up to date with the log (docs/FORMAT.md, "Recovery").
 *
 * The write lock is held.  What the index covers was committed.  Behind it, commits follow each
 * other: the complete and valid ones are kept, whether they were acknowledged or not, and synced
 * before anybody is told of them.  What is left at the end is
 *   - a torn tail, if it can only be the last commit, never acknowledged: it is cut off;
 *   - damage, if a valid record of a later commit lies behind it: nothing is changed, -EBADMSG.
 * A commit is only ever begun when all before it is synced, so a later commit proves that.
 *
 * None of this is read from what the page cache has kept after somebody's failed sync: the log is
 * synced by this descriptor, which is a new one, and its pages are dropped, before it is read.  A
 * log in doubt (storage/doubt.h) is moreover read from its beginning, messages that the index
 * covers and all.
 */
#include "storage/maildrop_internal.h"

#include <errno.h>
#include <stdlib.h>

struct recovery {
	struct maildrop_files *files;
	struct log_scan scan;
	struct messages messages;
	struct index_end end;         /* what the index said */
	uint32_t first_added;         /* messages from here on are not in the index */
	size_t first_range;           /* so are ranges */
	uint64_t good_end;            /* behind the last complete commit */
	uint64_t last_start;          /* of the last complete commit */
	struct messages_mark at_good; /* with it */
	struct messages_mark at_last; /* without it */
	uint32_t next_uid;
	uint32_t next_uid_before_last;
};

static void
complete_commit(struct recovery *r, const struct log_record *record)
{
	r->last_start = r->good_end;
	r->at_last = r->at_good;
	r->next_uid_before_last = r->next_uid;

	r->good_end = record->at + record->header.octets;
	r->at_good = messages_mark(&r->messages);
	if (record->header.next_uid > r->next_uid)
		r->next_uid = record->header.next_uid;
}

/* Collect all commits up to the end of the log or the first octet that does not belong to one. */
static int
collect_commits(struct recovery *r)
{
	uint64_t at = r->good_end;
	struct log_record record;
	int result;

	while ((result = log_scan_record(&r->scan, at, &record)) == 1) {
		if (record.header.commit_start != r->good_end)
			break;
		result = log_scan_collect(&r->scan, &record, &r->messages);
		if (result != 0)
			return result;
		at += record.header.octets;
		if (record.header.ends_commit)
			complete_commit(r, &record);
	}
	messages_return_to(&r->messages, r->at_good);
	return result < 0 ? result : 0;
}

/* 0: what is behind the last complete commit may be cut off. */
static int
check_tail(struct recovery *r)
{
	uint64_t at = r->good_end;
	struct log_record record;
	int result;

	while ((result = log_scan_find_record(&r->scan, at, &record)) == 1) {
		if (record.header.commit_start > r->good_end)
			return -EBADMSG;
		at = record.at + RECORD_ALIGNMENT;
	}
	return result;
}

/*
 * The contents of what the index did not know of and is still there.  The last commit may be torn
 * in its contents alone, as long as no tail behind it says that it was synced.
 */
static int
check_contents(struct recovery *r, uint32_t from, bool last_may_be_torn, bool *last_is_torn_out)
{
	bool *dead;
	int error = messages_find_dead(&r->messages, &dead);

	*last_is_torn_out = false;
	if (error != 0)
		return error;
	for (uint32_t i = from; error == 0 && i < r->messages.count; i++) {
		const struct maildrop_entry *entry = &r->messages.entries[i];
		int valid = dead[i] ? 1 : log_scan_content(&r->scan, entry);

		if (valid < 0) {
			error = valid;
		} else if (valid == 0) {
			*last_is_torn_out = last_may_be_torn && entry->wire_offset > r->last_start;
			error = *last_is_torn_out ? 0 : -EBADMSG;
			break;
		}
	}
	free(dead);
	return error;
}

static void
drop_last_commit(struct recovery *r)
{
	messages_return_to(&r->messages, r->at_last);
	r->good_end = r->last_start;
	r->next_uid = r->next_uid_before_last;
}

/* Make the log end with its last complete commit, and sync that. */
static int
settle_log(struct recovery *r)
{
	struct maildrop_files *f = r->files;
	bool has_tail = r->good_end < r->scan.size;
	bool last_is_torn;
	int error = has_tail ? check_tail(r) : 0;

	if (error == 0)
		error = check_contents(r, r->first_added, !has_tail, &last_is_torn);
	if (error != 0)
		return error;
	if (last_is_torn)
		drop_last_commit(r);
	if (r->good_end < r->scan.size)
		error = disk_truncate(f->disk, f->log_fd, r->good_end);
	if (error == 0) {
		error = maildrop_make_durable(f);
		if (error != 0)
			maildrop_cut_back(f, r->good_end);
	}
	return error;
}

/* The new index holds what is left of it all. */
static int
replace_index(struct recovery *r)
{
	struct maildrop_files *f = r->files;
	int error = messages_settle(&r->messages);
	int fd;

	if (error != 0)
		return error;
	fd = index_replace(f->disk, f->paths.directory, &f->header, &r->messages, r->next_uid,
		r->good_end, &f->end);
	if (fd < 0)
		return fd;
	f->index_fd = fd;
	return 0;
}

/* What the index covers, of a log in doubt: every record and every message that is left. */
static int
check_covered(struct recovery *r)
{
	uint64_t at = LOG_HEADER_OCTETS;
	struct log_record record;
	bool unused;

	while (at < r->end.covers) {
		int result = log_scan_record(&r->scan, at, &record);

		if (result != 1)
			return result == 0 ? -EBADMSG : result;
		at += record.header.octets;
	}
	return at == r->end.covers ? check_contents(r, 0, false, &unused) : -EBADMSG;
}

static int
recover_from(struct recovery *r)
{
	struct maildrop_files *f = r->files;
	bool is_doubted = doubt_holds(&f->log);
	int error = is_doubted ? check_covered(r) : 0;

	if (error == 0)
		error = collect_commits(r);
	if (error == 0)
		error = settle_log(r);
	if (error == 0)
		error = replace_index(r);
	if (error == 0 && is_doubted)
		doubt_settle(&f->log);
	return error;
}

/* See at the top. */
static int
read_from_disk(struct maildrop_files *f)
{
	int error = disk_status_of_file(f->disk, f->log_fd, &f->log);

	if (error != 0 || (!f->options.sync && !doubt_holds(&f->log)))
		return error;
	error = disk_sync_data(f->disk, f->log_fd);
	if (error != 0) {
		doubt_raise(&f->log);
		return error;
	}
	disk_drop_cache(f->disk, f->log_fd);
	return maildrop_read_header(f->disk, f->log_fd, &f->header);
}

/* Totals that do not come out right mean that the slots are not to be believed either. */
static int
load_index(struct recovery *r)
{
	struct maildrop_files *f = r->files;
	struct index_totals totals;
	int error = index_load(f->disk, f->paths.index, &f->header, &r->messages, &r->end);

	if (error == 0)
		error = messages_settle(&r->messages);
	if (error != 0)
		return error;
	totals = messages_totals(&r->messages);
	if (totals.octets == r->end.totals.octets && totals.messages == r->end.totals.messages)
		return 0;
	messages_free(&r->messages);
	r->end = (struct index_end){
		.condition = INDEX_NONE,
		.covers = LOG_HEADER_OCTETS,
		.next_uid = r->end.next_uid,
	};
	return 0;
}

int
maildrop_recover(struct maildrop_files *f)
{
	struct recovery r = { .files = f };
	int error = read_from_disk(f);

	if (f->index_fd >= 0)
		disk_close(f->disk, f->index_fd);
	f->index_fd = -1;
	if (error == 0)
		error = load_index(&r);
	if (error == 0 && f->log.octets < r.end.covers)
		error = -EBADMSG;
	if (error == 0) {
		f->end = r.end;
		log_scan_init(&r.scan, f->disk, f->log_fd, f->log.octets, &f->header);
		r.good_end = r.last_start = r.end.covers;
		r.next_uid = r.next_uid_before_last = r.end.next_uid;
		r.first_added = r.messages.count;
		r.at_good = r.at_last = messages_mark(&r.messages);
		error = recover_from(&r);
		log_scan_free(&r.scan);
	}
	messages_free(&r.messages);
	return error;
}
