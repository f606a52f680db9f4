/*
 * log_survey.c - walk a log that may be damaged anywhere.
 */
#include "storage/log_survey.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

struct survey {
	struct log_scan *scan;
	struct messages *messages;
	uint32_t *next_uid;
	struct findings *findings;
	uint64_t at;
	uint64_t commit_start;
};

void
findings_add(struct findings *f, uint64_t offset, const char *format, ...)
{
	char text[200];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	f->count++;
	f->report(f->ctx, offset, text);
}

static void
raise_next_uid(struct survey *v, uint32_t next_uid)
{
	if (next_uid > *v->next_uid)
		*v->next_uid = next_uid;
}

static int
take_record(struct survey *v, const struct log_record *record)
{
	struct messages_mark mark = messages_mark(v->messages);
	int error;

	if (record->header.commit_start != v->commit_start)
		findings_add(v->findings, record->at,
			"record belongs to a commit at %llu, not %llu",
			(unsigned long long)record->header.commit_start,
			(unsigned long long)v->commit_start);
	error = log_scan_collect(v->scan, record, v->messages);
	if (error == -EBADMSG) {
		messages_return_to(v->messages, mark);
		findings_add(
			v->findings, record->at, "uids of this record do not follow the others");
		error = 0;
	}
	raise_next_uid(v, record->header.next_uid);
	v->at = record->at + record->header.octets;
	v->commit_start = record->header.ends_commit ? v->at : record->header.commit_start;
	return error;
}

/* Entries between `v->at` and `to`, whose record is not valid. */
static int
take_stray_entries(struct survey *v, uint64_t to)
{
	char id[MAILDROP_UNIQUE_ID_MAX + 1];
	struct maildrop_entry entry;
	uint64_t at = v->at;
	int result;

	while ((result = log_scan_find_entry(v->scan, at, to, &entry, id, &at)) == 1) {
		int error = messages_add(v->messages, &entry, span_of_string(id));

		if (error != 0 && error != -EBADMSG)
			return error;
		raise_next_uid(v, entry.uid + 1);
	}
	return result;
}

static int
take_damage(struct survey *v)
{
	struct log_record next;
	int result = log_scan_find_record(v->scan, v->at + RECORD_ALIGNMENT, &next);
	uint64_t to = result == 1 ? next.at : v->scan->size;

	if (result < 0)
		return result;
	findings_add(v->findings, v->at, "%llu octets are no valid record",
		(unsigned long long)(to - v->at));
	if (result == 1)
		v->commit_start = next.header.commit_start;
	result = take_stray_entries(v, to);
	v->at = to;
	return result;
}

int
log_survey(struct log_scan *s, struct messages *messages, uint32_t *next_uid,
	struct findings *findings)
{
	struct survey v = {
		.scan = s,
		.messages = messages,
		.next_uid = next_uid,
		.findings = findings,
		.at = LOG_HEADER_OCTETS,
		.commit_start = LOG_HEADER_OCTETS,
	};
	struct log_record record;

	while (v.at < s->size) {
		int result = log_scan_record(s, v.at, &record);

		if (result >= 0)
			result = result == 1 ? take_record(&v, &record) : take_damage(&v);
		if (result < 0)
			return result;
	}
	if (v.at == s->size && v.commit_start != v.at)
		findings_add(findings, v.commit_start, "the last commit is not complete");
	return 0;
}
