/*
 * maildrop_verify.c - look at every octet.
 *
 * What any session would mend on its way in, an index that is missing, broken or behind, is told
 * first; then the maildrop is brought to rest, as any session does: index up to date, torn tail
 * gone.  Then its size is noted and the write lock given back; what lies below that size does not
 * change any more, and a shared lock keeps dead space from being punched.  Deliveries go on
 * meanwhile.
 */
#include "storage/log_survey.h"
#include "storage/maildrop_internal.h"
#include "storage/wire_check.h"

#include <errno.h>

struct verification {
	struct maildrop_files files;
	struct findings findings;
	struct log_scan scan;
	struct messages log;   /* settled once all contents are verified */
	struct messages index; /* settled */
	struct index_end index_end;
	bool has_index; /* a log without any record needs none */
	uint32_t next_uid;
};

static int
take_content(void *ctx, struct span piece)
{
	struct wire_check *check = ctx;

	wire_check_octets(check, piece);
	return 0;
}

static int
verify_content(struct verification *v, const struct maildrop_entry *entry)
{
	struct wire_check check;
	const char *wrong;
	int valid = log_scan_content(&v->scan, entry);

	if (valid < 0)
		return valid;
	if (valid == 0) {
		findings_add(&v->findings, entry->wire_offset,
			"content of uid %u is not what its checksum says", entry->uid);
		return 0;
	}
	wire_check_init(&check, entry);
	valid = log_scan_octets(
		&v->scan, entry->wire_offset, entry->wire_octets, take_content, &check);
	wrong = wire_check_end(&check);
	if (valid == 0 && wrong != NULL)
		findings_add(&v->findings, entry->wire_offset, "uid %u: %s", entry->uid, wrong);
	return valid;
}

static int
verify_log(struct verification *v)
{
	int error = log_survey(&v->scan, &v->log, &v->next_uid, &v->findings);

	if (error == 0)
		error = messages_settle(&v->log);
	for (uint32_t i = 0; error == 0 && i < v->log.count; i++)
		error = verify_content(v, &v->log.entries[i]);
	return error;
}

static bool
entries_agree(const struct verification *v, const struct maildrop_entry *a,
	const struct maildrop_entry *b)
{
	return a->uid == b->uid && a->wire_offset == b->wire_offset &&
		a->wire_octets == b->wire_octets && a->octets == b->octets &&
		a->header_octets == b->header_octets && a->body_lines == b->body_lines &&
		a->content_crc == b->content_crc && a->arrived_at == b->arrived_at &&
		a->header_ended == b->header_ended &&
		span_equals(messages_id(&v->log, a), messages_id(&v->index, b));
}

/* Both are ascending by uid. */
static void
compare_entries(struct verification *v)
{
	uint32_t i = 0;
	uint32_t j = 0;

	while (i < v->log.count || j < v->index.count) {
		const struct maildrop_entry *a = i < v->log.count ? &v->log.entries[i] : NULL;
		const struct maildrop_entry *b = j < v->index.count ? &v->index.entries[j] : NULL;

		if (b == NULL || (a != NULL && a->uid < b->uid)) {
			findings_add(
				&v->findings, a->wire_offset, "uid %u is not in the index", a->uid);
			i++;
		} else if (a == NULL || b->uid < a->uid) {
			findings_add(&v->findings, b->wire_offset,
				"uid %u is in the index and not in the log", b->uid);
			j++;
		} else {
			if (!entries_agree(v, a, b))
				findings_add(&v->findings, a->wire_offset,
					"uid %u: the index says something else", a->uid);
			i++;
			j++;
		}
	}
}

static void
verify_index(struct verification *v)
{
	struct index_totals totals;

	if (!v->has_index)
		return;
	totals = messages_totals(&v->index);
	if (v->index_end.covers != v->scan.size)
		findings_add(&v->findings, v->index_end.covers,
			"the index covers %llu octets of a log of %llu",
			(unsigned long long)v->index_end.covers, (unsigned long long)v->scan.size);
	if (totals.octets != v->index_end.totals.octets ||
		totals.messages != v->index_end.totals.messages)
		findings_add(&v->findings, v->index_end.octets, "the index's totals are wrong");
	if (v->index_end.next_uid < v->next_uid)
		findings_add(&v->findings, v->index_end.octets, "the index would give uid %u again",
			v->index_end.next_uid);
	compare_entries(v);
}

/* What is wrong with the index before anybody mends it: told, and not counted, as a crash at any
 * moment may leave it so. */
static int
report_index(struct verification *v)
{
	struct findings notes = v->findings;
	struct maildrop_files *f = &v->files;
	struct messages messages = { 0 };
	struct disk_status log;
	struct index_end end;
	int error = index_load(f->disk, f->paths.index, &f->header, &messages, &end);

	messages_free(&messages);
	if (error == 0)
		error = disk_status_of_file(f->disk, f->log_fd, &log);
	if (error != 0 || log.octets <= LOG_HEADER_OCTETS)
		return error;
	if (end.condition == INDEX_NONE)
		findings_add(&notes, 0,
			"the index is missing, damaged or of another log: it is made anew");
	else if (end.condition == INDEX_BROKEN)
		findings_add(
			&notes, end.octets, "the index is damaged from here on: it is made anew");
	else if (end.covers < log.octets)
		findings_add(&notes, end.covers,
			"the index covers no more of a log of %llu octets: it is brought up to "
			"date",
			(unsigned long long)log.octets);
	return 0;
}

/* With the write lock held: what is there, and how far it goes. */
static int
take_stock(struct verification *v)
{
	struct maildrop_files *f = &v->files;
	struct disk_status log;
	int error = disk_lock(f->disk, f->log_fd, MAILDROP_LOCK_READ, DISK_LOCK_SHARED,
		f->options.lock_timeout_ms);

	if (error == 0)
		error = report_index(v);
	if (error == 0)
		error = maildrop_recover_if_behind(f);
	if (error != 0 && error != -EBADMSG)
		return error;
	error = index_load(f->disk, f->paths.index, &f->header, &v->index, &v->index_end);
	v->has_index = error == 0 && v->index_end.condition != INDEX_NONE;
	if (error == 0)
		error = messages_settle(&v->index);
	if (error != 0)
		return error;
	error = disk_status_of_file(f->disk, f->log_fd, &log);
	if (error == 0)
		log_scan_init(&v->scan, f->disk, f->log_fd, log.octets, &f->header);
	return error;
}

static int
verify_locked(struct verification *v)
{
	struct maildrop_files *f = &v->files;
	int error = maildrop_read_header(f->disk, f->log_fd, &f->header);

	if (error == -EBADMSG) {
		findings_add(&v->findings, 0, "the log's header is damaged");
		return 0;
	}
	if (error == 0)
		error = take_stock(v);
	if (error == 0)
		error = disk_try_lock(f->disk, f->log_fd, MAILDROP_LOCK_WRITE, DISK_LOCK_NONE);
	if (error == 0) {
		v->next_uid = f->header.next_uid;
		error = verify_log(v);
	}
	if (error == 0)
		verify_index(v);
	return error;
}

int
maildrop_verify(const struct disk *d, const char *address, const struct maildrop_options *options,
	void (*report)(void *ctx, uint64_t offset, const char *text), void *ctx)
{
	struct verification v = { .findings = { .report = report, .ctx = ctx } };
	struct maildrop_paths paths;
	int error = maildrop_paths(address, &paths);

	if (error == 0)
		error = maildrop_lock_log(d, &paths, options, &v.files);
	if (error == -EBADMSG)
		findings_add(&v.findings, 0, "there is an index, and no log");
	if (error != 0)
		return error == -ENOENT || error == -EBADMSG ? v.findings.count : error;
	error = verify_locked(&v);
	maildrop_unlock(&v.files);
	log_scan_free(&v.scan);
	messages_free(&v.log);
	messages_free(&v.index);
	return error != 0 ? error : v.findings.count;
}
