/*
 * syscalls.h - counting the server's system calls by name.
 *
 * perf(1) counts at the kernel's tracepoints, in all threads of the processes and at nearly full
 * speed; strace(1) would stop the server at every call, and a server that is slower gathers more
 * work for each call, so that its counts would flatter.  Where perf cannot (no tracepoints, not
 * root) strace is used and the report says so.
 * What a ring does for the server is no system call; io_uring_enter is.
 * Ownership: the counter owns its child process and its file from start to finish.
 */
#ifndef BENCH_LOAD_SYSCALLS_H
#define BENCH_LOAD_SYSCALLS_H

#include "bench/load/target.h"

#include <stdbool.h>

enum {
	SYSCALLS_NAMES_MAX = 512,
	SYSCALLS_NAME_OCTETS = 32
};

struct syscall_count {
	char name[SYSCALLS_NAME_OCTETS];
	uint64_t count;
};

struct syscalls {
	const char *tool; /* "perf" or "strace" */
	unsigned count;
	struct syscall_count at[SYSCALLS_NAMES_MAX]; /* the most frequent first */
	/* while it runs */
	pid_t child;
	int control_fd, answer_fd;
	char path[64];
};

/* Begin; it returns when every thread is watched.  0, or -ENOTSUP if neither tool works here. */
int syscalls_start(struct syscalls *s, const struct target *t);
/* End and read the counts.  0 or a negative errno. */
int syscalls_finish(struct syscalls *s);

uint64_t syscalls_total(const struct syscalls *s);

#endif
