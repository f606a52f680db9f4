/*
 * maildrop_repair.c - make a damaged maildrop whole again.
 *
 * What is left is gathered from the log, however damaged, and from the index, which may know
 * messages whose headers are lost and deletions whose record is; every message is checked against
 * its checksum. A new generation is made of it, and the damaged log stays beside.  Where the log is
 * whole, only the index is made anew.
 */
#include "io/base/clock.h"
#include "storage/log_survey.h"
#include "storage/log_writer.h"
#include "storage/maildrop_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

struct repair {
	struct maildrop_files files;
	struct findings findings;
	struct log_scan scan;
	struct messages log;
	struct messages index;
	struct messages merged;
	uint32_t next_uid;
};

/* The log's header is lost; the index repeats all of it that matters. */
static int
header_from_index(struct repair *r)
{
	struct maildrop_files *f = &r->files;
	struct index_header header;
	int error = index_read_header(f->disk, f->paths.index, &header);

	if (error != 0)
		return error;
	f->header.uid_validity = header.uid_validity;
	f->header.next_uid = header.next_uid;
	memcpy(f->header.generation, header.generation, sizeof(header.generation));
	findings_add(&r->findings, 0, "the log's header is damaged; the index has it");
	return 0;
}

/* The index is lost too; but the first record stands where it always does.  Its next uid is not
 * below that of the header. */
static int
header_from_first_record(struct repair *r, struct log_salt *salt_out)
{
	struct maildrop_files *f = &r->files;
	struct record_header first;
	char octets[RECORD_HEADER_OCTETS + LOG_WRITER_BATCH_MESSAGES * RECORD_ENTRY_OCTETS_MAX];
	ssize_t n = disk_read_at(f->disk, f->log_fd, octets, sizeof(octets), LOG_HEADER_OCTETS);

	if (n < 0)
		return (int)n;
	if (!record_find_salt(span_of(octets, (size_t)n), salt_out, &first)) {
		findings_add(&r->findings, 0,
			"the log's header, its first record and the index's header are damaged");
		return -EBADMSG;
	}
	f->header.uid_validity = first.uid_validity;
	f->header.next_uid = first.next_uid;
	findings_add(&r->findings, 0, "the log's header is damaged; the first record tells it");
	return 0;
}

/* Set header and scan, from wherever they are to be had. */
static int
begin_scan(struct repair *r)
{
	struct maildrop_files *f = &r->files;
	struct log_salt salt;
	bool has_salt = false;
	struct disk_status log;
	int error = maildrop_read_header(f->disk, f->log_fd, &f->header);

	if (error == 0) {
		/* No more than is needed: an index knows deletions until it is made anew. */
		error = maildrop_recover_if_behind(f);
		error = error == -EBADMSG ? 0 : error;
	} else if (error == -EBADMSG) {
		error = header_from_index(r);
		if (error == -EBADMSG || error == -ENOENT) {
			error = header_from_first_record(r, &salt);
			has_salt = true;
		}
	}
	if (error == 0)
		error = disk_status_of_file(f->disk, f->log_fd, &log);
	if (error != 0)
		return error;
	log_scan_init(&r->scan, f->disk, f->log_fd, log.octets, &f->header);
	if (has_salt)
		r->scan.salt = salt;
	return 0;
}

/* An entry from one of the two sources; the log's is taken where both have it. */
static int
merge_entry(struct repair *r, const struct messages *from, const struct maildrop_entry *entry)
{
	int error = messages_add(&r->merged, entry, messages_id(from, entry));

	if (error != -EBADMSG)
		return error;
	findings_add(&r->findings, entry->wire_offset, "uid %u does not follow the others: lost",
		entry->uid);
	return 0;
}

static int
merge_entries(struct repair *r)
{
	uint32_t i = 0;
	uint32_t j = 0;
	int error = 0;

	while (error == 0 && (i < r->log.count || j < r->index.count)) {
		const struct maildrop_entry *a = i < r->log.count ? &r->log.entries[i] : NULL;
		const struct maildrop_entry *b = j < r->index.count ? &r->index.entries[j] : NULL;

		if (b == NULL || (a != NULL && a->uid <= b->uid)) {
			error = merge_entry(r, &r->log, a);
			j += b != NULL && a->uid == b->uid;
			i++;
		} else {
			error = merge_entry(r, &r->index, b);
			j++;
		}
	}
	return error;
}

static int
merge(struct repair *r)
{
	int error = merge_entries(r);

	for (size_t i = 0; error == 0 && i < r->log.range_count; i++)
		error = messages_add_range(&r->merged, r->log.ranges[i]);
	for (size_t i = 0; error == 0 && i < r->index.range_count; i++)
		error = messages_add_range(&r->merged, r->index.ranges[i]);
	return error != 0 ? error : messages_settle(&r->merged);
}

/* Keep what its checksum vouches for. */
static int
drop_damaged(struct repair *r)
{
	struct messages *m = &r->merged;
	uint32_t kept = 0;

	for (uint32_t i = 0; i < m->count; i++) {
		const struct maildrop_entry *entry = &m->entries[i];
		int valid = log_scan_content(&r->scan, entry);

		if (valid < 0)
			return valid;
		if (valid == 0)
			findings_add(&r->findings, entry->wire_offset,
				"content of uid %u is damaged: lost", entry->uid);
		else
			m->entries[kept++] = *entry;
	}
	m->count = kept;
	return 0;
}

static int
gather(struct repair *r)
{
	struct maildrop_files *f = &r->files;
	struct index_end end;
	int error = begin_scan(r);

	if (error != 0)
		return error;
	error = index_load(f->disk, f->paths.index, &f->header, &r->index, &end);
	if (error != 0)
		return error;
	r->next_uid = end.next_uid;
	error = log_survey(&r->scan, &r->log, &r->next_uid, &r->findings);
	if (error == 0 && end.covers > r->scan.size)
		findings_add(&r->findings, r->scan.size, "the log is shorter than its index says");
	if (error == 0)
		error = merge(r);
	return error != 0 ? error : drop_damaged(r);
}

static int
replace_index(struct repair *r)
{
	struct maildrop_files *f = &r->files;
	int fd = index_replace(f->disk, f->paths.directory, &f->header, &r->merged, r->next_uid,
		r->scan.size, &f->end);

	if (fd < 0)
		return fd;
	disk_close(f->disk, fd);
	return 0;
}

/* "damaged-<time>", a name that is not taken. */
static int
choose_name(const struct repair *r, char *name, size_t size)
{
	struct disk_status status;
	char path[LAYOUT_PATH_MAX];
	int error = 0;

	for (int64_t now = clock_calendar_us() / 1000000; error == 0; now++) {
		snprintf(name, size, "damaged-%lld", (long long)now);
		layout_join(r->files.paths.directory, name, path);
		error = disk_status_of_path(r->files.disk, path, &status);
	}
	return error == -ENOENT ? 0 : error;
}

static int
repair_locked(struct repair *r)
{
	char name[sizeof("damaged-") + 20];
	int error = gather(r);

	if (error == 0 && r->findings.count == 0)
		return replace_index(r);
	if (error == 0)
		error = choose_name(r, name, sizeof(name));
	return error != 0 ? error : maildrop_rewrite(&r->files, &r->merged, r->next_uid, name);
}

int
maildrop_repair(const struct disk *d, const char *address, const struct maildrop_options *options,
	void (*report)(void *ctx, uint64_t offset, const char *text), void *ctx)
{
	struct repair r = { .findings = { .report = report, .ctx = ctx } };
	struct maildrop_paths paths;
	int error = maildrop_paths(address, &paths);

	if (error == 0)
		error = maildrop_lock_log(d, &paths, options, &r.files);
	if (error == -EBADMSG)
		findings_add(
			&r.findings, 0, "there is an index, and no log: nothing to repair from");
	if (error != 0)
		return error == -ENOENT ? 0 : error;
	error = repair_locked(&r);
	maildrop_unlock(&r.files);
	log_scan_free(&r.scan);
	messages_free(&r.log);
	messages_free(&r.index);
	messages_free(&r.merged);
	return error;
}
