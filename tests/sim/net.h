/*
 * net.h - a network in memory: listening sockets, connections, and two ends of each.
 *
 * A connection is two streams of octets.  What is written arrives later, in pieces; a stream takes
 * no more than its window holds unread.  A close with octets unread is a reset, as in TCP, and a
 * reset may throw away what was on its way.
 *
 * The server's end is a descriptor, reached through io/ring.h and io/socket.h (ring.c, socket.c);
 * the guest's end is a fiber's, reached by the net_xyz() functions.
 */
#ifndef TESTS_SIM_NET_H
#define TESTS_SIM_NET_H

#include "tests/sim/sim.h"

#include <sys/socket.h>
#include <sys/types.h>

struct net_conn;
struct net_listener;

/* ---- the server's end ---- */

/* What waits at a socket: told when something has changed. */
struct net_waiter {
	struct list item;
	void (*changed)(struct net_waiter *w);
};

/* A listening socket of the running process. */
int net_listen(unsigned port);

struct net_listener *net_listener_of(int fd);
/* The next connection as a descriptor; -EAGAIN: none. */
int net_accept(struct net_listener *l);
/* Octets that have arrived; 0: the end; -EAGAIN, -ECONNRESET. */
ssize_t net_receive(int fd, void *to, size_t size);
bool net_has_more(int fd);
/* How much the socket takes of it; -EAGAIN, -EPIPE, -ECONNRESET. */
ssize_t net_send(int fd, struct span octets);
bool net_can_send(int fd);
void net_shut_server(int fd);
/* Of either kind. */
void net_close(int fd);
int net_peer(int fd, struct sockaddr_storage *peer_out);
/* Have `w` told of every change, until it is taken out of the list. */
void net_watch(int fd, struct net_waiter *w);
void net_watch_listener(struct net_listener *l, struct net_waiter *w);

/* ---- the guest's end ---- */

enum net_state {
	NET_OPEN,
	NET_ENDED, /* all that the server said was read, and it has closed */
	NET_RESET,
};

/* NULL: nobody listens. */
struct net_conn *net_connect(unsigned port, unsigned address);
/* How much was taken. */
size_t net_write(struct net_conn *c, struct span octets);
/* How much has come. */
size_t net_read(struct net_conn *c, void *to, size_t size);
enum net_state net_state(const struct net_conn *c);
/* No more will be written. */
void net_shut(struct net_conn *c);
/* The connection is the network's from here on. */
void net_leave(struct net_conn *c);
void net_reset(struct net_conn *c);
/* Until something has changed, or for `ns`. */
void net_wait(struct net_conn *c, uint64_t ns);

/* ---- the whole ---- */

/* Processes that die now leave without a word: their machine is off. */
void net_go_dark(bool dark);
/* The world is over. */
void net_forget_world(void);

#endif
