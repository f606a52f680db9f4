/*
 * guests.h - how many connections there are, in all and from each address.
 *
 * The one table that shards share: a limit for the whole server cannot be kept by each shard alone.
 * One atomic word for each address (a digest of the address and its count), changed by
 * compare-and-swap, no lock.  Addresses count as IPv4 /32 and IPv6 /64: who has one address of a
 * /64 has them all.  Local sockets have no address to be counted by.
 */
#ifndef CORE_GUESTS_H
#define CORE_GUESTS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

struct guests;

enum guests_answer {
	GUESTS_WELCOME,
	GUESTS_FULL,         /* too many connections in all */
	GUESTS_ADDRESS_FULL, /* too many from this address */
};

/* `per_address_max` 0: no limit.  0 or a negative errno. */
int guests_open(uint32_t max, uint32_t per_address_max, struct guests **guests_out);
void guests_close(struct guests *g);

/* Count one in.  GUESTS_WELCOME: *ticket_out is for guests_leave(); any other answer counts
 * nothing. */
enum guests_answer guests_enter(
	struct guests *g, const struct sockaddr *address, uint64_t *ticket_out);
void guests_leave(struct guests *g, uint64_t ticket);

uint32_t guests_count(const struct guests *g);

#endif
