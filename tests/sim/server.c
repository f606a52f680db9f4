/*
 * server.c - see server.h.
 *
 * What core/server.c does for real threads, for fibers: open what the shards share, run each of them
 * until it is drained, close in reverse, and see that nothing is left.
 */
#include "tests/sim/server.h"

#include "core/server_auth.h"
#include "core/server_limits.h"
#include "core/shard.h"
#include "tests/sim/net.h"

#include <string.h>

#define SHARDS_MAX 4u
#define DOORS_MAX  4u
#define QUEUE_MAX  10000u
#define SETTLE_NS  (10 * SIM_MS) /* what is in flight comes down */

struct instance {
	struct instance *next;
	struct sim_process process;
	struct shard_common common;
	struct login_policy *login_policy;
	struct shard shards[SHARDS_MAX];
	struct door doors[SHARDS_MAX][DOORS_MAX];
	unsigned shard_count;
	unsigned running;
	bool drains;
};

/* All that there were: events may name them until the world is over. */
static struct instance *instances;

static void
open_shared(struct instance *s)
{
	struct shard_common *c = &s->common;
	const struct settings *settings = c->settings;

	char why[SERVER_AUTH_WHY_OCTETS];
	const struct desk_options desk = {
		.threads = settings->delivery_workers,
		.waiting_max = settings->delivery_queue,
		.maildrop = c->maildrop_options,
	};

	must(server_auth_open(settings, NULL, why, &s->login_policy) == 0);
	c->login_policy = s->login_policy;
	must(server_limits_open(settings, c) == 0);
	must(offload_open_behind("auth", settings->auth_workers, QUEUE_MAX, &c->auth_workers) == 0);
	s->login_policy->hashers = c->auth_workers;
	must(offload_open("disk", settings->disk_workers, QUEUE_MAX, &c->disk_workers) == 0);
	must(desk_open(&c->disk, &desk, &c->desk) == 0);
}

static void
close_shared(struct instance *s)
{
	struct shard_common *c = &s->common;

	desk_close(c->desk);
	offload_close(c->disk_workers);
	offload_close(c->auth_workers);
	if (guests_count(c->guests) != 0)
		sim_violation("%u guests were never counted out", guests_count(c->guests));
	server_limits_close(c);
	server_auth_close(s->login_policy);
}

/* From outside: the process has come to its end. */
static void
ended(void *ctx, uint64_t number)
{
	struct instance *s = ctx;

	(void)number;
	if (s->process.is_alive)
		sim_process_end(&s->process);
}

static void
run_shard(void *ctx)
{
	struct shard *shard = ctx;
	struct instance *s = shard->server;
	int result;

	do
		result = shard_turn(shard, UINT64_MAX);
	while (result == 1);
	must(result == 0);
	shard_close(shard);
	if (--s->running > 0)
		return;
	close_shared(s);
	sim_later(SETTLE_NS, NULL, ended, s, 0);
}

static void
prepare_doors(struct instance *s, unsigned n)
{
	const struct settings *settings = s->common.settings;

	must(settings->listener_count <= DOORS_MAX);
	for (unsigned i = 0; i < settings->listener_count; i++) {
		const struct settings_listener *at = &settings->listeners[i];
		const struct sockaddr_in *in = (const struct sockaddr_in *)&at->address;

		struct door *door = &s->doors[n][i];

		*door = (struct door){
			.settings = at,
			.protocol = shard_protocols[at->protocol],
			.shard = &s->shards[n],
			.socket = net_listen(ntohs(in->sin_port)),
		};
		if (at->protocol == PROTOCOL_POP3)
			door->policy.pop3 = (struct pop3_policy){
				.greeting = settings->greeting,
				.implementation = "ringpost",
				.plaintext_auth = at->plaintext_auth,
				.failed_logins_max = settings->failed_logins,
			};
		else
			door->policy.lmtp = (struct lmtp_policy){
				.hostname = settings->hostname,
				.greeting = settings->greeting,
				.octets_max = settings->lmtp_message_octets,
				.recipients_max = settings->lmtp_recipients,
			};
	}
}

/* Opening has its own tests; here it goes well, and what follows does not. */
static void
boot(void *ctx)
{
	struct instance *s = ctx;
	bool faults = sim.faults_on;
	const char *what;

	sim.faults_on = false;
	open_shared(s);
	for (unsigned n = 0; n < s->shard_count; n++) {
		struct shard *shard = &s->shards[n];

		prepare_doors(s, n);
		shard->common = &s->common;
		shard->number = n;
		shard->core = -1;
		shard->doors = s->doors[n];
		shard->door_count = s->common.settings->listener_count;
		shard->server = s;
		must(shard_open(shard, &what) == 0);
		s->running++;
		fiber_start(&s->process, run_shard, shard);
	}
	sim.faults_on = faults;
}

void
server_start(const struct settings *settings, const struct disk *disk, unsigned shards)
{
	struct instance *s = sim_allocate(sizeof(*s));

	must(shards <= SHARDS_MAX);
	memset(s, 0, sizeof(*s));
	s->next = instances;
	instances = s;
	s->shard_count = shards;
	s->common = (struct shard_common){
		.settings = settings,
		.disk = *disk,
		.maildrop_options = {
			.lock_timeout_ms = settings->lock_timeout_ms,
			.sync = true,
		},
	};
	sim_process_start(&s->process, "the server");
	fiber_start(&s->process, boot, s);
}

bool
server_is_up(void)
{
	return instances != NULL && instances->process.is_alive;
}

void
server_kill(void)
{
	if (server_is_up())
		sim_process_kill(&instances->process);
}

static void
drain(void *ctx)
{
	struct instance *s = ctx;

	for (unsigned n = 0; n < s->shard_count; n++)
		shard_drain(&s->shards[n]);
}

void
server_drain(void)
{
	struct instance *s = instances;

	if (!server_is_up() || s->drains)
		return;
	s->drains = true;
	fiber_start(&s->process, drain, s);
}

void
server_forget_world(void)
{
	while (instances != NULL) {
		struct instance *s = instances;

		instances = s->next;
		must(!s->process.is_alive);
		sim_free(s);
	}
}
