/*
 * guests.c - see guests.h.
 */
#include "core/guests.h"

#include "core/digest.h"
#include "core/meters.h"
#include "core/tally.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdlib.h>

#define ADDRESSES_REMEMBERED 131072u /* by a rate: 1 MiB */

/* So many in a second, and so much in the meter of each address. */
struct rate {
	struct meters *meters; /* NULL: no limit */
	uint64_t ticks;
	uint64_t most;
};

struct guests {
	_Atomic uint32_t count;
	uint32_t max;
	struct digest_keys keys;
	struct tally *addresses; /* NULL: no limit */
	struct rate connections;
	struct rate handshakes;
};

static int
open_rate(uint32_t per_s, struct rate *rate_out)
{
	if (per_s == 0)
		return 0;
	rate_out->ticks = METERS_TICKS_PER_S / per_s;
	rate_out->most = rate_out->ticks * per_s * GUESTS_BURST_S;
	return meters_open(ADDRESSES_REMEMBERED, &rate_out->meters);
}

int
guests_open(const struct guests_options *options, struct guests **guests_out)
{
	struct guests *g = calloc(1, sizeof(*g));
	int error;

	if (g == NULL)
		return -ENOMEM;
	g->max = options->max;
	error = digest_keys_draw(&g->keys);
	if (error == 0 && options->per_address_max != 0)
		error = tally_open(options->max, options->per_address_max, &g->addresses);
	if (error == 0)
		error = open_rate(options->connections_per_s, &g->connections);
	if (error == 0)
		error = open_rate(options->handshakes_per_s, &g->handshakes);
	if (error != 0) {
		guests_close(g);
		return error;
	}
	*guests_out = g;
	return 0;
}

void
guests_close(struct guests *g)
{
	if (g == NULL)
		return;
	meters_close(g->handshakes.meters);
	meters_close(g->connections.meters);
	tally_close(g->addresses);
	free(g);
}

/* Does one more keep within the rate?  Then it is counted. */
static bool
keeps_to(const struct rate *rate, uint64_t who, uint64_t now_ms)
{
	return rate->meters == NULL ||
		meters_take(rate->meters, who, now_ms, rate->ticks, rate->most);
}

static enum guests_answer
enter_by_address(
	struct guests *g, int family, const void *address, uint64_t now_ms, uint32_t *ticket_out)
{
	uint64_t who;

	if ((g->addresses == NULL && g->connections.meters == NULL) || family == AF_UNIX)
		return GUESTS_WELCOME;
	who = digest_address(&g->keys, family, address);
	if (!keeps_to(&g->connections, who, now_ms))
		return GUESTS_TOO_FAST;
	if (g->addresses != NULL && !tally_enter(g->addresses, who, ticket_out))
		return GUESTS_ADDRESS_FULL;
	return GUESTS_WELCOME;
}

static const void *
octets_of(const struct sockaddr *address)
{
	if (address->sa_family == AF_INET6)
		return &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr;
	return &((const struct sockaddr_in *)(const void *)address)->sin_addr;
}

enum guests_answer
guests_enter(
	struct guests *g, const struct sockaddr *address, uint64_t now_ms, uint32_t *ticket_out)
{
	enum guests_answer answer;

	*ticket_out = TALLY_NO_TICKET;
	if (atomic_fetch_add_explicit(&g->count, 1, memory_order_relaxed) >= g->max)
		answer = GUESTS_FULL;
	else
		answer = enter_by_address(
			g, address->sa_family, octets_of(address), now_ms, ticket_out);
	if (answer != GUESTS_WELCOME)
		atomic_fetch_sub_explicit(&g->count, 1, memory_order_relaxed);
	return answer;
}

void
guests_leave(struct guests *g, uint32_t ticket)
{
	atomic_fetch_sub_explicit(&g->count, 1, memory_order_relaxed);
	tally_leave(g->addresses, ticket);
}

bool
guests_may_shake_hands(struct guests *g, int family, const void *address, uint64_t now_ms)
{
	if (g->handshakes.meters == NULL || family == AF_UNIX)
		return true;
	return keeps_to(&g->handshakes, digest_address(&g->keys, family, address), now_ms);
}

uint32_t
guests_count(const struct guests *g)
{
	return atomic_load_explicit(&g->count, memory_order_relaxed);
}
