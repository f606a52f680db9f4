/*
 * server_limits.c - see server_limits.h.
 */
#include "core/server_limits.h"

static int
open_guests(const struct settings *settings, struct shard_common *common)
{
	const struct guests_options options = {
		.max = settings->connections,
		.per_address_max = settings->connections_per_address,
		.connections_per_s = settings->connection_rate_per_address,
		.handshakes_per_s = settings->handshake_rate_per_address,
	};

	return guests_open(&options, &common->guests);
}

static int
open_penalties(const struct settings *settings, struct shard_common *common)
{
	const struct penalties_options options = {
		.max_ms = settings->auth_penalty_max_s * 1000,
		.forget_ms = settings->auth_penalty_forget_s * 1000,
		.exempt = settings->auth_penalty_exempt,
	};

	return options.max_ms == 0 ? 0 : penalties_open(&options, &common->penalties);
}

static int
open_admission(const struct settings *settings, struct shard_common *common)
{
	const struct admission_options options = {
		.sessions_max = settings->sessions_per_account,
		.delay_s = settings->login_delay_s,
		.burst = settings->login_delay_burst,
		.connections = settings->connections,
	};

	return admission_open(&options, &common->admission);
}

int
server_limits_open(const struct settings *settings, struct shard_common *common)
{
	int error = open_guests(settings, common);

	if (error == 0)
		error = open_penalties(settings, common);
	if (error == 0)
		error = open_admission(settings, common);
	if (error != 0)
		server_limits_close(common);
	return error;
}

void
server_limits_close(struct shard_common *common)
{
	admission_close(common->admission);
	penalties_close(common->penalties);
	guests_close(common->guests);
	common->admission = NULL;
	common->penalties = NULL;
	common->guests = NULL;
}
