/*
 * target.h - what the measured server uses: CPU, memory, context switches.
 *
 * A target is a set of processes with all their threads (workers of io_uring are threads of the
 * process), named in one of two ways:
 *   by pid     The process, all that descend from it, and what those had that have ended and were
 *              waited for.  CPU comes from the processes' CPU clocks (clock_getcpuclockid(3)), in
 *              nanoseconds and with threads that have ended; only that of ended children comes in
 *              ticks of 10 ms, as do the shares of user and system.
 *   by cgroup  All that lives or lived in a cgroup of version 2 (or of version 1's cpuacct), from
 *              the kernel's own count, in microseconds.  For servers that fork.
 * Two samples and their difference are the measurement.
 * Memory is /proc/PID/smaps_rollup.  Of the kernel's memory (sockets, rings) nothing is seen there;
 * a cgroup with the memory controller counts some of it, so that is told apart.
 * Context switches are those of the processes that live at both ends.
 * Ownership: plain data; the texts are argv's.
 */
#ifndef BENCH_LOAD_TARGET_H
#define BENCH_LOAD_TARGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
	TARGET_PIDS_MAX = 64
};

struct target {
	pid_t pids[TARGET_PIDS_MAX];
	unsigned count;
	const char *cgroup; /* NULL: by pid */
};

static inline bool
target_is_set(const struct target *t)
{
	return t->count > 0 || t->cgroup != NULL;
}

struct target_sample {
	uint64_t cpu_ns, user_ns, system_ns;
	uint64_t switches; /* of context, wanted and not */
	uint64_t rss_octets, pss_octets, anonymous_octets;
	uint64_t cgroup_octets, cgroup_peak_octets; /* memory.current and .peak; 0: not counted */
	unsigned processes;
};

/* 0, or -ESRCH when one of the named processes is gone, -ENOENT when the cgroup is, -EACCES when it
 * is not ours to look at. */
int target_take_sample(const struct target *t, struct target_sample *sample_out);

/* Only the memory (PSS) at this moment; 0 where nothing can be read. */
uint64_t target_memory(const struct target *t);

#endif
