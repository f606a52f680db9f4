/*
 * server.c - the life of ringpostd; see server.h.
 *
 * Order matters at the start: low ports are bound while we are root, then privileges are dropped,
 * and only then rings, files and threads are made, so that nothing keeps root's rights (an SQPOLL
 * thread would).  Each step that fails says what to do about it; the ones before it are undone in
 * reverse.
 */
#include "core/server.h"

#include "core/metrics.h"
#include "core/server_auth.h"
#include "core/server_doors.h"
#include "core/server_limits.h"
#include "core/server_tls.h"
#include "core/shard.h"
#include "core/version.h"
#include "io/base/log.h"
#include "io/base/must.h"
#include "io/tls_kernel.h"
#include "storage/layout.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#define DISK_QUEUE_MAX 65536u
#define FILES_RESERVED 512u /* for maildrops, rings, the accounts */
#define SHARDS_MAX     256u

static const struct log_kind EVENT_SERVER_STARTED = { "server_started", LOG_INFO };
static const struct log_kind EVENT_FILE_LIMIT_LOW = { "file_limit_low", LOG_WARNING };
static const struct log_kind EVENT_TLS_RELOADED = { "tls_reloaded", LOG_INFO };
static const struct log_kind EVENT_TLS_RELOAD_FAILED = { "tls_reload_failed", LOG_ERROR };
static const struct log_kind EVENT_KTLS_OFF = { "ktls_off", LOG_INFO };
static const struct log_kind EVENT_KTLS_ON = { "ktls_on", LOG_INFO };
static const struct log_kind EVENT_SERVER_DRAINS = { "server_drains", LOG_INFO };
static const struct log_kind EVENT_SERVER_STOPPED = { "server_stopped", LOG_INFO };

struct server {
	struct shard_common common;
	struct shard *shards;
	struct server_doors doors;
	unsigned shard_count;
	unsigned running;
	uint32_t connections; /* what the setting says, or less where the file limit is low */
	struct login_policy *login_policy;
	struct metrics_listener *metrics; /* NULL: none */
	int metrics_socket;               /* -1: none, or the listener's */

	/* How the shards' start went, and a reload of their certificates. */
	sem_t started;
	pthread_mutex_t lock;
	int start_error;
	const char *start_what;
};

/* ---- before anything is open --------------------------------------------------------------- */

/* Every connection is a descriptor, and every maildrop in use another.  How many connections there
 * may be at most, in view of that. */
static uint32_t
raise_file_limit(const struct settings *settings)
{
	struct rlimit limit;
	uint64_t fit = settings->connections;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return settings->connections;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_max < fit + FILES_RESERVED)
		fit = limit.rlim_max > 2 * FILES_RESERVED ? limit.rlim_max - FILES_RESERVED
							  : limit.rlim_max / 2;
	return (uint32_t)fit;
}

static int
drop_privileges(const char *user)
{
	struct passwd *pw;

	if (geteuid() != 0 || user[0] == '\0')
		return EX_OK;
	pw = getpwnam(user);
	if (pw == NULL)
		return server_fail(EX_NOUSER,
			"user \"%s\" does not exist: make it (systemd-sysusers, adduser --system), "
			"or name another with the setting `user`",
			user);
	if (initgroups(user, pw->pw_gid) != 0 || setgid(pw->pw_gid) != 0 || setuid(pw->pw_uid) != 0)
		return server_fail(
			EX_NOPERM, "cannot become user \"%s\": %s", user, strerror(errno));
	(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	return EX_OK;
}

static int
check_ring(void)
{
	const struct ring_options options = { .entries = 8, .buffers = 8, .buffer_octets = 4096 };
	struct ring ring;
	int error = ring_open(&options, &ring);

	if (error != 0)
		return server_fail(EX_OSERR, "no io_uring: %s", ring_explain(error));
	ring_close(&ring);
	return EX_OK;
}

/* ---- what the shards share ----------------------------------------------------------------- */

static int
open_spool(struct server *server)
{
	const char *spool = server->common.settings->spool;
	int error = disk_open_root(spool, true, &server->common.disk);

	if (error != 0)
		return server_fail(EX_NOINPUT,
			"cannot open the spool %s: %s; `ringpost user add` makes it", spool,
			strerror(-error));
	error = layout_prepare_spool(&server->common.disk, false);
	if (error == 0)
		return EX_OK;
	disk_close_root(&server->common.disk);
	if (error == -EACCES || error == -EPERM)
		return server_fail(EX_NOPERM,
			"cannot read the spool %s as the user this server runs as: give it to that "
			"user (chown -R)",
			spool);
	return server_fail(EX_NOINPUT,
		"%s is no ringpost spool: %s; is it mounted?  `ringpost user add` makes a new one",
		spool, strerror(-error));
}

static int
open_accounts(struct server *server)
{
	const struct settings *settings = server->common.settings;
	size_t size = strlen(settings->spool) + sizeof("/" ACCOUNTS_FILE);
	char *path = malloc(size);
	int error = -ENOMEM;

	if (path != NULL) {
		snprintf(path, size, "%s/%s", settings->spool, ACCOUNTS_FILE);
		error = accounts_open(path, ACCOUNTS_SERVE, &server->common.accounts);
		server->common.keeps_last_logins = error == 0 && settings->last_login;
		if (error == -EACCES || error == -EROFS) /* it can be read all the same */
			error = accounts_open(path, ACCOUNTS_READ, &server->common.accounts);
		free(path);
	}
	if (error == 0)
		return EX_OK;
	return server_fail(EX_NOINPUT,
		"cannot open the accounts in %s/" ACCOUNTS_FILE ": %s; `ringpost user add` makes "
		"them",
		settings->spool, strerror(-error));
}

static int
check_ktls(const struct settings *settings)
{
	int error = tls_kernel_check();

	if (settings->ktls != TLS_KTLS_REQUIRE || error == 0)
		return EX_OK;
	return server_fail(EX_UNAVAILABLE,
		"ktls = require, but the kernel makes no TLS records: %s; load the module (modprobe "
		"tls), or set ktls = auto",
		strerror(-error));
}

static int
open_tls(struct server *server)
{
	const struct settings *settings = server->common.settings;
	char why[TLS_WHY_OCTETS];
	int code;

	if (!server_tls_is_used(settings))
		return EX_OK;
	code = check_ktls(settings);
	if (code != EX_OK)
		return code;
	server->common.tls_options = server_tls_options(settings);
	if (server_tls_load(settings, why, &server->common.credentials) != 0)
		return server_fail(EX_CONFIG, "%s", why);
	return EX_OK;
}

/* Where mail is accepted, if any listener takes it. */
static int
open_desk(struct shard_common *c)
{
	const struct settings *settings = c->settings;
	const struct desk_options options = {
		.threads = settings->delivery_workers,
		.waiting_max = settings->delivery_queue,
		.maildrop = c->maildrop_options,
	};

	for (unsigned i = 0; i < settings->listener_count; i++)
		if (settings->listeners[i].protocol == PROTOCOL_LMTP)
			return desk_open(&c->disk, &options, &c->desk);
	return 0;
}

static int
open_shared(struct server *server)
{
	struct shard_common *c = &server->common;
	const struct settings *settings = c->settings;
	char why[SERVER_AUTH_WHY_OCTETS] = "cannot start";
	int code = open_spool(server);
	int error;

	if (code != EX_OK)
		return code;
	code = open_accounts(server);
	if (code != EX_OK)
		goto fail_spool;
	code = open_tls(server);
	if (code != EX_OK) {
		accounts_close(c->accounts);
		goto fail_spool;
	}
	error = server_auth_open(settings, c->accounts, why, &server->login_policy);
	if (error != 0)
		goto fail_accounts;
	c->login_policy = server->login_policy;
	error = server_limits_open(settings, c);
	if (error != 0)
		goto fail_policy;
	snprintf(why, sizeof(why), "cannot start");
	error = offload_open_behind(
		"auth", settings->auth_workers, settings->auth_queue, &c->auth_workers);
	if (error != 0)
		goto fail_limits;
	server->login_policy->hashers = c->auth_workers;
	error = offload_open("disk", settings->disk_workers, DISK_QUEUE_MAX, &c->disk_workers);
	if (error != 0)
		goto fail_auth_workers;
	error = open_desk(c);
	if (error != 0)
		goto fail_disk_workers;
	return EX_OK;

fail_disk_workers:
	offload_close(c->disk_workers);
fail_auth_workers:
	offload_close(c->auth_workers);
fail_limits:
	server_limits_close(c);
fail_policy:
	server_auth_close(server->login_policy);
fail_accounts:
	tls_credentials_release(c->credentials);
	accounts_close(c->accounts);
	code = error == -EINVAL ? server_fail(EX_CONFIG, "%s", why)
				: server_fail(EX_OSERR, "%s: %s", why, strerror(-error));
fail_spool:
	disk_close_root(&c->disk);
	return code;
}

static void
close_shared(struct server *server)
{
	struct shard_common *c = &server->common;

	if (c->desk != NULL)
		desk_close(c->desk);
	offload_close(c->disk_workers);
	offload_close(c->auth_workers);
	server_limits_close(c);
	server_auth_close(server->login_policy);
	tls_credentials_release(c->credentials);
	accounts_close(c->accounts);
	disk_close_root(&c->disk);
}

/* ---- shards -------------------------------------------------------------------------------- */

static void
shard_started(struct shard *s, int error, const char *what)
{
	struct server *server = s->server;

	pthread_mutex_lock(&server->lock);
	if (error != 0 && server->start_error == 0) {
		server->start_error = error;
		server->start_what = what;
	}
	pthread_mutex_unlock(&server->lock);
	sem_post(&server->started);
}

/* The n-th core of those we may run on. */
static int
nth_core(const cpu_set_t *allowed, unsigned n)
{
	unsigned seen = 0;

	n %= (unsigned)CPU_COUNT(allowed);
	for (int core = 0; core < CPU_SETSIZE; core++)
		if (CPU_ISSET((unsigned)core, allowed) && seen++ == n)
			return core;
	return -1;
}

static void
stop_shards(struct server *server)
{
	for (unsigned i = 0; i < server->running; i++)
		shard_drain(&server->shards[i]);
	for (unsigned i = 0; i < server->running; i++)
		shard_join(&server->shards[i]);
}

static int
start_shards(struct server *server)
{
	cpu_set_t allowed;
	int error = 0;

	CPU_ZERO(&allowed);
	(void)sched_getaffinity(0, sizeof(allowed), &allowed);
	for (unsigned i = 0; i < server->shard_count && error == 0; i++) {
		struct shard *s = &server->shards[i];

		s->common = &server->common;
		s->number = i;
		s->core = nth_core(&allowed, i);
		s->doors = server_doors_of(&server->doors, i);
		s->door_count = server->common.settings->listener_count;
		s->server = server;
		s->started = shard_started;
		error = shard_start(s);
		if (error == 0) {
			while (sem_wait(&server->started) != 0)
				;
			error = server->start_error;
		}
		if (error == 0)
			server->running++;
	}
	if (error == 0)
		return EX_OK;
	server_fail(EX_OSERR, "cannot start shard %u: %s", server->running,
		server->start_what != NULL && strcmp(server->start_what, "ring") == 0
			? ring_explain(error)
			: strerror(-error));
	stop_shards(server);
	return EX_OSERR;
}

/* ---- life ---------------------------------------------------------------------------------- */

static void
block_signals(sigset_t *signals_out)
{
	sigemptyset(signals_out);
	sigaddset(signals_out, SIGTERM);
	sigaddset(signals_out, SIGINT);
	sigaddset(signals_out, SIGHUP);
	pthread_sigmask(SIG_BLOCK, signals_out, NULL);
	signal(SIGPIPE, SIG_IGN);
}

static void
shard_reloaded(struct shard *s, int error)
{
	struct server *server = s->server;

	pthread_mutex_lock(&server->lock);
	if (error != 0)
		server->start_error = error;
	pthread_mutex_unlock(&server->lock);
	sem_post(&server->started);
}

static int
give_to_shards(struct server *server, struct tls_credentials *credentials)
{
	server->start_error = 0;
	for (unsigned i = 0; i < server->running; i++) {
		server->shards[i].reloaded = shard_reloaded;
		shard_reload_tls(&server->shards[i], tls_credentials_share(credentials));
	}
	for (unsigned i = 0; i < server->running; i++)
		while (sem_wait(&server->started) != 0)
			;
	return server->start_error;
}

/* The files of the certificates anew.  What is wrong with them leaves the old ones. */
static void
reload_tls(struct server *server)
{
	const struct settings *settings = server->common.settings;
	struct tls_credentials *credentials;
	char why[TLS_WHY_OCTETS];
	int error;

	if (!server_tls_is_used(settings))
		return;
	error = server_tls_load(settings, why, &credentials);
	if (error == 0) {
		error = give_to_shards(server, credentials);
		snprintf(why, sizeof(why), "%s", strerror(-error));
		if (error == 0) {
			log_event(EVENT_TLS_RELOADED, kv_u64("certificates", credentials->count));
			server_tls_log_cares(credentials);
		}
		tls_credentials_release(credentials);
	}
	if (error != 0)
		log_event(EVENT_TLS_RELOAD_FAILED, kv_str("why", why));
}

static void
log_ktls_on(void)
{
	int error = tls_kernel_check_rekey();

	log_event(EVENT_KTLS_ON, kv_word("rekey", error == 0 ? "yes" : "no"),
		kv_str("why", error == 0 ? "" : strerror(-error)));
}

static void
log_tls(const struct server *server)
{
	int error = tls_kernel_check();

	if (server->common.credentials == NULL)
		return;
	server_tls_log_cares(server->common.credentials);
	if (server->common.tls_options.ktls == TLS_KTLS_OFF)
		log_event(EVENT_KTLS_OFF, kv_str("why", "ktls = off"));
	else if (error != 0)
		log_event(EVENT_KTLS_OFF, kv_str("why", strerror(-error)),
			kv_str("cure", "modprobe tls"));
	else
		log_ktls_on();
}

static void
wait_for_end(struct server *server, const sigset_t *signals)
{
	uint64_t sessions = 0;
	int signal_number;

	while (sigwait(signals, &signal_number), signal_number == SIGHUP) {
		reload_tls(server);
		server_auth_reload(server->login_policy);
	}
	log_event(EVENT_SERVER_DRAINS, kv_u64("connections", guests_count(server->common.guests)));
	stop_shards(server);
	for (unsigned i = 0; i < server->shard_count; i++)
		sessions += server->shards[i].sessions_served;
	log_event(EVENT_SERVER_STOPPED, kv_u64("sessions", sessions));
}

static int
start_metrics(struct server *server)
{
	int error = metrics_listener_start(
		server->metrics_socket, server->shards, server->shard_count, &server->metrics);

	server->metrics_socket = -1;
	return error == 0 ? EX_OK
			  : server_fail(EX_OSERR, "cannot tell metrics: %s", strerror(-error));
}

static int
run_shards(struct server *server, const sigset_t *signals)
{
	int code;

	(void)log_start();
	if (server->connections < server->common.settings->connections)
		log_event(EVENT_FILE_LIMIT_LOW,
			kv_u64("connections", server->common.settings->connections),
			kv_u64("limited_to", server->connections),
			kv_str("cure", "raise the limit on open files (ulimit -n, LimitNOFILE=)"));
	code = start_shards(server);
	if (code == EX_OK && (code = start_metrics(server)) != EX_OK)
		stop_shards(server);
	if (code == EX_OK) {
		log_event(EVENT_SERVER_STARTED, kv_word("version", RINGPOST_VERSION),
			kv_u64("shards", server->shard_count),
			kv_u64("listeners", server->common.settings->listener_count));
		log_tls(server);
		wait_for_end(server, signals);
		metrics_listener_stop(server->metrics);
	}
	log_stop();
	return code;
}

static int
run_as_user(struct server *server, const sigset_t *signals)
{
	int code = drop_privileges(server->common.settings->user);

	if (code == EX_OK)
		code = check_ring();
	if (code == EX_OK)
		code = open_shared(server);
	if (code != EX_OK) {
		server_doors_close(&server->doors);
		return code;
	}
	code = run_shards(server, signals);
	close_shared(server);
	server_doors_forget(&server->doors);
	return code;
}

static unsigned
shard_count(const struct settings *settings)
{
	cpu_set_t allowed;

	if (settings->shards != 0)
		return settings->shards < SHARDS_MAX ? settings->shards : SHARDS_MAX;
	CPU_ZERO(&allowed);
	if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0)
		return 1;
	return (unsigned)CPU_COUNT(&allowed);
}

int
server_run(const struct settings *settings)
{
	unsigned shards = shard_count(settings);
	struct server server = {
		.common = {
			.settings = settings,
			.maildrop_options = {
				.lock_timeout_ms = settings->lock_timeout_ms,
				.sync = settings->delivery_sync == DELIVERY_SYNC_ALWAYS,
			},
		},
		.shard_count = shards,
		.shards = calloc(shards, sizeof(struct shard)),
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.metrics_socket = -1,
	};
	sigset_t signals;
	int code = EX_OSERR;

	if (server.shards != NULL && sem_init(&server.started, 0, 0) == 0) {
		block_signals(&signals);
		server.connections = raise_file_limit(settings);
		code = server_doors_open(settings, server.shards, shards, &server.doors);
		if (code == EX_OK) {
			code = metrics_listener_bind(settings, &server.metrics_socket);
			if (code != EX_OK)
				server_doors_close(&server.doors);
		}
		if (code == EX_OK)
			code = run_as_user(&server, &signals);
		if (server.metrics_socket >= 0)
			close(server.metrics_socket);
		sem_destroy(&server.started);
	}
	free(server.shards);
	return code;
}
