/*
 * ctl_import.c - `ringpost import`: mail of other servers, one mailbox or a list of them.
 */
#include "core/ctl/import_job.h"
#include "core/ctl/progress.h"

#include <getopt.h>
#include <string.h>
#include <unistd.h>

#define JOBS_MAX 256u

struct single {
	bool has_progress;
	uint64_t messages, octets;
	struct progress progress;
};

static void
report(struct import_job *job, const char *text)
{
	struct single *single = job->ctx;

	if (single->has_progress)
		progress_clear(&single->progress);
	fprintf(stderr, "%s: %s\n", job->path, text);
}

static void
opened(struct import_job *job, uint64_t octets)
{
	struct single *single = job->ctx;

	progress_start(&single->progress, "messages", octets, job->request->json);
	single->has_progress = true;
}

static void
progress(struct import_job *job, uint64_t messages, uint64_t octets)
{
	struct single *single = job->ctx;

	single->messages += messages;
	single->octets += octets;
	progress_update(&single->progress, single->messages, single->octets);
}

static int
import_one(const struct import_request *r, enum import_kind kind, const char *address_text,
	const char *path)
{
	struct single single = { 0 };
	struct import_job job = {
		.request = r,
		.kind = kind,
		.path = path,
		.report = report,
		.opened = opened,
		.progress = progress,
		.ctx = &single,
	};
	int code = ctl_address(r->ctl, address_text, job.address);

	if (code == EX_OK && r->check_accounts)
		code = mail_find_maildrop(r->ctl, job.address, job.address);
	if (code != EX_OK)
		return code;
	import_job_run(&job);
	if (!job.source_failed)
		progress_end(&single.progress, single.messages, single.octets);
	return import_job_tell(&job);
}

static int
read_options(struct import_request *r, int argc, char **argv)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "new-ids", no_argument, NULL, 'n' },
		{ "no-account-check", no_argument, NULL, 'a' },
		{ "jobs", required_argument, NULL, 'J' },
		{ 0 },
	};
	uint64_t jobs;
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 'j':
			r->json = true;
			break;
		case 'n':
			r->new_unique_ids = true;
			break;
		case 'a':
			r->check_accounts = false;
			break;
		case 'J':
			if (!span_to_u64(span_of_string(optarg), JOBS_MAX, &jobs) || jobs == 0)
				return ctl_error(
					EX_USAGE, "--jobs takes a number from 1 to %u", JOBS_MAX);
			r->jobs = (unsigned)jobs;
			break;
		default:
			return EX_USAGE;
		}
	}
	return EX_OK;
}

static unsigned
usual_jobs(void)
{
	long processors = sysconf(_SC_NPROCESSORS_ONLN);

	if (processors < 1)
		return 1;
	return processors > (long)JOBS_MAX ? JOBS_MAX : (unsigned)processors;
}

static int
run(struct ctl *ctl, int argc, char **argv)
{
	struct import_request r = {
		.ctl = ctl,
		.json = ctl->json,
		.check_accounts = true,
		.jobs = usual_jobs(),
	};
	enum import_kind kind;
	int code = read_options(&r, argc, argv);

	if (code != EX_OK)
		return code;
	argc -= optind;
	argv += optind;
	if (argc == 3 && import_kind_of(argv[0], &kind))
		return import_one(&r, kind, argv[1], argv[2]);
	if (argc == 2 && strcmp(argv[0], "batch") == 0)
		return import_batch(&r, argv[1]);
	return ctl_usage(&ctl_import_command);
}

const struct ctl_command ctl_import_command = {
	.name = "import",
	.run = run,
	.usage = "maildir ADDRESS DIRECTORY [--new-ids] [--no-account-check] [--json]\n"
		 "mbox ADDRESS FILE [--new-ids] [--no-account-check] [--json]\n"
		 "batch FILE [--jobs N] [--new-ids] [--no-account-check] [--json]",
	.summary = "add the mail of other servers, each message once",
	.spool = CTL_NEEDS_SPOOL,
};
