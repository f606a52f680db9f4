/*
 * guests.h - how many connections there are, in all and from each address, and how fast they come.
 *
 * Tables that shards share, without a lock (core/tally.h, core/meters.h): a limit for the whole
 * server cannot be kept by each shard alone.  Addresses count as IPv4 /32 and IPv6 /64: who has one
 * address of a /64 has them all.  Local sockets have no address to be counted by.
 */
#ifndef CORE_GUESTS_H
#define CORE_GUESTS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

struct guests;

struct guests_options {
	uint32_t max;
	/* Of one address; 0: no limit.  The rates allow what comes in GUESTS_BURST_S at once. */
	uint32_t per_address_max;
	uint32_t connections_per_s;
	uint32_t handshakes_per_s;
};

#define GUESTS_BURST_S 10u

enum guests_answer {
	GUESTS_WELCOME,
	GUESTS_FULL,         /* too many connections in all */
	GUESTS_ADDRESS_FULL, /* too many from this address */
	GUESTS_TOO_FAST,     /* too many from it of late */
};

/* 0 or a negative errno. */
int guests_open(const struct guests_options *options, struct guests **guests_out);
void guests_close(struct guests *g);

/* Count one in.  GUESTS_WELCOME: *ticket_out is for guests_leave(); any other answer counts
 * nothing. */
enum guests_answer guests_enter(
	struct guests *g, const struct sockaddr *address, uint64_t now_ms, uint32_t *ticket_out);
void guests_leave(struct guests *g, uint32_t ticket);

/* May one from there begin a TLS handshake?  True: it is counted.  `address` as in
 * digest_address(), any where `family` is AF_UNIX. */
bool guests_may_shake_hands(struct guests *g, int family, const void *address, uint64_t now_ms);

uint32_t guests_count(const struct guests *g);

#endif
