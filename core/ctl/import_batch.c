/*
 * import_batch.c - `ringpost import batch FILE`: a line "maildir|mbox ADDRESS PATH" for each
 * mailbox.
 *
 * The path is the rest of the line, blanks included.  Empty lines and lines that begin with "#" are
 * passed over.  All lines are looked at before the first mailbox is imported; one that is wrong is
 * told with its number and passed over.
 *
 * Threads take the jobs in order, but never two of one address at once: an import locks its
 * maildrop, and the lines of one address keep their order. Invariant: everything in struct batch
 * that changes, and stdout and stderr, is touched under `lock`.
 */
#include "core/ctl/finder.h"
#include "core/ctl/import_job.h"
#include "core/ctl/progress.h"
#include "io/base/must.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum job_state {
	JOB_WAITS,
	JOB_TAKEN,
};

struct batch_job {
	struct import_job job;
	enum job_state state;
};

struct batch {
	const struct import_request *request;
	struct batch_job *jobs;
	size_t count, room;
	size_t first_waiting;       /* no job before it waits */
	struct batch_job **running; /* room for one for each thread */
	size_t running_count;
	size_t done, failed, opened;
	uint64_t bad_lines;
	uint64_t messages, octets;
	uint64_t opened_octets;
	struct import_counts counts;
	struct progress progress;
	int code;
	pthread_mutex_t lock;
	pthread_cond_t job_ended;
};

static void
report(struct import_job *job, const char *text)
{
	struct batch *b = job->ctx;

	pthread_mutex_lock(&b->lock);
	progress_clear(&b->progress);
	fprintf(stderr, "%s: %s\n", job->path, text);
	pthread_mutex_unlock(&b->lock);
}

/* How much there is in all is not known before the last source is open: take the average. */
static void
opened(struct import_job *job, uint64_t octets)
{
	struct batch *b = job->ctx;

	pthread_mutex_lock(&b->lock);
	b->opened++;
	b->opened_octets += octets;
	b->progress.octets_total =
		(uint64_t)((double)b->opened_octets / (double)b->opened * (double)b->count);
	pthread_mutex_unlock(&b->lock);
}

static void
progress(struct import_job *job, uint64_t messages, uint64_t octets)
{
	struct batch *b = job->ctx;

	pthread_mutex_lock(&b->lock);
	b->messages += messages;
	b->octets += octets;
	progress_update(&b->progress, b->messages, b->octets);
	pthread_mutex_unlock(&b->lock);
}

static struct batch_job *
add_job(struct batch *b)
{
	if (b->count == b->room) {
		size_t room = b->room == 0 ? 64 : 2 * b->room;
		void *grown = reallocarray(b->jobs, room, sizeof(*b->jobs));

		if (grown == NULL)
			return NULL;
		b->jobs = grown;
		b->room = room;
	}
	b->jobs[b->count] = (struct batch_job){
		.job = { .request = b->request,
			.report = report,
			.opened = opened,
			.progress = progress,
			.ctx = b },
	};
	return &b->jobs[b->count++];
}

/* NULL, with the maildrop that mail of `text` goes to; or what is wrong.  A source that is silent is
 * asked again with the next line. */
static const char *
find_maildrop(struct batch *b, struct finder *finder, const char *text, char *address_out)
{
	struct found found;
	int error;

	if (ctl_address_quietly(b->request->ctl, text, address_out) != 0)
		return "this address can be no account";
	if (finder == NULL)
		return NULL;
	error = finder_find(finder, address_out, FINDER_FOR_MAIL, &found);
	if (error == 0)
		snprintf(address_out, ACCOUNT_ADDRESS_OCTETS_MAX + 1, "%s",
			account_maildrop(&found.account));
	explicit_bzero(&found.account, sizeof(found.account));
	if (error == -ENOENT)
		return "there is no account of this address";
	return error == 0 ? NULL : strerror(-error);
}

/* A job of one line, or what is wrong with it. */
static const char *
parse_line(struct batch *b, struct finder *finder, char *line)
{
	char *save = NULL;
	const char *kind_text = strtok_r(line, " \t", &save);
	const char *address_text = strtok_r(NULL, " \t", &save);
	const char *path = save == NULL ? "" : save + strspn(save, " \t");
	enum import_kind kind;
	const char *wrong;
	struct batch_job *job;

	if (kind_text == NULL || !import_kind_of(kind_text, &kind) || address_text == NULL ||
		path[0] == '\0')
		return "a line is \"maildir|mbox ADDRESS PATH\"";
	job = add_job(b);
	if (job == NULL)
		return strerror(ENOMEM);
	job->job.kind = kind;
	wrong = find_maildrop(b, finder, address_text, job->job.address);
	job->job.path = wrong == NULL ? strdup(path) : NULL;
	if (wrong == NULL && job->job.path == NULL)
		wrong = strerror(ENOMEM);
	if (wrong != NULL)
		b->count--;
	return wrong;
}

static int
read_lines(struct batch *b, FILE *from, const char *name, struct finder *finder)
{
	uint64_t number = 0;
	size_t room = 0;
	char *line = NULL;

	while (getline(&line, &room, from) >= 0) {
		const char *wrong;

		number++;
		line[strcspn(line, "\r\n")] = '\0';
		if (line[0] == '\0' || line[0] == '#')
			continue;
		wrong = parse_line(b, finder, line);
		if (wrong == NULL)
			continue;
		b->bad_lines++;
		fprintf(stderr, "%s:%" PRIu64 ": %s; skipped\n", name, number, wrong);
	}
	free(line);
	return ferror(from) ? ctl_error(EX_IOERR, "reading %s failed", name) : EX_OK;
}

static int
read_with_accounts(struct batch *b, FILE *from, const char *name)
{
	struct accounts *accounts;
	struct finder *finder;
	int error, code;

	if (!b->request->check_accounts)
		return read_lines(b, from, name, NULL);
	code = ctl_open_accounts(b->request->ctl, ACCOUNTS_READ, &accounts);
	if (code != EX_OK)
		return code;
	error = finder_open(b->request->ctl, accounts, &finder);
	if (error == 0) {
		code = read_lines(b, from, name, finder);
		finder_close(finder);
	}
	accounts_close(accounts);
	return error == 0 ? code : ctl_errno(error, "reading the accounts");
}

static bool
address_is_busy(const struct batch *b, const char *address)
{
	for (size_t i = 0; i < b->running_count; i++) {
		if (strcmp(b->running[i]->job.address, address) == 0)
			return true;
	}
	return false;
}

/* The next job whose address nobody works on; NULL when there is none left. */
static struct batch_job *
take_job(struct batch *b)
{
	for (;;) {
		while (b->first_waiting < b->count && b->jobs[b->first_waiting].state != JOB_WAITS)
			b->first_waiting++;
		if (b->first_waiting == b->count)
			return NULL;
		for (size_t i = b->first_waiting; i < b->count; i++) {
			if (b->jobs[i].state == JOB_WAITS &&
				!address_is_busy(b, b->jobs[i].job.address)) {
				b->jobs[i].state = JOB_TAKEN;
				b->running[b->running_count++] = &b->jobs[i];
				return &b->jobs[i];
			}
		}
		must(b->running_count > 0);
		pthread_cond_wait(&b->job_ended, &b->lock);
	}
}

static void
end_job(struct batch *b, struct batch_job *job)
{
	int code;

	progress_clear(&b->progress);
	code = import_job_tell(&job->job);
	for (size_t i = 0; i < b->running_count; i++) {
		if (b->running[i] == job)
			b->running[i] = b->running[--b->running_count];
	}
	b->done++;
	b->failed += job->job.error != 0;
	b->counts.found += job->job.counts.found;
	b->counts.added += job->job.counts.added;
	b->counts.known += job->job.counts.known;
	b->counts.damaged += job->job.counts.damaged;
	b->counts.octets += job->job.counts.octets;
	if (b->code == EX_OK)
		b->code = code;
	pthread_cond_broadcast(&b->job_ended);
}

static void *
work(void *arg)
{
	struct batch *b = arg;
	struct batch_job *job;

	pthread_mutex_lock(&b->lock);
	while ((job = take_job(b)) != NULL) {
		pthread_mutex_unlock(&b->lock);
		import_job_run(&job->job);
		pthread_mutex_lock(&b->lock);
		end_job(b, job);
	}
	pthread_mutex_unlock(&b->lock);
	return NULL;
}

static int
run_jobs(struct batch *b)
{
	unsigned wanted = b->request->jobs, started = 0;
	pthread_t *threads;

	if (wanted > b->count)
		wanted = (unsigned)b->count;
	threads = calloc((size_t)wanted + 1, sizeof(*threads));
	b->running = calloc((size_t)wanted + 1, sizeof(struct batch_job *));
	if (threads == NULL || b->running == NULL)
		return ctl_errno(-ENOMEM, "starting %u threads", wanted);
	progress_start(&b->progress, "messages", 0, b->request->json);
	while (started < wanted && pthread_create(&threads[started], NULL, work, b) == 0)
		started++;
	if (started == 0)
		work(b);
	for (unsigned i = 0; i < started; i++)
		pthread_join(threads[i], NULL);
	free(threads);
	b->progress.octets_total = b->opened_octets;
	progress_end(&b->progress, b->messages, b->octets);
	return EX_OK;
}

static int
tell(const struct batch *b)
{
	const struct import_counts *c = &b->counts;

	if (!b->request->json)
		printf("%zu mailboxes, %zu of them failed: %" PRIu64 " messages added, %" PRIu64
		       " imported before, %" PRIu64 " damaged and left out\n",
			b->done, b->failed, c->added, c->known, c->damaged);
	else
		mail_print_json(json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "mailboxes",
			(json_int_t)b->done, "failed", (json_int_t)b->failed, "bad_lines",
			(json_int_t)b->bad_lines, "found", (json_int_t)c->found, "added",
			(json_int_t)c->added, "known", (json_int_t)c->known, "damaged",
			(json_int_t)c->damaged, "octets", (json_int_t)c->octets));
	return b->code == EX_OK && b->bad_lines > 0 ? EX_DATAERR : b->code;
}

static void
free_jobs(struct batch *b)
{
	for (size_t i = 0; i < b->count; i++)
		free((char *)b->jobs[i].job.path);
	free(b->jobs);
	free(b->running);
}

int
import_batch(const struct import_request *request, const char *path)
{
	bool is_stdin = strcmp(path, "-") == 0;
	struct batch b = {
		.request = request,
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.job_ended = PTHREAD_COND_INITIALIZER,
	};
	FILE *from = is_stdin ? stdin : fopen(path, "re");
	int code;

	if (from == NULL)
		return ctl_errno(-errno, "%s", path);
	code = read_with_accounts(&b, from, is_stdin ? "stdin" : path);
	if (!is_stdin)
		fclose(from);
	if (code == EX_OK)
		code = run_jobs(&b);
	if (code == EX_OK)
		code = tell(&b);
	free_jobs(&b);
	return code;
}
