/*
 * server_auth.c - see server_auth.h.
 */
#include "core/server_auth.h"

#include "core/sources.h"
#include "io/base/log.h"
#include "io/base/must.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

static const struct log_kind EVENT_OAUTH_RELOADED = { "oauth_reloaded", LOG_INFO };
static const struct log_kind EVENT_OAUTH_RELOAD_FAILED = { "oauth_reload_failed", LOG_ERROR };

static int
add_masters(const struct settings *settings, char why[SERVER_AUTH_WHY_OCTETS],
	struct login_policy *policy)
{
	const struct settings_texts *masters = &settings->master_users;

	policy->masters = calloc(masters->count + 1, sizeof(*policy->masters));
	if (policy->masters == NULL)
		return -ENOMEM;
	for (unsigned i = 0; i < masters->count; i++) {
		int error = address_canonical(
			span_of_string(masters->at[i]), &policy->rules, policy->masters[i]);

		if (error != 0) {
			snprintf(why, SERVER_AUTH_WHY_OCTETS,
				"master_users: \"%.300s\" is no address: write it as local@domain",
				masters->at[i]);
			return error;
		}
		policy->master_count++;
	}
	return 0;
}

/* The spool's own accounts; each shard reads them itself. */
static struct source lmdb_source = { .name = SOURCES_LMDB };

/* The spool's, so that it outlives a restart; where it cannot be kept,
 * one for as long as we live. */
static int
take_secret(struct accounts *accounts, uint8_t secret_out[32])
{
	int error = accounts_secret(accounts, secret_out);

	if (error != -ENOENT)
		return error;
	return getrandom(secret_out, 32, 0) == 32 ? 0 : -EIO;
}

/* ---- sources ------------------------------------------------------------------------------- */

static void
close_source(struct source *source)
{
	if (source == &lmdb_source)
		return;
	offload_close(source->workers);
	source_tear_down(source);
}

static int
make_source(const struct settings *settings, const char *name, const struct address_rules *rules,
	struct source **source_out)
{
	struct source *source;
	int error = sources_open(settings, name, rules, &source);

	if (error != 0)
		return error;
	if (source == NULL) {
		*source_out = &lmdb_source;
		return 0;
	}
	error = offload_open(name, source->connections, settings->auth_queue, &source->workers);
	if (error != 0) {
		source_tear_down(source);
		return error;
	}
	*source_out = source;
	return 0;
}

static int
open_sources(const struct settings *settings, char why[SERVER_AUTH_WHY_OCTETS],
	struct login_policy *policy)
{
	const struct settings_texts names = sources_names(settings);
	struct source **sources = calloc(names.count, sizeof(struct source *));
	int error = 0;

	if (sources == NULL)
		return -ENOMEM;
	policy->sources = sources;
	for (unsigned i = 0; i < names.count && error == 0; i++) {
		error = make_source(settings, names.at[i], &policy->rules, &sources[i]);
		if (error == 0)
			policy->source_count++;
		else
			snprintf(why, SERVER_AUTH_WHY_OCTETS, "cannot prepare source %.64s",
				names.at[i]);
	}
	return error;
}

/* ---- the policy ---------------------------------------------------------------------------- */

static int
open_tokens(const struct settings *s, char why[SERVER_AUTH_WHY_OCTETS], struct tokens **tokens_out)
{
	const struct tokens_options options = {
		.key_files = (const char *const *)s->oauth_keys.at,
		.key_file_count = s->oauth_keys.count,
		.rules = { s->oauth_issuer, s->oauth_audience, s->oauth_account_claim },
		.introspection = {
			.url = s->oauth_introspection_url,
			.credentials = s->oauth_introspection_credentials,
			.ca_file = s->oauth_introspection_ca,
			.connections = s->oauth_workers,
			.time_limit_ms = s->oauth_time_limit_ms,
		},
		.queue_max = s->auth_queue,
		.cache_ms = (uint64_t)s->oauth_cache_seconds * 1000,
	};

	static_assert(SERVER_AUTH_WHY_OCTETS >= TOKENS_WHY_OCTETS, "what tokens say fits");
	return tokens_open(&options, why, tokens_out);
}

int
server_auth_open(const struct settings *settings, struct accounts *accounts,
	char why[SERVER_AUTH_WHY_OCTETS], struct login_policy **policy_out)
{
	struct login_policy *policy = calloc(1, sizeof(*policy));
	int error;

	snprintf(why, SERVER_AUTH_WHY_OCTETS, "cannot prepare for logins");
	if (policy == NULL)
		return -ENOMEM;
	policy->rules =
		(struct address_rules){ settings->default_domain, settings->detail_separator };
	policy->scheme = settings->password_scheme;
	policy->accounts = settings->password_upgrade ? accounts : NULL;
	policy->queue_limit_ms = (uint64_t)settings->auth_queue_deadline_s * 1000;
	error = add_masters(settings, why, policy);
	if (error == 0)
		error = password_make_dummy(settings->password_scheme, policy->dummy_hash);
	if (error == 0)
		error = take_secret(accounts, policy->dummy_secret);
	if (error == 0)
		error = open_sources(settings, why, policy);
	if (error == 0)
		error = open_tokens(settings, why, &policy->tokens);
	if (error != 0) {
		server_auth_close(policy);
		return error;
	}
	*policy_out = policy;
	return 0;
}

void
server_auth_reload(struct login_policy *policy)
{
	char why[TOKENS_WHY_OCTETS];

	if (policy->tokens == NULL)
		return;
	if (tokens_reload(policy->tokens, why) == 0)
		log_event(EVENT_OAUTH_RELOADED, kv_u64("keys", tokens_key_count(policy->tokens)));
	else
		log_event(EVENT_OAUTH_RELOAD_FAILED, kv_str("why", why));
}

/* The names were checked when the settings were read. */
unsigned
server_auth_mechanisms(const struct settings *settings)
{
	unsigned set = 0;

	must(sasl_mechanisms_read(settings->sasl_mechanisms, &set));
	if (settings->oauth_keys.count == 0 && settings->oauth_introspection_url[0] == '\0')
		set &= ~(SASL_BIT(SASL_OAUTHBEARER) | SASL_BIT(SASL_XOAUTH2));
	return set;
}

bool
server_auth_binds_channels(const struct settings *settings)
{
	return (server_auth_mechanisms(settings) & SASL_BIT(SASL_SCRAM_SHA_256_PLUS)) != 0;
}

void
server_auth_close(struct login_policy *policy)
{
	if (policy == NULL)
		return;
	for (unsigned i = 0; i < policy->source_count; i++)
		close_source(policy->sources[i]);
	free((void *)policy->sources);
	tokens_close(policy->tokens);
	free(policy->masters);
	free(policy);
}
