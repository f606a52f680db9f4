/*
 * network.c - see network.h.
 */
#include "core/network.h"

#include "io/base/span.h"

#include <arpa/inet.h>
#include <netinet/in.h>

static bool
bit_is_set(const uint8_t *address, unsigned bit)
{
	return (address[bit / 8] >> (7 - bit % 8) & 1) != 0;
}

static bool
has_bits_behind(const struct network *n)
{
	unsigned all = n->family == AF_INET ? 32 : 128;

	for (unsigned bit = n->bits; bit < all; bit++)
		if (bit_is_set(n->address, bit))
			return true;
	return false;
}

const char *
network_read(const char *text, struct network *network_out)
{
	struct network n = { .family = strchr(text, ':') != NULL ? AF_INET6 : AF_INET };
	const char *slash = strchr(text, '/');
	size_t length = slash == NULL ? strlen(text) : (size_t)(slash - text);
	uint64_t bits = n.family == AF_INET ? 32 : 128;
	char address[INET6_ADDRSTRLEN];

	if (length >= sizeof(address))
		return "it is no network";
	memcpy(address, text, length);
	address[length] = '\0';
	if (inet_pton(n.family, address, n.address) != 1)
		return "it is no network";
	if (slash != NULL && !span_to_u64(span_of_string(slash + 1), bits, &bits))
		return "behind the slash belongs a number of bits";
	n.bits = (uint8_t)bits;
	if (has_bits_behind(&n))
		return "the address has bits behind those that count";
	*network_out = n;
	return NULL;
}

static const uint8_t *
octets_of(const struct sockaddr_storage *address)
{
	if (address->ss_family == AF_INET6)
		return ((const struct sockaddr_in6 *)(const void *)address)->sin6_addr.s6_addr;
	return (const void *)&((const struct sockaddr_in *)(const void *)address)->sin_addr;
}

bool
network_holds(const struct network *n, const struct sockaddr_storage *peer)
{
	const uint8_t *address = octets_of(peer);

	if (peer->ss_family != n->family)
		return false;
	if (memcmp(n->address, address, n->bits / 8) != 0)
		return false;
	for (unsigned bit = n->bits & ~7u; bit < n->bits; bit++)
		if (bit_is_set(n->address, bit) != bit_is_set(address, bit))
			return false;
	return true;
}

bool
network_one_holds(
	const struct network *networks, unsigned count, const struct sockaddr_storage *peer)
{
	for (unsigned i = 0; i < count; i++)
		if (network_holds(&networks[i], peer))
			return true;
	return false;
}

bool
network_text_holds(const char *networks, const struct sockaddr_storage *peer)
{
	char one[64];

	for (networks += strspn(networks, " "); *networks != '\0';
		networks += strspn(networks, " ")) {
		size_t length = strcspn(networks, " ");
		struct network network;

		if (length < sizeof(one)) {
			memcpy(one, networks, length);
			one[length] = '\0';
			if (network_read(one, &network) == NULL && network_holds(&network, peer))
				return true;
		}
		networks += length;
	}
	return false;
}

bool
network_is_loopback(const struct sockaddr_storage *address)
{
	static const struct network four = { AF_INET, 8, { 127 } };
	static const struct network six = { AF_INET6, 128, { [15] = 1 } };

	return address->ss_family == AF_UNIX || network_holds(&four, address) ||
		network_holds(&six, address);
}
