/*
 * main.c - ringpost-bench: a load generator for POP3 and LMTP servers.
 *
 * The conductor: it reads the options, has the workers play a round of warm-up and a measured one,
 * takes samples of the server at both ends, and prints.  A mix that holds has one round: connect
 * all, sample, hold for the duration, sample, let go.
 * Exit: 0; 1 if any reply was wrong or missing; 64 wrong usage; 66 no such mix; 71 the system
 * refused something; 73 the page could not be written.
 */
#include "bench/load/options.h"
#include "bench/load/report.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

enum {
	SPREAD_FROM = 28000, /* connections; a source address has about so many ports */
	DESCRIPTORS_BESIDE = 64,
};

struct bench {
	struct options options;
	struct plan plan;
	struct mix mix;
	struct worker *workers[THREADS_MAX];
	struct tally tally;
	uint64_t elapsed_ns, busiest_ns, busiest_waiting_ns;
	struct target_sample before, held_first, held_last, after;
	uint64_t peak_pss_octets, memory_at;
	struct source *source;
	uint64_t held, held_ns;
	struct syscalls syscalls;
	char command[4096];
};

static uint64_t
now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void
pause_ms(long ms)
{
	struct timespec t = { ms / 1000, ms % 1000 * 1000000 };

	nanosleep(&t, NULL);
}

/* ---- before the first round ---- */

/* A file, or the name of one of ours: beside the program's build or below the working directory. */
static void
bench_load_mix(struct bench *b)
{
	const char *name = b->options.mix;
	char path[512];

	if (strchr(name, '/') == NULL && strchr(name, '.') == NULL) {
		snprintf(path, sizeof(path), "bench/mixes/%s.mix", name);
		name = path;
	}
	if (mix_load(name, stderr, &b->mix) != 0)
		exit(EX_NOINPUT);
	if (b->options.tls == PLAN_STLS && !mix_secure(&b->mix))
		die(EX_USAGE, name, "too many steps for STLS");
}

static void
bench_load_source(struct bench *b)
{
	const struct options *o = &b->options;

	if (b->mix.lmtp && o->source == NULL)
		die(EX_USAGE, "--mail", "this mix delivers: it needs messages");
	if (o->source != NULL &&
		source_load(o->source, o->user_pattern, o->users, stderr, &b->source) != 0)
		exit(EX_NOINPUT);
}

static struct sockaddr_in
resolve(const char *host, const char *port)
{
	struct addrinfo wanted = { .ai_family = AF_INET, .ai_socktype = SOCK_STREAM }, *found;
	struct sockaddr_in address;
	int error = getaddrinfo(host, port, &wanted, &found);

	if (error != 0)
		die(EX_NOHOST, host, gai_strerror(error));
	memcpy(&address, found->ai_addr, sizeof(address));
	freeaddrinfo(found);
	return address;
}

static void
raise_descriptors(unsigned connections)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		die(EX_OSERR, "getrlimit", strerror(errno));
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		die(EX_OSERR, "setrlimit", strerror(errno));
	if (connections + DESCRIPTORS_BESIDE > limit.rlim_cur)
		die(EX_OSERR, "--connections", "more than this process may open (ulimit -Hn)");
}

static void
bench_plan(struct bench *b)
{
	const struct options *o = &b->options;

	if (o->cpu >= 0 && o->cpu + (int)o->threads > sysconf(_SC_NPROCESSORS_ONLN))
		die(EX_USAGE, "--cpu", "there are not so many cores");
	b->plan = (struct plan){
		.server = resolve(o->host, o->port),
		.mix = &b->mix,
		.identity = { o->user_pattern, o->password, o->users },
		.users = o->users,
		.connections = o->connections,
		.threads = o->threads,
		.ramp = o->ramp < o->threads ? o->threads : o->ramp,
		.timeout_s = o->timeout_s,
		.depth = o->depth,
		.rate = o->rate,
		.evenly = o->evenly,
		.tls = o->tls,
		.tls_settings = o->tls_settings,
		.source = b->source,
		.verify = o->verify,
		.lenient = o->lenient,
		.slot_ns = o->duration_s > 60 ? 1000000000 : 100000000,
		.spread = o->spread || o->connections > SPREAD_FROM,
		.cpu = o->cpu,
	};
	for (unsigned i = 0; i < o->threads; i++) {
		b->workers[i] = worker_make(&b->plan, i);
		if (b->workers[i] == NULL)
			die(EX_OSERR, o->tls == PLAN_CLEAR ? "memory" : "memory, or --tls-ciphers",
				NULL);
	}
}

/* As it can be typed into a shell again. */
static void
bench_remember_command(struct bench *b, int argc, char **argv)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789-_./:=@%+,";
	size_t length = (size_t)snprintf(b->command, sizeof(b->command), "ringpost-bench");

	for (int i = 1; i < argc && length < sizeof(b->command); i++) {
		bool quote = argv[i][0] == '\0' || argv[i][strspn(argv[i], plain)] != '\0';

		length += (size_t)snprintf(b->command + length, sizeof(b->command) - length,
			quote ? " '%s'" : " %s", argv[i]);
	}
}

/* ---- rounds ---- */

struct progress {
	uint64_t sessions, held, failed;
	bool done;
};

static struct progress
bench_progress(const struct bench *b)
{
	struct progress p = { .done = true };

	for (unsigned i = 0; i < b->plan.threads; i++) {
		const struct tally *t = worker_tally(b->workers[i]);

		p.sessions += atomic_load_explicit(&t->sessions, memory_order_relaxed);
		p.held += atomic_load_explicit(&t->held, memory_order_relaxed);
		p.failed += atomic_load_explicit(&t->failed, memory_order_relaxed);
		p.done &= worker_is_done(b->workers[i]);
	}
	return p;
}

static void
bench_show_progress(const struct bench *b, const struct progress *p, uint64_t began_at)
{
	double seconds = (double)(now_ns() - began_at) / 1e9;

	if (b->options.quiet || !isatty(STDERR_FILENO))
		return;
	if (b->mix.holds)
		fprintf(stderr, "\r  %6.1f s  %" PRIu64 " held, %" PRIu64 " errors\033[K", seconds,
			p->held, p->failed);
	else
		fprintf(stderr,
			"\r  %6.1f s  %" PRIu64 " sessions, %.0f /s, %" PRIu64 " errors\033[K",
			seconds, p->sessions, (double)p->sessions / seconds, p->failed);
}

static void
bench_clear_progress(const struct bench *b)
{
	if (!b->options.quiet && isatty(STDERR_FILENO))
		fputs("\r\033[K", stderr);
}

static void
bench_sample(struct bench *b, struct target_sample *sample_out)
{
	int error;

	if (!target_is_set(&b->options.target))
		return;
	error = target_take_sample(&b->options.target, sample_out);
	if (error != 0)
		die(EX_OSERR, "--server-pid or --server-cgroup", strerror(-error));
	if (sample_out->pss_octets > b->peak_pss_octets)
		b->peak_pss_octets = sample_out->pss_octets;
}

/* Now and then, and never for more than a twentieth of the time: the kernel walks through all of
 * the server's pages for it. */
static void
bench_watch_memory(struct bench *b)
{
	uint64_t began_at = now_ns(), pss_octets;

	if (!target_is_set(&b->options.target) || began_at < b->memory_at)
		return;
	pss_octets = target_memory(&b->options.target);
	if (pss_octets > b->peak_pss_octets)
		b->peak_pss_octets = pss_octets;
	b->memory_at = now_ns() + 250000000 + 20 * (now_ns() - began_at);
}

static void
bench_start_round(struct bench *b, const struct round *round)
{
	atomic_store(&b->plan.release, false);
	for (unsigned i = 0; i < b->plan.threads; i++) {
		int error = worker_start(b->workers[i], round);

		if (error != 0)
			die(EX_OSERR, "thread", strerror(-error));
	}
}

/* Wait until all workers have finished; their tallies become one. */
static void
bench_join_round(struct bench *b)
{
	memset(&b->tally, 0, sizeof(b->tally));
	b->busiest_ns = b->busiest_waiting_ns = 0;
	for (unsigned i = 0; i < b->plan.threads; i++) {
		int error = worker_join(b->workers[i]);
		const struct tally *t = worker_tally(b->workers[i]);

		if (error != 0)
			die(EX_OSERR, "generator", strerror(-error));
		tally_add(&b->tally, t);
		if (t->cpu_ns + t->waiting_ns > b->busiest_ns + b->busiest_waiting_ns) {
			b->busiest_ns = t->cpu_ns;
			b->busiest_waiting_ns = t->waiting_ns;
		}
	}
}

static void
bench_round(struct bench *b, const struct round *round)
{
	uint64_t began_at = now_ns();
	struct progress p;

	bench_start_round(b, round);
	for (unsigned beat = 0; !(p = bench_progress(b)).done; beat++) {
		if (beat % 25 == 24)
			bench_show_progress(b, &p, began_at);
		bench_watch_memory(b);
		pause_ms(10);
	}
	bench_join_round(b);
	b->elapsed_ns = now_ns() - began_at;
	bench_clear_progress(b);
}

/* Until all hold, or nothing has moved for the time that a session is given. */
static void
bench_wait_until_held(struct bench *b, uint64_t began_at)
{
	uint64_t moved_at = now_ns(), held = 0;
	struct progress p;

	while (!(p = bench_progress(b)).done && p.held < b->plan.connections) {
		if (p.held != held)
			moved_at = now_ns();
		held = p.held;
		if (now_ns() - moved_at > b->plan.timeout_s * UINT64_C(1000000000))
			return;
		bench_show_progress(b, &p, began_at);
		pause_ms(20);
	}
}

static void
bench_holding_round(struct bench *b)
{
	const struct round round = { 0 };
	uint64_t began_at = now_ns(), hold_until;
	struct progress p;

	bench_start_round(b, &round);
	bench_wait_until_held(b, began_at);
	pause_ms(200); /* what the server puts off until it is idle */

	p = bench_progress(b);
	b->held = p.held;
	b->held_ns = now_ns();
	bench_sample(b, &b->held_first);
	hold_until = now_ns() + (uint64_t)(b->options.duration_s * 1e9);
	while (now_ns() < hold_until && !(p = bench_progress(b)).done) {
		bench_show_progress(b, &p, began_at);
		pause_ms(100);
	}
	bench_sample(b, &b->held_last);
	b->held_ns = now_ns() - b->held_ns;

	atomic_store(&b->plan.release, true);
	bench_join_round(b);
	b->elapsed_ns = now_ns() - began_at;
	bench_clear_progress(b);
}

static void
bench_warm_up(struct bench *b)
{
	const struct round round = { .duration_ns = (uint64_t)(b->options.warmup_s * 1e9) };

	if (b->mix.holds || round.duration_ns == 0)
		return;
	bench_round(b, &round);
	if (b->tally.sessions == 0) {
		fprintf(stderr, "ringpost-bench: no session went through; %s\n",
			b->tally.first_fault);
		exit(1);
	}
}

static void
bench_measure(struct bench *b)
{
	const struct options *o = &b->options;
	struct round round = { .sessions = o->sessions };

	if (o->sessions == 0)
		round.duration_ns = (uint64_t)(o->duration_s * 1e9);
	if (o->count_syscalls && syscalls_start(&b->syscalls, &o->target) != 0)
		die(EX_OSERR, "--count-syscalls", "neither perf nor strace works here");
	bench_sample(b, &b->before);
	if (b->mix.holds)
		bench_holding_round(b);
	else
		bench_round(b, &round);
	bench_sample(b, &b->after);
	if (o->count_syscalls && syscalls_finish(&b->syscalls) != 0)
		die(EX_OSERR, "--count-syscalls", "the counter did not answer");
}

static int
bench_say(const struct bench *b, const struct report *r)
{
	char *json;

	if (!b->options.json) {
		report_print(r, stdout);
		return 0;
	}
	json = report_to_json(r);
	if (json == NULL)
		return -ENOMEM;
	puts(json);
	free(json);
	return 0;
}

static void
bench_report(const struct bench *b)
{
	bool sampled = target_is_set(&b->options.target), held = sampled && b->mix.holds;
	const struct report r = {
		.plan = &b->plan,
		.label = b->options.label,
		.command = b->command,
		.tally = &b->tally,
		.elapsed_ns = b->elapsed_ns,
		.busiest_ns = b->busiest_ns,
		.busiest_waiting_ns = b->busiest_waiting_ns,
		.before = sampled ? &b->before : NULL,
		.after = sampled ? &b->after : NULL,
		.peak_pss_octets = b->peak_pss_octets,
		.held_first = held ? &b->held_first : NULL,
		.held_last = held ? &b->held_last : NULL,
		.held = b->held,
		.held_ns = b->held_ns,
		.syscalls = b->options.count_syscalls ? &b->syscalls : NULL,
	};
	int error = bench_say(b, &r);

	if (error == 0 && b->options.html != NULL)
		error = report_write_html(&r, b->options.html);
	if (error != 0)
		die(EX_CANTCREAT, b->options.html == NULL ? "report" : b->options.html,
			strerror(-error));
}

int
main(int argc, char **argv)
{
	static struct bench b;
	bool failed;

	bench_remember_command(&b, argc, argv); /* getopt puts it in another order */
	options_read(&b.options, argc, argv);
	bench_load_mix(&b);
	raise_descriptors(b.options.connections);
	bench_load_source(&b);
	bench_plan(&b);
	bench_warm_up(&b);
	bench_measure(&b);
	bench_report(&b);

	failed = b.tally.failed > 0 || b.tally.sessions == 0;
	for (unsigned i = 0; i < b.plan.threads; i++)
		worker_free(b.workers[i]);
	source_free(b.source);
	return failed ? 1 : 0;
}
