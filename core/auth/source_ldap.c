/*
 * source_ldap.c - see source_ldap.h.
 *
 * libldap's asynchronous calls, each followed by a wait for its result with the time limit.  A
 * connection on which anything went wrong is closed; if it was an old one the question is asked
 * once more on a new one.
 */
#include "core/auth/source_ldap.h"

#include "core/auth/account_field.h"
#include "core/auth/template.h"
#include "io/base/must.h"

#include <errno.h>
#include <ldap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILTER_OCTETS_MAX   4096u
#define PASSWORD_OCTETS_MAX 512u
#define ENTRIES_MAX         2 /* more than one is a mistake already */

struct connection {
	LDAP *search; /* bound as the service; NULL: none */
	LDAP *proof;  /* bound as whoever was proven last; NULL: none */
};

struct ldap_source {
	struct source source;
	const struct source_ldap_options options;
	struct connection connections[];
};

static struct ldap_source *
ldap_source_of(struct source *s)
{
	return (struct ldap_source *)s;
}

/* ---- errors -------------------------------------------------------------------------------- */

static int
error_of(int result)
{
	switch (result) {
	case LDAP_SUCCESS:
		return 0;
	case LDAP_TIMEOUT:
	case LDAP_TIMELIMIT_EXCEEDED:
		return -ETIMEDOUT;
	case LDAP_NO_MEMORY:
		return -ENOMEM;
	case LDAP_SERVER_DOWN:
	case LDAP_CONNECT_ERROR:
	case LDAP_UNAVAILABLE:
	case LDAP_BUSY:
		return -ECONNREFUSED;
	default:
		return -EIO;
	}
}

static int
fail(struct source *s, LDAP *ld, const char *what, int result)
{
	char *more = NULL;

	if (ld != NULL)
		(void)ldap_get_option(ld, LDAP_OPT_DIAGNOSTIC_MESSAGE, &more);
	source_say(s, "%s: %s%s%s", what, ldap_err2string(result), more != NULL ? ": " : "",
		more != NULL ? more : "");
	ldap_memfree(more);
	return error_of(result);
}

static void
drop(LDAP **ld)
{
	if (*ld != NULL)
		(void)ldap_unbind_ext(*ld, NULL, NULL);
	*ld = NULL;
}

static struct timeval
limit_of(const struct source *s)
{
	return (struct timeval){ (time_t)(s->time_limit_ms / 1000),
		(suseconds_t)(s->time_limit_ms % 1000 * 1000) };
}

/* All messages of one answer, or what went wrong, as an LDAP result code; *answer_out is the
 * caller's to free, also then, unless it is NULL. */
static int
take_answer(struct source *s, LDAP *ld, int sent, int id, LDAPMessage **answer_out)
{
	struct timeval limit = limit_of(s);
	int result = sent;
	int kind;

	*answer_out = NULL;
	if (sent != LDAP_SUCCESS)
		return sent;
	kind = ldap_result(ld, id, LDAP_MSG_ALL, &limit, answer_out);
	if (kind == 0)
		return LDAP_TIMEOUT;
	if (kind < 0) {
		(void)ldap_get_option(ld, LDAP_OPT_RESULT_CODE, &result);
		return result == LDAP_SUCCESS ? LDAP_SERVER_DOWN : result;
	}
	if (ldap_parse_result(ld, *answer_out, &result, NULL, NULL, NULL, NULL, 0) != LDAP_SUCCESS)
		return LDAP_DECODING_ERROR;
	return result;
}

/* ---- a new connection ---------------------------------------------------------------------- */

static int
set_options(struct source *s, LDAP *ld)
{
	const struct source_ldap_options *o = &ldap_source_of(s)->options;
	const struct timeval limit = limit_of(s);
	const int version = LDAP_VERSION3;
	const int demand = LDAP_OPT_X_TLS_DEMAND;
	const int as_client = 0;

	if (ldap_set_option(ld, LDAP_OPT_PROTOCOL_VERSION, &version) != LDAP_OPT_SUCCESS ||
		ldap_set_option(ld, LDAP_OPT_NETWORK_TIMEOUT, &limit) != LDAP_OPT_SUCCESS ||
		ldap_set_option(ld, LDAP_OPT_TIMEOUT, &limit) != LDAP_OPT_SUCCESS ||
		ldap_set_option(ld, LDAP_OPT_REFERRALS, LDAP_OPT_OFF) != LDAP_OPT_SUCCESS ||
		ldap_set_option(ld, LDAP_OPT_X_TLS_REQUIRE_CERT, &demand) != LDAP_OPT_SUCCESS)
		return LDAP_LOCAL_ERROR;
	if (o->ca_file[0] != '\0' &&
		ldap_set_option(ld, LDAP_OPT_X_TLS_CACERTFILE, o->ca_file) != LDAP_OPT_SUCCESS)
		return LDAP_LOCAL_ERROR;
	return ldap_set_option(ld, LDAP_OPT_X_TLS_NEWCTX, &as_client) == LDAP_OPT_SUCCESS
		? LDAP_SUCCESS
		: LDAP_LOCAL_ERROR;
}

static int
start_tls(struct source *s, LDAP *ld)
{
	LDAPMessage *answer;
	int id = 0;
	int sent = ldap_start_tls(ld, NULL, NULL, &id);
	int result = take_answer(s, ld, sent, id, &answer);

	ldap_msgfree(answer);
	return result == LDAP_SUCCESS ? ldap_install_tls(ld) : result;
}

static int
bind_as(struct source *s, LDAP *ld, const char *dn, struct span secret)
{
	struct berval credentials = { secret.length, (char *)secret.at };
	LDAPMessage *answer;
	int id = 0;
	int sent = ldap_sasl_bind(ld, dn, LDAP_SASL_SIMPLE, &credentials, NULL, NULL, &id);
	int result = take_answer(s, ld, sent, id, &answer);

	ldap_msgfree(answer);
	return result;
}

/* Connected, with TLS where it is wanted, and nobody yet. */
static int
connect_to(struct source *s, LDAP **ld_out)
{
	const struct source_ldap_options *o = &ldap_source_of(s)->options;
	LDAP *ld = NULL;
	int result = ldap_initialize(&ld, o->uri);
	int error;

	if (result == LDAP_SUCCESS)
		result = set_options(s, ld);
	if (result == LDAP_SUCCESS && o->starttls)
		result = start_tls(s, ld);
	if (result != LDAP_SUCCESS) {
		error = fail(s, ld, "connecting", result);
		drop(&ld);
		return error;
	}
	*ld_out = ld;
	return 0;
}

/* The first line of the file. */
static int
read_password(struct source *s, char password_out[PASSWORD_OCTETS_MAX])
{
	const char *path = ldap_source_of(s)->options.password_file;
	FILE *file = path[0] != '\0' ? fopen(path, "re") : NULL;
	char *line = NULL;

	password_out[0] = '\0';
	if (file != NULL) {
		line = fgets(password_out, PASSWORD_OCTETS_MAX, file);
		fclose(file);
	}
	password_out[strcspn(password_out, "\r\n")] = '\0';
	if (line != NULL && password_out[0] != '\0')
		return 0;
	source_say(s, "no password can be read from \"%.100s\"", path);
	return -EACCES;
}

static int
bind_as_service(struct source *s, LDAP *ld)
{
	const char *dn = ldap_source_of(s)->options.bind_dn;
	char password[PASSWORD_OCTETS_MAX];
	int error, result;

	if (dn[0] == '\0')
		return 0;
	error = read_password(s, password);
	if (error != 0)
		return error;
	result = bind_as(s, ld, dn, span_of_string(password));
	explicit_bzero(password, sizeof(password));
	return result == LDAP_SUCCESS ? 0 : fail(s, ld, "bind as bind_dn", result);
}

static int
open_search(struct source *s, struct connection *c)
{
	int error = connect_to(s, &c->search);

	if (error == 0)
		error = bind_as_service(s, c->search);
	if (error != 0)
		drop(&c->search);
	return error;
}

/* ---- find ---------------------------------------------------------------------------------- */

/* The values of one attribute; several of `networks` are all meant, of a password the first that is
 * understood, of others there should be one. */
static int
set_field(struct source *s, struct account *account, enum account_field field,
	struct berval *const *values)
{
	const struct address_rules *rules = ldap_source_of(s)->options.rules;
	char text[ACCOUNT_HASH_OCTETS_MAX + 1] = "";
	size_t used = 0;
	int error = 0;

	for (unsigned i = 0; values[i] != NULL; i++) {
		if (used + 1 + values[i]->bv_len >= sizeof(text) ||
			memchr(values[i]->bv_val, '\0', values[i]->bv_len) != NULL)
			return -EBADMSG;
		if (field == ACCOUNT_FIELD_NETWORKS && i > 0)
			text[used++] = ' ';
		else
			used = 0;
		memcpy(text + used, values[i]->bv_val, values[i]->bv_len);
		used += values[i]->bv_len;
		text[used] = '\0';
		error = account_field_set(account, field, text, rules);
		if (field == ACCOUNT_FIELD_PASSWORD && error == 0)
			break;
		if (field == ACCOUNT_FIELD_PASSWORD)
			used = 0;
	}
	explicit_bzero(text, sizeof(text));
	return error;
}

static int
take_attributes(struct source *s, LDAP *ld, LDAPMessage *entry, struct account *account)
{
	const struct source_ldap_options *o = &ldap_source_of(s)->options;
	int error = 0;

	for (unsigned i = 0; i < o->attribute_count && error == 0; i++) {
		const char *equals = strchr(o->attributes[i], '=');
		struct berval **values = ldap_get_values_len(ld, entry, equals + 1);
		enum account_field field;

		must(account_field_find(
			span_of(o->attributes[i], (size_t)(equals - o->attributes[i])), &field));
		if (values != NULL)
			error = set_field(s, account, field, values);
		if (error != 0)
			source_say(s, "its %s cannot be read", o->attributes[i]);
		ldap_value_free_len(values);
	}
	return error;
}

static int
take_entry(struct source *s, LDAP *ld, LDAPMessage *answer, struct account *account)
{
	LDAPMessage *entry = ldap_first_entry(ld, answer);
	int error;

	if (entry == NULL)
		return -ENOENT;
	if (ldap_next_entry(ld, entry) != NULL) {
		source_say(s, "the filter fits several entries");
		return -EBADMSG;
	}
	error = take_attributes(s, ld, entry, account);
	if (error == 0 && s->ops->prove != NULL) {
		char *dn = ldap_get_dn(ld, entry);

		error = dn == NULL ? -ENOMEM : source_mark_later(account, dn);
		ldap_memfree(dn);
	}
	return error;
}

/* The attributes that are asked for; no password where a bind proves it. */
static void
put_wanted(const struct source_ldap_options *o, char *wanted_out[ACCOUNT_FIELDS + 2])
{
	static char none[] = LDAP_NO_ATTRS;
	unsigned count = 0;

	for (unsigned i = 0; i < o->attribute_count && count < ACCOUNT_FIELDS; i++)
		wanted_out[count++] = strchr(o->attributes[i], '=') + 1;
	if (count == 0)
		wanted_out[count++] = none;
	wanted_out[count] = NULL;
}

static int
search(struct source *s, LDAP *ld, struct account *account)
{
	static const int scopes[] = {
		[SOURCE_LDAP_SUBTREE] = LDAP_SCOPE_SUBTREE,
		[SOURCE_LDAP_ONE] = LDAP_SCOPE_ONELEVEL,
		[SOURCE_LDAP_BASE] = LDAP_SCOPE_BASE,
	};
	const struct source_ldap_options *o = &ldap_source_of(s)->options;
	char *wanted[ACCOUNT_FIELDS + 2];
	char filter[FILTER_OCTETS_MAX];
	struct timeval limit = limit_of(s);
	LDAPMessage *answer = NULL;
	int id = 0;
	int sent, result, error;

	if (!template_fill(o->filter, span_of_string(account->address), TEMPLATE_LDAP_FILTER,
		    filter, sizeof(filter)))
		return -EBADMSG;
	put_wanted(o, wanted);
	sent = ldap_search_ext(ld, o->base, scopes[o->scope], filter, wanted, 0, NULL, NULL, &limit,
		ENTRIES_MAX, &id);
	result = take_answer(s, ld, sent, id, &answer);
	if (result == LDAP_SUCCESS || result == LDAP_SIZELIMIT_EXCEEDED)
		error = take_entry(s, ld, answer, account);
	else
		error = fail(s, ld, "search", result);
	ldap_msgfree(answer);
	return error;
}

static bool
is_of_account(int error)
{
	return error == 0 || error == -ENOENT || error == -EBADMSG || error == -ENOTSUP;
}

static int
find_by(struct source *s, struct connection *c, struct span address, struct account *account_out)
{
	bool is_old = c->search != NULL;
	int error;

	for (;;) {
		error = c->search == NULL ? open_search(s, c) : 0;
		if (error != 0)
			return error;
		account_field_begin(address, account_out);
		error = search(s, c->search, account_out);
		if (is_of_account(error))
			return error;
		drop(&c->search);
		if (!is_old || error == -ETIMEDOUT)
			return error;
		is_old = false;
	}
}

static int
ldap_source_find(struct source *s, struct span address, struct account *account_out)
{
	unsigned number;
	int error = source_take_connection(s, &number);

	if (error != 0)
		return error;
	error = find_by(s, &ldap_source_of(s)->connections[number], address, account_out);
	source_give_connection(s, number);
	return error;
}

/* ---- prove --------------------------------------------------------------------------------- */

/* What a server says of a secret, and not of itself.  An account that it will not let in (locked,
 * expired) is no different to a guest. */
static bool
is_refusal(int result)
{
	return result == LDAP_INVALID_CREDENTIALS || result == LDAP_INSUFFICIENT_ACCESS ||
		result == LDAP_NO_SUCH_OBJECT || result == LDAP_CONSTRAINT_VIOLATION ||
		result == LDAP_INAPPROPRIATE_AUTH || result == LDAP_UNWILLING_TO_PERFORM;
}

static int
prove_by(
	struct source *s, struct connection *c, const char *dn, struct span secret, bool *right_out)
{
	bool is_old = c->proof != NULL;
	int error, result;

	for (;;) {
		error = c->proof == NULL ? connect_to(s, &c->proof) : 0;
		if (error != 0)
			return error;
		result = bind_as(s, c->proof, dn, secret);
		*right_out = result == LDAP_SUCCESS;
		if (*right_out || is_refusal(result))
			return 0;
		error = fail(s, c->proof, "bind", result);
		if (error == -EIO && result > 0) /* the server said so, of this entry */
			return -EBADMSG;
		drop(&c->proof);
		if (!is_old || error == -ETIMEDOUT)
			return error;
		is_old = false;
	}
}

static int
ldap_source_prove(
	struct source *s, const struct account *account, struct span secret, bool *right_out)
{
	const char *dn = source_marked(account);
	unsigned number;
	int error;

	*right_out = false;
	if (secret.length == 0 || dn == NULL || dn[0] == '\0' ||
		memchr(secret.at, '\0', secret.length) != NULL)
		return 0;
	error = source_take_connection(s, &number);
	if (error != 0)
		return error;
	error = prove_by(s, &ldap_source_of(s)->connections[number], dn, secret, right_out);
	source_give_connection(s, number);
	return error;
}

/* ---- opening and closing ------------------------------------------------------------------- */

static void
ldap_source_close(struct source *s)
{
	struct ldap_source *l = ldap_source_of(s);

	for (unsigned i = 0; i < s->connections; i++) {
		drop(&l->connections[i].search);
		drop(&l->connections[i].proof);
	}
	free(l);
}

static const struct source_ops by_bind = {
	.find = ldap_source_find,
	.prove = ldap_source_prove,
	.close = ldap_source_close,
};
static const struct source_ops by_hash = { .find = ldap_source_find, .close = ldap_source_close };

int
source_ldap_open(const struct source_ldap_options *options, struct source **source_out)
{
	size_t connections = options->common.connections;
	struct ldap_source *l = calloc(1, sizeof(*l) + connections * sizeof(l->connections[0]));

	if (l == NULL)
		return -ENOMEM;
	memcpy((void *)&l->options, options, sizeof(*options));
	source_set_up(&l->source, options->prove == SOURCE_LDAP_BY_BIND ? &by_bind : &by_hash,
		&options->common);
	*source_out = &l->source;
	return 0;
}

const char *
source_ldap_fault_of_uri(const char *uri)
{
	LDAPURLDesc *read = NULL;
	char copy[1024];
	char *rest = NULL;

	if (strlen(uri) >= sizeof(copy))
		return "it is too long";
	strcpy(copy, uri);
	for (char *one = strtok_r(copy, " ", &rest); one != NULL;
		one = strtok_r(NULL, " ", &rest)) {
		if (ldap_url_parse(one, &read) != LDAP_URL_SUCCESS)
			return "it is written as ldap://host, ldaps://host or ldapi://socket";
		ldap_free_urldesc(read);
	}
	return NULL;
}

const char *
source_ldap_fault_of_attribute(const char *attribute)
{
	const char *equals = strchr(attribute, '=');
	enum account_field field;

	if (equals == NULL || equals[1] == '\0')
		return "it is written as field=attribute";
	if (!account_field_find(span_of(attribute, (size_t)(equals - attribute)), &field))
		return "fields: " ACCOUNT_FIELD_NAMES;
	return NULL;
}
