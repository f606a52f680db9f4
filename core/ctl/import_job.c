/*
 * import_job.c - open the source, import it, put the outcome into words.
 */
#include "core/ctl/import_job.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <string.h>

bool
import_kind_of(const char *name, enum import_kind *kind_out)
{
	if (strcmp(name, "maildir") == 0)
		*kind_out = IMPORT_MAILDIR;
	else if (strcmp(name, "mbox") == 0)
		*kind_out = IMPORT_MBOX;
	else
		return false;
	return true;
}

static void
report(void *ctx, const char *text)
{
	struct import_job *job = ctx;

	job->reports++;
	job->report(job, text);
}

static void
progress(void *ctx, uint64_t messages, uint64_t octets)
{
	struct import_job *job = ctx;

	job->progress(job, messages, octets);
}

void
import_job_run(struct import_job *job)
{
	const struct ctl *ctl = job->request->ctl;
	struct source_options source_options = {
		.new_unique_ids = job->request->new_unique_ids,
		.lock_timeout_ms = ctl->maildrop_options.lock_timeout_ms,
		.report = report,
		.ctx = job,
	};
	struct import_options options = {
		.maildrop = ctl->maildrop_options,
		.report = report,
		.progress = progress,
		.ctx = job,
	};
	struct source *source;

	if (job->kind == IMPORT_MAILDIR)
		job->error = source_open_maildir(job->path, &source_options, &source);
	else
		job->error = source_open_mbox(job->path, &source_options, &source);
	job->source_failed = job->error != 0;
	if (job->source_failed)
		return;
	job->opened(job, source->octets);
	job->error = import_source(&ctl->disk, job->address, source, &options, &job->counts);
	source_close(source);
}

static int
tell_source_error(const struct import_job *job)
{
	switch (-job->error) {
	case EBADMSG:
		if (job->kind == IMPORT_MBOX)
			return ctl_error(EX_DATAERR,
				"%s is no mbox: its first line does not begin with \"From \"",
				job->path);
		if (job->reports > 0)
			return ctl_error(EX_DATAERR,
				"%s was not imported: mend its list of unique-ids, or give --new-ids",
				job->path);
		return ctl_error(
			EX_DATAERR, "%s is no maildir: it has neither cur nor new", job->path);
	case EISDIR:
		return ctl_error(
			EX_DATAERR, "%s is a directory: `import maildir` may read it", job->path);
	case ENOTDIR:
		return ctl_error(EX_DATAERR, "%s is a file: `import mbox` may read it", job->path);
	case ETIMEDOUT:
		return ctl_error(EX_TEMPFAIL,
			"another program keeps %s locked: try again when it has ended", job->path);
	default:
		return ctl_error(ctl_exit_code(job->error), "%s cannot be read: %s", job->path,
			strerror(-job->error));
	}
}

static int
tell_maildrop_error(const struct import_job *job)
{
	if (job->error == -EBADMSG)
		return ctl_error(EX_DATAERR,
			"the maildrop of %s, or its file `imported`, is damaged: `ringpost verify %s` "
			"looks closer",
			job->address, job->address);
	if (job->error == -EAGAIN)
		return ctl_error(EX_TEMPFAIL,
			"another import into %s is under way: wait until it has ended",
			job->address);
	return ctl_errno(
		job->error, "importing into %s stopped; run it again to go on", job->address);
}

static void
print_counts(const struct import_job *job)
{
	const struct import_counts *c = &job->counts;

	if (!job->request->json)
		printf("%s: %" PRIu64 " messages added, %" PRIu64 " imported before, %" PRIu64
		       " damaged and left out\n",
			job->address, c->added, c->known, c->damaged);
	else
		mail_print_json(json_pack("{s:s, s:o*, s:I, s:I, s:I, s:I, s:I, s:b}", "address",
			job->address, "path", json_string(job->path), "found", (json_int_t)c->found,
			"added", (json_int_t)c->added, "known", (json_int_t)c->known, "damaged",
			(json_int_t)c->damaged, "octets", (json_int_t)c->octets, "complete",
			job->error == 0));
}

int
import_job_tell(const struct import_job *job)
{
	if (job->source_failed)
		return tell_source_error(job);
	print_counts(job);
	if (job->error != 0)
		return tell_maildrop_error(job);
	return job->counts.damaged == 0 ? EX_OK : EX_DATAERR;
}
