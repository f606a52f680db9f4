/*
 * net.h - what the floor servers share at their start: a listening socket, a pinned thread.
 */
#ifndef BENCH_FLOOR_NET_H
#define BENCH_FLOOR_NET_H

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static inline void __attribute__((noreturn)) net_die(const char *what, int error)
{
	fprintf(stderr, "floor: %s: %s\n", what, strerror(error));
	exit(1);
}

/* A listener of its own for each thread (SO_REUSEPORT);
 * its options are inherited by connections. */
static inline int
net_listen(const char *address, uint16_t port)
{
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_port = htons(port) };
	int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		net_die("socket", errno);
	if (inet_pton(AF_INET, address, &sin.sin_addr) != 1)
		net_die(address, EINVAL);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&sin, sizeof(sin)) < 0)
		net_die("bind", errno);
	if (listen(fd, 65535) < 0)
		net_die("listen", errno);
	return fd;
}

static inline void
net_pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((unsigned)cpu, &set);
	if (pthread_setaffinity_np(pthread_self(), sizeof(set), &set) != 0)
		net_die("pin to the core", EINVAL);
}

/* As many descriptors as we may have; returns how many. */
static inline size_t
net_raise_descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		net_die("getrlimit", errno);
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		net_die("setrlimit", errno);
	return limit.rlim_cur < 1048576 ? limit.rlim_cur : 1048576;
}

#endif
