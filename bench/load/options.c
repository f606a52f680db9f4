/*
 * options.c - the command line of ringpost-bench: one name, one case, checked where it is read.
 */
#include "bench/load/options.h"

#include "io/base/span.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

static const char usage_text[] =
	"usage: ringpost-bench MIX [options]\n"
	"MIX is a file (bench/mixes/*.mix) or the name of one: login, poll, fetch, churn, idle.\n"
	"\n"
	"  --host H --port P       the server (127.0.0.1, 110)\n"
	"  --users N               users 1 to N log in, in turn (1)\n"
	"  --user-pattern S        their names, % stands for the number (user%)\n"
	"  --password S            of all of them (secret)\n"
	"  --connections N         at once (64)\n"
	"  --duration S            measured seconds (5); for idle: how long to hold\n"
	"  --sessions N            measure so many sessions instead\n"
	"  --warmup S              seconds before measuring (1; idle: none)\n"
	"  --threads N             of the generator (1)\n"
	"  --cpu N                 pin it to core N and the next ones\n"
	"  --ramp N                idle: log in so many at once (256)\n"
	"  --timeout S             give up a session that hears nothing (30)\n"
	"  --spread                source addresses all over 127.0.0.0/8 (from 28,000 connections on)\n"
	"  --server-pid PID        measure this process's CPU and memory; may be repeated\n"
	"  --count-syscalls        and its system calls, with perf or strace\n"
	"  --json                  print JSON\n"
	"  --quiet                 no progress line\n";

void
die(int code, const char *what, const char *why)
{
	fprintf(stderr, "ringpost-bench: %s%s%s\n", what, why == NULL ? "" : ": ",
		why == NULL ? "" : why);
	exit(code);
}

static uint64_t
read_number(const char *name, const char *text, uint64_t min, uint64_t max)
{
	uint64_t value;

	if (!span_to_u64(span_of_string(text), max, &value) || value < min)
		die(EX_USAGE, name, "not a number that fits");
	return value;
}

static double
read_seconds(const char *name, const char *text)
{
	char *end;
	double value = strtod(text, &end);

	if (end == text || *end != '\0' || !(value >= 0 && value <= 1e6))
		die(EX_USAGE, name, "not a number of seconds");
	return value;
}

enum option_name {
	OPTION_HOST = 256,
	OPTION_PORT,
	OPTION_USERS,
	OPTION_USER_PATTERN,
	OPTION_PASSWORD,
	OPTION_CONNECTIONS,
	OPTION_DURATION,
	OPTION_SESSIONS,
	OPTION_WARMUP,
	OPTION_THREADS,
	OPTION_CPU,
	OPTION_RAMP,
	OPTION_TIMEOUT,
	OPTION_SPREAD,
	OPTION_SERVER_PID,
	OPTION_COUNT_SYSCALLS,
	OPTION_JSON,
	OPTION_QUIET,
	OPTION_HELP,
};

static const struct option option_names[] = {
	{ "host", required_argument, NULL, OPTION_HOST },
	{ "port", required_argument, NULL, OPTION_PORT },
	{ "users", required_argument, NULL, OPTION_USERS },
	{ "user-pattern", required_argument, NULL, OPTION_USER_PATTERN },
	{ "password", required_argument, NULL, OPTION_PASSWORD },
	{ "connections", required_argument, NULL, OPTION_CONNECTIONS },
	{ "duration", required_argument, NULL, OPTION_DURATION },
	{ "sessions", required_argument, NULL, OPTION_SESSIONS },
	{ "warmup", required_argument, NULL, OPTION_WARMUP },
	{ "threads", required_argument, NULL, OPTION_THREADS },
	{ "cpu", required_argument, NULL, OPTION_CPU },
	{ "ramp", required_argument, NULL, OPTION_RAMP },
	{ "timeout", required_argument, NULL, OPTION_TIMEOUT },
	{ "spread", no_argument, NULL, OPTION_SPREAD },
	{ "server-pid", required_argument, NULL, OPTION_SERVER_PID },
	{ "count-syscalls", no_argument, NULL, OPTION_COUNT_SYSCALLS },
	{ "json", no_argument, NULL, OPTION_JSON },
	{ "quiet", no_argument, NULL, OPTION_QUIET },
	{ "help", no_argument, NULL, OPTION_HELP },
	{ 0 },
};

static void
target_add(struct target *t, const char *text)
{
	if (t->count == TARGET_PIDS_MAX)
		die(EX_USAGE, "--server-pid", "too many");
	t->pids[t->count++] = (pid_t)read_number("--server-pid", text, 1, INT32_MAX);
}

static void
option_take(struct options *o, int name, const char *text)
{
	switch ((enum option_name)name) {
	case OPTION_HOST:
		o->host = text;
		break;
	case OPTION_PORT:
		o->port = text;
		break;
	case OPTION_USERS:
		o->users = (unsigned)read_number("--users", text, 1, UINT32_MAX);
		break;
	case OPTION_USER_PATTERN:
		o->user_pattern = text;
		break;
	case OPTION_PASSWORD:
		o->password = text;
		break;
	case OPTION_CONNECTIONS:
		o->connections = (unsigned)read_number("--connections", text, 1, 1 << 23);
		break;
	case OPTION_DURATION:
		o->duration_s = read_seconds("--duration", text);
		break;
	case OPTION_SESSIONS:
		o->sessions = read_number("--sessions", text, 1, UINT64_MAX);
		break;
	case OPTION_WARMUP:
		o->warmup_s = read_seconds("--warmup", text);
		break;
	case OPTION_THREADS:
		o->threads = (unsigned)read_number("--threads", text, 1, THREADS_MAX);
		break;
	case OPTION_CPU:
		o->cpu = (int)read_number("--cpu", text, 0, 1023);
		break;
	case OPTION_RAMP:
		o->ramp = (unsigned)read_number("--ramp", text, 1, 1 << 20);
		break;
	case OPTION_TIMEOUT:
		o->timeout_s = (unsigned)read_number("--timeout", text, 1, 86400);
		break;
	case OPTION_SPREAD:
		o->spread = true;
		break;
	case OPTION_SERVER_PID:
		target_add(&o->target, text);
		break;
	case OPTION_COUNT_SYSCALLS:
		o->count_syscalls = true;
		break;
	case OPTION_JSON:
		o->json = true;
		break;
	case OPTION_QUIET:
		o->quiet = true;
		break;
	case OPTION_HELP:
		fputs(usage_text, stdout);
		exit(0);
	}
}

void
options_read(struct options *o, int argc, char **argv)
{
	int name;

	*o = (struct options){
		.host = "127.0.0.1",
		.port = "110",
		.connections = 64,
		.threads = 1,
		.users = 1,
		.ramp = 256,
		.timeout_s = 30,
		.duration_s = 5,
		.warmup_s = 1,
		.user_pattern = "user%",
		.password = "secret",
		.cpu = -1,
	};
	while ((name = getopt_long(argc, argv, "", option_names, NULL)) != -1) {
		if (name == '?') {
			fputs("ringpost-bench: see --help\n", stderr);
			exit(EX_USAGE);
		}
		option_take(o, name, optarg);
	}
	if (optind + 1 != argc) {
		fputs(usage_text, stderr);
		exit(EX_USAGE);
	}
	o->mix = argv[optind];
	if (o->count_syscalls && o->target.count == 0)
		die(EX_USAGE, "--count-syscalls", "it needs --server-pid");
	if (o->connections < o->threads)
		die(EX_USAGE, "--threads", "more threads than connections");
}
