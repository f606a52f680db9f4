/*
 * report_json.c - the figures of one run for programs: everything that was counted.
 */
#include "bench/load/machine.h"
#include "bench/load/report.h"
#include "io/base/must.h"

#include <inttypes.h>
#include <jansson.h>
#include <string.h>

static const struct {
	double fraction;
	const char *name;
} quantiles[] = {
	{ 0.5, "p50_us" },
	{ 0.9, "p90_us" },
	{ 0.99, "p99_us" },
	{ 0.999, "p99.9_us" },
	{ 0.9999, "p99.99_us" },
};

/* Where a latency curve is drawn: dense at its end, where it is looked at. */
static const double curve_fractions[] = { 0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85,
	0.9, 0.93, 0.95, 0.97, 0.98, 0.99, 0.993, 0.995, 0.997, 0.998, 0.999, 0.9993, 0.9995,
	0.9997, 0.9998, 0.9999, 0.99993, 0.99995, 0.99997, 0.99999, 1 };

static json_t *
real(double value)
{
	return json_real(value);
}

/* Microseconds to the nanosecond: more digits would only be noise in the file. */
static json_t *
microseconds(uint64_t ns)
{
	return json_real((double)ns / 1e3);
}

static json_t *
json_curve(const struct histogram *h)
{
	json_t *curve = json_array();

	for (size_t i = 0; i < array_count(curve_fractions); i++) {
		double beyond = (1 - curve_fractions[i]) * (double)h->count;

		if (beyond < 1 && curve_fractions[i] < 1)
			continue; /* finer than there are values */
		json_array_append_new(curve,
			json_pack("[o, o]", real(curve_fractions[i]),
				microseconds(histogram_quantile(h, curve_fractions[i]))));
	}
	return curve;
}

static json_t *
json_latency(const struct histogram *h)
{
	double mean = h->count == 0 ? 0 : (double)h->sum / (double)h->count / 1e3;
	json_t *row = json_pack("{s:I, s:f, s:o, s:o}", "count", (json_int_t)h->count, "mean_us",
		mean, "min_us", microseconds(histogram_quantile(h, 0)), "max_us",
		microseconds(h->max));

	for (size_t i = 0; i < array_count(quantiles); i++)
		json_object_set_new(row, quantiles[i].name,
			microseconds(histogram_quantile(h, quantiles[i].fraction)));
	json_object_set_new(row, "curve", json_curve(h));
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
	const struct target_sample *s = r->after;

	return json_pack("{s:f, s:f, s:f, s:f, s:f, s:f, s:I, s:I, s:I, s:I, s:I, s:i}",
		"cpu_us_per_session", f->cpu_us_per_session, "cpu_us_per_message",
		f->cpu_us_per_message, "cpu_us_per_mb", f->cpu_us_per_mb, "cores", f->cpu_share,
		"user_share", f->user_share, "context_switches_per_session",
		f->switches_per_session, "rss_octets", (json_int_t)s->rss_octets, "pss_octets",
		(json_int_t)s->pss_octets, "peak_pss_octets", (json_int_t)r->peak_pss_octets,
		"cgroup_octets", (json_int_t)s->cgroup_octets, "cgroup_peak_octets",
		(json_int_t)s->cgroup_peak_octets, "processes", (int)s->processes);
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
	double sessions = r->tally->sessions == 0 ? 1 : (double)r->tally->sessions;
	json_t *by_name = json_object();

	for (unsigned i = 0; i < r->syscalls->count; i++)
		json_object_set_new(by_name, r->syscalls->at[i].name,
			real((double)r->syscalls->at[i].count / sessions));
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
json_tls(const struct report *r, const struct figures *f)
{
	const struct tally *t = r->tally;

	return json_pack("{s:s, s:s, s:I, s:I, s:f}", "how",
		r->plan->tls == PLAN_STLS ? "stls" : "implicit", "session", t->tls, "handshakes",
		(json_int_t)t->handshakes, "resumed", (json_int_t)t->resumed, "handshakes_per_s",
		f->handshakes_per_s);
}

/* What was completed in each slot, up to the last one that is not empty. */
static json_t *
json_course(const struct report *r)
{
	const struct tally_slot *slots = r->tally->slots;
	json_t *sessions = json_array(), *messages = json_array();
	json_t *octets = json_array(), *failed = json_array();
	unsigned count = TALLY_SLOTS;

	while (count > 0 && slots[count - 1].octets == 0 && slots[count - 1].sessions == 0 &&
		slots[count - 1].failed == 0)
		count--;
	for (unsigned i = 0; i < count; i++) {
		json_array_append_new(sessions, json_integer(slots[i].sessions));
		json_array_append_new(messages, json_integer(slots[i].messages));
		json_array_append_new(octets, json_integer((json_int_t)slots[i].octets));
		json_array_append_new(failed, json_integer(slots[i].failed));
	}
	return json_pack("{s:f, s:o, s:o, s:o, s:o}", "slot_s", (double)r->plan->slot_ns / 1e9,
		"sessions", sessions, "messages", messages, "octets", octets, "failed", failed);
}

static json_t *
json_run(const struct report *r)
{
	const struct plan *p = r->plan;
	struct machine m;

	machine_read(&m);
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:i, s:f, s:i, s:i, "
			 "s:i, s:i, s:b, s:f, s:b}",
		"mix", p->mix->name, "server", r->label, "command", r->command, "time", m.time,
		"machine", m.processor, "kernel", m.kernel, "system", m.system, "commit", m.commit,
		"compiler", m.compiler, "wolfssl", m.wolfssl, "cores", (int)m.cores, "memory_gb",
		m.memory_gb, "connections", (int)p->connections, "threads", (int)p->threads,
		"users", (int)p->users, "pipeline", (int)p->depth, "verified", (int)p->verify,
		"rate", p->rate, "even", (int)p->evenly);
}

static json_t *
json_of(const struct report *r)
{
	const struct tally *t = r->tally;
	struct figures f;
	json_t *all;

	figures_of(r, &f);
	all = json_pack(
		"{s:o, s:f, s:I, s:I, s:I, s:f, s:f, s:f, s:f, s:o, s:o, s:{s:f, s:f, s:b}}", "run",
		json_run(r), "seconds", f.seconds, "sessions", (json_int_t)t->sessions, "messages",
		(json_int_t)t->messages, "octets", (json_int_t)t->octets, "sessions_per_s",
		f.sessions_per_s, "connections_per_s", f.connections_per_s, "messages_per_s",
		f.messages_per_s, "mb_per_s", f.mb_per_s, "latency", json_latencies(t), "errors",
		json_faults(t), "generator", "cores", f.generator_share, "waiting",
		f.generator_waiting, "bottleneck", (int)f.generator_was_bottleneck);
	if (all == NULL)
		return NULL;
	json_object_set_new(all, "course", json_course(r));
	if (r->plan->rate > 0)
		json_object_set_new(all, "lateness", json_latency(&t->lateness));
	if (r->plan->tls != PLAN_CLEAR)
		json_object_set_new(all, "tls", json_tls(r, &f));
	if (r->before != NULL)
		json_object_set_new(all, "server", json_server(r, &f));
	if (r->plan->mix->holds)
		json_object_set_new(all, "held", json_held(r, &f));
	if (r->syscalls != NULL)
		json_object_set_new(all, "syscalls", json_syscalls(r, &f));
	return all;
}

char *
report_to_json(const struct report *r)
{
	json_t *all = json_of(r);
	char *text = all == NULL ? NULL : json_dumps(all, JSON_INDENT(1) | JSON_REAL_PRECISION(7));

	json_decref(all);
	return text;
}
