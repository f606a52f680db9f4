/*
 * listener.h - a shard's own listening socket.
 *
 * Every shard listens on every address (SO_REUSEPORT): the kernel spreads connections over the
 * shards by a hash of addresses and ports, and no shard hands a connection to another.  Sockets are
 * made by the main thread while it still may bind low ports; options set there are inherited by
 * what is accepted.
 */
#ifndef IO_LISTENER_H
#define IO_LISTENER_H

#include "io/loop.h"

#include <sys/socket.h>
#include <sys/types.h>

/*
 * So many accepts are in flight, each for one connection.  One accept for ever (multishot) would take all
 * that wait in one go of the kernel: of 5,000 at once that is 80 ms in which nobody else is served.
 */
#define LISTENER_ACCEPTS 16u

struct listener;

struct listener_accept {
	struct op op;
	struct listener *listener;
	bool in_flight;
};

struct listener {
	struct loop *loop;
	struct timer retry; /* after -EMFILE and the like */
	void (*accepted)(struct listener *l, int fd);
	/* No connection can be taken for now (tried again by itself). */
	void (*troubled)(struct listener *l, int error);
	int fd;
	struct listener_accept accepts[LISTENER_ACCEPTS];
};

/* A bound, listening TCP socket with SO_REUSEPORT and TCP_NODELAY; returns it or a negative
 * errno. */
int listener_make_socket(const struct sockaddr *address, socklen_t address_octets, int backlog);

/* A listening local socket at `path`, for who may write to it by `mode`, owner and group (-1:
 * ours).  What an earlier server has left there is replaced in one step; the path is never without
 * a socket.  -EEXIST: something else is there. */
int listener_make_local_socket(
	const char *path, mode_t mode, uid_t owner, gid_t group, int backlog);

/* Is somebody else listening there already?  SO_REUSEPORT would let two servers share the guests of
 * one port without a word.  0, or -EADDRINUSE and the like. */
int listener_check_free(const struct sockaddr *address, socklen_t address_octets);

/* Start accepting on `fd`, which the listener owns from now on. */
void listener_start(struct listener *l, struct loop *loop, int fd,
	void (*accepted)(struct listener *l, int fd),
	void (*troubled)(struct listener *l, int error));
/* Stop accepting and close the socket. */
void listener_stop(struct listener *l);

#endif
