/*
 * metrics.c - the list of all metrics: name, labels, what it is, where it is counted.
 *
 * To add one: a struct count where it happens, a row here, then `ringpost metrics --reference >
 * docs/METRICS.md`.  Names end with their unit, and with _total where they only grow; rows of one
 * name stand together and have one help.
 */
#include "core/metrics.h"

#include "core/service.h"
#include "core/version.h"
#include "io/base/must.h"

#include <stdlib.h>
#include <string.h>

#define AT(field)      offsetof(struct shard, field)
#define AT_DOOR(field) offsetof(struct door, counts.field)

/* clang-format off */
static const struct metric door_rows[] = {
	{ "ringpost_connections_total", NULL, METRIC_COUNTER,
	  "Connections let in, by listener.", AT_DOOR(connections) },
	{ "ringpost_sessions", NULL, METRIC_GAUGE,
	  "Connections that are there now, by listener.", AT_DOOR(sessions) },
};

#define TURNED_AWAY "ringpost_turned_away_total", .kind = METRIC_COUNTER, \
	.help = "Connections that were not let in."
#define LOGINS "ringpost_logins_total", .kind = METRIC_COUNTER, .help = "Logins, by what came of them."
#define DELIVERIES "ringpost_deliveries_total", .kind = METRIC_COUNTER, \
	.help = "Recipients of mail that came in by LMTP, counted at the end of the session."
#define HANDSHAKES "ringpost_tls_handshakes_total", .kind = METRIC_COUNTER, \
	.help = "TLS handshakes that were completed; resumed ones are part of all."
#define FAILURES "ringpost_tls_failures_total", .kind = METRIC_COUNTER, \
	.help = "TLS sessions that came to nothing or broke, by why."
#define FAILED(reason) .offset = AT(tls.counts.failed[TLS_FAILURE_##reason])
#define RECORDS "ringpost_tls_records_total", .kind = METRIC_COUNTER, \
	.help = "TLS sessions by who makes their records: the kernel (kTLS), or why not."
#define RECORDS_BY(who) .offset = AT(tls.counts.records[TLS_RECORDS_##who])
#define REKEYS "ringpost_tls_key_updates_total", .kind = METRIC_COUNTER, \
	.help = "Changes of keys by clients (KeyUpdate); all but done ended the session."

static const struct metric shard_rows[] = {
	{ TURNED_AWAY, .labels = "why=\"network\"", .offset = AT(counts.turned_away[TURNED_AWAY_NETWORK]) },
	{ TURNED_AWAY, .labels = "why=\"connections\"",
	  .offset = AT(counts.turned_away[TURNED_AWAY_CONNECTIONS]) },
	{ TURNED_AWAY, .labels = "why=\"connections_per_address\"",
	  .offset = AT(counts.turned_away[TURNED_AWAY_PER_ADDRESS]) },
	{ TURNED_AWAY, .labels = "why=\"memory\"", .offset = AT(counts.turned_away[TURNED_AWAY_MEMORY]) },
	{ TURNED_AWAY, .labels = "why=\"connection_rate\"",
	  .offset = AT(counts.turned_away[TURNED_AWAY_CONNECTION_RATE]) },
	{ TURNED_AWAY, .labels = "why=\"handshake_rate\"",
	  .offset = AT(counts.turned_away[TURNED_AWAY_HANDSHAKE_RATE]) },

	{ LOGINS, .labels = "outcome=\"good\"", .offset = AT(counts.logins[LOGIN_GOOD]) },
	{ LOGINS, .labels = "outcome=\"bad\"", .offset = AT(counts.logins[LOGIN_BAD]) },
	{ LOGINS, .labels = "outcome=\"too_soon\"", .offset = AT(counts.logins[LOGIN_TOO_SOON]) },
	{ LOGINS, .labels = "outcome=\"too_many\"", .offset = AT(counts.logins[LOGIN_TOO_MANY]) },
	{ LOGINS, .labels = "outcome=\"unavailable\"", .offset = AT(counts.logins[LOGIN_UNAVAILABLE]) },

	{ "ringpost_logins_delayed_total", NULL, METRIC_COUNTER,
	  "Logins that had to wait because others had failed from that address, or for that account.",
	  AT(counts.logins_delayed) },
	{ "ringpost_logins_waiting", NULL, METRIC_GAUGE,
	  "Logins that wait so now.", AT(counts.logins_waiting) },

	{ "ringpost_messages_retrieved_total", NULL, METRIC_COUNTER,
	  "Messages given out by RETR, counted at the end of the session.", AT(counts.retrieved) },
	{ "ringpost_retrieved_octets_total", NULL, METRIC_COUNTER,
	  "Octets of these messages.", AT(counts.retrieved_octets) },
	{ "ringpost_messages_topped_total", NULL, METRIC_COUNTER,
	  "Messages of which TOP gave out a part, counted at the end of the session.", AT(counts.topped) },
	{ "ringpost_messages_deleted_total", NULL, METRIC_COUNTER,
	  "Messages removed by QUIT.", AT(counts.deleted) },

	{ DELIVERIES, .labels = "outcome=\"delivered\"", .offset = AT(counts.delivered) },
	{ DELIVERIES, .labels = "outcome=\"failed\"", .offset = AT(counts.undelivered) },
	{ "ringpost_delivered_octets_total", NULL, METRIC_COUNTER,
	  "Octets of messages that came in by LMTP, counted at the end of the session.",
	  AT(counts.delivered_octets) },

	{ HANDSHAKES, .labels = "kind=\"all\"", .offset = AT(tls.counts.handshakes) },
	{ HANDSHAKES, .labels = "kind=\"resumed\"", .offset = AT(tls.counts.resumed) },
	{ FAILURES, .labels = "why=\"not_tls\"", FAILED(NOT_TLS) },
	{ FAILURES, .labels = "why=\"version\"", FAILED(VERSION) },
	{ FAILURES, .labels = "why=\"cipher\"", FAILED(CIPHER) },
	{ FAILURES, .labels = "why=\"alpn\"", FAILED(ALPN) },
	{ FAILURES, .labels = "why=\"client_certificate\"", FAILED(CERTIFICATE) },
	{ FAILURES, .labels = "why=\"alert\"", FAILED(ALERT) },
	{ FAILURES, .labels = "why=\"closed\"", FAILED(CLOSED) },
	{ FAILURES, .labels = "why=\"deadline\"", FAILED(DEADLINE) },
	{ FAILURES, .labels = "why=\"ktls\"", FAILED(KTLS) },
	{ FAILURES, .labels = "why=\"memory\"", FAILED(MEMORY) },
	{ FAILURES, .labels = "why=\"other\"", FAILED(OTHER) },
	{ RECORDS, .labels = "ktls=\"yes\",why=\"\"", RECORDS_BY(BY_KERNEL) },
	{ RECORDS, .labels = "ktls=\"no\",why=\"setting\"", RECORDS_BY(KTLS_OFF) },
	{ RECORDS, .labels = "ktls=\"no\",why=\"no_kernel_support\"", RECORDS_BY(NO_KTLS) },
	{ RECORDS, .labels = "ktls=\"no\",why=\"cipher\"", RECORDS_BY(CIPHER) },
	{ RECORDS, .labels = "ktls=\"no\",why=\"error\"", RECORDS_BY(REFUSED) },
	{ RECORDS, .labels = "ktls=\"no\",why=\"no_occasion\"", RECORDS_BY(NO_OCCASION) },
	{ REKEYS, .labels = "outcome=\"done\"", .offset = AT(tls.counts.rekeys[TLS_REKEY_DONE]) },
	{ REKEYS, .labels = "outcome=\"unable\"", .offset = AT(tls.counts.rekeys[TLS_REKEY_UNABLE]) },
	{ REKEYS, .labels = "outcome=\"too_many\"", .offset = AT(tls.counts.rekeys[TLS_REKEY_TOO_MANY]) },
	{ "ringpost_tls_handshakes_under_way", NULL, METRIC_GAUGE,
	  "Handshakes that are let in and not done (setting tls_handshakes).", AT(tls.counts.handshaking) },
	{ "ringpost_tls_handshakes_waiting", NULL, METRIC_GAUGE,
	  "Handshakes that wait until others are done.", AT(tls.counts.held_back) },

	{ "ringpost_received_octets_total", NULL, METRIC_COUNTER,
	  "Octets taken from sockets; of TLS the records, or what is in them where the kernel makes them.",
	  AT(loop.received) },
	{ "ringpost_sent_octets_total", NULL, METRIC_COUNTER,
	  "Octets given to sockets, counted like those received.", AT(loop.sent) },
};

#define SEARCHED "ringpost_account_lookups_total", .kind = METRIC_COUNTER, \
	.help = "Look-ups of accounts by source. failed: it could not answer; remembered: it was not asked, " \
		"as it had just said so; stale: part of failed, what it said once counted."
#define SEARCHED_AS(outcome) .labels = "outcome=\"" #outcome "\"", .offset = offsetof(struct search_counts, outcome)

static const struct metric source_rows[] = {
	{ SEARCHED, SEARCHED_AS(found) },
	{ SEARCHED, SEARCHED_AS(unknown) },
	{ SEARCHED, SEARCHED_AS(failed) },
	{ SEARCHED, SEARCHED_AS(remembered) },
	{ SEARCHED, SEARCHED_AS(stale) },
};
static const struct metric source_down_row = {
	"ringpost_source_down", NULL, METRIC_GAUGE, "1: the source does not answer; by source.", 0
};

/* What no shard has: printed by metrics_print() itself. */
static const struct metric build_row = {
	"ringpost_build_info", "version=\"" RINGPOST_VERSION "\"", METRIC_GAUGE, "1; the version is its label.", 0
};
static const struct metric queue_rows[] = {
	{ "ringpost_jobs_waiting", "workers=\"auth\"", METRIC_GAUGE, "Jobs that wait for a worker thread.", 0 },
	{ "ringpost_jobs_waiting", "workers=\"disk\"", METRIC_GAUGE, NULL, 0 },
};
/* clang-format on */

/* ---- the text ------------------------------------------------------------------------------ */

/* Labels of a listener, for free(); NULL: no memory. */
static char *
labels_of_listener(const struct settings_listener *at, const char *protocol)
{
	static const char *const doors[] = { "off", "stls", "implicit" };
	char *labels = NULL;
	size_t octets;
	FILE *to = open_memstream(&labels, &octets);

	if (to == NULL)
		return NULL;
	fputs("listener=\"", to);
	metric_write_escaped(at->name, to);
	fprintf(to, "\",protocol=\"%s\",tls=\"%s\",address=\"", protocol, doors[at->tls]);
	metric_write_escaped(at->address_text, to);
	putc('"', to);
	if (fclose(to) != 0) {
		free(labels);
		return NULL;
	}
	return labels;
}

/* A listener has a door in each shard: instances of one listener stand together. */
static void
print_doors(const struct shard *shards, unsigned shard_count, FILE *to)
{
	unsigned doors = shards[0].door_count;
	struct metric_instance *instances = calloc((size_t)doors * shard_count, sizeof(*instances));
	char **labels = calloc(doors, sizeof(*labels));

	if (instances != NULL && labels != NULL) {
		for (unsigned d = 0; d < doors; d++) {
			const struct door *first = &shards[0].doors[d];

			labels[d] = labels_of_listener(first->settings, first->protocol->name);
			for (unsigned s = 0; s < shard_count; s++)
				instances[d * shard_count + s] =
					(struct metric_instance){ &shards[s].doors[d], labels[d] };
		}
		metrics_write(door_rows, array_count(door_rows), instances,
			(size_t)doors * shard_count, to);
		for (unsigned d = 0; d < doors; d++)
			free(labels[d]);
	}
	free(instances);
	free(labels);
}

static void
print_shards(const struct shard *shards, unsigned shard_count, FILE *to)
{
	struct metric_instance *instances = calloc(shard_count, sizeof(*instances));

	if (instances == NULL)
		return;
	for (unsigned s = 0; s < shard_count; s++)
		instances[s].base = &shards[s];
	metrics_write(shard_rows, array_count(shard_rows), instances, shard_count, to);
	free(instances);
}

/* `source="sql"`, for free(); NULL: no memory. */
static char *
labels_of_source(const struct source *source)
{
	char *labels = NULL;
	size_t octets;
	FILE *to = open_memstream(&labels, &octets);

	if (to == NULL)
		return NULL;
	fputs("source=\"", to);
	metric_write_escaped(source->name, to);
	putc('"', to);
	if (fclose(to) != 0) {
		free(labels);
		return NULL;
	}
	return labels;
}

static void
print_sources(const struct shard *shards, unsigned shard_count, FILE *to)
{
	const struct login_policy *policy = shards[0].common->login_policy;
	unsigned count = policy->source_count;
	struct metric_instance *instances = calloc((size_t)count * shard_count, sizeof(*instances));
	char *labels[SOURCES_MAX] = { NULL };

	if (instances == NULL)
		return;
	for (unsigned i = 0; i < count; i++) {
		labels[i] = labels_of_source(policy->sources[i]);
		for (unsigned s = 0; s < shard_count; s++)
			instances[i * shard_count + s] =
				(struct metric_instance){ &shards[s].authenticator.looked_up[i],
					labels[i] };
	}
	metrics_write(
		source_rows, array_count(source_rows), instances, (size_t)count * shard_count, to);
	for (unsigned i = 0; i < count; i++) {
		struct metric row = source_down_row;

		row.labels = labels[i];
		row.help = i == 0 ? row.help : NULL;
		if (labels[i] != NULL)
			metric_write_value(&row,
				policy->sources[i]->workers != NULL &&
					source_is_down(policy->sources[i]),
				to);
		free(labels[i]);
	}
	free(instances);
}

void
metrics_print(const struct shard *shards, unsigned shard_count, FILE *to)
{
	const struct shard_common *common = shards[0].common;

	metric_write_value(&build_row, 1, to);
	print_doors(shards, shard_count, to);
	print_shards(shards, shard_count, to);
	print_sources(shards, shard_count, to);
	metric_write_value(&queue_rows[0], offload_waiting(common->auth_workers), to);
	metric_write_value(&queue_rows[1], offload_waiting(common->disk_workers), to);
}

/* ---- the reference ------------------------------------------------------------------------- */

static void
print_reference_rows(const struct metric *rows, size_t count, const char *more, FILE *to)
{
	for (size_t r = 0; r < count; r++) {
		bool is_first = r == 0 || strcmp(rows[r].name, rows[r - 1].name) != 0;

		if (is_first)
			fprintf(to, "| `%s` | %s | %s |", rows[r].name,
				rows[r].kind == METRIC_COUNTER ? "counter" : "gauge", rows[r].help);
		if (rows[r].labels != NULL)
			fprintf(to, "%s `%s`", is_first ? "" : ",", rows[r].labels);
		if (r + 1 == count || strcmp(rows[r].name, rows[r + 1].name) != 0)
			fprintf(to, "%s |\n", more);
	}
}

void
metrics_print_reference(FILE *to)
{
	fputs("# What the server counts\n\n"
	      "With the setting `metrics` the server tells this by HTTP at `/metrics`, in Prometheus' "
	      "text format; `ringpost metrics`\nprints it, `ringpost metrics --json` as JSON. Counters "
	      "begin at 0 when the server starts. All shards are summed up.\n\n"
	      "This page is made by `ringpost metrics --reference`.\n\n"
	      "| metric | kind | what it is | labels |\n|---|---|---|---|\n",
		to);
	print_reference_rows(&build_row, 1, "", to);
	print_reference_rows(
		door_rows, array_count(door_rows), " `listener`, `protocol`, `tls`, `address`", to);
	print_reference_rows(shard_rows, array_count(shard_rows), "", to);
	print_reference_rows(source_rows, array_count(source_rows), " `source`", to);
	print_reference_rows(&source_down_row, 1, " `source`", to);
	print_reference_rows(queue_rows, array_count(queue_rows), "", to);
}
