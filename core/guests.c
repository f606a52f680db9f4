/*
 * guests.c - see guests.h.
 *
 * A word is 44 bits of the address's digest and 20 bits of count; 0 is a free word.  A word whose
 * count falls to zero becomes free, and probing looks at a fixed run of words, so nothing needs to
 * be moved. Two threads may give one address two words for a moment; its limit is then that much
 * too generous, never too strict.  The digest is keyed: nobody outside can choose addresses that
 * meet in one run.
 */
#include "core/guests.h"

#include "io/base/must.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define COUNT_BITS 20u
#define COUNT_MASK (((uint64_t)1 << COUNT_BITS) - 1)
#define RUN_LENGTH 32u
#define NO_TICKET  UINT64_MAX

struct guests {
	_Atomic uint32_t count;
	uint32_t max;
	uint32_t per_address_max;
	uint64_t keys[2];
	uint64_t mask;
	_Atomic uint64_t words[];
};

int
guests_open(uint32_t max, uint32_t per_address_max, struct guests **guests_out)
{
	uint64_t words = 1024;
	struct guests *g;

	while (words < (uint64_t)max * 2)
		words *= 2;
	g = calloc(1, sizeof(*g) + words * sizeof(g->words[0]));
	if (g == NULL)
		return -ENOMEM;
	if (getrandom(g->keys, sizeof(g->keys), 0) != (ssize_t)sizeof(g->keys)) {
		free(g);
		return -EIO;
	}
	g->keys[1] |= 1;
	g->max = max;
	g->per_address_max = per_address_max < COUNT_MASK ? per_address_max : COUNT_MASK;
	g->mask = words - 1;
	*guests_out = g;
	return 0;
}

void
guests_close(struct guests *g)
{
	free(g);
}

/* Multiply-shift by secret keys: enough for numbers that a guest cannot watch. */
static uint64_t
digest(const struct guests *g, const struct sockaddr *address)
{
	uint64_t network;
	unsigned __int128 product;

	if (address->sa_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const void *)address;

		memcpy(&network, &in6->sin6_addr, sizeof(network));
	} else {
		const struct sockaddr_in *in = (const void *)address;

		network = (uint64_t)in->sin_addr.s_addr << 8 | 4;
	}
	product = (unsigned __int128)(network ^ g->keys[0]) * g->keys[1];
	network = (uint64_t)(product >> 64) ^ (uint64_t)product;
	network ^= network >> 29;
	network *= 0xBF58476D1CE4E5B9u;
	return network ^ network >> 32;
}

/* Count one more in `word` if it is this address's, or free; false: it is another's. */
static bool
count_in(_Atomic uint64_t *word, uint64_t tag, bool may_claim, uint32_t max, bool *full_out)
{
	uint64_t seen = atomic_load_explicit(word, memory_order_relaxed);

	for (;;) {
		if ((seen & COUNT_MASK) != 0 && (seen & ~COUNT_MASK) != tag)
			return false;
		if ((seen & COUNT_MASK) == 0 && !may_claim)
			return false;
		if ((seen & COUNT_MASK) >= max) {
			*full_out = true;
			return true;
		}
		if (atomic_compare_exchange_weak_explicit(word, &seen,
			    tag | ((seen & COUNT_MASK) + 1), memory_order_relaxed,
			    memory_order_relaxed))
			return true;
	}
}

static enum guests_answer
enter_by_address(struct guests *g, const struct sockaddr *address, uint64_t *ticket_out)
{
	uint64_t hash = digest(g, address);
	uint64_t tag = hash & ~COUNT_MASK;
	bool full = false;

	*ticket_out = NO_TICKET;
	if (g->per_address_max == 0 || address->sa_family == AF_UNIX)
		return GUESTS_WELCOME;
	for (int may_claim = 0; may_claim <= 1; may_claim++) {
		for (uint64_t i = 0; i < RUN_LENGTH; i++) {
			uint64_t at = (hash + i) & g->mask;

			if (!count_in(&g->words[at], tag, may_claim, g->per_address_max, &full))
				continue;
			if (full)
				return GUESTS_ADDRESS_FULL;
			*ticket_out = at;
			return GUESTS_WELCOME;
		}
	}
	return GUESTS_WELCOME; /* no word is free: rather let a guest in than turn one away wrongly
				*/
}

enum guests_answer
guests_enter(struct guests *g, const struct sockaddr *address, uint64_t *ticket_out)
{
	enum guests_answer answer;

	if (atomic_fetch_add_explicit(&g->count, 1, memory_order_relaxed) >= g->max)
		answer = GUESTS_FULL;
	else
		answer = enter_by_address(g, address, ticket_out);
	if (answer != GUESTS_WELCOME)
		atomic_fetch_sub_explicit(&g->count, 1, memory_order_relaxed);
	return answer;
}

void
guests_leave(struct guests *g, uint64_t ticket)
{
	atomic_fetch_sub_explicit(&g->count, 1, memory_order_relaxed);
	if (ticket == NO_TICKET)
		return;
	must((atomic_load_explicit(&g->words[ticket], memory_order_relaxed) & COUNT_MASK) != 0);
	atomic_fetch_sub_explicit(&g->words[ticket], 1, memory_order_relaxed);
}

uint32_t
guests_count(const struct guests *g)
{
	return atomic_load_explicit(&g->count, memory_order_relaxed);
}
