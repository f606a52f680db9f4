/*
 * options.h - the command line of ringpost-bench.
 *
 * Ownership: the texts are argv's.
 */
#ifndef BENCH_LOAD_OPTIONS_H
#define BENCH_LOAD_OPTIONS_H

#include "bench/load/target.h"
#include "bench/load/worker.h"

#include <stdbool.h>

enum {
	THREADS_MAX = 64
};

struct options {
	const char *host, *port, *mix, *label;
	unsigned connections, threads, users, ramp, timeout_s, depth;
	uint64_t sessions;
	double duration_s, warmup_s, rate;
	const char *user_pattern, *password;
	const char *source; /* folder of the mail, for --verify and LMTP */
	const char *html;   /* file of the page */
	struct target target;
	enum plan_tls tls;
	struct tlsclient_settings tls_settings;
	int cpu;
	bool evenly, verify, lenient, spread, count_syscalls, json, quiet;
};

/* Read and check it; wrong usage ends the program with EX_USAGE, --help with 0. */
void options_read(struct options *o, int argc, char **argv);

/* Say on stderr what stopped us and why (NULL: nothing more to say), and exit. */
void die(int code, const char *what, const char *why) __attribute__((noreturn));

#endif
