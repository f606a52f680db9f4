/*
 * loopback.c - preloaded into popa3d: listen on 127.0.0.1, port $POP3_PORT.
 *
 * Debian's popa3d is built for port 110 of all addresses, and for at most 10 sessions from one of
 * them, which a generator on one machine would meet at once.  So bind() goes elsewhere, and
 * accept() gives each client another source address, which popa3d uses for this limit and its log
 * alone.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/socket.h>

int
bind(int fd, const struct sockaddr *address, socklen_t length)
{
	int (*next)(int, const struct sockaddr *, socklen_t) = dlsym(RTLD_NEXT, "bind");
	const char *port = getenv("POP3_PORT");
	struct sockaddr_in here = { .sin_family = AF_INET };

	if (address->sa_family != AF_INET || port == NULL)
		return next(fd, address, length);
	here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	here.sin_port = htons((unsigned short)atoi(port));
	return next(fd, (const struct sockaddr *)&here, sizeof(here));
}

int
accept(int fd, struct sockaddr *address, socklen_t *length)
{
	static in_addr_t client;
	int (*next)(int, struct sockaddr *, socklen_t *) = dlsym(RTLD_NEXT, "accept");
	int accepted = next(fd, address, length);

	if (accepted >= 0 && address != NULL && address->sa_family == AF_INET)
		((struct sockaddr_in *)address)->sin_addr.s_addr =
			htonl(INADDR_LOOPBACK + client++ % 65536);
	return accepted;
}
