/*
 * server_doors.c - see server_doors.h.
 */
#include "core/server_doors.h"

#include "core/server_auth.h"
#include "core/version.h"
#include "io/base/clock.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sysexits.h>
#include <unistd.h>

#define BACKLOG           65535 /* net.core.somaxconn at most */
#define FREE_TRIES        200
#define FREE_TRY_PAUSE_NS 5000000u

/* What our local socket is, so that another server's is not removed. */
struct local_place {
	dev_t device;
	ino_t inode; /* 0: not there */
};

int
server_fail(int code, const char *format, ...)
{
	va_list arguments;

	fputs("ringpostd: ", stderr);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	return code;
}

static bool
is_local(const struct settings_listener *at)
{
	return at->address.ss_family == AF_UNIX;
}

/* The kernel takes a moment to close the sockets of a server that was killed. */
static int
check_free(const struct settings_listener *at)
{
	int error;

	for (int tries = 0; tries < FREE_TRIES; tries++) {
		error = listener_check_free(
			(const struct sockaddr *)&at->address, at->address_octets);
		if (error != -EADDRINUSE)
			break;
		clock_pause_ns(FREE_TRY_PAUSE_NS);
	}
	return error;
}

static int
check_all_free(const struct settings *settings)
{
	for (unsigned i = 0; i < settings->listener_count; i++) {
		const struct settings_listener *at = &settings->listeners[i];

		if (check_free(at) == -EADDRINUSE)
			return server_fail(EX_UNAVAILABLE,
				"%s (listener \"%s\") is in use by another program: stop it, or "
				"choose another address",
				at->address_text, at->name);
	}
	return EX_OK;
}

static int
open_tcp(const struct settings_listener *at, int *fd_out)
{
	const struct sockaddr *address = (const struct sockaddr *)&at->address;
	int fd = listener_make_socket(address, at->address_octets, BACKLOG);

	if (fd < 0)
		return server_fail(fd == -EACCES ? EX_NOPERM : EX_UNAVAILABLE,
			"cannot listen on %s (listener \"%s\"): %s%s", at->address_text, at->name,
			strerror(-fd),
			fd == -EACCES ? "; ports below 1024 need root or CAP_NET_BIND_SERVICE"
				      : "");
	*fd_out = fd;
	return EX_OK;
}

static const char *
cure_of_local(int error)
{
	switch (error) {
	case -EEXIST:
		return "; something that is no socket is there: move it away";
	case -ENOENT:
		return "; make the directory first";
	case -EACCES:
	case -EPERM:
		return "; the directory must be writable, and socket_group one of ours";
	default:
		return "";
	}
}

/* Who will have the socket: the user that the server becomes, and the group of the setting. */
static int
find_owner(const struct settings *settings, const struct settings_listener *at, uid_t *owner_out,
	gid_t *group_out)
{
	const struct passwd *user = geteuid() == 0 ? getpwnam(settings->user) : NULL;
	const struct group *group;

	*owner_out = user == NULL ? (uid_t)-1 : user->pw_uid;
	*group_out = user == NULL ? (gid_t)-1 : user->pw_gid;
	if (at->socket_group[0] == '\0')
		return EX_OK;
	group = getgrnam(at->socket_group);
	if (group == NULL)
		return server_fail(EX_CONFIG,
			"listener \"%s\": group \"%s\" does not exist: make it, or name another with "
			"`socket_group`",
			at->name, at->socket_group);
	*group_out = group->gr_gid;
	return EX_OK;
}

static int
open_local(const struct settings *settings, const struct settings_listener *at,
	struct local_place *place, int *fd_out)
{
	mode_t mode = (mode_t)strtoul(at->socket_mode, NULL, 8);
	struct stat st;
	uid_t owner;
	gid_t group;
	int code = find_owner(settings, at, &owner, &group);
	int fd;

	if (code != EX_OK)
		return code;
	fd = listener_make_local_socket(at->address_text, mode, owner, group, BACKLOG);
	if (fd < 0)
		return server_fail(EX_UNAVAILABLE, "cannot listen on %s (listener \"%s\"): %s%s",
			at->address_text, at->name, strerror(-fd), cure_of_local(fd));
	if (stat(at->address_text, &st) == 0)
		*place = (struct local_place){ st.st_dev, st.st_ino };
	*fd_out = fd;
	return EX_OK;
}

/* One more descriptor for the socket that the first shard listens on. */
static int
share_local(const struct settings_listener *at, int first, int *fd_out)
{
	*fd_out = dup(first);
	if (*fd_out < 0)
		return server_fail(
			EX_OSERR, "cannot listen on %s: %s", at->address_text, strerror(errno));
	return EX_OK;
}

struct door *
server_doors_of(const struct server_doors *d, unsigned shard)
{
	return &d->doors[shard * d->settings->listener_count];
}

static int
open_door(struct server_doors *d, unsigned shard, unsigned listener)
{
	const struct settings_listener *at = &d->settings->listeners[listener];
	int *socket = &server_doors_of(d, shard)[listener].socket;

	if (!is_local(at))
		return open_tcp(at, socket);
	if (shard == 0)
		return open_local(d->settings, at, &d->places[listener], socket);
	return share_local(at, d->doors[listener].socket, socket);
}

static union door_policy
policy_of(const struct settings *settings, const struct settings_listener *at)
{
	bool offers_tls = at->tls == LISTENER_TLS_STLS;
	union door_policy policy = { 0 };

	switch (at->protocol) {
	case PROTOCOL_POP3:
		policy.pop3 = (struct pop3_policy){
			.greeting = settings->greeting,
			.implementation = "ringpost-" RINGPOST_VERSION,
			.plaintext_auth = at->plaintext_auth,
			.offers_tls = offers_tls,
			.expire_days = settings->expire_days,
			.login_delay_s = settings->login_delay_s,
			.mechanisms = server_auth_mechanisms(settings),
			.failed_logins_max = settings->failed_logins,
		};
		break;
	case PROTOCOL_LMTP:
		policy.lmtp = (struct lmtp_policy){
			.hostname = settings->hostname,
			.greeting = settings->greeting,
			.offers_tls = offers_tls,
			.normalises_newlines = settings->bare_newlines == BARE_NEWLINES_NORMALISE,
			.octets_max = settings->lmtp_message_octets,
			.recipients_max = settings->lmtp_recipients,
		};
		break;
	case PROTOCOL_AUTH_HTTP:
		policy.auth_http = (struct auth_http_policy){
			.plaintext_auth = at->plaintext_auth,
			.failed_logins_max = settings->failed_logins,
		};
		must(backend_read(at->backend, 0, &policy.auth_http.backend));
		break;
	}
	return policy;
}

static void
prepare_door(struct door *door, const struct settings *settings, const struct settings_listener *at,
	struct shard *shard)
{
	*door = (struct door){
		.settings = at,
		.protocol = shard_protocols[at->protocol],
		.policy = policy_of(settings, at),
		.shard = shard,
		.socket = -1,
	};
}
int
server_doors_open(const struct settings *settings, struct shard *shards, unsigned shard_count,
	struct server_doors *doors_out)
{
	unsigned listeners = settings->listener_count;
	struct server_doors d = {
		.settings = settings,
		.shard_count = shard_count,
		.doors = calloc((size_t)shard_count * listeners, sizeof(struct door)),
		.places = calloc(listeners, sizeof(struct local_place)),
	};
	int code = EX_OSERR;

	if (d.doors != NULL && d.places != NULL) {
		for (unsigned n = 0; n < shard_count * listeners; n++)
			prepare_door(&d.doors[n], settings, &settings->listeners[n % listeners],
				&shards[n / listeners]);
		code = check_all_free(settings);
		for (unsigned n = 0; n < shard_count * listeners && code == EX_OK; n++)
			code = open_door(&d, n / listeners, n % listeners);
	}
	*doors_out = d;
	if (code != EX_OK)
		server_doors_close(doors_out);
	return code;
}

void
server_doors_close(struct server_doors *d)
{
	unsigned doors = d->doors == NULL ? 0 : d->shard_count * d->settings->listener_count;

	for (unsigned i = 0; i < doors; i++)
		if (d->doors[i].socket >= 0)
			close(d->doors[i].socket);
	server_doors_forget(d);
}

void
server_doors_forget(struct server_doors *d)
{
	struct stat st;

	for (unsigned i = 0; d->places != NULL && i < d->settings->listener_count; i++) {
		const char *path = d->settings->listeners[i].address_text;

		if (d->places[i].inode != 0 && stat(path, &st) == 0 &&
			st.st_dev == d->places[i].device && st.st_ino == d->places[i].inode)
			(void)unlink(path); /* if not, the next server takes it over */
	}
	free(d->doors);
	free(d->places);
	*d = (struct server_doors){ 0 };
}
