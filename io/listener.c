/*
 * listener.c - see listener.h.
 */
#include "io/listener.h"

#include "io/base/must.h"
#include "io/socket.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define RETRY_MS 100u

static int
bound_socket(const struct sockaddr *address, socklen_t address_octets, bool shared)
{
	int one = 1;
	int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) != 0 ||
		(shared && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)) != 0) ||
		(address->sa_family == AF_INET6 &&
			setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one)) != 0) ||
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) != 0 ||
		setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one)) != 0 ||
		bind(fd, address, address_octets) != 0) {
		int error = -errno;

		close(fd);
		return error;
	}
	return fd;
}

int
listener_make_socket(const struct sockaddr *address, socklen_t address_octets, int backlog)
{
	int fd = bound_socket(address, address_octets, true);

	if (fd >= 0 && listen(fd, backlog) != 0) {
		int error = -errno;

		close(fd);
		return error;
	}
	return fd;
}

/* Bound beside its place: by the time it has the name, mode and group are right and it listens. */
static int
bind_beside(int fd, const char *path, mode_t mode, uid_t owner, gid_t group, int backlog)
{
	struct sockaddr_un beside = { .sun_family = AF_UNIX };
	int length = snprintf(beside.sun_path, sizeof(beside.sun_path), "%s~", path);

	if (length < 0 || (size_t)length >= sizeof(beside.sun_path))
		return -ENAMETOOLONG;
	(void)unlink(beside.sun_path);
	if (bind(fd, (const struct sockaddr *)&beside, sizeof(beside)) != 0)
		return -errno;
	if (chmod(beside.sun_path, mode) == 0 && chown(beside.sun_path, owner, group) == 0 &&
		listen(fd, backlog) == 0 && rename(beside.sun_path, path) == 0)
		return 0;
	length = -errno;
	(void)unlink(beside.sun_path);
	return length;
}

int
listener_make_local_socket(const char *path, mode_t mode, uid_t owner, gid_t group, int backlog)
{
	struct stat st;
	int error;
	int fd;

	if (lstat(path, &st) == 0 && !S_ISSOCK(st.st_mode))
		return -EEXIST;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	error = bind_beside(fd, path, mode, owner, group, backlog);
	if (error == 0)
		return fd;
	close(fd);
	return error;
}

/* Somebody listens at a local socket if he can be called. */
static int
check_local_is_free(const struct sockaddr *address, socklen_t address_octets)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int error = 0;

	if (fd < 0)
		return -errno;
	if (connect(fd, address, address_octets) == 0 || errno == EAGAIN)
		error = -EADDRINUSE;
	close(fd);
	return error;
}

int
listener_check_free(const struct sockaddr *address, socklen_t address_octets)
{
	int fd;

	if (address->sa_family == AF_UNIX)
		return check_local_is_free(address, address_octets);
	fd = bound_socket(address, address_octets, false);

	if (fd < 0)
		return fd;
	close(fd);
	return 0;
}

/* Whoever is idle accepts again. */
static void
start_accepting(struct listener *l)
{
	for (unsigned i = 0; i < LISTENER_ACCEPTS; i++) {
		struct listener_accept *a = &l->accepts[i];

		if (a->in_flight)
			continue;
		a->in_flight = true;
		ring_accept(&l->loop->ring, &a->op, l->fd);
	}
}

static void
accept_done(struct op *op, int result, uint32_t flags)
{
	struct listener_accept *a = container_of(op, struct listener_accept, op);
	struct listener *l = a->listener;

	if ((flags & OP_MORE) == 0)
		a->in_flight = false;
	if (l->fd < 0) { /* stopped meanwhile */
		if (result >= 0)
			socket_close(result);
		return;
	}
	if (result >= 0) {
		l->accepted(l, result);
	} else if (result != -ECONNABORTED && result != -EINTR) {
		l->troubled(l, result);
		timer_arm(&l->loop->timers, &l->retry, l->loop->now_ms + RETRY_MS);
		return;
	}
	if (l->fd >= 0 && !a->in_flight) {
		a->in_flight = true;
		ring_accept(&l->loop->ring, &a->op, l->fd);
	}
}

static void
retry_fired(struct timer *t)
{
	start_accepting(container_of(t, struct listener, retry));
}

void
listener_start(struct listener *l, struct loop *loop, int fd,
	void (*accepted)(struct listener *l, int fd),
	void (*troubled)(struct listener *l, int error))
{
	*l = (struct listener){
		.loop = loop,
		.accepted = accepted,
		.troubled = troubled,
		.fd = fd,
	};
	for (unsigned i = 0; i < LISTENER_ACCEPTS; i++) {
		l->accepts[i].op.done = accept_done;
		l->accepts[i].listener = l;
	}
	timer_init(&l->retry, retry_fired);
	start_accepting(l);
}

void
listener_stop(struct listener *l)
{
	timer_disarm(&l->loop->timers, &l->retry);
	for (unsigned i = 0; i < LISTENER_ACCEPTS; i++) {
		if (l->accepts[i].in_flight)
			ring_cancel(&l->loop->ring, &l->loop->unheard, &l->accepts[i].op);
	}
	socket_close(l->fd);
	l->fd = -1;
}
