/*
 * shard.c - see shard.h.
 *
 * Life: open everything on its own thread (a ring belongs to the thread that made it), tell the
 * server, run the loop; when drained, close in reverse.
 */
#include "core/shard.h"

#include "core/limits.h"
#include "core/line.h"
#include "core/network.h"
#include "core/service_auth_http.h"
#include "core/service_lmtp.h"
#include "core/service_pop3.h"
#include "core/service_pop3_wish.h"
#include "io/base/log.h"
#include "io/socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <unistd.h>

#define HOUSEKEEPING_MS     1000u
#define LAST_LOGINS_S       5u /* between two writes of them */
#define TROUBLE_INTERVAL_MS 10000u

static const struct log_kind EVENT_GUEST_TURNED_AWAY = { "guest_turned_away", LOG_WARNING };
static const struct log_kind EVENT_ACCEPT_FAILED = { "accept_failed", LOG_ERROR };
static const struct log_kind EVENT_TLS_COUNTS = { "tls_counts", LOG_INFO };
static const struct log_kind EVENT_SHARD_FAILED = { "shard_failed", LOG_ERROR };

const struct service_protocol *const shard_protocols[PROTOCOLS] = {
	[PROTOCOL_POP3] = &pop3_service_protocol,
	[PROTOCOL_LMTP] = &lmtp_service_protocol,
	[PROTOCOL_AUTH_HTTP] = &auth_http_service_protocol,
};

/* ---- guests -------------------------------------------------------------------------------- */

/* At most one line of trouble in a while: what makes trouble usually comes in thousands. */
static bool
may_complain(struct shard *s)
{
	if (s->last_trouble_ms != 0 && s->loop.now_ms - s->last_trouble_ms < TROUBLE_INTERVAL_MS)
		return false;
	s->last_trouble_ms = s->loop.now_ms;
	return true;
}

void
shard_note_turned_away(
	struct shard *s, const struct door *door, const char *peer, enum turned_away why)
{
	static const char *const words[] = {
		[TURNED_AWAY_NETWORK] = "network",
		[TURNED_AWAY_CONNECTIONS] = "connections",
		[TURNED_AWAY_PER_ADDRESS] = "connections_per_address",
		[TURNED_AWAY_MEMORY] = "memory",
		[TURNED_AWAY_CONNECTION_RATE] = "connection_rate",
		[TURNED_AWAY_HANDSHAKE_RATE] = "handshake_rate",
	};

	count_add(&s->counts.turned_away[why], 1);
	if (may_complain(s))
		log_event(EVENT_GUEST_TURNED_AWAY, kv_str("listener", door->settings->name),
			kv_word("why", words[why]), kv_word("peer", peer));
}

static void
turn_away(struct shard *s, const struct door *door, int fd, const struct sockaddr_storage *address,
	enum turned_away why)
{
	char peer[INET6_ADDRSTRLEN];

	if (door->settings->tls != LISTENER_TLS_IMPLICIT) /* there it would be no TLS */
		(void)socket_send(fd, service_farewell(door, why), false);
	socket_close(fd);
	shard_note_turned_away(s, door, service_address_text(address, peer), why);
}

/* Local sockets have a mode instead of networks. */
static bool
is_let_in(const struct settings_listener *at, const struct sockaddr_storage *peer)
{
	return at->allowed == NULL || peer->ss_family == AF_UNIX ||
		network_one_holds(at->allowed, at->networks.count, peer);
}

static bool
may_name_others(const struct settings_listener *at, const struct sockaddr_storage *peer)
{
	return network_one_holds(at->xclients, at->xclient_networks.count, peer);
}

static bool
is_proxy(const struct settings_listener *at, const struct sockaddr_storage *peer)
{
	return peer->ss_family == AF_UNIX ||
		network_one_holds(at->proxies, at->proxy_networks.count, peer);
}

static bool
count_in(struct shard *s, const struct sockaddr_storage *peer, uint32_t *ticket_out,
	enum turned_away *why_out)
{
	switch (guests_enter(
		s->common->guests, (const struct sockaddr *)peer, s->loop.now_ms, ticket_out)) {
	case GUESTS_FULL:
		*why_out = TURNED_AWAY_CONNECTIONS;
		return false;
	case GUESTS_ADDRESS_FULL:
		*why_out = TURNED_AWAY_PER_ADDRESS;
		return false;
	case GUESTS_TOO_FAST:
		*why_out = TURNED_AWAY_CONNECTION_RATE;
		return false;
	case GUESTS_WELCOME:
		break;
	}
	return true;
}

bool
shard_let_in(struct shard *s, const struct door *door, const struct sockaddr_storage *peer,
	uint32_t *ticket_out, enum turned_away *why_out)
{
	*why_out = TURNED_AWAY_NETWORK;
	return is_let_in(door->settings, peer) && count_in(s, peer, ticket_out, why_out);
}

/* Who comes with a header, or will say by XCLIENT for whom it comes, is not the guest yet: it counts,
 * but not by its address, until it has said who is.  Nor is who asks about others. */
static bool
let_connection_in(struct shard *s, const struct door *door, const struct sockaddr_storage *peer,
	uint32_t *ticket_out, enum turned_away *why_out)
{
	static const struct sockaddr_storage nobody = { .ss_family = AF_UNIX };
	const struct settings_listener *at = door->settings;

	*why_out = TURNED_AWAY_NETWORK;
	if (at->proxy_protocol)
		return is_proxy(at, peer) && count_in(s, &nobody, ticket_out, why_out);
	if (may_name_others(at, peer) ||
		(at->protocol == PROTOCOL_AUTH_HTTP && is_let_in(at, peer)))
		return count_in(s, &nobody, ticket_out, why_out);
	return shard_let_in(s, door, peer, ticket_out, why_out);
}

static void
accepted(struct listener *l, int fd)
{
	struct door *door = container_of(l, struct door, listener);
	struct shard *s = door->shard;
	struct sockaddr_storage peer = { 0 };
	enum turned_away why;
	uint32_t ticket;

	if (socket_peer(fd, &peer) != 0) {
		socket_close(fd); /* gone already */
		return;
	}
	if (!let_connection_in(s, door, &peer, &ticket, &why)) {
		turn_away(s, door, fd, &peer, why);
		return;
	}
	if (!service_start(s, door, fd, &peer, ticket)) {
		guests_leave(s->common->guests, ticket);
		turn_away(s, door, fd, &peer, TURNED_AWAY_MEMORY);
	}
}

static void
troubled(struct listener *l, int error)
{
	struct door *door = container_of(l, struct door, listener);

	if (error == -EMFILE || error == -ENFILE)
		(void)maildrop_cache_shrink(&door->shard->maildrops);
	if (may_complain(door->shard))
		log_event(EVENT_ACCEPT_FAILED, kv_str("listener", door->settings->name),
			kv_str("error", strerror(-error)));
}

/* ---- time ---------------------------------------------------------------------------------- */

static bool
is_done(struct shard *s)
{
	if (s->drain_deadline_ms == 0 || !list_is_empty(&s->sessions) || s->jobs_away != 0)
		return false;
	return s->last_logins == NULL || last_logins_write(s->last_logins);
}

static void
drain_sessions(struct shard *s, bool now)
{
	struct list *item = s->sessions.next;

	while (item != &s->sessions) {
		struct list *next = item->next;

		service_drain(container_of(item, struct service, item), now);
		item = next;
	}
}

void
shard_session_ended(struct shard *s)
{
	s->sessions_served++;
}

static void
housekeeping_fired(struct timer *t)
{
	struct shard *s = container_of(t, struct shard, housekeeping);

	maildrop_cache_sweep(&s->maildrops, s->loop.now_ms);
	if (s->last_logins != NULL && ++s->seconds % LAST_LOGINS_S == 0)
		last_logins_write(s->last_logins);
	if (s->drain_deadline_ms != 0 && s->loop.now_ms >= s->drain_deadline_ms)
		drain_sessions(s, true);
	timer_arm(&s->loop.timers, t, s->loop.now_ms + HOUSEKEEPING_MS);
}

static void
drain_called(struct offload_job *call)
{
	struct shard *s = container_of(call, struct shard, drain_call);

	s->drain_deadline_ms =
		s->loop.now_ms + (uint64_t)s->common->settings->drain_timeout_s * 1000;
	for (unsigned i = 0; i < s->door_count; i++)
		listener_stop(&s->doors[i].listener);
	drain_sessions(s, false);
}

void
shard_drain(struct shard *s)
{
	s->drain_call.done = drain_called;
	offload_home_call(s->home, &s->drain_call);
}

static void
reload_called(struct offload_job *call)
{
	struct shard *s = container_of(call, struct shard, reload_call);
	int error = tls_context_reload(&s->tls, s->reload_with);

	tls_credentials_release(s->reload_with);
	s->reloaded(s, error);
}

void
shard_reload_tls(struct shard *s, struct tls_credentials *credentials)
{
	s->reload_call.done = reload_called;
	s->reload_with = credentials;
	offload_home_call(s->home, &s->reload_call);
}

/* ---- life ---------------------------------------------------------------------------------- */

static void
pin(struct shard *s)
{
	cpu_set_t set;
	char name[16];

	snprintf(name, sizeof(name), "shard-%u", s->number % 1000);
	pthread_setname_np(pthread_self(), name);
	if (s->core < 0)
		return;
	CPU_ZERO(&set);
	CPU_SET((unsigned)s->core, &set);
	(void)pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
}

static bool
any_source_waits(const struct login_policy *policy)
{
	for (unsigned i = 0; i < policy->source_count; i++)
		if (policy->sources[i]->workers != NULL)
			return true;
	return false;
}

static int
open_authenticator(struct shard *s)
{
	const struct settings *settings = s->common->settings;
	struct authenticator *a = &s->authenticator;
	int error;

	*a = (struct authenticator){
		.policy = s->common->login_policy,
	};
	error = accounts_reader_open(s->common->accounts, &a->accounts);
	if (error != 0)
		return error;
	error = login_cache_create(
		settings->auth_cache_entries, settings->auth_cache_seconds, &a->good_logins);
	if (error != 0)
		goto fail_accounts;
	if (any_source_waits(a->policy))
		error = account_cache_open(settings->account_cache_entries, &a->said);
	if (error != 0)
		goto fail_good_logins;
	return 0;

fail_good_logins:
	login_cache_destroy(a->good_logins);
fail_accounts:
	accounts_reader_close(a->accounts);
	return error;
}

static void
close_authenticator(struct shard *s)
{
	account_cache_close(s->authenticator.said);
	login_cache_destroy(s->authenticator.good_logins);
	accounts_reader_close(s->authenticator.accounts);
}

static void
open_slabs(struct shard *s)
{
	const struct settings *settings = s->common->settings;
	uint32_t guests = settings->connections;
	const struct draft_options drafts = {
		.drafts_max = guests,
		.blocks_max = (uint32_t)(settings->draft_memory / DRAFT_BLOCK_OCTETS),
		.memory_octets_max = (uint32_t)settings->draft_spill_octets,
		.octets_max = settings->lmtp_message_octets,
	};

	for (unsigned i = 0; i < PROTOCOLS; i++)
		slab_init(&s->services[i], shard_protocols[i]->slot_octets, guests);
	slab_init(&s->wishes, wish_octets(), guests);
	slab_init(&s->names, LINE_BLOCK_OCTETS, 2 * guests);
	slab_init(&s->long_lines, LONG_LINE_BLOCK_OCTETS, LONG_LINES_MAX);
	s->lines = (struct line_pool){ &s->names, &s->long_lines };
	slab_init(&s->inputs, INPUT_BLOCK_OCTETS, 2 * guests); /* a spill keeps one more */
	slab_init(&s->recipients, lmtp_delivery_octets(), RECIPIENTS_MAX);
	draft_pool_init(&s->drafts, &s->common->disk, &drafts);
}

static void
close_slabs(struct shard *s)
{
	for (unsigned i = 0; i < PROTOCOLS; i++)
		slab_destroy(&s->services[i]);
	slab_destroy(&s->wishes);
	slab_destroy(&s->names);
	slab_destroy(&s->long_lines);
	slab_destroy(&s->inputs);
	slab_destroy(&s->recipients);
	draft_pool_destroy(&s->drafts);
}

static int
open_loop(struct shard *s)
{
	const struct loop_options options = {
		.ring = {
			.entries = RING_ENTRIES,
			.sqpoll = s->common->settings->sqpoll,
			.buffers = RECEIVE_BUFFERS,
			.buffer_octets = RECEIVE_BUFFER_OCTETS,
		},
		.reply_blocks_max = REPLY_BLOCKS_MAX,
		.cold_buffers_max = COLD_BUFFERS_MAX,
	};

	return loop_open(&s->loop, &options);
}

static int
open_tls(struct shard *s)
{
	if (s->common->credentials == NULL)
		return 0;
	return tls_context_open(&s->tls, &s->loop, &s->common->tls_options, s->common->credentials);
}

static void
log_tls_counts(const struct shard *s)
{
	const struct tls_counts *n = &s->tls.counts;

	log_event(EVENT_TLS_COUNTS, kv_u64("shard", s->number),
		kv_u64("handshakes", count_read(&n->handshakes)),
		kv_u64("resumed", count_read(&n->resumed)),
		kv_u64("in_kernel", count_read(&n->records[TLS_RECORDS_BY_KERNEL])),
		kv_u64("not_tls", count_read(&n->failed[TLS_FAILURE_NOT_TLS])),
		kv_u64("version", count_read(&n->failed[TLS_FAILURE_VERSION])),
		kv_u64("cipher", count_read(&n->failed[TLS_FAILURE_CIPHER])),
		kv_u64("alpn", count_read(&n->failed[TLS_FAILURE_ALPN])),
		kv_u64("client_certificate", count_read(&n->failed[TLS_FAILURE_CERTIFICATE])),
		kv_u64("alert", count_read(&n->failed[TLS_FAILURE_ALERT])),
		kv_u64("closed", count_read(&n->failed[TLS_FAILURE_CLOSED])),
		kv_u64("deadline", count_read(&n->failed[TLS_FAILURE_DEADLINE])),
		kv_u64("ktls", count_read(&n->failed[TLS_FAILURE_KTLS])),
		kv_u64("memory", count_read(&n->failed[TLS_FAILURE_MEMORY])),
		kv_u64("other", count_read(&n->failed[TLS_FAILURE_OTHER])));
}

static void
close_tls(struct shard *s)
{
	if (s->common->credentials == NULL)
		return;
	log_tls_counts(s);
	tls_context_close(&s->tls);
}

int
shard_open(struct shard *s, const char **what_out)
{
	int error = open_loop(s);

	*what_out = "ring";
	if (error != 0)
		return error;
	*what_out = "shard";
	error = offload_home_open(&s->loop, &s->home);
	if (error != 0)
		goto fail_loop;
	error = open_authenticator(s);
	if (error != 0)
		goto fail_home;
	if (s->common->keeps_last_logins)
		error = last_logins_open(s->common->accounts, s->common->disk_workers, s->home,
			&s->jobs_away, &s->last_logins);
	if (error != 0)
		goto fail_authenticator;
	s->disk = s->common->disk;
	s->disk.waits = false;
	error = maildrop_cache_open(&s->maildrops, &s->disk, s->common->settings->maildrop_cache);
	if (error != 0)
		goto fail_last_logins;
	*what_out = "tls";
	error = open_tls(s);
	if (error != 0)
		goto fail_maildrops;
	open_slabs(s);
	list_init(&s->sessions);
	timer_init(&s->housekeeping, housekeeping_fired);
	timer_arm(&s->loop.timers, &s->housekeeping, s->loop.now_ms + HOUSEKEEPING_MS);
	for (unsigned i = 0; i < s->door_count; i++)
		listener_start(
			&s->doors[i].listener, &s->loop, s->doors[i].socket, accepted, troubled);
	return 0;

fail_maildrops:
	maildrop_cache_close(&s->maildrops);
fail_last_logins:
	last_logins_close(s->last_logins);
fail_authenticator:
	close_authenticator(s);
fail_home:
	loop_close(&s->loop);
	offload_home_close(s->home);
	return error;
fail_loop:
	loop_close(&s->loop);
	return error;
}

void
shard_close(struct shard *s)
{
	timer_disarm(&s->loop.timers, &s->housekeeping);
	close_slabs(s);
	close_tls(s);
	maildrop_cache_close(&s->maildrops);
	last_logins_close(s->last_logins);
	close_authenticator(s);
	loop_close(&s->loop);
	offload_home_close(s->home); /* its bell was being read by the ring until now */
}

int
shard_turn(struct shard *s, uint64_t wait_max_ms)
{
	int error;

	if (is_done(s))
		return 0;
	error = loop_turn(&s->loop, wait_max_ms);
	return error != 0 ? error : 1;
}

static void *
shard_main(void *argument)
{
	struct shard *s = argument;
	const char *what;
	int result;

	pin(s);
	result = shard_open(s, &what);
	if (result != 0) {
		s->started(s, result, what);
		return NULL;
	}
	(void)log_attach();
	s->started(s, 0, NULL);
	do
		result = shard_turn(s, UINT64_MAX);
	while (result == 1);
	if (result != 0)
		log_event(EVENT_SHARD_FAILED, kv_u64("shard", s->number),
			kv_str("error", strerror(-result)));
	must(result == 0);
	shard_close(s);
	return NULL;
}

int
shard_start(struct shard *s)
{
	return -pthread_create(&s->thread, NULL, shard_main, s);
}

void
shard_join(struct shard *s)
{
	pthread_join(s->thread, NULL);
}
