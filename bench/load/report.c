/*
 * report.c - the figures of one run as a table for people.
 */
#include "bench/load/report.h"

#include "io/base/must.h"

#include <inttypes.h>

static const double quantiles[] = { 0.5, 0.9, 0.99, 0.999 };

static void
print_latency_row(FILE *to, const char *name, const struct histogram *h)
{
	if (h->count == 0)
		return;
	fprintf(to, "  %-8s %11" PRIu64, name, h->count);
	for (size_t i = 0; i < array_count(quantiles); i++)
		fprintf(to, " %10.1f", (double)histogram_quantile(h, quantiles[i]) / 1e3);
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
	const struct target_sample *s = r->after;

	fprintf(to, "\n  %-12s %10.2f us CPU per session", r->label, f->cpu_us_per_session);
	if (r->tally->messages > 0)
		fprintf(to, ", %.1f per message, %.1f per MB", f->cpu_us_per_message,
			f->cpu_us_per_mb);
	fprintf(to, " (%.0f %% of a core, %.0f %% of it user)\n", f->cpu_share * 100,
		f->user_share * 100);
	fprintf(to, "               %10.2f context switches per session\n",
		f->switches_per_session);
	fprintf(to,
		"  memory       %10.1f MB PSS at most; at the end PSS %.1f, RSS %.1f, "
		"%u process%s\n",
		(double)r->peak_pss_octets / 1e6, (double)s->pss_octets / 1e6,
		(double)s->rss_octets / 1e6, s->processes, s->processes == 1 ? "" : "es");
	if (s->cgroup_octets > 0)
		fprintf(to,
			"               %10.1f MB in the cgroup, sockets included; at most "
			"%.1f\n",
			(double)s->cgroup_octets / 1e6, (double)s->cgroup_peak_octets / 1e6);
}

static void
print_tls(FILE *to, const struct report *r, const struct figures *f)
{
	fprintf(to, "  handshakes   %10.0f /s   %" PRIu64 ", %" PRIu64 " resumed; %s\n",
		f->handshakes_per_s, r->tally->handshakes, r->tally->resumed, r->tally->tls);
}

/* How far the sessions of an open loop were behind their time when they began. */
static void
print_arrivals(FILE *to, const struct report *r)
{
	const struct histogram *late = &r->tally->lateness;

	fprintf(to, "  due          %10.0f /s   begun late by %.2f ms p50, %.2f p99, %.2f max\n",
		r->plan->rate, (double)histogram_quantile(late, 0.5) / 1e6,
		(double)histogram_quantile(late, 0.99) / 1e6, (double)late->max / 1e6);
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
	for (unsigned i = 0; i < s->count && r->tally->sessions > 0; i++)
		fprintf(to, "               %10.3f %s\n",
			(double)s->at[i].count / (double)r->tally->sessions, s->at[i].name);
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
	struct figures f;

	figures_of(r, &f);
	fprintf(to, "%s: %u connections, %u thread%s, %.2f s\n\n", r->plan->mix->name,
		r->plan->connections, r->plan->threads, r->plan->threads == 1 ? "" : "s",
		f.seconds);
	fprintf(to, "  sessions     %10.0f /s   (%" PRIuFAST64 ")\n", f.sessions_per_s,
		r->tally->sessions);
	fprintf(to, "  connections  %10.0f /s\n", f.connections_per_s);
	if (r->tally->messages > 0)
		fprintf(to, "  messages     %10.0f /s   %.1f MB/s\n", f.messages_per_s, f.mb_per_s);
	if (r->plan->tls != PLAN_CLEAR)
		print_tls(to, r, &f);
	if (r->plan->rate > 0)
		print_arrivals(to, r);
	print_latencies(to, r->tally);
	if (r->before != NULL)
		print_server(to, r, &f);
	if (r->plan->mix->holds)
		print_held(to, r, &f);
	if (r->syscalls != NULL)
		print_syscalls(to, r, &f);
	print_faults(to, r->tally);
	fprintf(to, "  generator    %10.0f %% of a core%s\n", f.generator_share * 100,
		f.generator_was_bottleneck
			? ": it was the bottleneck, the rates are its own (CPU per session stands)"
			: "");
	if (f.generator_waiting > 0.05)
		fprintf(to, "               %10.0f %% of the time others had that core\n",
			f.generator_waiting * 100);
}
