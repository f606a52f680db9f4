/*
 * syscalls.c - perf(1) or strace(1) as a child that counts for us.
 *
 * perf starts with its counters off and is told over a pipe to switch them on and off; it answers
 * when that is done.  strace has attached when every process names a tracer.
 */
#include "bench/load/syscalls.h"

#include "io/base/must.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
	ATTACH_TIMEOUT_MS = 10000,
	PID_LIST_OCTETS = TARGET_PIDS_MAX * 12,
};

/* The child's own words go nowhere: what it could say is that it cannot, and then we try the other
 * or say so ourselves. */
static pid_t
spawn(char *const *argv, const int *keep, unsigned keep_count)
{
	pid_t pid = fork();
	int nowhere;

	if (pid != 0)
		return pid;
	nowhere = open("/dev/null", O_RDWR | O_CLOEXEC);
	dup2(nowhere, 0);
	dup2(nowhere, 1);
	dup2(nowhere, 2);
	for (unsigned i = 0; i < keep_count; i++)
		fcntl(keep[i], F_SETFD, 0);
	execvp(argv[0], argv);
	_exit(127);
}

static void
list_pids(const struct target *t, char *list, size_t size)
{
	size_t length = 0;

	list[0] = '\0';
	for (unsigned i = 0; i < t->count; i++)
		length += (size_t)snprintf(
			list + length, size - length, "%s%d", i == 0 ? "" : ",", (int)t->pids[i]);
}

/* ---- perf ---- */

/* Tell perf a word and wait for its "ack". */
static int
perf_tell(const struct syscalls *s, const char *word)
{
	struct pollfd answer = { .fd = s->answer_fd, .events = POLLIN };
	char ack[8];

	if (write(s->control_fd, word, strlen(word)) < 0)
		return -errno;
	if (poll(&answer, 1, ATTACH_TIMEOUT_MS) != 1 || !(answer.revents & POLLIN))
		return -ETIMEDOUT;
	return read(s->answer_fd, ack, sizeof(ack)) >= 3 ? 0 : -EPIPE;
}

static void
perf_close(struct syscalls *s)
{
	close(s->control_fd);
	close(s->answer_fd);
}

static int
perf_start(struct syscalls *s, const struct target *t)
{
	char pids[PID_LIST_OCTETS], control[48];
	int down[2], up[2];
	char *argv[] = { "perf", "stat", "-D", "-1", "--control", control, "-x", ",", "-o", s->path,
		"-e", "syscalls:sys_enter_*", "-p", pids, NULL };

	if (pipe2(down, O_CLOEXEC) < 0)
		return -errno;
	if (pipe2(up, O_CLOEXEC) < 0) {
		close(down[0]);
		close(down[1]);
		return -EMFILE;
	}
	list_pids(t, pids, sizeof(pids));
	snprintf(control, sizeof(control), "fd:%d,%d", down[0], up[1]);
	s->child = spawn(argv, (int[]){ down[0], up[1] }, 2);
	close(down[0]);
	close(up[1]);
	s->control_fd = down[1];
	s->answer_fd = up[0];
	if (s->child > 0 && perf_tell(s, "enable\n") == 0)
		return 0;
	perf_close(s);
	if (s->child > 0) {
		kill(s->child, SIGKILL);
		waitpid(s->child, NULL, 0);
	}
	return -ENOTSUP;
}

/* "3,,syscalls:sys_enter_close,2133261,100.00,," */
static bool
perf_read_line(const char *line, unsigned long long *count_out, char *name_out)
{
	return sscanf(line, "%llu,,syscalls:sys_enter_%31[^,]", count_out, name_out) == 2;
}

/* ---- strace ---- */

static bool
is_traced(pid_t pid)
{
	char path[64], line[128];
	int tracer = 0;
	FILE *from;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	from = fopen(path, "re");
	if (from == NULL)
		return false;
	while (fgets(line, sizeof(line), from) != NULL &&
		sscanf(line, "TracerPid: %d", &tracer) != 1)
		continue;
	fclose(from);
	return tracer != 0;
}

static bool
all_are_traced(const struct target *t)
{
	for (unsigned i = 0; i < t->count; i++) {
		if (!is_traced(t->pids[i]))
			return false;
	}
	return true;
}

static int
strace_start(struct syscalls *s, const struct target *t)
{
	const struct timespec pause = { .tv_nsec = 10 * 1000 * 1000 };
	char pids[PID_LIST_OCTETS];
	char *argv[] = { "strace", "-f", "-c", "-qq", "-o", s->path, "-p", pids, NULL };

	list_pids(t, pids, sizeof(pids));
	s->child = spawn(argv, NULL, 0);
	if (s->child < 0)
		return -errno;
	for (int waited = 0; waited < ATTACH_TIMEOUT_MS; waited += 10) {
		if (waitpid(s->child, NULL, WNOHANG) != 0)
			return -ENOTSUP;
		if (all_are_traced(t)) {
			nanosleep(&pause, NULL); /* the last thread of the last process */
			return 0;
		}
		nanosleep(&pause, NULL);
	}
	kill(s->child, SIGINT);
	waitpid(s->child, NULL, 0);
	return -ENOTSUP;
}

/* "  3.91    0.000036          12         3           close", errors may stand before the name. */
static bool
strace_read_line(const char *line, unsigned long long *count_out, char *name_out)
{
	unsigned long long errors;
	char word[SYSCALLS_NAME_OCTETS];

	if (sscanf(line, " %*f %*f %*u %llu %31s", count_out, word) != 2)
		return false;
	if (sscanf(line, " %*f %*f %*u %*u %llu %31s", &errors, name_out) != 2)
		memcpy(name_out, word, sizeof(word));
	return strcmp(name_out, "total") != 0;
}

/* ---- both ---- */

int
syscalls_start(struct syscalls *s, const struct target *t)
{
	int fd, error;

	memset(s, 0, sizeof(*s));
	snprintf(s->path, sizeof(s->path), "/tmp/ringpost-bench.XXXXXX");
	fd = mkstemp(s->path);
	if (fd < 0)
		return -errno;
	close(fd);

	s->tool = "perf";
	error = perf_start(s, t);
	if (error != 0) {
		s->tool = "strace";
		error = strace_start(s, t);
	}
	if (error != 0)
		unlink(s->path);
	return error;
}

static int
most_frequent_first(const void *a, const void *b)
{
	const struct syscall_count *x = a, *y = b;

	return x->count < y->count ? 1 : x->count > y->count ? -1 : 0;
}

static int
syscalls_read(struct syscalls *s)
{
	bool perf = strcmp(s->tool, "perf") == 0;
	FILE *from = fopen(s->path, "re");
	unsigned long long count;
	char line[256], name[SYSCALLS_NAME_OCTETS];

	if (from == NULL)
		return -errno;
	while (s->count < SYSCALLS_NAMES_MAX && fgets(line, sizeof(line), from) != NULL) {
		bool found = perf ? perf_read_line(line, &count, name)
				  : strace_read_line(line, &count, name);

		if (!found || count == 0)
			continue;
		memcpy(s->at[s->count].name, name, sizeof(name));
		s->at[s->count++].count = count;
	}
	fclose(from);
	qsort(s->at, s->count, sizeof(s->at[0]), most_frequent_first);
	return 0;
}

int
syscalls_finish(struct syscalls *s)
{
	bool perf = strcmp(s->tool, "perf") == 0;
	int error = perf ? perf_tell(s, "disable\n") : 0;

	kill(s->child, SIGINT);
	waitpid(s->child, NULL, 0);
	if (perf)
		perf_close(s);
	if (error == 0)
		error = syscalls_read(s);
	unlink(s->path);
	return error;
}

uint64_t
syscalls_total(const struct syscalls *s)
{
	uint64_t total = 0;

	for (unsigned i = 0; i < s->count; i++)
		total += s->at[i].count;
	return total;
}
