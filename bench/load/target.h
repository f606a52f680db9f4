/*
 * target.h - what the measured server uses: CPU, memory, system calls.
 *
 * A target is a set of processes, each with all its threads, workers of io_uring included (they are
 * threads of the process).  Two samples and their difference are the measurement.
 * CPU is read from the process's CPU clock (clock_getcpuclockid(3)), which counts nanoseconds of
 * all threads, also of those that have ended; /proc/PID/stat counts in ticks of 10 ms and would
 * miss most of a short round, so it only tells how the time divides into user and system.
 * Memory is /proc/PID/smaps_rollup.  Of the kernel's memory (sockets, rings) nothing is seen there.
 * Ownership: plain data.
 */
#ifndef BENCH_LOAD_TARGET_H
#define BENCH_LOAD_TARGET_H

#include <stdint.h>
#include <sys/types.h>

enum {
	TARGET_PIDS_MAX = 64
};

struct target {
	pid_t pids[TARGET_PIDS_MAX];
	unsigned count;
};

struct target_sample {
	uint64_t cpu_ns;
	uint64_t user_ticks, system_ticks;
	uint64_t switches; /* of context, wanted and not */
	uint64_t rss_octets, pss_octets, anonymous_octets;
};

/* 0, or -ESRCH when one of the processes is gone, -EACCES when it is not ours to look at. */
int target_take_sample(const struct target *t, struct target_sample *sample_out);

#endif
