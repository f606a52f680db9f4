/*
 * figures.c - all divisions.
 */
#include "bench/load/report.h"

/* Of a core, used and waited for: above it the generator had no time left, and the rates are its
 * own. */
static const double bottleneck_share = 0.95;

static double
ratio(double a, double b)
{
	return b == 0 ? 0 : a / b;
}

static double
grown(uint64_t before, uint64_t after, uint64_t among)
{
	return ratio((double)after - (double)before, (double)among);
}

static void
figures_of_server(const struct report *r, struct figures *f)
{
	double cpu_us = grown(r->before->cpu_ns, r->after->cpu_ns, 1000);
	double user = grown(r->before->user_ns, r->after->user_ns, 1);
	double system = grown(r->before->system_ns, r->after->system_ns, 1);
	double sessions = (double)r->tally->sessions;

	f->cpu_us_per_session = ratio(cpu_us, sessions);
	f->cpu_us_per_message = ratio(cpu_us, (double)r->tally->messages);
	f->cpu_us_per_mb = ratio(cpu_us, (double)r->tally->octets / 1e6);
	f->cpu_share = ratio(cpu_us / 1e6, f->seconds);
	f->user_share = ratio(user, user + system);
	f->switches_per_session = grown(r->before->switches, r->after->switches, 1);
	f->switches_per_session = ratio(f->switches_per_session, sessions);
	if (f->switches_per_session < 0) /* many processes have gone, with their counts */
		f->switches_per_session = 0;
}

static void
figures_of_held(const struct report *r, struct figures *f)
{
	const struct target_sample *from = r->before, *to = r->held_first;

	f->rss_per_held = grown(from->rss_octets, to->rss_octets, r->held);
	f->pss_per_held = grown(from->pss_octets, to->pss_octets, r->held);
	f->anonymous_per_held = grown(from->anonymous_octets, to->anonymous_octets, r->held);
	f->held_cpu_us_per_s =
		ratio(grown(to->cpu_ns, r->held_last->cpu_ns, 1000), (double)r->held_ns / 1e9);
}

void
figures_of(const struct report *r, struct figures *figures_out)
{
	const struct tally *t = r->tally;
	struct figures f = { .seconds = (double)r->elapsed_ns / 1e9 };

	f.sessions_per_s = ratio((double)t->sessions, f.seconds);
	f.connections_per_s = ratio((double)t->connections, f.seconds);
	f.messages_per_s = ratio((double)t->messages, f.seconds);
	f.mb_per_s = ratio((double)t->octets / 1e6, f.seconds);
	f.handshakes_per_s = ratio((double)t->handshakes, f.seconds);
	f.generator_share = ratio((double)r->busiest_ns, (double)r->elapsed_ns);
	f.generator_waiting = ratio((double)r->busiest_waiting_ns, (double)r->elapsed_ns);
	f.generator_was_bottleneck = f.generator_share + f.generator_waiting > bottleneck_share;
	if (r->before != NULL)
		figures_of_server(r, &f);
	if (r->held_first != NULL)
		figures_of_held(r, &f);
	if (r->syscalls != NULL)
		f.syscalls_per_session =
			ratio((double)syscalls_total(r->syscalls), (double)t->sessions);
	*figures_out = f;
}
