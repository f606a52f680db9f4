/*
 * target.c - reading a process from outside.
 */
#include "bench/load/target.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static int
sample_cpu(pid_t pid, struct target_sample *sample)
{
	struct timespec t;
	clockid_t clock;

	if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &t) != 0)
		return -ESRCH;
	sample->cpu_ns += (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
	return 0;
}

/* Fields 14 and 15 of /proc/PID/stat, counted from behind the command's name, which may hold
 * anything. */
static int
sample_ticks(pid_t pid, struct target_sample *sample)
{
	unsigned long long user, system;
	char path[64], line[1024] = "", *behind_name;
	FILE *from;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	from = fopen(path, "re");
	if (from == NULL)
		return -errno;
	behind_name = fgets(line, sizeof(line), from) == NULL ? NULL : strrchr(line, ')');
	fclose(from);
	if (behind_name == NULL ||
		sscanf(behind_name + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu",
			&user, &system) != 2)
		return -EIO;
	sample->user_ticks += user;
	sample->system_ticks += system;
	return 0;
}

/* Add up the lines "key: number" of a file in /proc, each key to its own sum. */
static int
sum_keys(const char *path, const char *const *keys, uint64_t *const *sums, unsigned count)
{
	FILE *from = fopen(path, "re");
	char line[256];

	if (from == NULL)
		return -errno;
	while (fgets(line, sizeof(line), from) != NULL) {
		for (unsigned i = 0; i < count; i++) {
			size_t length = strlen(keys[i]);
			unsigned long long value;

			if (strncmp(line, keys[i], length) == 0 &&
				sscanf(line + length, " %llu", &value) == 1)
				*sums[i] += value;
		}
	}
	fclose(from);
	return 0;
}

static int
sample_memory(pid_t pid, struct target_sample *sample)
{
	static const char *const keys[] = { "Rss:", "Pss:", "Anonymous:" };
	uint64_t rss = 0, pss = 0, anonymous = 0;
	uint64_t *const sums[] = { &rss, &pss, &anonymous };
	char path[64];
	int error;

	snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)pid);
	error = sum_keys(path, keys, sums, 3);
	sample->rss_octets += rss * 1024;
	sample->pss_octets += pss * 1024;
	sample->anonymous_octets += anonymous * 1024;
	return error;
}

/* A thread that ends between being listed and being read is simply not counted. */
static int
sample_switches(pid_t pid, struct target_sample *sample)
{
	static const char *const keys[] = { "voluntary_ctxt_switches:",
		"nonvoluntary_ctxt_switches:" };
	uint64_t *const sums[] = { &sample->switches, &sample->switches };
	struct dirent *entry;
	char path[320];
	DIR *tasks;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	tasks = opendir(path);
	if (tasks == NULL)
		return -errno;
	while ((entry = readdir(tasks)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/proc/%d/task/%s/status", (int)pid, entry->d_name);
		(void)sum_keys(path, keys, sums, 2);
	}
	closedir(tasks);
	return 0;
}

int
target_take_sample(const struct target *t, struct target_sample *sample_out)
{
	struct target_sample sample = { 0 };
	int error = 0;

	for (unsigned i = 0; i < t->count && error == 0; i++) {
		error = sample_cpu(t->pids[i], &sample);
		if (error == 0)
			error = sample_ticks(t->pids[i], &sample);
		if (error == 0)
			error = sample_memory(t->pids[i], &sample);
		if (error == 0)
			error = sample_switches(t->pids[i], &sample);
	}
	if (error == 0)
		*sample_out = sample;
	return error == -ENOENT ? -ESRCH : error;
}
