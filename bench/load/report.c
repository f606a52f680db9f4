/*
 * report.c - the figures of one run.
 *
 * The figures are worked out once (struct figures); the table and the JSON are two ways to say
 * them.
 */
#include "bench/load/report.h"

#include "io/base/must.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

static const double bottleneck_share = 0.95;
static const struct {
	double fraction;
	const char *json_name;
} quantiles[] = {
	{ 0.5, "p50_us" },
	{ 0.9, "p90_us" },
	{ 0.99, "p99_us" },
	{ 0.999, "p99.9_us" },
};

struct figures {
	double seconds;
	double sessions_per_s, connections_per_s, messages_per_s, mb_per_s;
	double generator_share; /* of one core, the busiest thread */
	double cpu_us_per_session, cpu_us_per_mb, cpu_share, user_share;
	double switches_per_session;
	double syscalls_per_session;
	double rss_per_held, pss_per_held, anonymous_per_held;
	double held_cpu_us_per_s;
};

static double
ratio(double a, double b)
{
	return b == 0 ? 0 : a / b;
}

static double
megabytes(const struct tally *t)
{
	return (double)t->octets / 1e6;
}

static double
grown(uint64_t before, uint64_t after, uint64_t among)
{
	return ratio((double)after - (double)before, (double)among);
}

static struct figures
figures_of(const struct report *r)
{
	const struct tally *t = r->tally;
	double sessions = (double)t->sessions;
	struct figures f = { .seconds = (double)r->elapsed_ns / 1e9 };

	f.sessions_per_s = ratio(sessions, f.seconds);
	f.connections_per_s = ratio((double)t->connections, f.seconds);
	f.messages_per_s = ratio((double)t->messages, f.seconds);
	f.mb_per_s = ratio(megabytes(t), f.seconds);
	f.generator_share = ratio((double)r->busiest_ns, (double)r->elapsed_ns);
	if (r->before != NULL) {
		double cpu_us = (double)(r->after->cpu_ns - r->before->cpu_ns) / 1e3;
		double user = (double)(r->after->user_ticks - r->before->user_ticks);
		double system = (double)(r->after->system_ticks - r->before->system_ticks);

		f.cpu_us_per_session = ratio(cpu_us, sessions);
		f.cpu_us_per_mb = ratio(cpu_us, megabytes(t));
		f.cpu_share = ratio(cpu_us / 1e6, f.seconds);
		f.user_share = ratio(user, user + system);
		f.switches_per_session =
			ratio((double)(r->after->switches - r->before->switches), sessions);
	}
	if (r->held_first != NULL) {
		const struct target_sample *from = r->before, *to = r->held_first;

		f.rss_per_held = grown(from->rss_octets, to->rss_octets, r->held);
		f.pss_per_held = grown(from->pss_octets, to->pss_octets, r->held);
		f.anonymous_per_held = grown(from->anonymous_octets, to->anonymous_octets, r->held);
		f.held_cpu_us_per_s = ratio((double)(r->held_last->cpu_ns - to->cpu_ns) / 1e3,
			(double)r->held_ns / 1e9);
	}
	if (r->syscalls != NULL)
		f.syscalls_per_session = ratio((double)syscalls_total(r->syscalls), sessions);
	return f;
}

bool
report_generator_was_bottleneck(const struct report *r)
{
	return figures_of(r).generator_share > bottleneck_share;
}

/* The processor's name as the kernel gives it. */
static void
machine_name(char *name_out, size_t size)
{
	FILE *from = fopen("/proc/cpuinfo", "re");
	char line[256];

	snprintf(name_out, size, "unknown processor");
	if (from == NULL)
		return;
	while (fgets(line, sizeof(line), from) != NULL) {
		if (strncmp(line, "model name", 10) == 0 && strchr(line, ':') != NULL) {
			line[strcspn(line, "\n")] = '\0';
			snprintf(name_out, size, "%s", strchr(line, ':') + 2);
			break;
		}
	}
	fclose(from);
}

/* ---- for people ---- */

static void
print_latency_row(FILE *to, const char *name, const struct histogram *h)
{
	if (h->count == 0)
		return;
	fprintf(to, "  %-8s %11" PRIu64, name, h->count);
	for (size_t i = 0; i < array_count(quantiles); i++)
		fprintf(to, " %10.1f", (double)histogram_quantile(h, quantiles[i].fraction) / 1e3);
	fprintf(to, " %10.1f\n", (double)h->max / 1e3);
}

static void
print_latencies(FILE *to, const struct tally *t)
{
	fprintf(to, "\n  %-8s %11s %10s %10s %10s %10s %10s   latency, us\n", "", "replies", "p50",
		"p90", "p99", "p99.9", "max");
	for (int verb = 0; verb < MIX_VERB_COUNT; verb++)
		print_latency_row(to, mix_verb_name((enum mix_verb)verb), &t->latency[verb]);
	print_latency_row(to, "session", &t->session);
}

static void
print_server(FILE *to, const struct report *r, const struct figures *f)
{
	fprintf(to, "\n  server       %10.2f us CPU per session", f->cpu_us_per_session);
	if (r->tally->messages > 0)
		fprintf(to, ", %.1f per MB", f->cpu_us_per_mb);
	fprintf(to, " (%.0f %% of a core, %.0f %% of it user)\n", f->cpu_share * 100,
		f->user_share * 100);
	fprintf(to, "               %10.2f context switches per session; RSS %.1f MB at the end\n",
		f->switches_per_session, (double)r->after->rss_octets / 1e6);
}

static void
print_held(FILE *to, const struct report *r, const struct figures *f)
{
	fprintf(to, "\n  held         %10" PRIu64 " connections for %.1f s\n", r->held,
		(double)r->held_ns / 1e9);
	if (r->held_first == NULL)
		return;
	fprintf(to,
		"  memory       %10.0f octets RSS each (PSS %.0f, anonymous %.0f), user memory only\n"
		"  idle CPU     %10.0f us per second\n",
		f->rss_per_held, f->pss_per_held, f->anonymous_per_held, f->held_cpu_us_per_s);
}

static void
print_syscalls(FILE *to, const struct report *r, const struct figures *f)
{
	const struct syscalls *s = r->syscalls;

	fprintf(to, "\n  system calls %10.2f per session, counted by %s\n", f->syscalls_per_session,
		s->tool);
	for (unsigned i = 0; i < s->count; i++)
		fprintf(to, "               %10.3f %s\n",
			ratio((double)s->at[i].count, (double)r->tally->sessions), s->at[i].name);
}

static void
print_faults(FILE *to, const struct tally *t)
{
	fprintf(to, "\n  errors       %10" PRIuFAST64 "\n", t->failed);
	for (int fault = 0; fault < CLIENT_FAULT_COUNT; fault++) {
		if (t->faults[fault] > 0)
			fprintf(to, "               %10" PRIu64 " %s\n", t->faults[fault],
				client_fault_name((enum client_fault)fault));
	}
	if (t->first_fault[0] != '\0')
		fprintf(to, "  first error  %s\n", t->first_fault);
}

void
report_print(const struct report *r, FILE *to)
{
	struct figures f = figures_of(r);

	fprintf(to, "%s: %u connections, %u thread%s, %.2f s\n\n", r->plan->mix->name,
		r->plan->connections, r->plan->threads, r->plan->threads == 1 ? "" : "s",
		f.seconds);
	fprintf(to, "  sessions     %10.0f /s   (%" PRIuFAST64 ")\n", f.sessions_per_s,
		r->tally->sessions);
	fprintf(to, "  connections  %10.0f /s\n", f.connections_per_s);
	if (r->tally->messages > 0)
		fprintf(to, "  messages     %10.0f /s   %.1f MB/s\n", f.messages_per_s, f.mb_per_s);
	print_latencies(to, r->tally);
	if (r->before != NULL)
		print_server(to, r, &f);
	if (r->plan->mix->holds)
		print_held(to, r, &f);
	if (r->syscalls != NULL)
		print_syscalls(to, r, &f);
	print_faults(to, r->tally);
	fprintf(to, "  generator    %10.0f %% of a core%s\n", f.generator_share * 100,
		report_generator_was_bottleneck(r)
			? ": it was the bottleneck, the rates are its own (CPU per session stands)"
			: "");
}

/* ---- for programs ---- */

static json_t *
json_latency(const struct histogram *h)
{
	json_t *row = json_pack("{s:I, s:f, s:f}", "count", (json_int_t)h->count, "mean_us",
		ratio((double)h->sum, (double)h->count) / 1e3, "max_us", (double)h->max / 1e3);

	for (size_t i = 0; i < array_count(quantiles); i++) {
		json_object_set_new(row, quantiles[i].json_name,
			json_real((double)histogram_quantile(h, quantiles[i].fraction) / 1e3));
	}
	return row;
}

static json_t *
json_latencies(const struct tally *t)
{
	json_t *all = json_object();

	for (int verb = 0; verb < MIX_VERB_COUNT; verb++) {
		if (t->latency[verb].count > 0)
			json_object_set_new(all, mix_verb_name((enum mix_verb)verb),
				json_latency(&t->latency[verb]));
	}
	json_object_set_new(all, "session", json_latency(&t->session));
	return all;
}

static json_t *
json_server(const struct report *r, const struct figures *f)
{
	return json_pack("{s:f, s:f, s:f, s:f, s:f, s:I}", "cpu_us_per_session",
		f->cpu_us_per_session, "cpu_us_per_mb", f->cpu_us_per_mb, "cores", f->cpu_share,
		"user_share", f->user_share, "context_switches_per_session",
		f->switches_per_session, "rss_octets", (json_int_t)r->after->rss_octets);
}

static json_t *
json_held(const struct report *r, const struct figures *f)
{
	return json_pack("{s:I, s:f, s:f, s:f, s:f, s:f}", "connections", (json_int_t)r->held,
		"seconds", (double)r->held_ns / 1e9, "rss_octets_each", f->rss_per_held,
		"pss_octets_each", f->pss_per_held, "anonymous_octets_each", f->anonymous_per_held,
		"idle_cpu_us_per_s", f->held_cpu_us_per_s);
}

static json_t *
json_syscalls(const struct report *r, const struct figures *f)
{
	json_t *by_name = json_object();

	for (unsigned i = 0; i < r->syscalls->count; i++)
		json_object_set_new(by_name, r->syscalls->at[i].name,
			json_real(ratio(
				(double)r->syscalls->at[i].count, (double)r->tally->sessions)));
	return json_pack("{s:s, s:f, s:o}", "tool", r->syscalls->tool, "per_session",
		f->syscalls_per_session, "by_name", by_name);
}

static json_t *
json_faults(const struct tally *t)
{
	json_t *by_kind = json_object();

	for (int fault = 0; fault < CLIENT_FAULT_COUNT; fault++) {
		if (t->faults[fault] > 0)
			json_object_set_new(by_kind, client_fault_name((enum client_fault)fault),
				json_integer((json_int_t)t->faults[fault]));
	}
	return json_pack("{s:I, s:s, s:o}", "count", (json_int_t)t->failed, "first", t->first_fault,
		"by_kind", by_kind);
}

static json_t *
json_run(const struct report *r)
{
	struct utsname kernel;
	char machine[128];

	machine_name(machine, sizeof(machine));
	uname(&kernel);
	return json_pack("{s:s, s:s, s:s, s:s, s:I, s:i, s:i}", "mix", r->plan->mix->name,
		"command", r->command, "machine", machine, "kernel", kernel.release, "cores",
		(json_int_t)sysconf(_SC_NPROCESSORS_ONLN), "connections", (int)r->plan->connections,
		"threads", (int)r->plan->threads);
}

int
report_print_json(const struct report *r, FILE *to)
{
	struct figures f = figures_of(r);
	json_t *all = json_pack("{s:o, s:f, s:I, s:f, s:f, s:f, s:f, s:o, s:o, s:{s:f, s:b}}",
		"run", json_run(r), "seconds", f.seconds, "sessions",
		(json_int_t)r->tally->sessions, "sessions_per_s", f.sessions_per_s,
		"connections_per_s", f.connections_per_s, "messages_per_s", f.messages_per_s,
		"mb_per_s", f.mb_per_s, "latency", json_latencies(r->tally), "errors",
		json_faults(r->tally), "generator", "cores", f.generator_share, "bottleneck",
		report_generator_was_bottleneck(r));

	if (all == NULL)
		return -ENOMEM;
	if (r->before != NULL)
		json_object_set_new(all, "server", json_server(r, &f));
	if (r->plan->mix->holds)
		json_object_set_new(all, "held", json_held(r, &f));
	if (r->syscalls != NULL)
		json_object_set_new(all, "syscalls", json_syscalls(r, &f));
	json_dumpf(all, to, JSON_INDENT(2));
	fputc('\n', to);
	json_decref(all);
	return 0;
}
