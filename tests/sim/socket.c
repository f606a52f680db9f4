/*
 * socket.c - io/socket.h and io/resident.h over the network and the disk in memory.
 */
#include "io/socket.h"

#include "io/resident.h"
#include "tests/sim/disk.h"
#include "tests/sim/net.h"

#include <errno.h>

#define PIECE_OCTETS 16384u

ssize_t
socket_send(int fd, struct span octets, bool more_follows)
{
	(void)more_follows;
	if (octets.length > 1 && sim_strikes(FAULT_SHORT))
		octets.length = 1 + sim_below((uint32_t)octets.length);
	return net_send(fd, octets);
}

ssize_t
socket_receive(int fd, void *to, size_t size)
{
	if (size > 1 && sim_strikes(FAULT_SHORT))
		size = 1 + sim_below((uint32_t)size);
	return net_receive(fd, to, size);
}

ssize_t
socket_send_file(int fd, int file_fd, uint64_t offset, uint64_t length)
{
	char piece[PIECE_OCTETS];
	uint64_t sent = 0;

	if (sim_strikes(FAULT_READ))
		return -EIO;
	if (length > 1 && sim_strikes(FAULT_SHORT))
		length = 1 + sim_below(length < UINT32_MAX ? (uint32_t)length : UINT32_MAX);
	while (sent < length) {
		uint64_t rest = length - sent;
		ssize_t got = simdisk_read(file_fd, piece,
			rest < PIECE_OCTETS ? (size_t)rest : PIECE_OCTETS, offset + sent);
		ssize_t n;

		if (got == 0)
			break;
		n = net_send(fd, span_of(piece, (size_t)got));
		if (n < 0)
			return sent > 0 ? (ssize_t)sent : n;
		sent += (uint64_t)n;
		if (n < got)
			break;
	}
	return (ssize_t)sent;
}

void
socket_cork(int fd, bool corked)
{
	(void)fd;
	(void)corked;
}

void
socket_shut(int fd)
{
	net_shut_server(fd);
}

int
socket_peer(int fd, struct sockaddr_storage *peer_out)
{
	return net_peer(fd, peer_out);
}

void
socket_close(int fd)
{
	net_close(fd);
}

bool
resident_span(int fd, uint64_t offset, uint64_t length)
{
	return offset + length <= simdisk_size(fd) && simdisk_is_warm(fd) &&
		!sim_strikes(FAULT_COLD);
}

uint64_t
resident_from(int fd, uint64_t offset, uint64_t max)
{
	uint64_t size = simdisk_size(fd);

	if (size <= offset)
		return 0;
	if (max > size - offset)
		max = size - offset;
	return resident_span(fd, offset, max) ? max : 0;
}

ssize_t
resident_read(int fd, uint64_t offset, void *to, size_t size)
{
	return simdisk_is_warm(fd) ? simdisk_read(fd, to, size, offset) : -EAGAIN;
}

ssize_t
resident_read_waiting(int fd, uint64_t offset, void *to, size_t size)
{
	return simdisk_read(fd, to, size, offset);
}
