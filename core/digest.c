/*
 * digest.c - see digest.h.
 *
 * Numbers by multiply-shift with secret keys; a text is a polynomial of its octets, seven at a
 * time, at a secret place modulo 2^61 - 1 (two texts of n octets meet with a chance of n / 2^63),
 * then a number.
 */
#include "core/digest.h"

#include "io/base/must.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/random.h>

#define PRIME        (((uint64_t)1 << 61) - 1)
#define CHUNK_OCTETS 7u

int
digest_keys_draw(struct digest_keys *keys_out)
{
	if (getrandom(keys_out->at, sizeof(keys_out->at), 0) != (ssize_t)sizeof(keys_out->at))
		return -EIO;
	keys_out->at[1] |= 1;
	keys_out->at[2] %= PRIME;
	return 0;
}

static uint64_t
digest_number(const struct digest_keys *keys, uint64_t number)
{
	unsigned __int128 product = (unsigned __int128)(number ^ keys->at[0]) * keys->at[1];

	number = (uint64_t)(product >> 64) ^ (uint64_t)product;
	number ^= number >> 29;
	number *= 0xBF58476D1CE4E5B9u;
	return number ^ number >> 32;
}

uint64_t
digest_address(const struct digest_keys *keys, int family, const void *address)
{
	uint64_t network;
	in_addr_t four;

	if (family == AF_INET6) {
		memcpy(&network, address, sizeof(network));
	} else {
		must(family == AF_INET);
		memcpy(&four, address, sizeof(four));
		network = (uint64_t)four << 8 | 4;
	}
	return digest_number(keys, network);
}

/* a * b modulo 2^61 - 1, of two numbers below 2^61. */
static uint64_t
multiply(uint64_t a, uint64_t b)
{
	unsigned __int128 product = (unsigned __int128)a * b;
	uint64_t sum = (uint64_t)(product & PRIME) + (uint64_t)(product >> 61);

	return sum >= PRIME ? sum - PRIME : sum;
}

uint64_t
digest_text(const struct digest_keys *keys, struct span text)
{
	uint64_t value = text.length;

	for (size_t at = 0; at < text.length; at += CHUNK_OCTETS) {
		size_t rest = text.length - at;
		uint64_t chunk = 0;

		memcpy(&chunk, text.at + at, rest < CHUNK_OCTETS ? rest : CHUNK_OCTETS);
		value = multiply((value + chunk) % PRIME, keys->at[2]);
	}
	return digest_number(keys, value);
}
