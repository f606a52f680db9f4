/*
 * socket.h - the narrow seam to sockets, beside the ring's: calls that never wait.
 *
 * What would take time goes through io/ring.h; what is left is here, one system call each.  A
 * substitute for socket.c with the same functions, beside one for ring.c, is a network of one's own
 * (tests/sim).  The two keep out: making a listening socket (io/listener.c) and handing keys to the
 * kernel (io/tls_kernel.c).
 */
#ifndef IO_SOCKET_H
#define IO_SOCKET_H

#include "io/base/span.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

/* Send what the socket takes at once; returns how much, or a negative errno.  -EAGAIN: it is full.
 * `more_follows`: hold the octets back for those that come next, in one packet. */
ssize_t socket_send(int fd, struct span octets, bool more_follows);

/* The same with `length` octets at `offset` of a file; 0: the file ends there.  Waits for the disk
 * where the page cache has them not (io/resident.h). */
ssize_t socket_send_file(int fd, int file_fd, uint64_t offset, uint64_t length);

/* Receive what is there at once; returns how much, 0: the other side has said its last, or a
 * negative errno.  -EAGAIN: nothing is. */
ssize_t socket_receive(int fd, void *to, size_t size);

/* Hold back partial packets, or let them go. */
void socket_cork(int fd, bool corked);

/* No more will be sent; what was is delivered, and then the end of our side. */
void socket_shut(int fd);

/* Who is at the other end; a negative errno: nobody any more. */
int socket_peer(int fd, struct sockaddr_storage *peer_out);

void socket_close(int fd);

#endif
