/*
 * socket.c - see socket.h.
 */
#include "io/socket.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/sendfile.h>
#include <unistd.h>

static ssize_t
result_of(ssize_t returned)
{
	if (returned >= 0)
		return returned;
	return errno == EINTR ? -EAGAIN : -errno;
}

ssize_t
socket_send(int fd, struct span octets, bool more_follows)
{
	int flags = MSG_DONTWAIT | MSG_NOSIGNAL | (more_follows ? MSG_MORE : 0);

	return result_of(send(fd, octets.at, octets.length, flags));
}

ssize_t
socket_send_file(int fd, int file_fd, uint64_t offset, uint64_t length)
{
	off_t from = (off_t)offset;

	return result_of(sendfile(fd, file_fd, &from, length));
}

ssize_t
socket_receive(int fd, void *to, size_t size)
{
	return result_of(recv(fd, to, size, MSG_DONTWAIT));
}

void
socket_cork(int fd, bool corked)
{
	int value = corked;

	(void)setsockopt(fd, IPPROTO_TCP, TCP_CORK, &value, sizeof(value));
}

void
socket_shut(int fd)
{
	(void)shutdown(fd, SHUT_WR);
}

int
socket_peer(int fd, struct sockaddr_storage *peer_out)
{
	socklen_t octets = sizeof(*peer_out);

	return getpeername(fd, (struct sockaddr *)peer_out, &octets) == 0 ? 0 : -errno;
}

void
socket_close(int fd)
{
	close(fd);
}
