/*
 * target.c - reading processes from outside.
 */
#include "bench/load/target.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* ---- small files of the kernel ---- */

/* Add up the lines "key number" or "key: number" of a file, each key to its own sum. */
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
cgroup_number(const char *cgroup, const char *name, uint64_t *number_out)
{
	unsigned long long number;
	char path[512];
	FILE *from;
	int found;

	snprintf(path, sizeof(path), "%s/%s", cgroup, name);
	from = fopen(path, "re");
	if (from == NULL)
		return -errno;
	found = fscanf(from, "%llu", &number);
	fclose(from);
	if (found != 1)
		return -EIO;
	*number_out = number;
	return 0;
}

static uint64_t
ns_of_ticks(uint64_t ticks)
{
	return ticks * (1000000000 / (uint64_t)sysconf(_SC_CLK_TCK));
}

/* ---- processes ---- */

struct process {
	pid_t pid, parent;
	uint64_t user_ticks, system_ticks; /* its own */
	uint64_t gone_ticks;               /* of children it has waited for */
	bool named, ours;
};

struct processes {
	struct process *at;
	unsigned count, room;
};

static struct process *
processes_add(struct processes *all)
{
	if (all->count == all->room) {
		unsigned room = all->room == 0 ? 256 : 2 * all->room;
		struct process *at = realloc(all->at, room * sizeof(*at));

		if (at == NULL)
			return NULL;
		all->at = at;
		all->room = room;
	}
	memset(&all->at[all->count], 0, sizeof(all->at[0]));
	return &all->at[all->count++];
}

/* Fields 4 and 14 to 17 of /proc/PID/stat, counted from behind the command's name, which may hold
 * anything. */
static bool
process_read(struct process *p, pid_t pid)
{
	unsigned long long user, system, user_gone, system_gone;
	char path[64], line[1024] = "", *behind_name;
	int parent;
	FILE *from;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	from = fopen(path, "re");
	if (from == NULL)
		return false;
	behind_name = fgets(line, sizeof(line), from) == NULL ? NULL : strrchr(line, ')');
	fclose(from);
	if (behind_name == NULL ||
		sscanf(behind_name + 1,
			" %*c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu %llu %llu", &parent,
			&user, &system, &user_gone, &system_gone) != 5)
		return false;
	p->pid = pid;
	p->parent = parent;
	p->user_ticks = user;
	p->system_ticks = system;
	p->gone_ticks = user_gone + system_gone;
	return true;
}

/* One that ends between being listed and being read is simply not there. */
static int
processes_read_all(struct processes *all)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;

	if (proc == NULL)
		return -errno;
	while ((entry = readdir(proc)) != NULL) {
		pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);
		struct process *p = pid > 0 ? processes_add(all) : NULL;

		if (p != NULL && !process_read(p, pid))
			all->count--;
	}
	closedir(proc);
	return 0;
}

static struct process *
processes_find(const struct processes *all, pid_t pid)
{
	for (unsigned i = 0; i < all->count; i++) {
		if (all->at[i].pid == pid)
			return &all->at[i];
	}
	return NULL;
}

/* Mark the named ones and all that descend from them. */
static int
processes_mark_tree(const struct processes *all, const struct target *t)
{
	bool more = true;

	for (unsigned i = 0; i < t->count; i++) {
		struct process *p = processes_find(all, t->pids[i]);

		if (p == NULL)
			return -ESRCH;
		p->named = p->ours = true;
	}
	while (more) {
		more = false;
		for (unsigned i = 0; i < all->count; i++) {
			struct process *p = &all->at[i];
			const struct process *parent =
				p->ours ? NULL : processes_find(all, p->parent);

			if (parent != NULL && parent->ours)
				p->ours = more = true;
		}
	}
	return 0;
}

static int
processes_read_cgroup(struct processes *all, const char *cgroup)
{
	char path[512];
	FILE *from;
	int pid;

	snprintf(path, sizeof(path), "%s/cgroup.procs", cgroup);
	from = fopen(path, "re");
	if (from == NULL)
		return -errno;
	while (fscanf(from, "%d", &pid) == 1) {
		struct process *p = processes_add(all);

		if (p != NULL && process_read(p, pid))
			p->ours = true;
		else if (p != NULL)
			all->count--;
	}
	fclose(from);
	return 0;
}

static int
processes_read(struct processes *all, const struct target *t)
{
	int error;

	if (t->cgroup != NULL)
		return processes_read_cgroup(all, t->cgroup);
	error = processes_read_all(all);
	return error != 0 ? error : processes_mark_tree(all, t);
}

/* ---- CPU ---- */

static int
sample_process_cpu(const struct process *p, struct target_sample *sample)
{
	struct timespec t;
	clockid_t clock;

	if (clock_getcpuclockid(p->pid, &clock) != 0 || clock_gettime(clock, &t) != 0)
		return p->named ? -ESRCH : 0;
	sample->cpu_ns += (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
	sample->cpu_ns += ns_of_ticks(p->gone_ticks);
	sample->user_ns += ns_of_ticks(p->user_ticks);
	sample->system_ns += ns_of_ticks(p->system_ticks);
	return 0;
}

/* cpu.stat of version 2 is there in every group; version 1 has cpuacct.usage. */
static int
sample_cgroup(const char *cgroup, struct target_sample *sample)
{
	static const char *const keys[] = { "usage_usec ", "user_usec ", "system_usec " };
	static const char *const keys_1[] = { "user ", "system " };
	uint64_t usage = 0, user = 0, system = 0;
	uint64_t *const sums[] = { &usage, &user, &system };
	uint64_t *const sums_1[] = { &user, &system };
	char path[512];
	int error;

	(void)cgroup_number(cgroup, "memory.current", &sample->cgroup_octets);
	(void)cgroup_number(cgroup, "memory.peak", &sample->cgroup_peak_octets);
	snprintf(path, sizeof(path), "%s/cpu.stat", cgroup);
	error = sum_keys(path, keys, sums, 3);
	if (error == 0 && usage > 0) {
		sample->cpu_ns = usage * 1000;
		sample->user_ns = user * 1000;
		sample->system_ns = system * 1000;
		return 0;
	}
	error = cgroup_number(cgroup, "cpuacct.usage", &sample->cpu_ns);
	if (error != 0)
		return error;
	snprintf(path, sizeof(path), "%s/cpuacct.stat", cgroup);
	error = sum_keys(path, keys_1, sums_1, 2);
	sample->user_ns = ns_of_ticks(user);
	sample->system_ns = ns_of_ticks(system);
	return error;
}

/* ---- memory and switches ---- */

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

static void
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
		return;
	while ((entry = readdir(tasks)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/proc/%d/task/%s/status", (int)pid, entry->d_name);
		(void)sum_keys(path, keys, sums, 2);
	}
	closedir(tasks);
}

/* ---- both ---- */

static int
sample_process(const struct target *t, const struct process *p, struct target_sample *sample)
{
	int error = t->cgroup != NULL ? 0 : sample_process_cpu(p, sample);

	if (error != 0)
		return error;
	sample->processes++;
	sample_switches(p->pid, sample);
	error = sample_memory(p->pid, sample);
	return p->named ? error : 0;
}

int
target_take_sample(const struct target *t, struct target_sample *sample_out)
{
	struct target_sample sample = { 0 };
	struct processes all = { 0 };
	int error = t->cgroup == NULL ? 0 : sample_cgroup(t->cgroup, &sample);

	if (error == 0)
		error = processes_read(&all, t);
	for (unsigned i = 0; i < all.count && error == 0; i++) {
		if (all.at[i].ours)
			error = sample_process(t, &all.at[i], &sample);
	}
	free(all.at);
	if (error == 0)
		*sample_out = sample;
	return error == -ENOENT && t->cgroup == NULL ? -ESRCH : error;
}

uint64_t
target_memory(const struct target *t)
{
	struct target_sample sample = { 0 };
	struct processes all = { 0 };

	if (processes_read(&all, t) == 0) {
		for (unsigned i = 0; i < all.count; i++) {
			if (all.at[i].ours)
				(void)sample_memory(all.at[i].pid, &sample);
		}
	}
	free(all.at);
	return sample.pss_octets;
}
