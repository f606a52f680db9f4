/*
 * server_auth.c - see server_auth.h.
 */
#include "core/server_auth.h"

#include "io/base/must.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

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
static struct source lmdb_source = { .name = "lmdb" };
static struct source *const sources[] = { &lmdb_source };

/* The spool's, so that it outlives a restart; where it cannot be kept, one for as long as we live. */
static int
take_secret(struct accounts *accounts, uint8_t secret_out[32])
{
	int error = accounts_secret(accounts, secret_out);

	if (error != -ENOENT)
		return error;
	return getrandom(secret_out, 32, 0) == 32 ? 0 : -EIO;
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
	policy->sources = sources;
	policy->source_count = array_count(sources);
	policy->scheme = settings->password_scheme;
	policy->accounts = settings->password_upgrade ? accounts : NULL;
	policy->queue_limit_ms = (uint64_t)settings->auth_queue_deadline_s * 1000;
	error = add_masters(settings, why, policy);
	if (error == 0)
		error = password_make_dummy(settings->password_scheme, policy->dummy_hash);
	if (error == 0)
		error = take_secret(accounts, policy->dummy_secret);
	if (error != 0) {
		server_auth_close(policy);
		return error;
	}
	*policy_out = policy;
	return 0;
}

bool
server_auth_binds_channels(const struct settings *settings)
{
	unsigned set = 0;

	return sasl_mechanisms_read(settings->sasl_mechanisms, &set) &&
		(set & SASL_BIT(SASL_SCRAM_SHA_256_PLUS)) != 0;
}

void
server_auth_close(struct login_policy *policy)
{
	if (policy != NULL)
		free(policy->masters);
	free(policy);
}
