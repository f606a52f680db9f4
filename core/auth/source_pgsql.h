/*
 * source_pgsql.h - accounts in a PostgreSQL database, by one query of the operator's.
 *
 * The query has the address as $1, its local part as $2 and its domain as $3, all bound, never
 * pasted: no name can change what is asked.  It gives no row, or one, whose columns are named as in
 * account_field.h.  One connection for each worker, made at the first question and made anew when
 * it breaks.  The time limit holds for each question as a whole and for the server's work on it
 * (statement_timeout); looking up a host name in DNS is outside of it (hostaddr avoids that).
 */
#ifndef CORE_AUTH_SOURCE_PGSQL_H
#define CORE_AUTH_SOURCE_PGSQL_H

#include "core/auth/address.h"
#include "core/auth/source.h"

struct source_pgsql_options {
	struct source_options common;
	const char *connection; /* as libpq reads it: "host=... dbname=... sslmode=verify-full" */
	const char *query;
	const struct address_rules *rules;
};

/* Texts are borrowed for the life of the source.  0, -ENOMEM; nothing is asked yet. */
int source_pgsql_open(const struct source_pgsql_options *options, struct source **source_out);

/* What is wrong with a `connection`, for free(); NULL: nothing. */
char *source_pgsql_fault(const char *connection);

#endif
