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
	"MIX is a file (bench/mixes/*.mix) or the name of one: login, poll, fetch, fetch-delete, top,\n"
	"morning-rush, leave-on-server, big-mail, idle, churn; by LMTP: deliver, deliver-kept, deliver-many.\n"
	"\n"
	"  --host H --port P       the server (127.0.0.1, 110)\n"
	"  --users N               users 1 to N log in, in turn (1)\n"
	"  --user-pattern S        their names, % stands for the number (user%)\n"
	"  --password S            of all of them (secret)\n"
	"\n"
	"  --connections N         at once (64; with --rate 1000)\n"
	"  --rate N                open loop: N sessions begin in each second, and their time runs from\n"
	"                          when they were due; without it the next begins when one is over\n"
	"  --even                  --rate: equal gaps and not exponential ones\n"
	"  --duration S            measured seconds (5); for idle: how long to hold\n"
	"  --sessions N            measure so many sessions instead\n"
	"  --warmup S              seconds before measuring (1; idle: none)\n"
	"  --pipeline N            send up to N commands ahead (1: wait for each reply)\n"
	"  --threads N             of the generator (1)\n"
	"  --cpu N                 pin it to core N and the next ones\n"
	"  --ramp N                idle: log in so many at once (256)\n"
	"  --timeout S             give up a session that hears nothing (30)\n"
	"  --spread                source addresses all over 127.0.0.0/8 (from 28,000 connections on)\n"
	"\n"
	"  --tls none|stls|implicit   (none); certificates are not checked\n"
	"  --tls-version 1.2|1.3   only this one\n"
	"  --tls-ciphers A:B       only these, by wolfSSL's names\n"
	"  --resume                go on with the TLS session of the one before\n"
	"\n"
	"  --verify DIR            compare every octet of every message with those of DIR, a Maildir or\n"
	"                          a folder of Maildirs named after the users\n"
	"  --lenient               RETR may announce other octets than it sends, as Dovecot does where the\n"
	"                          last line has no end\n"
	"  --mail DIR              the same for LMTP: what is delivered\n"
	"\n"
	"  --server-pid PID        measure this process and its children; may be repeated\n"
	"  --server-cgroup PATH    measure this cgroup, with all that came and went in it\n"
	"  --count-syscalls        and its system calls, with perf or strace\n"
	"  --label S               what the server is called in reports\n"
	"  --json                  print JSON\n"
	"  --html FILE             write a page with charts\n"
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

/* Which of `words` it is, by its place. */
static unsigned
read_word(const char *name, const char *text, const char *const *words)
{
	for (unsigned i = 0; words[i] != NULL; i++) {
		if (strcmp(words[i], text) == 0)
			return i;
	}
	die(EX_USAGE, name, "no such choice; see --help");
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
	OPTION_RATE,
	OPTION_EVEN,
	OPTION_PIPELINE,
	OPTION_THREADS,
	OPTION_CPU,
	OPTION_RAMP,
	OPTION_TIMEOUT,
	OPTION_SPREAD,
	OPTION_TLS,
	OPTION_TLS_VERSION,
	OPTION_TLS_CIPHERS,
	OPTION_RESUME,
	OPTION_VERIFY,
	OPTION_MAIL,
	OPTION_LENIENT,
	OPTION_SERVER_PID,
	OPTION_SERVER_CGROUP,
	OPTION_COUNT_SYSCALLS,
	OPTION_LABEL,
	OPTION_JSON,
	OPTION_HTML,
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
	{ "rate", required_argument, NULL, OPTION_RATE },
	{ "even", no_argument, NULL, OPTION_EVEN },
	{ "pipeline", required_argument, NULL, OPTION_PIPELINE },
	{ "threads", required_argument, NULL, OPTION_THREADS },
	{ "cpu", required_argument, NULL, OPTION_CPU },
	{ "ramp", required_argument, NULL, OPTION_RAMP },
	{ "timeout", required_argument, NULL, OPTION_TIMEOUT },
	{ "spread", no_argument, NULL, OPTION_SPREAD },
	{ "tls", required_argument, NULL, OPTION_TLS },
	{ "tls-version", required_argument, NULL, OPTION_TLS_VERSION },
	{ "tls-ciphers", required_argument, NULL, OPTION_TLS_CIPHERS },
	{ "resume", no_argument, NULL, OPTION_RESUME },
	{ "verify", required_argument, NULL, OPTION_VERIFY },
	{ "lenient", no_argument, NULL, OPTION_LENIENT },
	{ "mail", required_argument, NULL, OPTION_MAIL },
	{ "server-pid", required_argument, NULL, OPTION_SERVER_PID },
	{ "server-cgroup", required_argument, NULL, OPTION_SERVER_CGROUP },
	{ "count-syscalls", no_argument, NULL, OPTION_COUNT_SYSCALLS },
	{ "label", required_argument, NULL, OPTION_LABEL },
	{ "json", no_argument, NULL, OPTION_JSON },
	{ "html", required_argument, NULL, OPTION_HTML },
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

static const char *const tls_words[] = { "none", "stls", "implicit", NULL };
static const char *const version_words[] = { "1.2", "1.3", NULL };

/* How much and how fast; true: it was one of these. */
static bool
option_take_load(struct options *o, enum option_name name, const char *text)
{
	if (name == OPTION_CONNECTIONS)
		o->connections = (unsigned)read_number("--connections", text, 1, 1 << 23);
	else if (name == OPTION_DURATION)
		o->duration_s = read_seconds("--duration", text);
	else if (name == OPTION_SESSIONS)
		o->sessions = read_number("--sessions", text, 1, UINT64_MAX);
	else if (name == OPTION_WARMUP)
		o->warmup_s = read_seconds("--warmup", text);
	else if (name == OPTION_RATE)
		o->rate = (double)read_number("--rate", text, 1, 10000000);
	else if (name == OPTION_EVEN)
		o->evenly = true;
	else if (name == OPTION_PIPELINE)
		o->depth = (unsigned)read_number("--pipeline", text, 1, CLIENT_DEPTH_MAX);
	else if (name == OPTION_THREADS)
		o->threads = (unsigned)read_number("--threads", text, 1, THREADS_MAX);
	else if (name == OPTION_CPU)
		o->cpu = (int)read_number("--cpu", text, 0, 1023);
	else if (name == OPTION_RAMP)
		o->ramp = (unsigned)read_number("--ramp", text, 1, 1 << 20);
	else if (name == OPTION_TIMEOUT)
		o->timeout_s = (unsigned)read_number("--timeout", text, 1, 86400);
	else if (name == OPTION_SPREAD)
		o->spread = true;
	else
		return false;
	return true;
}

/* Whom to talk to, and how. */
static bool
option_take_server(struct options *o, enum option_name name, const char *text)
{
	if (name == OPTION_HOST)
		o->host = text;
	else if (name == OPTION_PORT)
		o->port = text;
	else if (name == OPTION_USERS)
		o->users = (unsigned)read_number("--users", text, 1, UINT32_MAX);
	else if (name == OPTION_USER_PATTERN)
		o->user_pattern = text;
	else if (name == OPTION_PASSWORD)
		o->password = text;
	else if (name == OPTION_TLS)
		o->tls = (enum plan_tls)read_word("--tls", text, tls_words);
	else if (name == OPTION_TLS_VERSION)
		o->tls_settings.version = 12 + read_word("--tls-version", text, version_words);
	else if (name == OPTION_TLS_CIPHERS)
		o->tls_settings.ciphers = text;
	else if (name == OPTION_RESUME)
		o->tls_settings.resume = true;
	else
		return false;
	return true;
}

/* What to look at, and how to tell. */
static void
option_take_report(struct options *o, enum option_name name, const char *text)
{
	if (name == OPTION_VERIFY || name == OPTION_MAIL)
		o->source = text;
	if (name == OPTION_VERIFY)
		o->verify = true;
	else if (name == OPTION_LENIENT)
		o->lenient = true;
	else if (name == OPTION_SERVER_PID)
		target_add(&o->target, text);
	else if (name == OPTION_SERVER_CGROUP)
		o->target.cgroup = text;
	else if (name == OPTION_COUNT_SYSCALLS)
		o->count_syscalls = true;
	else if (name == OPTION_LABEL)
		o->label = text;
	else if (name == OPTION_JSON)
		o->json = true;
	else if (name == OPTION_HTML)
		o->html = text;
	else if (name == OPTION_QUIET)
		o->quiet = true;
	else if (name == OPTION_HELP) {
		fputs(usage_text, stdout);
		exit(0);
	}
}

static void
options_check(struct options *o)
{
	if (o->connections == 0)
		o->connections = o->rate > 0 ? 1000 : 64;
	if (o->count_syscalls && o->target.count == 0)
		die(EX_USAGE, "--count-syscalls", "it needs --server-pid");
	if (o->target.cgroup != NULL && o->target.count > 0)
		die(EX_USAGE, "--server-cgroup", "not together with --server-pid");
	if (o->connections < o->threads)
		die(EX_USAGE, "--threads", "more threads than connections");
}

void
options_read(struct options *o, int argc, char **argv)
{
	int name;

	*o = (struct options){
		.host = "127.0.0.1",
		.port = "110",
		.label = "server",
		.threads = 1,
		.users = 1,
		.ramp = 256,
		.timeout_s = 30,
		.depth = 1,
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
		if (!option_take_load(o, (enum option_name)name, optarg) &&
			!option_take_server(o, (enum option_name)name, optarg))
			option_take_report(o, (enum option_name)name, optarg);
	}
	if (optind + 1 != argc) {
		fputs(usage_text, stderr);
		exit(EX_USAGE);
	}
	o->mix = argv[optind];
	options_check(o);
}
