/*
 * source_pgsql.c - see source_pgsql.h.
 *
 * libpq without blocking: every wait is a poll() with what is left of the time limit.  A connection
 * on which anything went wrong is closed.  If it was an old one the question is asked once more on
 * a new one: the server may have been restarted since, and that is nobody's loss.
 */
#include "core/auth/source_pgsql.h"

#include "core/auth/account_field.h"
#include "io/base/clock.h"
#include "io/base/must.h"

#include <errno.h>
#include <libpq-fe.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STATEMENT   "ringpost_account"
#define PARAMETERS  3
#define TYPE_TEXT   25u /* pg_type.oid of text */
#define COLUMNS_MAX 32

struct connection {
	PGconn *pg; /* NULL: none */
	int column_count;
	enum account_field columns[COLUMNS_MAX];
};

struct pgsql {
	struct source source;
	const char *connection;
	const char *query;
	const struct address_rules *rules;
	struct connection connections[];
};

static struct pgsql *
pgsql_of(struct source *s)
{
	return (struct pgsql *)s;
}

/* ---- waiting ------------------------------------------------------------------------------- */

static void
drop(struct connection *c)
{
	PQfinish(c->pg);
	c->pg = NULL;
}

static int
fail(struct source *s, const struct connection *c, int error)
{
	const char *said = PQerrorMessage(c->pg);

	source_say(s, "%s", said[0] != '\0' ? said : strerror(-error));
	return error;
}

static int
wait_connected(struct source *s, struct connection *c, uint64_t deadline_ms)
{
	PostgresPollingStatusType want = PGRES_POLLING_WRITING;

	while (want != PGRES_POLLING_OK) {
		int error = want == PGRES_POLLING_FAILED
			? -ECONNREFUSED
			: source_wait(PQsocket(c->pg),
				  want == PGRES_POLLING_READING ? POLLIN : POLLOUT, deadline_ms);

		if (error != 0)
			return fail(s, c, error);
		want = PQconnectPoll(c->pg);
	}
	return PQsetnonblocking(c->pg, 1) == 0 ? 0 : fail(s, c, -EIO);
}

/* Send what is queued, reading meanwhile, so that neither side waits for the other. */
static int
flush(struct connection *c, uint64_t deadline_ms)
{
	int left;

	while ((left = PQflush(c->pg)) == 1) {
		int error = source_wait(PQsocket(c->pg), POLLIN | POLLOUT, deadline_ms);

		if (error != 0)
			return error;
		if (PQconsumeInput(c->pg) != 1)
			return -EPIPE;
	}
	return left == 0 ? 0 : -EPIPE;
}

/* The one result of what was just sent; the caller clears it. */
static int
take_result(struct source *s, struct connection *c, uint64_t deadline_ms, PGresult **result_out)
{
	PGresult *result = NULL;
	PGresult *next;
	int error = flush(c, deadline_ms);

	while (error == 0) {
		if (PQisBusy(c->pg)) {
			error = source_wait(PQsocket(c->pg), POLLIN, deadline_ms);
			if (error == 0 && PQconsumeInput(c->pg) != 1)
				error = -EPIPE;
			continue;
		}
		next = PQgetResult(c->pg);
		if (next == NULL)
			break;
		PQclear(result);
		result = next;
	}
	if (error == 0 && result == NULL)
		error = -EPIPE;
	if (error != 0) {
		PQclear(result);
		return fail(s, c, error);
	}
	*result_out = result;
	return 0;
}

/* ---- errors of the server ------------------------------------------------------------------ */

/* Class 22 is about the data, P0001 what a function raises: this name or this row, which must not
 * count as a failure of the source, or names made up by a guest could take it down. */
static int
error_of_state(const char *state)
{
	if (strcmp(state, "22021") == 0) /* octets that no name in this database can have */
		return -ENOENT;
	if (strncmp(state, "22", 2) == 0 || strcmp(state, "P0001") == 0)
		return -EBADMSG;
	if (strcmp(state, "57014") == 0) /* statement_timeout */
		return -ETIMEDOUT;
	return -EIO;
}

static int
error_of_result(struct source *s, struct connection *c, const PGresult *result)
{
	const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	int error;

	switch (PQresultStatus(result)) {
	case PGRES_COMMAND_OK:
	case PGRES_TUPLES_OK:
		return 0;
	case PGRES_EMPTY_QUERY:
	case PGRES_COPY_OUT:
	case PGRES_COPY_IN:
	case PGRES_COPY_BOTH:
	case PGRES_SINGLE_TUPLE:
	case PGRES_PIPELINE_SYNC:
	case PGRES_PIPELINE_ABORTED:
		source_say(s, "the query cannot be asked this way");
		return -EIO;
	case PGRES_BAD_RESPONSE:
	case PGRES_NONFATAL_ERROR:
	case PGRES_FATAL_ERROR:
		break;
	}
	error = state == NULL || PQstatus(c->pg) != CONNECTION_OK ? -EPIPE : error_of_state(state);
	source_say(s, "%s", PQresultErrorMessage(result));
	return error;
}

/* Whether it was sent, and that it went well; the caller clears *result_out. */
static int
ask(struct source *s, struct connection *c, int sent, uint64_t deadline_ms, PGresult **result_out)
{
	int error = sent == 1 ? take_result(s, c, deadline_ms, result_out) : fail(s, c, -EPIPE);

	if (error != 0)
		return error;
	error = error_of_result(s, c, *result_out);
	if (error != 0) {
		PQclear(*result_out);
		*result_out = NULL;
	}
	return error;
}

/* ---- a new connection ---------------------------------------------------------------------- */

static int
take_columns(struct source *s, struct connection *c, const PGresult *described)
{
	c->column_count = PQnfields(described);
	if (c->column_count == 0) {
		source_say(s, "the query is no SELECT");
		return -EINVAL;
	}
	if (c->column_count > COLUMNS_MAX) {
		source_say(s, "the query gives more than %d columns", COLUMNS_MAX);
		return -EINVAL;
	}
	for (int i = 0; i < c->column_count; i++) {
		if (account_field_find(span_of_string(PQfname(described, i)), &c->columns[i]))
			continue;
		source_say(s, "the query gives a column \"%.40s\"; allowed: " ACCOUNT_FIELD_NAMES,
			PQfname(described, i));
		return -EINVAL;
	}
	return 0;
}

/* The server gives up on a question when we do, and does not pile them up. */
static int
limit_time(struct source *s, struct connection *c, uint64_t deadline_ms)
{
	PGresult *result;
	char command[64];
	int error;

	snprintf(command, sizeof(command), "SET statement_timeout = %llu",
		(unsigned long long)s->time_limit_ms);
	error = ask(s, c, PQsendQuery(c->pg, command), deadline_ms, &result);
	if (error == 0)
		PQclear(result);
	return error;
}

static int
prepare(struct source *s, struct connection *c, uint64_t deadline_ms)
{
	static const Oid types[PARAMETERS] = { TYPE_TEXT, TYPE_TEXT, TYPE_TEXT };
	const char *query = pgsql_of(s)->query;
	PGresult *result;
	int error;

	error = ask(s, c, PQsendPrepare(c->pg, STATEMENT, query, PARAMETERS, types), deadline_ms,
		&result);
	if (error != 0)
		return error;
	PQclear(result);
	error = ask(s, c, PQsendDescribePrepared(c->pg, STATEMENT), deadline_ms, &result);
	if (error != 0)
		return error;
	error = take_columns(s, c, result);
	PQclear(result);
	return error;
}

static int
open_connection(struct source *s, struct connection *c, uint64_t deadline_ms)
{
	const char *const keywords[] = { "dbname", "client_encoding", "fallback_application_name",
		NULL };
	const char *const values[] = { pgsql_of(s)->connection, "UTF8", "ringpost", NULL };
	int error;

	c->pg = PQconnectStartParams(keywords, values, 1);
	if (c->pg == NULL)
		return -ENOMEM;
	error = PQstatus(c->pg) == CONNECTION_BAD ? fail(s, c, -ECONNREFUSED)
						  : wait_connected(s, c, deadline_ms);
	if (error == 0)
		error = limit_time(s, c, deadline_ms);
	if (error == 0)
		error = prepare(s, c, deadline_ms);
	if (error != 0)
		drop(c);
	return error;
}

/* ---- a question ---------------------------------------------------------------------------- */

static int
take_row(
	struct source *s, const struct connection *c, const PGresult *rows, struct account *account)
{
	int error = 0;

	if (PQntuples(rows) == 0)
		return -ENOENT;
	if (PQntuples(rows) > 1 || PQnfields(rows) != c->column_count) {
		source_say(s, "the query gives %d rows", PQntuples(rows));
		return -EBADMSG;
	}
	for (int i = 0; i < c->column_count && error == 0; i++) {
		enum account_field field = c->columns[i];

		error = account_field_set(
			account, field, PQgetvalue(rows, 0, i), pgsql_of(s)->rules);
		if (error != 0)
			source_say(s, "its %s cannot be read", account_field_names[field]);
	}
	return error;
}

static int
ask_for_row(struct source *s, struct connection *c, uint64_t deadline_ms, struct account *account)
{
	char local[ACCOUNT_ADDRESS_OCTETS_MAX + 1];
	const char *domain = strrchr(account->address, '@');
	const char *values[PARAMETERS] = { account->address, local, domain };
	PGresult *rows;
	int error;

	must(domain != NULL);
	snprintf(local, sizeof(local), "%.*s", (int)(domain - account->address), account->address);
	values[2] = domain + 1;
	error = ask(s, c, PQsendQueryPrepared(c->pg, STATEMENT, PARAMETERS, values, NULL, NULL, 0),
		deadline_ms, &rows);
	if (error != 0)
		return error;
	error = take_row(s, c, rows, account);
	PQclear(rows);
	return error;
}

/* Is what it said about this one name, so that the connection is as good as before? */
static bool
is_of_account(int error)
{
	return error == 0 || error == -ENOENT || error == -EBADMSG || error == -ENOTSUP;
}

static int
find_by(struct source *s, struct connection *c, struct span address, struct account *account_out)
{
	uint64_t deadline_ms = clock_monotonic_ms() + s->time_limit_ms;
	bool is_old = c->pg != NULL;
	int error;

	do {
		error = c->pg == NULL ? open_connection(s, c, deadline_ms) : 0;
		if (error != 0)
			return error;
		account_field_begin(address, account_out);
		error = ask_for_row(s, c, deadline_ms, account_out);
		if (is_of_account(error))
			return error;
		drop(c);
	} while (error != -ETIMEDOUT && is_old && !(is_old = false));
	return error;
}

static int
pgsql_find(struct source *s, struct span address, struct account *account_out)
{
	unsigned number;
	int error = source_take_connection(s, &number);

	if (error != 0)
		return error;
	error = find_by(s, &pgsql_of(s)->connections[number], address, account_out);
	source_give_connection(s, number);
	return error;
}

/* ---- opening and closing ------------------------------------------------------------------- */

static void
pgsql_close(struct source *s)
{
	struct pgsql *p = pgsql_of(s);

	for (unsigned i = 0; i < s->connections; i++)
		drop(&p->connections[i]);
	free(p);
}

static const struct source_ops pgsql_ops = { .find = pgsql_find, .close = pgsql_close };

int
source_pgsql_open(const struct source_pgsql_options *options, struct source **source_out)
{
	size_t connections = options->common.connections;
	struct pgsql *p = calloc(1, sizeof(*p) + connections * sizeof(p->connections[0]));

	if (p == NULL)
		return -ENOMEM;
	source_set_up(&p->source, &pgsql_ops, &options->common);
	p->connection = options->connection;
	p->query = options->query;
	p->rules = options->rules;
	*source_out = &p->source;
	return 0;
}

char *
source_pgsql_fault(const char *connection)
{
	char *said = NULL;
	char *fault = NULL;
	PQconninfoOption *read = PQconninfoParse(connection, &said);

	if (read == NULL)
		fault = strdup(said != NULL ? said : "out of memory");
	PQconninfoFree(read);
	PQfreemem(said);
	if (fault != NULL)
		fault[strcspn(fault, "\n")] = '\0';
	return fault;
}
