/*
 * crash.c - builds crash states of a recorded load and judges each.
 *
 *   crash [-n STATES] [-s SEED] [-j WORKERS] [-b SECTOR] [-f ext4|xfs] [-o NUMBER] [-c]
 *         [-x TO] DIRECTORY
 *
 * DIRECTORY has what record.py left: `base` (the disk before the log), `log`, `messages`.  -c: the
 * states of the negative control, of which as many as possible must be found bad.  -o: only the
 * state of that number, the one that a line "state NUMBER" told of.  -x: nothing is judged; the
 * state of -o is written to the directory TO as `base`, and the marks before it as `marks`, one
 * line each: so another recording can begin where this one crashed.
 *
 * Workers share nothing: each goes through the log once with a disk, a loop device and a model of
 * its own, takes every n-th state, and tells through a pipe, one line for each violation and one
 * for each state.  The last line out is "states N bad N checked N unflushed N seconds S" (checked:
 * the file system would not mount as it was, see attach.c and mount_state(); unflushed: writes that could be lost, on average); exit
 * code 0: no state was bad (1 otherwise), 2: the machine could not do it.
 */
#include "io/base/must.h"
#include "tests/power/attach.h"
#include "tests/power/model.h"
#include "tests/power/states.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define WORKERS_MAX              64u
#define TOLD_PER_STATE_MAX       5u
#define FILE_SYSTEM_BLOCK_OCTETS 4096u

struct job {
	const char *directory;
	const char *file_system;
	size_t sector;
	unsigned workers;
	long only; /* -1: all */
	const char *export_to;
	struct states_wish wish;
	struct power_log log;
	struct state *states;
};

struct worker {
	const struct job *job;
	struct cut_disk disk;
	struct attachment attachment;
	struct model model;
	size_t marks_end; /* records below it were shown to the model */
	const struct state *state;
	unsigned told;
	FILE *out;
};

static void __attribute__((noreturn)) give_up(const char *what, int error)
{
	fprintf(stderr, "%s: %s\n", what, strerror(-error));
	exit(2);
}

static const char *
path_in(const struct job *job, const char *name, char path[512])
{
	snprintf(path, 512, "%s/%s", job->directory, name);
	return path;
}

/* Lines go out one write each, so those of several workers do not mix. */
static void
tell_violation(void *ctx, const char *text)
{
	struct worker *w = ctx;

	if (w->told++ >= TOLD_PER_STATE_MAX)
		return;
	fprintf(w->out, "state %u (record %zu, %s): %.300s\n", w->state->number, w->state->at,
		state_kind_name(w->state->kind), text);
	fflush(w->out);
}

static void
show_marks(struct worker *w, size_t end)
{
	for (; w->marks_end < end; w->marks_end++) {
		const struct power_record *record = &w->job->log.records[w->marks_end];

		if (record->kind == POWER_MARK)
			model_take(&w->model, record->payload);
	}
}

static unsigned
judge(struct worker *w)
{
	struct disk spool;
	char path[96];
	unsigned violations;
	int error;

	snprintf(path, sizeof(path), "%s/spool", w->attachment.mountpoint);
	error = disk_open_root(path, true, &spool);
	if (error != 0) {
		tell_violation(w, "the spool cannot be opened");
		return 1;
	}
	violations = model_check(&w->model, &spool, tell_violation, w);
	disk_close_root(&spool);
	return violations;
}

static size_t
cut_power(struct worker *w, const struct state *state)
{
	return cut_break(&w->disk, state->at, state->kind, state_seed(&w->job->wish, state));
}

/*
 * XFS relies on a block of its metadata being written whole: the log is not replayed into a block
 * whose first sector, with the number of the last change, is the new one, and so one that is torn
 * behind it stays torn.  Then it is a drive that has sectors of a block, as nearly all have, whose
 * power goes at the same moment.
 */
static int
mount_state(struct worker *w, const struct state *state, bool *checked_out)
{
	size_t sector = w->disk.sector;
	int error = attach_mount(&w->attachment, checked_out);
	bool unused;

	if (error == 0 || strcmp(w->job->file_system, "xfs") != 0)
		return error;
	*checked_out = true;
	cut_heal(&w->disk);
	w->disk.sector = FILE_SYSTEM_BLOCK_OCTETS;
	cut_power(w, state);
	w->disk.sector = sector;
	return attach_mount(&w->attachment, &unused);
}

/* One state: the power goes, the machine starts again, we look. */
static void
look_at(struct worker *w, const struct state *state)
{
	bool was_checked = false;
	unsigned violations = 1;
	size_t unflushed;
	int error;

	w->state = state;
	w->told = 0;
	show_marks(w, state->at);
	unflushed = cut_power(w, state);
	error = mount_state(w, state, &was_checked);
	if (error != 0) {
		tell_violation(w, "the file system cannot be mounted");
	} else {
		violations = judge(w);
		error = attach_unmount(&w->attachment);
		if (error != 0)
			give_up("unmount", error);
	}
	cut_heal(&w->disk);
	fprintf(w->out, "%c%c %zu\n", violations > 0 ? 'B' : 'G', was_checked ? 'C' : '-',
		unflushed);
	fflush(w->out);
}

static void __attribute__((noreturn)) work(const struct job *job, unsigned number, int out_fd)
{
	struct worker w = { .job = job, .out = fdopen(out_fd, "w") };
	char path[512];
	int error = attach_unshare();

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	must(w.out != NULL);
	if (error == 0)
		error = cut_open(path_in(job, "base", path), &job->log, job->sector, &w.disk);
	if (error == 0)
		error = model_open(path_in(job, "messages", path), &w.model);
	if (error == 0)
		error = attach_open(w.disk.fd, job->sector, job->file_system, &w.attachment);
	if (error != 0)
		give_up("a worker cannot start (it takes root and /dev/loop-control)", error);
	for (uint32_t i = 0; i < job->wish.count; i++) {
		if (job->only >= 0 ? job->states[i].number == job->only && number == 0
				   : i % job->workers == number)
			look_at(&w, &job->states[i]);
	}
	attach_close(&w.attachment);
	model_close(&w.model);
	cut_close(&w.disk);
	fclose(w.out);
	exit(0);
}

struct tally {
	unsigned states, bad, checked;
	unsigned long unflushed;
	struct timespec started;
};

static double
seconds_since(const struct timespec *started)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)(now.tv_sec - started->tv_sec) +
		(double)(now.tv_nsec - started->tv_nsec) / 1e9;
}

static void
show_progress(const struct job *job, const struct tally *t)
{
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "\r%u of %u states, %u bad, %.0f s ", t->states, job->wish.count,
			t->bad, seconds_since(&t->started));
}

static void
read_verdicts(const struct job *job, FILE *in, struct tally *t)
{
	char line[512];

	while (fgets(line, sizeof(line), in) != NULL) {
		if (line[0] != 'B' && line[0] != 'G') {
			fputs(line, stdout);
			continue;
		}
		t->states++;
		t->bad += line[0] == 'B';
		t->checked += line[1] == 'C';
		t->unflushed += strtoul(line + 2, NULL, 10);
		show_progress(job, t);
	}
	if (isatty(STDERR_FILENO))
		fputc('\n', stderr);
}

/* False: a worker could not do its work. */
static bool
run_workers(const struct job *job, struct tally *t)
{
	bool is_well = true;
	int fds[2];
	int status;
	FILE *in;

	must(pipe(fds) == 0);
	for (unsigned i = 0; i < job->workers; i++) {
		pid_t pid = fork();

		must(pid >= 0);
		if (pid == 0) {
			close(fds[0]);
			work(job, i, fds[1]);
		}
	}
	close(fds[1]);
	in = fdopen(fds[0], "r");
	must(in != NULL);
	read_verdicts(job, in, t);
	fclose(in);
	while (wait(&status) > 0)
		is_well = is_well && WIFEXITED(status) && WEXITSTATUS(status) == 0;
	return is_well;
}

static FILE *
create_in(const char *directory, const char *name)
{
	char path[512];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	file = fopen(path, "w");
	if (file == NULL)
		give_up(path, -errno);
	return file;
}

static void
close_or_give_up(FILE *file)
{
	if (ferror(file) || fclose(file) != 0)
		give_up("writing a state", -EIO);
}

static void
write_marks(const struct job *job, size_t end)
{
	FILE *file = create_in(job->export_to, "marks");

	for (size_t i = 0; i < end; i++) {
		const struct span mark = job->log.records[i].payload;

		if (job->log.records[i].kind == POWER_MARK && !span_equals(mark, SPAN("begin")))
			fprintf(file, "%.*s\n", (int)mark.length, mark.at);
	}
	close_or_give_up(file);
}

static void
write_state(const struct job *job, const struct state *state)
{
	struct cut_disk disk;
	char path[512];
	FILE *file;
	int error = cut_open(path_in(job, "base", path), &job->log, job->sector, &disk);

	if (error != 0)
		give_up(path, error);
	cut_break(&disk, state->at, state->kind, state_seed(&job->wish, state));
	file = create_in(job->export_to, "base");
	fwrite(disk.octets, 1, disk.size, file);
	close_or_give_up(file);
	cut_close(&disk);
	write_marks(job, state->at);
}

static void
export_state(const struct job *job)
{
	for (uint32_t i = 0; i < job->wish.count; i++) {
		if (job->states[i].number == job->only)
			write_state(job, &job->states[i]);
	}
}

static int
run(struct job *job)
{
	struct tally t = { 0 };
	unsigned expected = job->only >= 0 ? 1 : job->wish.count;
	char path[512];
	int error = power_log_open(path_in(job, "log", path), &job->log);

	if (error != 0)
		give_up(path, error);
	job->states = states_plan(&job->log, &job->wish);
	if (job->states == NULL)
		give_up("the log has no acknowledgement", -ENODATA);
	if (job->export_to != NULL) {
		export_state(job);
		free(job->states);
		power_log_close(&job->log);
		return 0;
	}
	clock_gettime(CLOCK_MONOTONIC, &t.started);
	fflush(stdout);
	if (!run_workers(job, &t) || t.states != expected) {
		fprintf(stderr, "a worker died: %u of %u states were looked at\n", t.states,
			expected);
		return 2;
	}
	printf("states %u bad %u checked %u unflushed %lu seconds %.1f\n", t.states, t.bad,
		t.checked, t.unflushed / t.states, seconds_since(&t.started));
	free(job->states);
	power_log_close(&job->log);
	return t.bad == 0 ? 0 : 1;
}

int
main(int argc, char **argv)
{
	struct job job = {
		.file_system = "ext4",
		.sector = 512,
		.workers = 2,
		.only = -1,
		.wish = { .count = 1000, .seed = 1 },
	};
	int option;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while ((option = getopt(argc, argv, "n:s:j:b:f:o:x:c")) != -1) {
		switch (option) {
		case 'n':
			job.wish.count = (uint32_t)strtoul(optarg, NULL, 10);
			break;
		case 's':
			job.wish.seed = strtoull(optarg, NULL, 10);
			break;
		case 'j':
			job.workers = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'b':
			job.sector = strtoul(optarg, NULL, 10);
			break;
		case 'f':
			job.file_system = optarg;
			break;
		case 'o':
			job.only = strtol(optarg, NULL, 10);
			break;
		case 'x':
			job.export_to = optarg;
			break;
		case 'c':
			job.wish.is_control = true;
			break;
		default:
			return 2;
		}
	}
	if (optind != argc - 1 || job.wish.count == 0 || job.only >= (long)job.wish.count ||
		(job.export_to != NULL && job.only < 0) || job.workers == 0 ||
		job.workers > WORKERS_MAX) {
		fprintf(stderr, "usage: see the head of crash.c\n");
		return 2;
	}
	job.directory = argv[optind];
	return run(&job);
}
